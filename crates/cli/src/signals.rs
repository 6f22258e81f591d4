//! Signals that the person's shell sends to the client, on their way to the container.

use dhow_sys::signal;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

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

/// The terminal has another size.
const RESIZED: &[(i32, &str)] = &[(28, "WINCH")];

/// Signals that are caught from now on.
pub(crate) struct Caught {
    /// Their numbers, a byte each. `None` where they cannot be caught: they keep their usual effect.
    numbers: Option<Receiver>,
    names: &'static [(i32, &'static str)],
}

/// Catches signals to forward; gives their names without `SIG`.
pub(crate) fn catch_all() -> Caught {
    Caught::new(FORWARDED)
}

/// Catches what would end the client.
pub(crate) fn catch_deadly() -> Caught {
    Caught::new(DEADLY)
}

/// Changes of the terminal's size.
pub(crate) fn resizes() -> Caught {
    Caught::new(RESIZED)
}

impl Caught {
    // Not by tokio's own streams: each is a task and a copy of all that were made before, 0.14 ms for what is forwarded while the engine
    // wants both processors.
    fn new(names: &'static [(i32, &'static str)]) -> Self {
        let which: Vec<i32> = names.iter().map(|(number, _)| *number).collect();
        Self { numbers: signal::catch(&which).and_then(Receiver::from_owned_fd).ok(), names }
    }

    /// The next one: number and name. Never, where there is none.
    pub(crate) async fn next(&mut self) -> (i32, &'static str) {
        let Some(numbers) = &mut self.numbers else { return std::future::pending().await };
        loop {
            let Ok(number) = numbers.read_u8().await else { return std::future::pending().await };
            if let Some(known) = self.names.iter().find(|(known, _)| *known == i32::from(number)) {
                return *known;
            }
        }
    }
}
