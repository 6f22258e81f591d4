//! `GET /events`.

use super::now;
use crate::error::{Failure, Result};
use crate::http::body::Body;
use crate::http::{Cx, Reply, reply};
use bytes::Bytes;
use dhow_api::types::{EventActor, EventMessage};
use dhow_api::{Filters, time};
use dhow_engine::events::Event;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

/// Past ones since a time, then those to come, until a time or for ever.
pub(crate) async fn get(cx: Cx) -> Result<Reply> {
    let since = time::parse_query(cx.query.get("since"))?;
    let until = time::parse_query(cx.query.get("until"))?;
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        let seconds = |at: i64| at.div_euclid(1_000_000_000);
        return Err(Failure::invalid(format!("`since` time ({}) cannot be after `until` time ({})", seconds(since), seconds(until))));
    }
    let filters = Filters::parse(cx.query.get("filters"))?;
    // `until` alone, in the past, asks for nothing but what was.
    let from = since.or_else(|| until.filter(|until| *until <= now()).map(|_| 0));
    let (past, live) = cx.app.engine.events(from);
    let (sender, body) = Body::stream();
    tokio::spawn(async move {
        for event in past.iter().filter(|event| until.is_none_or(|until| event.at <= until) && matches(&filters, event)) {
            if sender.send(line(event)).await.is_err() {
                return;
            }
        }
        follow(live, sender, until, &filters).await;
    });
    Ok(reply::stream("application/json", body))
}

async fn follow(mut live: broadcast::Receiver<Event>, sender: mpsc::Sender<Bytes>, until: Option<i64>, filters: &Filters) {
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
                if sender.send(line(&event)).await.is_err() {
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

fn line(event: &Event) -> Bytes {
    let mut bytes = serde_json::to_vec(&message(event)).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

/// Docker's shape before 1.52: containers and images have their old keys too.
fn message(event: &Event) -> EventMessage {
    let old = matches!(event.kind, "container" | "image");
    EventMessage {
        status: if old { event.action.clone() } else { String::new() },
        id: if old { event.actor.clone() } else { String::new() },
        from: if event.kind == "container" { event.attributes.get("image").cloned().unwrap_or_default() } else { String::new() },
        kind: event.kind.into(),
        action: event.action.clone(),
        actor: EventActor { id: event.actor.clone(), attributes: event.attributes.clone() },
        scope: "local".into(),
        time: event.at.div_euclid(1_000_000_000),
        time_nano: event.at,
    }
}

fn matches(filters: &Filters, event: &Event) -> bool {
    if filters.is_empty() {
        return true;
    }
    let attribute = |key: &str| event.attributes.get(key).map(String::as_str).unwrap_or_default();
    // An object's kind as key means its id or name, and lets no other kind pass.
    let about = |kind: &str| {
        !filters.contains(kind)
            || (event.kind == kind && (filters.matches_prefix(kind, &event.actor) || filters.matches_prefix(kind, attribute("name"))))
    };
    let image = !filters.contains("image")
        || (event.kind == "image" && (is_image(filters, &event.actor) || is_image(filters, attribute("name"))))
        || (event.kind == "container" && is_image(filters, attribute("image")));
    let action = event.action.split(':').next().unwrap_or_default();
    let named =
        filters.matches_exactly("event", &event.action) || (event.action.len() > action.len() && filters.matches_exactly("event", action));
    named
        && filters.matches_exactly("type", event.kind)
        && filters.matches_exactly("scope", "local")
        && ["container", "network", "volume", "daemon", "plugin", "node", "service", "secret", "config"].iter().all(|kind| about(kind))
        && image
        && filters.matches_labels("label", &event.attributes)
}

/// With or without its tag.
fn is_image(filters: &Filters, name: &str) -> bool {
    let bare = match name.rsplit_once(':') {
        Some((left, tag)) if !tag.contains('/') => left,
        _ => name,
    };
    !name.is_empty() && (filters.matches_exactly("image", name) || filters.matches_exactly("image", bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &'static str, action: &str) -> Event {
        let attributes = [("name", "web"), ("image", "busybox:1"), ("a", "b")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        Event { kind, action: action.into(), actor: "abc123".into(), attributes, at: 1_700_000_000_000_000_001 }
    }

    #[test]
    fn shape() {
        insta::assert_snapshot!(serde_json::to_string(&message(&event("container", "start"))).unwrap(), @r#"{"status":"start","id":"abc123","from":"busybox:1","Type":"container","Action":"start","Actor":{"ID":"abc123","Attributes":{"a":"b","image":"busybox:1","name":"web"}},"scope":"local","time":1700000000,"timeNano":1700000000000000001}"#);
    }

    #[test]
    fn filters() {
        let check = |json: &str, event: &Event, expect: bool| assert_eq!(matches(&Filters::parse(json).unwrap(), event), expect, "{json}");
        let start = event("container", "start");
        check(r#"{"type":["container"],"event":["start"]}"#, &start, true);
        check(r#"{"event":["die"]}"#, &start, false);
        check(r#"{"event":["exec_create"]}"#, &event("container", "exec_create: ls "), true);
        check(r#"{"container":["web"]}"#, &start, true);
        check(r#"{"container":["abc"]}"#, &start, true);
        check(r#"{"container":["db"]}"#, &start, false);
        check(r#"{"network":["web"]}"#, &start, false);
        check(r#"{"image":["busybox"]}"#, &start, true);
        check(r#"{"label":["a=b"]}"#, &start, true);
        check(r#"{"label":["a=c"]}"#, &start, false);
    }
}
