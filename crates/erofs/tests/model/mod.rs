//! Writes a tree, mounts it, and compares every name with what was meant.

use dhow_erofs::{Attributes, BLOCK, Content, Extent, File, Node, NodeId, Time, Tree};
use dhow_sys::mount::Filesystem;
use proptest::prelude::*;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

pub(crate) fn attributes(mode: u16) -> Attributes {
    Attributes { mode, uid: 1, gid: 2, mtime: Time { seconds: 1_700_000_000, nanos: 123_456_789 }, xattrs: Vec::new() }
}

/// Bytes of each device.
const SIZE: u64 = 1 << 20;

/// Two files with data, in a directory of their own.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    data: Data,
}

/// What the two devices hold.
pub(crate) struct Data([Vec<u8>; 2]);

impl Data {
    /// A file that lies in the first device in one piece.
    pub(crate) fn whole(&self, position: u64, size: u64) -> Content {
        Content::File(File { size, extents: vec![Extent { offset: 0, length: size, device: 0, position }] })
    }

    fn expected(&self, file: &File, offset: u64) -> u8 {
        let found = file.extents.iter().find(|e| (e.offset..e.offset + e.length).contains(&offset));
        found.map_or(0, |e| self.0[usize::from(e.device)][(e.position + offset - e.offset) as usize])
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bytes = |seed: u64| (0..SIZE).map(|n| (n.wrapping_mul(seed) >> 7) as u8 | 1).collect::<Vec<u8>>();
        let data = Data([bytes(0x9E37_79B9_7F4A_7C15), bytes(0xC2B2_AE3D_27D4_EB4F)]);
        for (n, bytes) in data.0.iter().enumerate() {
            std::fs::write(dir.path().join(format!("data{n}")), bytes).unwrap();
        }
        Self { dir, data }
    }

    pub(crate) fn data(&self) -> &Data {
        &self.data
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes, asks `fsck.erofs`, mounts, compares.
    pub(crate) fn check(&self, tree: &Tree) {
        let mut file = std::fs::File::create(self.path("index")).unwrap();
        let written = dhow_erofs::write(tree, &[SIZE, SIZE], &[9; 16], &mut std::io::BufWriter::new(&mut file)).unwrap();
        assert_eq!((written % BLOCK, file.metadata().unwrap().len()), (0, written));
        self.fsck();
        let Some(root) = self.mount() else { return };
        let mut seen = BTreeMap::new();
        let checked = self.compare(tree, Tree::ROOT, &root, &mut seen);
        assert!(checked > 0);
        for (id, names) in seen {
            assert_eq!(names.0, names.1, "names of {id:?}");
        }
    }

    fn fsck(&self) {
        let devices = ["data0", "data1"].map(|name| format!("--device={}", self.path(name).display()));
        let program = std::env::var_os("DHOW_FSCK_EROFS").unwrap_or_else(|| "fsck.erofs".into());
        match Command::new(program).args(devices).arg(self.path("index")).output() {
            Ok(output) => {
                let told = String::from_utf8_lossy(&output.stderr);
                // Debian 12's knows blocks of one size only.
                let too_old = told.contains("blksize 512 isn't supported");
                assert!(output.status.success() || too_old, "{told}");
            }
            // The mount below is the better judge.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => panic!("fsck.erofs: {e}"),
        }
    }

    /// `None` where the kernel cannot mount out of a file.
    fn mount(&self) -> Option<OwnedFd> {
        let fs = Filesystem::open("erofs").ok()?;
        fs.string("source", self.path("index")).unwrap();
        for name in ["data0", "data1"] {
            fs.string("device", self.path(name)).unwrap();
        }
        match fs.mount_or_log(dhow_sys::mount::RDONLY) {
            Ok(mount) => Some(openat(&mount, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()),
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NOTBLK.raw_os_error()) => None,
            Err(e) => panic!("mount: {e}"),
        }
    }

    /// Compares a directory; `seen` counts the names found of everything, beside the links it says to have.
    fn compare(&self, tree: &Tree, id: NodeId, dir: &OwnedFd, seen: &mut BTreeMap<NodeId, (u64, u64)>) -> usize {
        let entries = tree.entries(id).unwrap();
        let mut names: Vec<Vec<u8>> = Vec::new();
        for entry in rustix::fs::Dir::read_from(dir).unwrap() {
            names.push(entry.unwrap().file_name().to_bytes().to_vec());
        }
        names.retain(|name| !matches!(&name[..], b"." | b".."));
        assert_eq!(names, entries.keys().map(|name| name.to_vec()).collect::<Vec<_>>());
        let stat = statat(dir, "", AtFlags::EMPTY_PATH).unwrap();
        self.attributes(tree.node(id), &stat, dir);
        let directories = entries.values().filter(|id| tree.entries(**id).is_some()).count() as u64;
        assert_eq!(stat.st_nlink, 2 + directories);
        let mut checked = 1;
        for (name, child) in entries {
            let node = tree.node(*child);
            let stat = statat(dir, &name[..], AtFlags::SYMLINK_NOFOLLOW).unwrap();
            if tree.entries(*child).is_some() {
                let below = openat(dir, &name[..], OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
                checked += self.compare(tree, *child, &below, seen);
                continue;
            }
            let node_fd = openat(dir, &name[..], OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()).unwrap();
            self.attributes(node, &stat, &node_fd);
            self.content(node, dir, name, &stat);
            seen.entry(*child).or_insert((0, stat.st_nlink)).0 += 1;
            checked += 1;
        }
        checked
    }

    fn attributes(&self, node: &Node, stat: &rustix::fs::Stat, fd: &OwnedFd) {
        let wanted = &node.attributes;
        let found = (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid, stat.st_mtime, stat.st_mtime_nsec);
        let mtime = (wanted.mtime.seconds, u64::from(wanted.mtime.nanos));
        assert_eq!(found, (u32::from(wanted.mode), wanted.uid, wanted.gid, mtime.0, mtime.1));
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(fd));
        for (name, value) in &wanted.xattrs {
            let mut buffer = vec![0; value.len() + 1];
            let length = rustix::fs::getxattr(&path, &name[..], &mut buffer[..]).unwrap();
            assert_eq!(&buffer[..length], &value[..]);
        }
    }

    fn content(&self, node: &Node, dir: &OwnedFd, name: &[u8], stat: &rustix::fs::Stat) {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let number = || (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        match &node.content {
            Content::File(file) => {
                assert_eq!((kind, stat.st_size as u64), (FileType::RegularFile, file.size));
                self.file(file, &openat(dir, name, OFlags::RDONLY, Mode::empty()).unwrap().into());
            }
            Content::Symlink(target) => {
                assert_eq!(rustix::fs::readlinkat(dir, name, Vec::new()).unwrap().to_bytes(), &target[..]);
            }
            Content::Char(major, minor) => assert_eq!((kind, number()), (FileType::CharacterDevice, (*major, *minor))),
            Content::Block(major, minor) => assert_eq!((kind, number()), (FileType::BlockDevice, (*major, *minor))),
            Content::Fifo => assert_eq!(kind, FileType::Fifo),
            Content::Directory(_) => unreachable!("compared elsewhere"),
        }
    }

    /// All of a small file; of a large one the surroundings of its pieces.
    fn file(&self, file: &File, open: &std::fs::File) {
        if file.size <= 4 * SIZE {
            let mut bytes = Vec::new();
            (&*open).read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, file.size);
            let wrong = bytes.iter().zip(0..).find(|(byte, at)| **byte != self.data.expected(file, *at));
            assert_eq!(wrong, None);
            return;
        }
        for at in file.extents.iter().flat_map(|e| [e.offset.saturating_sub(1), e.offset, e.offset + e.length - 1, e.offset + e.length]) {
            let mut byte = [0];
            if open.read_at(&mut byte, at).unwrap() == 1 {
                assert_eq!(byte[0], self.data.expected(file, at), "at {at}");
            }
        }
    }
}

/// One thing to do to a tree under construction; numbers choose among what there is.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Directory(usize, String),
    File(usize, String, u64, Vec<(u64, u64, u16)>),
    Link(usize, String, usize),
    Symlink(usize, String, usize),
    Fifo(usize, String, Vec<u8>),
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let name = || proptest::string::string_regex("[ -.0-~é]{1,60}").unwrap().prop_filter("a name", |name| name != "." && name != "..");
    let pieces = proptest::collection::vec((0..20_u64, 1..20_u64, 0..2_u16), 0..6);
    prop_oneof![
        (any::<usize>(), name()).prop_map(|(at, name)| Step::Directory(at, name)),
        (any::<usize>(), name(), 0..100_000_u64, pieces).prop_map(|(at, name, size, pieces)| Step::File(at, name, size, pieces)),
        (any::<usize>(), name(), any::<usize>()).prop_map(|(at, name, whom)| Step::Link(at, name, whom)),
        (any::<usize>(), name(), 1..3000_usize).prop_map(|(at, name, length)| Step::Symlink(at, name, length)),
        (any::<usize>(), name(), proptest::collection::vec(any::<u8>(), 0..600)).prop_map(|(at, name, value)| Step::Fifo(at, name, value)),
    ]
}

