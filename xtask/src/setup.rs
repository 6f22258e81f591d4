//! Installs from Debian what the tests use. Quick when everything is there.

use crate::shell::{command, find, output, quiet, run as execute};
use anyhow::{Context, Result};

/// Needed by the tests, the images and the virtual machine.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "ca-certificates",
    "e2fsprogs",
    "erofs-utils",
    "gcc",
    "iproute2",
    "kmod",
    "libc6-dev",
    "mmdebstrap",
    "nftables",
    "openssl",
    "procps",
    "qemu-system-x86",
    "strace",
    "tmux",
    "uidmap",
    "util-linux",
    "xz-utils",
    "zstd",
];

/// Peers to measure and compare with.
const PEERS: &[&str] = &["buildah", "crun", "docker-compose", "docker-registry", "docker.io", "podman", "runc", "skopeo"];

/// Installs what the tests use.
fn run_packages(peers: bool) -> Result<()> {
    let mut wanted: Vec<&str> = PACKAGES.to_vec();
    if peers {
        wanted.extend(PEERS);
    }
    packages(&wanted)
}

/// Installs those that are missing.
pub(crate) fn packages(wanted: &[&str]) -> Result<()> {
    let missing: Vec<&str> = wanted.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {}", missing.join(" "));
    quiet(&mut command("apt-get", &["update", "-qq"])).context("refresh the list of packages")?;
    let mut install = command("apt-get", &["install", "-y", "-qq", "--no-install-recommends"]);
    install.args(&missing).env("DEBIAN_FRONTEND", "noninteractive");
    // A package's service must not start: the tests start what they need, where they need it.
    let policy = Policy::forbid()?;
    let done = quiet(&mut install);
    drop(policy);
    done.context("install packages (are you root, on Debian 12?)")
}

/// All of it: packages and the test runner.
pub(crate) fn run(peers: bool) -> Result<()> {
    run_packages(peers)?;
    if find("cargo-nextest").is_none() && output(&mut command("cargo", &["nextest", "--version"])).is_err() {
        println!("installing cargo-nextest");
        if let Err(error) = execute(&mut command("cargo", &["install", "--quiet", "cargo-nextest", "--locked"])) {
            println!("cargo-nextest could not be had ({error:#}); `cargo test` takes its place");
        }
    }
    Ok(())
}

fn installed(package: &str) -> bool {
    output(&mut command("dpkg-query", &["-W", "-f", "${db:Status-Status}", package])).is_ok_and(|status| status.trim() == "installed")
}

/// Debian asks this file before a package starts its service. It is put there only where there is none.
struct Policy(Option<&'static str>);

impl Policy {
    fn forbid() -> Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        const PATH: &str = "/usr/sbin/policy-rc.d";
        match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(PATH) {
            Ok(mut file) => {
                std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n").with_context(|| format!("write {PATH}"))?;
                Ok(Self(Some(PATH)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Self(None)),
            Err(error) => Err(error).with_context(|| format!("write {PATH}")),
        }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(path) = self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            eprintln!("could not remove {path}: {error}");
        }
    }
}
