//! Swarm, which there is none of: Docker's words for a node that is not in one.

use crate::error::{Failure, Result};
use crate::http::Reply;
use dhow_api::ApiError;

/// The answer to a swarm path; `None` for all others.
pub(crate) fn or_not_found(segments: &[&str]) -> Option<Result<Reply>> {
    if matches!(segments, ["swarm", "init" | "join"]) {
        return Some(Err(Failure::unsupported("swarm mode")));
    }
    if matches!(segments.first(), Some(&("swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs"))) {
        let message = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm \
                       and try again.";
        return Some(Err(Failure(ApiError::new(503, message))));
    }
    None
}
