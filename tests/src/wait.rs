//! Waiting for conditions with deadlines: polled, never slept for a fixed time.

use std::time::{Duration, Instant};

/// How long a condition may take. Emulated machines are slower: `DHOW_SLOW` multiplies.
pub fn patience() -> Duration {
    let factor = std::env::var("DHOW_SLOW").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    Duration::from_secs(20) * factor
}

/// Polls until the condition holds; panics with `what` when patience ends.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    until_some(what, || condition().then_some(()));
}

/// Polls until there is a value; panics with `what` when patience ends.
#[track_caller]
pub fn until_some<T>(what: &str, mut value: impl FnMut() -> Option<T>) -> T {
    match within(patience(), &mut value) {
        Some(value) => value,
        None => panic!("waited {:?} in vain: {what}", patience()),
    }
}

/// Polls for at most `limit`.
pub fn within<T>(limit: Duration, value: &mut dyn FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(found) = value() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
