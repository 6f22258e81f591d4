//! The flags of a command as its help shows them: two columns, the second one wrapped.

use super::Flag;

/// The width that help is wrapped to: the terminal's, or 80 columns.
pub(crate) fn wrap_width() -> usize {
    match crate::terminal::size_of_stdout() {
        Some((_, columns)) if columns > 0 => usize::from(columns),
        _ => 80,
    }
}

/// One line or more for each flag that is not hidden, in the order of their names.
pub(crate) fn flag_usages(flags: &[Flag], width: usize) -> String {
    // Where -h means something else, the long form is worth a line.
    let help = super::switch("help", "Print usage");
    let mut shown: Vec<&Flag> = flags.iter().filter(|flag| !flag.hidden).collect();
    if flags.iter().any(|flag| flag.short == Some('h')) {
        shown.push(&help);
    }
    shown.sort_by_key(|flag| flag.long);
    let heads: Vec<String> = shown.iter().map(|flag| head(flag)).collect();
    let column = heads.iter().map(|head| head.len()).max().unwrap_or(0) + 3;
    let mut out = String::new();
    for (flag, head) in shown.iter().zip(&heads) {
        let mut text = flag.help.to_owned();
        if !flag.default.is_empty() {
            let quoted = if flag.value == "string" { super::quote(flag.default) } else { flag.default.to_owned() };
            text.push_str(&format!(" (default {quoted})"));
        }
        out.push_str(&format!("{head:column$}{}\n", wrap(&text, column, width)));
    }
    out
}

fn head(flag: &Flag) -> String {
    let mut head = match flag.short {
        Some(letter) => format!("  -{letter}, --{}", flag.long),
        None => format!("      --{}", flag.long),
    };
    if !flag.value.is_empty() {
        head.push(' ');
        head.push_str(flag.value);
    }
    head
}

/// Breaks a text into lines that end before `width` when they start at `column`; line feeds in it stay.
fn wrap(text: &str, column: usize, width: usize) -> String {
    let room = width.saturating_sub(column).max(24);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.len() + 1 + word.len() > room {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.join(&format!("\n{:column$}", ""))
}
