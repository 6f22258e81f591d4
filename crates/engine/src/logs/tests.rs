//! Reading logs: tails, times, rotation.

use super::files::{open_all, rotated};
use super::*;
use dhow_shim::packed::Origin;
use proptest::prelude::*;
use std::fs::File;
use std::io::Write;
use std::path::Path;

fn record(text: &str, second: u32) -> String {
    format!(
        "{{\"log\":{},\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:{second:02}.000000001Z\"}}\n",
        serde_json::to_string(text).unwrap()
    )
}

fn write(path: &Path, lines: &[String]) {
    std::fs::write(path, lines.concat()).unwrap();
}

fn collect(files: Vec<(LogFile, u64)>) -> Vec<String> {
    let mut out = Vec::new();
    for (file, position) in files {
        let mut lines = Lines::new(file, position).unwrap();
        loop {
            let batch = lines.batch().unwrap();
            if batch.is_empty() {
                break;
            }
            out.extend(batch.into_iter().map(|l| String::from_utf8(l.text).unwrap()));
        }
    }
    out
}

#[test]
fn a_line_is_taken_apart() {
    let line = line::parse(br#"{"log":"a\u001b\n","stream":"stderr","time":"1970-01-01T00:00:01.5Z","attrs":{"k":"v"},"new":1}"#).unwrap();
    assert_eq!((line.stream, line.at, line.text.as_slice()), (2, 1_500_000_000, &b"a\x1b\n"[..]));
    assert_eq!(line.attrs["k"], "v");
    for junk in [&b""[..], b"{", b"[]", b"{\"log\":\"x\"}", b"\xff"] {
        assert!(line::parse(junk).is_none());
    }
}

#[test]
fn rotated_files_are_read_oldest_first_and_the_tail_reaches_into_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    write(&rotated(&path, 2), &[record("a", 1), record("b", 2)]);
    write(&rotated(&path, 1), &[record("c", 3)]);
    write(&path, &[record("d", 4), record("e", 5)]);
    let all = collect(open_all(&path).into_iter().map(|f| (f, 0)).collect());
    assert_eq!(all, ["a", "b", "c", "d", "e"]);
    for wanted in 0..7u64 {
        let got = collect(tail::positions(open_all(&path), wanted).unwrap());
        let skip = all.len().saturating_sub(usize::try_from(wanted).unwrap());
        assert_eq!(got, all[skip..], "{wanted}");
    }
}

#[test]
fn junk_and_overlong_lines_are_passed_over_and_an_unfinished_one_waits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    let long = format!("{{\"log\":\"{}\"}}\n", "x".repeat(3 << 20));
    write(&path, &[record("a", 1), "junk\n".into(), long, record("b", 2), "{\"log\":\"c\",".into()]);
    let mut lines = Lines::new(LogFile::Plain(File::open(&path).unwrap()), 0).unwrap();
    let mut got = Vec::new();
    loop {
        let batch = lines.batch().unwrap();
        if batch.is_empty() {
            break;
        }
        got.extend(batch.into_iter().map(|l| l.text));
    }
    assert_eq!(got, [b"a", b"b"]);
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:00Z\"}\n").unwrap();
    assert_eq!(lines.batch().unwrap()[0].text, b"c");
}

#[tokio::test]
async fn following_sees_new_lines_rotation_and_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    write(&path, &[record("1", 1)]);
    let mut container = crate::container::testing::container("x", "x");
    container.state.status = crate::model::Status::Running;
    let news = tokio::sync::watch::Sender::new(Arc::new(container.clone()));
    let (sender, mut receiver) = mpsc::channel(4);
    let request = LogRequest { stdout: true, follow: true, tail: Some(0), ..LogRequest::default() };
    let watch = news.subscribe();
    let task = {
        let path = path.clone();
        tokio::spawn(async move { serve(path, request, watch, &sender).await })
    };
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(record("2", 2).as_bytes()).unwrap();
    let mut next = async || String::from_utf8(receiver.recv().await.unwrap().unwrap().remove(0).text).unwrap();
    assert_eq!(next().await, "2");
    file.write_all(record("3", 3).as_bytes()).unwrap();
    std::fs::rename(&path, rotated(&path, 1)).unwrap();
    write(&path, &[record("4", 4)]);
    assert_eq!(next().await, "3");
    assert_eq!(next().await, "4");
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(record("5", 5).as_bytes()).unwrap();
    container.state.status = crate::model::Status::Exited;
    news.send_replace(Arc::new(container));
    assert_eq!(next().await, "5");
    assert!(receiver.recv().await.is_none());
    task.await.unwrap().unwrap();
}

