//! Variables and labels: from flags and from files.

use crate::error::Error;

use super::values::os_error;

/// A line of an environment file may be this long.
const MAX_LINE: usize = 64 * 1024;

/// A variable must have a name.
pub(crate) fn check_env(text: &str) -> Result<(), String> {
    if text.is_empty() || text.starts_with('=') {
        return Err(format!("invalid environment variable: {text}"));
    }
    Ok(())
}

/// A label must have a name.
pub(super) fn check_label(text: &str) -> Result<(), String> {
    if text.is_empty() || text.starts_with('=') { Err(format!("invalid label '{text}': empty name")) } else { Ok(()) }
}

/// Variables of files, then of flags. A bare name takes the client's value and stays bare without one.
pub(crate) fn read_environment(files: &[String], given: &[String]) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for file in files {
        all.extend(read_file(file, true)?);
    }
    all.extend(given.iter().map(|variable| with_value(variable)));
    Ok(all)
}

/// Labels of files, then of flags.
pub(super) fn read_labels(files: &[String], given: &[String]) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for file in files {
        all.extend(read_file(file, false)?);
    }
    all.extend(given.iter().cloned());
    Ok(all)
}

fn with_value(variable: &str) -> String {
    if variable.contains('=') {
        return variable.to_owned();
    }
    match std::env::var_os(variable) {
        Some(value) => format!("{variable}={}", value.to_string_lossy()),
        None => variable.to_owned(),
    }
}

fn read_file(file: &str, variables: bool) -> Result<Vec<String>, Error> {
    let text = std::fs::read(file).map_err(|error| Error::new(format!("open {file}: {}", os_error(&error))))?;
    parse_lines(&text, variables).map_err(|error| Error::new(format!("invalid env file ({file}): {error}")))
}

/// Lines of `KEY=value`; `#` starts a comment line. A bare name is left out unless it is a variable that the client has.
fn parse_lines(text: &[u8], variables: bool) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if line.len() > MAX_LINE {
            return Err("bufio.Scanner: token too long".to_owned());
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line).map_err(|_| {
            let bytes: Vec<String> = line.iter().map(ToString::to_string).collect();
            format!("invalid utf8 bytes at line {}: [{}]", at + 1, bytes.join(" "))
        })?;
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (line, None),
        };
        if name.trim_start().is_empty() {
            return Err(format!("no variable name on line '{line}'"));
        }
        if name.contains(char::is_whitespace) {
            return Err(format!("variable '{name}' contains whitespaces"));
        }
        match value {
            Some(value) => all.push(format!("{name}={value}")),
            None if variables => all.extend(Some(with_value(name)).filter(|text| text.contains('='))),
            None => {}
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_file() {
        let text = b"\xef\xbb\xbfA=1\n# note\n\n  B= x y \nPATH\nNOBODY_SETS_THIS\n";
        let lines = parse_lines(text, true).unwrap();
        assert_eq!(lines[..2], ["A=1", "B= x y "]);
        assert!(lines[2].starts_with("PATH="));
        assert_eq!(lines.len(), 3);
        assert_eq!(parse_lines(b"a\nb=c", false).unwrap(), ["b=c"]);
        let error = |text: &[u8]| parse_lines(text, true).unwrap_err();
        assert_eq!(error(b"=x"), "no variable name on line '=x'");
        assert_eq!(error(b"a=b\n\xff=1\n"), "invalid utf8 bytes at line 2: [255 61 49]");
        assert_eq!(error(&[b'x'; 70_000]), "bufio.Scanner: token too long");
        assert_eq!(error(b"a b=x"), "variable 'a b' contains whitespaces");
    }
}
