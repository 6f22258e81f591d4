//! The format's structures as bytes, all little-endian.

/// Bytes of a block: a tar's, so that data in it lies at a block's beginning.
pub const BLOCK: u64 = 512;
/// Bits of it.
pub(crate) const BLOCK_BITS: u8 = 9;
/// Inodes lie at multiples of this.
pub(crate) const SLOT: u64 = 32;
/// Bytes of an extended inode.
pub(crate) const INODE: u64 = 64;
/// Bytes of a directory's entry, its name apart.
pub(crate) const DIRENT: usize = 12;
/// Bytes of one chunk's place.
pub(crate) const CHUNK: u64 = 8;
/// A name has at most so many bytes.
pub(crate) const NAME_MAX: usize = 255;
/// A chunk has at most 2 to the power of this many blocks.
pub(crate) const CHUNK_BITS_MAX: u32 = 31;

const MAGIC: u32 = 0xE0F5_E1E2;
const SUPER_AT: usize = 1024;
const DEVICE_SLOT: usize = 128;
/// Behind the superblock.
const DEVICES_AT: usize = SUPER_AT + 128;
/// Files of chunks, and a table of devices.
const INCOMPATIBLE: u32 = 0x4 | 0x8;
/// Chunks are named by an index each, not by a block address alone.
const CHUNK_INDEXES: u16 = 0x20;
/// A chunk that is a hole.
const HOLE: u32 = u32::MAX;

/// Where inodes begin, behind the superblock and the devices.
pub(crate) fn inodes_at(devices: usize) -> u64 {
    ((DEVICES_AT + devices * DEVICE_SLOT) as u64).next_multiple_of(BLOCK)
}

/// Everything before the first inode.
pub(crate) fn head(root: u16, inodes: u64, blocks: u32, devices: &[u32], id: &[u8; 16]) -> Vec<u8> {
    let mut out = vec![0; usize::try_from(inodes_at(devices.len())).unwrap_or(0)];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(SUPER_AT, &MAGIC.to_le_bytes());
    put(SUPER_AT + 12, &[BLOCK_BITS]);
    put(SUPER_AT + 14, &root.to_le_bytes());
    put(SUPER_AT + 16, &inodes.to_le_bytes());
    put(SUPER_AT + 36, &blocks.to_le_bytes());
    put(SUPER_AT + 48, id);
    put(SUPER_AT + 80, &INCOMPATIBLE.to_le_bytes());
    put(SUPER_AT + 86, &(devices.len() as u16).to_le_bytes());
    put(SUPER_AT + 88, &((DEVICES_AT / DEVICE_SLOT) as u16).to_le_bytes());
    for (n, blocks) in devices.iter().enumerate() {
        put(DEVICES_AT + n * DEVICE_SLOT + 64, &blocks.to_le_bytes());
    }
    out
}

/// Where a node's data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Data {
    /// In blocks that follow each other.
    Plain { block: u32 },
    /// So, but for the last, partial block, which lies behind the inode.
    Inline { block: u32 },
    /// In chunks of `2^bits` blocks, whose places lie behind the inode.
    Chunks { bits: u16 },
    /// There is none: it is a device of this number, or nothing.
    Number(u32),
}

/// An inode.
#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) data: Data,
    /// Bytes of extended attributes behind it, their head included; 0 or 12 and more, a multiple of 4.
    pub(crate) xattrs: usize,
    /// File type and permissions.
    pub(crate) mode: u16,
    pub(crate) size: u64,
    pub(crate) number: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
    pub(crate) links: u32,
}

impl Inode {
    pub(crate) fn bytes(&self) -> [u8; INODE as usize] {
        let (layout, place) = match self.data {
            Data::Plain { block } => (0, block),
            Data::Inline { block } => (2, block),
            Data::Chunks { bits } => (4, u32::from(bits | CHUNK_INDEXES)),
            Data::Number(number) => (0, number),
        };
        // The first bit says: of the extended form.
        let format: u16 = 1 | layout << 1;
        let xattrs = if self.xattrs == 0 { 0 } else { (self.xattrs.saturating_sub(crate::xattr::HEAD) / 4 + 1) as u16 };
        let mut out = [0; INODE as usize];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &format.to_le_bytes());
        put(2, &xattrs.to_le_bytes());
        put(4, &self.mode.to_le_bytes());
        put(8, &self.size.to_le_bytes());
        put(16, &place.to_le_bytes());
        put(20, &self.number.to_le_bytes());
        put(24, &self.uid.to_le_bytes());
        put(28, &self.gid.to_le_bytes());
        put(32, &self.seconds.to_le_bytes());
        put(40, &self.nanos.to_le_bytes());
        put(44, &self.links.to_le_bytes());
        out
    }
}

/// A chunk's place: the device, counted from 0, and the block there. `None` is a hole.
pub(crate) fn chunk(place: Option<(u16, u32)>) -> [u8; CHUNK as usize] {
    let mut out = [0; CHUNK as usize];
    // Device 0 of the format is the index itself.
    let (device, block) = place.map_or((0, HOLE), |(device, block)| (device + 1, block));
    out[2..4].copy_from_slice(&device.to_le_bytes());
    out[4..].copy_from_slice(&block.to_le_bytes());
    out
}

/// A device's number as the format writes it.
pub(crate) fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}
