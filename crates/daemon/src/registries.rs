//! What the daemon's settings say about registries, and what a client says of itself to one.

use anyhow::{Result, bail};
use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use dhow_api::types::system::{AuthConfig, IndexConfig, RegistryConfig};
use dhow_engine::registries::{Credentials, Proxies, Settings as Client};
use http::HeaderMap;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Layers fetched at once, as in Docker.
const DOWNLOADS: usize = 3;
/// Layers sent at once, as in Docker.
const UPLOADS: usize = 5;
/// Tries of a download, as in Docker.
const TRIES: u32 = 5;
/// Where certificates are, ours first.
const CERTIFICATES: [&str; 2] = ["/etc/dhow/certs.d", "/etc/docker/certs.d"];
/// Networks that may speak plain HTTP always.
const LOOPBACK: [&str; 2] = ["::1/128", "127.0.0.0/8"];
/// Longest header with credentials.
const AUTH_MAX: usize = 64 * 1024;

/// Flags, under dockerd's names.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub(crate) struct Flags {
    /// Enable insecure registry communication
    #[arg(long = "insecure-registry", value_name = "list")]
    insecure: Vec<String>,
    /// Preferred registry mirror
    #[arg(long = "registry-mirror", value_name = "list")]
    mirrors: Vec<String>,
    /// Set the max concurrent downloads
    #[arg(long, value_name = "int", allow_negative_numbers = true, value_parser = crate::flag_values::whole)]
    max_concurrent_downloads: Option<i64>,
    /// Set the max concurrent uploads
    #[arg(long, value_name = "int", allow_negative_numbers = true, value_parser = crate::flag_values::whole)]
    max_concurrent_uploads: Option<i64>,
    /// Where searches go instead of Docker Hub's index
    #[arg(long, value_name = "string")]
    index_url: Option<String>,
    /// Set the max download attempts for each pull
    #[arg(long, value_name = "int", allow_negative_numbers = true, value_parser = crate::flag_values::whole)]
    max_download_attempts: Option<i64>,
    /// HTTP proxy URL to use for outgoing traffic
    #[arg(long, value_name = "string")]
    http_proxy: Option<String>,
    /// HTTPS proxy URL to use for outgoing traffic
    #[arg(long, value_name = "string")]
    https_proxy: Option<String>,
    /// Comma-separated list of hosts or IP addresses for which the proxy is skipped
    #[arg(long, value_name = "string")]
    no_proxy: Option<String>,
}

/// Keys of `daemon.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Keys {
    insecure_registries: Vec<String>,
    registry_mirrors: Vec<String>,
    max_concurrent_downloads: Option<i64>,
    max_concurrent_uploads: Option<i64>,
    max_download_attempts: Option<i64>,
    index_url: Option<String>,
    proxies: ProxyKeys,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct ProxyKeys {
    http_proxy: Option<String>,
    https_proxy: Option<String>,
    no_proxy: Option<String>,
}

/// What holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registries {
    pub(crate) client: Client,
    pub(crate) downloads: usize,
    pub(crate) uploads: usize,
}

