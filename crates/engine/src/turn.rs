//! One prune of a kind at a time.

use crate::error::{Error, Kind, Result};
use std::sync::atomic::{AtomicBool, Ordering};

/// Prunes under way.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    /// Of containers and networks.
    pub(crate) containers: AtomicBool,
    /// Of images.
    pub(crate) images: AtomicBool,
    /// Of volumes.
    pub(crate) volumes: AtomicBool,
}

/// The right to prune, until it is dropped.
pub(crate) struct Turn<'a>(&'a AtomicBool);

impl<'a> Turn<'a> {
    /// Takes it, unless somebody else has it.
    pub(crate) fn take(flag: &'a AtomicBool) -> Result<Self> {
        if flag.swap(true, Ordering::AcqRel) {
            return Err(Error::new(Kind::Conflict, "a prune operation is already running"));
        }
        Ok(Self(flag))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let flag = AtomicBool::new(false);
        let turn = Turn::take(&flag).unwrap();
        let refused = Turn::take(&flag).err().unwrap();
        assert_eq!((refused.kind, refused.to_string().as_str()), (Kind::Conflict, "a prune operation is already running"));
        drop(turn);
        assert!(Turn::take(&flag).is_ok());
    }
}
