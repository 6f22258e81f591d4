//! The execs of an engine: which there are, and where each stands.

use crate::error::{Error, Kind, Result};
use crate::model::ExecState;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an ended exec can still be inspected.
const KEPT: Duration = Duration::from_secs(300);
/// Execs of one container that were made and never started, or still run.
const OPEN: usize = 4096;

/// One exec and where it stands.
#[derive(Debug)]
struct Entry {
    state: Arc<ExecState>,
    claimed: bool,
    ended: Option<Instant>,
}

/// All execs of an engine.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    entries: Mutex<HashMap<String, Entry>>,
}

/// Docker's words for an id that no exec has.
pub(crate) fn no_such(id: &str) -> Error {
    Error::new(Kind::NotFound, format!("No such exec instance: {id}"))
}

impl Execs {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One exec.
    pub(crate) fn get(&self, id: &str) -> Result<Arc<ExecState>> {
        self.lock().get(id).map(|e| e.state.clone()).ok_or_else(|| no_such(id))
    }

    /// Keeps a new one; those that ended long ago go.
    pub(crate) fn insert(&self, state: ExecState) -> Result<()> {
        let mut entries = self.lock();
        entries.retain(|_, e| e.ended.is_none_or(|at| at.elapsed() < KEPT));
        if entries.values().filter(|e| e.state.container == state.container && e.ended.is_none()).count() >= OPEN {
            return Err(Error::new(Kind::Unavailable, "too many execs of this container are open"));
        }
        entries.insert(state.id.clone(), Entry { state: Arc::new(state), claimed: false, ended: None });
        Ok(())
    }

    /// Marks it started; once only.
    pub(crate) fn claim(&self, id: &str) -> Result<Arc<ExecState>> {
        let mut entries = self.lock();
        let entry = entries.get_mut(id).ok_or_else(|| no_such(id))?;
        if entry.claimed {
            return Err(Error::new(Kind::Conflict, format!("exec command {id} has already run")));
        }
        entry.claimed = true;
        Ok(entry.state.clone())
    }

    /// It was taken to be started, and its end is not known.
    pub(crate) fn is_open(&self, id: &str) -> bool {
        self.lock().get(id).is_some_and(|e| e.claimed && e.ended.is_none())
    }

    /// Its program runs. It may have ended already.
    pub(crate) fn started(&self, id: &str, pid: i32) {
        if let Some(entry) = self.lock().get_mut(id)
            && entry.ended.is_none()
        {
            entry.state = Arc::new(ExecState { running: true, pid, ..(*entry.state).clone() });
        }
    }

    /// It has ended. True if it had not before.
    pub(crate) fn finish(&self, id: &str, code: i32) -> bool {
        match self.lock().get_mut(id) {
            Some(entry) if entry.ended.is_none() => {
                entry.state = Arc::new(ExecState { running: false, exit_code: Some(code), ..(*entry.state).clone() });
                entry.ended = Some(Instant::now());
                true
            }
            _ => false,
        }
    }

    /// As [`Execs::finish`], for one that was started; one that was not is closed without a word.
    pub(crate) fn finish_running(&self, id: &str, code: i32) -> bool {
        let claimed = self.lock().get(id).is_some_and(|e| e.claimed);
        if claimed {
            return self.finish(id, code);
        }
        if let Some(entry) = self.lock().get_mut(id) {
            entry.ended = Some(Instant::now());
        }
        false
    }

    /// It was never made after all.
    pub(crate) fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Its container is no more: its execs can still be inspected for a while.
    pub(crate) fn forget_container(&self, container: &str) {
        self.lock().retain(|_, e| e.state.container != container || e.ended.is_some_and(|at| at.elapsed() < KEPT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExecRequest;

    fn exec(id: &str) -> ExecState {
        ExecState { id: id.into(), container: "c".into(), request: ExecRequest::default(), running: false, exit_code: None, pid: 0 }
    }

    #[test]
    fn an_exec_runs_once_and_its_end_may_come_first() {
        let execs = Execs::default();
        execs.insert(exec("a")).unwrap();
        execs.claim("a").unwrap();
        let again = execs.claim("a").unwrap_err();
        assert_eq!((again.kind, again.message.as_str()), (Kind::Conflict, "exec command a has already run"));
        assert!(execs.finish("a", 3));
        assert!(!execs.finish("a", 4));
        execs.started("a", 7);
        let state = execs.get("a").unwrap();
        assert_eq!((state.running, state.exit_code), (false, Some(3)));
        assert_eq!(execs.get("b").unwrap_err().message, "No such exec instance: b");
    }

    #[test]
    fn what_was_never_started_ends_silently() {
        let execs = Execs::default();
        execs.insert(exec("a")).unwrap();
        assert!(!execs.finish_running("a", 137));
        assert_eq!(execs.get("a").unwrap().exit_code, None);
    }
}
