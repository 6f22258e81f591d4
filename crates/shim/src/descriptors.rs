//! How many descriptors a process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Allows this process as many descriptors as it can have: the usual number is too small for many published ports. What it starts from then
/// on may have as many.
pub fn raise() {
    let now = getrlimit(Resource::Nofile);
    if now.current != now.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum })
    {
        // The ports beyond the limit are refused when they come.
        tracing::debug!(%error, "the limit of descriptors stays as it is");
    }
}
