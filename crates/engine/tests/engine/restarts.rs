//! Restart policies, between runs and between engines.

use crate::Test;
use crate::adoption::{end, in_runtime, parent};
use crate::fixture::{eventually, import, options, request, with_engine};
use dhow_engine::Engine;
use dhow_engine::client::AttachRequest;
use dhow_engine::container::WaitFor;
use dhow_engine::error::Kind;
use dhow_engine::model::{Container, ExecRequest, NamespaceMode, Request, Resources, Status};
use std::path::Path;

pub(crate) const TESTS: &[Test] = &[
    ("restarts::failures_are_counted", failures_are_counted),
    ("restarts::between_two_runs", between_two_runs),
    ("restarts::a_policy_can_be_changed", a_policy_can_be_changed),
    ("restarts::a_restart_that_fails_is_the_last", a_restart_that_fails),
    ("restarts::a_back_off_outlives_its_engine", a_back_off_outlives_its_engine),
    ("restarts::after_a_reboot", after_a_reboot),
];

fn wanted(name: &str, policy: &str, maximum: i64, command: &[&str]) -> Request {
    let mut r = Request { name: Some(name.into()), stop_timeout: Some(0), ..request(command) };
    r.host.restart = Some((policy.into(), maximum));
    r
}

async fn begin(engine: &Engine, request: Request) -> String {
    let (id, _) = engine.create(request).await.unwrap();
    engine.start(&id).await.unwrap();
    id
}

/// Waits until it is between two runs for so long that a test can look.
async fn until_restarting(engine: &Engine, name: &str) -> std::sync::Arc<Container> {
    let look = || {
        let state = engine.container(name).unwrap().state.clone();
        state.status == Status::Restarting && state.restarts.delay_ms >= 800
    };
    eventually("it waits", look).await;
    engine.container(name).unwrap()
}

fn failures_are_counted() {
    with_engine(|f| async move {
        let engine = &f.engine;
        let (_, mut events) = engine.events(dhow_engine::events::Range::default());
        let (id, _) = engine.create(wanted("cc", "on-failure", 2, &["sh", "-c", "exit 3"])).await.unwrap();
        let first = engine.wait("cc", WaitFor::NextExit).await.unwrap();
        engine.start("cc").await.unwrap();
        assert_eq!(first.await.unwrap().0, 3);
        eventually("it gave up", || engine.container("cc").unwrap().state.status == Status::Exited).await;
        let state = engine.container("cc").unwrap().state.clone();
        assert_eq!((state.restarts.count, state.restarts.delay_ms, state.exit_code), (2, 200, 3));
        assert!(state.finished_at.unwrap() >= state.started_at.unwrap());
        let mut told = Vec::new();
        while let Ok(event) = events.try_recv() {
            told.push(event.action.clone());
        }
        let run = ["connect", "start", "disconnect", "die"];
        assert_eq!(told, [&["create"][..], &run, &run, &run].concat());
        // A start by hand begins anew.
        engine.start(&id).await.unwrap();
        eventually("it gave up again", || engine.container("cc").unwrap().state.status == Status::Exited).await;
        assert_eq!(engine.container("cc").unwrap().state.restarts.count, 2);
        // What succeeds is not started again.
        begin(engine, wanted("good", "on-failure", 0, &["true"])).await;
        eventually("it ended", || engine.container("good").unwrap().state.status == Status::Exited).await;
        assert_eq!(engine.container("good").unwrap().state.restarts.count, 0);
    });
}

