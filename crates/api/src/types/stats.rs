//! `GET /containers/{id}/stats` and `GET /containers/{id}/top`.

use std::collections::BTreeMap;

wire! {
    /// One sample of a container.
    pub struct Stats {
        name: String = "name" @omit,
        id: String = "id" @omit,
        read: String = "read",
        /// When the sample of `precpu` was taken.
        preread: String = "preread",
        pids: PidsStats = "pids_stats",
        blkio: BlkioStats = "blkio_stats",
        /// Of Windows.
        num_procs: i64 = "num_procs",
        /// Of Windows.
        storage: super::Nothing = "storage_stats",
        cpu: CpuStats = "cpu_stats",
        precpu: CpuStats = "precpu_stats",
        memory: MemoryStats = "memory_stats",
        networks: BTreeMap<String, NetworkStats> = "networks" @omit,
    }

    /// Processes and threads.
    pub struct PidsStats {
        current: u64 = "current" @omit,
        limit: u64 = "limit" @omit,
    }

    /// Input and output by device.
    pub struct BlkioStats {
        io_service_bytes: Option<Vec<BlkioEntry>> = "io_service_bytes_recursive",
        io_serviced: Option<Vec<BlkioEntry>> = "io_serviced_recursive",
        io_queue: Option<Vec<BlkioEntry>> = "io_queue_recursive",
        io_service_time: Option<Vec<BlkioEntry>> = "io_service_time_recursive",
        io_wait_time: Option<Vec<BlkioEntry>> = "io_wait_time_recursive",
        io_merged: Option<Vec<BlkioEntry>> = "io_merged_recursive",
        io_time: Option<Vec<BlkioEntry>> = "io_time_recursive",
        sectors: Option<Vec<BlkioEntry>> = "sectors_recursive",
    }

    /// One counter of one device.
    pub struct BlkioEntry {
        major: u64 = "major",
        minor: u64 = "minor",
        op: String = "op",
        value: u64 = "value",
    }

    /// CPU time of the container and the machine.
    pub struct CpuStats {
        usage: CpuUsage = "cpu_usage",
        /// Nanoseconds of all CPUs.
        system: u64 = "system_cpu_usage" @omit,
        online_cpus: u32 = "online_cpus" @omit,
        throttling: ThrottlingData = "throttling_data",
    }

    /// Nanoseconds of CPU time.
    pub struct CpuUsage {
        total: u64 = "total_usage",
        percpu: Vec<u64> = "percpu_usage" @omit,
        kernel: u64 = "usage_in_kernelmode",
        user: u64 = "usage_in_usermode",
    }

    /// How the CPU limit held the container back.
    pub struct ThrottlingData {
        periods: u64 = "periods",
        throttled_periods: u64 = "throttled_periods",
        /// Nanoseconds.
        throttled_time: u64 = "throttled_time",
    }

    /// Memory in bytes.
    pub struct MemoryStats {
        usage: u64 = "usage" @omit,
        max_usage: u64 = "max_usage" @omit,
        stats: BTreeMap<String, u64> = "stats" @omit,
        failcnt: u64 = "failcnt" @omit,
        limit: u64 = "limit" @omit,
    }

    /// Traffic of one interface.
    pub struct NetworkStats {
        rx_bytes: u64 = "rx_bytes",
        rx_packets: u64 = "rx_packets",
        rx_errors: u64 = "rx_errors",
        rx_dropped: u64 = "rx_dropped",
        tx_bytes: u64 = "tx_bytes",
        tx_packets: u64 = "tx_packets",
        tx_errors: u64 = "tx_errors",
        tx_dropped: u64 = "tx_dropped",
    }

    /// The processes of a container.
    pub struct Top {
        titles: Vec<String> = "Titles",
        processes: Vec<Vec<String>> = "Processes",
    }
}

