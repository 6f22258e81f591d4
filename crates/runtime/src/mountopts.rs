//! The options of a mount, as in fstab, parsed into attributes, propagation and what is left for the filesystem.

use dhow_sys::mount::{self, Attr, Propagation};
use oci_spec::runtime::Mount;

/// Whether a mount shows what there is already, in another place.
pub fn is_bind(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("bind") || mount.options().iter().flatten().any(|option| option == "bind" || option == "rbind")
}

/// What the options of one mount ask for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Attributes to set.
    pub(crate) set: Attr,
    /// Attributes to clear (on a bind, which inherits its source's).
    pub(crate) clear: Attr,
    /// Asked for with `bind`, `rbind`: whether with the mounts below.
    pub(crate) bind: Option<bool>,
    /// Asked-for propagation, and whether for the mounts below, too.
    pub(crate) propagation: Option<(Propagation, bool)>,
    /// Attributes to set in their recursive form (`rro`, ...), which are among `set`, too.
    pub(crate) set_below: Attr,
    /// Attributes to clear in their recursive form.
    pub(crate) clear_below: Attr,
    /// A new tmpfs begins with what its place has.
    pub(crate) copy_up: bool,
    /// Asked for with `remount`: what is mounted there changes its attributes.
    pub(crate) remount: bool,
    /// Asked for with `idmap`, `ridmap`: its files have the container's ids; whether with the mounts below.
    pub(crate) mapped: Option<bool>,
    /// For the filesystem: keys with or without value.
    pub(crate) data: Vec<(String, Option<String>)>,
}

/// Parses them in order; later ones win. The error is the option that cannot be honoured.
pub(crate) fn parse<'o>(options: impl IntoIterator<Item = &'o str>) -> Result<Options, String> {
    let mut all = Options::default();
    for option in options {
        if option.is_empty() || !known(&mut all, option)? {
            continue;
        }
        let (key, value) = match option.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (option, None),
        };
        // A flag of the mount takes no value; handed on it would mean something else to the filesystem.
        let flag_with_value = value.is_some() && attribute(key).is_some();
        if flag_with_value || value.as_ref().is_some_and(|v| v.len() > 255) || key.len() > 255 {
            return Err(option.to_owned());
        }
        all.data.push((key.to_owned(), value));
    }
    Ok(all)
}

/// Takes one that is not the filesystem's; `Ok(true)` hands it back.
fn known(all: &mut Options, option: &str) -> Result<bool, String> {
    if let Some((set, clear)) = attribute(option) {
        change(&mut all.set, &mut all.clear, set, clear);
        return Ok(false);
    }
    if let Some((set, clear)) = option.strip_prefix('r').and_then(attribute) {
        change(&mut all.set, &mut all.clear, set, clear);
        change(&mut all.set_below, &mut all.clear_below, set, clear);
        return Ok(false);
    }
    match option {
        "defaults" | "async" | "silent" | "loud" | "nomand" | "nolazytime" | "iversion" | "noiversion" | "copyup" | "nocopy" => {}
        "tmpcopyup" => all.copy_up = true,
        "bind" => all.bind = Some(false),
        "rbind" => all.bind = Some(true),
        "shared" => all.propagation = Some((Propagation::Shared, false)),
        "rshared" => all.propagation = Some((Propagation::Shared, true)),
        "slave" => all.propagation = Some((Propagation::Slave, false)),
        "rslave" => all.propagation = Some((Propagation::Slave, true)),
        "private" => all.propagation = Some((Propagation::Private, false)),
        "rprivate" => all.propagation = Some((Propagation::Private, true)),
        "unbindable" => all.propagation = Some((Propagation::Unbindable, false)),
        "runbindable" => all.propagation = Some((Propagation::Unbindable, true)),
        "idmap" => all.mapped = Some(false),
        "ridmap" => all.mapped = Some(true),
        "remount" => all.remount = true,
        _ => return Ok(true),
    }
    Ok(false)
}

fn change(all_set: &mut Attr, all_clear: &mut Attr, set: Attr, clear: Attr) {
    *all_set = (*all_set & !clear) | set;
    *all_clear = (*all_clear & !set) | clear;
}

/// Options of a filesystem as a whole, which say nothing about a bind of it.
pub(crate) fn is_of_superblock(key: &str) -> bool {
    matches!(key, "sync" | "dirsync" | "mand" | "lazytime")
}

/// What to clear in mount_setattr: whoever changes the access times' bits must clear all of them.
fn for_setattr(set: Attr, clear: Attr) -> Attr {
    if (set | clear) & mount::ATIME != 0 { clear | mount::ATIME } else { clear }
}

