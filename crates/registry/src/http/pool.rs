//! Connections that are kept, and the sending of one request over one of them.

use super::body::Body;
use super::connect::{self, Failed, Network, Proxy};
use super::settings::Settings;
use super::target::{Origin, Scheme, Target, Trust};
use super::{dns, tls};
use crate::error::{Error, Result};
use dhow_reference::DEFAULT_DOMAIN;
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use rustls::ClientConfig;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Idle connections to one server.
const IDLE: usize = 8;

/// Sends requests. Redirects, identification and tries are of those above.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) settings: Settings,
    agent: HeaderValue,
    idle: Mutex<HashMap<(Origin, Trust), Vec<SendRequest<Body>>>>,
    tls: Mutex<HashMap<(String, Trust), Arc<ClientConfig>>>,
}

impl Http {
    pub(crate) fn new(settings: Settings) -> Self {
        let agent = HeaderValue::from_str(&settings.agent).unwrap_or_else(|_| HeaderValue::from_static("dhow"));
        Self { settings, agent, idle: Mutex::default(), tls: Mutex::default() }
    }

    /// Sends a request and waits for the head of the answer, at most `patience`.
    pub(crate) async fn send(
        &self,
        method: Method,
        target: &Target,
        trust: Trust,
        headers: &HeaderMap,
        body: Body,
        patience: Duration,
    ) -> Result<Response<Incoming>> {
        // The server may have closed a connection that was kept just now: that says nothing about a fresh one. What can be sent only once
        // gets a fresh one at once.
        if let Some(first) = body.again()
            && let Some(mut kept) = self.take(&target.origin, trust)
            && let Ok(Ok(answer)) = timeout(patience, kept.send_request(self.request(&method, target, headers, first)?)).await
        {
            self.keep(&target.origin, trust, kept);
            return Ok(answer);
        }
        let mut fresh = self.connect(&method, target, trust).await?;
        match timeout(patience, fresh.send_request(self.request(&method, target, headers, body)?)).await {
            Ok(Ok(answer)) => {
                self.keep(&target.origin, trust, fresh);
                Ok(answer)
            }
            Ok(Err(error)) => Err(broken(&method, target, cause(&error))),
            Err(_) => {
                let message = "net/http: request canceled (Client.Timeout exceeded while awaiting headers)";
                Err(broken(&method, target, message.into()))
            }
        }
    }

    async fn connect(&self, method: &Method, target: &Target, trust: Trust) -> Result<SendRequest<Body>> {
        let failed = |error: Failed| Error::Transport {
            method: verb(method),
            url: target.shown(),
            message: error.message,
            temporary: error.temporary,
            plain: error.plain,
        };
        let config = match target.origin.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(self.tls(target, trust).await?),
        };
        let mut proxy = Proxy::find(&target.origin, &self.settings.proxies).map_err(failed)?;
        if let Some(proxy) = proxy.as_mut().filter(|proxy| proxy.target.origin.scheme == Scheme::Https) {
            // Whoever the registry is, a proxy hears a password of its own.
            proxy.tls = Some(self.tls(&proxy.target, Trust::Checked).await?);
        }
        // A handshake's state is large, and would be part of every future above.
        let opening = Box::pin(connect::open(&target.origin, config, trust, proxy.as_ref()));
        match timeout(self.settings.connect_timeout, opening).await {
            Ok(opened) => opened.map_err(failed),
            Err(_) => Err(broken(method, target, "dial tcp: i/o timeout".into())),
        }
    }

    async fn tls(&self, target: &Target, trust: Trust) -> Result<Arc<ClientConfig>> {
        let key = (target.authority.clone(), trust);
        if let Some(found) = self.tls.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(found.clone());
        }
        let (host, directories) = (target.authority.clone(), self.settings.certificates.clone());
        let read = tokio::task::spawn_blocking(move || tls::config(&host, &directories, trust)).await;
        let config = read.map_err(|error| Error::Invalid(error.to_string()))?.map_err(|error| Error::Invalid(error.to_string()))?;
        self.tls.lock().unwrap_or_else(PoisonError::into_inner).insert(key, config.clone());
        Ok(config)
    }

    fn request(&self, method: &Method, target: &Target, headers: &HeaderMap, body: Body) -> Result<Request<Body>> {
        let mut request = Request::builder().method(method).uri(&target.path);
        if let Some(all) = request.headers_mut() {
            all.extend(headers.clone());
            all.insert(USER_AGENT, self.agent.clone());
        }
        let request = request.header(HOST, &target.authority).body(body);
        request.map_err(|error| Error::Invalid(format!("{} \"{}\": {error}", verb(method), target.shown())))
    }

    fn take(&self, origin: &Origin, trust: Trust) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.get_mut(&(origin.clone(), trust))?;
        kept.retain(|sender| !sender.is_closed());
        let ready = kept.iter().position(SendRequest::is_ready)?;
        Some(kept.swap_remove(ready))
    }

    /// It is used again once the body of its answer was read to the end.
    fn keep(&self, origin: &Origin, trust: Trust, sender: SendRequest<Body>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry((origin.clone(), trust)).or_default();
        kept.retain(|sender| !sender.is_closed());
        if kept.len() < IDLE {
            kept.push(sender);
        }
    }

    /// The person said that this host need not have a right certificate: by name, by network, or because it is this machine.
    pub(crate) async fn is_insecure(&self, authority: &str) -> bool {
        if authority == DEFAULT_DOMAIN {
            return false;
        }
        let list = &self.settings.insecure;
        let host = Target::parse(&format!("http://{authority}/")).map(|target| target.origin.host).unwrap_or_default();
        if list.iter().any(|entry| entry.eq_ignore_ascii_case(authority) || entry.eq_ignore_ascii_case(&host)) {
            return true;
        }
        let networks: Vec<Network> = list.iter().filter_map(|entry| Network::parse(entry)).collect();
        // Behind a proxy there may be nobody to ask for an address; and what goes through one is not this machine.
        let proxied = Target::parse(&format!("https://{authority}/"))
            .is_some_and(|target| connect::is_proxied(&target.origin, &self.settings.proxies));
        if networks.is_empty() && proxied {
            return false;
        }
        let inside = |address: &IpAddr| address.is_loopback() || networks.iter().any(|network| network.contains(*address));
        dns::lookup(&host).await.is_ok_and(|found| found.iter().any(inside))
    }
}

/// Go's spelling of a method.
pub(crate) fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "Get",
        Method::HEAD => "Head",
        Method::POST => "Post",
        Method::PUT => "Put",
        Method::PATCH => "Patch",
        _ => "Delete",
    }
}

fn broken(method: &Method, target: &Target, message: String) -> Error {
    Error::Transport { method: verb(method), url: target.shown(), message, temporary: true, plain: false }
}

/// The innermost reason: hyper's own words say little.
fn cause(error: &hyper::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    if error.is_incomplete_message() { "EOF".into() } else { last.to_string() }
}
