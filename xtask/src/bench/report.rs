//! The results as a page.

use super::Amount;
use super::candidates::Candidate;
use super::exits::Exits;
use super::logs::Logs;
use super::measure::{Row, percentile};
use super::memory::Memory;
use super::networks::Networks;
use super::runtimes::Runtimes;
use super::streams::{self, Sent};
use super::transfers::Transfers;
use crate::shell::{command, output};
use std::fmt::Write;

/// What was measured, by candidate where it is a list; empty where it was not.
pub(crate) struct Results {
    pub(crate) speed: Vec<Row>,
    pub(crate) runtimes: Option<Runtimes>,
    pub(crate) exits: Exits,
    pub(crate) logs: Vec<Option<Logs>>,
    pub(crate) stats: Vec<Option<u64>>,
    pub(crate) memory: Vec<Option<Memory>>,
    pub(crate) transfers: Option<Transfers>,
    pub(crate) networks: Option<Networks>,
}

/// The page. It names the machine's kind, never its name or paths.
pub(crate) fn text(candidates: &[Box<dyn Candidate>], results: &Results, missing: &[String], amount: Amount) -> String {
    let mut page = String::from("# Side by side\n\nWritten by `cargo xtask bench`. All candidates in one run, taking turns; whole\n");
    let _ok = writeln!(
        page,
        "commands from process creation to exit; {} samples each, after two to warm up. A turn is the command twice, 100 ms of rest before each, and\nthe second counts: a kernel may take back what was not touched for a second, and others' turns take longer. Milliseconds.\n\nEach candidate has a place of its own on the disk (ext4: another block group), and its runtime directory in memory, as `/run` is.\n",
        amount.samples
    );
    let _ok = writeln!(page, "{}", machine());
    for candidate in candidates {
        let _ok = writeln!(page, "- {}: {}", candidate.name(), candidate.version());
    }
    for line in missing {
        // What follows a quotation mark is a command line with this machine's paths.
        let _ok = writeln!(page, "- not measured: {}", line.split('"').next().unwrap_or_default().trim_end_matches([':', ' ']));
    }

    speed(&mut page, candidates, &results.speed);
    if let Some(measured) = &results.runtimes {
        runtimes(&mut page, measured);
    }
    exits(&mut page, candidates, &results.exits);
    logs(&mut page, candidates, &results.logs);
    stats(&mut page, candidates, &results.stats, amount);
    memory(&mut page, candidates, &results.memory, amount);
    if let Some(measured) = &results.transfers {
        transfers(&mut page, measured);
    }
    if let Some(measured) = &results.networks {
        networks(&mut page, measured);
    }
    page
}

fn speed(page: &mut String, candidates: &[Box<dyn Candidate>], speed: &[Row]) {
    if speed.is_empty() {
        return;
    }
    let dhow = candidates.iter().position(|candidate| candidate.name() == "dhow").unwrap_or(0);
    page.push_str(
        "\n## Speed\n\n| command | who | median | p95 | times dhow | times the bare kernel |\n| --- | --- | ---: | ---: | ---: | ---: |\n",
    );
    for row in speed {
        let ours = percentile(&row.samples[dhow], 50).unwrap_or(1).max(1);
        for (candidate, samples) in candidates.iter().zip(&row.samples) {
            if let (Some(median), Some(p95)) = (percentile(samples, 50), percentile(samples, 95)) {
                let ratio = median as f64 / ours as f64;
                let floor = row
                    .samples
                    .first()
                    .and_then(|samples| percentile(samples, 50))
                    .map_or("-".to_string(), |floor| format!("{:.2}", median as f64 / floor.max(1) as f64));
                let _ok = writeln!(
                    page,
                    "| `{}` | {} | {} | {} | {ratio:.2} | {floor} |",
                    row.name,
                    candidate.name(),
                    millis(median),
                    millis(p95)
                );
            }
        }
    }
}

fn runtimes(page: &mut String, measured: &Runtimes) {
    page.push_str(
        "\n## OCI runtime\n\n`run` of `true` from a bundle, the runtime's own command.\n\n| who | median | p95 | times dhow runtime | times the bare kernel |\n| --- | ---: | ---: | ---: | ---: |\n",
    );
    let median = |at: usize| measured.row.samples.get(at).and_then(|samples| percentile(samples, 50)).unwrap_or(1).max(1) as f64;
    for (name, samples) in measured.names.iter().zip(&measured.row.samples) {
        if let (Some(middle), Some(p95)) = (percentile(samples, 50), percentile(samples, 95)) {
            let (floor, own) = (middle as f64 / median(0), middle as f64 / median(1));
            let _ok = writeln!(page, "| {name} | {} | {} | {own:.2} | {floor:.2} |", millis(middle), millis(p95));
        }
    }
}

