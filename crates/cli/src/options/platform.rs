//! `--platform`: an operating system and an architecture, one of which may be left out.

const SYSTEMS: &[&str] =
    &["aix", "android", "darwin", "freebsd", "illumos", "ios", "js", "linux", "netbsd", "openbsd", "plan9", "solaris", "windows"];

const ARCHITECTURES: &[&str] =
    &["386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x", "wasm"];

/// Writes a platform out: `linux` becomes `linux/amd64`, `aarch64` becomes `linux/arm64`.
pub(crate) fn platform(text: &str) -> Result<String, String> {
    let invalid = |why: &str| format!("error parsing specified platform: {}: {why}: invalid argument", crate::flags::quote(text));
    let parts: Vec<&str> = text.split('/').collect();
    let usable = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if parts.len() > 3 || !parts.iter().all(usable) {
        return Err(invalid("unknown operating system or architecture"));
    }
    let lower: Vec<String> = parts.iter().map(|part| part.to_ascii_lowercase()).collect();
    Ok(match lower.as_slice() {
        [system] if SYSTEMS.contains(&system.as_str()) => format!("{system}/{}", host()),
        [one] if ARCHITECTURES.contains(&architecture(one)) => format!("linux/{}", architecture(one)),
        [_] => return Err(invalid("unknown operating system or architecture")),
        [system, second] => format!("{system}/{}", architecture(second)),
        [system, second, variant] => format!("{system}/{}/{variant}", architecture(second)),
        _ => return Err(invalid("unknown operating system or architecture")),
    })
}

/// The architecture of this machine, as Go calls it.
pub(crate) fn host() -> &'static str {
    architecture(std::env::consts::ARCH)
}

fn architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "x86" => "386",
        "armhf" | "armel" => "arm",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let check = |text: &str, expect: &str| assert_eq!(platform(text).unwrap_or_else(|error| error), expect);
        check("linux/arm64/v8", "linux/arm64/v8");
        check("linux", &format!("linux/{}", host()));
        check("aarch64", "linux/arm64");
        check("Linux/x86_64", "linux/amd64");
        check("foo", "error parsing specified platform: \"foo\": unknown operating system or architecture: invalid argument");
        check("a/b/c/d", "error parsing specified platform: \"a/b/c/d\": unknown operating system or architecture: invalid argument");
    }
}
