//! Two engines at once, with different roots.

use dhow_tests::Engine;

#[test]
fn they_do_not_disturb_each_other() {
    let (one, other) = (Engine::new(), Engine::new());
    for engine in [&one, &other] {
        engine.ok("run -d --name same busybox sleep 1000");
    }
    assert_ne!(one.container_pid("same"), other.container_pid("same"));
    assert_eq!(one.ok("ps -q").lines().count(), 1);
    one.ok("tag busybox only:here");
    assert!(!other.ok("images").contains("only"));
    // One dies and comes back; the other does not notice.
    let pid = other.container_pid("same");
    one.kill_daemon();
    assert_eq!(other.ok("exec same echo fine"), "fine");
    one.start_daemon();
    assert_eq!(one.ok("exec same echo back"), "back");
    one.ok("rm -f same");
    assert_eq!(other.container_pid("same"), pid);
    one.finish();
    assert_eq!(other.ok("exec same echo alone"), "alone");
    other.finish();
}

#[test]
fn the_same_in_turn_leaves_nothing() {
    for _ in 0..3 {
        let engine = Engine::new();
        engine.ok("run --rm busybox true");
        engine.ok("run -d busybox sleep 1000");
        engine.finish();
    }
}
