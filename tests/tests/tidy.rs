//! Tidiness: what a reader may rely on in every file, and that the papers match the tree.

use std::path::{Path, PathBuf};

/// Longest file, in lines.
const LONGEST: usize = 900;

/// Code that may start other programs: tools and tests, never the engine. Files outside these directories need a reason here.
const MAY_START_PROGRAMS: &[&str] = &["bench/", "tests/", "xtask/"];
const EXCEPTIONS: &[(&str, &str)] = &[
    ("crates/cli/src/connect.rs", "starts the daemon, which is this very binary"),
    ("crates/cli/src/credentials/helper.rs", "runs the keeper of credentials that the person's configuration names"),
    ("crates/dhow/build.rs", "asks rustc, while the engine is built, what its linker knows"),
    ("crates/files/src/handle.rs", "starts a helper for a copy of files, which is this very binary"),
    ("crates/runtime/src/rootless.rs", "runs newuidmap and newgidmap, which alone may map ids for who is not root"),
    ("crates/shim/src/foreign/program.rs", "runs the OCI runtime that the configuration names, which is what it is asked for"),
    ("crates/shim/src/handle/spawner.rs", "starts the spawner, which is a sealed copy of this very binary"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in the project").to_path_buf()
}

fn files(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("read a directory of the project").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().expect("its type").is_dir() {
            if !name.starts_with('.') && !name.starts_with("target") {
                files(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

/// Every source file of the project: its path from the root, and its text.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    for dir in ["bench", "crates", "tests", "xtask"] {
        files(&root.join(dir), ".rs", &mut found);
    }
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).expect("in the project").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("UTF-8"))
        })
        .collect()
}

fn check(rule: &str, wrong: impl Fn(&str, &str) -> Option<String>) {
    let found: Vec<String> = sources().iter().filter_map(|(name, text)| wrong(name, text).map(|what| format!("{name}: {what}"))).collect();
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn every_module_says_what_it_is() {
    check("a module starts with //!", |_, text| (!text.starts_with("//!")).then(|| "no //! at the top".to_string()));
}

#[test]
fn no_file_is_too_long() {
    check("split long files", |_, text| {
        let lines = text.lines().count();
        (lines > LONGEST).then(|| format!("{lines} lines"))
    });
}

#[test]
fn unsafe_lives_in_sys() {
    check("unsafe only in crates/sys", |name, text| {
        if name.starts_with("crates/sys/") || name == "tests/tests/tidy.rs" {
            return None;
        }
        let keyword =
            |line: &str| ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait"].iter().any(|form| line.contains(form));
        let line = text.lines().position(|line| keyword(code(line)))?;
        Some(format!("line {}", line + 1))
    });
}

#[test]
fn the_engine_starts_no_programs() {
    check("Command::new only in tools and tests", |name, text| {
        if MAY_START_PROGRAMS.iter().any(|dir| name.starts_with(dir)) || EXCEPTIONS.iter().any(|(file, _)| *file == name) {
            return None;
        }
        // Unit tests stand at the end of a file and may compare with other programs.
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        let line = shipped.lines().position(|line| {
            let line = code(line);
            line.contains("Command::new(") && !line.contains("clap::Command::new(")
        })?;
        let is_test = name.contains("/tests/") || name.ends_with("tests.rs");
        (!is_test).then(|| format!("line {}", line + 1))
    });
}

#[test]
fn exceptions_are_needed() {
    for (file, reason) in EXCEPTIONS {
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains("Command::new("), "{file} starts no program any more ({reason}): take it off the list");
    }
}

#[test]
fn nothing_is_left_to_do() {
    check("promises not kept", |name, text| {
        if name == "tests/tests/tidy.rs" {
            return None;
        }
        let line = text.lines().position(|line| ["todo!(", "unimplemented!(", "FIXME", "XXX:"].iter().any(|word| line.contains(word)))?;
        Some(format!("line {}", line + 1))
    });
}

/// A line without its comment. Good enough for words that no string of ours contains together with `//`.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

#[test]
fn the_code_map_names_every_crate() {
    let root = root();
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for entry in std::fs::read_dir(root.join("crates")).expect("crates") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(map.contains(&format!("`crates/{name}`")), "ARCHITECTURE.md does not name `crates/{name}`");
    }
    let named: Vec<&str> = map.split("`crates/").skip(1).filter_map(|rest| rest.split(['`', '/']).next()).collect();
    for name in named {
        assert!(root.join("crates").join(name).is_dir(), "ARCHITECTURE.md names `crates/{name}`, which does not exist");
    }
}

/// Whether the end-to-end tests have a module of this name.
fn module(root: &Path, name: &str) -> bool {
    let dir = root.join("tests/tests/e2e");
    dir.join(format!("{name}.rs")).exists() || dir.join(name).join("mod.rs").exists()
}

#[test]
fn the_papers_name_files_and_tests_that_exist() {
    let root = root();
    let tests: String = sources().into_iter().filter(|(name, _)| name.contains("/tests/")).map(|(_, text)| text).collect();
    let mut papers =
        vec![root.join("README.md"), root.join("ARCHITECTURE.md"), root.join("CONTRIBUTING.md"), root.join("SPECIFICATION.md")];
    files(&root.join("docs"), ".md", &mut papers);
    for paper in papers {
        let text = std::fs::read_to_string(&paper).unwrap_or_else(|error| panic!("{}: {error}", paper.display()));
        for quoted in text.split('`').skip(1).step_by(2) {
            let is_path = ["crates/", "tests/", "xtask/", "bench/", "docs/", ".ci/", ".config/"].iter().any(|dir| quoted.starts_with(dir));
            if is_path && !quoted.contains([' ', '*', '<']) {
                assert!(root.join(quoted).exists(), "{} names {quoted}, which does not exist", paper.display());
            }
            // A test is named by its module and function: `e2e::crash::a_killed_daemon_...`.
            if let Some(test) = quoted.strip_prefix("e2e::") {
                let function = test.rsplit("::").next().unwrap_or_default();
                assert!(
                    tests.contains(&format!("fn {function}(")) || module(&root, function),
                    "{} names the test {quoted}, which does not exist",
                    paper.display()
                );
            }
        }
    }
}
