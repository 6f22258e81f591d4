//! The `tar+erofs` form: the tar is kept as it streams by, and the index says where in it each file lies.

use super::sparse;
use crate::layer::{Layer, Sink};
use crate::store::{Error, Limits, Result};
use crate::tarball::{Member, Reader};
use crate::tree::{Context, copy, open_file};
use dhow_erofs::{BLOCK, Extent, File, NodeId, Unfit};
use rustix::fs::{self, Mode, OFlags, Stat};
use std::io::{self, BufRead, BufWriter, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// The layer's tar, byte by byte as it came.
pub(crate) const TAR: &str = "layer.tar";
/// The index of it.
pub(crate) const INDEX: &str = "index.erofs";
/// What no block of the tar can be. Most layers have none.
pub(crate) const SIDE: &str = "side.data";

/// Bytes that are handed on at once.
const PIECE: usize = 128 * 1024;
/// Pieces on their way.
const PIECES: usize = 4;

/// Part of a stream, and how much of it counts; or why there is no more.
type Piece = io::Result<(Vec<u8>, usize)>;

/// Reads a layer's tar, and keeps it in a file. What is read is written by the caller's thread and looked at by another one, since hashing takes
/// about as long as the rest.
pub(crate) fn read(stream: &mut dyn Read, file: &OwnedFd, limits: Limits, places: &mut Places) -> Result<(Layer, [u8; 32], u64)> {
    let (give, pieces) = sync_channel(PIECES);
    let (back, empty) = channel();
    std::thread::scope(|scope| {
        let look = move || Layer::read(&mut Pieces { pieces, back, piece: Vec::new(), at: 0, end: 0 }, limits, places);
        let looking = std::thread::Builder::new().name("layer".to_owned()).spawn_scoped(scope, look).on("start", b"thread")?;
        feed(stream, file, &give, &empty);
        drop(give);
        looking.join().unwrap_or_else(|_| Err(io::Error::other("panic")).on("read", TAR.as_bytes()))
    })
}

/// Writes a stream to a file, and hands it on piece by piece until nobody wants it.
fn feed(stream: &mut dyn Read, file: &OwnedFd, give: &SyncSender<Piece>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut piece = empty.try_recv().unwrap_or_else(|_| vec![0; PIECE]);
        let count = fill(stream, &mut piece).and_then(|count| write_all(file, &piece[..count]).map(|()| count));
        let last = !matches!(count, Ok(PIECE));
        if give.send(count.map(|count| (piece, count))).is_err() || last {
            return;
        }
    }
}

/// As much as there is, or as has room.
fn fill(stream: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match stream.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(file, bytes))?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// The other end of [`feed`].
struct Pieces {
    pieces: Receiver<Piece>,
    back: Sender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
    end: usize,
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let count = out.len().min(piece.len());
        out[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.end {
            let done = std::mem::take(&mut self.piece);
            if !done.is_empty() {
                // At the end nobody needs it.
                let _over = self.back.send(done);
            }
            (self.at, self.end) = (0, 0);
            if let Ok(piece) = self.pieces.recv() {
                (self.piece, self.end) = piece?;
            }
        }
        Ok(&self.piece[self.at..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

/// Contents by their places in the tar, and the file for those that have none there.
#[derive(Debug)]
pub(crate) struct Places {
    dir: OwnedFd,
    side: Option<OwnedFd>,
    end: u64,
}

impl Places {
    /// The side file is made in `dir`, where it is needed.
    pub(crate) fn new(dir: OwnedFd) -> Self {
        Self { dir, side: None, end: 0 }
    }

    /// The side file and its length.
    pub(crate) fn side(&self) -> Option<(&OwnedFd, u64)> {
        self.side.as_ref().map(|side| (side, self.end))
    }

    fn open(&mut self) -> Result<&OwnedFd> {
        let side = match self.side.take() {
            Some(side) => side,
            None => make(&self.dir, SIDE)?,
        };
        Ok(self.side.insert(side))
    }

    /// Room for a file with holes.
    fn room(&mut self, size: u64, pieces: &[(u64, u64)]) -> Result<Vec<Extent>> {
        let (extents, end) = sparse::layout(size, pieces, 1, self.end);
        self.end = end;
        fs::ftruncate(self.open()?, end).on("write", SIDE.as_bytes())?;
        Ok(extents)
    }
}

impl Sink for Places {
    fn take(&mut self, _: NodeId, member: &Member, reader: &mut Reader<'_>) -> Result<File> {
        let size = member.size;
        if let Some(pieces) = &member.sparse {
            let extents = self.room(size, pieces)?;
            for &(offset, length) in pieces {
                let side = self.open()?;
                piece(reader, side, &extents, offset, length)?;
            }
            return Ok(File { size, extents });
        }
        let position = reader.position();
        if !position.is_multiple_of(BLOCK) {
            return Err(Error::Archive { entry: member.shown(), reason: "content that begins within a block".into() });
        }
        let extents = if size == 0 { Vec::new() } else { vec![Extent { offset: 0, length: size, device: 0, position }] };
        Ok(File { size, extents })
    }

    fn copy(&mut self, _: NodeId, dir: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> Result<File> {
        let source = open_file(dir, name).on("open", name)?;
        let size = stat.st_size as u64;
        let pieces = copy::pieces(&source, size).on("read", name)?;
        let extents = self.room(size, &pieces)?;
        let side = self.open()?;
        for (offset, length) in pieces {
            let to = sparse::place(&extents, offset).unwrap_or_default();
            copy::range(&source, offset, side, to, length).on("copy", name)?;
        }
        Ok(File { size, extents })
    }
}

/// Writes stored bytes of a sparse member, which lie in one extent.
fn piece(reader: &mut Reader<'_>, side: &OwnedFd, extents: &[Extent], offset: u64, length: u64) -> Result<()> {
    let Some(mut to) = sparse::place(extents, offset) else { return Ok(()) };
    let mut left = length;
    while left > 0 {
        let chunk = reader.peek()?;
        let chunk = &chunk[..chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        if chunk.is_empty() {
            break;
        }
        let written = rustix::io::retry_on_intr(|| rustix::io::pwrite(side, chunk, to)).on("write", SIDE.as_bytes())?;
        reader.consume(written);
        to += written as u64;
        left -= written as u64;
    }
    Ok(())
}

/// Writes the index of a settled layer. `false`: it cannot describe this layer.
pub(crate) fn write(layer: &Layer, tar: u64, side: Option<u64>, id: &[u8; 16], dir: &OwnedFd) -> Result<bool> {
    let file = make(dir, INDEX)?;
    let devices: Vec<u64> = std::iter::once(tar).chain(side).collect();
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::from(file));
    let written = dhow_erofs::write(&layer.tree, &devices, id, &mut out).map(drop);
    match written.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => Ok(true),
        Err(dhow_erofs::Error::Io(error)) => Err(error).on("write", INDEX.as_bytes()),
        Err(dhow_erofs::Error::Unfit(reason)) => {
            told(&reason);
            fs::unlinkat(dir, INDEX, fs::AtFlags::empty()).on("remove", INDEX.as_bytes())?;
            Ok(false)
        }
    }
}

fn told(reason: &Unfit) {
    tracing::info!(%reason, "this layer is unpacked: an index cannot hold it");
}

/// A new file, to be read too.
pub(crate) fn make(dir: &OwnedFd, name: &str) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR).on("make", name.as_bytes())
}
