//! The running program's own file, and what leads to it. Bound into a container it could be written to from in there (CVE-2019-5736).

use crate::procfs;
use dhow_sys::mount;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// The file, by what tells it from all others, whatever its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Itself {
    device: u64,
    inode: u64,
}

impl Itself {
    /// Of the calling process.
    pub fn find() -> io::Result<Self> {
        let stat = rustix::fs::stat("/proc/self/exe")?;
        Ok(Self { device: stat.st_dev, inode: stat.st_ino })
    }

    /// Whether `file` is that one, or lies on a procfs, whose links lead to the program of each process.
    pub fn is_reached_by(self, file: impl AsFd) -> io::Result<bool> {
        let stat = rustix::fs::fstat(&file)?;
        Ok((stat.st_dev, stat.st_ino) == (self.device, self.inode) || mount::magic(file)? == procfs::MAGIC)
    }

    /// The same of what `path` leads to now, over links of all kinds. What cannot be looked at may be anything.
    pub fn may_be_reached_at(self, path: &Path) -> bool {
        mount::open_path(path).and_then(|file| self.is_reached_by(file)).unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType};
    use std::os::unix::fs::symlink;

    #[test]
    fn by_whatever_path() {
        let own = Itself::find().unwrap();
        let program = std::env::current_exe().unwrap();
        // Beside the program, so that there can be another name of it.
        let dir = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("dir")).unwrap();
        std::fs::write(at("file"), "x").unwrap();
        std::fs::hard_link(&program, at("hard")).unwrap();
        std::fs::copy(&program, at("copy")).unwrap();
        let links = [
            ("to-exe", "/proc/self/exe"),
            ("to-link", "to-exe"),
            ("to-self", "/proc/self"),
            ("to-thread", "/proc/thread-self/fd"),
            ("to-proc", "/proc"),
            ("to-program", program.to_str().unwrap()),
            ("to-file", "file"),
            ("to-cwd", "/proc/self/cwd"),
            ("to-root", "/proc/self/root/etc"),
            ("to-nothing", "nothing"),
            ("loop", "loop"),
        ];
        for (name, target) in links {
            symlink(target, at(name)).unwrap();
        }
        let reached = [
            "to-exe",
            "to-link",
            "dir/../to-exe",
            "to-self",
            "to-self/exe",
            "to-thread",
            "to-proc",
            "to-proc/sys",
            "to-program",
            "hard",
            // Nobody knows.
            "nothing",
            "to-nothing",
            "loop",
            "file/x",
        ];
        for name in reached {
            assert!(own.may_be_reached_at(&at(name)), "{name}");
        }
        for name in ["dir", "dir/..", "file", "copy", "to-file", "to-cwd", "to-root"] {
            assert!(!own.may_be_reached_at(&at(name)), "{name}");
        }
        assert!(own.may_be_reached_at(&program));
        assert!(own.may_be_reached_at(Path::new("/proc/self/ns/../exe")));
        assert!(!own.may_be_reached_at(Path::new("/")) && !own.may_be_reached_at(Path::new("/dev/null")));
    }

    #[test]
    fn another_procfs() {
        let own = Itself::find().unwrap();
        let procfs = mount::Filesystem::open("proc").unwrap().mount(0).unwrap();
        assert!(own.is_reached_by(&procfs).unwrap());
        let clone = mount::clone_tree(CWD, Path::new("/proc/self/exe"), false).unwrap();
        assert!(own.is_reached_by(&clone).unwrap());
        assert_eq!(FileType::from_raw_mode(rustix::fs::fstat(clone).unwrap().st_mode), FileType::RegularFile);
    }
}
