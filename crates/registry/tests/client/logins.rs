//! Logins, and who hears of a password.

use crate::server::{Answer, Server};
use crate::{run, settings, user};
use dhow_registry::{Client, Credentials};

/// `user:secret`.
const BASIC: &str = "Basic dXNlcjpzZWNyZXQ=";

fn login(server: &Server, credentials: &Credentials) -> Result<String, String> {
    run(async { Client::new(settings()).login(&server.address, credentials).await }).map_err(|error| error.to_string())
}

fn challenge(text: &str) -> Answer {
    Answer::new(401, &format!("www-authenticate: {text}\r\n"), "")
}

#[test]
fn by_name_and_password() {
    let server = Server::start(|asked, _| match asked.header("authorization") {
        Some(BASIC) => Answer::new(200, "", "{}"),
        _ => challenge("Basic realm=\"x\""),
    });
    assert_eq!(login(&server, &user()).unwrap(), "");
    let wrong = Credentials { password: "other".into(), ..user() };
    let expect = format!("login attempt to http://{}/v2/ failed with status: 401 Unauthorized", server.address);
    assert_eq!(login(&server, &wrong).unwrap_err(), expect);
}

#[test]
fn by_token_with_one_to_keep() {
    let tokens = Server::start(|asked, _| match asked.header("authorization") {
        Some(BASIC) => Answer::new(200, "", r#"{"token":"t","refresh_token":"keep"}"#),
        _ => Answer::new(401, "", r#"{"details":"incorrect username or password"}"#),
    });
    let realm = tokens.address.clone();
    let registry = Server::start(move |asked, _| match asked.header("authorization") {
        Some("Bearer t") => Answer::new(200, "", "{}"),
        _ => challenge(&format!("Bearer realm=\"http://{realm}/token\",service=\"s\"")),
    });
    assert_eq!(login(&registry, &user()).unwrap(), "keep");
    assert_eq!(tokens.asked()[0].path, "/token?service=s&account=user&offline_token=true&client_id=dhow");
    let wrong = Credentials { password: "other".into(), ..user() };
    let expect = format!("Get \"http://{}/v2/\": unauthorized: incorrect username or password", registry.address);
    assert_eq!(login(&registry, &wrong).unwrap_err(), expect);
}

#[test]
fn class14_a_registry_that_sends_on_gets_no_password_for_others() {
    let other = Server::start(|_, _| Answer::new(200, "", "{}"));
    let to = other.address.clone();
    let server = Server::start(move |asked, _| match asked.header("authorization") {
        None => challenge("Basic realm=\"x\""),
        Some(_) => Answer::new(307, &format!("location: http://{to}/v2/\r\n"), ""),
    });
    login(&server, &user()).unwrap();
    let asked = other.all();
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked.header("authorization").is_none()));
}

#[test]
fn what_is_no_registry() {
    let server = Server::start(|_, _| Answer::new(404, "", "<html>"));
    let expect = format!("login attempt to http://{}/v2/ failed with status: 404 Not Found", server.address);
    assert_eq!(login(&server, &user()).unwrap_err(), expect);
    let garbled = Server::start(|_, _| challenge("Bearer realm=\"file:///etc/passwd\""));
    assert!(login(&garbled, &user()).unwrap_err().ends_with("invalid token server \"file:///etc/passwd\""));
    let endless = Server::start(|_, _| challenge("Bearer realm=\"http://127.0.0.1:1/token\""));
    assert!(login(&endless, &user()).unwrap_err().contains("connect: connection refused"));
}
