//! `GET /containers/{id}/logs`.

use super::content_type;
use crate::error::{Failure, Result};
use crate::http::body::Body;
use crate::http::{Cx, Reply, reply};
use bytes::Bytes;
use dhow_api::stream::{self, Stream};
use dhow_api::time;
use dhow_engine::logs::model::{LogLine, LogRequest};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// Lines are sent together up to this many bytes.
const CHUNK: usize = 32 << 10;

/// How lines are written.
#[derive(Debug, Clone, Copy)]
struct Form {
    framed: bool,
    timestamps: bool,
    details: bool,
}

/// Streams the log.
pub(crate) async fn get(cx: &Cx, id: &str) -> Result<Reply> {
    let query = &cx.query;
    let request = LogRequest {
        stdout: query.boolean("stdout"),
        stderr: query.boolean("stderr"),
        follow: query.boolean("follow"),
        since: time::parse_query(query.get("since"))?.filter(|at| *at != 0),
        until: time::parse_query(query.get("until"))?.filter(|at| *at != 0),
        // What is no number means all, as for Docker.
        tail: query.get("tail").parse().ok(),
    };
    if !request.stdout && !request.stderr {
        return Err(Failure::invalid("Bad parameters: you must choose at least one stream"));
    }
    let tty = cx.app.engine.container(id)?.request.tty;
    let form = Form { framed: !tty, timestamps: query.boolean("timestamps"), details: query.boolean("details") };
    let lines = cx.app.engine.logs(id, request).await?;
    let (sender, body) = Body::stream();
    tokio::spawn(copy(lines, sender, form));
    Ok(reply::stream(content_type(tty, cx.version), body))
}

/// Copies lines until either side ends. What came together goes in one piece, unless it is large.
async fn copy(mut lines: mpsc::Receiver<dhow_engine::error::Result<Vec<LogLine>>>, sender: mpsc::Sender<Bytes>, form: Form) {
    loop {
        let next = tokio::select! {
            next = lines.recv() => next,
            () = sender.closed() => return,
        };
        let Some(next) = next else { return };
        let mut chunk = Vec::new();
        match next {
            Ok(batch) => {
                for line in batch {
                    write_line(&mut chunk, &line, form);
                    if chunk.len() >= CHUNK && sender.send(std::mem::take(&mut chunk).into()).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => write(&mut chunk, Stream::Stderr, format!("Error grabbing logs: {error}\n").as_bytes(), form.framed),
        }
        if !chunk.is_empty() && sender.send(chunk.into()).await.is_err() {
            return;
        }
    }
}

fn write_line(out: &mut Vec<u8>, line: &LogLine, form: Form) {
    let stream = if line.stream == 2 { Stream::Stderr } else { Stream::Stdout };
    if !form.timestamps && !form.details {
        return write(out, stream, &line.text, form.framed);
    }
    let mut text = Vec::with_capacity(line.text.len() + 40);
    if form.timestamps {
        text.extend_from_slice(time::rfc3339_fixed(line.at).as_bytes());
        text.push(b' ');
    }
    if form.details {
        text.extend_from_slice(details(&line.attrs).as_bytes());
        text.push(b' ');
    }
    text.extend_from_slice(&line.text);
    write(out, stream, &text, form.framed);
}

fn write(out: &mut Vec<u8>, stream: Stream, text: &[u8], framed: bool) {
    if framed {
        out.extend_from_slice(&stream::head(stream, u32::try_from(text.len()).unwrap_or(u32::MAX)));
    }
    out.extend_from_slice(text);
}

/// `k=v,...`, sorted, each part escaped as in a query.
fn details(attrs: &BTreeMap<String, String>) -> String {
    let escape = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    attrs.iter().map(|(key, value)| format!("{}={}", escape(key), escape(value))).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_line() {
        let line = LogLine {
            stream: 2,
            at: 1_700_000_000_000_000_005,
            text: b"hi\n".to_vec(),
            attrs: [("b".to_owned(), "x y".to_owned()), ("a".to_owned(), "1".to_owned())].into(),
        };
        let check = |framed, timestamps, details, expect: &[u8]| {
            let mut out = Vec::new();
            write_line(&mut out, &line, Form { framed, timestamps, details });
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expect));
        };
        check(false, false, false, b"hi\n");
        check(true, false, false, b"\x02\0\0\0\0\0\0\x03hi\n");
        check(false, true, true, b"2023-11-14T22:13:20.000000005Z a=1,b=x+y hi\n");
    }

    #[tokio::test]
    async fn lines_are_gathered_and_the_end_is_passed_on() {
        let (lines, receiver) = mpsc::channel(10);
        let (sender, mut chunks) = mpsc::channel(10);
        let line = |text: &str| LogLine { stream: 1, at: 0, text: text.into(), attrs: BTreeMap::new() };
        lines.send(Ok(vec![line("a\n"), line("b\n")])).await.unwrap();
        drop(lines);
        copy(receiver, sender, Form { framed: false, timestamps: false, details: false }).await;
        assert_eq!(chunks.recv().await.unwrap(), "a\nb\n");
        assert!(chunks.recv().await.is_none());
    }
}
