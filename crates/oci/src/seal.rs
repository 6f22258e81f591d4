//! Whoever enters a container must not bring the program on the disk along: a process in there finds it at `/proc/PID/exe` and may write to it
//! (CVE-2019-5736). So the commands that enter run from a copy that nobody can change, or, which is quicker, see to it that what is found
//! there is something else.

use crate::bundle::Bundle;
use crate::error::{At, Error, Result};
use crate::store::Store;
use dhow_runtime::itself::Itself;
use dhow_runtime::leap;
use dhow_runtime::seccomp::{self, Program};
use dhow_sys::stub::Stub;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// For a call that creates and starts in one: a stub, with the specification's filter compiled, where one will do; else as [`ensure`].
pub(crate) fn stub_or_ensure(store: &Store, bundle: &Bundle) -> Result<(Option<Program>, Option<Stub>)> {
    let profile = bundle.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    // One that is wrong is refused where all others are. Where a stub cannot be had, the copy is tried.
    if let Ok(filter) = profile.map(seccomp::compile).transpose()
        && let Ok(itself) = Itself::find()
        && !itself.may_be_reached_at(&bundle.rootfs)
        && leap::suits(&bundle.spec, filter.as_ref(), |source| itself.may_be_reached_at(source))
        && let Ok(stub) = Stub::new()
    {
        return Ok((filter, Some(stub)));
    }
    ensure(&store.scratch()?).map(|()| (None, None))
}

/// Returns at once in a process that runs from such a copy. Any other one becomes one, and does not return unless it fails.
/// `empty` is an empty directory that only this user can fill.
pub(crate) fn ensure(empty: &Path) -> Result<()> {
    if dhow_sys::sealed::is_self_sealed().at("look at own program")? {
        return Ok(());
    }
    // Where overlays are not to be had (no right to mount, an old kernel) a copy in memory does.
    let program = dhow_sys::sealed::self_overlay(empty).or_else(|_| dhow_sys::sealed::self_exe()).at("seal own program")?;
    let text = |word: OsString| CString::new(word.as_bytes()).map_err(|_| Error::new("argument: holds a NUL byte"));
    let args = std::env::args_os().map(text).collect::<Result<Vec<_>>>()?;
    let env = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        text(name)
    });
    let env = env.collect::<Result<Vec<_>>>()?;
    match nix::unistd::fexecve(&program, &args, &env) {
        Ok(never) => match never {},
        Err(errno) => Err(std::io::Error::from(errno)).at("execute own sealed program"),
    }
}
