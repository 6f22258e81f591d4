//! Who we are to a registry: a name and a password with each request, or a token that its token server gives for them.
//!
//! Credentials go to two places only: the registry itself, and the token server that the registry itself named, over TLS where the registry
//! is reached over TLS. Nobody to whom a request is redirected gets them, nor are they asked for (CVE-2020-15157).

use super::answer;
use crate::error::{Error, Result};
use crate::http::{Body, Http, Scheme, Target, Trust, verb};
use crate::protocol::Challenge;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How the client names itself to token servers.
const CLIENT: &str = "dhow";
/// Most bytes of a token server's answer.
const TOKEN_MAX: usize = 1 << 20;
/// What a token lives where its server does not say, and at least.
const LIFE: Duration = Duration::from_secs(60);
/// A token that ends so soon is not used any more.
const MARGIN: Duration = Duration::from_secs(5);

/// What a person has for a registry. All may be empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Instead of a password: what a token server gave at the login.
    pub identity_token: String,
    /// Instead of all: what the registry takes as it is.
    pub registry_token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Credentials {
    fn basic(&self) -> Option<HeaderValue> {
        if self.username.is_empty() {
            return None;
        }
        secret(&format!("Basic {}", STANDARD.encode(format!("{}:{}", self.username, self.password))))
    }

    /// There is a name.
    pub(super) fn is_named(&self) -> bool {
        !self.username.is_empty()
    }

    fn any(&self) -> bool {
        !self.username.is_empty() || !self.identity_token.is_empty()
    }
}

/// A header's value that is never shown.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What a token server answers.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Token {
    token: String,
    access_token: String,
    refresh_token: String,
    expires_in: Option<u64>,
}

/// What is sent at present.
#[derive(Debug, Default)]
struct Current {
    header: Option<HeaderValue>,
    until: Option<Instant>,
    /// Counts the changes: of several requests that were refused at once, one renews.
    number: u64,
}

impl Current {
    /// From now on this token is sent.
    fn take(&mut self, way: &Way<'_>, token: &Token) -> Result<()> {
        let text = if token.token.is_empty() { &token.access_token } else { &token.token };
        let header = secret(&format!("Bearer {text}")).filter(|_| !text.is_empty());
        self.header = Some(header.ok_or_else(|| way.refusal("authorization server did not include a token in the response"))?);
        self.until = Some(Instant::now() + token.expires_in.map_or(LIFE, Duration::from_secs).clamp(LIFE, Duration::from_secs(86_400)));
        Ok(())
    }
}

/// Identifies the requests to one registry.
#[derive(Debug)]
pub(super) struct Auth {
    credentials: Credentials,
    scopes: std::sync::Mutex<Vec<String>>,
    challenges: Vec<Challenge>,
    current: Mutex<Current>,
}

/// A header, and which one it was.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    pub(super) header: Option<HeaderValue>,
    number: u64,
}

/// Where a request for a token goes, and over what.
pub(super) struct Way<'a> {
    pub(super) http: &'a Http,
    /// The registry.
    pub(super) base: &'a Target,
    /// The request that must be identified, for the words of an error.
    pub(super) method: &'a Method,
    /// See [`Way::method`].
    pub(super) target: &'a Target,
}

impl Way<'_> {
    /// What keeps us from saying who we are.
    fn refusal(&self, message: &str) -> Error {
        // Docker's client asks for the head of a manifest first, and that is the address people know.
        let head = *self.method == Method::GET && self.target.path.contains("/manifests/");
        let method = if head { "Head" } else { verb(self.method) };
        Error::Identity { method, url: self.target.shown(), message: message.into() }
    }
}

impl Auth {
    /// From what the registry answered to a greeting.
    pub(super) fn new(credentials: Credentials, scopes: Vec<String>, greeting: &HeaderMap) -> Self {
        let challenges = challenges(greeting);
        Self { credentials, scopes: std::sync::Mutex::new(scopes), challenges, current: Mutex::default() }
    }

    /// One more thing that a token must allow. The next request gets a fresh one.
    pub(super) async fn widen(&self, scope: &str) {
        let known = self.scopes().iter().any(|own| own == scope);
        if !known {
            self.scopes().push(scope.to_owned());
            self.forget().await;
        }
    }

    /// Takes back what [`Auth::widen`] did: it is not to be had.
    pub(super) async fn narrow(&self, scope: &str) {
        self.scopes().retain(|own| own != scope);
        self.forget().await;
    }

