//! Volumes.

use serde_json::Value;
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
        usage_data: Option<UsageData> = "UsageData" @omit,
        /// Of a volume of a cluster, as its manager knows it.
        cluster: Option<Value> = "ClusterVolume" @omit,
    }

    /// Bytes of a volume, -1 where they are not known, and how many containers use it.
    pub struct UsageData {
        ref_count: i64 = "RefCount",
        size: i64 = "Size",
    }

    /// Body of `POST /volumes/create`.
    pub struct VolumeBody {
        name: String = "Name",
        driver: String = "Driver",
        driver_opts: BTreeMap<String, String> = "DriverOpts",
        labels: BTreeMap<String, String> = "Labels",
        cluster: Option<Value> = "ClusterVolumeSpec" @omit,
    }

    /// Answer of `POST /volumes/prune`.
    pub struct PruneVolumes {
        volumes_deleted: Vec<String> = "VolumesDeleted",
        space_reclaimed: i64 = "SpaceReclaimed",
    }

    /// `GET /volumes`.
    pub struct VolumeList {
        volumes: Vec<Volume> = "Volumes",
        warnings: Option<Vec<String>> = "Warnings",
    }
}
