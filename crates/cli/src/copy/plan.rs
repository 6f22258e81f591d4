//! Docker's rules of what a copy makes of its two ends. Pure.
//!
//! An archive of a directory begins with the directory's name, one of `DIR/.` with `.`, one of a file is the file. It is unpacked as it is
//! into a directory that exists; into the destination's parent, by the destination's name, where it does not.

use dhow_archive::path;

/// One end of a copy, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End<'a> {
    /// A path here; `-` is an archive on standard input or output.
    Here(&'a str),
    /// A path in a container.
    There {
        /// Its name.
        container: &'a str,
        /// In it.
        path: &'a str,
    },
}

/// Takes `CONTAINER:PATH` apart. A path that begins with a slash or a dot is always one here.
pub(crate) fn end(text: &str) -> End<'_> {
    match text.split_once(':') {
        Some((container, path)) if !container.is_empty() && !text.starts_with(['/', '.']) => End::There { container, path },
        _ => End::Here(text),
    }
}

/// Where a copy is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The path, links at its end followed.
    pub(crate) path: Vec<u8>,
    /// What is there.
    pub(crate) found: Found,
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory,
    /// Something else.
    Other,
}

/// What is to be unpacked where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The directory.
    pub(crate) dir: Vec<u8>,
    /// By which name; `None`: by its own.
    pub(crate) name: Option<Vec<u8>>,
}

/// Decides. The error is in Docker's words.
pub(crate) fn plan(source_is_dir: bool, target: &Target) -> Result<Plan, &'static str> {
    match target.found {
        Found::Directory => return Ok(Plan { dir: target.path.clone(), name: None }),
        Found::Other if source_is_dir => return Err("cannot copy directory"),
        Found::Nothing if !source_is_dir && path::asserts_directory(&target.path) => return Err("no such directory"),
        Found::Other | Found::Nothing => {}
    }
    let (dir, name) = path::split(&target.path);
    Ok(Plan { dir, name: Some(name) })
}

/// What the members of an engine's archive begin with, and what they are to begin with here. `asked` is the path that the engine was asked
/// for, `known_as` the last component of the path that the person typed.
pub(crate) fn renames(asked: &[u8], known_as: &[u8], plan: &Plan) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_, mut old) = path::split(asked);
    if old == b"/" {
        old.clear();
    }
    let new = match &plan.name {
        Some(name) => name.clone(),
        None if known_as != path::base(asked) => known_as.to_vec(),
        None => return None,
    };
    Some((old, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        let there = |container, path| End::There { container, path };
        for (text, expect) in [
            ("c:/x", there("c", "/x")),
            ("c:x", there("c", "x")),
            ("c:", there("c", "")),
            ("c:/a:b", there("c", "/a:b")),
            ("/a:b", End::Here("/a:b")),
            ("./a:b", End::Here("./a:b")),
            (".a:b", End::Here(".a:b")),
            (":x", End::Here(":x")),
            ("x", End::Here("x")),
            ("-", End::Here("-")),
        ] {
            assert_eq!(end(text), expect, "{text}");
        }
    }

    /// Docker's table: source file or directory; destination missing, file or directory; with and without what asserts a directory.
    #[test]
    fn the_rules_of_a_copy() {
        use Found::{Directory, Nothing, Other};
        let check = |is_dir: bool, path: &str, found: Found, expect: Result<(&str, Option<&str>), &'static str>| {
            let target = Target { path: path.into(), found };
            let got = plan(is_dir, &target);
            let expect = expect.map(|(dir, name)| Plan { dir: dir.into(), name: name.map(|n| n.as_bytes().to_vec()) });
            assert_eq!(got, expect, "directory {is_dir}, {path} {found:?}");
        };
        check(false, "/d/f", Nothing, Ok(("/d", Some("f"))));
        check(false, "/d/f/", Nothing, Err("no such directory"));
        check(false, "/d/f/.", Nothing, Err("no such directory"));
        check(false, "/d/f", Other, Ok(("/d", Some("f"))));
        check(false, "/d", Directory, Ok(("/d", None)));
        check(false, "/d/", Directory, Ok(("/d/", None)));
        check(false, "/f", Nothing, Ok(("/", Some("f"))));
        check(true, "/d/x", Nothing, Ok(("/d", Some("x"))));
        check(true, "/d/x/", Nothing, Ok(("/d", Some("x"))));
        check(true, "/d/f", Other, Err("cannot copy directory"));
        check(true, "/d/x", Directory, Ok(("/d/x", None)));
        check(true, "/d/x/.", Directory, Ok(("/d/x/.", None)));
    }

    #[test]
    fn names_in_an_archive() {
        let check = |asked: &str, known_as: &str, name: Option<&str>, expect: Option<(&str, &str)>| {
            let plan = Plan { dir: "/d".into(), name: name.map(|n| n.as_bytes().to_vec()) };
            let got = renames(asked.as_bytes(), known_as.as_bytes(), &plan);
            assert_eq!(got, expect.map(|(a, b)| (a.as_bytes().to_vec(), b.as_bytes().to_vec())), "{asked} as {known_as} to {name:?}");
        };
        check("/etc", "etc", None, None);
        check("/etc/", "etc", None, None);
        check("/etc", "etc", Some("new"), Some(("etc", "new")));
        check("/etc/.", ".", Some("new"), Some((".", "new")));
        check("/etc/.", ".", None, None);
        check("/", "/", Some("new"), Some(("", "new")));
        check("/real", "link", None, Some(("real", "link")));
        check("/real", "link", Some("new"), Some(("real", "new")));
    }
}
