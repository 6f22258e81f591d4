//! Making the directories and writing the plan.

use super::hierarchy::{Dialect, Hierarchy, Layout};
use super::plan::Plan;
use super::write::Write;
use super::{Cgroup, Mode, invalid, refused};
use crate::error::Result;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Which file is open, so that the lines of one file (device rules) share one opening.
#[derive(Default)]
struct Open(Option<(PathBuf, fs::File)>);

/// What becomes of a directory that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// It is made anew, or refused if it is in use.
    Anew,
    /// It stays with what is set there, or is refused if it is in use.
    Taken,
    /// It stays.
    Kept,
}

impl Cgroup {
    /// Makes the directories of those hierarchies.
    pub(super) fn make(
        &self,
        layout: &Layout,
        plan: &Plan,
        there: There,
        which: impl Fn(&Hierarchy) -> bool,
        made: &mut Vec<PathBuf>,
    ) -> Result<()> {
        for (hierarchy, (_, dir)) in layout.hierarchies.iter().zip(&self.dirs).filter(|(hierarchy, _)| which(hierarchy)) {
            make_dir(&hierarchy.mount, dir, there, made)?;
            if hierarchy.is_unified() {
                enable_controllers(&hierarchy.mount, dir, wanted(layout, plan).as_deref())?;
            } else if hierarchy.controllers.split(',').any(|name| name == "cpuset") {
                inherit_cpuset(&hierarchy.mount, dir)?;
            }
        }
        Ok(())
    }

    /// Refuses a group that somebody is in.
    pub(super) fn unused(&self) -> Result<()> {
        self.dirs.iter().filter(|(_, dir)| dir.is_dir()).try_for_each(|(_, dir)| unused(dir))
    }

    pub(super) fn apply(&self, plan: &Plan) -> Result<()> {
        if let Some(program) = &plan.program {
            self.set_device_program(program)?;
        }
        let mut open = Open::default();
        let mut again = Vec::new();
        for write in &plan.writes {
            match self.write(&mut open, write) {
                Err(failure) if write.retry && failure.errno == libc::EINVAL => again.push(write),
                result => result?,
            }
        }
        again.into_iter().try_for_each(|write| self.write(&mut open, write))
    }

    fn write(&self, open: &mut Open, write: &Write) -> Result<()> {
        let dir = self.dir(write.controller).ok_or_else(|| invalid(write.controller, "this host has no such cgroup controller"))?;
        for (index, (file, value)) in write.choices.iter().enumerate() {
            let path = dir.join(file);
            match open.write(&path, value) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound && index + 1 < write.choices.len() => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && write.optional => return Ok(()),
                Err(error) => return Err(explain(&path, value, &error)),
            }
        }
        Ok(())
    }

    /// Adds the new program before the old ones go: in between both must agree, so nothing is open that neither opens.
    fn set_device_program(&self, program: &[dhow_sys::bpf::Instruction]) -> Result<()> {
        let Some(dir) = self.unified_dir() else { return Err(invalid("devices", "there is no unified hierarchy")) };
        let failed = |action: &'static str| move |error: io::Error| refused(dir, action, &error);
        let cgroup = fs::File::open(dir).map_err(failed("open"))?;
        let old = dhow_sys::bpf::device_programs(&cgroup).map_err(failed("list device programs"))?;
        let program = dhow_sys::bpf::load_device_program(program).map_err(failed("load device program"))?;
        dhow_sys::bpf::attach_device_program(&cgroup, &program).map_err(failed("attach device program"))?;
        old.iter().try_for_each(|old| dhow_sys::bpf::detach_device_program(&cgroup, old).map_err(failed("detach device program")))
    }
}

impl Open {
    fn write(&mut self, path: &Path, value: &str) -> io::Result<()> {
        if self.0.as_ref().is_none_or(|(open, _)| open != path) {
            self.0 = Some((path.to_owned(), fs::OpenOptions::new().write(true).open(path)?));
        }
        match &mut self.0 {
            // One call: the kernel takes each write as a whole.
            Some((_, file)) => file.write(value.as_bytes()).map(drop),
            None => Ok(()),
        }
    }
}

