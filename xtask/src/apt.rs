//! Packages of other Debian releases, fetched by an apt that knows nothing of this machine's.

use crate::shell::{command, output};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The only entry of a directory whose name starts so.
pub(crate) fn only(dir: &Path, prefix: &str) -> Result<PathBuf> {
    std::fs::read_dir(dir)
        .with_context(|| format!("read {}", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
        .with_context(|| format!("nothing named {prefix}* in {}", dir.display()))
}

/// apt confined to a directory.
pub(crate) struct Apt {
    config: PathBuf,
}

impl Apt {
    /// For a release of Debian, its lists fetched when the caller says so.
    pub(crate) fn new(dir: &Path, suite: &str) -> Result<Self> {
        for sub in ["lists/partial", "cache/archives/partial", "etc/preferences.d"] {
            std::fs::create_dir_all(dir.join(sub)).with_context(|| format!("make {sub}"))?;
        }
        let sources = dir.join("sources.list");
        let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
        std::fs::write(&sources, format!("deb [signed-by={keyring}] {} {suite} main\n", mirror()?)).context("write the sources list")?;
        let config = dir.join("apt.conf");
        let text = format!(
            "Dir::Etc::SourceList \"{0}/sources.list\";\nDir::Etc::SourceParts \"-\";\nDir::Etc::PreferencesParts \"{0}/etc/preferences.d\";\n\
             Dir::State::Lists \"{0}/lists\";\nDir::Cache \"{0}/cache\";\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\nAcquire::Retries \"3\";\n",
            dir.display()
        );
        std::fs::write(&config, text).context("write apt's settings")?;
        Ok(Self { config })
    }

    /// One of apt's programs, so confined.
    pub(crate) fn command(&self, program: &str, words: &[&str]) -> std::process::Command {
        let mut command = command(program, words);
        command.env("APT_CONFIG", &self.config);
        command
    }
}

/// The mirror that this machine uses for Debian itself: the first one with the suite `bookworm` in apt's own lists.
fn mirror() -> Result<String> {
    let shown = output(&mut command("apt-get", &["indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT) $(ORIGIN)"]))?;
    shown
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|words| {
            words.len() >= 4 && words[3] == "Debian" && words[2] == "main" && !words[0].contains("security") && !words[1].contains('-')
        })
        .map(|words| words[0].to_string())
        .context("apt on this machine has no Debian mirror (run `apt-get update`?)")
}
