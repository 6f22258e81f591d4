//! `GET /containers/{id}/stats`.

use crate::error::{Failure, Result};
use crate::http::body::Body;
use crate::http::{Cx, Reply, reply};
use bytes::Bytes;
use dhow_api::time;
use dhow_api::types::{BlkioEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, Stats, ThrottlingData};
use dhow_engine::model::{Container, Status};
use dhow_engine::stats::{Interface, Io, Sample, Watch};
use std::sync::Arc;
use tokio::sync::mpsc;

/// One sample, or one each second.
pub(crate) async fn get(cx: &Cx, id: &str) -> Result<Reply> {
    let stream = cx.query.boolean_or("stream", true);
    let one_shot = cx.since(41) && cx.query.boolean("one-shot");
    if stream && one_shot {
        return Err(Failure::invalid("cannot have stream=true and one-shot=true"));
    }
    let (container, mut watch) = cx.app.engine.stats(id)?;
    if stream {
        let (sender, body) = Body::stream();
        tokio::spawn(follow(container, watch, sender));
        return Ok(reply::stream("application/json", body));
    }
    if !matches!(container.state.status, Status::Running | Status::Paused) {
        return reply::json(&convert(&container, &Sample::default(), None));
    }
    let gone = || Failure::not_found(format!("No such container: {id}"));
    let mut first = watch.next().await.ok_or_else(gone)?;
    if one_shot {
        return reply::json(&convert(&container, &first, None));
    }
    let second = watch.next().await.ok_or_else(gone)?;
    if second.at == 0 {
        // It has ended meanwhile.
        first = second.clone();
    }
    reply::json(&convert(&container, &second, Some(&*first)))
}

/// Sends samples until the reader or the container is gone. A reader that is slow misses samples.
async fn follow(container: Arc<Container>, mut watch: Watch, sender: mpsc::Sender<Bytes>) {
    let mut before: Option<Arc<Sample>> = None;
    loop {
        let sample = tokio::select! {
            sample = watch.next() => sample,
            () = sender.closed() => return,
        };
        let Some(sample) = sample else { return };
        let Ok(mut line) = serde_json::to_vec(&convert(&container, &sample, before.as_deref())) else { return };
        line.push(b'\n');
        if sender.send(line.into()).await.is_err() {
            return;
        }
        before = Some(sample);
    }
}

/// Docker's shape.
fn convert(container: &Container, sample: &Sample, before: Option<&Sample>) -> Stats {
    let before = before.filter(|before| before.at != 0);
    let mut stats = Stats {
        name: format!("/{}", container.name),
        id: container.id.clone(),
        read: time::rfc3339_or_zero(Some(sample.at).filter(|at| *at != 0)),
        preread: time::rfc3339_or_zero(before.map(|before| before.at)),
        precpu: before.map(cpu).unwrap_or_default(),
        ..Stats::default()
    };
    if sample.at == 0 {
        return stats;
    }
    let usage = &sample.usage;
    // v1 leaves the limit out where there is none, v2 has the largest number.
    let no_limit = if usage.unified_memory { u64::MAX } else { 0 };
    stats.pids = PidsStats { current: usage.pids, limit: usage.pids_limit.unwrap_or(no_limit) };
    stats.blkio = blkio(usage.unified_io, &usage.io_bytes, &usage.io_operations);
    stats.cpu = cpu(sample);
    stats.memory = MemoryStats {
        usage: usage.memory,
        max_usage: usage.memory_max,
        stats: memory_detail(sample),
        failcnt: usage.memory_failures,
        limit: usage.memory_limit.unwrap_or(u64::MAX).min(sample.machine_memory),
    };
    stats.networks = sample.networks.iter().flatten().map(|(name, counters)| (name.clone(), network(counters))).collect();
    stats
}

fn cpu(sample: &Sample) -> CpuStats {
    let [total, user, kernel] = sample.usage.cpu;
    let [periods, throttled_periods, throttled_time] = sample.usage.throttling;
    CpuStats {
        usage: CpuUsage { total, percpu: sample.usage.per_cpu.clone(), kernel, user },
        system: sample.machine_cpu,
        online_cpus: sample.cpus,
        throttling: ThrottlingData { periods, throttled_periods, throttled_time },
    }
}

