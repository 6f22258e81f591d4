//! Paths of /proc and /sys that a container does not see, or sees read-only.

/// Hidden: what tells about the host or changes it. Docker's newest list, in its order.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The masked paths, with this host's `/sys/devices/system/cpu/cpuN/thermal_throttle` directories (a side channel).
pub fn masked(thermal: &[String]) -> Vec<String> {
    MASKED.iter().map(ToString::to_string).chain(thermal.iter().cloned()).collect()
}

/// The read-only paths.
pub fn readonly() -> Vec<String> {
    READ_ONLY.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let thermal = ["/sys/devices/system/cpu/cpu0/thermal_throttle".to_owned()];
        let masked = masked(&thermal);
        assert_eq!(masked.len(), 13);
        assert_eq!(masked.last(), thermal.last());
        assert!(masked.iter().chain(&readonly()).all(|path| path.starts_with("/proc/") || path.starts_with("/sys/")));
        assert_eq!(readonly().len(), 5);
    }
}