proptest! {
    #[test]
    fn a_tail_is_the_end_of_the_whole(counts in proptest::collection::vec(0usize..5, 1..4), wanted in 0u64..12, size in 1usize..40_000) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let mut number = 0;
        for (n, count) in counts.iter().enumerate().rev() {
            let lines: Vec<String> = (0..*count).map(|_| { number += 1; record(&format!("{number}{}", "y".repeat(size)), 1) }).collect();
            write(&if n == 0 { path.clone() } else { rotated(&path, u32::try_from(n).unwrap()) }, &lines);
        }
        let all = collect(open_all(&path).into_iter().map(|f| (f, 0)).collect());
        prop_assert_eq!(all.len(), number);
        let got = collect(tail::positions(open_all(&path), wanted).unwrap());
        let skip = all.len().saturating_sub(usize::try_from(wanted).unwrap());
        prop_assert_eq!(&got[..], &all[skip..]);
    }
}

/// Entries of two streams, some of them pieces of long lines, with the time at which they were written.
fn story(steps: &[(bool, bool, u8)]) -> (String, Vec<(i64, String)>) {
    let mut text = String::new();
    let mut entries = Vec::new();
    let mut begun: [Option<i64>; 2] = [None; 2];
    let mut now = 0;
    for (n, (stderr, whole, pause)) in steps.iter().enumerate() {
        now += i64::from(*pause) * 1_000_000_000;
        // All pieces of a line carry the time of the first.
        let at = *begun[usize::from(*stderr)].get_or_insert(now);
        if *whole {
            begun[usize::from(*stderr)] = None;
        }
        let log = format!("{n}{}{}", "z".repeat(4000), if *whole { "\n" } else { "" });
        let time = jiff::Timestamp::from_nanosecond(i128::from(at)).unwrap();
        let stream = if *stderr { "stderr" } else { "stdout" };
        text.push_str(&format!("{{\"log\":{},\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n", serde_json::to_string(&log).unwrap()));
        entries.push((at, log));
    }
    (text, entries)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn since_loses_no_entry_and_skips_most(steps in proptest::collection::vec((any::<bool>(), proptest::bool::weighted(0.6), 0u8..3), 200..400), wanted in 0i64..500) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let (text, entries) = story(&steps);
        std::fs::write(&path, &text).unwrap();
        let since = wanted * 1_000_000_000;
        let starts = since::positions(open_all(&path), since).unwrap();
        let found: Vec<String> = collect(starts);
        let skipped = entries.len() - found.len();
        prop_assert!(entries[..skipped].iter().all(|(at, _)| *at < since), "an entry was lost");
        let all: Vec<String> = entries.iter().map(|(_, log)| log.clone()).collect();
        prop_assert_eq!(&found[..], &all[skipped..]);
    }
}

#[test]
fn since_begins_near_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    let steps = vec![(false, true, 1u8); 3000];
    let (text, _) = story(&steps);
    std::fs::write(&path, &text).unwrap();
    let starts = since::positions(open_all(&path), 2900 * 1_000_000_000).unwrap();
    let left = text.len() as u64 - starts[0].1;
    assert!(left < 1_000_000, "{left} bytes are read for 100 entries");
}

/// What reading from these places to the end reads, and how many lines there are.
fn bytes_read(find: impl FnOnce() -> Vec<(LogFile, u64)>) -> (u64, Vec<String>) {
    files::READ.with(|total| total.set(0));
    let lines = collect(find());
    (files::READ.with(std::cell::Cell::get), lines)
}

#[test]
fn the_end_of_a_large_log_costs_little() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    // 50 MB in two files; a second for each of 50 000 lines.
    let line = |n: i64| {
        let time = jiff::Timestamp::from_second(n).unwrap();
        format!("{{\"log\":\"{n}{}\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}\n", "z".repeat(900))
    };
    let text = |numbers: std::ops::Range<i64>| numbers.map(line).collect::<String>();
    std::fs::write(rotated(&path, 1), text(0..25_000)).unwrap();
    std::fs::write(&path, text(25_000..50_000)).unwrap();
    let check = |what: &str, most: u64, expect: usize, (read, lines): (u64, Vec<String>)| {
        assert!(read <= most, "{what}: {read} bytes");
        assert!(lines.len() >= expect && lines.last().unwrap().starts_with("49999z"), "{what}: {} lines", lines.len());
    };
    check("tail", 128 << 10, 10, bytes_read(|| tail::positions(open_all(&path), 10).unwrap()));
    // Each halving of 25 MB down to 128 kB reads one piece; then what is left is read.
    let since = |second: i64| bytes_read(|| since::positions(open_all(&path), second * 1_000_000_000).unwrap());
    check("since the last minute", 700 << 10, 60, since(49_940));
    check("since later", 700 << 10, 0, since(60_000));
    // Of a tail that reaches into the older file only the end of that one is read.
    check("a long tail", (50_000 - 24_900 + 200) * 2 * 1000, 25_100, bytes_read(|| tail::positions(open_all(&path), 25_100).unwrap()));
}

