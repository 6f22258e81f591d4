//! `SOURCE:TARGET[:MODE]`.

use super::{MountError, PROPAGATIONS, check_target, clean, fail};
use std::path::Path;

/// What a bind's source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindKind {
    /// A path of the host.
    Path,
    /// The name of a volume.
    Volume,
    /// No source: an anonymous volume.
    Anonymous,
}

/// One entry of HostConfig's `Binds`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// What the source is.
    pub kind: BindKind,
    /// Path or name; empty for an anonymous volume.
    pub source: String,
    /// Absolute path in the container.
    pub target: String,
    /// As given.
    pub mode: String,
    /// `ro` was given, or `rro`.
    pub read_only: bool,
    /// `rro` was given: what is mounted below is read-only too, or it is an error.
    pub read_only_below: bool,
    /// `idmap` was given: its files have the container's ids.
    pub mapped: bool,
    /// As given; empty: the default.
    pub propagation: String,
    /// Do not fill the volume from the image.
    pub no_copy: bool,
}

/// True where the mode holds known words, each sort at most once.
pub fn valid_mode(mode: &str) -> bool {
    let mut seen = [false; 6];
    mode.is_empty()
        || mode.split(',').all(|word| {
            let sort = match word {
                "rw" | "ro" | "rro" => 0,
                "z" | "Z" => 1,
                "nocopy" => 2,
                "consistent" | "cached" | "delegated" => 3,
                "idmap" => 5,
                _ if PROPAGATIONS.contains(&word) => 4,
                _ => return false,
            };
            !std::mem::replace(&mut seen[sort], true)
        })
}

/// Parses one entry of HostConfig's `Binds`.
pub fn parse_bind(raw: &str) -> Result<Bind, MountError> {
    let spec = || MountError(format!("invalid volume specification: '{raw}'"));
    let parts: Vec<&str> = raw.splitn(4, ':').collect();
    let (source, target, mode) = match parts.as_slice() {
        ["", ..] | [_, _, _, _] => return Err(spec()),
        [target] => ("", *target, ""),
        [_, mode] if valid_mode(mode) => return Err(spec()),
        [source, target] => (*source, *target, ""),
        [source, target, mode] => (*source, *target, *mode),
        _ => return Err(spec()),
    };
    if !valid_mode(mode) {
        return fail(format!("invalid mode: {mode}"));
    }
    let kind = match source {
        "" => BindKind::Anonymous,
        _ if source.starts_with('/') => BindKind::Path,
        _ => BindKind::Volume,
    };
    let word = if kind == BindKind::Path { "bind" } else { "volume" };
    check_target(target).map_err(|error| MountError(format!("{}: invalid mount config for type \"{word}\": {error}", spec())))?;
    let has = |wanted: &str| mode.split(',').any(|word| word == wanted);
    let propagation = mode.split(',').find(|word| PROPAGATIONS.contains(word)).unwrap_or_default();
    if kind != BindKind::Path && !propagation.is_empty() {
        return fail(format!("{}: invalid mount config for type \"{word}\": field BindOptions must not be specified", spec()));
    }
    if kind == BindKind::Path && has("nocopy") {
        return fail(format!("{}: invalid mount config for type \"bind\": field VolumeOptions must not be specified", spec()));
    }
    Ok(Bind {
        kind,
        source: if kind == BindKind::Path { clean(source) } else { source.into() },
        target: clean(target),
        mode: mode.into(),
        read_only: has("ro") || has("rro"),
        read_only_below: has("rro"),
        mapped: has("idmap"),
        propagation: propagation.into(),
        no_copy: has("nocopy"),
    })
}

/// What `-v` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeFlag {
    /// An entry for HostConfig's `Binds`.
    Bind(String),
    /// A key for Config's `Volumes`.
    Anonymous(String),
}

