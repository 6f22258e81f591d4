//! TLS for sockets on the network: which files, and what rustls makes of them.

use crate::flag_values;
use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// dockerd's flags.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub(crate) struct Flags {
    /// Use TLS; implied by --tlsverify
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    tls: Option<bool>,
    /// Use TLS and verify the remote
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    tlsverify: Option<bool>,
    /// Trust certs signed only by this CA (default "~/.docker/ca.pem")
    #[arg(long, value_name = "string")]
    tlscacert: Option<PathBuf>,
    /// Path to TLS certificate file (default "~/.docker/cert.pem")
    #[arg(long, value_name = "string")]
    tlscert: Option<PathBuf>,
    /// Path to TLS key file (default "~/.docker/key.pem")
    #[arg(long, value_name = "string")]
    tlskey: Option<PathBuf>,
}

/// The same in `daemon.json`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Keys {
    tls: Option<bool>,
    tlsverify: Option<bool>,
    tlscacert: Option<PathBuf>,
    tlscert: Option<PathBuf>,
    tlskey: Option<PathBuf>,
}

/// The files of a daemon that speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// Its certificate, with those between it and the authority.
    pub(crate) certificate: PathBuf,
    /// The certificate's key.
    pub(crate) key: PathBuf,
    /// Whose clients are let in; `None`: everybody's.
    pub(crate) authority: Option<PathBuf>,
}

/// Flags over keys over the files in `default`; `None` where TLS is not asked for.
pub(crate) fn merge(flags: Flags, keys: Keys, default: &Path) -> Option<Files> {
    let verify = flags.tlsverify.or(keys.tlsverify).unwrap_or(false);
    if !verify && !flags.tls.or(keys.tls).unwrap_or(false) {
        return None;
    }
    let file = |flag: Option<PathBuf>, key: Option<PathBuf>, name: &str| flag.or(key).unwrap_or_else(|| default.join(name));
    Some(Files {
        certificate: file(flags.tlscert, keys.tlscert, "cert.pem"),
        key: file(flags.tlskey, keys.tlskey, "key.pem"),
        authority: verify.then(|| file(flags.tlscacert, keys.tlscacert, "ca.pem")),
    })
}

/// Where the files are unless somebody says otherwise: `$DOCKER_CERT_PATH`, else `~/.docker`.
pub(crate) fn directory() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("DOCKER_CERT_PATH").unwrap_or_else(|| variable("HOME").unwrap_or_else(|| "/root".into()).join(".docker"))
}

impl Files {
    /// Reads them.
    ///
    /// # Errors
    /// A file cannot be read, is not what it should be, or the key is not the certificate's.
    pub(crate) fn load(&self) -> Result<Arc<ServerConfig>> {
        let provider = dhow_tls::provider();
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().context("TLS")?;
        let builder = match &self.authority {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).with_context(|| format!("trust {}", path.display()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
                builder.with_client_cert_verifier(verifier.with_context(|| format!("trust {}", path.display()))?)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.key).with_context(|| format!("read the TLS key {}", self.key.display()))?;
        let config = builder.with_single_cert(certificates(&self.certificate)?, key);
        Ok(Arc::new(config.with_context(|| format!("use the TLS certificate {}", self.certificate.display()))?))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let all = dhow_tls::certificates(path).with_context(|| format!("read the TLS certificate {}", path.display()))?;
    anyhow::ensure!(!all.is_empty(), "{} holds no certificate", path.display());
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_files() {
        let check = |flags: Flags, keys: Keys, expect: Option<(&str, &str, Option<&str>)>| {
            let expect = expect.map(|(certificate, key, authority)| Files {
                certificate: certificate.into(),
                key: key.into(),
                authority: authority.map(PathBuf::from),
            });
            assert_eq!(merge(flags, keys, Path::new("/c")), expect);
        };
        let none = Flags::default;
        check(none(), Keys::default(), None);
        check(none(), Keys { tlscert: Some("/x".into()), ..Keys::default() }, None);
        check(Flags { tls: Some(true), ..none() }, Keys::default(), Some(("/c/cert.pem", "/c/key.pem", None)));
        let keys = || Keys { tlsverify: Some(true), tlskey: Some("/k".into()), ..Keys::default() };
        check(none(), keys(), Some(("/c/cert.pem", "/k", Some("/c/ca.pem"))));
        // To be verified is enough; and the flag stands over the file.
        check(Flags { tls: Some(false), tlskey: Some("/f".into()), ..none() }, keys(), Some(("/c/cert.pem", "/f", Some("/c/ca.pem"))));
        check(Flags { tlsverify: Some(false), ..none() }, keys(), None);
    }

    #[test]
    fn files_that_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        let files = Files { certificate: path.clone(), key: path.clone(), authority: None };
        assert!(format!("{:#}", files.load().unwrap_err()).starts_with(&format!("read the TLS key {}", path.display())));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(Files { authority: Some(path.clone()), ..files }.load().unwrap_err().to_string().ends_with("holds no certificate"));
    }
}