impl Stats {
    /// Share of one CPU in hundredths, since the sample before, as Docker's client reckons it.
    #[expect(clippy::cast_precision_loss, reason = "a share is shown with two digits")]
    pub fn cpu_percent(&self) -> f64 {
        let used = self.cpu.usage.total as f64 - self.precpu.usage.total as f64;
        let passed = self.cpu.system as f64 - self.precpu.system as f64;
        let cpus = match self.cpu.online_cpus {
            0 => self.cpu.usage.percpu.len() as f64,
            n => f64::from(n),
        };
        if used > 0.0 && passed > 0.0 { used / passed * cpus * 100.0 } else { 0.0 }
    }

    /// Bytes in use without the files that the kernel would drop first.
    pub fn memory_used(&self) -> u64 {
        let inactive = ["total_inactive_file", "inactive_file"].iter().find_map(|key| self.memory.stats.get(*key)).copied();
        match inactive {
            Some(inactive) if inactive < self.memory.usage => self.memory.usage - inactive,
            _ => self.memory.usage,
        }
    }

    /// Share of the limit in hundredths.
    #[expect(clippy::cast_precision_loss, reason = "a share is shown with two digits")]
    pub fn memory_percent(&self) -> f64 {
        if self.memory.limit == 0 { 0.0 } else { self.memory_used() as f64 / self.memory.limit as f64 * 100.0 }
    }

    /// Bytes read from and written to devices.
    pub fn io(&self) -> (u64, u64) {
        let sum = |letter: &str| {
            let entries = self.blkio.io_service_bytes.iter().flatten();
            entries.filter(|e| e.op.get(..1).is_some_and(|first| first.eq_ignore_ascii_case(letter))).map(|e| e.value).sum()
        };
        (sum("r"), sum("w"))
    }

    /// Bytes received and sent.
    pub fn traffic(&self) -> (u64, u64) {
        let sum = |of: fn(&NetworkStats) -> u64| self.networks.values().map(of).sum();
        (sum(|n| n.rx_bytes), sum(|n| n.tx_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_does_not_run() {
        let stats = Stats {
            name: "/b".into(),
            id: "1".into(),
            read: crate::time::ZERO.into(),
            preread: crate::time::ZERO.into(),
            ..Stats::default()
        };
        insta::assert_snapshot!(serde_json::to_string(&stats).unwrap(), @r#"{"name":"/b","id":"1","read":"0001-01-01T00:00:00Z","preread":"0001-01-01T00:00:00Z","pids_stats":{},"blkio_stats":{"io_service_bytes_recursive":null,"io_serviced_recursive":null,"io_queue_recursive":null,"io_service_time_recursive":null,"io_wait_time_recursive":null,"io_merged_recursive":null,"io_time_recursive":null,"sectors_recursive":null},"num_procs":0,"storage_stats":{},"cpu_stats":{"cpu_usage":{"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0},"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}},"precpu_stats":{"cpu_usage":{"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0},"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}},"memory_stats":{}}"#);
        assert_eq!((stats.cpu_percent(), stats.memory_percent(), stats.memory_used()), (0.0, 0.0, 0));
    }

    #[test]
    fn shares() {
        let mut stats = Stats::default();
        stats.cpu.usage.total = 600;
        stats.precpu.usage.total = 100;
        stats.cpu.system = 3000;
        stats.precpu.system = 1000;
        stats.cpu.online_cpus = 2;
        assert_eq!(stats.cpu_percent(), 50.0);
        stats.memory = MemoryStats { usage: 300, limit: 1000, stats: [("inactive_file".to_owned(), 100)].into(), ..MemoryStats::default() };
        assert_eq!((stats.memory_used(), stats.memory_percent()), (200, 20.0));
        stats.memory.stats.insert("total_inactive_file".into(), 400);
        assert_eq!(stats.memory_used(), 300);
        let entry = |op: &str, value| BlkioEntry { major: 8, minor: 0, op: op.into(), value };
        stats.blkio.io_service_bytes = Some(vec![entry("Read", 1), entry("write", 2), entry("read", 3), entry("", 9)]);
        assert_eq!(stats.io(), (4, 2));
    }
}
