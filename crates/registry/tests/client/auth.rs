//! Who gets credentials, and who does not (class 14).

use crate::server::{Answer, Server};
use crate::{name, run, settings, user};
use dhow_registry::protocol::media;
use dhow_registry::{Client, Credentials};

const EMPTY: &str = r#"{"schemaVersion":2,"manifests":[]}"#;
/// `user:secret`.
const BASIC: &str = "Basic dXNlcjpzZWNyZXQ=";

fn index() -> Answer {
    Answer::new(200, &format!("content-type: {}\r\n", media::OCI_INDEX), EMPTY)
}

fn challenge(text: &str) -> Answer {
    Answer::new(401, &format!("www-authenticate: {text}\r\n"), "")
}

fn resolve(server: &Server, credentials: &Credentials) -> Result<(), String> {
    run(async { Client::new(settings()).resolve(&name(server), credentials).await }).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn a_name_and_a_password() {
    let server =
        Server::start(|asked, _| if asked.header("authorization") == Some(BASIC) { index() } else { challenge("Basic realm=\"x\"") });
    resolve(&server, &user()).unwrap();
    let error = resolve(&server, &Credentials::default()).unwrap_err();
    assert_eq!(error, format!("Head \"http://{}/v2/a/b/manifests/1\": no basic auth credentials", server.address));
    let wrong = Credentials { password: "other".into(), ..user() };
    assert_eq!(resolve(&server, &wrong).unwrap_err(), "unauthorized: authentication required");
}

/// A token server, and a registry that believes it. `life` tells how often a token is taken.
fn with_tokens(life: usize) -> (Server, Server) {
    let tokens = Server::start(|_, before| Answer::new(200, "", format!(r#"{{"token":"t{before}","expires_in":300}}"#)));
    let realm = tokens.address.clone();
    let registry = Server::start(move |asked, before| {
        let number = before / life;
        if asked.header("authorization") == Some(&format!("Bearer t{number}")) {
            return index();
        }
        challenge(&format!("Bearer realm=\"http://{realm}/token\",service=\"r.example\""))
    });
    (tokens, registry)
}

#[test]
fn a_token_for_nobody_in_particular() {
    let (tokens, registry) = with_tokens(100);
    resolve(&registry, &Credentials::default()).unwrap();
    let asked = tokens.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/token?service=r.example&scope=repository%3Aa%2Fb%3Apull");
    assert_eq!(asked[0].header("authorization"), None);
}

#[test]
fn a_token_for_somebody_and_a_fresh_one_when_it_is_over() {
    let (tokens, registry) = with_tokens(1);
    run(async {
        let client = Client::new(settings());
        let (repository, _) = client.resolve(&name(&registry), &user()).await.unwrap();
        repository.manifest("1").await.unwrap_err();
        repository.manifest("2").await.unwrap_err();
    });
    let asked = tokens.asked();
    assert!(asked.len() >= 2);
    assert!(asked.iter().all(|asked| asked.header("authorization") == Some(BASIC)));
    assert!(asked[0].path.contains("account=user"));
}

#[test]
fn an_identity_token_is_posted() {
    let tokens = Server::start(|_, _| Answer::new(200, "", r#"{"access_token":"t"}"#));
    let realm = tokens.address.clone();
    let registry = Server::start(move |asked, _| match asked.header("authorization") {
        Some("Bearer t") => index(),
        _ => challenge(&format!("Bearer realm=\"http://{realm}/token\",service=\"s\"")),
    });
    resolve(&registry, &Credentials { identity_token: "id".into(), ..Credentials::default() }).unwrap();
    let asked = tokens.asked();
    assert_eq!(asked[0].method, "POST");
    let body = String::from_utf8(asked[0].body.clone()).unwrap();
    assert!(body.contains("grant_type=refresh_token") && body.contains("refresh_token=id"), "{body}");
}

#[test]
fn bad_token_servers() {
    for (answer, expect) in [
        (Answer::new(401, "", r#"{"details":"incorrect username or password"}"#), "unauthorized: incorrect username or password"),
        (Answer::new(500, "", ""), "failed to fetch oauth token: received unexpected HTTP status: 500 Internal Server Error"),
        (Answer::new(200, "", "<html>"), "unable to decode token response: expected value at line 1 column 1"),
        (Answer::new(200, "", "{}"), "authorization server did not include a token in the response"),
        (Answer::new(302, "location: http://127.0.0.1:1/\r\n", ""), "received unexpected HTTP status: 302 Found"),
    ] {
        let tokens = Server::start(move |_, _| answer.clone());
        let realm = tokens.address.clone();
        let registry = Server::start(move |_, _| challenge(&format!("Bearer realm=\"http://{realm}/token\"")));
        let error = resolve(&registry, &user()).unwrap_err();
        assert!(error.ends_with(expect), "{error}");
    }
}

#[test]
fn class14_cve_2020_15157_another_host_gets_no_credentials() {
    let other = Server::start(|_, _| challenge("Basic realm=\"give me\""));
    let elsewhere = other.address.clone();
    let registry = Server::start(move |asked, _| match asked.header("authorization") {
        Some(BASIC) if asked.path != "/v2/" => Answer::new(307, &format!("location: http://{elsewhere}/x\r\n"), ""),
        Some(_) => Answer::new(200, "", ""),
        None => challenge("Basic realm=\"x\""),
    });
    assert_eq!(resolve(&registry, &user()).unwrap_err(), "unauthorized: authentication required");
    let asked = other.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), None);
}

#[test]
fn class14_secrets_are_not_shown() {
    let credentials = Credentials { identity_token: "hidden".into(), registry_token: "hidden".into(), ..user() };
    let shown = format!("{credentials:?}");
    assert!(!shown.contains("secret") && !shown.contains("hidden"), "{shown}");
}
