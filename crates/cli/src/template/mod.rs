//! `--format`: templates of Go's text/template over JSON values, as far as Docker's users write them.
//!
//! Text, `{{- trim -}}`, comments, fields, variables, pipelines, parentheses, `if`, `else if`, `with`, `range`, `break`,
//! `continue`, the comparison and logic functions, `index`, `len`, `slice`, `printf`, `print`, `println`, `html`-free
//! escaping, and Docker's own `json`, `split`, `join`, `title`, `lower`, `upper`, `pad`, `truncate`. There are no
//! `define` and `template`: nothing could be defined on one command line that would be worth it.

mod eval;
mod functions;
mod lex;
mod parse;
mod print;
pub(crate) mod typed;

use serde_json::Value;

pub(crate) use functions::truncate;
pub(crate) use print::{go_json, show};

/// A template that was read.
#[derive(Debug)]
pub(crate) struct Template {
    name: String,
    root: Vec<parse::Node>,
}

/// What a template's dot can say about a field that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A typed thing: a field that it does not have is an error naming the type.
    Type(&'static str),
    /// A JSON object: `map has no entry for key`.
    Entry,
    /// Structures that [`typed`] has marked with their types: theirs is an error, what a map has not is `<no value>`.
    Value,
}

impl Template {
    /// Reads a template. The name stands in error texts, as with Go.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let root = parse::parse(text).map_err(|(line, what)| format!("template: {name}:{line}: {what}"))?;
        Ok(Self { name: name.to_owned(), root })
    }

    /// Fills it with a value.
    pub(crate) fn render(&self, value: &Value, missing: Missing) -> Result<String, String> {
        self.run(value, missing, false)
    }

    /// Fills it with a table's headings: functions that change texts leave them alone, a label is headed by its name.
    pub(crate) fn render_heading(&self, value: &Value, missing: Missing) -> Result<String, String> {
        self.run(value, missing, true)
    }

    /// Whether it looks at a field, tried with headings.
    pub(crate) fn touches(&self, value: &Value, missing: Missing, field: &str) -> Result<bool, String> {
        eval::touches(&self.root, value, missing, field).map_err(|failure| self.failed(&failure))
    }

    fn run(&self, value: &Value, missing: Missing, heading: bool) -> Result<String, String> {
        eval::render(&self.root, value, missing, heading).map_err(|failure| self.failed(&failure))
    }

    fn failed(&self, failure: &eval::Failure) -> String {
        format!(
            "template: {name}:{}:{}: executing \"{name}\" at <{}>: {}",
            failure.line,
            failure.column,
            failure.source,
            failure.what,
            name = self.name
        )
    }
}

#[cfg(test)]
mod tests;