fn between_two_runs() {
    with_engine(|f| async move {
        let engine = &f.engine;
        let id = begin(engine, wanted("cc", "always", 0, &["sh", "-c", "exit 5"])).await;
        let state = until_restarting(engine, "cc").await.state.clone();
        assert_eq!((state.pid, state.exit_code), (0, 5));
        assert_eq!(engine.start("cc").await.unwrap_err().kind, Kind::NotModified);
        let busy = format!("Container {id} is restarting, wait until the container is running");
        assert_eq!(engine.pause("cc").await.unwrap_err().message, busy);
        assert_eq!(engine.unpause("cc").await.unwrap_err().message, format!("Container {id} is not paused"));
        let exec = ExecRequest { command: vec!["true".into()], ..ExecRequest::default() };
        assert_eq!(engine.exec_create("cc", exec).await.unwrap_err().message, busy);
        let attach = AttachRequest { stream: true, ..AttachRequest::default() };
        assert_eq!(
            engine.check_attach("cc", &attach).unwrap_err().message,
            "container cc is restarting, wait until the container is running"
        );
        assert_eq!(
            engine.remove("cc", false, false).await.unwrap_err().message,
            "cannot remove container \"cc\": container is restarting: stop the container before removing or force remove"
        );
        let mut joins = request(&["true"]);
        joins.host.pid = NamespaceMode::Container(id.clone());
        let (joining, _) = engine.create(joins).await.unwrap();
        assert_eq!(engine.start(&joining).await.unwrap_err().message, busy);

        // A stop ends the waiting, and only a stop is told.
        until_restarting(engine, "cc").await;
        let (_, mut events) = engine.events(dhow_engine::events::Range::default());
        let ended = engine.wait("cc", WaitFor::NotRunning).await.unwrap();
        engine.stop("cc", None, None).await.unwrap();
        assert_eq!(ended.await.unwrap().0, 5);
        assert_eq!(events.try_recv().unwrap().action, "stop");
        assert!(events.try_recv().is_err());
        let stopped = engine.container("cc").unwrap().state.clone();
        assert_eq!((stopped.status, stopped.exit_code), (Status::Exited, 5));

        // A kill, too, and a forced removal.
        for action in ["kill", "rm"] {
            engine.start("cc").await.unwrap();
            until_restarting(engine, "cc").await;
            match action {
                "kill" => engine.kill("cc", Some("TERM")).await.unwrap(),
                _ => engine.remove("cc", true, false).await.unwrap(),
            }
        }
        assert_eq!(engine.container("cc").unwrap_err().kind, Kind::NotFound);

        // A restart by hand begins the next run at once.
        begin(engine, wanted("dd", "always", 0, &["sh", "-c", "exit 5"])).await;
        until_restarting(engine, "dd").await;
        engine.restart("dd", None, None).await.unwrap();
        assert!(engine.container("dd").unwrap().state.restarts.count <= 1);
    });
}

fn a_policy_can_be_changed() {
    with_engine(|f| async move {
        let engine = &f.engine;
        let policy = |name: &str, maximum| Some((name.to_owned(), maximum));
        begin(engine, wanted("cc", "no", 0, &["sh", "-c", "sleep 0.3; exit 1"])).await;
        engine.update("cc", Resources::default(), policy("on-failure", 1)).await.unwrap();
        eventually("it was started again", || engine.container("cc").unwrap().state.restarts.count == 1).await;
        assert_eq!(
            engine.update("cc", Resources::default(), policy("always", 1)).await.unwrap_err().message,
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        );
        let id = begin(engine, Request { auto_remove: true, ..request(&["sleep", "1000"]) }).await;
        let refused = engine.update(&id, Resources::default(), policy("always", 0)).await.unwrap_err();
        assert_eq!(
            (refused.kind, refused.message),
            (
                Kind::Conflict,
                format!("Cannot update container {id}: Restart policy cannot be updated because AutoRemove is enabled for the container")
            )
        );
        engine.update(&id, Resources::default(), policy("no", 0)).await.unwrap();
    });
}

fn a_restart_that_fails() {
    with_engine(|f| async move {
        let engine = &f.engine;
        let dir = f.root().join("bound");
        std::fs::create_dir(&dir).unwrap();
        let mut r = wanted("cc", "always", 0, &["sh", "-c", "exit 4"]);
        r.host.mounts = vec![dhow_engine::model::Mount {
            kind: dhow_engine::model::MountKind::Bind,
            source: dir.clone(),
            target: "/tmp".into(),
            read_only: false,
            bind: Default::default(),
            propagation: String::new(),
            create_source: false,
            options: Vec::new(),
            volume: None,
            image: None,
            inherited: false,
        }];
        begin(engine, r).await;
        std::fs::remove_dir(&dir).unwrap();
        eventually("it gave up", || engine.container("cc").unwrap().state.status == Status::Exited).await;
        let state = engine.container("cc").unwrap().state.clone();
        assert_eq!(state.exit_code, 4);
        assert!(state.error.contains("bind source path does not exist"), "{}", state.error);
    });
}

