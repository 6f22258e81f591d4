//! How many descriptors a process may have.

use oci_spec::runtime::{PosixRlimitBuilder, PosixRlimitType, Process};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;

/// What the limit was before it was raised.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Allows this process as many descriptors as it can have: the usual number is too small for many published ports. What it starts from then
/// on gets its limit from [`as_before`].
pub fn raise() {
    let now = getrlimit(Resource::Nofile);
    if now.current == now.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum }) {
        Ok(()) => _ = BEFORE.set(now),
        // The ports beyond the limit are refused when they come.
        Err(error) => tracing::debug!(%error, "the limit of descriptors stays as it is"),
    }
}

/// Gives a process that is about to be started the limit that this one had at first, where it asks for none itself.
pub(crate) fn as_before(process: &mut Process) {
    if let Some(before) = BEFORE.get() {
        limit(process, before);
    }
}

fn limit(process: &mut Process, limit: &Rlimit) {
    let mut all = process.rlimits().clone().unwrap_or_default();
    if all.iter().any(|limit| limit.typ() == PosixRlimitType::RlimitNofile) {
        return;
    }
    let own = PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile);
    // Nothing is missing.
    all.extend(own.soft(limit.current.unwrap_or(u64::MAX)).hard(limit.maximum.unwrap_or(u64::MAX)).build());
    process.set_rlimits(Some(all));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_asks_for_counts() {
        let mut process = Process::default();
        process.set_rlimits(None);
        let nofile = |process: &Process| process.rlimits().as_ref().map(|all| all.iter().map(|limit| limit.soft()).collect::<Vec<_>>());
        limit(&mut process, &Rlimit { current: Some(1024), maximum: None });
        assert_eq!(nofile(&process), Some(vec![1024]));
        limit(&mut process, &Rlimit { current: Some(7), maximum: None });
        assert_eq!(nofile(&process), Some(vec![1024]));
    }
}
