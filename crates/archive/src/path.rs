//! Paths as people write them for a copy: what a trailing `/` or `/.` says is kept when a path is made clean.

/// The last component, trailing slashes aside; `.` of an empty path, `/` of the root.
#[must_use]
pub fn base(path: &[u8]) -> &[u8] {
    if path.is_empty() {
        return b".";
    }
    let end = path.iter().rposition(|&b| b != b'/').map_or(0, |at| at + 1);
    let trimmed = &path[..end];
    match trimmed.iter().rposition(|&b| b == b'/') {
        _ if trimmed.is_empty() => b"/",
        Some(slash) => &trimmed[slash + 1..],
        None => trimmed,
    }
}

/// It ends with a slash, or names a directory by its own `.`: only a directory can be meant.
#[must_use]
pub fn asserts_directory(path: &[u8]) -> bool {
    path.ends_with(b"/") || base(path) == b"."
}

/// Lexically clean, without a trailing slash: `.` and doubled slashes go, `..` takes one back. A relative path stays one.
#[must_use]
pub fn clean(path: &[u8]) -> Vec<u8> {
    let absolute = path.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (absolute, joined.is_empty()) {
        (true, _) => [b"/", &joined[..]].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

/// Clean as seen from the root `/`, with the trailing `/` or `/.` that it was written with.
#[must_use]
pub fn absolute(path: &[u8]) -> Vec<u8> {
    keep_ending(clean(&[b"/", path].concat()), path)
}

/// Gives a path that was made clean the ending of the one that it was made from.
#[must_use]
pub fn keep_ending(mut cleaned: Vec<u8>, original: &[u8]) -> Vec<u8> {
    if base(original) == b"." && base(&cleaned) != b"." {
        if !cleaned.ends_with(b"/") {
            cleaned.push(b'/');
        }
        cleaned.push(b'.');
    }
    if original.ends_with(b"/") && !cleaned.ends_with(b"/") {
        cleaned.push(b'/');
    }
    cleaned
}

/// The directory in which an entry lies, and its name there. `/a/.` is the entry `.` of `/a`; a trailing slash says nothing.
#[must_use]
pub fn split(path: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let cleaned = clean(path);
    if base(path) == b"." {
        return (cleaned, b".".to_vec());
    }
    let name = base(&cleaned).to_vec();
    let end = cleaned.len() - if cleaned == b"/" { 0 } else { name.len() };
    let dir = match &cleaned[..end] {
        b"" => b"."[..].to_vec(),
        b"/" => b"/".to_vec(),
        dir => dir[..dir.len() - 1].to_vec(),
    };
    (dir, name)
}

/// A path below a directory.
#[must_use]
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if dir.ends_with(b"/") || dir.is_empty() { b"" } else { b"/" };
    [dir, slash, name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn last_components() {
        for (path, expect) in
            [("", "."), ("/", "/"), ("//", "/"), ("a", "a"), ("/a/b", "b"), ("/a/b/", "b"), ("/a/.", "."), ("/a/./", "."), (".", ".")]
        {
            assert_eq!(text(base(path.as_bytes())), expect, "{path:?}");
        }
    }

    #[test]
    fn clean_paths() {
        for (path, expect) in [
            ("", "."),
            (".", "."),
            ("/", "/"),
            ("a//b/./c/", "a/b/c"),
            ("/a/../../b", "/b"),
            ("../a/..", ".."),
            ("a/..", "."),
            ("../../x", "../../x"),
        ] {
            assert_eq!(text(&clean(path.as_bytes())), expect, "{path:?}");
        }
    }

    #[test]
    fn endings_are_kept() {
        for (path, expect) in [
            ("a", "/a"),
            ("a/", "/a/"),
            ("/a/.", "/a/."),
            ("/a/./", "/a/./"),
            ("/", "/"),
            (".", "/."),
            ("./", "/./"),
            ("/a/b/..", "/a"),
            ("/a/b/../", "/a/"),
            ("../../etc/passwd", "/etc/passwd"),
        ] {
            assert_eq!(text(&absolute(path.as_bytes())), expect, "{path:?}");
        }
    }

    #[test]
    fn directory_and_entry() {
        for (path, dir, name) in [
            ("/a/b", "/a", "b"),
            ("/a/b/", "/a", "b"),
            ("/a/b/.", "/a/b", "."),
            ("/a", "/", "a"),
            ("/", "/", "/"),
            ("/.", "/", "."),
            ("a", ".", "a"),
            (".", ".", "."),
            ("x/y", "x", "y"),
        ] {
            let (d, n) = split(path.as_bytes());
            assert_eq!((text(&d).as_str(), text(&n).as_str()), (dir, name), "{path:?}");
        }
    }

    #[test]
    fn what_can_only_be_a_directory() {
        for (path, expect) in [("/a", false), ("/a/", true), ("/a/.", true), (".", true), ("/", true), ("a.", false)] {
            assert_eq!(asserts_directory(path.as_bytes()), expect, "{path:?}");
        }
    }
}
