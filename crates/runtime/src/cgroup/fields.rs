//! Which field of a specification a file of the kernel's stands for: whoever reads an error knows the field, not the file.

/// Below `linux.resources`; `None` for a file that no field is behind.
pub(super) fn of_file(file: &str) -> Option<&'static str> {
    let rest = |prefix: &str| file.strip_prefix(prefix);
    Some(match file {
        "memory.limit_in_bytes" | "memory.max" => "memory.limit",
        "memory.memsw.limit_in_bytes" | "memory.swap.max" => "memory.swap",
        "memory.soft_limit_in_bytes" | "memory.low" => "memory.reservation",
        "memory.kmem.tcp.limit_in_bytes" => "memory.kernelTCP",
        "memory.swappiness" => "memory.swappiness",
        "memory.oom_control" => "memory.disableOOMKiller",
        "cpu.shares" | "cpu.weight" => "cpu.shares",
        "cpu.cfs_quota_us" | "cpu.max" => "cpu.quota",
        "cpu.cfs_period_us" => "cpu.period",
        "cpu.cfs_burst_us" | "cpu.max.burst" => "cpu.burst",
        "cpu.idle" => "cpu.idle",
        "cpu.rt_runtime_us" => "cpu.realtimeRuntime",
        "cpu.rt_period_us" => "cpu.realtimePeriod",
        "cpuset.cpus" => "cpu.cpus",
        "cpuset.mems" => "cpu.mems",
        "pids.max" => "pids.limit",
        "blkio.weight" | "blkio.bfq.weight" | "io.weight" | "io.bfq.weight" => "blockIO.weight",
        "blkio.leaf_weight" => "blockIO.leafWeight",
        "blkio.weight_device" | "blkio.bfq.weight_device" | "blkio.leaf_weight_device" => "blockIO.weightDevice",
        "blkio.throttle.read_bps_device" => "blockIO.throttleReadBpsDevice",
        "blkio.throttle.write_bps_device" => "blockIO.throttleWriteBpsDevice",
        "blkio.throttle.read_iops_device" => "blockIO.throttleReadIOPSDevice",
        "blkio.throttle.write_iops_device" => "blockIO.throttleWriteIOPSDevice",
        "io.max" => "blockIO",
        "net_cls.classid" => "network.classID",
        "net_prio.ifpriomap" => "network.priorities",
        "rdma.max" => "rdma",
        _ if rest("devices.").is_some() => "devices",
        _ if rest("hugetlb.").is_some() => "hugepageLimits",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::of_file;

    #[test]
    fn fields() {
        for (file, expect) in [
            ("memory.max", Some("memory.limit")),
            ("devices.allow", Some("devices")),
            ("hugetlb.2MB.rsvd.max", Some("hugepageLimits")),
            ("memory.high", None),
        ] {
            assert_eq!(of_file(file), expect);
        }
    }
}
