//! The engine as a whole: version, info, events, errors, progress.

use std::collections::BTreeMap;

wire! {
    /// `GET /version`.
    pub struct Version {
        platform: Platform = "Platform",
        components: Vec<Component> = "Components" @omit,
        version: String = "Version",
        api_version: String = "ApiVersion",
        min_api_version: String = "MinAPIVersion" @omit,
        git_commit: String = "GitCommit",
        go_version: String = "GoVersion",
        os: String = "Os",
        arch: String = "Arch",
        kernel_version: String = "KernelVersion" @omit,
        experimental: bool = "Experimental" @omit,
        build_time: String = "BuildTime" @omit,
    }

    /// Who somebody is at a registry.
    pub struct AuthConfig {
        username: String = "username" @omit,
        password: String = "password" @omit,
        auth: String = "auth" @omit,
        server_address: String = "serveraddress" @omit,
        identity_token: String = "identitytoken" @omit,
        registry_token: String = "registrytoken" @omit,
    }

    /// What the engine calls itself.
    pub struct Platform {
        name: String = "Name",
    }

    /// A part of the engine.
    pub struct Component {
        name: String = "Name",
        version: String = "Version",
        details: BTreeMap<String, String> = "Details" @omit,
    }

    /// `GET /info`.
    pub struct Info {
        id: String = "ID",
        containers: i64 = "Containers",
        containers_running: i64 = "ContainersRunning",
        containers_paused: i64 = "ContainersPaused",
        containers_stopped: i64 = "ContainersStopped",
        images: i64 = "Images",
        driver: String = "Driver",
        driver_status: Option<Vec<[String; 2]>> = "DriverStatus",
        plugins: Plugins = "Plugins",
        memory_limit: bool = "MemoryLimit",
        swap_limit: bool = "SwapLimit",
        cpu_cfs_period: bool = "CpuCfsPeriod",
        cpu_cfs_quota: bool = "CpuCfsQuota",
        cpu_shares: bool = "CPUShares",
        cpu_set: bool = "CPUSet",
        pids_limit: bool = "PidsLimit",
        ipv4_forwarding: bool = "IPv4Forwarding",
        debug: bool = "Debug",
        nfd: i64 = "NFd",
        oom_kill_disable: bool = "OomKillDisable",
        goroutines: i64 = "NGoroutines",
        system_time: String = "SystemTime",
        logging_driver: String = "LoggingDriver",
        cgroup_driver: String = "CgroupDriver",
        cgroup_version: String = "CgroupVersion" @omit,
        events_listener: i64 = "NEventsListener",
        kernel_version: String = "KernelVersion",
        operating_system: String = "OperatingSystem",
        os_version: String = "OSVersion",
        os_type: String = "OSType",
        architecture: String = "Architecture",
        index_server_address: String = "IndexServerAddress",
        registry_config: Option<RegistryConfig> = "RegistryConfig",
        ncpu: i64 = "NCPU",
        mem_total: i64 = "MemTotal",
        generic_resources: Option<Vec<String>> = "GenericResources",
        docker_root_dir: String = "DockerRootDir",
        http_proxy: String = "HttpProxy",
        https_proxy: String = "HttpsProxy",
        no_proxy: String = "NoProxy",
        name: String = "Name",
        labels: Vec<String> = "Labels",
        experimental_build: bool = "ExperimentalBuild",
        server_version: String = "ServerVersion",
        runtimes: BTreeMap<String, Runtime> = "Runtimes",
        default_runtime: String = "DefaultRuntime",
        swarm: Swarm = "Swarm",
        live_restore_enabled: bool = "LiveRestoreEnabled",
        isolation: String = "Isolation",
        init_binary: String = "InitBinary",
        containerd_commit: Commit = "ContainerdCommit",
        runc_commit: Commit = "RuncCommit",
        init_commit: Commit = "InitCommit",
        security_options: Vec<String> = "SecurityOptions",
        product_license: String = "ProductLicense" @omit,
        default_address_pools: Vec<AddressPool> = "DefaultAddressPools" @omit,
        firewall_backend: Option<FirewallBackend> = "FirewallBackend" @omit,
        cdi_spec_dirs: Vec<String> = "CDISpecDirs",
        discovered_devices: Vec<DiscoveredDevice> = "DiscoveredDevices" @omit,
        warnings: Option<Vec<String>> = "Warnings",
    }

    /// A device that containers may ask for by name.
    pub struct DiscoveredDevice {
        source: String = "Source",
        id: String = "ID",
    }

    /// Names of drivers.
    pub struct Plugins {
        volume: Vec<String> = "Volume",
        network: Vec<String> = "Network",
        authorization: Option<Vec<String>> = "Authorization",
        log: Vec<String> = "Log",
    }

    /// How registries are reached.
    pub struct RegistryConfig {
        index_configs: BTreeMap<String, IndexConfig> = "IndexConfigs",
        insecure_registry_cidrs: Vec<String> = "InsecureRegistryCIDRs",
        mirrors: Option<Vec<String>> = "Mirrors",
    }

    /// One registry.
    pub struct IndexConfig {
        mirrors: Vec<String> = "Mirrors",
        name: String = "Name",
        official: bool = "Official",
        secure: bool = "Secure",
    }

    /// An OCI runtime.
    pub struct Runtime {
        path: String = "path" @omit,
        runtime_args: Vec<String> = "runtimeArgs" @omit,
        status: BTreeMap<String, String> = "status" @omit,
    }

    /// Swarm, which there is none of.
    pub struct Swarm {
        node_id: String = "NodeID",
        node_addr: String = "NodeAddr",
        local_node_state: String = "LocalNodeState",
        control_available: bool = "ControlAvailable",
        error: String = "Error",
        remote_managers: Option<Vec<String>> = "RemoteManagers",
    }

    /// Version of a helper program.
    pub struct Commit {
        id: String = "ID",
    }

    /// A pool of addresses for networks.
    pub struct AddressPool {
        base: String = "Base",
        size: i64 = "Size",
    }

    /// What filters packets.
    pub struct FirewallBackend {
        driver: String = "Driver" @omit,
        info: Vec<[String; 2]> = "Info" @omit,
    }

    /// One event.
    pub struct EventMessage {
        /// Of containers and images, before 1.52.
        status: String = "status" @omit,
        /// Of containers and images, before 1.52.
        id: String = "id" @omit,
        /// Of containers, before 1.52.
        from: String = "from" @omit,
        kind: String = "Type",
        action: String = "Action",
        actor: EventActor = "Actor",
        scope: String = "scope" @omit,
        /// Seconds since 1970.
        time: i64 = "time" @omit,
        /// Nanoseconds since 1970.
        time_nano: i64 = "timeNano" @omit,
    }

    /// What an event is about.
    pub struct EventActor {
        id: String = "ID",
        attributes: BTreeMap<String, String> = "Attributes",
    }

    /// Body of an error.
    pub struct ErrorBody {
        message: String = "message",
    }

    /// One line of progress.
    pub struct Progress {
        stream: String = "stream" @omit,
        status: String = "status" @omit,
        progress_detail: Option<ProgressDetail> = "progressDetail" @omit,
        progress: String = "progress" @omit,
        id: String = "id" @omit,
        error_detail: Option<ProgressError> = "errorDetail" @omit,
        error: String = "error" @omit,
        aux: Option<serde_json::Value> = "aux" @omit,
    }

    /// How far it is.
    pub struct ProgressDetail {
        current: i64 = "current" @omit,
        total: i64 = "total" @omit,
        hide_counts: bool = "hidecounts" @omit,
        units: String = "units" @omit,
    }

    /// Why it failed.
    pub struct ProgressError {
        code: i64 = "code" @omit,
        message: String = "message",
    }
}
