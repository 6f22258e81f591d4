//! Platforms in queries, as people write them: `linux/arm64/v8`, `linux`, `arm64`.

use crate::error::{Failure, Result};
use dhow_reference::platform::Platform;

/// What is meant. Refuses, in Docker's words, what is no platform.
pub(crate) fn parse(text: &str) -> Result<Platform> {
    Platform::parse(text).map_err(Failure::invalid)
}
