//! A throwaway engine with an image, and the check that nothing of it is left.

use dhow_engine::Options;
use dhow_engine::client::{AttachRequest, Client};
use dhow_engine::container::WaitFor;
use dhow_engine::model::Request;
use dhow_engine::{Engine, Error};
use dhow_image::ImportConfig;
use dhow_reference::Reference;
use futures_util::FutureExt;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) struct Fixture {
    pub(crate) engine: Engine,
    root: tempfile::TempDir,
}

/// Where a run ended, and what it said on its two streams.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: i64,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs a test with an engine of its own, and looks for left-overs.
pub(crate) fn with_engine<F: Future<Output = ()>>(test: impl FnOnce(std::sync::Arc<Fixture>) -> F) {
    let runtime = runtime();
    runtime.block_on(async {
        let fixture = std::sync::Arc::new(Fixture::new().await);
        let outcome = std::panic::AssertUnwindSafe(test(fixture.clone())).catch_unwind().await;
        if let Err(panic) = outcome {
            fixture.give_up().await;
            std::panic::resume_unwind(panic);
        }
        fixture.end().await;
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
}

pub(crate) fn options(root: &Path) -> Options {
    let name = root.file_name().unwrap().to_string_lossy().trim_start_matches('.').to_owned();
    Options {
        cdi_dirs: Vec::new(),
        data_root: root.join("data"),
        exec_root: root.join("x"),
        cgroup_parent: format!("/dhow-engine-test-{name}"),
        log: Default::default(),
        layers: Default::default(),
        registry: Default::default(),
        max_downloads: 3,
        max_uploads: 5,
        runtimes: Default::default(),
        userns: None,
        network: Default::default(),
    }
}

impl Fixture {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let engine = Engine::open(options(root.path())).await.unwrap();
        import(&engine).await;
        Self { engine, root }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// After a failed test: its containers go, whatever they say.
    async fn give_up(&self) {
        for container in self.engine.containers() {
            let _removed = self.engine.remove(&container.id, true, true).await;
        }
        self.engine.close().await;
    }

    /// Removes every container, closes, and looks around.
    async fn end(&self) {
        for container in self.engine.containers() {
            self.engine.remove(&container.id, true, true).await.unwrap();
        }
        self.engine.close().await;
        assert_clean(self.root());
    }
}

pub(crate) async fn import(engine: &Engine) {
    let config = serde_json::json!({"Env": ["PATH=/bin", "FROM=image"], "Cmd": ["sh"]});
    let config = ImportConfig { comment: String::new(), platform: None, config: Some(config) };
    let target = Reference::parse("busybox").unwrap();
    engine.import(Box::new(std::io::Cursor::new(image())), config, Some(target)).await.unwrap();
}

fn image() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, mode: u32, kind: tar::EntryType, content: &[u8], link: &str| {
        let mut header = tar::Header::new_ustar();
        header.set_mode(mode);
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        header.set_path(path).unwrap();
        header.set_cksum();
        tar.append(&header, content).unwrap();
    };
    for dir in ["bin/", "etc/", "tmp/", "root/", "home/"] {
        add(dir, 0o755, tar::EntryType::Directory, &[], "");
    }
    add("bin/busybox", 0o755, tar::EntryType::Regular, &std::fs::read("/bin/busybox").unwrap(), "");
    for name in
        ["sh", "true", "false", "echo", "cat", "sleep", "id", "env", "kill", "head", "yes", "tail", "tr", "ls", "stty", "hostname", "seq"]
    {
        add(&format!("bin/{name}"), 0o777, tar::EntryType::Symlink, &[], "busybox");
    }
    add("etc/passwd", 0o644, tar::EntryType::Regular, b"root:x:0:0::/root:/bin/sh\nweb:x:33:34::/home:/bin/sh\n", "");
    add("etc/group", 0o644, tar::EntryType::Regular, b"root:x:0:\nwheel:x:10:root\nwww:x:34:\n", "");
    add("etc/plain", 0o644, tar::EntryType::Regular, b"no program\n", "");
    tar.into_inner().unwrap()
}

/// What a closed engine without containers has left.
pub(crate) fn assert_clean(root: &Path) {
    let list = |dir: PathBuf| -> Vec<String> {
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(list(root.join("data/containers")), none);
    assert_eq!(list(root.join("x")), none, "exec root");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mine = root.to_string_lossy().into_owned();
    assert!(!mounts.contains(&mine), "mounts are left: {mounts}");
    let parent = options(root).cgroup_parent;
    for cgroups in list("/sys/fs/cgroup".into()) {
        let dir = format!("/sys/fs/cgroup/{cgroups}{parent}");
        assert!(!Path::new(&dir).exists(), "{dir} is left");
    }
}

pub(crate) fn request(command: &[&str]) -> Request {
    Request { image: "busybox".into(), command: Some(command.iter().map(|w| (*w).to_owned()).collect()), ..Request::default() }
}

/// A client's two ends.
pub(crate) fn client() -> (Client, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Client { socket: ours.into(), early: Vec::new(), head: Vec::new() }, theirs)
}

pub(crate) fn streams() -> AttachRequest {
    AttachRequest { stdin: true, stdout: true, stderr: true, stream: true, ..AttachRequest::default() }
}

/// Takes Docker's frames apart.
pub(crate) fn unframe(mut bytes: &[u8]) -> (String, String) {
    let mut texts = [String::new(), String::new()];
    while let [stream, 0, 0, 0, a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        texts[usize::from(*stream) - 1].push_str(&String::from_utf8_lossy(&rest[..length]));
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "not a frame: {bytes:?}");
    let [out, err] = texts;
    (out, err)
}

pub(crate) async fn read_all(mut stream: UnixStream) -> Vec<u8> {
    tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    })
    .await
    .unwrap()
}

/// Create, attach, wait, start: as `docker run` does.
pub(crate) async fn run(engine: &Engine, request: Request) -> Result<Outcome, Error> {
    let until = if request.auto_remove { WaitFor::Removed } else { WaitFor::NextExit };
    let tty = request.tty;
    let (id, _) = engine.create(request).await?;
    let (client, stream) = client();
    engine.attach(&id, streams(), client).await?;
    let end = engine.wait(&id, until).await?;
    let reader = tokio::spawn(read_all(stream));
    engine.start(&id).await?;
    let (code, _) = end.await.unwrap();
    let bytes = reader.await.unwrap();
    let (out, err) = if tty { (String::from_utf8(bytes).unwrap(), String::new()) } else { unframe(&bytes) };
    Ok(Outcome { code, out, err })
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
