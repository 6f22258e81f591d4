//! What went wrong, with which object.

use std::fmt;
use std::io;

/// An operation on an object of the kernel's failed.
#[derive(Debug)]
pub struct Error {
    /// What was done: `create the bridge`.
    pub operation: &'static str,
    /// With what: the name of a link, an address, a table.
    pub object: String,
    /// Why it did not work.
    pub source: io::Error,
}

/// Of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// For `map_err`.
    pub(crate) fn of(operation: &'static str, object: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let object = object.into();
        move |source| Self { operation, object, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, object, source } = self;
        let why = match source.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::PERM) => " (this needs the capability NET_ADMIN)",
            Some(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::PROTONOSUPPORT) => " (the kernel lacks this)",
            _ => "",
        };
        write!(f, "{operation} {object}: {source}{why}")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
