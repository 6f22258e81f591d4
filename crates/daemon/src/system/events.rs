//! `GET /events`.

use super::now;
use crate::error::{Failure, Result};
use crate::http::body::Body;
use crate::http::{Cx, Reply, reply};
use bytes::Bytes;
use dhow_api::types::{EventActor, EventMessage};
use dhow_api::{Filters, time};
use dhow_engine::events::{Event, Past, Range};
use dhow_reference::Reference;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

/// What was between two times, and what happens until the second one or for ever. One end is enough to ask for the past.
pub(crate) async fn get(cx: Cx) -> Result<Reply> {
    let (asked_since, asked_until) = (cx.query.get("since"), cx.query.get("until"));
    let range = Range { since: time::parse_query(asked_since)?, until: time::parse_query(asked_until)? };
    if let Range { since: Some(since), until: Some(until) } = range
        && until < since
    {
        return Err(Failure::invalid(format!("`since` time ({asked_since}) cannot be after `until` time ({asked_until})")));
    }
    let filters = Filters::parse(cx.query.get("filters"))?;
    let is_over = range.until.is_some_and(|until| until < now());
    let (past, live) = cx.app.engine.events(range);
    let (sender, body) = Body::stream();
    tokio::spawn(async move {
        if send_past(past, &sender, &filters).await && !is_over {
            follow(live, sender, range.until, &filters).await;
        }
    });
    Ok(reply::stream("application/json", body))
}

/// False where the listener is gone, or has had all that it can have.
async fn send_past(mut past: Past, sender: &mpsc::Sender<Bytes>, filters: &Filters) -> bool {
    loop {
        let next;
        (past, next) = match next_batch(past).await {
            Ok(read) => read,
            // Cut: it would have a gap that it cannot see.
            Err(error) => {
                tracing::warn!(%error, "past events could not be read");
                return false;
            }
        };
        let Some(batch) = next else { return true };
        let lines: Vec<u8> = batch.iter().filter(|event| matches(filters, event)).flat_map(|event| line(event)).collect();
        if !lines.is_empty() && sender.send(lines.into()).await.is_err() {
            return false;
        }
    }
}

/// The next piece, from a thread that may wait where it comes from disk.
async fn next_batch(mut past: Past) -> std::io::Result<(Past, Option<Vec<Arc<Event>>>)> {
    if !past.is_on_disk() {
        let next = past.next_batch()?;
        return Ok((past, next));
    }
    let read = move || {
        let next = past.next_batch()?;
        Ok((past, next))
    };
    tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)?
}