fn exits(page: &mut String, candidates: &[Box<dyn Candidate>], exits: &Exits) {
    if exits.is_empty() {
        return;
    }
    page.push_str("\n## From a process's death to the answer of `wait`\n\nThe container has written 1 MB to its root; beside a dirty disk another process has just written 500 MB.\n\n");
    page.push_str("| who | quiet disk | dirty disk |\n| --- | ---: | ---: |\n");
    for (candidate, exit) in candidates.iter().zip(exits) {
        if let Some((quiet, dirty)) = exit {
            let _ok = writeln!(page, "| {} | {} | {} |", candidate.name(), millis(*quiet), millis(*dirty));
        }
    }
}

fn logs(page: &mut String, candidates: &[Box<dyn Candidate>], logs: &[Option<Logs>]) {
    if logs.is_empty() {
        return;
    }
    page.push_str("\n## A log of 1 GB\n\nSeconds until the container that writes it has ended; milliseconds to read its end.\n\n");
    page.push_str("| who | written | `logs --tail 10` | `logs --since` its end |\n| --- | ---: | ---: | ---: |\n");
    for (candidate, logs) in candidates.iter().zip(logs) {
        if let Some(logs) = logs {
            let written = logs.write as f64 / 1e6;
            let _ok = writeln!(page, "| {} | {written:.1} s | {} | {} |", candidate.name(), millis(logs.tail), millis(logs.since));
        }
    }
}

fn stats(page: &mut String, candidates: &[Box<dyn Candidate>], stats: &[Option<u64>], amount: Amount) {
    if stats.is_empty() {
        return;
    }
    let _ok = writeln!(
        page,
        "\n## Stats of {} containers\n\nOne sample of each, asked for at once; milliseconds until all are there.\n",
        amount.watched
    );
    page.push_str("| who | all |\n| --- | ---: |\n");
    for (candidate, time) in candidates.iter().zip(stats) {
        if let Some(time) = time {
            let _ok = writeln!(page, "| {} | {} |", candidate.name(), millis(*time));
        }
    }
}

fn memory(page: &mut String, candidates: &[Box<dyn Candidate>], memory: &[Option<Memory>], amount: Amount) {
    if memory.is_empty() {
        return;
    }
    let _ok = writeln!(
        page,
        "\n## Memory\n\nIn KiB. With {} containers that sleep: the proportional set size of the process that watches each (mean), and\nthe growth of the daemons for each.\n",
        amount.containers
    );
    page.push_str("| who | daemons at rest, resident | watcher of a container, proportional | growth for a container |\n| --- | ---: | ---: | ---: |\n");
    for (candidate, memory) in candidates.iter().zip(memory) {
        if let Some(memory) = memory {
            let shim = memory.shim.map_or("-".to_string(), |kib| kib.to_string());
            let _ok = writeln!(page, "| {} | {} | {shim} | {} |", candidate.name(), memory.rest, memory.growth);
        }
    }
}

fn transfers(page: &mut String, measured: &Transfers) {
    page.push_str(
        "\n## Transfers\n\nAn image of 312 MB in 5 layers: Debian, 8000 small files, 90 MB of mixed data. Registry on loopback; seconds. The medians; `times` is the\nmedian of that engine divided by ours. Before each sample, all is synced and 1.5 GiB of free memory are touched.\n\n| what | who | median | slowest | times dhow |\n| --- | --- | ---: | ---: | ---: |\n",
    );
    for row in &measured.rows {
        let ours = row.samples.first().and_then(|samples| percentile(samples, 50)).unwrap_or(1).max(1);
        for (name, samples) in measured.names.iter().zip(&row.samples) {
            if let (Some(median), Some(slowest)) = (percentile(samples, 50), percentile(samples, 100)) {
                let (median, slowest, ratio) = (median as f64 / 1e6, slowest as f64 / 1e6, median as f64 / ours as f64);
                let _ok = writeln!(page, "| {} | {name} | {median:.2} | {slowest:.2} | {ratio:.2} |", row.name);
            }
        }
    }
    page.push_str("\nThe most that the daemons had resident during a pull:");
    for (name, memory) in measured.names.iter().zip(&measured.memory) {
        if let Some(memory) = memory {
            let _ok = write!(page, " {name} {} MiB;", memory / 1024);
        }
    }
    page.pop();
    page.push_str(".\n");
}

fn networks(page: &mut String, measured: &Networks) {
    page.push_str("\n## Networks\n\nEach engine on a host of its own (a network namespace).\n");
    if !measured.rows.is_empty() {
        commands_on_networks(page, measured);
    }
    if !measured.streams.is_empty() {
        streams(page, measured);
    }
}

