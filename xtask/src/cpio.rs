//! An initial RAM file system: a cpio archive of the "newc" form.

/// An archive under construction.
pub(crate) struct Cpio {
    bytes: Vec<u8>,
    inode: u32,
}

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

impl Cpio {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), inode: 1 }
    }

    /// A directory.
    pub(crate) fn dir(&mut self, path: &str) {
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// A file.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(path, FILE | mode, (0, 0), content);
    }

    /// A symbolic link.
    pub(crate) fn symlink(&mut self, path: &str, target: &str) {
        self.entry(path, LINK | 0o777, (0, 0), target.as_bytes());
    }

    /// A character device.
    pub(crate) fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER | 0o600, (major, minor), &[]);
    }

    /// The finished archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        // Fields in order: inode, mode, uid, gid, links, mtime, size, device twice, length of the name with its zero, checksum.
        let fields = [self.inode, mode, 0, 0, 1, 0, content.len() as u32, 0, 0, device.0, device.1, path.len() as u32 + 1, 0];
        self.inode += 1;
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Cpio;

    #[test]
    fn entries_are_aligned_and_end_with_a_trailer() {
        let mut cpio = Cpio::new();
        cpio.dir("a");
        cpio.file("a/b", 0o644, b"xyz");
        let bytes = cpio.finish();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(&bytes[..6], b"070701");
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
        // header 110 + "a\0" = 112, then the file: header and name 110 + 4 padded to 116, content padded to 4.
        assert_eq!(&bytes[112 + 116..112 + 119], b"xyz");
    }
}
