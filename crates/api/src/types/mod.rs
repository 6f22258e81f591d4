//! Docker's JSON types in the newest shape that is served (API 1.51). Older shapes are conversions of these ([`crate::version`]).
//!
//! The order of fields is the order of keys on the wire. On input every field may be missing or null and unknown ones are skipped, as
//! Go's decoder has it. On output an `Option<Vec<_>>` or `Option<BTreeMap<_, _>>` that is `None` is `null`, unless the field says that it
//! is left out when empty.

#[macro_use]
mod wire;

pub mod container;
pub mod exec;
pub mod files;
pub mod gojson;
pub mod image;
pub mod inspect;
pub mod list;
pub mod network;
pub mod stats;
pub mod system;
pub mod volume;

pub use container::{BindOptions, ImageOptions, Mount, TmpfsOptions, VolumeOptions};
pub use container::{
    Config, CreateAnswer, CreateBody, DeviceMapping, DeviceRequest, HealthConfig, HostConfig, LogConfig, MountPoint, PortBinding,
    Resources, RestartPolicy, ThrottleDevice, Ulimit, UpdateBody, WaitAnswer, WaitError, WarningsAnswer, WeightDevice,
};
pub use exec::{ExecCreateAnswer, ExecCreateBody, ExecInspect, ExecProcess, ExecStartBody};
pub use files::{FilesystemChange, IdAnswer, PathStat};
pub use image::{ImageConfig, ImageDeleteItem, ImageHistoryItem, ImageInspect, ImageSummary, PruneContainers, PruneImages, RootFs};
pub use inspect::{ContainerInspect, GraphDriver, Health, HealthResult, NetworkSettings, State};
pub use list::{ContainerSummary, Port, SummaryHostConfig, SummaryNetworks};
pub use network::{EndpointSettings, Ipam, IpamConfig, NetworkInspect, NetworkingConfig};
pub use stats::{BlkioEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, Stats, ThrottlingData, Top};
pub use system::{Component, ErrorBody, EventActor, EventMessage, Info, Progress, ProgressDetail, ProgressError, Version};
pub use volume::{PruneVolumes, UsageData, Volume, VolumeBody, VolumeList};
pub use wire::{Nothing, Words};

#[cfg(test)]
mod tests;
