//! A call of mount(2) as the options of a volume spell it, and the same as the mount API takes it. Pure but for [`Call::mount`].

use dhow_sys::mount::{self, Attr, Filesystem};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// What is mounted, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// `nfs`, `tmpfs`, ...
    pub(crate) kind: String,
    /// What mount(8) takes as the source.
    pub(crate) device: String,
    /// The words of `o`, as they came.
    pub(crate) words: Vec<String>,
}

/// What a word says to mount(2), and what the mount API has for it.
struct Flag {
    name: &'static str,
    /// `MS_...`
    bits: u64,
    /// The bits are taken away.
    clear: bool,
    /// Attribute of the mount.
    attr: Attr,
    /// Of those bits of the attribute.
    mask: Attr,
    /// The filesystem is told, too.
    tell: bool,
}

const fn flag(name: &'static str, bits: u64, clear: bool) -> Flag {
    Flag { name, bits, clear, attr: 0, mask: 0, tell: false }
}

const fn attr(name: &'static str, bits: u64, clear: bool, attr: Attr, mask: Attr) -> Flag {
    Flag { name, bits, clear, attr, mask, tell: false }
}

const fn tell(name: &'static str, bits: u64, clear: bool) -> Flag {
    Flag { name, bits, clear, attr: 0, mask: 0, tell: true }
}

const BIND: u64 = 0x1000;
const REC: u64 = 0x4000;
const RDONLY: u64 = 1;
/// Bits of propagation: another call's.
const PROPAGATION: u64 = 0x1e_0000;

/// Those that Docker knows; every other word is the filesystem's.
const FLAGS: [Flag; 32] = [
    flag("defaults", 0, false),
    Flag { name: "ro", bits: RDONLY, clear: false, attr: mount::RDONLY, mask: mount::RDONLY, tell: true },
    Flag { name: "rw", bits: RDONLY, clear: true, attr: 0, mask: mount::RDONLY, tell: true },
    attr("suid", 2, true, 0, mount::NOSUID),
    attr("nosuid", 2, false, mount::NOSUID, mount::NOSUID),
    attr("dev", 4, true, 0, mount::NODEV),
    attr("nodev", 4, false, mount::NODEV, mount::NODEV),
    attr("exec", 8, true, 0, mount::NOEXEC),
    attr("noexec", 8, false, mount::NOEXEC, mount::NOEXEC),
    tell("sync", 16, false),
    tell("async", 16, true),
    flag("remount", 32, false),
    flag("mand", 64, false),
    flag("nomand", 64, true),
    tell("dirsync", 128, false),
    attr("atime", 1024, true, 0, mount::ATIME),
    attr("noatime", 1024, false, mount::NOATIME, mount::ATIME),
    attr("diratime", 2048, true, 0, mount::NODIRATIME),
    attr("nodiratime", 2048, false, mount::NODIRATIME, mount::NODIRATIME),
    flag("bind", BIND, false),
    flag("rbind", BIND | REC, false),
    flag("unbindable", 1 << 17, false),
    flag("private", 1 << 18, false),
    flag("rprivate", (1 << 18) | REC, false),
    flag("slave", 1 << 19, false),
    flag("rslave", (1 << 19) | REC, false),
    flag("shared", 1 << 20, false),
    flag("rshared", (1 << 20) | REC, false),
    attr("relatime", 1 << 21, false, mount::RELATIME, mount::ATIME),
    attr("norelatime", 1 << 21, true, 0, 0),
    attr("strictatime", 1 << 24, false, mount::STRICTATIME, mount::ATIME),
    attr("nostrictatime", 1 << 24, true, 0, mount::ATIME),
];

fn known(word: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == word)
}

impl Call {
    /// Of the options `device`, `type` and `o`.
    pub(crate) fn new(device: &str, kind: &str, o: &str) -> Self {
        let words = o.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        Self { kind: kind.to_owned(), device: device.to_owned(), words }
    }

    /// The flags as one number.
    fn bits(&self) -> u64 {
        let change = |bits, flag: &Flag| if flag.clear { bits & !flag.bits } else { bits | flag.bits };
        self.words.iter().filter_map(|word| known(word)).fold(0, change)
    }