/// (set, clear) of a mount attribute.
fn attribute(option: &str) -> Option<(Attr, Attr)> {
    Some(match option {
        "ro" => (mount::RDONLY, 0),
        "rw" => (0, mount::RDONLY),
        "nosuid" => (mount::NOSUID, 0),
        "suid" => (0, mount::NOSUID),
        "nodev" => (mount::NODEV, 0),
        "dev" => (0, mount::NODEV),
        "noexec" => (mount::NOEXEC, 0),
        "exec" => (0, mount::NOEXEC),
        "nosymfollow" => (mount::NOSYMFOLLOW, 0),
        "symfollow" => (0, mount::NOSYMFOLLOW),
        "nodiratime" => (mount::NODIRATIME, 0),
        "diratime" => (0, mount::NODIRATIME),
        // The way of access times is one value in several bits: all are cleared, then the wanted one is set.
        "relatime" | "atime" | "nostrictatime" => (mount::RELATIME, mount::ATIME),
        "noatime" => (mount::NOATIME, mount::ATIME & !mount::NOATIME),
        "strictatime" => (mount::STRICTATIME, mount::ATIME & !mount::STRICTATIME),
        // It asks for what the kernel does by itself, which is relatime.
        "norelatime" => (0, 0),
        _ => return None,
    })
}

impl Options {
    /// What to set and clear in mount_setattr.
    pub(crate) fn attributes(&self) -> (Attr, Attr) {
        (self.set, for_setattr(self.set, self.clear))
    }

    /// The same for the mount and all below it; `None` without an option in its recursive form.
    pub(crate) fn attributes_below(&self) -> Option<(Attr, Attr)> {
        let clear = for_setattr(self.set_below, self.clear_below);
        (self.set_below | clear != 0).then_some((self.set_below, clear))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Options {
        parse(text.split(',')).unwrap()
    }

    #[test]
    fn attributes() {
        let all = of("ro,nosuid,nodev,noexec");
        assert_eq!(all.set, mount::RDONLY | mount::NOSUID | mount::NODEV | mount::NOEXEC);
        assert_eq!(all.attributes_below(), None);
        let later = of("ro,nosuid,rw");
        assert_eq!((later.set, later.clear), (mount::NOSUID, mount::RDONLY));
        assert_eq!(of("rbind,rro,nosuid").attributes_below(), Some((mount::RDONLY, 0)));
        assert_eq!(of("rbind,rrw").attributes_below(), Some((0, mount::RDONLY)));
        assert_eq!(of("rnoatime,rdev").attributes_below(), Some((mount::NOATIME, mount::ATIME | mount::NODEV)));
        assert_eq!(of("rrelatime,ro").attributes_below(), Some((0, mount::ATIME)));
        assert_eq!(of("noatime").attributes().1, mount::ATIME);
        assert_eq!(of("noatime,relatime").set, 0);
        assert_eq!(of("ro").attributes().1, 0);
    }

    #[test]
    fn words_that_begin_with_r_but_are_no_recursive_attribute() {
        let all = of("rbind,rprivate,rslave,relatime,rw");
        assert_eq!(all.bind, Some(true));
        assert_eq!(all.propagation, Some((Propagation::Slave, true)));
        assert!(all.attributes_below().is_none() && all.data.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn no_attribute_is_both_set_and_cleared(words in proptest::collection::vec("r?(ro|rw|no(suid|dev|exec|atime)|suid|dev|exec|relatime|strictatime)|[a-z=]{0,6}", 0..8)) {
            if let Ok(all) = parse(words.iter().map(String::as_str)) {
                proptest::prop_assert_eq!(all.set & all.clear, 0);
                proptest::prop_assert!(all.data.iter().all(|(key, _)| attribute(key).is_none()));
            }
        }
    }

    #[test]
    fn the_rest_is_the_filesystems() {
        let all = of("nosuid,mode=755,size=65536k,newinstance,ptmxmode=0666,tmpcopyup,a=b=c");
        let expect =
            [("mode", Some("755")), ("size", Some("65536k")), ("newinstance", None), ("ptmxmode", Some("0666")), ("a", Some("b=c"))];
        let got: Vec<_> = all.data.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
        assert_eq!(got, expect);
        assert_eq!((parse(["idmap"]).unwrap().mapped, parse(["ridmap"]).unwrap().mapped), (Some(false), Some(true)));
        assert!(parse([format!("x={}", "y".repeat(300)).as_str()]).is_err());
    }
}
