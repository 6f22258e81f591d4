//! Docker's words about options of a log.

use crate::error::{Error, Kind};

/// What is wrong whatever the driver.
pub(super) fn bad(message: String) -> Error {
    Error::new(Kind::Invalid, message)
}

/// What Docker finds out at the start.
pub(super) fn driver_error(message: String) -> Error {
    bad(format!("failed to initialize logging driver: {message}"))
}
