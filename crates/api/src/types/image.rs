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
        /// What is here of the index that its name stands for, where that was asked for.
        manifests: Vec<ManifestSummary> = "Manifests" @omit,
    }

    /// One manifest of an index.
    pub struct ManifestSummary {
        /// `sha256:…`.
        id: String = "ID",
        descriptor: ImageDescriptor = "Descriptor",
        /// It is here with all that it names.
        available: bool = "Available",
        size: ManifestSize = "Size",
        /// `image`, `attestation` or `unknown`.
        kind: String = "Kind",
        image_data: Option<ManifestImage> = "ImageData" @omit,
        attestation_data: Option<ManifestAttestation> = "AttestationData" @omit,
    }

    /// Names content.
    pub struct ImageDescriptor {
        media_type: String = "mediaType",
        digest: String = "digest",
        size: i64 = "size",
        annotations: BTreeMap<String, String> = "annotations" @omit,
        platform: Option<ImagePlatform> = "platform" @omit,
    }

    /// What an image is made for.
    pub struct ImagePlatform {
        architecture: String = "architecture",
        os: String = "os",
        os_version: String = "os.version" @omit,
        os_features: Vec<String> = "os.features" @omit,
        variant: String = "variant" @omit,
    }

    /// Bytes of a manifest.
    pub struct ManifestSize {
        /// As they came.
        content: i64 = "Content",
        /// And unpacked.
        total: i64 = "Total",
    }

    /// The image of a manifest.
    pub struct ManifestImage {
        platform: ImagePlatform = "Platform",
        /// Ids of the containers that use it.
        containers: Vec<String> = "Containers",
        size: UnpackedSize = "Size",
    }

    /// Bytes of an unpacked image.
    pub struct UnpackedSize {
        unpacked: i64 = "Unpacked",
    }

    /// What an attestation is about.
    pub struct ManifestAttestation {
        about: String = "For",
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
        descriptor: Option<ImageDescriptor> = "Descriptor" @omit,
        manifests: Vec<ManifestSummary> = "Manifests" @omit,
    }

    /// What an image says of its containers. Docker merges these keys through a map, so they stand in the order of their names.
    pub struct ImageConfig {
        args_escaped: bool = "ArgsEscaped" @omit,
        cmd: Option<Words> = "Cmd",
        entrypoint: Option<Words> = "Entrypoint",
        env: Option<Vec<String>> = "Env",
        exposed_ports: BTreeMap<String, Nothing> = "ExposedPorts" @omit,
        healthcheck: Option<HealthConfig> = "Healthcheck" @omit,
        labels: Option<BTreeMap<String, String>> = "Labels",
        on_build: Option<Vec<String>> = "OnBuild",
        shell: Option<Words> = "Shell" @omit,
        stop_signal: String = "StopSignal" @omit,
        user: String = "User",
        volumes: Option<BTreeMap<String, Nothing>> = "Volumes",
        working_dir: String = "WorkingDir",
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

    /// One step of `GET /images/{name}/history`.
    pub struct ImageHistoryItem {
        /// `<missing>` where the image of that step is not here.
        id: String = "Id",
        /// Seconds since 1970.
        created: i64 = "Created",
        created_by: String = "CreatedBy",
        tags: Option<Vec<String>> = "Tags",
        size: i64 = "Size",
        comment: String = "Comment",
    }

    /// Answer to container prune.
    pub struct PruneContainers {
        containers_deleted: Option<Vec<String>> = "ContainersDeleted",
        space_reclaimed: i64 = "SpaceReclaimed",
    }

    /// Answer to image prune.
    pub struct PruneImages {
        images_deleted: Option<Vec<ImageDeleteItem>> = "ImagesDeleted",
        space_reclaimed: i64 = "SpaceReclaimed",
    }
}
