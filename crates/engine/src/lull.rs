//! Moments in which nobody waits for a container. What was removed is taken off the disk then: done at once, as where many run one after
//! the other, it would take the processor from those that make the next.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// So long nobody has asked for a container.
const QUIET: Duration = Duration::from_millis(20);
/// So long is waited for that. A container that is removed has told everybody so; only its bytes are still there.
const MOST: Duration = Duration::from_millis(100);

/// Who waits for such a moment.
#[derive(Debug)]
pub(crate) struct Lull {
    state: Mutex<State>,
    /// Whoever waits goes when this changes.
    go: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// When somebody last asked.
    asked: Option<Instant>,
    /// One of those that wait looks at the clock for all.
    watched: bool,
    /// How many wait for those that wait.
    urgent: usize,
}

impl Default for Lull {
    fn default() -> Self {
        Self { state: Mutex::default(), go: watch::Sender::new(()) }
    }
}

/// The one that looks at the clock. However it ends, the others go with it.
struct Watch<'a>(&'a Lull);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.watched = false);
        self.0.let_go();
    }
}

/// Until it is dropped nobody waits for a moment.
pub(crate) struct Urgent<'a>(&'a Lull);

impl Drop for Urgent<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.urgent -= 1);
    }
}

impl Lull {
    /// Somebody wants a container.
    pub(crate) fn ask(&self) {
        self.with(|state| state.asked = Some(Instant::now()));
    }

    /// Somebody waits for what is taken off the disk: those that wait go, and those that come do not wait.
    pub(crate) fn urgent(&self) -> Urgent<'_> {
        self.with(|state| state.urgent += 1);
        self.let_go();
        Urgent(self)
    }

    fn let_go(&self) {
        self.go.send_modify(|()| {});
    }

    /// Waits for a moment, and for not more than 100 ms.
    pub(crate) async fn come(&self) {
        let mut go = self.go.subscribe();
        let first = self.with(|state| !std::mem::replace(&mut state.watched, true));
        if !first {
            // The sender is ours, so there will be a change.
            let _ = go.changed().await;
            return;
        }
        let _watch = Watch(self);
        let end = Instant::now() + MOST;
        loop {
            let quiet = self.with(|state| state.asked.filter(|_| state.urgent == 0)).map(|asked| asked + QUIET);
            let Some(until) = quiet.map(|quiet| quiet.min(end)).filter(|until| *until > Instant::now()) else { return };
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                _ = go.changed() => return,
            }
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn at_once_where_nobody_has_asked() {
        let lull = Lull::default();
        assert!(lull.come().now_or_never().is_some());
        lull.ask();
        assert!(lull.come().now_or_never().is_none());
        // The one that looked was dropped, and the next one looks.
        assert!(lull.come().now_or_never().is_none());
    }

    #[tokio::test]
    async fn all_go_together() {
        let lull = Lull::default();
        lull.ask();
        let begun = Instant::now();
        tokio::join!(lull.come(), lull.come(), lull.come());
        assert!(begun.elapsed() >= QUIET / 2, "{:?}", begun.elapsed());
        lull.ask();
        let mut both = std::pin::pin!(async { tokio::join!(lull.come(), lull.come()) });
        assert!(both.as_mut().now_or_never().is_none());
        let urgent = lull.urgent();
        assert!(both.now_or_never().is_some());
        assert!(lull.come().now_or_never().is_some());
        drop(urgent);
        assert!(lull.come().now_or_never().is_none());
    }

    #[tokio::test]
    async fn not_for_ever() {
        let lull = Lull::default();
        let begun = Instant::now();
        let busy = async {
            loop {
                lull.ask();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        lull.ask();
        tokio::select! {
            () = lull.come() => {}
            () = busy => {}
        }
        assert!(begun.elapsed() >= QUIET, "{:?}", begun.elapsed());
    }

    /// The one that looks at the clock may be given up; who waits behind it goes on.
    #[tokio::test]
    async fn nobody_is_left_behind() {
        let lull = Lull::default();
        lull.ask();
        let mut first = Box::pin(lull.come());
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = std::pin::pin!(lull.come());
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().is_some());
    }
}
