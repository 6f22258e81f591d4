//! Login: are name and password right?

use super::endpoint;
use super::session::Session;
use super::{Client, Credentials};
use crate::error::{Error, Result};
use dhow_reference::DEFAULT_DOMAIN;
use std::sync::Arc;

impl Client {
    /// Asks a server (`host[:port]`, or an address that begins so) whether it takes these credentials. Gives the identity token that is to be
    /// kept instead of the password; empty where the server has none.
    pub async fn login(&self, server: &str, credentials: &Credentials) -> Result<String> {
        let host = host(server);
        let insecure = self.http.is_insecure(host).await;
        let mut last = None;
        for base in endpoint::of_host(host, insecure)? {
            let opened = Session::greet(Arc::clone(&self.http), base.clone(), credentials.clone(), Vec::new()).await;
            let asked = match opened {
                Ok(session) => session.login().await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(token) => return Ok(token),
                Err(error) if base.answered(&error) => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::Invalid(format!("{server} names no registry"))))
    }
}

/// The host of what a person or a configuration calls a registry. Docker Hub has several names, and none at all.
fn host(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    match rest.split('/').next().unwrap_or_default() {
        "" | "index.docker.io" | "registry-1.docker.io" => DEFAULT_DOMAIN,
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn hosts() {
        for (server, expect) in [
            ("", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("docker.io", "docker.io"),
            ("r.example:5000", "r.example:5000"),
            ("http://r.example/v2/x", "r.example"),
        ] {
            assert_eq!(host(server), expect, "{server}");
        }
    }
}
