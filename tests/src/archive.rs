//! Archives as an enemy writes them: any name, any kind, any lie.

use serde_json::json;

/// A tar under construction; names are written as they are, checks are somebody else's task.
#[derive(Debug, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A directory.
    pub fn dir(self, path: &str) -> Self {
        self.entry(tar::EntryType::Directory, path, "", 0o755, &[], (0, 0))
    }

    /// A file.
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(tar::EntryType::Regular, path, "", mode, content, (0, 0))
    }

    /// A symbolic link.
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Symlink, path, target, 0o777, &[], (0, 0))
    }

    /// A hard link. Its header says 0755, which some engines apply to the target.
    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Link, path, target, 0o755, &[], (0, 0))
    }

    /// A character device.
    pub fn device(self, path: &str, major: u32, minor: u32) -> Self {
        self.entry(tar::EntryType::Char, path, "", 0o666, &[], (major, minor))
    }

    fn entry(mut self, kind: tar::EntryType, path: &str, link: &str, mode: u32, content: &[u8], device: (u32, u32)) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_704_067_200);
        header.set_size(content.len() as u64);
        // Straight into the fields: the crate would refuse the names that these tests are about.
        let raw = header.as_gnu_mut().expect("a GNU header");
        assert!(path.len() < 100 && link.len() < 100, "long names are not written here");
        raw.name[..path.len()].copy_from_slice(path.as_bytes());
        raw.linkname[..link.len()].copy_from_slice(link.as_bytes());
        if matches!(kind, tar::EntryType::Char) {
            header.set_device_major(device.0).expect("a device");
            header.set_device_minor(device.1).expect("a device");
        }
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A root filesystem with the test's hostile program and a shell, as a start.
pub fn rootfs() -> Tar {
    let busybox = crate::paths::program("busybox").expect("busybox (run `cargo xtask setup`)");
    let busybox = std::fs::read(busybox).expect("read busybox");
    let attacker = std::fs::read(crate::paths::attacker()).expect("read the attacker");
    let mut tar = Tar::new().dir("bin/").file("bin/busybox", 0o755, &busybox).file("attacker", 0o755, &attacker);
    for name in ["sh", "cat", "echo", "ls", "sleep", "true", "mkdir", "ln", "rm", "mount", "readlink", "stat", "id", "touch", "grep"] {
        tar = tar.hard_link(&format!("bin/{name}"), "bin/busybox");
    }
    tar
}

/// A docker archive of one layer. The config's `diff_ids` are as given, true or not.
pub fn docker_archive(tag: &str, layer: &[u8], diff_id: &str) -> Vec<u8> {
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["sh"], "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"] }]);
    Tar::new()
        .file("config.json", 0o644, config.to_string().as_bytes())
        .file("layer.tar", 0o644, layer)
        .file("manifest.json", 0o644, manifest.to_string().as_bytes())
        .finish()
}
