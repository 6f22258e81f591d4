//! What a container is made from: Config, HostConfig, and the answers to making, changing and waiting.

use super::network::NetworkingConfig;
use super::wire::{Nothing, Words};
use std::collections::BTreeMap;

wire! {
    /// The portable part of a container.
    pub struct Config {
        hostname: String = "Hostname",
        domainname: String = "Domainname",
        user: String = "User",
        attach_stdin: bool = "AttachStdin",
        attach_stdout: bool = "AttachStdout",
        attach_stderr: bool = "AttachStderr",
        exposed_ports: BTreeMap<String, Nothing> = "ExposedPorts" @omit,
        tty: bool = "Tty",
        open_stdin: bool = "OpenStdin",
        stdin_once: bool = "StdinOnce",
        env: Option<Vec<String>> = "Env",
        cmd: Option<Words> = "Cmd",
        healthcheck: Option<HealthConfig> = "Healthcheck" @omit,
        args_escaped: bool = "ArgsEscaped" @omit,
        image: String = "Image",
        volumes: Option<BTreeMap<String, Nothing>> = "Volumes",
        working_dir: String = "WorkingDir",
        entrypoint: Option<Words> = "Entrypoint",
        network_disabled: bool = "NetworkDisabled" @omit,
        mac_address: String = "MacAddress" @omit,
        on_build: Option<Vec<String>> = "OnBuild",
        labels: Option<BTreeMap<String, String>> = "Labels",
        stop_signal: String = "StopSignal" @omit,
        stop_timeout: Option<i64> = "StopTimeout" @omit,
        shell: Option<Words> = "Shell" @omit,
    }

    /// Health check; times in nanoseconds.
    pub struct HealthConfig {
        test: Vec<String> = "Test" @omit,
        interval: i64 = "Interval" @omit,
        timeout: i64 = "Timeout" @omit,
        start_period: i64 = "StartPeriod" @omit,
        start_interval: i64 = "StartInterval" @omit,
        retries: i64 = "Retries" @omit,
    }

    /// The part of a container that belongs to this host.
    pub struct HostConfig {
        binds: Option<Vec<String>> = "Binds",
        container_id_file: String = "ContainerIDFile",
        log_config: LogConfig = "LogConfig",
        network_mode: String = "NetworkMode",
        port_bindings: Option<BTreeMap<String, Option<Vec<PortBinding>>>> = "PortBindings",
        restart_policy: RestartPolicy = "RestartPolicy",
        auto_remove: bool = "AutoRemove",
        volume_driver: String = "VolumeDriver",
        volumes_from: Option<Vec<String>> = "VolumesFrom",
        /// Height and width.
        console_size: [u32; 2] = "ConsoleSize",
        annotations: BTreeMap<String, String> = "Annotations" @omit,
        cap_add: Option<Words> = "CapAdd",
        cap_drop: Option<Words> = "CapDrop",
        cgroupns_mode: String = "CgroupnsMode",
        dns: Option<Vec<String>> = "Dns",
        dns_options: Option<Vec<String>> = "DnsOptions",
        dns_search: Option<Vec<String>> = "DnsSearch",
        extra_hosts: Option<Vec<String>> = "ExtraHosts",
        group_add: Option<Vec<String>> = "GroupAdd",
        ipc_mode: String = "IpcMode",
        cgroup: String = "Cgroup",
        links: Option<Vec<String>> = "Links",
        oom_score_adj: i32 = "OomScoreAdj",
        pid_mode: String = "PidMode",
        privileged: bool = "Privileged",
        publish_all_ports: bool = "PublishAllPorts",
        readonly_rootfs: bool = "ReadonlyRootfs",
        security_opt: Option<Vec<String>> = "SecurityOpt",
        storage_opt: BTreeMap<String, String> = "StorageOpt" @omit,
        tmpfs: BTreeMap<String, String> = "Tmpfs" @omit,
        uts_mode: String = "UTSMode",
        userns_mode: String = "UsernsMode",
        shm_size: i64 = "ShmSize",
        sysctls: BTreeMap<String, String> = "Sysctls" @omit,
        runtime: String = "Runtime" @omit,
        isolation: String = "Isolation",
        ; flatten resources: Resources ;
        mounts: Vec<Mount> = "Mounts" @omit,
        masked_paths: Option<Vec<String>> = "MaskedPaths",
        readonly_paths: Option<Vec<String>> = "ReadonlyPaths",
        init: Option<bool> = "Init" @omit,
    }

    /// Limits and devices; sizes in bytes.
    pub struct Resources {
        cpu_shares: i64 = "CpuShares",
        memory: i64 = "Memory",
        nano_cpus: i64 = "NanoCpus",
        cgroup_parent: String = "CgroupParent",
        blkio_weight: u16 = "BlkioWeight",
        blkio_weight_device: Option<Vec<WeightDevice>> = "BlkioWeightDevice",
        blkio_device_read_bps: Option<Vec<ThrottleDevice>> = "BlkioDeviceReadBps",
        blkio_device_write_bps: Option<Vec<ThrottleDevice>> = "BlkioDeviceWriteBps",
        blkio_device_read_iops: Option<Vec<ThrottleDevice>> = "BlkioDeviceReadIOps",
        blkio_device_write_iops: Option<Vec<ThrottleDevice>> = "BlkioDeviceWriteIOps",
        cpu_period: i64 = "CpuPeriod",
        cpu_quota: i64 = "CpuQuota",
        cpu_realtime_period: i64 = "CpuRealtimePeriod",
        cpu_realtime_runtime: i64 = "CpuRealtimeRuntime",
        cpuset_cpus: String = "CpusetCpus",
        cpuset_mems: String = "CpusetMems",
        devices: Option<Vec<DeviceMapping>> = "Devices",
        device_cgroup_rules: Option<Vec<String>> = "DeviceCgroupRules",
        device_requests: Option<Vec<DeviceRequest>> = "DeviceRequests",
        kernel_memory: i64 = "KernelMemory" @omit,
        kernel_memory_tcp: i64 = "KernelMemoryTCP" @omit,
        memory_reservation: i64 = "MemoryReservation",
        memory_swap: i64 = "MemorySwap",
        memory_swappiness: Option<i64> = "MemorySwappiness",
        oom_kill_disable: Option<bool> = "OomKillDisable",
        pids_limit: Option<i64> = "PidsLimit",
        ulimits: Option<Vec<Ulimit>> = "Ulimits",
        cpu_count: i64 = "CpuCount",
        cpu_percent: i64 = "CpuPercent",
        io_maximum_iops: u64 = "IOMaximumIOps",
        io_maximum_bandwidth: u64 = "IOMaximumBandwidth",
    }

    /// Log driver and its options.
    pub struct LogConfig {
        kind: String = "Type",
        config: Option<BTreeMap<String, String>> = "Config",
    }

    /// Restart policy.
    pub struct RestartPolicy {
        name: String = "Name",
        maximum_retry_count: i64 = "MaximumRetryCount",
    }

    /// Host side of a published port.
    pub struct PortBinding {
        host_ip: String = "HostIp",
        host_port: String = "HostPort",
    }

    /// Weight of a block device.
    pub struct WeightDevice {
        path: String = "Path",
        weight: u16 = "Weight",
    }

    /// Rate of a block device.
    pub struct ThrottleDevice {
        path: String = "Path",
        rate: u64 = "Rate",
    }

    /// A device of the host given to the container.
    pub struct DeviceMapping {
        path_on_host: String = "PathOnHost",
        path_in_container: String = "PathInContainer",
        cgroup_permissions: String = "CgroupPermissions",
    }

    /// Devices asked for by capability (`--gpus`).
    pub struct DeviceRequest {
        driver: String = "Driver",
        count: i64 = "Count",
        device_ids: Option<Vec<String>> = "DeviceIDs",
        capabilities: Option<Vec<Vec<String>>> = "Capabilities",
        options: Option<BTreeMap<String, String>> = "Options",
    }

    /// A resource limit of the process.
    pub struct Ulimit {
        name: String = "Name",
        hard: i64 = "Hard",
        soft: i64 = "Soft",
    }

    /// `--mount`.
    pub struct Mount {
        /// `bind`, `volume`, `tmpfs`, `image`, `npipe`, `cluster`.
        kind: String = "Type" @omit,
        source: String = "Source" @omit,
        target: String = "Target" @omit,
        read_only: bool = "ReadOnly" @omit,
        consistency: String = "Consistency" @omit,
        bind_options: Option<BindOptions> = "BindOptions" @omit,
        volume_options: Option<VolumeOptions> = "VolumeOptions" @omit,
        image_options: Option<ImageOptions> = "ImageOptions" @omit,
        tmpfs_options: Option<TmpfsOptions> = "TmpfsOptions" @omit,
        cluster_options: Option<Nothing> = "ClusterOptions" @omit,
    }

    /// Options of a bind mount.
    pub struct BindOptions {
        propagation: String = "Propagation" @omit,
        non_recursive: bool = "NonRecursive" @omit,
        create_mountpoint: bool = "CreateMountpoint" @omit,
        read_only_non_recursive: bool = "ReadOnlyNonRecursive" @omit,
        read_only_force_recursive: bool = "ReadOnlyForceRecursive" @omit,
    }

    /// Options of a volume mount.
    pub struct VolumeOptions {
        no_copy: bool = "NoCopy" @omit,
        labels: BTreeMap<String, String> = "Labels" @omit,
        subpath: String = "Subpath" @omit,
        driver_config: Option<VolumeDriver> = "DriverConfig" @omit,
    }

    /// Volume driver and its options.
    pub struct VolumeDriver {
        name: String = "Name" @omit,
        options: BTreeMap<String, String> = "Options" @omit,
    }

    /// Options of an image mount.
    pub struct ImageOptions {
        subpath: String = "Subpath" @omit,
    }

    /// Options of a tmpfs mount: size in bytes, mode bits, further options as lists of one or two words.
    pub struct TmpfsOptions {
        size_bytes: i64 = "SizeBytes" @omit,
        mode: u32 = "Mode" @omit,
        options: Vec<Vec<String>> = "Options" @omit,
    }

    /// A mount as `inspect` and `ps` show it.
    pub struct MountPoint {
        kind: String = "Type" @omit,
        name: String = "Name" @omit,
        source: String = "Source",
        destination: String = "Destination",
        driver: String = "Driver" @omit,
        mode: String = "Mode",
        rw: bool = "RW",
        propagation: String = "Propagation",
    }

    /// Body of `POST /containers/{id}/update`.
    pub struct UpdateBody {
        ; flatten resources: Resources ;
        restart_policy: RestartPolicy = "RestartPolicy",
    }

    /// Answer to create.
    pub struct CreateAnswer {
        id: String = "Id",
        /// `[]` where there are none.
        warnings: Vec<String> = "Warnings",
    }

    /// Answer to update.
    pub struct WarningsAnswer {
        warnings: Option<Vec<String>> = "Warnings",
    }

    /// Answer to wait.
    pub struct WaitAnswer {
        status_code: i64 = "StatusCode",
        error: Option<WaitError> = "Error" @omit,
    }

    /// Why waiting failed.
    pub struct WaitError {
        message: String = "Message" @omit,
    }

    /// Body of `POST /containers/create`: Config's keys, HostConfig and NetworkingConfig side by side.
    pub struct CreateBody {
        ; flatten config: Config ;
        host_config: Option<HostConfig> = "HostConfig" @omit,
        networking_config: Option<NetworkingConfig> = "NetworkingConfig" @omit,
    }
}
