//! From words to a tree.

use serde_json::Value;

use super::functions;
use super::lex::{self, Piece, Place, Problem, Token};

/// A part of a template.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Show(Pipeline),
    If { condition: Pipeline, then: Vec<Node>, other: Vec<Node> },
    With { value: Pipeline, then: Vec<Node>, other: Vec<Node> },
    Range { over: Pipeline, body: Vec<Node>, other: Vec<Node> },
    Break,
    Continue,
}

/// Commands whose results go into each other, and the variables that take the last one.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    /// `:=` makes new variables, `=` sets old ones.
    pub(super) declares: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// A word of a command, with its place for messages.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) kind: Kind,
    pub(super) place: Place,
    pub(super) source: String,
}

#[derive(Debug)]
pub(super) enum Kind {
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Function(String),
    Literal(Value),
    Group(Pipeline, Vec<String>),
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<(Token, Place, String)>>;

/// How deep blocks and parentheses may nest: far more than anybody writes, far less than the stack holds.
const MAX_DEPTH: usize = 100;

/// Reads a whole template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, Problem> {
    let mut pieces = lex::lex(text)?.into_iter();
    let last_line = lex::line_of(text, text.len());
    let (nodes, end) = block(&mut pieces, 0, last_line)?;
    match end {
        End::Text => Ok(nodes),
        End::Closed(line) => Err((line, "unexpected {{end}}".to_owned())),
        End::Else(line, _) => Err((line, "unexpected {{else}}".to_owned())),
    }
}

enum End {
    Text,
    Closed(usize),
    /// With the words behind `else`, for `else if`.
    Else(usize, Vec<(Token, Place, String)>),
}

fn block(pieces: &mut std::vec::IntoIter<Piece>, depth: usize, last_line: usize) -> Result<(Vec<Node>, End), Problem> {
    if depth > MAX_DEPTH {
        return Err((last_line, "too deeply nested".to_owned()));
    }
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let (mut tokens, line) = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(tokens, line) => (tokens, line),
        };
        let keyword = match tokens.first() {
            None => return Err((line, "missing value for command".to_owned())),
            Some((Token::Word(word), ..)) => word.clone(),
            Some(_) => String::new(),
        };
        match keyword.as_str() {
            "end" => return Ok((nodes, End::Closed(line))),
            "else" => return Ok((nodes, End::Else(line, tokens.split_off(1)))),
            "break" => nodes.push(Node::Break),
            "continue" => nodes.push(Node::Continue),
            "if" | "with" | "range" => {
                nodes.push(control(&keyword, tokens.split_off(1), line, pieces, depth, last_line)?);
            }
            "define" | "template" | "block" => return Err((line, format!("{{{{{keyword}}}}} is not supported"))),
            _ => {
                let mut words = tokens.into_iter().peekable();
                nodes.push(Node::Show(pipeline(&mut words, line, depth)?));
                if let Some((_, _, source)) = words.next() {
                    return Err((line, format!("unexpected {} in operand", crate::flags::quote(&source))));
                }
            }
        }
    }
    if depth == 0 { Ok((nodes, End::Text)) } else { Err((last_line, "unexpected EOF".to_owned())) }
}

fn control(
    keyword: &str,
    tokens: Vec<(Token, Place, String)>,
    line: usize,
    pieces: &mut std::vec::IntoIter<Piece>,
    depth: usize,
    last_line: usize,
) -> Result<Node, Problem> {
    if tokens.is_empty() {
        return Err((line, format!("missing value for {keyword}")));
    }
    let mut words = tokens.into_iter().peekable();
    let head = pipeline(&mut words, line, depth)?;
    let (then, end) = block(pieces, depth + 1, last_line)?;
    let other = match end {
        End::Else(line, mut words) if !words.is_empty() => {
            let nested = match &words[0].0 {
                Token::Word(word) if word == "if" || word == "with" => word.clone(),
                _ => return Err((line, format!("unexpected {} in else", crate::flags::quote(&words[0].2)))),
            };
            vec![control(&nested, words.split_off(1), line, pieces, depth + 1, last_line)?]
        }
        End::Else(..) => match block(pieces, depth + 1, last_line)? {
            (nodes, End::Closed(_)) => nodes,
            (_, End::Else(line, _)) => return Err((line, "expected end; found {{else}}".to_owned())),
            (_, End::Text) => return Err((last_line, "unexpected EOF".to_owned())),
        },
        End::Closed(_) | End::Text => Vec::new(),
    };
    Ok(match keyword {
        "if" => Node::If { condition: head, then, other },
        "with" => Node::With { value: head, then, other },
        _ => Node::Range { over: head, body: then, other },
    })
}

fn pipeline(words: &mut Tokens, line: usize, depth: usize) -> Result<Pipeline, Problem> {
    if depth > MAX_DEPTH {
        return Err((line, "too deeply nested".to_owned()));
    }
    let (variables, declares) = declaration(words);
    let mut commands = Vec::new();
    let mut command = Vec::new();
    loop {
        match words.peek() {
            None | Some((Token::Close(_), ..)) => break,
            Some((Token::Pipe, ..)) => {
                words.next();
                if command.is_empty() {
                    return Err((line, "missing value for command".to_owned()));
                }
                commands.push(std::mem::take(&mut command));
            }
            Some(_) => command.push(operand(words, line, depth)?),
        }
    }
    if command.is_empty() {
        return Err((line, "missing value for command".to_owned()));
    }
    commands.push(command);
    Ok(Pipeline { variables, declares, commands })
}

/// `$x :=`, `$i, $x :=` or `$x =` at the head of a pipeline.
fn declaration(words: &mut Tokens) -> (Vec<String>, bool) {
    let mut ahead = words.clone();
    let mut names = Vec::new();
    loop {
        match ahead.next() {
            Some((Token::Variable(name, fields), ..)) if fields.is_empty() => names.push(name),
            _ => return (Vec::new(), false),
        }
        match ahead.next() {
            Some((Token::Comma, ..)) if names.len() < 2 => {}
            Some((token @ (Token::Declare | Token::Assign), ..)) => {
                *words = ahead;
                return (names, token == Token::Declare);
            }
            _ => return (Vec::new(), false),
        }
    }
}

fn operand(words: &mut Tokens, line: usize, depth: usize) -> Result<Operand, Problem> {
    let Some((token, place, mut source)) = words.next() else {
        return Err((line, "missing value for command".to_owned()));
    };
    let kind = match token {
        Token::Field(names) => Kind::Field(names),
        Token::Variable(name, names) => Kind::Variable(name, names),
        Token::Text(text) => Kind::Literal(Value::String(text)),
        Token::Int(number) => Kind::Literal(number.into()),
        Token::Float(number) => Kind::Literal(number.into()),
        Token::Word(word) => match word.as_str() {
            "true" => Kind::Literal(Value::Bool(true)),
            "false" => Kind::Literal(Value::Bool(false)),
            "nil" => Kind::Literal(Value::Null),
            name if functions::exists(name) => Kind::Function(word),
            name => return Err((line, format!("function {} not defined", crate::flags::quote(name)))),
        },
        Token::Open => {
            let inner = pipeline(words, line, depth + 1)?;
            match words.next() {
                Some((Token::Close(names), _, close)) => {
                    source.push_str(&close);
                    Kind::Group(inner, names)
                }
                _ => return Err((line, "unclosed left paren".to_owned())),
            }
        }
        Token::Close(_) | Token::Pipe | Token::Comma | Token::Declare | Token::Assign => {
            return Err((line, format!("unexpected {} in operand", crate::flags::quote(&source))));
        }
    };
    Ok(Operand { kind, place, source })
}