    /// What is the filesystem's.
    fn data(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str).filter(|word| known(word).is_none())
    }

    /// It binds a directory.
    pub(crate) fn is_bind(&self) -> bool {
        self.bits() & BIND != 0
    }

    /// With what is mounted below it.
    pub(crate) fn is_recursive(&self) -> bool {
        self.bits() & (BIND | REC) == BIND | REC
    }

    /// Nobody may write.
    pub(crate) fn is_read_only(&self) -> bool {
        self.bits() & RDONLY != 0
    }

    /// The call in Docker's words, for an error. Nobody's password is in it.
    pub(crate) fn shown(&self, target: &Path) -> String {
        let mut text = format!("mount {}:{}", self.device, target.display());
        let bits = self.bits() & !PROPAGATION;
        if bits != 0 {
            text += &format!(", flags: {bits:#x}");
        }
        let secret = |word: &str| if word.starts_with("password=") { "password=********".to_owned() } else { word.to_owned() };
        let data: Vec<_> = self.data().map(secret).collect();
        if !data.is_empty() {
            text += &format!(", data: {}", data.join(","));
        }
        text
    }

    /// The host that must be known by its address: in the option `addr`, or in the name of a share.
    pub(crate) fn host(&self) -> Option<&str> {
        if !matches!(self.kind.as_str(), "nfs" | "cifs") {
            return None;
        }
        let given = self.words.iter().find_map(|word| word.strip_prefix("addr=")).filter(|host| !host.is_empty());
        let named = || self.device.strip_prefix("//").and_then(|rest| rest.split('/').next()).filter(|host| !host.is_empty());
        let host = given.or_else(|| if self.kind == "cifs" { named() } else { None })?;
        host.parse::<std::net::IpAddr>().is_err().then_some(host)
    }

    /// The same with an address instead of the [`Self::host`].
    pub(crate) fn addressed(&self, address: std::net::IpAddr) -> Self {
        let mut call = self.clone();
        let Some(host) = self.host() else { return call };
        match call.words.iter_mut().find(|word| word.strip_prefix("addr=") == Some(host)) {
            Some(word) => *word = format!("addr={address}"),
            None => call.device = call.device.replacen(host, &address.to_string(), 1),
        }
        call
    }

    /// Attributes of the mount, and what the filesystem is told.
    fn plan(&self) -> (Attr, Vec<(&str, Option<&str>)>) {
        let (mut attr, mut told) = (0, Vec::new());
        for word in &self.words {
            match known(word) {
                Some(flag) => {
                    attr = (attr & !flag.mask) | flag.attr;
                    if flag.tell {
                        told.push((flag.name, None));
                    }
                }
                None => told.push(word.split_once('=').map_or((word.as_str(), None), |(key, value)| (key, Some(value)))),
            }
        }
        (attr, told)
    }

    /// Mounts it, detached. May wait for a server. The kernel's own words are logged, since Docker's have no room for them.
    pub(crate) fn mount(&self) -> io::Result<OwnedFd> {
        let filesystem = Filesystem::open(&self.kind)?;
        let log = filesystem.words()?;
        let (attr, told) = self.plan();
        let mounted = (|| {
            filesystem.string("source", self.device.as_str())?;
            for (key, value) in told {
                match value {
                    Some(value) => filesystem.string(key, value)?,
                    None => filesystem.flag(key)?,
                }
            }
            filesystem.mount(attr)
        })();
        mounted.inspect_err(|error| tracing::warn!(kind = self.kind, %error, words = log.log(), "a volume was not mounted"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_in_dockers_words() {
        let check = |device: &str, o: &str, expect: &str| {
            assert_eq!(Call::new(device, "x", o).shown(Path::new("/t")), format!("mount {device}:/t{expect}"));
        };
        check("/a", "bind", ", flags: 0x1000");
        check("/a", "rbind,ro,rshared", ", flags: 0x5001");
        check(":/srv", "addr=10.0.0.1,rw,nolock", ", data: addr=10.0.0.1,nolock");
        check("tmpfs", "size=1m,noexec,nosuid,exec", ", flags: 0x2, data: size=1m");
        check("//h/s", "username=u,password=p", ", data: username=u,password=********");
        check("tmpfs", "", "");
    }

    #[test]
    fn as_the_mount_api_takes_it() {
        let check = |o: &str, attr: Attr, told: &[(&str, Option<&str>)]| {
            let call = Call::new("d", "x", o);
            assert_eq!(call.plan(), (attr, told.to_vec()), "{o}");
        };
        check("", 0, &[]);
        check("ro,nosuid,nodev", mount::RDONLY | mount::NOSUID | mount::NODEV, &[("ro", None)]);
        check("ro,rw", 0, &[("ro", None), ("rw", None)]);
        check("noatime,size=1m,nolock", mount::NOATIME, &[("size", Some("1m")), ("nolock", None)]);
        check("strictatime,relatime,sync,defaults", mount::RELATIME, &[("sync", None)]);
    }

    #[test]
    fn hosts() {
        let check = |kind: &str, device: &str, o: &str, host: Option<&str>, expect: &str| {
            let call = Call::new(device, kind, o);
            assert_eq!(call.host(), host, "{device} {o}");
            let after = call.addressed("10.1.2.3".parse().unwrap());
            assert_eq!(format!("{} {}", after.device, after.words.join(",")), expect);
        };
        check("nfs", ":/a", "addr=server,rw", Some("server"), ":/a addr=10.1.2.3,rw");
        check("nfs", ":/a", "addr=10.0.0.1", None, ":/a addr=10.0.0.1");
        check("nfs", "server:/a", "rw", None, "server:/a rw");
        check("cifs", "//server/s/server", "rw", Some("server"), "//10.1.2.3/s/server rw");
        check("cifs", "//10.0.0.1/s", "addr=other", Some("other"), "//10.0.0.1/s addr=10.1.2.3");
        check("tmpfs", "x", "addr=server", None, "x addr=server");
    }

    #[test]
    fn a_filesystem_in_memory() {
        let mounted = Call::new("tmpfs", "tmpfs", "size=64k,noexec,mode=1770").mount().unwrap();
        assert_eq!(rustix::fs::fstat(&mounted).unwrap().st_mode & 0o7777, 0o1770);
        let error = |kind: &str, o: &str| Call::new("none", kind, o).mount().unwrap_err().raw_os_error();
        assert_eq!(error("nosuchtype", ""), Some(rustix::io::Errno::NODEV.raw_os_error()));
        assert_eq!(error("tmpfs", "nosuchkey"), Some(rustix::io::Errno::INVAL.raw_os_error()));
    }
}
