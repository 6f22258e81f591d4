//! What a stream is compressed with, told by its first bytes.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::rc::Rc;

const BUFFER: usize = 128 * 1024;
/// Memory for the dictionary of an xz stream: that of `xz -9` twice over. A larger one would be a way to make us allocate.
const XZ_MEMORY_KIB: u32 = 128 * 1024;

/// What every stream may inflate to. Beyond it, no more than [`RATIO_MAX`] bytes for each of its own: honest content of that size is not all
/// zeros.
const FREE: u64 = 4 << 30;
/// Twice what gzip can do; zstd can do a hundred times as much.
const RATIO_MAX: u64 = 2048;

/// Forms that archives and layers come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
    /// xz.
    Xz,
    /// Known by name only, to say so instead of calling it a broken tar.
    Foreign(&'static str),
}

/// Names the form of a stream that begins so. Anything unknown is taken as plain.
pub fn detect(head: &[u8]) -> Form {
    match head {
        [0x1f, 0x8b, ..] => Form::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Form::Zstd,
        // A skippable frame may stand before a zstd stream (zstd:chunked writes one at the end, pzstd at the start).
        [0xfd, b'7', b'z', b'X', ..] => Form::Xz,
        [b'B', b'Z', b'h', ..] => Form::Foreign("bzip2"),
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Form::Zstd,
        _ => Form::Plain,
    }
}

/// Reads a stream of any form as plain bytes. One that inflates to absurdly more than it is ends in an error.
pub fn reader<'a>(inner: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    bounded(inner, FREE)
}

/// As [`reader`], with a buffer: that of `inner` where it is plain, so that nothing of it is copied.
pub fn buffered<'a>(mut inner: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    match detect(&peek(&mut inner)?) {
        Form::Plain => Ok(Box::new(inner)),
        form => Ok(Box::new(BufReader::with_capacity(BUFFER, inflated(form, inner, FREE)?))),
    }
}

fn bounded<'a>(inner: impl Read + 'a, free: u64) -> io::Result<Box<dyn Read + 'a>> {
    let mut buffered = BufReader::with_capacity(BUFFER, inner);
    match detect(&peek(&mut buffered)?) {
        Form::Plain => Ok(Box::new(buffered)),
        form => Ok(Box::new(inflated(form, buffered, free)?)),
    }
}

fn inflated<'a>(form: Form, inner: impl BufRead + 'a, free: u64) -> io::Result<Inflated<'a>> {
    let taken = Rc::new(Cell::new(0));
    let counted = Taken { inner, taken: taken.clone() };
    let plain: Box<dyn Read + 'a> = match form {
        Form::Plain => Box::new(counted),
        Form::Foreign(name) => return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{name} compression is not supported"))),
        Form::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(counted)),
        Form::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(counted, true, XZ_MEMORY_KIB)),
        Form::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(counted)?;
            // 128 MiB of window: what zstd itself accepts by default; a larger one would be a way to make us allocate.
            decoder.window_log_max(27)?;
            Box::new(decoder)
        }
    };
    Ok(Inflated { plain, taken, free, given: 0 })
}

/// Counts what is used of a stream.
struct Taken<R> {
    inner: R,
    taken: Rc<Cell<u64>>,
}

impl<R: Read> Read for Taken<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.taken.set(self.taken.get() + count as u64);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Taken<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }
    fn consume(&mut self, count: usize) {
        self.taken.set(self.taken.get() + count as u64);
        self.inner.consume(count);
    }
}

/// Inflated bytes, compared with those that they were made of.
struct Inflated<'a> {
    plain: Box<dyn Read + 'a>,
    taken: Rc<Cell<u64>>,
    free: u64,
    given: u64,
}

impl Read for Inflated<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.plain.read(out)?;
        self.given += count as u64;
        if self.given > self.free && self.given - self.free > self.taken.get().saturating_mul(RATIO_MAX) {
            let message = format!("it inflates to more than {RATIO_MAX} times its size");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(count)
    }
}

