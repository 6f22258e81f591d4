//! Seccomp: the profile of a container, compiled, and kept for the next one that wants the same.

use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::model::Seccomp;
use crate::policy;
use crate::policy::custom::Facts;
use dhow_runtime::seccomp::{Program, compile};
use oci_spec::runtime::{Capability, LinuxSeccomp};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Reads a profile for these capabilities; `None` where it says nothing at all.
pub(crate) fn parse(text: &str, capabilities: &[Capability], host: &Host) -> Result<Option<LinuxSeccomp>> {
    policy::custom::parse(text, Facts { capabilities, kernel: host.kernel }).map_err(|message| Error::new(Kind::Invalid, message))
}

/// The profile of a container as data, for a runtime that compiles it itself; `None` where it runs without one.
pub(crate) fn profile(wanted: &Seccomp, privileged: bool, capabilities: &[Capability], host: &Host) -> Result<Option<LinuxSeccomp>> {
    match wanted {
        Seccomp::Unconfined => Ok(None),
        Seccomp::Default if privileged => Ok(None),
        Seccomp::Default => Ok(Some(policy::seccomp::default_profile(capabilities))),
        Seccomp::Profile(text) => parse(text, capabilities, host),
    }
}

/// Compiled programs by profile and capabilities.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    kept: Mutex<HashMap<(Option<String>, Vec<String>), Arc<Program>>>,
}

/// More profiles than this at once are somebody's test, not somebody's machine.
const KEPT: usize = 16;

impl Filters {
    /// The program of a container, `None` where it runs without one.
    pub(crate) fn get(&self, wanted: &Seccomp, privileged: bool, capabilities: &[Capability], host: &Host) -> Result<Option<Arc<Program>>> {
        let profile = match wanted {
            Seccomp::Unconfined => return Ok(None),
            Seccomp::Default if privileged => return Ok(None),
            Seccomp::Default => None,
            Seccomp::Profile(text) => Some(text.clone()),
        };
        let mut names: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
        names.sort();
        let key = (profile, names);
        if let Some(program) = self.lock().get(&key) {
            return Ok(Some(program.clone()));
        }
        let profile = match &key.0 {
            None => policy::seccomp::default_profile(capabilities),
            Some(text) => match parse(text, capabilities, host)? {
                Some(profile) => profile,
                None => return Ok(None),
            },
        };
        let program = Arc::new(compile(&profile).map_err(|e| Error::internal("compile", "the seccomp profile", e))?);
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, program.clone());
        Ok(Some(program))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(Option<String>, Vec<String>), Arc<Program>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
