//! Side by side with docker, podman and the bare kernel.
use anyhow::{Result, bail};
pub(crate) fn run(_words: &[String]) -> Result<()> {
    bail!("not yet")
}
