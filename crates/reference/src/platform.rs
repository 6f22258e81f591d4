//! Platforms as people write them: `linux/arm64/v8`, `linux`, `arm64`, with Docker's words for what is none (containerd/platforms).

use std::fmt;

const SYSTEMS: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

const ARCHITECTURES: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

/// This machine's architecture, as Go calls it.
#[must_use]
pub fn host_architecture() -> String {
    usual(std::env::consts::ARCH, "").0
}

/// A platform with the names that Go has for its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// Of the operating system; mostly empty.
    pub os_version: String,
    /// `amd64`.
    pub architecture: String,
    /// `v7`; empty where the architecture's usual one is meant.
    pub variant: String,
}

impl Platform {
    /// Reads one. What is left out of it is this machine's.
    ///
    /// # Errors
    /// It is none, in Docker's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = |why: String| Err(format!("{why}: invalid argument"));
        if text.contains('*') {
            return refused(format!("{text:?}: wildcards not yet supported"));
        }
        let parts: Vec<&str> = text.splitn(4, '/').collect();
        let Some((os, os_version)) = system(parts[0]) else {
            let rule = r#"OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.-]*)\\))?$""#;
            return refused(format!("{:?} is an invalid OS component of {text:?}: {rule}", parts[0]));
        };
        let plain = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if let Some(part) = parts[1..].iter().find(|part| !plain(part)) {
            let rule = r#"platform specifier component must match "^[A-Za-z0-9_.-]+$""#;
            return refused(format!("{part:?} is an invalid component of {text:?}: {rule}"));
        }
        let made =
            |os: String, (architecture, variant): (String, String)| Ok(Self { os, os_version: os_version.into(), architecture, variant });
        match parts[..] {
            [_] if SYSTEMS.contains(&os.as_str()) => made(os, usual(std::env::consts::ARCH, "")),
            [one] => {
                let found = usual(one, "");
                if !ARCHITECTURES.contains(&found.0.as_str()) {
                    return refused(format!("{text:?}: unknown operating system or architecture"));
                }
                made(std::env::consts::OS.into(), found)
            }
            [_, architecture] => made(os, usual(architecture, "")),
            [_, architecture, variant] => {
                let (architecture, mut variant) = normal(architecture, variant);
                if architecture == "arm64" && variant.is_empty() {
                    variant = "v8".into();
                }
                made(os, (architecture, variant))
            }
            _ => refused(format!("{text:?}: cannot parse platform specifier")),
        }
    }
}

impl fmt::Display for Platform {
    /// `linux/arm/v6`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// `NAME` or `NAME(VERSION)`.
fn system(part: &str) -> Option<(String, &str)> {
    let plain = |text: &str, more: &[u8]| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte));
    let (name, version) = match part.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')')?),
        None => (part, ""),
    };
    if name.is_empty() || !plain(name, b"_-") || !plain(version, b"_.-") {
        return None;
    }
    let name = name.to_ascii_lowercase();
    Some((if name == "macos" { "darwin".into() } else { name }, version))
}

/// An architecture and a variant, of which the usual one is left out.
fn usual(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = normal(architecture, variant);
    let variant = if architecture == "arm" && variant == "v7" { String::new() } else { variant };
    (architecture, variant)
}

/// The names that Go has for an architecture and its variant.
fn normal(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_ascii_lowercase(), variant.to_ascii_lowercase());
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", other) => ("amd64", other),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64" | "arm64", other) => ("arm64", other),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.into(), variant.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        let host = host_architecture();
        let check =
            |text: &str, expect: &str| assert_eq!(Platform::parse(text).map(|found| found.to_string()), Ok(expect.into()), "{text}");
        check("linux/arm64/v8", "linux/arm64/v8");
        check("linux/arm64/8", "linux/arm64/v8");
        check("linux/arm64", "linux/arm64");
        check("linux", &format!("linux/{host}"));
        check("Linux/X86_64", "linux/amd64");
        check("linux/amd64/v1", "linux/amd64");
        check("aarch64", "linux/arm64");
        check("armhf", "linux/arm");
        check("armel", "linux/arm/v6");
        check("linux/arm/v7", "linux/arm/v7");
        check("linux/arm/6", "linux/arm/v6");
        check("linux/i386/x", "linux/386");
        check("riscv", "linux/riscv");
        check("macos/arm64", "darwin/arm64");
        check("a/b", "a/b");
        assert_eq!(Platform::parse("windows(10.0.17763)/amd64").map(|found| found.os_version), Ok("10.0.17763".into()));
        assert_eq!(Platform::parse("linux()").map(|found| found.os_version), Ok(String::new()));
    }

    #[test]
    fn what_is_none() {
        let check = |text: &str, expect: &str| assert_eq!(Platform::parse(text), Err(format!("{expect}: invalid argument")), "{text}");
        check("bogus", r#""bogus": unknown operating system or architecture"#);
        check("a/b/c/d", r#""a/b/c/d": cannot parse platform specifier"#);
        check("linux/*", r#""linux/*": wildcards not yet supported"#);
        let rule = r#"platform specifier component must match "^[A-Za-z0-9_.-]+$""#;
        check("linux/", &format!(r#""" is an invalid component of "linux/": {rule}"#));
        check("linux/a b", &format!(r#""a b" is an invalid component of "linux/a b": {rule}"#));
        check("a/b/c/d/e", &format!(r#""d/e" is an invalid component of "a/b/c/d/e": {rule}"#));
        let rule = r#"OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.-]*)\\))?$""#;
        for os in ["", "bb.tar", "linux(", "linux(1", "linux)", "(1)", "linux(1)x"] {
            check(os, &format!("{os:?} is an invalid OS component of {os:?}: {rule}"));
        }
    }
}