/// On v1 what nobody counts is an empty list, on v2 there is no list.
fn blkio(unified: bool, bytes: &[Io], operations: &[Io]) -> BlkioStats {
    let list = |all: &[Io]| {
        let entry = |io: &Io| BlkioEntry { major: io.major, minor: io.minor, op: io.operation.clone(), value: io.value };
        Some(all.iter().map(entry).collect::<Vec<_>>())
    };
    if unified {
        return BlkioStats { io_service_bytes: list(bytes).filter(|list| !list.is_empty()), ..BlkioStats::default() };
    }
    let none = || Some(Vec::new());
    BlkioStats {
        io_service_bytes: list(bytes),
        io_serviced: list(operations),
        io_queue: none(),
        io_service_time: none(),
        io_wait_time: none(),
        io_merged: none(),
        io_time: none(),
        sectors: none(),
    }
}

/// The keys that Docker shows. The kernel has more with each release.
fn memory_detail(sample: &Sample) -> std::collections::BTreeMap<String, u64> {
    let all = &sample.usage.memory_stat;
    let shown = |key: &str| match sample.usage.unified_memory {
        true => V2_KEYS.contains(&key),
        false => key.starts_with("hierarchical_") || V1_KEYS.contains(&key.strip_prefix("total_").unwrap_or(key)),
    };
    all.iter().filter(|(key, _)| shown(key)).map(|(key, value)| (key.clone(), *value)).collect()
}

const V1_KEYS: [&str; 15] = [
    "cache",
    "rss",
    "rss_huge",
    "mapped_file",
    "dirty",
    "writeback",
    "pgpgin",
    "pgpgout",
    "pgfault",
    "pgmajfault",
    "inactive_anon",
    "active_anon",
    "inactive_file",
    "active_file",
    "unevictable",
];
const V2_KEYS: [&str; 32] = [
    "anon",
    "file",
    "kernel_stack",
    "slab",
    "sock",
    "shmem",
    "file_mapped",
    "file_dirty",
    "file_writeback",
    "anon_thp",
    "inactive_anon",
    "active_anon",
    "inactive_file",
    "active_file",
    "unevictable",
    "slab_reclaimable",
    "slab_unreclaimable",
    "pgfault",
    "pgmajfault",
    "workingset_refault",
    "workingset_activate",
    "workingset_nodereclaim",
    "pgrefill",
    "pgscan",
    "pgsteal",
    "pgactivate",
    "pgdeactivate",
    "pglazyfree",
    "pglazyfreed",
    "thp_fault_alloc",
    "thp_collapse_alloc",
    "swapcached",
];

fn network(i: &Interface) -> NetworkStats {
    NetworkStats {
        rx_bytes: i.rx_bytes,
        rx_packets: i.rx_packets,
        rx_errors: i.rx_errors,
        rx_dropped: i.rx_dropped,
        tx_bytes: i.tx_bytes,
        tx_packets: i.tx_packets,
        tx_errors: i.tx_errors,
        tx_dropped: i.tx_dropped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_engine::stats::Reading;

    fn sample(at: i64, unified: bool) -> Sample {
        let usage = Reading {
            unified_memory: unified,
            unified_io: unified,
            cpu: [10, 6, 4],
            memory: 4096,
            memory_limit: (!unified).then_some(9_223_372_036_854_771_712),
            memory_stat: [("anon", 1), ("cache", 2), ("total_cache", 3), ("hierarchical_memory_limit", 4), ("new_key", 5)]
                .map(|(key, value)| (key.to_owned(), value))
                .into(),
            pids: 2,
            ..Reading::default()
        };
        Sample { at, usage, machine_cpu: 100, cpus: 2, machine_memory: 1 << 30, networks: None }
    }

    fn check(unified: bool, expect_keys: &[&str], limit: u64) -> Stats {
        let mut container = crate::convert::tests::container(crate::convert::tests::SMALL);
        container.name = "web".into();
        let stats = convert(&container, &sample(1_000_000_000, unified), Some(&sample(0, unified)));
        assert_eq!(stats.memory.stats.keys().collect::<Vec<_>>(), expect_keys);
        assert_eq!((stats.memory.limit, stats.pids.limit), (1 << 30, limit));
        assert_eq!((stats.name.as_str(), stats.read.as_str(), stats.preread.as_str()), ("/web", "1970-01-01T00:00:01Z", time::ZERO));
        stats
    }

    #[test]
    fn both_sorts_of_groups() {
        let v1 = check(false, &["cache", "hierarchical_memory_limit", "total_cache"], 0);
        assert_eq!(v1.blkio.io_queue, Some(Vec::new()));
        let v2 = check(true, &["anon"], u64::MAX);
        assert_eq!((v2.blkio.io_queue, v2.blkio.io_service_bytes), (None, None));
        assert_eq!(v2.precpu, CpuStats::default());
    }
}
