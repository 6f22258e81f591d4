//! Answers that are compressed for clients that ask for it.

use super::body::{Piece, Pieces};
use super::limits;
use dhow_engine::{Error, error::Kind};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;
use std::io::{self, Write};
use tokio::sync::mpsc;

/// How an answer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// A gzip file.
    Gzip,
    /// What Docker sends under this name: a stream of deflate without the header of zlib.
    Deflate,
}

impl Coding {
    /// As the headers have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// The coding that the client likes best, gzip among equals. `None`: as it is, also for who names none.
pub(crate) fn asked(headers: &HeaderMap) -> Option<Coding> {
    let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let wishes: Vec<(&str, f32)> = lines.flat_map(|line| line.split(',')).filter_map(wish).collect();
    let mut best = (None, 0.0);
    for coding in [Coding::Gzip, Coding::Deflate] {
        for (name, quality) in &wishes {
            if (*name == "*" || *name == coding.name()) && *quality > best.1 {
                best = (Some(coding), *quality);
            }
        }
    }
    best.0
}

/// One element of the header: `gzip;q=0.5`.
fn wish(text: &str) -> Option<(&str, f32)> {
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let quality = match parameters.trim().strip_prefix("q=") {
        Some(number) => number.trim().parse().ok()?,
        None => 1.0,
    };
    Some((name.trim(), quality))
}

/// Compresses what comes. Other tasks do not wait for that, and no thread waits for the client.
pub(crate) fn compress(coding: Coding, mut pieces: Pieces) -> Pieces {
    let (sender, compressed) = mpsc::channel(limits::CHUNKS);
    tokio::spawn(async move {
        let mut encoder = Encoder::new(coding);
        loop {
            let piece = tokio::select! {
                piece = pieces.recv() => piece,
                () = sender.closed() => return,
            };
            let last = piece.is_none();
            let work = match piece.transpose() {
                Ok(piece) => move || encoder.step(piece.as_deref()).map(|out| (encoder, out)),
                Err(error) => return give(&sender, Err(error)).await,
            };
            match tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done) {
                Ok((next, out)) => {
                    encoder = next;
                    if !out.is_empty() {
                        give(&sender, Ok(out)).await;
                    }
                }
                Err(error) => return give(&sender, Err(Error::new(Kind::Internal, format!("compress an answer: {error}")))).await,
            }
            if last {
                return;
            }
        }
    });
    compressed
}

/// Who has gone away is noticed by the closed channel.
async fn give(sender: &mpsc::Sender<Piece>, piece: Piece) {
    let _gone = sender.send(piece).await;
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(DeflateEncoder<Vec<u8>>),
}

impl Encoder {
    fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::default())),
            Coding::Deflate => Self::Deflate(DeflateEncoder::new(Vec::new(), Compression::default())),
        }
    }

    /// Takes a piece, or the end, and gives what has come out so far.
    fn step(&mut self, piece: Option<&[u8]>) -> io::Result<Vec<u8>> {
        let out = match self {
            Self::Gzip(encoder) => {
                match piece {
                    Some(piece) => encoder.write_all(piece)?,
                    None => encoder.try_finish()?,
                }
                encoder.get_mut()
            }
            Self::Deflate(encoder) => {
                match piece {
                    Some(piece) => encoder.write_all(piece)?,
                    None => encoder.try_finish()?,
                }
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_is_asked_for() {
        let check = |lines: &[&str], expect: Option<Coding>| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT_ENCODING, line.parse().unwrap());
            }
            assert_eq!(asked(&headers), expect, "{lines:?}");
        };
        use Coding::{Deflate, Gzip};
        check(&[], None);
        check(&["identity"], None);
        check(&["gzip"], Some(Gzip));
        check(&["deflate, gzip"], Some(Gzip));
        check(&["deflate"], Some(Deflate));
        check(&["br", "deflate ; q=0.5"], Some(Deflate));
        check(&["gzip;q=0.3,deflate;q=0.5"], Some(Deflate));
        check(&["gzip;q=0"], None);
        check(&["*"], Some(Gzip));
        check(&["gzip;q=x"], None);
    }

    async fn compressed(coding: Coding, pieces: Vec<Piece>) -> Vec<Piece> {
        let (sender, receiver) = mpsc::channel(1);
        let mut out = compress(coding, receiver);
        tokio::spawn(async move {
            for piece in pieces {
                give(&sender, piece).await;
            }
        });
        let mut all = Vec::new();
        while let Some(piece) = out.recv().await {
            all.push(piece);
        }
        all
    }

    #[tokio::test]
    async fn what_comes_out_is_what_went_in() {
        let text: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let pieces = || text.chunks(70_000).map(|piece| Ok(piece.to_vec())).collect::<Vec<Piece>>();
        for coding in [Coding::Gzip, Coding::Deflate] {
            let out: Vec<u8> = compressed(coding, pieces()).await.into_iter().flat_map(|piece| piece.unwrap()).collect();
            assert!(out.len() < text.len());
            let mut plain = Vec::new();
            match coding {
                Coding::Gzip => flate2::read::GzDecoder::new(&out[..]).read_to_end(&mut plain).unwrap(),
                Coding::Deflate => flate2::read::DeflateDecoder::new(&out[..]).read_to_end(&mut plain).unwrap(),
            };
            assert!(plain == text, "{coding:?}");
        }
        let mut broken = pieces();
        broken.push(Err(Error::new(Kind::Internal, "it is broken")));
        assert!(compressed(Coding::Gzip, broken).await.last().unwrap().is_err(), "half an archive has no end");
    }
}