async fn open(root: &Path) -> Engine {
    Engine::open(options(root)).await.unwrap()
}

fn a_back_off_outlives_its_engine() {
    let root = tempfile::tempdir().unwrap();
    in_runtime(async {
        let engine = open(root.path()).await;
        import(&engine).await;
        begin(&engine, wanted("cc", "always", 0, &["sh", "-c", "exit 6"])).await;
        begin(&engine, wanted("dd", "always", 0, &["sleep", "1000"])).await;
        engine.stop("dd", None, None).await.unwrap();
        begin(&engine, wanted("ee", "unless-stopped", 0, &["sleep", "1000"])).await;
        engine.stop("ee", None, None).await.unwrap();
        let before = until_restarting(&engine, "cc").await.state.clone();
        engine.close().await;
        drop(engine);

        let engine = open(root.path()).await;
        let after = engine.container("cc").unwrap().state.clone();
        assert_eq!((after.status, after.restarts.due), (Status::Restarting, before.restarts.due));
        eventually("it goes on", || engine.container("cc").unwrap().state.restarts.count > before.restarts.count).await;
        // What was stopped by hand stays so where the policy says so.
        eventually("it runs again", || engine.container("dd").unwrap().state.status == Status::Running).await;
        assert_eq!(engine.container("ee").unwrap().state.status, Status::Exited);
        end(&engine, root.path()).await;
    });
}

/// Ends a container as the end of the machine does: its shim, its processes, and everything under `/run`.
fn pull_the_plug(engine_root: &Path, pids: &[i32]) {
    use rustix::process::{Pid, Signal, kill_process};
    // All shims first: none may see its container end. Who shares another's processes ends with it, and may be gone before its turn.
    let all: Vec<i32> = pids.iter().map(|pid| parent(*pid)).chain(pids.iter().copied()).collect();
    for pid in &all {
        match kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => panic!("kill {pid}: {error}"),
        }
    }
    let lives = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while all.iter().any(lives) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let run = engine_root.join("x");
    for pin in std::fs::read_dir(run.join("netns")).into_iter().flatten().flatten() {
        rustix::mount::unmount(pin.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
    std::fs::remove_dir_all(&run).unwrap();
    let parent = options(engine_root).cgroup_parent;
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let dir = hierarchy.path().join(parent.trim_start_matches('/'));
        for group in std::fs::read_dir(&dir).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
            // Its last process may take a moment to go.
            while std::fs::remove_dir(group.path()).is_err() {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
    }
}

fn after_a_reboot() {
    let root = tempfile::tempdir().unwrap();
    in_runtime(async {
        let engine = open(root.path()).await;
        import(&engine).await;
        let sleep = ["sleep", "1000"];
        for (name, policy) in [("no", "no"), ("target", "always"), ("kept", "unless-stopped"), ("failed", "on-failure")] {
            begin(&engine, wanted(name, policy, 0, &sleep)).await;
        }
        // Made before its target would be tried, were it not for the order.
        let mut joins = wanted("joins", "always", 0, &sleep);
        joins.host.pid = NamespaceMode::Container(engine.container("target").unwrap().id.clone());
        begin(&engine, joins).await;
        engine.create(wanted("made", "always", 0, &sleep)).await.unwrap();
        let pids: Vec<i32> = engine.containers().iter().map(|c| c.state.pid).filter(|pid| *pid > 0).collect();
        engine.close().await;
        drop(engine);
        pull_the_plug(root.path(), &pids);

        let engine = open(root.path()).await;
        for name in ["target", "joins", "kept", "failed"] {
            eventually(&format!("{name} runs again"), || engine.container(name).unwrap().state.status == Status::Running).await;
        }
        let lost = engine.container("no").unwrap().state.clone();
        assert_eq!((lost.status, lost.exit_code), (Status::Exited, 255));
        assert_eq!(engine.container("made").unwrap().state.status, Status::Created);
        end(&engine, root.path()).await;
    });
}
