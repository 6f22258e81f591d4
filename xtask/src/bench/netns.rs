//! A network namespace that stands for an engine's host, and one for the world outside; both go with this.

use crate::shell::{command, quiet};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A namespace that a process of its own holds.
pub(crate) struct Netns(Child);

impl Netns {
    /// A fresh one with loopback.
    pub(crate) fn new() -> Result<Self> {
        let own = std::fs::read_link("/proc/self/ns/net").context("this process's namespace")?;
        let mut hold = command("unshare", &["--net", "sleep", "infinity"]);
        let netns = Self(hold.stdin(Stdio::null()).spawn().context("hold a network namespace")?);
        let end = Instant::now() + Duration::from_secs(10);
        while std::fs::read_link(netns.path()).is_ok_and(|there| there == own) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        quiet(netns.command(Path::new("ip")).args(["link", "set", "lo", "up"]))?;
        Ok(netns)
    }

    /// A neighbour at the other end of a pair of links: this one is 198.51.100.1, the other 198.51.100.2.
    pub(crate) fn neighbour(&self) -> Result<Self> {
        let other = Self::new()?;
        let ip = |netns: &Self, words: &str| quiet(netns.command(Path::new("ip")).args(words.split(' ')));
        ip(self, &format!("link add outside type veth peer name inside netns {}", other.0.id()))?;
        for (netns, name, address) in [(self, "outside", "198.51.100.1"), (&other, "inside", "198.51.100.2")] {
            ip(netns, &format!("addr add {address}/24 dev {name}"))?;
            ip(netns, &format!("link set {name} up"))?;
        }
        Ok(other)
    }

    /// A program in it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = command("nsenter", &[&format!("--net={}", self.path()), "--"]);
        command.arg(program);
        command
    }

    /// Its file, as long as this lives.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _status = self.0.wait();
    }
}
