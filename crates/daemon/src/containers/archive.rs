//! `HEAD`, `GET` and `PUT /containers/{id}/archive`: what lies at a path, as a header and as a tar, and a tar unpacked there.

use crate::error::{Failure, Result};
use crate::http::body::{self, Body};
use crate::http::{Cx, Reply, encoding, reply};
use base64::Engine as _;
use dhow_api::types;
use dhow_engine::{ArchiveWrite, PathStat};
use http::header::CONTENT_ENCODING;
use http::{HeaderName, HeaderValue, StatusCode};
use rustix::fs::FileType;

const STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

/// What lies there.
pub(crate) async fn head(cx: &Cx, id: &str) -> Result<Reply> {
    let stat = cx.app.engine.path_stat(id, path(cx)?).await?;
    let mut answer = reply::empty(StatusCode::OK);
    answer.headers_mut().insert(STAT, header(&stat)?);
    Ok(answer)
}

/// A tar of what lies there, compressed for who takes that. One that fails on the way breaks the connection.
pub(crate) async fn get(cx: &Cx, id: &str) -> Result<Reply> {
    let (stat, pieces) = cx.app.engine.path_read(id, path(cx)?).await?;
    let coding = encoding::asked(&cx.headers);
    let pieces = match coding {
        Some(coding) => encoding::compress(coding, pieces),
        None => pieces,
    };
    let mut answer = reply::stream("application/x-tar", Body::fallible(pieces));
    if let Some(coding) = coding {
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    answer.headers_mut().insert(STAT, header(&stat)?);
    Ok(answer)
}

/// Unpacks the body there.
pub(crate) async fn put(cx: Cx, id: &str) -> Result<Reply> {
    let how = ArchiveWrite { keep_kinds: cx.query.boolean("noOverwriteDirNonDir"), to_user: cx.query.boolean("copyUIDGID") };
    let at = path(&cx)?.to_owned();
    let engine = cx.app.engine.clone();
    engine.path_write(id, &at, how, body::pieces(cx.body)).await?;
    Ok(reply::empty(StatusCode::OK))
}

fn path(cx: &Cx) -> Result<&str> {
    Some(cx.query.get("path")).filter(|path| !path.is_empty()).ok_or_else(|| Failure::invalid("bad parameter: pathcannot be empty"))
}

fn header(stat: &PathStat) -> Result<HeaderValue> {
    let fail = |e: &dyn std::fmt::Display| Failure::internal(format!("encoding the answer: {e}"));
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let shown = types::PathStat {
        name: lossy(&stat.name),
        size: i64::try_from(stat.size).unwrap_or(i64::MAX),
        mode: go_mode(stat.mode),
        mtime: dhow_api::time::rfc3339(stat.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(stat.nanos))),
        link_target: lossy(&stat.target),
    };
    let json = serde_json::to_vec(&shown).map_err(|e| fail(&e))?;
    HeaderValue::from_str(&base64::engine::general_purpose::STANDARD.encode(json)).map_err(|e| fail(&e))
}

/// A mode as Go has it: permissions in the low bits, what kind it is and the other bits in the high ones.
fn go_mode(mode: u32) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    special.iter().filter(|(bit, _)| mode & bit != 0).fold(kind | (mode & 0o777), |all, (_, bit)| all | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_go_has_them() {
        for (mode, expect) in [
            (0o100_644, 0o644),
            (0o040_755, 1 << 31 | 0o755),
            (0o120_777, 1 << 27 | 0o777),
            (0o104_755, 1 << 23 | 0o755),
            (0o041_777, 1 << 31 | 1 << 20 | 0o777),
            (0o020_666, 1 << 26 | 1 << 21 | 0o666),
            (0o010_600, 1 << 25 | 0o600),
        ] {
            assert_eq!(go_mode(mode), expect, "{mode:o}");
        }
    }
}