fn explain(path: &Path, value: &str, error: &io::Error) -> crate::error::Failure {
    let mut failure = refused(path, &format!("write {value:?}"), error);
    if let Some(field) = path.file_name().and_then(|name| super::fields::of_file(name.to_str()?)) {
        failure.message += &format!(" (linux.resources.{field})");
    }
    if failure.errno == libc::EBUSY && path.ends_with("memory.limit_in_bytes") {
        let used = path.parent().and_then(|dir| fs::read_to_string(dir.join("memory.usage_in_bytes")).ok());
        failure.message += &format!(" (in use: {} bytes)", used.as_deref().unwrap_or("unknown").trim());
    }
    if failure.errno == libc::ENOENT
        && let Some(controllers) = path.parent().and_then(|dir| fs::read_to_string(dir.join("cgroup.controllers")).ok())
    {
        failure.message += &format!(" (controllers here: {})", controllers.trim());
    }
    failure
}

/// Makes a directory and those above it, or sees to it that the one that is there will do. Another container's end may remove the parent meanwhile: then again.
fn make_dir(mount: &Path, dir: &Path, there: There, made: &mut Vec<PathBuf>) -> Result<()> {
    for _ in 0..8 {
        match fs::create_dir(dir) {
            Ok(()) => {
                made.push(dir.to_owned());
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match there {
                There::Anew if !renew(dir)? => {}
                There::Anew | There::Kept => return Ok(()),
                There::Taken => return unused(dir),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_ancestors(mount, dir, made)?,
            Err(error) => return Err(refused(dir, "make directory", &error)),
        }
    }
    Err(invalid(dir.display().to_string(), "make directory: it keeps vanishing"))
}

/// Refuses a directory with processes.
fn unused(dir: &Path) -> Result<()> {
    match super::control::procs(dir) {
        Ok(pids) if pids.is_empty() => Ok(()),
        Ok(pids) => Err(invalid(dir.display().to_string(), format!("the cgroup is in use by process {}", pids[0]))),
        Err(error) => Err(refused(&dir.join("cgroup.procs"), "read", &error)),
    }
}

/// A directory left over by somebody is removed, so that its counters and limits start anew. True: it has to stay, but is free
/// of processes (it has children).
fn renew(dir: &Path) -> Result<bool> {
    match fs::remove_dir(dir) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(_) => unused(dir).map(|()| true),
    }
}

fn make_ancestors(mount: &Path, dir: &Path, made: &mut Vec<PathBuf>) -> Result<()> {
    for ancestor in between(mount, dir) {
        match fs::create_dir(ancestor) {
            Ok(()) => {
                made.push(ancestor.to_owned());
                // The children's cpusets are then filled in by the kernel; other controllers ignore it.
                let _ = fs::write(ancestor.join("cgroup.clone_children"), "1");
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(ancestor, "make directory", &error)),
        }
    }
    Ok(())
}

/// The directories below the mount and above `dir`, from the top.
fn between<'a>(mount: &Path, dir: &'a Path) -> Vec<&'a Path> {
    let mut ancestors: Vec<_> = dir.ancestors().skip(1).take_while(|ancestor| *ancestor != mount).collect();
    ancestors.reverse();
    ancestors
}

/// A new v1 cpuset has no processors and no memory, and nothing can enter it: it takes its parent's.
fn inherit_cpuset(mount: &Path, dir: &Path) -> Result<()> {
    if filled(dir)? {
        return Ok(());
    }
    let mut chain = between(mount, dir);
    chain.push(dir);
    let mut parent = mount;
    for step in chain {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let own = read(&step.join(file))?;
            if own.trim().is_empty() {
                let value = read(&parent.join(file))?;
                let path = step.join(file);
                fs::write(&path, value.trim()).map_err(|error| explain(&path, value.trim(), &error))?;
            }
        }
        parent = step;
    }
    Ok(())
}

fn filled(dir: &Path) -> Result<bool> {
    Ok(!read(&dir.join("cpuset.cpus"))?.trim().is_empty() && !read(&dir.join("cpuset.mems"))?.trim().is_empty())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| refused(path, "read", &error))
}

/// Which controllers the unified hierarchy has to hand down: all there are on a v2 host (`None`), for they also measure; on a hybrid one,
/// whose hierarchy is somebody else's, only what the plan needs.
fn wanted(layout: &Layout, plan: &Plan) -> Option<Vec<&'static str>> {
    if layout.mode() == Mode::V2 {
        return None;
    }
    let of_unified = |write: &&Write| layout.dialect(write.controller) == Some(Dialect::V2);
    let mut wanted: Vec<_> = plan.writes.iter().filter(of_unified).map(|write| write.controller).collect();
    wanted.dedup();
    Some(wanted)
}

