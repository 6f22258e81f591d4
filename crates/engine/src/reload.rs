//! What a front end may change while the engine runs, and see of its own listeners.

use crate::container::command::Command;
use crate::container::machine::is_active;
use crate::engine::Engine;
use crate::options::Live;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use tokio::sync::Semaphore;

impl Engine {
    /// Changes what may change. Containers that run keep their runtime; one whose runtime is gone does not start again. What is on its way from
    /// or to a registry goes on as it began.
    pub fn reconfigure(&self, live: Live) {
        let before = self.parts.live();
        if live.max_downloads != before.max_downloads {
            self.parts.transfers.set_limit(live.max_downloads);
        }
        if live.max_uploads != before.max_uploads {
            let turns = Arc::new(Semaphore::new(live.max_uploads.max(1)));
            *self.parts.uploads.write().unwrap_or_else(PoisonError::into_inner) = turns;
        }
        *self.parts.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
    }

    /// Has the logs of all that runs opened anew whose files somebody else has moved away. What cannot be opened goes on where it was.
    pub async fn follow_logs(&self) {
        let active = self.parts.registry.all().into_iter().filter(|slot| is_active(slot.get().state.status));
        let all = active.filter(|slot| slot.get().log_path.ends_with(".log")).map(|slot| async move {
            let Ok(shim) = slot.ask(Command::Shim).await else { return };
            if let Err(error) = shim.reopen_log().await {
                tracing::warn!(container = slot.id, %error, "its log was not opened anew");
            }
        });
        futures_util::future::join_all(all).await;
    }

    /// How many listen to events now.
    pub fn listeners(&self) -> usize {
        self.parts.events.listeners()
    }

    /// Tells the listeners of events that the configuration was read again. `actor` is the engine's own id.
    pub fn tell_reload(&self, actor: &str, attributes: BTreeMap<String, String>) {
        self.parts.events.tell("daemon", "reload", actor, attributes);
    }
}
