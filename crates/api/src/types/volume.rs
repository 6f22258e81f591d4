//! Volumes.

use std::collections::BTreeMap;

wire! {
    /// One volume.
    pub struct Volume {
        created_at: String = "CreatedAt" @omit,
        driver: String = "Driver",
        labels: Option<BTreeMap<String, String>> = "Labels",
        mountpoint: String = "Mountpoint",
        name: String = "Name",
        options: Option<BTreeMap<String, String>> = "Options",
        scope: String = "Scope",
    }

    /// `GET /volumes`.
    pub struct VolumeList {
        volumes: Vec<Volume> = "Volumes",
        warnings: Option<Vec<String>> = "Warnings",
    }
}