/// Pieces one after the other: blocks of a hole, then blocks of data.
fn pieces(size: u64, wanted: &[(u64, u64, u16)]) -> File {
    let (mut at, mut extents) = (0, Vec::new());
    for (hole, data, device) in wanted {
        let offset = at + hole * BLOCK;
        if offset >= size {
            break;
        }
        let length = (data * BLOCK).min(size - offset);
        extents.push(Extent { offset, length, device: *device, position: hole * data * BLOCK });
        at = offset + length;
    }
    File { size, extents }
}

pub(crate) fn build(steps: &[Step]) -> Tree {
    let mut tree = Tree::new(attributes(0o755));
    let (mut directories, mut files) = (vec![Tree::ROOT], Vec::new());
    for (n, step) in steps.iter().enumerate() {
        let (at, name, content, xattrs) = match step {
            Step::Directory(at, name) => (at, name, Content::Directory(BTreeMap::new()), Vec::new()),
            Step::File(at, name, size, wanted) => (at, name, Content::File(pieces(*size, wanted)), Vec::new()),
            Step::Symlink(at, name, length) => (at, name, Content::Symlink(vec![b'l'; *length].into()), Vec::new()),
            Step::Fifo(at, name, value) => (at, name, Content::Fifo, vec![(b"trusted.x".to_vec(), value.clone())]),
            Step::Link(at, name, whom) => {
                let holder = directories[at % directories.len()];
                if let Some(id) = files.get(whom % files.len().max(1))
                    && tree.child(holder, name.as_bytes()).is_none()
                {
                    tree.link(holder, name.as_bytes(), *id);
                }
                continue;
            }
        };
        let holder = directories[at % directories.len()];
        if tree.child(holder, name.as_bytes()).is_some() {
            continue;
        }
        let mut attributes = attributes((n % 0o10000) as u16);
        attributes.mtime.seconds = n as i64 - 5;
        attributes.xattrs = xattrs;
        let is_directory = matches!(content, Content::Directory(_));
        let id = tree.add(Node { attributes, content }).unwrap();
        tree.link(holder, name.as_bytes(), id);
        if is_directory { directories.push(id) } else { files.push(id) }
    }
    tree
}
