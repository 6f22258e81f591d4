//! Requests to one registry: identified, redirected, tried again.

use super::answer;
use super::auth::{Auth, Credentials, Way};
use super::endpoint::Base;
use crate::error::{Error, Result};
use crate::http::{Body, Http, Scheme, Target, Trust};
use http::header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::{Bytes, Incoming};
use std::sync::Arc;
use std::time::Duration;

/// As many as Go follows.
const REDIRECTS: usize = 10;
/// A registry that wants us to wait longer is not waited for.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// One registry, greeted.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) http: Arc<Http>,
    pub(super) base: Base,
    pub(super) auth: Auth,
}

impl Session {
    /// Greets a registry: `GET /v2/`. Any answer but a demand to identify ourselves is as good as another.
    pub(super) async fn greet(http: Arc<Http>, base: Base, credentials: Credentials, scopes: Vec<String>) -> Result<Self> {
        let target = base.at("");
        let headers = HeaderMap::new();
        let patience = http.settings.answer_timeout;
        let answer = http.send(Method::GET, &target, base.trust, &headers, Body::empty(), patience).await?;
        let said = if answer.status() == StatusCode::UNAUTHORIZED { answer.headers().clone() } else { HeaderMap::new() };
        // Read, so that the connection can be used again; what it says does not matter.
        let _words = answer::read("the greeting", &target, answer, 64 * 1024).await;
        Ok(Self { http, base, auth: Auth::new(credentials, scopes, &said) })
    }

    fn way<'a>(&'a self, method: &'a Method, target: &'a Target) -> Way<'a> {
        Way { http: &self.http, base: &self.base.target, method, target }
    }

    /// A server that is not greeted: name and password go along with each request, where there are any.
    pub(super) fn plain(http: Arc<Http>, base: Base, credentials: Credentials) -> Self {
        let basic = [(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"))];
        let said = if credentials.is_named() { basic.into_iter().collect() } else { HeaderMap::new() };
        Self { http, base, auth: Auth::new(credentials, Vec::new(), &said) }
    }

    /// Name and password are right: gives the identity token, where there is one.
    pub(super) async fn login(&self) -> Result<String> {
        let target = self.base.at("");
        let token = self.auth.login(&self.way(&Method::GET, &target)).await?;
        let answer = self.send(Method::GET, &target, &HeaderMap::new(), Body::empty()).await?;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(token);
        }
        let reason = status.canonical_reason().unwrap_or_default();
        Err(Error::Login { url: target.shown(), status: status.as_u16(), reason })
    }

    /// Sends a request; gives the last answer of a chain of redirects, whatever its status. A body that can be sent only once is not sent
    /// again: then the first answer is the last.
    pub(super) async fn send(&self, method: Method, target: &Target, headers: &HeaderMap, body: Body) -> Result<Response<Incoming>> {
        let patience = self.http.settings.answer_timeout;
        self.send_patiently(method, target, headers, body, patience).await
    }

    /// As [`Session::send`], with as much time for each answer.
    pub(super) async fn send_patiently(
        &self,
        method: Method,
        target: &Target,
        headers: &HeaderMap,
        mut body: Body,
        patience: Duration,
    ) -> Result<Response<Incoming>> {
        let mut target = target.clone();
        let mut renewed = false;
        for _ in 0..=REDIRECTS {
            let own = target.origin == self.base.target.origin;
            let mut headers = headers.clone();
            let stamp = if own { Some(self.auth.stamp(&self.way(&method, &target)).await?) } else { None };
            if let Some(header) = stamp.as_ref().and_then(|stamp| stamp.header.clone()) {
                headers.insert(AUTHORIZATION, header);
            }
            let again = body.again();
            let sending = self.http.send(method.clone(), &target, self.trust(&target), &headers, body, patience);
            let answer = Box::pin(sending).await?;
            let Some(next) = again else { return Ok(answer) };
            body = next;
            if let Some(stamp) = stamp.filter(|_| answer.status() == StatusCode::UNAUTHORIZED && !renewed) {
                renewed = true;
                if self.auth.refused(&self.way(&method, &target), &stamp, answer.headers()).await? {
                    continue;
                }
            }
            match redirect(&method, &target, &answer)? {
                Some(next) => target = next,
                None => return Ok(answer),
            }
        }
        Err(answer::broken(&target, &format!("stopped after {REDIRECTS} redirects")).permanent())
    }

    /// Only the registry itself is what the person called insecure.
    fn trust(&self, target: &Target) -> Trust {
        if target.origin == self.base.target.origin { self.base.trust } else { Trust::Checked }
    }

    /// After a failure: waits until it is time to try again, or gives the error back where that makes no sense.
    pub(super) async fn again(&self, error: Error, failures: &mut u32) -> Result<()> {
        *failures += 1;
        let Some(pause) = self.pause(&error, *failures) else { return Err(error) };
        tracing::debug!(%error, "tried again");
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// A short body, with as many tries as are allowed, and what `pick` takes from its head.
    pub(super) async fn get<T>(
        &self,
        what: &str,
        target: &Target,
        accept: &HeaderMap,
        max: usize,
        pick: fn(&HeaderMap) -> T,
    ) -> Result<(Bytes, T)> {
        let mut failures = 0;
        loop {
            match self.get_once(what, target, accept, max, pick).await {
                Ok(found) => return Ok(found),
                Err(error) => self.again(error, &mut failures).await?,
            }
        }
    }

    async fn get_once<T>(
        &self,
        what: &str,
        target: &Target,
        accept: &HeaderMap,
        max: usize,
        pick: fn(&HeaderMap) -> T,
    ) -> Result<(Bytes, T)> {
        let answer = self.send(Method::GET, target, accept, Body::empty()).await?;
        let answer = answer::success(target, answer).await?;
        let picked = pick(answer.headers());
        Ok((answer::read(what, target, answer, max).await?, picked))
    }

    /// How long to wait after this many failures; `None` to give up.
    pub(super) fn pause(&self, error: &Error, failures: u32) -> Option<Duration> {
        let settings = &self.http.settings;
        if !error.is_temporary() || failures >= settings.tries {
            return None;
        }
        let own = settings.pause.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let wanted = error.retry_after().unwrap_or(own);
        (wanted <= RETRY_MAX).then_some(wanted)
    }
}

/// Where an answer sends us.
fn redirect(method: &Method, from: &Target, answer: &Response<Incoming>) -> Result<Option<Target>> {
    let moved = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    if !moved || !matches!(*method, Method::GET | Method::HEAD) {
        return Ok(None);
    }
    location(from, answer.status(), answer.headers()).map(Some)
}

/// What `Location` says. What leads from TLS to plain HTTP is not followed.
pub(super) fn location(from: &Target, status: StatusCode, headers: &HeaderMap) -> Result<Target> {
    let wrong = |reason: &str| answer::broken(from, reason).permanent();
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| wrong(&format!("{} response missing Location header", status.as_u16())))?;
    let next = from.join(location).ok_or_else(|| wrong("failed to parse Location header"))?;
    if from.origin.scheme == Scheme::Https && next.origin.scheme == Scheme::Http {
        return Err(wrong(&format!("redirected from https to {}, which is not followed", next.shown())));
    }
    Ok(next)
}

impl Error {
    /// The same, never to be tried again.
    fn permanent(self) -> Self {
        match self {
            Self::Transport { method, url, message, plain, .. } => Self::Transport { method, url, message, plain, temporary: false },
            other => other,
        }
    }
}
