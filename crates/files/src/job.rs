//! What a helper is told, and what it answers.

use dhow_archive::PathStat;
use dhow_sys::overlay::{Lower, Overlay};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One directory or file of the host that a container at rest would have mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// On the host, or held by the daemon.
    pub source: Lower,
    /// The part of it, relative; empty for all.
    pub part: PathBuf,
    /// In the container, absolute and clean.
    pub target: PathBuf,
    /// Nothing may be written there.
    pub read_only: bool,
}

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// The root of a running container: a descriptor comes with the job.
    Running {
        /// So does its user namespace, which is not the host's: its ids are those of the archive.
        userns: bool,
    },
    /// A container at rest: its layers, mounted for the helper alone, and what it would have mounted, parents first.
    Resting {
        /// The layers.
        overlay: Overlay,
        /// What is mounted.
        binds: Vec<Bind>,
    },
}

/// Who is to own what is written; `None`: whoever the archive says.
pub type Owner = Option<(u32, u32)>;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Says what lies at the path.
    Stat,
    /// Says what lies at the path, then writes an archive of it to the data pipe.
    Read,
    /// Takes an archive from the data pipe into the directory at the path.
    Write {
        /// Who owns the files.
        owner: Owner,
        /// A directory never replaces something else, nor the other way round.
        keep_kinds: bool,
        /// The container's root is not to be written to, whatever its mount says.
        read_only: bool,
    },
}

/// One job. Descriptors beside it: the data pipe where the task has one, then what [`Place::Running`] has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Where.
    pub place: Place,
    /// The path in the container, as [`dhow_archive::path::absolute`] has it.
    pub path: Vec<u8>,
    /// What.
    pub task: Task,
}

/// Sorts of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// Nothing lies at the path.
    Missing,
    /// The request cannot be done as it is.
    Invalid,
    /// All else.
    Other,
}

/// What a helper says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// What lies at the path. A reader's archive begins now.
    Found(PathStat),
    /// The directory is fit to be written to: the archive may come.
    Ready,
    /// All is done.
    Done,
    /// It was not, or not all.
    Failed {
        /// What sort of failure it is.
        cause: Cause,
        /// In words.
        message: String,
    },
}
