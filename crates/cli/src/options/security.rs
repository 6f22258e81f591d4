//! Capabilities and `--security-opt`.

use super::values::os_error;

/// Names of capabilities as the API takes them: upper case with `CAP_`, sorted, once each, `ALL` first.
pub(super) fn capabilities(given: &[String]) -> Option<Vec<String>> {
    let mut names: Vec<String> = given.iter().map(|name| normal(name)).collect();
    names.sort();
    names.dedup();
    super::values::some_if_any(names)
}

fn normal(name: &str) -> String {
    let name = name.trim().to_ascii_uppercase();
    if name == "ALL" || name == "RESET" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
}

/// Security options with the seccomp profile's text in place of its path, and whether the system paths are to be open.
pub(super) fn options(given: &[String]) -> Result<(Vec<String>, bool), String> {
    let mut out = Vec::new();
    let mut open_paths = false;
    for option in given {
        if option == "systempaths=unconfined" {
            open_paths = true;
            continue;
        }
        let split = option.split_once('=').or_else(|| option.split_once(':'));
        let (key, value) = split.unwrap_or((option, ""));
        // It alone needs no value.
        if value.is_empty() && key != "no-new-privileges" {
            return Err(format!("Invalid --security-opt: {}", crate::flags::quote(option)));
        }
        if key != "seccomp" || matches!(value, "unconfined" | "builtin") {
            out.push(option.clone());
            continue;
        }
        out.push(format!("seccomp={}", profile(value)?));
    }
    Ok((out, open_paths))
}

fn profile(path: &str) -> Result<String, String> {
    let text =
        std::fs::read(path).map_err(|error| format!("opening seccomp profile ({path}) failed: open {path}: {}", os_error(&error)))?;
    let value: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| format!("compacting json for seccomp profile ({path}) failed: {error}"))?;
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn names() {
        assert_eq!(capabilities(&words(&["net_admin", "ALL", "CAP_B", "cap_b"])).unwrap(), ["ALL", "CAP_B", "CAP_NET_ADMIN"]);
        assert_eq!(capabilities(&words(&[""])).unwrap(), ["CAP_"]);
        assert_eq!(capabilities(&[]), None);
    }

    #[test]
    fn profiles() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\n \"b\": 1, \"a\": []\n}").unwrap();
        let given = words(&["no-new-privileges", "systempaths=unconfined", &format!("seccomp={}", file.path().display())]);
        assert_eq!(options(&given).unwrap(), (words(&["no-new-privileges", "seccomp={\"b\":1,\"a\":[]}"]), true));
        for bad in ["foo", "label=", "seccomp=", ""] {
            assert_eq!(options(&words(&[bad])).unwrap_err(), format!("Invalid --security-opt: \"{bad}\""));
        }
        assert_eq!(
            options(&words(&["seccomp=/nope"])).unwrap_err(),
            "opening seccomp profile (/nope) failed: open /nope: no such file or directory"
        );
    }
}
