//! The streaming reader.

use super::{BLOCK, Kind, Member, number, pax, sparse};
use crate::{Error, Limits, Result};
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read};

/// Bytes read at a time.
const BUFFER: usize = 128 * 1024;

/// A reader of bytes that hashes and counts everything it reads. Its buffer is lent out, so content is copied once.
pub struct Digested<'a> {
    inner: Box<dyn BufRead + 'a>,
    /// Bytes of the buffer that were hashed and not used.
    left: usize,
    hash: Option<Sha256>,
    total: u64,
}

impl std::fmt::Debug for Digested<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Digested").field("total", &self.total).finish_non_exhaustive()
    }
}

impl<'a> Digested<'a> {
    /// Over any reader.
    pub fn new(inner: &'a mut dyn Read) -> Self {
        Self::boxed(Box::new(BufReader::with_capacity(BUFFER, inner)))
    }

    /// Over a reader that has a buffer, which is the one that is lent out.
    pub fn over(inner: &'a mut dyn BufRead) -> Self {
        Self::boxed(Box::new(inner))
    }

    fn boxed(inner: Box<dyn BufRead + 'a>) -> Self {
        Self { inner, left: 0, hash: Some(Sha256::new()), total: 0 }
    }

    /// What is buffered, read anew when nothing is; empty at the end of the stream.
    pub fn peek(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            loop {
                match self.inner.fill_buf() {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                    Ok(read) => {
                        if let Some(hash) = &mut self.hash {
                            hash.update(read);
                        }
                        self.left = read.len();
                        self.total += self.left as u64;
                        break;
                    }
                }
            }
            if self.left == 0 {
                return Ok(&[]);
            }
        }
        // Nothing is read for this: the buffer is not empty.
        self.inner.fill_buf()
    }

    /// Drops `count` bytes of what [`Self::peek`] lent.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.left);
        self.inner.consume(count);
        self.left -= count;
    }

    /// Bytes of the stream that were used.
    fn position(&self) -> u64 {
        self.total - self.left as u64
    }

    /// Bytes read so far, and the digest of them.
    #[must_use]
    pub fn finish(self) -> (u64, [u8; 32]) {
        (self.total, self.hash.map(|hash| hash.finalize().into()).unwrap_or_default())
    }

    /// Fills `out`; `false` at a clean end of the stream before the first byte.
    fn exact(&mut self, out: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < out.len() {
            let chunk = self.peek()?;
            if chunk.is_empty() {
                return if filled == 0 { Ok(false) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            let count = chunk.len().min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&chunk[..count]);
            self.consume(count);
            filled += count;
        }
        Ok(true)
    }
}

/// Reads members one after the other. Content not read before the next call of [`Reader::next`] is skipped.
#[derive(Debug)]
pub struct Reader<'a> {
    source: Digested<'a>,
    limits: Limits,
    entries: u64,
    bytes: u64,
    /// Stored bytes of the current member not yet read, and the padding behind them.
    left: u64,
    padding: u64,
    /// Name of the current member, for messages.
    current: String,
}

impl<'a> Reader<'a> {
    /// Over an uncompressed tar.
    pub fn new(inner: &'a mut dyn Read, limits: Limits) -> Self {
        Self::from(Digested::new(inner), limits)
    }

    /// As [`Self::new`], over a reader that has a buffer.
    pub fn over(inner: &'a mut dyn BufRead, limits: Limits) -> Self {
        Self::from(Digested::over(inner), limits)
    }

    fn from(source: Digested<'a>, limits: Limits) -> Self {
        Self { source, limits, entries: 0, bytes: 0, left: 0, padding: 0, current: "header".to_owned() }
    }

