//! What the whole machine used, which shares are reckoned from.

/// CPU time of all CPUs in nanoseconds and their number, from `/proc/stat`: user, nice, system, idle, iowait, irq, softirq. The kernel counts
/// in hundredths of a second for every program.
pub(super) fn cpu(stat: &str) -> (u64, u32) {
    let mut total = 0;
    let mut cpus = 0;
    for line in stat.lines() {
        let Some(rest) = line.strip_prefix("cpu") else { break };
        if rest.starts_with(' ') {
            let ticks: u64 = rest.split_ascii_whitespace().take(7).filter_map(|word| word.parse::<u64>().ok()).sum();
            total = ticks.saturating_mul(10_000_000);
        } else {
            cpus += 1;
        }
    }
    (total, cpus)
}

/// Bytes of memory, from `/proc/meminfo`.
pub(super) fn memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|rest| rest.split_ascii_whitespace().next()).and_then(|word| word.parse::<u64>().ok());
    kilobytes.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        let stat = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1\ncpu1 1 1\nintr 5\n";
        assert_eq!(cpu(stat), (280_000_000, 2));
        assert_eq!(memory("MemTotal:       2048 kB\n"), 2 << 20);
        assert_eq!((cpu(""), memory("")), ((0, 0), 0));
    }
}
