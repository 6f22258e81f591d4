//! TLS through a proxy: whom we trust, who we are, and what a proxy hears. Certificates are made by `openssl`.

use crate::{run, settings, user};
use dhow_reference::Reference;
use dhow_registry::protocol::media;
use dhow_registry::{Client, Credentials, Proxies, Settings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

const CONFIG: &str = "[req]\ndistinguished_name=name\n[name]\n[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n\
                      [server]\nsubjectAltName=DNS:r.example,IP:127.0.0.1\n[client]\nextendedKeyUsage=clientAuth\n";

/// An authority `ca`, and two certificates that it signed: `server` and `client`.
fn certificates(dir: &Path) {
    std::fs::write(dir.join("config"), CONFIG).unwrap();
    let run = |words: &str| {
        let out = Command::new("openssl").args(words.split(' ')).current_dir(dir).output().expect("openssl (run `cargo xtask setup`)");
        assert!(out.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&out.stderr));
    };
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config config";
    run(&format!("req -x509 {new} -extensions ca -days 2 -subj /CN=ca -keyout ca.key -out ca.crt"));
    for name in ["server", "client"] {
        run(&format!("req {new} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        run(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -set_serial 7 -days 2 -extfile config -extensions {name} -out {name}.crt"
        ));
    }
}

/// A proxy behind which a registry stands: it heard these heads of CONNECT, and of requests.
struct Behind {
    proxy: String,
    connects: Arc<Mutex<Vec<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

fn start(dir: &Path, identified: bool) -> Behind {
    begin(dir, identified, false)
}

/// A proxy that is itself reached by TLS, with a certificate for `127.0.0.1`.
fn start_secured(dir: &Path) -> Behind {
    begin(dir, false, true)
}

fn begin(dir: &Path, identified: bool, secured: bool) -> Behind {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = if identified {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(dir.join("ca.crt")).unwrap()).unwrap();
        builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let chain = vec![CertificateDer::from_pem_file(dir.join("server.crt")).unwrap()];
    let config = Arc::new(builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(dir.join("server.key")).unwrap()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap().to_string();
    let (connects, asked): (Arc<Mutex<Vec<String>>>, Arc<Mutex<Vec<String>>>) = Default::default();
    let behind = Behind { proxy, connects: connects.clone(), asked: asked.clone() };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, connects, asked) = (config.clone(), connects.clone(), asked.clone());
            // Handshakes that fail are part of the game.
            std::thread::spawn(move || {
                if !secured {
                    return drop(serve(stream, config, &connects, &asked));
                }
                let connection = ServerConnection::new(config.clone()).unwrap();
                drop(serve(StreamOwned::new(connection, stream), config, &connects, &asked));
            });
        }
    });
    behind
}

fn serve(
    mut stream: impl Read + Write,
    config: Arc<ServerConfig>,
    connects: &Mutex<Vec<String>>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    connects.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    stream.flush()?;
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        asked.lock().unwrap().push(head);
        let body = r#"{"schemaVersion":2,"manifests":[]}"#;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n{body}", media::OCI_INDEX, body.len());
        reader.get_mut().write_all(answer.as_bytes())?;
        reader.get_mut().flush()?;
    }
}

fn resolve(behind: &Behind, certs: &Path, insecure: bool) -> Result<(), String> {
    let settings = Settings {
        proxies: Proxies { https: Some(format!("http://me:p%40ss@{}", behind.proxy)), ..Proxies::default() },
        certificates: vec![certs.to_owned()],
        insecure: if insecure { vec!["r.example".into()] } else { Vec::new() },
        ..settings()
    };
    let name = Reference::parse("r.example/a:1").unwrap();
    run(async { Client::new(settings).resolve(&name, &Credentials::default()).await }).map(|_| ()).map_err(|error| error.to_string())
}

/// A directory with certificates, and in `certs/r.example` those of them that are named.
fn prepare(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let own = dir.path().join("certs/r.example");
    std::fs::create_dir_all(&own).unwrap();
    for (from, to) in files {
        std::fs::copy(dir.path().join(from), own.join(to)).unwrap();
    }
    dir
}

