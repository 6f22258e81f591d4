//! The name that `ps` shows.

use std::io;

/// Overwrites the argument area of this process with `title` (cut to the room that the original arguments left; callers
/// that want room are started with a padded argument) and sets the thread's name (15 bytes).
pub fn set(_title: &str) -> io::Result<()> {
    todo!()
}
