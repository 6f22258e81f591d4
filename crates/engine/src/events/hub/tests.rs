//! The hub with its log.

use super::*;

fn open(dir: &Path) -> Arc<Hub> {
    Arc::new(Hub::open(&dir.join("events")).unwrap())
}

fn tell(hub: &Hub, action: impl Into<String>) {
    hub.tell("container", action, "x", BTreeMap::new());
}

const ALL: Range = Range { since: Some(0), until: None };

fn actions(mut past: Past) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(batch) = past.next_batch().unwrap() {
        found.extend(batch.iter().map(|event| event.action.clone()));
    }
    found
}

#[test]
fn what_waits_what_is_written_and_what_comes_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path());
    tell(&hub, "a");
    hub.write().unwrap();
    tell(&hub, "b");
    let (past, mut next) = hub.listen(ALL);
    tell(&hub, "c");
    hub.write().unwrap();
    assert_eq!(actions(past), ["a", "b"]);
    assert_eq!(next.try_recv().unwrap().action, "c");
    assert!(next.try_recv().is_err());
    assert_eq!(actions(hub.listen(ALL).0), ["a", "b", "c"]);
    assert!(actions(hub.listen(Range::default()).0).is_empty());
    assert!(actions(hub.listen(Range { since: Some(i64::MAX), until: None }).0).is_empty());
}

#[test]
fn a_range_of_time_on_disk_and_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path());
    for action in ["a", "b", "c"] {
        let before = clock::now();
        // No two in the same instant.
        while clock::now() == before {}
        tell(&hub, action);
    }
    let mut past = hub.listen(ALL).0;
    let at: Vec<i64> = past.next_batch().unwrap().unwrap().iter().map(|event| event.at).collect();
    for _ in 0..2 {
        let check = |since, until, expect: &[&str]| assert_eq!(actions(hub.listen(Range { since, until }).0), expect);
        check(Some(at[1]), None, &["b", "c"]);
        check(None, Some(at[1]), &["a", "b"]);
        check(Some(at[1]), Some(at[1]), &["b"]);
        check(Some(at[1] + 1), Some(at[2] - 1), &[]);
        hub.write().unwrap();
    }
}

#[test]
fn the_next_engine_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3u64 {
        let hub = open(dir.path());
        tell(&hub, format!("a{round}"));
        hub.write().unwrap();
        let mut past = hub.listen(ALL).0;
        let numbers: Vec<u64> = past.next_batch().unwrap().unwrap().iter().map(|event| event.number).collect();
        assert_eq!(numbers, (1..=round + 1).collect::<Vec<_>>());
    }
}

#[test]
fn class_24_what_waits_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path());
    for n in 0..WAITING + 10 {
        tell(&hub, format!("a{n}"));
    }
    let kept = actions(hub.listen(ALL).0);
    assert_eq!((kept.len(), kept[0].as_str()), (WAITING, "a10"));
    for _ in 0..40 {
        hub.tell("container", "big", "x", BTreeMap::from([("label".to_owned(), "x".repeat(1 << 19))]));
    }
    let state = hub.state();
    assert!(state.weight <= WAITING_BYTES);
    assert_eq!(state.weight, state.waiting.iter().map(|event| event.weight()).sum::<usize>());
}

#[test]
fn many_tell_while_it_is_written_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..200).for_each(|n| tell(&hub, format!("a{n}"))));
        }
        scope.spawn(|| (0..50).for_each(|_| hub.write().unwrap()));
        for _ in 0..20 {
            let (mut past, mut live) = hub.listen(ALL);
            let mut numbers = Vec::new();
            while let Some(batch) = past.next_batch().unwrap() {
                numbers.extend(batch.iter().map(|event| event.number));
            }
            while let Ok(event) = live.try_recv() {
                numbers.push(event.number);
            }
            assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        }
    });
    assert_eq!(actions(hub.listen(ALL).0).len(), 800);
}

#[tokio::test]
async fn the_writer_writes_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path());
    let writer = hub.spawn_writer();
    tell(&hub, "a");
    while !hub.state().waiting.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(actions(hub.listen(ALL).0), ["a"]);
    tell(&hub, "b");
    hub.flush().await;
    writer.abort();
    assert_eq!(actions(open(dir.path()).listen(ALL).0), ["a", "b"]);
}