    /// Held for a look or a change, never while something is waited for.
    fn scopes(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.scopes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What is sent at present does not do any more.
    async fn forget(&self) {
        let mut current = self.current.lock().await;
        *current = Current { number: current.number + 1, ..Current::default() };
    }

    /// What to send with a request.
    pub(super) async fn stamp(&self, way: &Way<'_>) -> Result<Stamp> {
        let mut current = self.current.lock().await;
        let over = current.until.is_some_and(|until| until < Instant::now() + MARGIN);
        if (current.header.is_none() || over) && !self.challenges.is_empty() {
            self.renew(way, &self.challenges, &mut current).await?;
        }
        Ok(Stamp { header: current.header.clone(), number: current.number })
    }

    /// A request with this stamp was refused with these headers. Tells whether another try makes sense.
    pub(super) async fn refused(&self, way: &Way<'_>, stamp: &Stamp, answer: &HeaderMap) -> Result<bool> {
        let mut current = self.current.lock().await;
        if current.number != stamp.number {
            return Ok(true);
        }
        let said = challenges(answer);
        let challenges = if said.is_empty() { &self.challenges } else { &said };
        if challenges.is_empty() {
            return Ok(false);
        }
        let before = current.header.clone();
        self.renew(way, challenges, &mut current).await?;
        Ok(before != current.header)
    }

    async fn renew(&self, way: &Way<'_>, challenges: &[Challenge], current: &mut Current) -> Result<()> {
        current.number += 1;
        if !self.credentials.registry_token.is_empty() {
            current.header = secret(&format!("Bearer {}", self.credentials.registry_token));
            return Ok(());
        }
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service, scope } => Some((realm, service.as_deref(), scope.as_deref())),
            Challenge::Basic => None,
        });
        let Some((realm, service, scope)) = bearer else {
            current.header = Some(self.credentials.basic().ok_or_else(|| way.refusal("no basic auth credentials"))?);
            return Ok(());
        };
        let token = Box::pin(self.token(way, realm, service, scope, false)).await?;
        current.take(way, &token)
    }

    async fn token(&self, way: &Way<'_>, realm: &str, service: Option<&str>, scope: Option<&str>, keep: bool) -> Result<Token> {
        let target = Target::parse(realm).ok_or_else(|| way.refusal(&format!("invalid token server {realm:?}")))?;
        if self.credentials.any() && way.base.origin.scheme == Scheme::Https && target.origin.scheme == Scheme::Http {
            return Err(way.refusal(&format!("the token server {} would get credentials without TLS", target.shown())));
        }
        let mut scopes = self.scopes().clone();
        scopes.extend(scope.filter(|scope| scopes.is_empty() && !scope.is_empty()).map(str::to_owned));
        let trust = if way.http.is_insecure(&target.authority).await { Trust::Any } else { Trust::Checked };
        let (method, target, headers, body) = if self.credentials.identity_token.is_empty() {
            let (target, headers) = self.by_get(target, service, &scopes, keep);
            (Method::GET, target, headers, Body::empty())
        } else {
            let (headers, body) = self.by_post(service, &scopes);
            (Method::POST, target, headers, body)
        };
        let patience = way.http.settings.answer_timeout;
        let asked = async {
            let answer = way.http.send(method, &target, trust, &headers, body, patience).await?;
            let answer = answer::success(&target, answer).await?;
            answer::read("the token", &target, answer, TOKEN_MAX).await
        };
        let bytes = asked.await.map_err(|error| match error {
            // The registry's own words about who we are, at the place where Docker has them.
            Error::Refused { .. } => error,
            Error::Status { .. } => {
                way.refusal(&format!("failed to fetch {} token: {error}", if self.credentials.any() { "oauth" } else { "anonymous" }))
            }
            other => other,
        })?;
        serde_json::from_slice(&bytes).map_err(|error| way.refusal(&format!("unable to decode token response: {error}")))
    }

    fn by_get(&self, mut target: Target, service: Option<&str>, scopes: &[String], keep: bool) -> (Target, HeaderMap) {
        let account = Some(self.credentials.username.as_str()).filter(|name| !name.is_empty());
        for (name, value) in [("service", service), ("account", account)] {
            if let Some(value) = value {
                target = target.with_query(name, value);
            }
        }
        for scope in scopes {
            target = target.with_query("scope", scope);
        }
        if keep {
            target = target.with_query("offline_token", "true").with_query("client_id", CLIENT);
        }
        let headers = self.credentials.basic().map(|basic| (AUTHORIZATION, basic)).into_iter().collect();
        (target, headers)
    }

    fn by_post(&self, service: Option<&str>, scopes: &[String]) -> (HeaderMap, Body) {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token").append_pair("service", service.unwrap_or_default());
        form.append_pair("client_id", CLIENT).append_pair("scope", &scopes.join(" "));
        form.append_pair("refresh_token", &self.credentials.identity_token);
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        ([(CONTENT_TYPE, kind)].into_iter().collect(), Body::Full(Some(form.finish().into())))
    }

    /// A login: gives the identity token, where the token server has one to keep instead of the password.
    pub(super) async fn login(&self, way: &Way<'_>) -> Result<String> {
        let bearer = self.challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service, scope } => Some((realm, service.as_deref(), scope.as_deref())),
            Challenge::Basic => None,
        });
        let Some((realm, service, scope)) = bearer else { return Ok(String::new()) };
        let token = self.token(way, realm, service, scope, true).await.map_err(|error| match error {
            Error::Refused { .. } => way.refusal(&error.to_string()),
            other => other,
        })?;
        let mut current = self.current.lock().await;
        current.number += 1;
        current.take(way, &token)?;
        Ok(token.refresh_token)
    }
}

fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(Challenge::parse).collect()
}