    /// For who does not ask for the digest, which is then all zeros.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.source.hash = None;
        self
    }

    /// The next member, or `None` at the end of the archive.
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot lend the content")]
    pub fn next(&mut self) -> Result<Option<Member>> {
        self.skip()?;
        let mut extended = pax::Records::default();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(Error::Limit { what: "members", limit: self.limits.entries });
            }
            match header[156] {
                b'x' => {
                    let data = self.extension(&header)?;
                    extended = pax::parse(&data).map_err(|e| self.bad(e))?;
                }
                // Global records name the archive (git's commit id), not its members; Docker ignores them too.
                b'g' => drop(self.extension(&header)?),
                b'L' => long_name = Some(until_nul(&self.extension(&header)?).to_vec()),
                b'K' => long_link = Some(until_nul(&self.extension(&header)?).to_vec()),
                _ => return self.member(&header, extended, long_name, long_link).map(Some),
            }
        }
    }

    /// Where in the stream the next byte of content is. Behind a header it is the first of the member's.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.source.position()
    }

    /// Stored content of the current member that is at hand: empty at its end. Give back what was used with [`Self::consume`].
    pub fn peek(&mut self) -> Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        match self.source.peek() {
            Ok([]) => Err(self.bad("unexpected EOF")),
            Ok(_) => {
                let chunk = self.source.peek().map_err(read_error)?;
                Ok(&chunk[..chunk.len().min(left)])
            }
            Err(e) => Err(read_error(e)),
        }
    }

    /// Drops `count` bytes of what [`Self::peek`] lent.
    pub fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.left -= count as u64;
    }

    /// Reads the whole content of the current member, which may hold at most `limit` bytes.
    pub fn read_all(&mut self, limit: u64) -> Result<Vec<u8>> {
        if self.left > limit {
            return Err(self.bad(&format!("larger than {limit} bytes")));
        }
        let mut data = Vec::with_capacity(usize::try_from(self.left).unwrap_or(0));
        loop {
            let chunk = self.peek()?;
            if chunk.is_empty() {
                return Ok(data);
            }
            let count = chunk.len();
            data.extend_from_slice(chunk);
            self.consume(count);
        }
    }

    /// Bytes read so far and the digest of the whole stream; reads on to its end, behind the archive's own.
    pub fn finish(mut self) -> Result<(u64, [u8; 32])> {
        self.skip()?;
        let mut trailing = 0u64;
        loop {
            let count = self.source.peek().map_err(read_error)?.len();
            if count == 0 {
                return Ok(self.source.finish());
            }
            self.source.consume(count);
            trailing += count as u64;
            if trailing > self.limits.bytes {
                return Err(Error::Limit { what: "trailing bytes", limit: self.limits.bytes });
            }
        }
    }

    fn bad(&self, reason: &str) -> Error {
        Error::Archive { entry: self.current.clone(), reason: reason.to_owned() }
    }

    /// Reads past what is left of the current member.
    fn skip(&mut self) -> Result<()> {
        let mut rest = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        while rest > 0 {
            let chunk = self.source.peek().map_err(read_error)?.len();
            if chunk == 0 {
                return Err(self.bad("unexpected EOF"));
            }
            let count = chunk.min(usize::try_from(rest).unwrap_or(usize::MAX));
            self.source.consume(count);
            rest -= count as u64;
        }
        Ok(())
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        match self.source.exact(&mut block) {
            Ok(true) => Ok(Some(block)),
            Ok(false) => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(self.bad("unexpected EOF")),
            Err(e) => Err(read_error(e)),
        }
    }

    /// The next header block with a good checksum. Two zero blocks, or the stream's end, end the archive.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let Some(mut block) = self.block()? else {
            return Ok(None);
        };
        if block.iter().all(|&b| b == 0) {
            match self.block()? {
                None => return Ok(None),
                Some(second) if second.iter().all(|&b| b == 0) => return Ok(None),
                Some(_) => return Err(self.bad("invalid tar header")),
            }
        }
        let stored = number::parse(&block[148..156]);
        block[148..156].fill(b' ');
        let unsigned: i64 = block.iter().map(|&b| i64::from(b)).sum();
        let signed: i64 = block.iter().map(|&b| i64::from(b.cast_signed())).sum();
        if stored != Some(unsigned) && stored != Some(signed) {
            return Err(self.bad("invalid tar header"));
        }
        Ok(Some(block))
    }

    /// Content of an extended header, within the limit.
    fn extension(&mut self, header: &[u8; BLOCK]) -> Result<Vec<u8>> {
        let size = number::parse(&header[124..136]).and_then(|s| u64::try_from(s).ok()).ok_or_else(|| self.bad("invalid tar header"))?;
        if size > self.limits.extensions as u64 {
            return Err(Error::Limit { what: "bytes of extended headers", limit: self.limits.extensions as u64 });
        }
        self.begin(size);
        let data = self.read_all(size)?;
        self.skip()?;
        Ok(data)
    }

    fn begin(&mut self, stored: u64) {
        self.left = stored;
        self.padding = stored.wrapping_neg() % BLOCK as u64;
    }

    fn member(
        &mut self,
        header: &[u8; BLOCK],
        extended: pax::Records,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Member> {
        let mut member = Member::new(Kind::Regular, b"", 0);
        member.name = long_name.or(extended.path).unwrap_or_else(|| header_name(header));
        member.link = long_link.or(extended.linkpath).unwrap_or_else(|| until_nul(&header[157..257]).to_vec());
        self.current = member.shown();
        self.numbers(&mut member, header, extended.uid, extended.gid)?;
        if let Some(mtime) = extended.mtime {
            member.mtime = mtime;
        }
        member.xattrs = extended.xattrs;
        let stored = match extended.size {
            Some(size) => size,
            None => self.number(header, 124..136)?,
        };
        let kind = header[156];
        member.kind = self.kind(kind, &member.name)?;
        if member.kind != Kind::Regular {
            // Only files have content, whatever the size field says: Go reads it so.
            self.begin(0);
            return self.named(member);
        }
        if stored > i64::MAX as u64 {
            return Err(self.bad("invalid tar header"));
        }
        self.begin(stored);
        member.size = stored;
        if kind == b'S' {
            self.old_sparse(&mut member, header)?;
        } else {
            self.pax_sparse(&mut member, extended.sparse)?;
        }
        self.bytes = self.bytes.saturating_add(member.size.max(stored));
        if self.bytes > self.limits.bytes {
            return Err(Error::Limit { what: "bytes", limit: self.limits.bytes });
        }
        self.named(member)
    }

    fn named(&self, member: Member) -> Result<Member> {
        if member.name.len() > self.limits.name || member.link.len() > self.limits.name {
            return Err(Error::Limit { what: "bytes of a name", limit: self.limits.name as u64 });
        }
        Ok(member)
    }

    fn number(&self, header: &[u8; BLOCK], field: std::ops::Range<usize>) -> Result<u64> {
        number::parse(&header[field]).and_then(|n| u64::try_from(n).ok()).ok_or_else(|| self.bad("invalid tar header"))
    }

    fn numbers(&self, member: &mut Member, header: &[u8; BLOCK], uid: Option<u64>, gid: Option<u64>) -> Result<()> {
        let bad = || self.bad("invalid tar header");
        member.mode = (number::parse(&header[100..108]).ok_or_else(bad)? & 0o7777) as u32;
        member.uid = self.owner(uid, &header[108..116])?;
        member.gid = self.owner(gid, &header[116..124])?;
        member.mtime.seconds = number::parse(&header[136..148]).ok_or_else(bad)?;
        if &header[257..262] == b"ustar" {
            let part = |field: &[u8]| number::parse(field).and_then(|n| u32::try_from(n).ok()).ok_or_else(bad);
            member.device = (part(&header[329..337])?, part(&header[337..345])?);
        }
        Ok(())
    }

    /// A user or group id. All ones means "leave as it is" to chown, so it names nobody.
    fn owner(&self, extended: Option<u64>, field: &[u8]) -> Result<u32> {
        let id = match extended {
            Some(id) => Some(id),
            None => number::parse(field).and_then(|n| u64::try_from(n).ok()),
        };
        id.and_then(|id| u32::try_from(id).ok()).filter(|&id| id != u32::MAX).ok_or_else(|| self.bad("invalid owner"))
    }

    fn kind(&self, flag: u8, name: &[u8]) -> Result<Kind> {
        Ok(match flag {
            0 | b'0' | b'7' if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::Regular,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Char,
            b'4' => Kind::Block,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(self.bad(&format!("unhandled tar header type {other}"))),
        })
    }

    /// GNU's old format: the map is in the header and in blocks behind it, which do not count as content.
    fn old_sparse(&mut self, member: &mut Member, header: &[u8; BLOCK]) -> Result<()> {
        let stored = member.size;
        let padding = self.padding;
        member.size = self.number(header, 483..495)?;
        let mut map = Vec::new();
        sparse::old_entries(&header[386..482], sparse::OLD_IN_HEADER, &mut map).map_err(|e| self.bad(e))?;
        let mut more = header[482] != 0;
        while more {
            let block = self.block()?.ok_or_else(|| self.bad("unexpected EOF"))?;
            sparse::old_entries(&block[..504], sparse::OLD_IN_EXTENSION, &mut map).map_err(|e| self.bad(e))?;
            self.check_map(&map)?;
            more = block[504] != 0;
        }
        (self.left, self.padding) = (stored, padding);
        member.sparse = Some(sparse::check(&map, member.size, stored).map_err(|e| self.bad(e))?);
        Ok(())
    }

    fn pax_sparse(&mut self, member: &mut Member, records: pax::SparseRecords) -> Result<()> {
        let numbers = match records.version {
            (Some(1), Some(0)) => self.map_in_data()?,
            (None | Some(0), _) if records.has_map => records.map,
            (None, None) => return Ok(()),
            _ => return Err(self.bad("unknown sparse format")),
        };
        self.check_map(&numbers)?;
        let stored = self.left;
        member.size = records.real_size.ok_or_else(|| self.bad("malformed sparse map"))?;
        member.sparse = Some(sparse::check(&numbers, member.size, stored).map_err(|e| self.bad(e))?);
        if let Some(name) = records.name {
            member.name = name;
        }
        Ok(())
    }

    /// The map in front of the data: decimal lines (a count, then pairs), padded to a block.
    fn map_in_data(&mut self) -> Result<Vec<u64>> {
        let (mut numbers, mut expected) = (Vec::new(), None);
        let mut digits: Vec<u8> = Vec::new();
        let mut read = 0u64;
        while expected.is_none_or(|n: u64| (numbers.len() as u64) < n) {
            let Some(&byte) = self.peek()?.first() else {
                return Err(self.bad("malformed sparse map"));
            };
            self.consume(1);
            read += 1;
            if byte.is_ascii_digit() && digits.len() < 20 {
                digits.push(byte);
                continue;
            }
            let value = std::str::from_utf8(&digits).ok().and_then(|d| d.parse().ok());
            let value: u64 = value.filter(|_| byte == b'\n').ok_or_else(|| self.bad("malformed sparse map"))?;
            digits.clear();
            match expected {
                None => expected = Some(value.checked_mul(2).ok_or_else(|| self.bad("malformed sparse map"))?),
                Some(_) => numbers.push(value),
            }
            self.check_map(&numbers)?;
        }
        let padding = read.wrapping_neg() % BLOCK as u64;
        for _ in 0..padding {
            if self.peek()?.is_empty() {
                return Err(self.bad("malformed sparse map"));
            }
            self.consume(1);
        }
        Ok(numbers)
    }

    fn check_map(&self, numbers: &[u64]) -> Result<()> {
        if numbers.len() * 8 > self.limits.extensions {
            return Err(Error::Limit { what: "bytes of extended headers", limit: self.limits.extensions as u64 });
        }
        Ok(())
    }
}

fn read_error(source: io::Error) -> Error {
    Error::Io { op: "read", object: "archive".to_owned(), source }
}

fn until_nul(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|&b| b == 0).unwrap_or(field.len())]
}

/// Name and, in the formats that have one, prefix.
fn header_name(header: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&header[..100]);
    let prefix = match (&header[257..265], &header[508..512]) {
        (b"ustar\x0000", b"tar\0") => until_nul(&header[345..476]),
        (b"ustar\x0000", _) => until_nul(&header[345..500]),
        _ => &[],
    };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}
