//! Filling a template with a value.

use std::cell::Cell;

use serde_json::Value;

use super::lex::Place;
use super::parse::{Kind, Node, Operand, Pipeline};
use super::{Missing, functions, print, typed};

/// Where and why filling failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) source: String,
    pub(super) what: String,
}

impl Failure {
    fn new(operand: &Operand, what: String) -> Self {
        let Place { line, mut column } = operand.place;
        // Of a chain of fields, Go names the place of the second one.
        if matches!(operand.kind, Kind::Field(_)) {
            column += operand.source.char_indices().skip(1).find(|(_, c)| *c == '.').map_or(0, |(at, _)| at);
        }
        Self { line, column, source: operand.source.clone(), what }
    }

    /// A call that fails in the function itself: Go names it with all of its words.
    fn call(words: &[Operand], what: String) -> Self {
        let mut failure = Self::new(&words[0], what);
        if failure.what.starts_with("error calling") {
            let sources: Vec<&str> = words.iter().map(|word| word.source.as_str()).collect();
            failure.source = sources.join(" ");
        }
        failure
    }
}

enum Flow {
    On,
    Break,
    Continue,
}

struct Run<'a> {
    out: String,
    /// A field of which it is told whether the template looks at it.
    watched: &'a str,
    touched: Cell<bool>,
    variables: Vec<(String, Value)>,
    missing: Missing,
    heading: bool,
}

pub(super) fn render(nodes: &[Node], value: &Value, missing: Missing, heading: bool) -> Result<String, Failure> {
    let mut run = Run::new(value, missing, heading, "");
    run.nodes(nodes, value)?;
    Ok(run.out)
}

/// Whether the template looks at a field of this value.
pub(super) fn touches(nodes: &[Node], value: &Value, missing: Missing, field: &str) -> Result<bool, Failure> {
    let mut run = Run::new(value, missing, true, field);
    run.nodes(nodes, value)?;
    Ok(run.touched.get())
}

impl<'a> Run<'a> {
    fn new(value: &Value, missing: Missing, heading: bool, watched: &'a str) -> Self {
        let variables = vec![(String::new(), value.clone())];
        Self { out: String::new(), watched, touched: Cell::new(false), variables, missing, heading }
    }

