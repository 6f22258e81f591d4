//! The two streams.

use std::io::Write;

use crate::error::Error;

/// Writes to standard output.
pub(crate) fn say(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::output)
}

/// Writes a line to standard error.
pub(crate) fn warn(text: &str) {
    // Nobody listening is no reason to stop.
    let _unheard = writeln!(std::io::stderr(), "{text}");
}
