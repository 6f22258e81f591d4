//! Debian's docker-registry on loopback, with a directory of its own.

use super::netns::Netns;
use crate::shell::{command, find, output};
use anyhow::{Context, Result, bail};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running registry, ended when dropped.
pub(crate) struct Registry {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
}

impl Registry {
    /// Starts one whose blobs are in `dir`.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let connect = |address: &str| Ok(TcpStream::connect(address).is_ok());
        Self::serve(dir, address, |program| command(&program.to_string_lossy(), &[]), connect)
    }

    /// Starts one at an address of another network.
    pub(crate) fn start_on(dir: &Path, host: &Netns, address: &str) -> Result<Self> {
        let connect = |address: &str| {
            let table = output(host.command(Path::new("cat")).arg("/proc/net/tcp"))?;
            let port = address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).context("a port")?;
            Ok(table.lines().any(|line| line.contains(&format!(":{port:04X} ")) && line.contains(" 0A ")))
        };
        Self::serve(dir, address.to_owned(), |program| host.command(program), connect)
    }

    fn serve(dir: &Path, address: String, inside: impl FnOnce(&Path) -> Command, answers: impl Fn(&str) -> Result<bool>) -> Result<Self> {
        let program = find("docker-registry").context("docker-registry is not installed")?;
        std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \
             {address:?}}}\n",
            dir.join("data").display()
        );
        let file = dir.join("config.yml");
        std::fs::write(&file, config).with_context(|| format!("write {}", file.display()))?;
        let mut serve = inside(&program);
        serve.arg("serve").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut registry = Self { child: serve.spawn().context("run docker-registry")?, address };
        let end = Instant::now() + Duration::from_secs(30);
        while !answers(&registry.address)? {
            if registry.child.try_wait()?.is_some() || Instant::now() > end {
                bail!("docker-registry does not start");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}
