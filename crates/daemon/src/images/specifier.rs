//! Platforms as people write them: `linux/arm64/v8`, `linux`, `arm64`.

use crate::error::{Failure, Result};

/// Systems and architectures that may stand alone.
const ALONE: [&str; 53] = [
    "386",
    "aarch64",
    "aix",
    "amd64",
    "amd64p32",
    "android",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "armel",
    "armhf",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "i386",
    "illumos",
    "ios",
    "js",
    "linux",
    "loong64",
    "macos",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "solaris",
    "sparc",
    "sparc64",
    "wasm",
    "windows",
    "x86-64",
    "x86_64",
    "zos",
    "AMD64",
    "ARM64",
    "Linux",
    "X86_64",
    "Windows",
];

/// Refuses, in Docker's words, what is no platform.
pub(crate) fn check(text: &str) -> Result<()> {
    let refused = |what: String| Err(Failure::invalid(format!("{what}: invalid argument")));
    if text.contains('*') {
        return refused(format!("{text:?}: wildcards not yet supported"));
    }
    let parts: Vec<&str> = text.splitn(4, '/').collect();
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if let Some(part) = parts.iter().find(|part| !plain(part.split('/').next().unwrap_or_default())) {
        let rule = "platform specifier component must match \"^[A-Za-z0-9_.-]+$\"";
        return refused(format!("{part:?} is an invalid component of {text:?}: {rule}"));
    }
    match parts.as_slice() {
        [one] if !ALONE.contains(one) => refused(format!("{text:?}: unknown operating system or architecture")),
        [_] | [_, _] | [_, _, _] => Ok(()),
        _ => refused(format!("{text:?}: cannot parse platform specifier")),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_may_be_written() {
        let is =
            |text: &str, expect: &str| assert_eq!(check(text).map_or_else(|error| error.0.message, |()| String::new()), expect, "{text}");
        is("linux/arm64/v8", "");
        is("linux", "");
        is("x86_64", "");
        is("a/b", "");
        is("a", "\"a\": unknown operating system or architecture: invalid argument");
        is("a/b/c/d", "\"a/b/c/d\": cannot parse platform specifier: invalid argument");
        is("linux/*", "\"linux/*\": wildcards not yet supported: invalid argument");
        let rule = "platform specifier component must match \"^[A-Za-z0-9_.-]+$\": invalid argument";
        is("linux/a b", &format!("\"a b\" is an invalid component of \"linux/a b\": {rule}"));
    }
}
