//! `WWW-Authenticate`: how a registry wants to be told who asks.

/// One way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token from another server.
    Bearer {
        /// Where the token is to be had.
        realm: String,
        /// For whom it is.
        service: Option<String>,
        /// What it is to allow.
        scope: Option<String>,
    },
}

/// Longest header that is read.
const HEADER_MAX: usize = 8192;

impl Challenge {
    /// The ways that a header's value names. What is not understood is passed over.
    #[must_use]
    pub fn parse(header: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let mut rest = header.get(..header.len().min(HEADER_MAX)).unwrap_or_default().trim();
        while !rest.is_empty() {
            let (scheme, after) = rest.split_once([' ', ',']).unwrap_or((rest, ""));
            let (parameters, after) = parameters(after);
            let get = |name: &str| parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
            if scheme.eq_ignore_ascii_case("basic") {
                found.push(Self::Basic);
            } else if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = get("realm")
            {
                found.push(Self::Bearer { realm, service: get("service"), scope: get("scope") });
            }
            rest = after.trim_start_matches([',', ' ']);
        }
        found
    }
}

/// `key="value", key=value` up to where another scheme begins, and what follows.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim();
        if key.is_empty() || key.contains([' ', ',', '"']) {
            break;
        }
        let (value, after) = value(after);
        found.push((key.to_owned(), value));
        rest = after.trim_start_matches([' ', ',']);
    }
    (found, rest)
}

/// A word, or a text in quotes with its escapes undone; and what follows.
fn value(text: &str) -> (String, &str) {
    let Some(inner) = text.trim_start().strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut out = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (out, &inner[at + 1..]),
            '\\' => out.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => out.push(character),
        }
    }
    (out, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.into(),
            service: service.map(Into::into),
            scope: scope.map(Into::into),
        };
        for (header, expect) in [
            ("Basic realm=\"x\"", vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                r#"Bearer realm="https://a/token",service="r.a",scope="repository:x:pull,push""#,
                vec![bearer("https://a/token", Some("r.a"), Some("repository:x:pull,push"))],
            ),
            (r#"Bearer service=r , realm="https://a/\"b""#, vec![bearer("https://a/\"b", Some("r"), None)]),
            (r#"Negotiate, Basic realm="x", Bearer realm="https://a""#, vec![Challenge::Basic, bearer("https://a", None, None)]),
            ("Bearer service=\"r\"", vec![]),
            ("Bearer realm=\"unclosed", vec![bearer("unclosed", None, None)]),
            ("", vec![]),
            (",,, = =", vec![]),
        ] {
            assert_eq!(Challenge::parse(header), expect, "{header}");
        }
    }
}