fn commands_on_networks(page: &mut String, measured: &Networks) {
    page.push_str(
        "\nMilliseconds; more: beyond the same engine's `--network none`. The bare kernel's link is made beside its mounts; it has no port.\n\n\
         | command | who | median | p95 | more | times the bare kernel |\n| --- | --- | ---: | ---: | ---: | ---: |\n",
    );
    for row in &measured.rows {
        let bare = row.samples.first().and_then(|samples| percentile(samples, 50));
        for (index, name) in std::iter::once("bare kernel").chain(measured.names.iter().map(String::as_str)).enumerate() {
            let samples = &row.samples[index];
            let without = measured.rows.first().and_then(|first| percentile(&first.samples[index], 50)).unwrap_or(0);
            if let (Some(median), Some(p95)) = (percentile(samples, 50), percentile(samples, 95)) {
                let more = millis(median.saturating_sub(without));
                let times = bare.map_or("-".to_owned(), |bare| format!("{:.2}", median as f64 / bare as f64));
                let _ok = writeln!(page, "| `{}` | {name} | {} | {} | {more} | {times} |", row.name, millis(median), millis(p95));
            }
        }
    }
    page.push_str("\nWhat `run -d` takes more with many ports:\n\n| ports | who | more |\n| --- | --- | ---: |\n");
    for (what, times) in &measured.ports {
        for (name, time) in measured.names.iter().zip(times) {
            if let Some(time) = time {
                let _ok = writeln!(page, "| {what} | {name} | {} |", millis(*time));
            }
        }
    }
}

fn streams(page: &mut String, measured: &Networks) {
    let rounds = measured.streams.first().and_then(|way| way.sent.first()).map_or(0, Vec::len);
    let _ok = write!(
        page,
        "\nTCP streams, client and server on a processor of their own each. {rounds} rounds of each way; in a round all engines' streams are open and\nsend by turns of 15 ms, forwards and backwards. Gigabits in a second, and gigabytes in a second of processors' time (programs and kernel).\nRatio: ours to theirs of the same round; the median, and between what it lies with 95 % certainty (sign test).\n\n\
         | way | who | Gbit/s | quartiles | ratio | for a second of processors | ratio |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let mut found = String::new();
    for way in &measured.streams {
        for (name, sent) in measured.names.iter().zip(&way.sent) {
            let sorted = |value: fn(&Sent) -> f64| {
                let mut all: Vec<u64> = sent.iter().map(|sent| value(sent) as u64).collect();
                all.sort_unstable();
                all
            };
            let (rates, thrifts) = (sorted(|sent| sent.rate * 8.0), sorted(|sent| sent.thrift));
            let at = |all: &[u64], percent, digits| {
                percentile(all, percent).map(|value| format!("{:.digits$}", value as f64 / 1e9)).unwrap_or_default()
            };
            let ratio = |value: fn(&Sent) -> f64| {
                let theirs = Some(sent).filter(|_| name != "dhow")?;
                streams::ratio(way.sent.first()?.iter().map(value).zip(theirs.iter().map(value)))
            };
            let shown = |ratio: Option<[f64; 3]>| {
                ratio.map_or("-".to_owned(), |[median, low, high]| format!("{median:.3} ({low:.3} to {high:.3})"))
            };
            let (rate, thrift) = (ratio(|sent| sent.rate), ratio(|sent| sent.thrift));
            let _ok = writeln!(
                page,
                "| {} | {name} | {} | {} to {} | {} | {} | {} |",
                way.name,
                at(&rates, 50, 1),
                at(&rates, 25, 1),
                at(&rates, 75, 1),
                shown(rate),
                at(&thrifts, 50, 2),
                shown(thrift)
            );
            if let Some(ratio) = rate {
                let _ok = writeln!(found, "- {}: {}", way.name, verdict(name, ratio));
            }
        }
    }
    let _ok = write!(page, "\n{found}");
}

/// What a ratio with its interval says.
fn verdict(other: &str, [median, low, high]: [f64; 3]) -> String {
    let percent = |ratio: f64| format!("{:.1} %", (ratio - 1.0).abs() * 100.0);
    match (low >= 1.0, high <= 1.0) {
        (true, false) => format!("dhow is faster than {other}, by {} (at least {}).", percent(median), percent(low)),
        (false, true) => format!("dhow is slower than {other}, by {} (at least {}).", percent(median), percent(high)),
        _ => format!("no difference to {other} shows: dhow is not slower by more than {}.", percent(low)),
    }
}

fn millis(micros: u64) -> String {
    format!("{:.2}", micros as f64 / 1000.0)
}

/// Processor, kernel and memory.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let find = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':')).map(|(_, value)| value.trim().to_string())
    };
    let cpu = find(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".into());
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory =
        find(&read("/proc/meminfo"), "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) / (1 << 20);
    let kernel = output(&mut command("uname", &["-r"])).unwrap_or_default();
    let kernel = kernel.trim().split('-').next().unwrap_or_default().to_string();
    let cgroup = if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "v2" } else { "v1 or hybrid" };
    format!("- machine: {cpus} x {cpu}, {memory} GiB, Linux {kernel}, cgroup {cgroup}")
}
