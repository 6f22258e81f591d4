//! Search, in the form of Docker Hub's index.

use super::endpoint::{self, Base};
use super::session::Session;
use super::{Client, Credentials};
use crate::error::{Error, Result};
use crate::http::Trust;
use dhow_reference::DEFAULT_DOMAIN;
use http::HeaderMap;
use serde::Deserialize;

/// Docker Hub's index.
const HUB: &str = "https://index.docker.io";
/// Most bytes of an answer.
const ANSWER_MAX: usize = 4 << 20;

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The index (`registry.example:5000`, `docker.io`).
    pub host: String,
    /// The words.
    pub term: String,
    /// Most results.
    pub limit: u32,
}

/// One image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    /// `library/busybox` without `library/`, as the index names it.
    pub name: String,
    /// What it is.
    pub description: String,
    /// How many people like it.
    pub star_count: i64,
    /// The index vouches for it.
    pub is_official: bool,
    /// It was built by the index.
    pub is_automated: bool,
}

impl Client {
    /// Asks an index.
    pub async fn search(&self, search: &Search, credentials: &Credentials) -> Result<Vec<Found>> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            results: Option<Vec<Found>>,
        }
        let mut last = None;
        for base in self.indexes(&search.host).await? {
            let path = format!("{}/v1/search", base.target.path);
            let target = base.target.with_path(path).with_query("q", &search.term).with_query("n", &search.limit.to_string());
            let session = Session::plain(self.http.clone(), base.clone(), credentials.clone());
            match session.get("the answer", &target, &HeaderMap::new(), ANSWER_MAX, |_| ()).await {
                Ok((bytes, ())) => {
                    let answer: Answer = serde_json::from_slice(&bytes)
                        .map_err(|error| Error::Invalid(format!("error decoding registry search results: {error}")))?;
                    return Ok(answer.results.unwrap_or_default());
                }
                Err(Error::Refused { status, .. } | Error::Status { status, .. }) => {
                    return Err(Error::Invalid(format!("Unexpected status code {status}")));
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::Invalid(format!("{} names no index", search.host))))
    }

    async fn indexes(&self, host: &str) -> Result<Vec<Base>> {
        if host != DEFAULT_DOMAIN {
            return endpoint::of_host(host, self.http.is_insecure(host).await);
        }
        let own = self.http.settings.index.as_deref().map(|index| index.trim_end_matches('/').trim_end_matches("/v1"));
        Ok(vec![Base::new(own.unwrap_or(HUB), Trust::Checked, false)?])
    }
}
