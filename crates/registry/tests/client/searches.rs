//! Searches.

use crate::server::{Answer, Server};
use crate::{run, settings, user};
use dhow_registry::{Client, Credentials, Search, Settings};

const FOUND: &str = r#"{"num_results":1,"results":[{"name":"x","description":"d","star_count":3,"is_official":true}]}"#;

fn search(settings: Settings, host: &str, credentials: &Credentials) -> Result<Vec<String>, String> {
    let search = Search { host: host.to_owned(), term: "a b".into(), limit: 25 };
    let found = run(async { Client::new(settings).search(&search, credentials).await }).map_err(|error| error.to_string())?;
    Ok(found.into_iter().map(|found| format!("{} {} {}", found.name, found.star_count, found.is_official)).collect())
}

#[test]
fn an_index_of_ones_own_and_the_configured_one() {
    let server = Server::start(|_, _| Answer::new(200, "", FOUND));
    assert_eq!(search(settings(), &server.address, &Credentials::default()).unwrap(), ["x 3 true"]);
    let index = Some(format!("http://{}/v1/", server.address));
    assert_eq!(search(Settings { index, ..settings() }, "docker.io", &user()).unwrap(), ["x 3 true"]);
    let asked = server.asked();
    assert_eq!((asked[0].path.as_str(), asked[0].header("authorization")), ("/v1/search?q=a+b&n=25", None));
    assert_eq!(asked[1].header("authorization"), Some("Basic dXNlcjpzZWNyZXQ="));
}

#[test]
fn answers_that_are_none() {
    for (answer, expect) in [
        (Answer::new(404, "", "x"), "Unexpected status code 404"),
        (Answer::new(200, "", "<html>"), "error decoding registry search results: expected value"),
        (Answer::new(200, "", vec![b' '; 5 << 20]), "is longer than 4194304 bytes"),
    ] {
        let server = Server::start(move |_, _| answer.clone());
        let error = search(settings(), &server.address, &Credentials::default()).unwrap_err();
        assert!(error.contains(expect), "{error}");
    }
}
