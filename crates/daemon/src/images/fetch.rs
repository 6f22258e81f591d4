//! A root filesystem from a URL: plain HTTP, a few redirects.

use crate::error::{Failure, Result};
use dhow_api::ApiError;
use http::header::{HOST, LOCATION, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper_util::rt::TokioIo;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// As many as Go follows.
const REDIRECTS: usize = 10;
/// Longest wait for a connection, and for the head of an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes of a refusal that are shown.
const REFUSAL: usize = 4096;

/// What was found there.
pub(super) struct Found {
    pub(super) body: Incoming,
    /// Bytes; 0 where the server does not say.
    pub(super) length: u64,
}

/// The URL that a text means: without a scheme it is plain HTTP.
pub(super) fn url(text: &str) -> Result<Uri> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    whole.parse().map_err(|error| Failure::invalid(format!("parse {whole:?}: {error}")))
}

/// Gets it.
pub(super) async fn get(first: &Uri) -> Result<Found> {
    let mut url = first.clone();
    for _ in 0..=REDIRECTS {
        let answer = ask(&url).await?;
        let status = answer.status();
        if !status.is_redirection() {
            return checked(first, answer).await;
        }
        let target = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let target = target.ok_or_else(|| Failure::internal(format!("Get \"{url}\": {status} response missing Location header")))?;
        url = redirected(&url, target)?;
    }
    Err(Failure::internal(format!("Get \"{first}\": stopped after {REDIRECTS} redirects")))
}

fn redirected(from: &Uri, target: &str) -> Result<Uri> {
    if target.contains("://") {
        return url(target);
    }
    let host = from.authority().map(ToString::to_string).unwrap_or_default();
    let path = if target.starts_with('/') {
        target.to_owned()
    } else {
        let parent = from.path().rsplit_once('/').map_or("", |(parent, _)| parent);
        format!("{parent}/{target}")
    };
    url(&format!("http://{host}{path}"))
}

/// A status from 400 up is an error with the server's words.
async fn checked(url: &Uri, answer: Response<Incoming>) -> Result<Found> {
    let status = answer.status();
    if status.as_u16() < 400 {
        let length = answer.body().size_hint().exact().unwrap_or(0);
        return Ok(Found { body: answer.into_body(), length });
    }
    let words = Limited::new(answer.into_body(), REFUSAL).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let message = format!("failed to GET {url} with status {status}: {}", String::from_utf8_lossy(&words).trim());
    Err(Failure(ApiError::new(
        match status {
            StatusCode::NOT_FOUND => 404,
            StatusCode::BAD_REQUEST => 400,
            StatusCode::UNAUTHORIZED => 401,
            StatusCode::FORBIDDEN => 403,
            _ => 500,
        },
        message,
    )))
}

async fn ask(url: &Uri) -> Result<Response<Incoming>> {
    match url.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(Failure::unsupported("importing over https")),
        scheme => return Err(Failure::invalid(format!("Get \"{url}\": unsupported protocol scheme {:?}", scheme.unwrap_or_default()))),
    }
    let (Some(host), authority) = (url.host().filter(|host| !host.is_empty()), url.authority()) else {
        return Err(Failure::invalid(format!("Get \"{url}\": http: no Host in request URL")));
    };
    let broken = |error: &dyn std::fmt::Display| Failure::internal(format!("Get \"{url}\": {error}"));
    let address = (address(url, host)?, url.port_u16().unwrap_or(80));
    let work = async {
        let stream =
            TcpStream::connect(address).await.map_err(|error| broken(&format!("dial tcp {}:{}: {error}", address.0, address.1)))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a download's connection ended badly");
            }
        });
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(HOST, authority.map(ToString::to_string).unwrap_or_default())
            .header(USER_AGENT, concat!("dhow/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(|error| broken(&error))?;
        sender.send_request(request).await.map_err(|error| broken(&error))
    };
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| broken(&"net/http: request canceled (Client.Timeout exceeded)"))?
}

/// The address of a host: a number, this machine, or a name of /etc/hosts. There is no resolver yet.
fn address(url: &Uri, host: &str) -> Result<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return Ok(address);
    }
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    match in_hosts(&hosts, bare) {
        Some(address) => Ok(address),
        None if bare == "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        None => Err(Failure::unsupported(&format!("looking up the host of {url} (/etc/hosts does not have it)"))),
    }
}

/// IPv4 before IPv6.
fn in_hosts(hosts: &str, name: &str) -> Option<IpAddr> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let found = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    });
    found.min_by_key(IpAddr::is_ipv6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_redirects() {
        assert_eq!(url("127.0.0.1:80/x.tar").unwrap().to_string(), "http://127.0.0.1:80/x.tar");
        let from = url("http://h:1/a/b").unwrap();
        for (target, expect) in [("/c", "http://h:1/c"), ("c", "http://h:1/a/c"), ("http://o/d", "http://o/d")] {
            assert_eq!(redirected(&from, target).unwrap().to_string(), expect);
        }
    }

    #[test]
    fn hosts() {
        let hosts = "::1 localhost\n127.0.0.1 localhost here # mine\n10.0.0.1 # here\n";
        assert_eq!(in_hosts(hosts, "localhost"), Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(in_hosts(hosts, "HERE"), Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(in_hosts(hosts, "mine"), None);
    }
}