#[test]
fn an_authority_of_ones_own() {
    let dir = prepare(&[("ca.crt", "ca.crt")]);
    let behind = start(dir.path(), false);
    resolve(&behind, &dir.path().join("certs"), false).unwrap();
    // The proxy hears where to, and its own password; nothing of what is asked there.
    let connects = behind.connects.lock().unwrap().clone();
    assert_eq!(connects[0], "CONNECT r.example:443 HTTP/1.1\r\nHost: r.example:443\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n");
    let asked = behind.asked.lock().unwrap().join("").to_lowercase();
    assert!(asked.contains("get /v2/a/manifests/1") && !asked.contains("proxy-authorization"), "{asked}");
}

/// The proxy's certificate is looked at, by what `certs.d` has for the proxy.
#[test]
fn a_proxy_that_is_reached_by_tls() {
    let dir = prepare(&[("ca.crt", "ca.crt")]);
    let behind = start_secured(dir.path());
    let certs = dir.path().join("certs");
    let ask = || {
        let settings = Settings {
            proxies: Proxies { https: Some(format!("https://me:pw@{}", behind.proxy)), ..Proxies::default() },
            certificates: vec![certs.clone()],
            ..settings()
        };
        let name = Reference::parse("r.example/a:1").unwrap();
        run(async { Client::new(settings).resolve(&name, &Credentials::default()).await }).map(drop).map_err(|error| error.to_string())
    };
    let expect = "proxyconnect tcp: tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert_eq!(ask().unwrap_err(), format!("Get \"https://r.example/v2/\": {expect}"));
    assert!(behind.connects.lock().unwrap().is_empty());
    std::fs::create_dir(certs.join(&behind.proxy)).unwrap();
    std::fs::copy(dir.path().join("ca.crt"), certs.join(&behind.proxy).join("ca.crt")).unwrap();
    ask().unwrap();
    let connects = behind.connects.lock().unwrap().clone();
    assert_eq!(connects[0], "CONNECT r.example:443 HTTP/1.1\r\nHost: r.example:443\r\nProxy-Authorization: Basic bWU6cHc=\r\n\r\n");
}

#[test]
fn an_authority_that_nobody_knows() {
    let dir = prepare(&[]);
    let behind = start(dir.path(), false);
    let error = resolve(&behind, &dir.path().join("certs"), false).unwrap_err();
    assert_eq!(error, "Get \"https://r.example/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown authority");
    assert!(behind.asked.lock().unwrap().is_empty());
    // The person says that it does not matter.
    resolve(&behind, &dir.path().join("certs"), true).unwrap();
}

#[test]
fn class14_no_password_to_a_server_with_a_wrong_certificate() {
    let dir = prepare(&[]);
    let behind = start(dir.path(), false);
    let settings = Settings { proxies: Proxies { https: Some(behind.proxy.clone()), ..Proxies::default() }, ..settings() };
    run(async { Client::new(settings).login("r.example", &user()).await }).unwrap_err();
    assert!(behind.asked.lock().unwrap().is_empty());
}

#[test]
fn a_certificate_that_says_who_we_are() {
    let files = [("ca.crt", "ca.crt"), ("client.crt", "client.cert"), ("client.key", "client.key")];
    let dir = prepare(&files);
    let behind = start(dir.path(), true);
    resolve(&behind, &dir.path().join("certs"), false).unwrap();
    for (missing, expect) in [
        ("client.key", "missing key client.key for client certificate client.cert. CA certificates must use the extension .crt"),
        ("client.cert", "missing client certificate client.cert for key client.key"),
    ] {
        let other = prepare(&files);
        std::fs::remove_file(other.path().join("certs/r.example").join(missing)).unwrap();
        assert_eq!(resolve(&behind, &other.path().join("certs"), false).unwrap_err(), expect);
    }
    // Without one, the server does not talk to us.
    let bare = prepare(&[("ca.crt", "ca.crt")]);
    let own = bare.path().join("certs/r.example/ca.crt");
    std::fs::copy(dir.path().join("ca.crt"), own).unwrap();
    resolve(&behind, &bare.path().join("certs"), false).unwrap_err();
}

#[test]
fn a_proxy_that_does_not_let_us() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).and_then(|_| stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"));
        }
    });
    let behind = Behind { proxy, connects: Arc::default(), asked: Arc::default() };
    let error = resolve(&behind, Path::new("/nonexistent"), false).unwrap_err();
    assert_eq!(error, "Get \"https://r.example/v2/\": proxyconnect tcp: HTTP/1.1 407 Proxy Authentication Required");
}
