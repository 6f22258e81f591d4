//! Writing below `/proc` without being led astray: through the root of a procfs mount of our own, crossing into no other
//! mount and following no link, and only into files that are on procfs (class 5: a label or sysctl written to another file).

use crate::error::{At, Failure, Kind, Result, Step};
use crate::procplan::ProcessPlan;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::io::Read;
use std::os::fd::OwnedFd;

/// `PROC_SUPER_MAGIC`.
pub(crate) const MAGIC: u64 = 0x9fa0;

/// The root of a procfs mount.
#[derive(Debug)]
pub(crate) struct Procfs(OwnedFd);

impl Procfs {
    /// A detached one of the current pid namespace.
    pub(crate) fn detached() -> Result<Self> {
        let mount = dhow_sys::mount::Filesystem::open("proc").and_then(|fs| fs.mount_or_log(0)).at(Step::Mount, "proc")?;
        Ok(Self(mount))
    }

    /// The root of a mount that we have just made.
    pub(crate) fn of(mount: OwnedFd) -> Self {
        Self(mount)
    }

    fn open(&self, step: Step, path: &str, access: OFlags) -> Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat2(&self.0, path, flags, Mode::empty(), resolve).at(step, path)?;
        if dhow_sys::mount::magic(&file).at(step, path)? != MAGIC {
            return Err(Failure::new(step, path, Kind::Invalid, "is not on procfs"));
        }
        Ok(file)
    }

    /// The whole text of a file.
    pub(crate) fn read(&self, step: Step, path: &str) -> Result<String> {
        let mut text = String::new();
        std::fs::File::from(self.open(step, path, OFlags::RDONLY)?).read_to_string(&mut text).at(step, path)?;
        Ok(text)
    }

    /// Writes `value` in one call.
    pub(crate) fn write(&self, step: Step, path: &str, value: &str) -> Result<()> {
        let file = self.open(step, path, OFlags::WRONLY)?;
        match rustix::io::write(&file, value.as_bytes()).at(step, path)? {
            n if n == value.len() => Ok(()),
            _ => Err(Failure::new(step, path, Kind::Other, "was written only in part")),
        }
    }

    /// The AppArmor profile and the SELinux label that the next exec of this process enters.
    pub(crate) fn label_on_exec(&self, plan: &ProcessPlan) -> Result<()> {
        let own = std::process::id();
        if let Some(profile) = &plan.apparmor {
            self.write(Step::User, &format!("{own}/attr/apparmor/exec"), &format!("exec {profile}"))?;
        }
        plan.selinux.as_ref().map_or(Ok(()), |label| self.write(Step::User, &format!("{own}/attr/exec"), label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_5_only_procfs_itself_is_written() {
        let proc = Procfs::detached().unwrap();
        let pid = std::process::id();
        proc.write(Step::Other, &format!("{pid}/oom_score_adj"), "500").unwrap();
        assert_eq!(std::fs::read_to_string("/proc/self/oom_score_adj").unwrap(), "500\n");
        // Links are refused, the harmless one and the magic one.
        for path in ["self/oom_score_adj".to_owned(), format!("{pid}/root/tmp/x"), "../tmp/x".to_owned()] {
            assert!(proc.write(Step::Other, &path, "1").is_err(), "{path}");
        }
        // What merely looks like procfs is none.
        let tmp = dhow_sys::mount::Filesystem::open("tmpfs").unwrap().mount(0).unwrap();
        let file = rustix::fs::openat(&tmp, "x", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644));
        drop(file.unwrap());
        let failure = Procfs::of(tmp).write(Step::Sysctl, "x", "1").unwrap_err();
        assert_eq!(failure.message, "is not on procfs");
    }
}