/// v2: a controller's files appear in a directory when the one above hands the controller down.
fn enable_controllers(mount: &Path, dir: &Path, wanted: Option<&[&str]>) -> Result<()> {
    let missing = |dir: &Path, available: &str| -> Result<Vec<String>> {
        let enabled = read(&dir.join("cgroup.subtree_control"))?;
        let enabled: Vec<_> = enabled.split_whitespace().collect();
        let asked = |name: &&str| wanted.is_none_or(|wanted| wanted.contains(name)) && !enabled.contains(name);
        Ok(available.split_whitespace().filter(asked).map(|name| format!("+{name}")).collect())
    };
    let Some(parent) = dir.parent().filter(|_| wanted != Some(&[])) else { return Ok(()) };
    let all = read(&mount.join("cgroup.controllers"))?;
    if missing(parent, &all)?.is_empty() {
        return Ok(());
    }
    let mut chain = vec![mount];
    chain.extend(between(mount, dir));
    for step in chain {
        let missing = missing(step, &read(&step.join("cgroup.controllers"))?)?;
        let file = step.join("cgroup.subtree_control");
        if !missing.is_empty() && fs::write(&file, missing.join(" ")).is_err() {
            // Together they are refused if one is. What stays missing shows when a limit needs it.
            for one in missing {
                let _ = fs::write(&file, one);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, read_to_string, write};

    /// A directory that looks like a hierarchy; writing replaces a file's text, so the last write is seen.
    fn hierarchy(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            create_dir_all(path.parent().unwrap()).unwrap();
            write(path, text).unwrap();
        }
        dir
    }

    fn text(root: &tempfile::TempDir, path: &str) -> String {
        read_to_string(root.path().join(path)).unwrap()
    }

    #[test]
    fn controllers_are_handed_down_step_by_step() {
        let root = hierarchy(&[
            ("cgroup.controllers", "cpuset cpu io memory pids\n"),
            ("cgroup.subtree_control", "cpu memory\n"),
            ("a/cgroup.controllers", "cpu memory\n"),
            ("a/cgroup.subtree_control", "\n"),
            ("a/b/cgroup.procs", ""),
        ]);
        enable_controllers(root.path(), &root.path().join("a/b"), None).unwrap();
        assert_eq!(text(&root, "cgroup.subtree_control"), "+cpuset +io +pids");
        assert_eq!(text(&root, "a/cgroup.subtree_control"), "+cpu +memory");
    }

    #[test]
    fn nothing_is_written_where_all_is_there_or_nothing_wanted() {
        let root = hierarchy(&[
            ("cgroup.controllers", "cpu memory\n"),
            ("cgroup.subtree_control", "cpu\n"),
            ("a/cgroup.controllers", "cpu\n"),
            ("a/cgroup.subtree_control", "memory cpu\n"),
        ]);
        let leaf = root.path().join("a/b");
        enable_controllers(root.path(), &leaf, None).unwrap();
        enable_controllers(root.path(), &leaf, Some(&["cpu"])).unwrap();
        enable_controllers(root.path(), &root.path().join("new"), Some(&[])).unwrap();
        assert_eq!(text(&root, "cgroup.subtree_control"), "cpu\n");
        enable_controllers(root.path(), &root.path().join("new"), Some(&["memory"])).unwrap();
        assert_eq!(text(&root, "cgroup.subtree_control"), "+memory");
    }

    #[test]
    fn a_cpuset_takes_what_its_parents_have() {
        let root = hierarchy(&[
            ("cpuset.cpus", "0-3\n"),
            ("cpuset.mems", "0\n"),
            ("a/cpuset.cpus", "1\n"),
            ("a/cpuset.mems", "\n"),
            ("a/b/cpuset.cpus", "\n"),
            ("a/b/cpuset.mems", "\n"),
        ]);
        inherit_cpuset(root.path(), &root.path().join("a/b")).unwrap();
        for (file, expect) in [("a/cpuset.cpus", "1\n"), ("a/cpuset.mems", "0"), ("a/b/cpuset.cpus", "1"), ("a/b/cpuset.mems", "0")] {
            assert_eq!(text(&root, file), expect, "{file}");
        }
    }
}
