//! The client against registries that misbehave.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is all it can do")]

mod auth;
mod blobs;
mod logins;
mod manifests;
mod pushes;
mod searches;
mod server;
mod tls;

use dhow_reference::Reference;
use dhow_registry::{Access, Client, Credentials, Repository, Settings};
use server::Server;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Three tries, a millisecond apart; a body that stalls is given up soon.
fn settings() -> Settings {
    Settings { tries: 3, pause: Duration::from_millis(1), stall_timeout: Duration::from_millis(300), ..Settings::default() }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn name(server: &Server) -> Reference {
    Reference::parse(&format!("{}/a/b:1", server.address)).unwrap()
}

fn user() -> Credentials {
    Credentials { username: "user".into(), password: "secret".into(), ..Credentials::default() }
}

async fn repository(server: &Server) -> Repository {
    Client::new(settings()).repository(&name(server), &Credentials::default(), Access::Pull).await.unwrap()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
