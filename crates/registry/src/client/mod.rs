//! The client.

mod answer;
mod auth;
mod blob;
mod endpoint;
mod login;
mod pull;
mod push;
mod search;
mod session;

pub use auth::Credentials;
pub use blob::{Blob, BlobEvent};
pub use pull::Fetched;
pub use push::{Content, Place, Upload};
pub use search::{Found, Search};

use crate::error::{Error, Result};
use crate::http::{Http, Settings};
use dhow_reference::Reference;
use endpoint::Base;
use session::Session;
use std::sync::Arc;

/// What a client wants to do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Pull,
    /// Read and write.
    Push,
}

/// A client of registries. Cheap to make; connections are kept as long as it lives.
#[derive(Debug, Clone)]
pub struct Client {
    http: Arc<Http>,
}

/// One repository of one registry, with whom we are to it.
#[derive(Debug, Clone)]
pub struct Repository {
    session: Arc<Session>,
    /// `library/busybox`.
    path: String,
}

impl Client {
    /// A client with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { http: Arc::new(Http::new(settings)) }
    }

    /// The repository of a name, at its own registry.
    pub async fn repository(&self, name: &Reference, credentials: &Credentials, access: Access) -> Result<Repository> {
        let bases = endpoint::bases(name, &self.http.settings, self.http.is_insecure(name.domain()).await, access)?;
        let mut last = None;
        for base in bases.iter().filter(|base| !base.mirror) {
            match self.open(base, name, credentials, access).await {
                Ok(repository) => return Ok(repository),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::Invalid(format!("{} names no registry", name.familiar_name()))))
    }

    /// One server: it is greeted, and what it says decides how we identify ourselves.
    async fn open(&self, base: &Base, name: &Reference, credentials: &Credentials, access: Access) -> Result<Repository> {
        let actions = if access == Access::Pull { "pull" } else { "pull,push" };
        let scope = format!("repository:{}:{actions}", name.path());
        // What a person has for a registry is not for its mirrors.
        let credentials = if base.mirror { Credentials::default() } else { credentials.clone() };
        let session = Session::greet(self.http.clone(), base.clone(), credentials, vec![scope]).await?;
        Ok(Repository { session: Arc::new(session), path: name.path().to_owned() })
    }
}
