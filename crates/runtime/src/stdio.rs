//! The first three descriptors of a process in a container.

use crate::error::{Failure, Result};
use std::os::fd::OwnedFd;

/// The first three descriptors of the process.
#[derive(Debug)]
pub enum Stdio {
    /// Given descriptors (pipes, files, /dev/null).
    Given {
        /// Descriptor 0.
        stdin: OwnedFd,
        /// Descriptor 1.
        stdout: OwnedFd,
        /// Descriptor 2.
        stderr: OwnedFd,
    },
    /// A new pseudo-terminal of the container's own devpts; its master comes back in [`crate::Created::console`].
    Terminal {
        /// Height and width in characters, where known.
        size: Option<(u16, u16)>,
    },
}

/// A terminal is made exactly where the specification asks for one.
pub(crate) fn agree(terminal: bool, stdio: &Stdio) -> Result<()> {
    if terminal == matches!(stdio, Stdio::Terminal { .. }) {
        return Ok(());
    }
    Err(Failure::invalid("process.terminal", "does not agree with the given descriptors"))
}
