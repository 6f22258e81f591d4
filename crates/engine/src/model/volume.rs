//! Volumes: directories of the engine's that outlive the containers that use them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The label of a volume that nobody gave a name.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// A volume of the driver `local`, the only one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Nanoseconds since 1970.
    pub created: i64,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The driver's options: `type`, `o`, `device`, as for mount(8).
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Where its data is: not written, since a data root may be moved.
    #[serde(skip)]
    pub mountpoint: PathBuf,
}

impl Volume {
    /// Nobody gave it a name.
    pub fn is_anonymous(&self) -> bool {
        self.labels.contains_key(ANONYMOUS)
    }
}

/// What somebody wants of a volume, whether it is there or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Empty: an anonymous one.
    pub name: String,
    /// Empty: `local`.
    pub driver: String,
    /// Of a new one.
    pub labels: BTreeMap<String, String>,
    /// Of a new one.
    pub options: BTreeMap<String, String>,
}

/// How a container uses a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeUse {
    /// Which one. The name is filled in where the volume is anonymous.
    pub wish: Wish,
    /// It is removed with the container where that is asked for.
    pub anonymous: bool,
    /// What inspect shows as mode.
    pub mode: String,
    /// An empty volume stays empty.
    pub no_copy: bool,
    /// The part of it that is mounted: a path within, empty for all.
    pub subpath: String,
}

/// How a container uses an image that it is not made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageUse {
    /// What was asked for, word for word.
    pub reference: String,
    /// The image that this meant when the container was made; empty before.
    pub id: String,
    /// The part of it that is mounted: a path within, empty for all.
    pub subpath: String,
}

/// Mounts taken over from another container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    /// Its full id.
    pub container: String,
    /// They are read-only here.
    pub read_only: bool,
}