/// Reads `-v`; a source that starts with a dot is taken from `directory`.
pub fn volume_flag(spec: &str, directory: &Path) -> Result<VolumeFlag, MountError> {
    if spec.is_empty() {
        return fail("invalid empty volume spec");
    }
    if spec.len() <= 2 {
        return Ok(VolumeFlag::Anonymous(spec.into()));
    }
    let parts = fields(spec);
    let wrong = |what: &str| fail(format!("invalid spec: {spec}: {what}"));
    if parts.iter().any(|part| part.is_empty()) {
        return wrong("empty section between colons");
    }
    if parts.len() > 3 {
        return wrong("too many colons");
    }
    if parts.len() == 1 {
        return Ok(VolumeFlag::Anonymous(spec.into()));
    }
    let (source, rest) = spec.split_once(':').unwrap_or((spec, ""));
    if source.starts_with('.') {
        let path = clean(&directory.join(source).to_string_lossy());
        return Ok(VolumeFlag::Bind(format!("{path}:{rest}")));
    }
    Ok(VolumeFlag::Bind(spec.into()))
}

/// The parts between colons. One letter before a colon is a drive of Windows to the docker client, on every system.
fn fields(spec: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut start = 0;
    for (at, _) in spec.match_indices(':') {
        let field = &spec[start..at];
        let drive = field.chars().count() == 1 && field.chars().all(char::is_alphabetic);
        if !drive {
            fields.push(field);
            start = at + 1;
        }
    }
    fields.push(&spec[start..]);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds() {
        let good = |raw: &str| parse_bind(raw).unwrap();
        assert_eq!(good("/a/../b:/c/").source, "/b");
        assert_eq!(good("/a:/c:ro,z,rslave").propagation, "rslave");
        assert!(good("/a:/c:ro").read_only && !good("/a:/c:ro").read_only_below);
        let both = good("/a:/c:rro,idmap");
        assert!(both.read_only && both.read_only_below && both.mapped);
        assert_eq!(good("name:/c").kind, BindKind::Volume);
        assert_eq!(good("/c").kind, BindKind::Anonymous);
        let bad = |raw: &str, expect: &str| assert_eq!(parse_bind(raw).unwrap_err().0, expect);
        bad("", "invalid volume specification: ''");
        bad(":/c", "invalid volume specification: ':/c'");
        bad("/a:rw", "invalid volume specification: '/a:rw'");
        bad("/a:/b:rw:x", "invalid volume specification: '/a:/b:rw:x'");
        bad(
            "/a:/b:nocopy",
            "invalid volume specification: '/a:/b:nocopy': invalid mount config for type \"bind\": field VolumeOptions must not be specified",
        );
        bad("/a:/b:bad", "invalid mode: bad");
        bad("/a:/b:ro,rro", "invalid mode: ro,rro");
        bad("/a:/b:ro,rw", "invalid mode: ro,rw");
        bad(
            "/a:/",
            "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
        );
        bad(
            "/a:b",
            "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute",
        );
    }

    #[test]
    fn flags() {
        let here = Path::new("/home/me");
        let check =
            |spec: &str, expect: Result<VolumeFlag, &str>| assert_eq!(volume_flag(spec, here), expect.map_err(|m| MountError(m.into())));
        check("/a:/b", Ok(VolumeFlag::Bind("/a:/b".into())));
        check("./x:/b:ro", Ok(VolumeFlag::Bind("/home/me/x:/b:ro".into())));
        check(".:/b", Ok(VolumeFlag::Bind("/home/me:/b".into())));
        check("/data", Ok(VolumeFlag::Anonymous("/data".into())));
        check("", Err("invalid empty volume spec"));
        check("aa::b", Err("invalid spec: aa::b: empty section between colons"));
        check("aa:bb:cc:dd", Err("invalid spec: aa:bb:cc:dd: too many colons"));
        check("a:/x", Ok(VolumeFlag::Anonymous("a:/x".into())));
        check("a:/x:ro", Ok(VolumeFlag::Bind("a:/x:ro".into())));
    }
}
