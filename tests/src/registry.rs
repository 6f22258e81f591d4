//! Debian's registry on loopback, filled by the tests: any document, true or not.

use crate::wait::{patience, within};
use crate::{engine, paths, skip};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Media types that the tests write.
#[allow(missing_docs, reason = "their names say what they are")]
pub mod media {
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
}

/// A running registry with a directory of its own.
#[derive(Debug)]
pub struct Registry {
    dir: PathBuf,
    /// `127.0.0.1:PORT`.
    pub address: String,
    child: Child,
    password: Option<PathBuf>,
}

impl Registry {
    /// Starts one for everybody; where that is not possible, the test is counted as skipped.
    pub fn start() -> Option<Self> {
        Self::with("")
    }

    /// Starts one for `user` with the password `secret`.
    pub fn locked() -> Option<Self> {
        let file = tempfile::Builder::new().prefix("dp").tempfile().expect("a file");
        // bcrypt, cost 5.
        std::fs::write(file.path(), "user:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n").expect("a password");
        let (_, path) = file.keep().expect("a file that stays");
        let mut registry = Self::with(&format!("auth: {{htpasswd: {{realm: x, path: {}}}}}\n", path.display()))?;
        registry.password = Some(path);
        Some(registry)
    }

    fn with(more: &str) -> Option<Self> {
        let Some(program) = paths::program("docker-registry") else {
            skip("docker-registry is not installed");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("dr").tempdir_in("/tmp").expect("a directory").keep();
        // Free just now; who takes it meanwhile makes the test fail loudly.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").to_string();
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: \
             true}}}}\nhttp: {{addr: {address:?}}}\n{more}",
            dir.join("data").display()
        );
        std::fs::write(dir.join("config.yml"), config).expect("a configuration");
        let log = std::fs::File::create(dir.join("log")).expect("a log");
        let mut command = Command::new(program);
        command.arg("serve").arg(dir.join("config.yml")).env_clear().stdin(Stdio::null());
        let child = command.stdout(log.try_clone().expect("a copy")).stderr(log).spawn().expect("start docker-registry");
        let registry = Self { dir, address, child, password: None };
        let answers = within(patience(), &mut || TcpStream::connect(&registry.address).is_ok().then_some(()));
        assert!(
            answers.is_some(),
            "the registry does not answer: {}",
            std::fs::read_to_string(registry.dir.join("log")).unwrap_or_default()
        );
        Some(registry)
    }

    /// The name of something in it.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// Stores a blob; gives its descriptor.
    #[track_caller]
    pub fn blob(&self, repository: &str, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        let (status, head) = self.request("POST", &format!("/v2/{repository}/blobs/uploads/"), "", &[]);
        assert_eq!(status, 202, "{head}");
        let location = head.lines().find_map(|line| line.to_lowercase().starts_with("location: ").then(|| line[10..].trim().to_owned()));
        let location = location.expect("a place to upload to");
        let path = location.split_once(&self.address).map_or(location.as_str(), |(_, path)| path);
        let (status, head) = self.request("PUT", &format!("{path}&digest={digest}"), "content-type: application/octet-stream\r\n", bytes);
        assert_eq!(status, 201, "{head}");
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// Stores a document under a tag or its digest; gives its descriptor.
    #[track_caller]
    pub fn document(&self, repository: &str, tag: Option<&str>, media_type: &str, document: &Value) -> Value {
        let bytes = document.to_string().into_bytes();
        let digest = digest(&bytes);
        let path = format!("/v2/{repository}/manifests/{}", tag.unwrap_or(&digest));
        let (status, head) = self.request("PUT", &path, &format!("content-type: {media_type}\r\n"), &bytes);
        assert_eq!(status, 201, "{head}");
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// An image of layers (media type, bytes as stored, diff id) with a tag; gives the descriptor of its manifest.
    #[track_caller]
    pub fn image(&self, repository: &str, tag: Option<&str>, architecture: &str, layers: &[(String, Vec<u8>, String)]) -> Value {
        let diffs: Vec<&String> = layers.iter().map(|(_, _, diff)| diff).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "config": { "Cmd": ["sh"], "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": diffs },
        });
        let config = self.blob(repository, media::CONFIG, config.to_string().as_bytes());
        let layers: Vec<Value> = layers.iter().map(|(kind, bytes, _)| self.blob(repository, kind, bytes)).collect();
        let manifest = json!({ "schemaVersion": 2, "mediaType": media::MANIFEST, "config": config, "layers": layers });
        self.document(repository, tag, media::MANIFEST, &manifest)
    }

    /// What it has at a path.
    #[track_caller]
    pub fn bytes(&self, path: &str, accept: &str) -> Vec<u8> {
        let (status, answer) = self.request("GET", path, &format!("accept: {accept}\r\n"), &[]);
        assert_eq!(status, 200, "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        body.as_bytes().to_vec()
    }

    fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the registry");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{}{headers}content-length: {}\r\n\r\n",
            self.address,
            // `user:secret`, who is welcome everywhere.
            "authorization: Basic dXNlcjpzZWNyZXQ=\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("send");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        engine::kill(self.child.id() as i32, 9);
        let _status = self.child.wait();
        let _removed = std::fs::remove_dir_all(&self.dir);
        let _gone = self.password.as_ref().map(std::fs::remove_file);
    }
}

/// `sha256:…`.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A layer as [`Registry::image`] takes it, packed by a program (`gzip`, `zstd`) or not at all.
#[track_caller]
pub fn layer(tar: &[u8], packer: Option<&str>) -> (String, Vec<u8>, String) {
    let diff = digest(tar);
    match packer {
        None => (media::LAYER.to_owned(), tar.to_vec(), diff),
        Some(program) => {
            let packed = crate::Cmd::new(program).args(["-c"]).input(tar).run().bytes().to_vec();
            (format!("{}+{program}", media::LAYER), packed, diff)
        }
    }
}
