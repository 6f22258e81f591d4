//! Sockets that a service manager has opened and handed over (`LISTEN_FDS`): sd_listen_fds(3).

use anyhow::{Context, Result, bail};
use std::os::fd::OwnedFd;

/// The first of them.
const FIRST: i32 = 3;

/// What is said in the environment of a process with this id: how many sockets, and their names.
fn said(variable: impl Fn(&str) -> Option<String>, pid: u32) -> Option<(usize, Vec<String>)> {
    // Meant for another process: a parent's that was passed on.
    if variable("LISTEN_PID")?.parse() != Ok(pid) {
        return None;
    }
    let count = variable("LISTEN_FDS")?.parse().ok().filter(|count| (1..=64).contains(count))?;
    let names = variable("LISTEN_FDNAMES").unwrap_or_default().split(':').map(str::to_owned).collect();
    Some((count, names))
}

/// Takes the sockets that `fd://WHICH` means: all of them for nothing or `*`, else one by its number or its name.
///
/// # Errors
/// None was handed over, or not that one.
pub(crate) fn take(which: &str) -> Result<Vec<OwnedFd>> {
    let Some((count, names)) = said(|name| std::env::var(name).ok(), std::process::id()) else {
        bail!("no sockets found via socket activation: make sure the service was started by systemd");
    };
    let picked = pick(which, count, &names).with_context(|| format!("failed to find a matching socket for fd://{which}"))?;
    picked
        .map(|index| dhow_sys::process::inherited(FIRST + i32::try_from(index)?).context("take a socket of the service manager"))
        .collect()
}

fn pick(which: &str, count: usize, names: &[String]) -> Option<std::ops::Range<usize>> {
    if which.is_empty() || which == "*" {
        return Some(0..count);
    }
    let index = match which.parse::<usize>() {
        Ok(number) => number.checked_sub(FIRST as usize)?,
        Err(_) => names.iter().position(|name| name == which)?,
    };
    (index < count).then_some(index..index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_this_process_only() {
        let with = |pid: &str, count: &str| {
            let (pid, count) = (pid.to_owned(), count.to_owned());
            said(
                move |name| match name {
                    "LISTEN_PID" => Some(pid.clone()),
                    "LISTEN_FDS" => Some(count.clone()),
                    "LISTEN_FDNAMES" => Some("a:b".into()),
                    _ => None,
                },
                7,
            )
        };
        assert_eq!(with("7", "2"), Some((2, vec!["a".into(), "b".into()])));
        assert_eq!((with("8", "2"), with("7", "0"), with("7", "many"), with("", "1")), (None, None, None, None));
    }

    #[test]
    fn which_of_them() {
        let names = ["api".to_owned(), "more".to_owned()];
        let check = |which: &str, expect: Option<std::ops::Range<usize>>| assert_eq!(pick(which, 2, &names), expect, "{which}");
        check("", Some(0..2));
        check("*", Some(0..2));
        check("3", Some(0..1));
        check("4", Some(1..2));
        check("more", Some(1..2));
        check("5", None);
        check("0", None);
        check("other", None);
    }
}