    /// Runs nodes in a scope of their own.
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, Failure> {
        let depth = self.variables.len();
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, dot)?;
            if !matches!(flow, Flow::On) {
                break;
            }
        }
        self.variables.truncate(depth);
        Ok(flow)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, Failure> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Show(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.out.push_str(&print::show(&value));
                } else {
                    self.bind(pipeline, value);
                }
            }
            Node::If { condition, then, other } => {
                let depth = self.variables.len();
                let value = self.pipeline(condition, dot)?;
                let chosen = if typed::truth(&value) { then } else { other };
                self.bind(condition, value);
                let flow = self.nodes(chosen, dot)?;
                self.variables.truncate(depth);
                return Ok(flow);
            }
            Node::With { value, then, other } => {
                let depth = self.variables.len();
                let inner = self.pipeline(value, dot)?;
                self.bind(value, inner.clone());
                let flow = if typed::truth(&inner) { self.nodes(then, &inner)? } else { self.nodes(other, dot)? };
                self.variables.truncate(depth);
                return Ok(flow);
            }
            Node::Range { over, body, other } => self.range(over, body, other, dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn range(&mut self, over: &Pipeline, body: &[Node], other: &[Node], dot: &Value) -> Result<(), Failure> {
        let over_value = self.pipeline(over, dot)?;
        let items: Vec<(Value, Value)> = match over_value {
            nil if typed::nil(&nil).is_some() => Vec::new(),
            Value::Array(items) => items.into_iter().enumerate().map(|(at, item)| (at.into(), item)).collect(),
            Value::Object(map) if !typed::is_structure(&map) => {
                let mut items: Vec<(String, Value)> = map.into_iter().collect();
                items.sort_by(|a, b| a.0.cmp(&b.0));
                items.into_iter().map(|(key, item)| (Value::String(key), item)).collect()
            }
            Value::Number(count) => (0..count.as_u64().unwrap_or(0)).map(|at| (at.into(), at.into())).collect(),
            Value::Null => Vec::new(),
            value => {
                let operand = &over.commands[0][0];
                return Err(Failure::new(operand, format!("range can't iterate over {}", print::show(&value))));
            }
        };
        if items.is_empty() {
            self.nodes(other, dot)?;
        }
        let depth = self.variables.len();
        for (key, item) in items {
            match over.variables.as_slice() {
                [one] => self.variables.push((one.clone(), item.clone())),
                [first, second] => {
                    self.variables.push((first.clone(), key));
                    self.variables.push((second.clone(), item.clone()));
                }
                _ => {}
            }
            let flow = self.nodes(body, &item)?;
            self.variables.truncate(depth);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(())
    }

    fn bind(&mut self, pipeline: &Pipeline, value: Value) {
        let Some(name) = pipeline.variables.first() else { return };
        if pipeline.declares {
            self.variables.push((name.clone(), value));
        } else if let Some(slot) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            slot.1 = value;
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Failure> {
        let mut carried = None;
        for command in &pipeline.commands {
            carried = Some(self.command(command, carried, dot)?);
        }
        Ok(carried.unwrap_or(Value::Null))
    }

    fn command(&mut self, words: &[Operand], carried: Option<Value>, dot: &Value) -> Result<Value, Failure> {
        let (head, rest) = (&words[0], &words[1..]);
        let Kind::Function(name) = &head.kind else {
            // A row's `Label "x"` is the one method with an argument that Docker's rows have.
            if let (Kind::Field(path), [argument]) = (&head.kind, rest)
                && path.len() == 1
                && path[0] == "Label"
                && carried.is_none()
            {
                let key = self.operand(argument, dot)?;
                let key = print::show(&key);
                return Ok(if self.heading { label_heading(&key) } else { label(dot, &key) });
            }
            if !rest.is_empty() || carried.is_some() {
                return Err(Failure::new(head, format!("can't give argument to non-function {}", head.source)));
            }
            return self.operand(head, dot);
        };
        let given = rest.len() + usize::from(carried.is_some());
        functions::check_count(name, given).map_err(|what| Failure::new(head, what))?;
        let mut arguments = Vec::with_capacity(given);
        for (at, word) in rest.iter().enumerate() {
            let value = self.operand(word, dot)?;
            if functions::wants_text(name, at)
                && let Some(what) = self.no_text(&value)
            {
                return Err(Failure::new(word, what));
            }
            // `and` and `or` do not look at what they need not.
            if (name == "and" && !typed::truth(&value)) || (name == "or" && typed::truth(&value)) {
                return Ok(value);
            }
            arguments.push(value);
        }
        arguments.extend(carried);
        if name == "json" && arguments.iter().any(|value| value.get(self.watched).is_some()) {
            self.touched.set(true);
        }
        if self.heading && matches!(name.as_str(), "json" | "title" | "lower" | "upper" | "truncate") {
            return Ok(arguments.into_iter().next().unwrap_or(Value::Null));
        }
        functions::call(name, arguments).map_err(|what| Failure::call(words, what))
    }

    /// Why a value is no text, as Go says it; none for a text.
    fn no_text(&self, value: &Value) -> Option<String> {
        let kind = match value {
            Value::Number(_) if self.missing == Missing::Entry => "json.Number",
            Value::Number(_) | Value::Bool(_) | Value::Array(_) => print::kind(value),
            Value::Object(_) if typed::nil(value).is_none() => print::kind(value),
            _ => return None,
        };
        Some(format!("wrong type for value; expected string; got {kind}"))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Failure> {
        match &operand.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Field(path) => self.walk(dot, path, operand),
            Kind::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                let value = found.ok_or_else(|| Failure::new(operand, format!("undefined variable \"${name}\"")))?;
                self.walk(&value, path, operand)
            }
            Kind::Function(name) => functions::call(name, Vec::new()).map_err(|what| Failure::new(operand, what)),
            Kind::Group(pipeline, path) => {
                let value = self.pipeline(pipeline, dot)?;
                self.walk(&value, path, operand)
            }
        }
    }

    fn walk(&self, value: &Value, path: &[String], operand: &Operand) -> Result<Value, Failure> {
        let mut value = value;
        for (at, name) in path.iter().enumerate() {
            if name == self.watched {
                self.touched.set(true);
            }
            value = match value {
                none if typed::is_no_value(none) => none,
                Value::Object(map) => match field(map, name) {
                    Some(found) => found,
                    None if self.missing == Missing::Value && typed::kind_of_own(map).is_none() => return Ok(typed::no_value()),
                    None => return Err(Failure::new(operand, self.no_field(map, name, at == 0))),
                },
                Value::Null => {
                    return Err(Failure::new(operand, format!("nil pointer evaluating interface {{}}.{name}")));
                }
                other => {
                    let kind = print::kind(other);
                    return Err(Failure::new(operand, format!("can't evaluate field {name} in type {kind}")));
                }
            };
        }
        Ok(value.clone())
    }

    fn no_field(&self, map: &serde_json::Map<String, Value>, name: &str, at_root: bool) -> String {
        match self.missing {
            Missing::Value => format!("can't evaluate field {name} in type {}", typed::kind_of_own(map).unwrap_or_default()),
            Missing::Type(kind) if at_root => format!("can't evaluate field {name} in type {kind}"),
            _ => format!("map has no entry for key {}", crate::flags::quote(name)),
        }
    }
}

/// The member of a name. Go's field names differ from the JSON keys in their case only (`ID`, `Id`), so case is the
/// second try.
fn field<'a>(map: &'a serde_json::Map<String, Value>, name: &str) -> Option<&'a Value> {
    let exact = typed::kind_of_own(map).is_some();
    map.get(name).or_else(|| map.iter().filter(|_| !exact).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// The last part of a label's name, with blanks for what divides words.
fn label_heading(key: &str) -> Value {
    Value::String(key.rsplit('.').next().unwrap_or(key).replace(['-', '_'], " "))
}

/// The value of one label out of a row's `a=b,c=d`, or out of a map.
fn label(dot: &Value, key: &str) -> Value {
    let value = match dot.get("Labels") {
        Some(Value::Object(map)) => map.get(key).map(print::show),
        Some(Value::String(text)) => {
            text.split(',').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key)).map(|(_, value)| value.to_owned())
        }
        _ => None,
    };
    Value::String(value.unwrap_or_default())
}