#[test]
fn compressed_files_are_read_like_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    write(&path, &[record("d", 4)]);
    write(&rotated(&path, 1), &[record("c", 3)]);
    let packed = File::create(dir.path().join("l.2.gz")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
    encoder.write_all([record("a", 1), record("b", 2)].concat().as_bytes()).unwrap();
    encoder.finish().unwrap();
    let all = ["a", "b", "c", "d"];
    assert_eq!(collect(open_all(&path).into_iter().map(|f| (f, 0)).collect()), all);
    for wanted in 0..6usize {
        let got = collect(tail::positions(open_all(&path), wanted as u64).unwrap());
        assert_eq!(got, all[all.len().saturating_sub(wanted)..], "{wanted}");
    }
    assert_eq!(collect(since::positions(open_all(&path), 0).unwrap()), all);
}

/// Compresses a file as the shim does.
fn pack(path: &Path, to: &Path) {
    let extra = Origin::of(&path.metadata().unwrap()).extra();
    let mut encoder = flate2::GzBuilder::new().extra(extra).write(File::create(to).unwrap(), flate2::Compression::fast());
    encoder.write_all(&std::fs::read(path).unwrap()).unwrap();
    encoder.finish().unwrap();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_was_read_before_it_was_compressed_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    let packed = |n: u32| dir.path().join(format!("l.{n}.gz"));
    let texts = |files: Vec<LogFile>| collect(files.into_iter().map(|file| (file, 0)).collect());
    write(&path, &[record("a", 1)]);
    let current = LogFile::Plain(File::open(&path).unwrap());
    assert!(files::newer(&path, Some(&current)).unwrap().is_empty());
    // It is rotated and compressed, another one too, and a third is begun.
    pack(&path, &packed(2));
    write(&path, &[record("b", 2)]);
    pack(&path, &packed(1));
    write(&path, &[record("c", 3)]);
    assert_eq!(texts(files::newer(&path, Some(&current)).unwrap()), ["b", "c"]);
    assert_eq!(texts(files::newer(&path, None).unwrap()), ["c"]);
    // A reader that came later reads the compressed one, and goes on from there.
    let later = LogFile::Compressed(File::open(packed(2)).unwrap());
    assert_eq!(texts(files::newer(&path, Some(&later)).unwrap()), ["b", "c"]);
}

#[test]
fn a_number_that_is_given_away_again_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    write(&path, &[record("b", 2)]);
    // Compressed long ago, and its inode is now the newest file's.
    let origin = Origin { length: 1, ..Origin::of(&path.metadata().unwrap()) };
    let packed = File::create(dir.path().join("l.1.gz")).unwrap();
    let mut encoder = flate2::GzBuilder::new().extra(origin.extra()).write(packed, flate2::Compression::fast());
    encoder.write_all(record("a", 1).as_bytes()).unwrap();
    encoder.finish().unwrap();
    assert_eq!(collect(open_all(&path).into_iter().map(|file| (file, 0)).collect()), ["a", "b"]);
}

#[tokio::test]
async fn until_ends_a_follow() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    write(&path, &[record("1", 1)]);
    let mut container = crate::container::testing::container("x", "x");
    container.state.status = crate::model::Status::Running;
    let news = tokio::sync::watch::Sender::new(Arc::new(container));
    let (sender, mut receiver) = mpsc::channel(4);
    let until = Some(crate::clock::now() + 30_000_000);
    let request = LogRequest { stdout: true, follow: true, until, ..LogRequest::default() };
    serve(path, request, news.subscribe(), &sender).await.unwrap();
    drop(sender);
    assert_eq!(receiver.recv().await.unwrap().unwrap()[0].text, b"1");
    assert!(receiver.recv().await.is_none());
}
