//! TLS with an engine on the network: when it is spoken, and with which files.
//!
//! `--tls` speaks it without looking at the engine's certificate, `--tlsverify` looks. The certificate that is shown may be missing where nobody
//! named it: the engine says whether it wants one.

use crate::error::Error;
use dhow_tls::{AnyCertificate, certificates};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What flags, environment or a context say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Who signs engines' certificates; `None`: they are not looked at.
    pub(crate) authority: Option<PathBuf>,
    /// Our certificate and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// What a context keeps, where it keeps anything: `directory` is its own among the contexts' TLS files.
pub(crate) fn of_context(directory: &Path, skip_verify: bool) -> Option<Options> {
    let file = |name: &str| Some(directory.join(name)).filter(|path| path.exists());
    let (authority, identity) = (file("ca.pem"), file("cert.pem").zip(file("key.pem")));
    (authority.is_some() || identity.is_some()).then(|| Options { authority: authority.filter(|_| !skip_verify), identity })
}

/// The files that were named, else those of the directory that are there. The authority must be there to be trusted.
pub(crate) fn choose(verify: bool, [authority, certificate, key]: [Option<PathBuf>; 3], directory: &Path) -> Options {
    let named = certificate.is_some() || key.is_some();
    let certificate = certificate.unwrap_or_else(|| directory.join("cert.pem"));
    let key = key.unwrap_or_else(|| directory.join("key.pem"));
    let identity = (named || certificate.exists() || key.exists()).then_some((certificate, key));
    Options { authority: verify.then(|| authority.unwrap_or_else(|| directory.join("ca.pem"))), identity }
}

impl Options {
    /// Reads the files.
    pub(crate) fn config(&self) -> Result<ClientConfig, Error> {
        let provider = dhow_tls::provider();
        let failed = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
            Error::new(format!("unable to resolve docker endpoint: {what} {}: {error}", path.display()))
        };
        let general = |error: rustls::Error| Error::new(format!("unable to resolve docker endpoint: {error}"));
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(general)?;
        let builder = match &self.authority {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                let read = certificates(path).map_err(|error| failed("could not read CA certificate", path, &error))?;
                let (added, _) = roots.add_parsable_certificates(read);
                if added == 0 {
                    return Err(failed("could not read CA certificate", path, &"no certificate in it"));
                }
                let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
                builder.with_webpki_verifier(verifier.map_err(|error| failed("could not trust", path, &error))?)
            }
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
        };
        let Some((certificate, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let unusable = "could not load X509 key pair";
        let chain = certificates(certificate).map_err(|error| failed(unusable, certificate, &error))?;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(unusable, key, &error))?;
        builder.with_client_auth_cert(chain, secret).map_err(|error| failed(unusable, certificate, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_files() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let verified = choose(true, [None, None, None], dir.path());
        assert_eq!(verified, Options { authority: Some(at("ca.pem")), identity: None });
        std::fs::write(at("cert.pem"), "").unwrap();
        assert_eq!(choose(false, [Some("/ca".into()), None, None], dir.path()).identity, Some((at("cert.pem"), at("key.pem"))));
        let named = choose(true, [Some("/ca".into()), Some("/c".into()), Some("/k".into())], dir.path());
        assert_eq!((named.authority, named.identity), (Some("/ca".into()), Some(("/c".into(), "/k".into()))));
    }

    #[test]
    fn files_that_are_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(of_context(dir.path(), false), None);
        std::fs::write(dir.path().join("ca.pem"), "").unwrap();
        assert_eq!(of_context(dir.path(), true), Some(Options::default()));
        assert_eq!(of_context(dir.path(), false).unwrap().authority, Some(dir.path().join("ca.pem")));
        let error = choose(true, [None, None, None], dir.path()).config().unwrap_err().to_string();
        assert!(error.starts_with("unable to resolve docker endpoint: could not read CA certificate /"), "{error}");
    }
}
