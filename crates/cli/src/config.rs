//! The client's configuration: `config.json`, and the contexts beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::tls;

/// What this client uses of `config.json`. Unknown keys belong to other programs.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Config {
    /// Credentials by registry.
    pub(crate) auths: BTreeMap<String, Auth>,
    /// The program that keeps all credentials instead: `docker-credential-NAME`.
    pub(crate) creds_store: String,
    /// The programs for single registries.
    pub(crate) cred_helpers: BTreeMap<String, String>,
    /// Headers for every request.
    #[serde(rename = "HttpHeaders")]
    pub(crate) http_headers: BTreeMap<String, String>,
    /// Default format of `ps`.
    pub(crate) ps_format: String,
    /// Default format of `images`.
    pub(crate) images_format: String,
    /// Default format of `network ls`.
    pub(crate) networks_format: String,
    /// Default format of `volume ls`.
    pub(crate) volumes_format: String,
    /// Default format of `stats`.
    pub(crate) stats_format: String,
    /// Sequence that detaches.
    pub(crate) detach_keys: Option<String>,
    /// The context to use when none is named.
    pub(crate) current_context: String,
    /// Proxies by engine, or `default`, that containers get as variables.
    pub(crate) proxies: BTreeMap<String, Proxies>,
    /// Where it was read from.
    #[serde(skip)]
    pub(crate) directory: PathBuf,
}

/// Credentials of one registry.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Auth {
    /// Base64 of `user:password`.
    pub(crate) auth: String,
    /// A token instead of a password.
    pub(crate) identitytoken: String,
}

/// Proxies that containers are told of.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Proxies {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

impl Proxies {
    /// The variables, in both spellings.
    pub(crate) fn variables(&self) -> Vec<(String, &str)> {
        let all = [
            ("HTTP_PROXY", &self.http_proxy),
            ("HTTPS_PROXY", &self.https_proxy),
            ("NO_PROXY", &self.no_proxy),
            ("FTP_PROXY", &self.ftp_proxy),
            ("ALL_PROXY", &self.all_proxy),
        ];
        let set = all.into_iter().filter(|(_, value)| !value.is_empty());
        set.flat_map(|(name, value)| [(name.to_owned(), value.as_str()), (name.to_lowercase(), value.as_str())]).collect()
    }
}

impl Config {
    /// Reads the configuration from a directory that was named, `DOCKER_CONFIG`, or `~/.docker`. None there is fine.
    pub(crate) fn load(named: Option<&str>) -> Result<Self, Error> {
        let directory = named.map_or_else(default_directory, PathBuf::from);
        let path = directory.join("config.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                // Not being allowed to read it must not keep anybody from their containers.
                crate::output::warn(&format!("WARNING: Error loading config file: {}: {error}", path.display()));
                String::new()
            }
        };
        let mut config = if text.trim().is_empty() {
            Self::default()
        } else {
            serde_json::from_str(&text).unwrap_or_else(|error| {
                crate::output::warn(&format!("WARNING: Error parsing config file ({}): {error}", path.display()));
                Self::default()
            })
        };
        config.directory = directory;
        Ok(config)
    }

    /// Where it is, or would be.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join("config.json")
    }

    /// The address that a context names, and its TLS.
    pub(crate) fn context(&self, name: &str) -> Result<(String, Option<tls::Options>), Error> {
        let digest = hex(&Sha256::digest(name.as_bytes()));
        let own = self.directory.join("contexts/tls").join(&digest).join("docker");
        let path = self.directory.join("contexts/meta").join(digest).join("meta.json");
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::new(format!(
                "context {}: context not found: open {}: {}",
                crate::flags::quote(name),
                path.display(),
                crate::options::os_error(&error)
            ))
        })?;
        let endpoint = endpoint(&text).ok_or_else(|| Error::new(format!("context {}: no docker endpoint", crate::flags::quote(name))))?;
        Ok((endpoint.host, tls::of_context(&own, endpoint.skip_tls_verify)))
    }
}

/// A context's engine.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

fn endpoint(meta: &str) -> Option<Endpoint> {
    let mut meta: serde_json::Value = serde_json::from_str(meta).ok()?;
    serde_json::from_value(meta.get_mut("Endpoints")?.get_mut("docker")?.take()).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn default_directory() -> PathBuf {
    if let Some(directory) = std::env::var_os("DOCKER_CONFIG").filter(|value| !value.is_empty()) {
        return PathBuf::from(directory);
    }
    let home = std::env::var_os("HOME").filter(|value| !value.is_empty());
    Path::new(&home.unwrap_or_else(|| "/".into())).join(".docker")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_by_its_hash() {
        let directory = tempfile::tempdir().unwrap();
        let meta = directory.path().join("contexts/meta/9af15b336e6a9619928537df30b2e6a2376569fcf9d7e773eccede65606529a0");
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(meta.join("meta.json"), r#"{"Name":"0","Endpoints":{"docker":{"Host":"unix:///x"}}}"#).unwrap();
        let config = Config { directory: directory.path().to_owned(), ..Config::default() };
        // sha256("0") does not name that directory, sha256 of what does is looked up by the same rule.
        assert_eq!(hex(&Sha256::digest(b"0000")), "9af15b336e6a9619928537df30b2e6a2376569fcf9d7e773eccede65606529a0");
        assert_eq!(config.context("0000").unwrap().0, "unix:///x");
        assert!(config.context("other").unwrap_err().to_string().starts_with("context \"other\": context not found: open /"));
    }

    #[test]
    fn proxies_in_both_spellings() {
        let proxies = Proxies { http_proxy: "p".into(), ..Proxies::default() };
        assert_eq!(proxies.variables(), [("HTTP_PROXY".to_owned(), "p"), ("http_proxy".to_owned(), "p")]);
    }
}
