//! Engines that come and go while containers stay.

use crate::Test;
use crate::fixture::{assert_clean, eventually, import, options, request, runtime};
use dhow_engine::Engine;
use dhow_engine::client::ExecStart;
use dhow_engine::container::WaitFor;
use dhow_engine::logs::model::LogRequest;
use dhow_engine::model::{ExecRequest, Request, Status};
use std::path::Path;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    ("adoption::a_closed_engine_leaves_containers_to_the_next", a_closed_engine),
    ("adoption::a_killed_engine_loses_nothing", a_killed_engine),
    ("adoption::a_killed_shim_ends_its_container", a_killed_shim),
];

/// Makes this binary an engine that is going to be killed.
pub(crate) const DAEMON: &str = "--engine-to-be-killed";

/// Starts containers and waits to be killed.
pub(crate) fn daemon(root: &Path) {
    runtime().block_on(async {
        let engine = Engine::open(options(root)).await.unwrap();
        import(&engine).await;
        for (name, command, auto_remove) in [
            ("stays", "i=0; while true; do i=$((i+1)); echo $i; sleep 0.01; done", false),
            ("ends", "sleep 0.5; exit 9", false),
            ("removed", "sleep 0.5; exit 9", true),
        ] {
            let r = Request { name: Some(name.into()), auto_remove, ..request(&["sh", "-c", command]) };
            engine.create(r).await.unwrap();
            engine.start(name).await.unwrap();
        }
        std::fs::write(root.join("ready"), "").unwrap();
        std::future::pending::<()>().await;
    });
}

pub(crate) fn in_runtime(test: impl Future<Output = ()>) {
    let runtime = runtime();
    runtime.block_on(test);
    runtime.shutdown_timeout(Duration::from_secs(5));
}

pub(crate) async fn end(engine: &Engine, root: &Path) {
    for container in engine.containers() {
        engine.remove(&container.id, true, true).await.unwrap();
    }
    engine.close().await;
    assert_clean(root);
}

fn a_closed_engine() {
    let root = tempfile::tempdir().unwrap();
    in_runtime(async {
        let engine = Engine::open(options(root.path())).await.unwrap();
        import(&engine).await;
        let r = Request { name: Some("c1".into()), user: "web".into(), ..request(&["sh", "-c", "sleep 2; exit 4"]) };
        engine.create(r).await.unwrap();
        engine.start("c1").await.unwrap();
        let before = engine.container("c1").unwrap();
        engine.close().await;
        drop(engine);

        let engine = Engine::open(options(root.path())).await.unwrap();
        let after = engine.container("c1").unwrap();
        assert_eq!(after.state, before.state);
        assert_eq!(after.request, before.request);
        // Its user has to be found out anew.
        let exec = ExecRequest { command: vec!["true".into()], ..ExecRequest::default() };
        let id = engine.exec_create("c1", exec).await.unwrap();
        engine.exec_claim(&id).await.unwrap();
        engine.exec_start(&id, ExecStart::default()).await.unwrap();
        let end_of_it = engine.wait("c1", WaitFor::NextExit).await.unwrap();
        assert_eq!(end_of_it.await.unwrap().0, 4);
        end(&engine, root.path()).await;
    });
}

/// How many lines the longest log has.
fn most_lines(containers: &std::path::Path) -> usize {
    let dirs = std::fs::read_dir(containers).into_iter().flatten().flatten();
    let logs = dirs.map(|dir| dir.path().join(format!("{}-json.log", dir.file_name().to_string_lossy())));
    logs.map(|log| std::fs::read_to_string(log).unwrap_or_default().lines().count()).max().unwrap_or(0)
}

fn a_killed_engine() {
    let root = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new("/proc/self/exe").arg(DAEMON).arg(root.path()).spawn().unwrap();
    in_runtime(async {
        eventually("the engine is ready", || root.path().join("ready").exists()).await;
        child.kill().unwrap();
        child.wait().unwrap();
        tokio::time::sleep(Duration::from_millis(800)).await;
        eventually("what stays goes on talking", || most_lines(&root.path().join("data/containers")) > 60).await;
        let engine = Engine::open(options(root.path())).await.unwrap();
        assert_eq!(engine.container("stays").unwrap().state.status, Status::Running);
        eventually("its end is known", || engine.container("ends").unwrap().state.status == Status::Exited).await;
        assert_eq!(engine.container("ends").unwrap().state.exit_code, 9);
        eventually("the other is removed", || engine.container("removed").is_err()).await;
        let removed = engine.wait("stays", WaitFor::NextExit).await.unwrap();
        engine.kill("stays", None).await.unwrap();
        assert_eq!(removed.await.unwrap().0, 137);
        let mut lines = engine.logs("stays", LogRequest { stdout: true, ..LogRequest::default() }).await.unwrap();
        let mut next = 1;
        while let Some(batch) = lines.recv().await {
            for line in batch.unwrap() {
                assert_eq!(String::from_utf8(line.text).unwrap(), format!("{next}\n"));
                next += 1;
            }
        }
        assert!(next > 50, "{next}");
        end(&engine, root.path()).await;
    });
}

fn a_killed_shim() {
    let root = tempfile::tempdir().unwrap();
    in_runtime(async {
        let engine = Engine::open(options(root.path())).await.unwrap();
        import(&engine).await;
        let (id, _) = engine.create(Request { name: Some("c1".into()), ..request(&["sleep", "1000"]) }).await.unwrap();
        engine.start("c1").await.unwrap();
        let pid = engine.container("c1").unwrap().state.pid;
        let shim = parent(pid);
        let titled = || std::fs::read_to_string(format!("/proc/{shim}/cmdline")).unwrap().contains(&id[..12]);
        eventually("the shim has its title", titled).await;
        let ended = engine.wait("c1", WaitFor::NextExit).await.unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(shim).unwrap(), rustix::process::Signal::KILL).unwrap();
        assert_eq!(ended.await.unwrap().0, 137);
        // Dead, if perhaps not yet reaped by whoever inherited it.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
        engine.start("c1").await.unwrap();
        assert_eq!(engine.container("c1").unwrap().state.status, Status::Running);
        end(&engine, root.path()).await;
    });
}

pub(crate) fn parent(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}