/// Flags over keys over the environment over Docker's defaults; lists are put together.
pub(crate) fn merge(flags: Flags, keys: Keys, environment: &dyn Fn(&str) -> Option<String>) -> Result<Registries> {
    let count = |what: &str, flag: Option<i64>, key: Option<i64>, least: i64, default: usize| -> Result<usize> {
        match flag.or(key) {
            None => Ok(default),
            Some(0) if least == 1 => Ok(default),
            Some(given) if given < least => bail!("invalid {what}: {given}"),
            Some(given) => Ok(usize::try_from(given)?),
        }
    };
    let mut mirrors = Vec::new();
    for mirror in flags.mirrors.into_iter().chain(keys.registry_mirrors) {
        mirrors.push(check_mirror(&mirror)?);
    }
    let proxy = |flag: Option<String>, key: Option<String>, name: &str| {
        let variable = || environment(name).or_else(|| environment(&name.to_lowercase()));
        flag.or(key).or_else(variable).filter(|text| !text.is_empty())
    };
    let proxies = Proxies {
        http: proxy(flags.http_proxy, keys.proxies.http_proxy, "HTTP_PROXY"),
        https: proxy(flags.https_proxy, keys.proxies.https_proxy, "HTTPS_PROXY"),
        none: proxy(flags.no_proxy, keys.proxies.no_proxy, "NO_PROXY").unwrap_or_default(),
    };
    let tries = count("max download attempts", flags.max_download_attempts, keys.max_download_attempts, 1, TRIES as usize)?;
    let insecure = flags.insecure.into_iter().chain(keys.insecure_registries);
    Ok(Registries {
        client: Client {
            insecure: insecure.map(|entry| check_insecure(&entry)).collect::<Result<_>>()?,
            mirrors,
            index: flags.index_url.or(keys.index_url).filter(|url| !url.is_empty()),
            certificates: CERTIFICATES.iter().map(Into::into).collect(),
            proxies,
            tries: u32::try_from(tries)?,
            ..Client::default()
        },
        downloads: count("max concurrent downloads", flags.max_concurrent_downloads, keys.max_concurrent_downloads, 1, DOWNLOADS)?,
        uploads: count("max concurrent uploads", flags.max_concurrent_uploads, keys.max_concurrent_uploads, 1, UPLOADS)?,
    })
}

fn without_scheme(text: &str) -> &str {
    text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text)
}

/// A host, with or without a port, or a network.
fn check_insecure(text: &str) -> Result<String> {
    if text.starts_with('-') || text.ends_with('-') {
        bail!("invalid index name ({text}). Cannot begin or end with a hyphen");
    }
    let entry = without_scheme(text).trim_end_matches('/');
    if entry.contains("://") {
        bail!("insecure registry {entry} should not contain '://'");
    }
    if entry.parse::<dhow_engine::network::Subnet>().is_ok() || entry.parse::<std::net::IpAddr>().is_ok() {
        return Ok(entry.to_owned());
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (entry, None),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = |host: &str| {
        host.starts_with(|first: char| first.is_ascii_alphanumeric())
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if !name(bare) && bare.parse::<std::net::IpAddr>().is_err() {
        bail!("insecure registry {entry} is not valid: invalid host {bare:?}");
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() => bail!("insecure registry {entry} is not valid: invalid port {port:?}"),
        _ => Ok(entry.to_owned()),
    }
}

fn check_mirror(text: &str) -> Result<String> {
    let text = text.trim_end_matches('/');
    let rest = without_scheme(text);
    if rest.len() == text.len() {
        bail!("invalid mirror: no scheme specified for {text:?}: must use either 'https://' or 'http://'");
    }
    if rest.is_empty() || rest.contains(['?', '#']) {
        bail!("invalid mirror: query or fragment at end of the URI {text:?}");
    }
    if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
        bail!("invalid mirror: username/password not allowed in URI");
    }
    Ok(text.to_owned())
}

impl Registries {
    /// As `info` tells it.
    pub(crate) fn info(&self) -> RegistryConfig {
        let slashed: Vec<String> = self.client.mirrors.iter().map(|mirror| format!("{mirror}/")).collect();
        let hub = IndexConfig { mirrors: slashed.clone(), name: "docker.io".into(), official: true, secure: true };
        let mut indexes = BTreeMap::from([("docker.io".to_owned(), hub)]);
        let (networks, hosts): (Vec<_>, Vec<_>) = self.client.insecure.iter().cloned().partition(|entry| entry.contains('/'));
        for host in hosts {
            indexes.insert(host.clone(), IndexConfig { mirrors: Vec::new(), name: host, official: false, secure: false });
        }
        let loopback = LOOPBACK.iter().map(|network| (*network).to_owned());
        RegistryConfig {
            insecure_registry_cidrs: networks.into_iter().chain(loopback).collect(),
            index_configs: indexes,
            mirrors: Some(slashed).filter(|mirrors| !mirrors.is_empty()),
        }
    }
}

/// `X-Registry-Auth`: base64 of JSON. What cannot be read counts as none, as in Docker.
pub(crate) fn credentials(headers: &HeaderMap) -> Credentials {
    let text = headers.get("x-registry-auth").and_then(|value| value.to_str().ok()).filter(|text| text.len() <= AUTH_MAX);
    text.and_then(decode).unwrap_or_default()
}

fn decode(text: &str) -> Option<Credentials> {
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true);
    let bytes = [&alphabet::URL_SAFE, &alphabet::STANDARD]
        .into_iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text.trim()).ok())?;
    serde_json::from_slice::<AuthConfig>(&bytes).ok().map(of_auth)
}