async fn follow(mut live: broadcast::Receiver<Arc<Event>>, sender: mpsc::Sender<Bytes>, until: Option<i64>, filters: &Filters) {
    let deadline = async {
        match until {
            Some(until) => tokio::time::sleep(Duration::from_nanos(u64::try_from(until - now()).unwrap_or(0))).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    loop {
        let event = tokio::select! {
            biased;
            () = sender.closed() => return,
            event = live.recv() => event,
            () = &mut deadline => return,
        };
        match event {
            Ok(event) if matches(filters, &event) => {
                if sender.send(line(&event).into()).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            // A listener that does not keep up is cut: it would have a gap that it cannot see.
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "a listener for events was too slow");
                return;
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn line(event: &Event) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(&message(event)).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Docker's shape before 1.52: containers and images have their old keys too.
fn message(event: &Event) -> EventMessage {
    let old = matches!(&*event.kind, "container" | "image");
    EventMessage {
        status: if old { event.action.clone() } else { String::new() },
        id: if old { event.actor.clone() } else { String::new() },
        from: if event.kind == "container" { event.attributes.get("image").cloned().unwrap_or_default() } else { String::new() },
        kind: event.kind.to_string(),
        action: event.action.clone(),
        actor: EventActor { id: event.actor.clone(), attributes: event.attributes.clone() },
        scope: "local".into(),
        time: event.at.div_euclid(1_000_000_000),
        time_nano: event.at,
    }
}

/// Keys that mean the beginning of an object's id or name, of whatever kind the object of the event is.
const OBJECTS: [&str; 9] = ["container", "network", "volume", "daemon", "plugin", "node", "service", "secret", "config"];
/// Actions that are followed by a text: who names one of them without it means the beginnings of actions.
const WITH_TEXT: [&str; 3] = ["exec_create", "exec_start", "health_status"];

fn matches(filters: &Filters, event: &Event) -> bool {
    if filters.is_empty() {
        return true;
    }
    let attribute = |key: &str| event.attributes.get(key).map(String::as_str).unwrap_or_default();
    let action = match filters.values("event").any(|wanted| WITH_TEXT.contains(&wanted)) {
        true => filters.matches_prefix("event", &event.action),
        false => filters.matches_exactly("event", &event.action),
    };
    let image = attribute(if event.kind == "image" { "name" } else { "image" });
    action
        && filters.matches_exactly("type", &event.kind)
        && filters.matches_exactly("scope", "local")
        && OBJECTS.iter().all(|key| filters.matches_prefix(key, &event.actor) || filters.matches_prefix(key, attribute("name")))
        && (!filters.contains("image") || is_image(filters, &event.actor) || is_image(filters, image))
        && filters.matches_labels("label", &event.attributes)
}

/// In full, or without tag and digest.
fn is_image(filters: &Filters, name: &str) -> bool {
    let bare = || Reference::parse(name).map_or_else(|_| name.to_owned(), |reference| reference.familiar_name());
    filters.matches_exactly("image", name) || filters.matches_exactly("image", &bare())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &'static str, action: &str) -> Event {
        let attributes = [("name", "web"), ("image", "busybox:1"), ("a", "b")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let kind = kind.into();
        Event { number: 1, kind, action: action.into(), actor: "abc123".into(), attributes, at: 1_700_000_000_000_000_001 }
    }

    #[test]
    fn shape() {
        insta::assert_snapshot!(serde_json::to_string(&message(&event("container", "start"))).unwrap(), @r#"{"status":"start","id":"abc123","from":"busybox:1","Type":"container","Action":"start","Actor":{"ID":"abc123","Attributes":{"a":"b","image":"busybox:1","name":"web"}},"scope":"local","time":1700000000,"timeNano":1700000000000000001}"#);
    }

    #[test]
    fn filters() {
        let check = |json: &str, event: &Event, expect: bool| assert_eq!(matches(&Filters::parse(json).unwrap(), event), expect, "{json}");
        let start = event("container", "start");
        check("", &start, true);
        check(r#"{"type":["container"],"event":["start"]}"#, &start, true);
        check(r#"{"type":["image","container"],"event":["start","die"]}"#, &start, true);
        check(r#"{"type":["image"]}"#, &start, false);
        check(r#"{"event":["die"]}"#, &start, false);
        check(r#"{"event":["sta"]}"#, &start, false);
        check(r#"{"event":["sta","exec_start"]}"#, &start, true);
        check(r#"{"event":["exec_create"]}"#, &event("container", "exec_create: ls "), true);
        check(r#"{"event":["exec_create: ls "]}"#, &event("container", "exec_create: ls "), true);
        check(r#"{"event":["exec_start"]}"#, &event("container", "exec_create: ls "), false);
        check(r#"{"event":["health_status"]}"#, &event("container", "health_status: healthy"), true);
        check(r#"{"event":["health_status: unhealthy"]}"#, &event("container", "health_status: healthy"), false);
        check(r#"{"container":["web"]}"#, &start, true);
        check(r#"{"container":["abc"]}"#, &start, true);
        check(r#"{"container":["db"]}"#, &start, false);
        check(r#"{"container":["db","web"]}"#, &start, true);
        check(r#"{"network":["web"],"container":["abc"]}"#, &start, true);
        check(r#"{"network":["lan"],"container":["abc"]}"#, &start, false);
        for key in OBJECTS {
            check(&format!(r#"{{"{key}":["other"]}}"#), &start, false);
        }
        check(r#"{"scope":["local"]}"#, &start, true);
        check(r#"{"scope":["swarm"]}"#, &start, false);
        check(r#"{"image":["busybox"]}"#, &start, true);
        check(r#"{"image":["busybox:1"]}"#, &start, true);
        check(r#"{"image":["busybox:2"]}"#, &start, false);
        check(r#"{"image":["web"]}"#, &event("image", "tag"), true);
        check(r#"{"image":["busybox"]}"#, &event("image", "tag"), false);
        check(r#"{"label":["a=b"]}"#, &start, true);
        check(r#"{"label":["a"]}"#, &start, true);
        check(r#"{"label":["a=b","c"]}"#, &start, false);
        check(r#"{"label":["a=c"]}"#, &start, false);
        // Docker knows no wrong key here.
        check(r#"{"bogus":["x"]}"#, &start, true);
    }
}
