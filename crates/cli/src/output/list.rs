//! The list commands' way to show rows: a table of fixed columns, `table TEMPLATE`, `json`, or a template.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::output::table;
use crate::template::{Missing, Template, go_json};

/// What a list command shows.
pub(crate) struct List<'a> {
    /// The template of the default table.
    pub(crate) table: &'a str,
    /// Headings by field name.
    pub(crate) headings: &'a [(&'static str, &'static str)],
    /// What Go calls the row's type, for error texts.
    pub(crate) kind: &'static str,
    /// One object of texts for each row.
    pub(crate) rows: Vec<Map<String, Value>>,
}

/// Shows rows by a format as the person gave it; empty means the table.
pub(crate) fn render(list: List<'_>, format: &str) -> Result<String, Error> {
    if format == "json" || format == "{{json .}}" {
        return Ok(list.rows.into_iter().map(|row| go_json(&Value::Object(row)) + "\n").collect());
    }
    let (with_heading, text) = match format.strip_prefix("table") {
        _ if format.is_empty() => (true, list.table.to_owned()),
        Some("") => (true, list.table.to_owned()),
        Some(rest) if rest.starts_with([' ', '\t']) => (true, rest.trim_matches(' ').to_owned()),
        _ => (false, format.trim_matches(' ').to_owned()),
    };
    let text = text.replace("\\t", "\t").replace("\\n", "\n");
    let template = Template::parse("", &text).map_err(failed)?;
    let mut out = String::new();
    if with_heading {
        let headings = list.headings.iter().map(|(field, text)| ((*field).to_owned(), (*text).into())).collect();
        let heading = template.render_heading(&Value::Object(headings), Missing::Type(list.kind));
        out.push_str(&heading.map_err(failed)?);
        out.push('\n');
    }
    for row in list.rows {
        out.push_str(&template.render(&Value::Object(row), Missing::Type(list.kind)).map_err(failed)?);
        out.push('\n');
    }
    Ok(if with_heading { table::align(&out) } else { out })
}

fn failed(error: String) -> Error {
    Error::new(format!("template parsing error: {error}"))
}
