//! Names of members, made into components.

/// Splits a name into components, as Docker cleans it: `.` and empty ones are nothing, `..` takes one back. A name that leaves the root is
/// an error, an absolute one starts at the root.
#[must_use]
pub fn clean(name: &[u8]) -> Option<Vec<Vec<u8>>> {
    let absolute = name.starts_with(b"/");
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for part in name.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() && !absolute {
                    return None;
                }
            }
            part => parts.push(part.to_vec()),
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_lexically() {
        let check = |name: &str, expect: Option<&str>| {
            let got = clean(name.as_bytes()).map(|p| String::from_utf8(p.join(&b'/')).unwrap());
            assert_eq!(got.as_deref(), expect, "{name}");
        };
        check("a/b", Some("a/b"));
        check("./a//b/", Some("a/b"));
        check("/a", Some("a"));
        check("a/../b", Some("b"));
        check("", Some(""));
        check("./", Some(""));
        check("..", None);
        check("a/../../b", None);
        check("/../b", Some("b"));
        check("..a/b..", Some("..a/b.."));
    }
}
