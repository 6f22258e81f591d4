//! Images.

use super::container::HealthConfig;
use super::inspect::GraphDriver;
use super::wire::{Nothing, Words};
use std::collections::BTreeMap;

wire! {
    /// One image in a list.
    pub struct ImageSummary {
        /// -1 where it was not counted.
        containers: i64 = "Containers",
        /// Seconds since 1970.
        created: i64 = "Created",
        id: String = "Id",
        labels: Option<BTreeMap<String, String>> = "Labels",
        parent_id: String = "ParentId",
        repo_digests: Vec<String> = "RepoDigests",
        repo_tags: Vec<String> = "RepoTags",
        /// -1 where it was not computed.
        shared_size: i64 = "SharedSize",
        size: i64 = "Size",
        /// Before 1.44.
        virtual_size: i64 = "VirtualSize" @omit,
    }

    /// `GET /images/{name}/json`.
    pub struct ImageInspect {
        id: String = "Id",
        repo_tags: Vec<String> = "RepoTags",
        repo_digests: Vec<String> = "RepoDigests",
        parent: String = "Parent",
        comment: String = "Comment",
        created: String = "Created" @omit,
        docker_version: String = "DockerVersion",
        author: String = "Author",
        config: Option<ImageConfig> = "Config",
        architecture: String = "Architecture",
        variant: String = "Variant" @omit,
        os: String = "Os",
        os_version: String = "OsVersion" @omit,
        size: i64 = "Size",
        /// Before 1.44.
        virtual_size: i64 = "VirtualSize" @omit,
        graph_driver: GraphDriver = "GraphDriver",
        root_fs: RootFs = "RootFS",
        metadata: ImageMetadata = "Metadata",
    }

    /// What an image says of its containers.
    pub struct ImageConfig {
        user: String = "User" @omit,
        exposed_ports: BTreeMap<String, Nothing> = "ExposedPorts" @omit,
        env: Vec<String> = "Env" @omit,
        entrypoint: Option<Words> = "Entrypoint" @omit,
        cmd: Option<Words> = "Cmd" @omit,
        volumes: BTreeMap<String, Nothing> = "Volumes" @omit,
        working_dir: String = "WorkingDir" @omit,
        labels: BTreeMap<String, String> = "Labels" @omit,
        stop_signal: String = "StopSignal" @omit,
        args_escaped: bool = "ArgsEscaped" @omit,
        healthcheck: Option<HealthConfig> = "Healthcheck" @omit,
        on_build: Vec<String> = "OnBuild" @omit,
        shell: Option<Words> = "Shell" @omit,
    }

    /// Layers of an image.
    pub struct RootFs {
        kind: String = "Type" @omit,
        layers: Vec<String> = "Layers" @omit,
    }

    /// What the engine knows beside the image.
    pub struct ImageMetadata {
        last_tag_time: String = "LastTagTime",
    }

    /// One step of a deletion.
    pub struct ImageDeleteItem {
        untagged: String = "Untagged" @omit,
        deleted: String = "Deleted" @omit,
    }

    /// Answer to image prune.
    pub struct PruneImages {
        images_deleted: Option<Vec<ImageDeleteItem>> = "ImagesDeleted",
        space_reclaimed: i64 = "SpaceReclaimed",
    }
}
