//! Swarm, which there is none of: Docker's words for a node that is not in one.

use crate::error::{Failure, Result};
use crate::http::Reply;
use dhow_api::ApiError;

/// The answer to a swarm path; `None` for all others.
pub(crate) fn or_not_found(segments: &[&str]) -> Option<Result<Reply>> {
    if matches!(segments, ["swarm", "init" | "join"]) {
        return Some(Err(Failure::unsupported("swarm mode")));
    }
    if matches!(segments, ["swarm", "leave"]) {
        return Some(Err(Failure(ApiError::new(503, "This node is not part of a swarm"))));
    }
    if matches!(segments.first(), Some(&("swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs"))) {
        return Some(Err(not_a_manager()));
    }
    None
}

/// The answer to whatever only a cluster can do.
pub(crate) fn not_a_manager() -> Failure {
    let message = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm \
                   and try again.";
    Failure(ApiError::new(503, message))
}

/// The answer to a change of a volume: there are only those of a cluster that may be changed.
pub(crate) fn no_cluster_volumes() -> Failure {
    Failure(ApiError::new(503, "volume update only valid for cluster volumes, but swarm is unavailable"))
}
