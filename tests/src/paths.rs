//! Where the programs under test, the images and the clients are.

use std::path::{Path, PathBuf};

/// The `dhow` under test: `DHOW_BIN`, else the one built beside this test.
pub fn dhow() -> PathBuf {
    beside("DHOW_BIN", "dhow", "cargo build -p dhow")
}

/// The hostile program: `DHOW_ATTACKER`, else the one built beside this test.
pub fn attacker() -> PathBuf {
    beside("DHOW_ATTACKER", "attacker", "cargo build -p dhow-tests --bin attacker")
}

fn beside(variable: &str, name: &str, hint: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().expect("the path of this test");
    let dir = test.parent().and_then(Path::parent).expect("target/<triple>/<profile>/deps/<test>");
    let path = dir.join(name);
    assert!(path.is_file(), "{} is missing: run `{hint}` (or `cargo xtask test`)", path.display());
    path
}

/// The archive of a test image, such as `busybox`.
pub fn image(name: &str) -> PathBuf {
    let dir = std::env::var_os("DHOW_IMAGES").map(PathBuf::from).unwrap_or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
        cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache")).join("dhow/images")
    });
    let path = dir.join(format!("{name}.tar"));
    assert!(path.is_file(), "{} is missing: run `cargo xtask images`", path.display());
    path
}

/// A program of the host, if it is installed.
pub fn program(name: &str) -> Option<PathBuf> {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.is_file())
}