/// Compresses with gzip: the same bytes give the same bytes, without a name and a time.
pub struct Packer<W: Write>(flate2::write::GzEncoder<W>);

impl<W: Write> Packer<W> {
    /// Writes to `inner`.
    pub fn new(inner: W) -> Self {
        Self(flate2::write::GzEncoder::new(inner, flate2::Compression::default()))
    }

    /// Writes what is left. Without it the stream is cut off.
    pub fn finish(self) -> io::Result<()> {
        self.0.finish()?.flush()
    }
}

impl<W: Write> std::fmt::Debug for Packer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The first four bytes without consuming them; fewer at a short stream's end.
fn peek(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    loop {
        match reader.fill_buf() {
            Ok(head) => return Ok(head[..head.len().min(4)].to_vec()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_as_plain() {
        let text = b"some text that is long enough to be worth it".repeat(100);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let forms =
            [(Form::Plain, text.clone()), (Form::Gzip, gzip.finish().unwrap()), (Form::Zstd, zstd::encode_all(&text[..], 1).unwrap())];
        for (form, bytes) in forms {
            assert_eq!(detect(&bytes), form);
            let mut out = Vec::new();
            reader(&bytes[..]).unwrap().read_to_end(&mut out).unwrap();
            assert_eq!(out, text);
        }
    }

    #[test]
    fn xz_is_read_with_bounded_memory() {
        // `printf 'some text\n' | xz -9`; the byte pair tells the dictionary's size and its header's check sum.
        let xz = |dictionary: &str| {
            let head = "fd377a585a000004e6d6b44602002101";
            let tail = "010009736f6d6520746578740a00000080 41490d11dafe1b0001220a151ae1671fb6f37d010000000004595a".replace(' ', "");
            hex::decode(format!("{head}{dictionary}{tail}")).unwrap()
        };
        let bytes = xz("1c00000010cf58cc");
        assert_eq!(detect(&bytes), Form::Xz);
        let mut out = String::new();
        reader(&bytes[..]).unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(out, "some text\n");
        // A dictionary of 1.5 GiB.
        assert!(reader(&xz("250000003b787b41")[..]).unwrap().read_to_string(&mut out).is_err());
    }

    #[test]
    fn class08_a_stream_that_inflates_without_measure_is_broken_off() {
        let read = |bytes: &[u8], free| {
            let mut out = io::sink();
            bounded(bytes, free).and_then(|mut plain| io::copy(&mut plain, &mut out)).map_err(|error| error.to_string())
        };
        let zeros = vec![0; 64 << 20];
        let bomb = zstd::encode_all(&zeros[..], 1).unwrap();
        assert!(bomb.len() * 4096 < zeros.len(), "{}", bomb.len());
        assert_eq!(read(&bomb, 1 << 20).unwrap_err(), "it inflates to more than 2048 times its size");
        assert_eq!(read(&bomb, FREE).unwrap(), 64 << 20);
        // gzip cannot do so much, and plain bytes are what they are.
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&zeros).unwrap();
        assert_eq!(read(&gzip.finish().unwrap(), 0).unwrap(), 64 << 20);
        assert_eq!(read(&zeros, 0).unwrap(), 64 << 20);
    }

    #[test]
    fn an_empty_stream_is_plain() {
        let mut out = Vec::new();
        reader(&b""[..]).unwrap().read_to_end(&mut out).unwrap();
        assert!(out.is_empty());
    }

    #[test]
    fn packed_alike_and_read_back() {
        let text = b"some text that is long enough to be worth it".repeat(100);
        let pack = || {
            let mut out = Vec::new();
            let mut packer = Packer::new(&mut out);
            packer.write_all(&text).unwrap();
            packer.finish().unwrap();
            out
        };
        assert_eq!(pack(), pack());
        let mut back = Vec::new();
        reader(&pack()[..]).unwrap().read_to_end(&mut back).unwrap();
        assert_eq!(back, text);
    }
}
