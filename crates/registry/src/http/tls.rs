//! TLS: whom to trust, and who we are.

use super::target::Trust;
use dhow_tls::AnyCertificate;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to speak TLS with a host: the machine's authorities and what `certs.d` has for it. Reads files.
pub(super) fn config(host: &str, directories: &[PathBuf], trust: Trust) -> io::Result<Arc<ClientConfig>> {
    let found = Found::read(host, directories)?;
    let provider = dhow_tls::provider();
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let builder = match trust {
        Trust::Any => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
        Trust::Checked => builder.with_root_certificates(dhow_tls::roots(found.authorities)),
    };
    let config = match found.identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(io::Error::other)?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// What `certs.d/HOST` has.
#[derive(Default)]
struct Found {
    authorities: Vec<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Found {
    /// From the first directory that has the host.
    fn read(host: &str, directories: &[PathBuf]) -> io::Result<Self> {
        if host.contains(['/', '\0']) || host.starts_with('.') {
            return Ok(Self::default());
        }
        match directories.iter().map(|directory| directory.join(host)).find(|directory| directory.is_dir()) {
            Some(directory) => Self::of(&directory),
            None => Ok(Self::default()),
        }
    }

    fn of(directory: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        let mut files: Vec<PathBuf> = std::fs::read_dir(directory)?.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        files.sort();
        let has = |path: &Path| files.iter().any(|other| other == path);
        for path in &files {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => found.authorities.extend(certificates(path)?),
                Some("cert") => {
                    let key = path.with_extension("key");
                    if !has(&key) {
                        return Err(io::Error::other(format!(
                            "missing key {} for client certificate {}. CA certificates must use the extension .crt",
                            shown(&key),
                            shown(path)
                        )));
                    }
                    let key = PrivateKeyDer::from_pem_file(&key).map_err(|error| unreadable(&key, &error))?;
                    found.identity = Some((certificates(path)?, key));
                }
                Some("key") if !has(&path.with_extension("cert")) => {
                    let certificate = path.with_extension("cert");
                    return Err(io::Error::other(format!("missing client certificate {} for key {}", shown(&certificate), shown(path))));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    dhow_tls::certificates(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The words of Go's library for what people meet most.
pub(super) fn explain(error: &io::Error, host: &str) -> (String, bool) {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return (error.to_string(), false);
    };
    match tls {
        rustls::Error::InvalidMessage(_) => ("http: server gave HTTP response to HTTPS client".into(), true),
        other => (dhow_tls::words(other, host), false),
    }
}
