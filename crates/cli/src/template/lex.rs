//! Cutting a template into text and the words of its actions.

/// A place in the template: line from 1, column as Go counts it, from 0 behind the last line feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A word inside an action.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// `.a.b`, or `.` alone (no names).
    Field(Vec<String>),
    /// `$x.a`.
    Variable(String, Vec<String>),
    /// A function or key word.
    Word(String),
    Text(String),
    Int(i64),
    Float(f64),
    Open,
    /// `)`, possibly followed by fields: `).a.b`.
    Close(Vec<String>),
    Pipe,
    Comma,
    Declare,
    Assign,
}

/// A piece of the template.
#[derive(Debug)]
pub(super) enum Piece {
    Text(String),
    Action(Vec<(Token, Place, String)>, usize),
}

pub(super) type Problem = (usize, String);

/// Cuts the whole template.
pub(super) fn lex(text: &str) -> Result<Vec<Piece>, Problem> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    loop {
        let Some(open) = text[at..].find("{{").map(|found| at + found) else {
            push_text(&mut pieces, &text[at..], trim_next, false);
            return Ok(pieces);
        };
        let mut inner = open + 2;
        let trim_left = text[inner..].starts_with('-') && starts_with_space(&text[inner + 1..]);
        push_text(&mut pieces, &text[at..open], trim_next, trim_left);
        if trim_left {
            inner += 1;
        }
        let body = text[inner..].trim_start();
        let start = text.len() - body.len();
        let line = line_of(text, start);
        if body.starts_with("/*") {
            let end = body.find("*/").ok_or((line, "unclosed comment".to_owned()))? + start + 2;
            (at, trim_next) = close(text, end).ok_or((line, "comment ends before closing delimiter".to_owned()))?;
            continue;
        }
        let (tokens, end) = tokens(text, start)?;
        (at, trim_next) = close(text, end).ok_or((line, "unclosed action".to_owned()))?;
        pieces.push(Piece::Action(tokens, line));
    }
}

fn starts_with_space(text: &str) -> bool {
    text.starts_with([' ', '\t', '\n', '\r'])
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, trim_start: bool, trim_end: bool) {
    let text = if trim_start { text.trim_start() } else { text };
    let text = if trim_end { text.trim_end() } else { text };
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// Where the text goes on behind `}}` or ` -}}`.
fn close(text: &str, at: usize) -> Option<(usize, bool)> {
    let rest = text[at..].trim_start();
    let spaced = rest.len() < text.len() - at;
    if spaced && rest.starts_with("-}}") {
        return Some((text.len() - rest.len() + 3, true));
    }
    rest.starts_with("}}").then(|| (text.len() - rest.len() + 2, false))
}

pub(super) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn place(text: &str, at: usize) -> Place {
    let column = at - text[..at].rfind('\n').map_or(0, |feed| feed + 1);
    Place { line: line_of(text, at), column }
}

type Tokens = Vec<(Token, Place, String)>;

fn tokens(text: &str, start: usize) -> Result<(Tokens, usize), Problem> {
    let mut out = Vec::new();
    let mut at = start;
    loop {
        // A blank before `-}}` is part of how an action ends.
        let end = at;
        let rest = text[at..].trim_start();
        at = text.len() - rest.len();
        let line = line_of(text, at);
        if rest.is_empty() {
            return Err((line, "unclosed action".to_owned()));
        }
        if rest.starts_with("}}") || rest.starts_with("-}}") {
            return Ok((out, end));
        }
        let (token, length) = token(rest).map_err(|what| (line, what))?;
        out.push((token, place(text, at), rest[..length].to_owned()));
        at += length;
    }
}

fn token(rest: &str) -> Result<(Token, usize), String> {
    let first = rest.chars().next().unwrap_or(' ');
    match first {
        '|' => Ok((Token::Pipe, 1)),
        ',' => Ok((Token::Comma, 1)),
        '(' => Ok((Token::Open, 1)),
        ')' => {
            let (names, length) = fields(&rest[1..]);
            Ok((Token::Close(names), 1 + length))
        }
        ':' if rest.starts_with(":=") => Ok((Token::Declare, 2)),
        '=' => Ok((Token::Assign, 1)),
        '"' => quoted(rest),
        '`' => {
            let end = rest[1..].find('`').ok_or("unterminated raw quoted string")?;
            Ok((Token::Text(rest[1..=end].to_owned()), end + 2))
        }
        '\'' => character(rest),
        '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            let (names, length) = fields(rest);
            Ok((Token::Field(names), length.max(1)))
        }
        '$' => {
            let length = word_length(&rest[1..]);
            let (names, more) = fields(&rest[1 + length..]);
            Ok((Token::Variable(rest[1..=length].to_owned(), names), 1 + length + more))
        }
        c if c.is_ascii_digit() || matches!(c, '.' | '-' | '+') => number(rest),
        c if c.is_alphabetic() || c == '_' => {
            let length = word_length(rest);
            Ok((Token::Word(rest[..length].to_owned()), length))
        }
        c => Err(format!("unexpected {} in command", crate::flags::quote(&c.to_string()))),
    }
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

/// `.a.b`: the names, and how long that is.
fn fields(text: &str) -> (Vec<String>, usize) {
    let mut names = Vec::new();
    let mut at = 0;
    while text[at..].starts_with('.') {
        let length = word_length(&text[at + 1..]);
        if length == 0 {
            break;
        }
        names.push(text[at + 1..=at + length].to_owned());
        at += 1 + length;
    }
    (names, at)
}

fn number(rest: &str) -> Result<(Token, usize), String> {
    let length =
        rest.char_indices().skip(1).find(|(_, c)| !(c.is_alphanumeric() || *c == '.' || *c == '_')).map_or(rest.len(), |(at, _)| at);
    let text = &rest[..length];
    if let Ok(number) = text.parse() {
        return Ok((Token::Int(number), length));
    }
    match text.parse() {
        Ok(number) => Ok((Token::Float(number), length)),
        Err(_) => Err(format!("bad number syntax: {}", crate::flags::quote(text))),
    }
}

fn character(rest: &str) -> Result<(Token, usize), String> {
    let mut chars = rest[1..].chars();
    match (chars.next(), chars.next()) {
        (Some(c), Some('\'')) if c != '\\' => Ok((Token::Int(i64::from(u32::from(c))), 2 + c.len_utf8())),
        _ => Err("malformed character constant".to_owned()),
    }
}

fn quoted(rest: &str) -> Result<(Token, usize), String> {
    let mut out = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Text(out), at + 1)),
            '\n' => break,
            '\\' => match chars.next().map(|(_, escaped)| escaped) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => break,
            },
            other => out.push(other),
        }
    }
    Err("unterminated quoted string".to_owned())
}
