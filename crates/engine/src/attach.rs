//! Attaching clients: detach keys, and the logs of a container that does not run.

use crate::client::{AttachRequest, Client, Head, frame, write_all};
use crate::container::command::{Attach, Command};
use crate::container::machine::is_active;
use crate::container::slot::Slot;
use crate::error::{Error, Kind, Result};
use crate::logs;
use crate::logs::model::LogRequest;
use crate::model::{Container, Status};
use crate::parts::Parts;
use dhow_shim::config::AttachConfig;
use std::sync::Arc;

/// ctrl-p, ctrl-q.
const DEFAULT_KEYS: [u8; 2] = [16, 17];
/// The bytes behind `ctrl-p,ctrl-q`; the default where nothing is given.
pub(crate) fn detach_keys(text: Option<&str>) -> Result<Vec<u8>> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(DEFAULT_KEYS.to_vec()) };
    let bad = || Error::new(Kind::Invalid, format!("Invalid detach keys ({text}) provided"));
    text.split(',').map(|key| key_byte(key).ok_or_else(bad)).collect()
}

fn key_byte(key: &str) -> Option<u8> {
    if let [byte] = key.as_bytes() {
        return byte.is_ascii().then_some(*byte);
    }
    match key.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        [letter @ b'A'..=b'Z'] => Some(letter - b'A' + 1),
        b"@" => Some(0),
        b"[" => Some(27),
        b"\\" => Some(28),
        b"]" => Some(29),
        b"^" => Some(30),
        b"_" => Some(31),
        _ => None,
    }
}

/// Checks that an attach is possible.
pub(crate) fn check(parts: &Parts, name: &str, request: &AttachRequest) -> Result<Arc<Container>> {
    detach_keys(request.detach_keys.as_deref())?;
    let container = parts.registry.get(name)?.get();
    match container.state.status {
        Status::Paused => Err(Error::new(Kind::Conflict, format!("container {name} is paused, unpause the container before attach"))),
        Status::Restarting => {
            Err(Error::new(Kind::Conflict, format!("container {name} is restarting, wait until the container is running")))
        }
        _ => Ok(container),
    }
}

/// Gives a client to a container. Its head is written in any case; `head`, where it was taken out, with the start, or by the caller.
pub(crate) async fn attach(
    parts: &Arc<Parts>,
    name: &str,
    request: AttachRequest,
    mut client: Client,
    head: Option<Arc<Head>>,
) -> Result<()> {
    let found = check(parts, name, &request).and_then(|container| Ok((parts.registry.get(&container.id)?, container)));
    let (slot, container) = match found {
        Ok(found) => found,
        Err(error) => {
            client.greet().map_err(|e| Error::internal("answer a client of container", name, e))?;
            return Err(error);
        }
    };
    if !is_active(container.state.status) && !request.stream {
        client.greet().map_err(|e| Error::internal("answer a client of container", name, e))?;
        if request.logs {
            parts.background.spawn(replay(slot, request, client));
        }
        return Ok(());
    }
    let config = AttachConfig {
        stdin: request.stdin && container.request.open_stdin,
        stdout: request.stdout,
        stderr: request.stderr,
        framed: !container.request.tty && !request.raw,
        detach_keys: if container.request.tty { detach_keys(request.detach_keys.as_deref())? } else { Vec::new() },
        early: std::mem::take(&mut client.early),
        replay: request.logs,
        stream: request.stream,
    };
    let attach = Attach { config, client, head };
    slot.ask(|reply| Command::Attach { attach, reply }).await
}

/// Sends the log of an ended container to a client, and lets it go.
async fn replay(slot: Arc<Slot>, request: AttachRequest, client: Client) {
    if let Err(error) = client.settled().await {
        tracing::debug!(container = slot.id, %error, "whether the client has read its answer is not known");
    }
    let container = slot.get();
    let wanted = LogRequest { stdout: request.stdout, stderr: request.stderr, ..LogRequest::default() };
    let Ok(mut lines) = logs::read(&slot, wanted) else { return };
    while let Some(Ok(batch)) = lines.recv().await {
        for line in batch {
            let bytes = if container.request.tty || request.raw { line.text } else { frame(line.stream, &line.text) };
            if write_all(&client.socket, &bytes).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let check = |text: Option<&str>, expect: Option<&[u8]>| match (detach_keys(text), expect) {
            (Ok(got), Some(want)) => assert_eq!(got, want),
            (Err(e), None) => assert_eq!(e.message, format!("Invalid detach keys ({}) provided", text.unwrap())),
            (got, want) => panic!("{got:?}, expected {want:?}"),
        };
        check(None, Some(&[16, 17]));
        check(Some(""), Some(&[16, 17]));
        check(Some("ctrl-a,x"), Some(&[1, b'x']));
        check(Some("ctrl-@,ctrl-[,ctrl-^,ctrl-_,ctrl-\\,ctrl-]"), Some(&[0, 27, 30, 31, 28, 29]));
        check(Some("ctrl-1"), None);
        check(Some("xy"), None);
        check(Some("a,,b"), None);
    }
}