/// For the client of registries.
pub(crate) fn of_auth(auth: AuthConfig) -> Credentials {
    let (mut username, mut password) = (auth.username, auth.password);
    if username.is_empty()
        && let Ok(plain) = base64::engine::general_purpose::STANDARD.decode(&auth.auth)
        && let Some((name, secret)) = String::from_utf8_lossy(&plain).split_once(':')
    {
        (username, password) = (name.to_owned(), secret.trim_end_matches('\0').to_owned());
    }
    Credentials { username, password, identity_token: auth.identity_token, registry_token: auth.registry_token }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flags: Flags, json: &str) -> Result<Registries> {
        merge(flags, serde_json::from_str(json).unwrap(), &|name| (name == "no_proxy").then(|| "a.example".to_owned()))
    }

    #[test]
    fn flags_and_keys() {
        let json = r#"{"insecure-registries":["http://r:5000/","10.0.0.0/8","[::1]:5000","fd00::1"],"registry-mirrors":["https://m/"],
            "max-concurrent-downloads":7,"proxies":{"https-proxy":"http://p:1"}}"#;
        let flags = Flags { mirrors: vec!["http://n".into()], ..Flags::default() };
        let merged = check(flags, json).unwrap();
        assert_eq!(merged.client.insecure, ["r:5000", "10.0.0.0/8", "[::1]:5000", "fd00::1"]);
        assert_eq!(merged.client.mirrors, ["http://n", "https://m"]);
        assert_eq!((merged.downloads, merged.client.tries), (7, 5));
        let expect = Proxies { http: None, https: Some("http://p:1".into()), none: "a.example".into() };
        assert_eq!(merged.client.proxies, expect);
        let info = merged.info();
        assert_eq!(info.insecure_registry_cidrs, ["10.0.0.0/8", "::1/128", "127.0.0.0/8"]);
        assert!(!info.index_configs["r:5000"].secure);
        assert_eq!(info.mirrors.unwrap(), ["http://n/", "https://m/"]);
    }

    #[test]
    fn refusals() {
        for json in [
            r#"{"max-concurrent-downloads":-1}"#,
            r#"{"registry-mirrors":["m.example"]}"#,
            r#"{"insecure-registries":["a b"]}"#,
            r#"{"insecure-registries":["a:99999"]}"#,
            r#"{"insecure-registries":["-a"]}"#,
            r#"{"insecure-registries":["ftp://a"]}"#,
            r#"{"registry-mirrors":["https://u:p@m.example"]}"#,
            r#"{"registry-mirrors":["https://m.example?x"]}"#,
        ] {
            assert!(check(Flags::default(), json).is_err(), "{json}");
        }
    }

    #[test]
    fn headers() {
        let check = |text: &str| {
            let found =
                credentials(&[("x-registry-auth", text)].into_iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect());
            (found.username, found.password, found.identity_token)
        };
        let encode = |json: &str| base64::engine::general_purpose::URL_SAFE.encode(json);
        let found = |name: &str, password: &str, token: &str| (name.to_owned(), password.to_owned(), token.to_owned());
        assert_eq!(check(&encode(r#"{"username":"u","password":"p??>"}"#)), found("u", "p??>", ""));
        assert_eq!(check(encode(r#"{"auth":"dTpw"}"#).trim_end_matches('=')), found("u", "p", ""));
        assert_eq!(check(&encode(r#"{"identitytoken":"t"}"#)), found("", "", "t"));
        for text in ["", "%%%", "e30=", &encode("[]")] {
            assert_eq!(check(text), found("", "", ""), "{text}");
        }
    }
}
