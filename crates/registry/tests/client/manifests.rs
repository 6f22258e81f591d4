//! Manifests: of the wrong type, of the wrong digest, too long, malformed, refused.

use crate::server::{Answer, Server};
use crate::{digest, name, repository, run, settings};
use dhow_registry::protocol::{Document, media};
use dhow_registry::{Client, Credentials, Settings};

const EMPTY: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

fn typed(kind: &str, body: &str) -> Answer {
    Answer::new(200, &format!("content-type: {kind}\r\n"), body)
}

/// A registry with one answer for everything.
fn always(answer: Answer) -> Server {
    Server::start(move |asked, _| if asked.path == "/v2/" { Answer::new(200, "", "") } else { answer.clone() })
}

fn manifest(answer: Answer, wanted: &str) -> Result<Document, String> {
    let server = always(answer);
    run(async { repository(&server).await.manifest(wanted).await }).map(|found| found.document).map_err(|error| error.to_string())
}

#[test]
fn what_is_no_manifest_is_refused() {
    for (answer, expect) in [
        (typed("text/html", "<html>"), "unsupported manifest media type and no default available: text/html"),
        (typed(media::OCI_INDEX, "{"), "malformed manifest: EOF"),
        (typed(media::OCI_MANIFEST, EMPTY), "it names no configuration"),
        (typed(media::OCI_INDEX, &" ".repeat(5 << 20)), "is longer than 4194304 bytes"),
        (
            Answer::new(404, "", r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
            "manifest unknown: manifest unknown",
        ),
        (Answer::new(403, "", "<html>"), "denied: requested access to the resource is denied"),
        (Answer::new(500, "", "oops"), "received unexpected HTTP status: 500 Internal Server Error"),
    ] {
        let error = manifest(answer, "1").unwrap_err();
        assert!(error.contains(expect), "{error}");
    }
    assert_eq!(manifest(typed(media::SCHEMA1[0], "anything"), "1").unwrap(), Document::Schema1);
}

#[test]
fn a_digest_is_checked_before_anything_is_read() {
    let wanted = digest(b"something else");
    let error = manifest(typed(media::OCI_INDEX, "{"), &wanted).unwrap_err();
    assert_eq!(error, format!("manifest verification failed for digest {wanted}"));
    manifest(typed(media::OCI_INDEX, EMPTY), &digest(EMPTY.as_bytes())).unwrap();
    // What the registry says itself must be right too.
    let lying = Answer::new(200, &format!("content-type: {}\r\ndocker-content-digest: {wanted}\r\n", media::OCI_INDEX), EMPTY);
    assert!(manifest(lying, "1").unwrap_err().starts_with("manifest verification failed"));
}

#[test]
fn tags_come_in_pages_from_the_registry_alone() {
    let other = always(Answer::new(200, "", r#"{"tags":["evil"]}"#));
    let elsewhere = other.address.clone();
    let server = Server::start(move |asked, _| match asked.path.as_str() {
        "/v2/a/b/tags/list" => Answer::new(200, "link: </v2/a/b/tags/list?last=2>; rel=\"next\"\r\n", r#"{"tags":["1","2"]}"#),
        "/v2/a/b/tags/list?last=2" => {
            Answer::new(200, &format!("link: <http://{elsewhere}/v2/a/b/tags/list>; rel=\"next\"\r\n"), r#"{"tags":["3"]}"#)
        }
        _ => Answer::new(200, "", ""),
    });
    assert_eq!(run(async { repository(&server).await.tags().await }).unwrap(), ["1", "2", "3"]);
    assert!(other.asked().is_empty());
    let wrong = always(Answer::new(200, "", r#"{"tags":["../x"]}"#));
    assert!(run(async { repository(&wrong).await.tags().await }).unwrap_err().to_string().starts_with("invalid tag"));
}

#[test]
fn nobody_there() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = always(Answer::new(200, "", ""));
    let name = dhow_reference::Reference::parse(&format!("{closed}/a:1")).unwrap();
    let error = run(async { Client::new(settings()).resolve(&name, &Credentials::default()).await }).unwrap_err();
    assert_eq!(error.to_string(), format!("Get \"http://{closed}/v2/\": dial tcp {closed}: connect: connection refused"));
    drop(server);
}

#[test]
fn a_mirror_goes_before_the_hub_and_gets_no_credentials() {
    let mirror = always(typed(media::OCI_INDEX, EMPTY));
    let settings = Settings { mirrors: vec![format!("http://{}/hub", mirror.address)], ..settings() };
    let name = dhow_reference::Reference::parse("busybox:1").unwrap();
    run(async { Client::new(settings).resolve(&name, &crate::user()).await }).unwrap();
    let asked = mirror.asked();
    assert_eq!(asked.last().unwrap().path, "/hub/v2/library/busybox/manifests/1");
    assert!(asked.iter().all(|asked| asked.header("authorization").is_none()));
}

#[test]
fn a_mirror_is_asked_for_all_tags() {
    let mirror = always(Answer::new(200, "", r#"{"tags":["1","2"]}"#));
    let settings = Settings { mirrors: vec![format!("http://{}/hub", mirror.address)], ..settings() };
    let name = dhow_reference::Reference::parse("busybox").unwrap();
    assert_eq!(run(async { Client::new(settings).tags(&name, &crate::user()).await }).unwrap(), ["1", "2"]);
    assert!(mirror.asked().iter().all(|asked| asked.header("authorization").is_none()));
}

#[test]
fn the_name_is_asked_for() {
    let server = always(typed(media::OCI_INDEX, EMPTY));
    run(async { Client::new(settings()).resolve(&name(&server), &Credentials::default()).await }).unwrap();
    let asked = server.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("GET", "/v2/a/b/manifests/1"));
    assert!(asked[0].header("accept").unwrap().contains(media::DOCKER_LIST));
}

#[test]
fn class24_an_endless_list_of_tags_is_refused() {
    let page = format!(r#"{{"tags":[{}]}}"#, vec!["\"1\""; 60_000].join(","));
    let server = Server::start(move |asked, _| match asked.path.as_str() {
        path if path.starts_with("/v2/a/b/tags/list") => {
            Answer::new(200, "link: </v2/a/b/tags/list?last=1>; rel=\"next\"\r\n", page.as_str())
        }
        _ => Answer::new(200, "", ""),
    });
    let error = run(async { repository(&server).await.tags().await }).unwrap_err();
    assert_eq!(error.to_string(), "more than 100000 tags in the list of tags");
    assert_eq!(server.asked().len(), 2);
}
