//! What everybody of ours that speaks TLS has in common: the cryptography, certificates read from files, the machine's authorities, words for
//! errors, and trust in any certificate where a person asked for it.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// The cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The certificates of a PEM file, in order; other sections are skipped.
///
/// # Errors
/// The file cannot be read, or is not PEM.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}

/// The machine's authorities, and `own`. One that cannot be read is passed over.
pub fn roots(own: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let machine = rustls_native_certs::load_native_certs();
    for error in &machine.errors {
        tracing::debug!(%error, "a certificate of the machine cannot be read");
    }
    roots.add_parsable_certificates(machine.certs.into_iter().chain(own));
    roots
}

/// The words of Go's library for what people meet most, of a connection to `host`.
pub fn words(error: &rustls::Error, host: &str) -> String {
    use rustls::CertificateError as Certificate;
    let failed = "tls: failed to verify certificate: x509:";
    match error {
        rustls::Error::InvalidCertificate(Certificate::UnknownIssuer) => format!("{failed} certificate signed by unknown authority"),
        rustls::Error::InvalidCertificate(
            Certificate::Expired | Certificate::ExpiredContext { .. } | Certificate::NotValidYet | Certificate::NotValidYetContext { .. },
        ) => format!("{failed} certificate has expired or is not yet valid"),
        rustls::Error::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
            format!("{failed} certificate is not valid for {host}")
        }
        rustls::Error::InvalidCertificate(other) => format!("{failed} {other}"),
        other => format!("tls: {other}"),
    }
}

/// Any certificate will do: for registries that the person called insecure, and `--tls` without `--tlsverify`. The handshake's signatures are
/// still checked.
#[derive(Debug)]
pub struct AnyCertificate(pub Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
