//! Signals that the person's shell sends to the client, on their way to the container.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What is forwarded: everything that can be caught but SIGCHLD, SIGPIPE and SIGURG, which mean the client itself.
const FORWARDED: &[(i32, &str)] = &[
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (5, "TRAP"),
    (6, "ABRT"),
    (10, "USR1"),
    (12, "USR2"),
    (14, "ALRM"),
    (15, "TERM"),
    (16, "STKFLT"),
    (18, "CONT"),
    (20, "TSTP"),
    (21, "TTIN"),
    (22, "TTOU"),
    (24, "XCPU"),
    (25, "XFSZ"),
    (26, "VTALRM"),
    (27, "PROF"),
    (28, "WINCH"),
    (29, "IO"),
    (30, "PWR"),
    (31, "SYS"),
];

/// What ends a program that does not care for it: the terminal must be restored before.
const DEADLY: &[(i32, &str)] = &[(1, "HUP"), (2, "INT"), (3, "QUIT"), (15, "TERM")];

/// Catches signals to forward; gives their names without `SIG`.
pub(crate) fn catch_all() -> mpsc::UnboundedReceiver<(i32, &'static str)> {
    catch(FORWARDED)
}

/// Catches what would end the client.
pub(crate) fn catch_deadly() -> mpsc::UnboundedReceiver<(i32, &'static str)> {
    catch(DEADLY)
}

fn catch(which: &'static [(i32, &'static str)]) -> mpsc::UnboundedReceiver<(i32, &'static str)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for (number, name) in which {
        // One that cannot be caught keeps its usual effect.
        let Ok(mut stream) = signal(SignalKind::from_raw(*number)) else { continue };
        let (number, name, sender) = (*number, *name, sender.clone());
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if sender.send((number, name)).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// Changes of the terminal's size.
pub(crate) fn resizes() -> Option<tokio::signal::unix::Signal> {
    signal(SignalKind::window_change()).ok()
}
