//! Containers from create to removal.

use crate::Test;
use crate::fixture::{Outcome, eventually, request, run, with_engine};
use dhow_engine::client::ExecStart;
use dhow_engine::container::WaitFor;
use dhow_engine::error::Kind;
use dhow_engine::logs::model::LogRequest;
use dhow_engine::model::{ExecRequest, Mount, MountKind, Request, Resources, Status};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = &[
    ("lives::a_run_ends_with_its_code_and_leaves_nothing", a_run_ends_with_its_code_and_leaves_nothing),
    ("lives::states_and_events_in_dockers_order", states_and_events_in_dockers_order),
    ("lives::programs_that_cannot_run", programs_that_cannot_run),
    ("lives::users_environment_and_limits", users_environment_and_limits),
    ("lives::binds_and_read_only", binds_and_read_only),
    ("lives::restart_keeps_what_is_to_be_removed_at_its_end", restart_keeps),
    ("lives::an_init_reaps_and_hands_on", an_init_reaps_and_hands_on),
    ("lives::an_update_changes_a_running_container", an_update_changes_a_running_container),
    ("lives::a_stop_that_waits_holds_nobody_up", a_stop_that_waits_holds_nobody_up),
    ("lives::out_of_memory_is_told", out_of_memory_is_told),
    ("lives::two_engines_side_by_side", two_engines_side_by_side),
];

fn a_run_ends_with_its_code_and_leaves_nothing() {
    with_engine(|f| async move {
        let outcome =
            run(&f.engine, Request { auto_remove: true, ..request(&["sh", "-c", "echo out; echo err >&2; exit 3"]) }).await.unwrap();
        assert_eq!(outcome, Outcome { code: 3, out: "out\n".into(), err: "err\n".into() });
        assert!(f.engine.containers().is_empty());
        let mut times = Vec::new();
        // Rested between samples: network namespaces are torn down in the background, and a tight loop would wait for that.
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let begun = Instant::now();
            run(&f.engine, Request { auto_remove: true, ..request(&["true"]) }).await.unwrap();
            times.push(begun.elapsed());
        }
        times.sort();
        println!("run --rm true: median {:?}, best {:?}", times[5], times[0]);
        eventually("directories are deleted", || std::fs::read_dir(f.root().join("data/containers")).unwrap().count() == 0).await;
    });
}

fn states_and_events_in_dockers_order() {
    with_engine(|f| async move {
        let engine = &f.engine;
        let (_, mut events) = engine.events(dhow_engine::events::Range::default());
        let wanted = Request { name: Some("web".into()), stop_timeout: Some(1), ..request(&["sleep", "1000"]) };
        let (id, _) = engine.create(wanted.clone()).await.unwrap();
        let status = || engine.container("web").unwrap().state.status;
        assert_eq!(status(), Status::Created);
        let taken = engine.create(wanted).await.unwrap_err();
        assert_eq!(taken.kind, Kind::Conflict);
        assert!(taken.message.starts_with("Conflict. The container name \"/web\" is already in use by container"), "{taken}");
        assert_eq!(
            engine.kill("web", None).await.unwrap_err().message,
            format!("cannot kill container: web: container {id} is not running")
        );
        assert_eq!(engine.stop("web", None, None).await.unwrap_err().kind, Kind::NotModified);
        engine.start("web").await.unwrap();
        assert_eq!(status(), Status::Running);
        assert_eq!(engine.start("web").await.unwrap_err().kind, Kind::NotModified);
        assert_eq!(
            engine.remove("web", false, false).await.unwrap_err().message,
            "cannot remove container \"web\": container is running: stop the container before removing or force remove"
        );
        engine.pause("web").await.unwrap();
        assert_eq!(status(), Status::Paused);
        assert_eq!(engine.pause("web").await.unwrap_err().message, format!("Container {id} is already paused"));
        assert_eq!(engine.start("web").await.unwrap_err().message, "cannot start a paused container, try unpause instead");
        engine.unpause("web").await.unwrap();
        assert_eq!(engine.unpause("web").await.unwrap_err().message, format!("Container {id} is not paused"));
        engine.rename("web", "site").await.unwrap();
        assert_eq!(engine.container("web").unwrap_err().message, "No such container: web");
        assert_eq!(engine.rename("site", "site").await.unwrap_err().message, "Renaming a container with the same name as its current name");
        // Its sleep is the first process and knows no SIGTERM: the kill follows.
        engine.stop("site", None, None).await.unwrap();
        let container = engine.container("site").unwrap();
        assert_eq!((container.state.status, container.state.exit_code), (Status::Exited, 137));
        assert!(container.state.finished_at >= container.state.started_at);
        assert_eq!(engine.wait("site", WaitFor::NotRunning).await.unwrap().await.unwrap(), (137, None));
        engine.remove("site", false, false).await.unwrap();
        assert_eq!(engine.remove("site", false, false).await.unwrap_err().kind, Kind::NotFound);
        let mut told = Vec::new();
        while let Ok(event) = events.try_recv() {
            told.push(event.action.clone());
        }
        let life = ["create", "connect", "start", "pause", "unpause", "rename", "kill", "kill", "disconnect", "die", "stop", "destroy"];
        assert_eq!(told, life);
    });
}

fn programs_that_cannot_run() {
    with_engine(|f| async move {
        const PREFIX: &str = "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: ";
        for (program, code, text) in [
            ("nosuch", 127, "\"nosuch\": executable file not found in $PATH: unknown"),
            ("/nosuch", 127, "\"/nosuch\": stat /nosuch: no such file or directory: unknown"),
            ("/etc/plain", 126, "\"/etc/plain\": permission denied: unknown"),
            ("/etc", 126, "\"/etc\": is a directory: unknown"),
        ] {
            let (id, _) = f.engine.create(request(&[program])).await.unwrap();
            let error = f.engine.start(&id).await.unwrap_err();
            assert_eq!(error.message, format!("{PREFIX}{text}"));
            let container = f.engine.container(&id).unwrap();
            assert_eq!((container.state.status, container.state.exit_code), (Status::Created, code), "{program}");
            assert_eq!(container.state.error, error.message);
            let removed = Request { auto_remove: true, ..request(&[program]) };
            assert_eq!(run(&f.engine, removed).await.unwrap_err().message, error.message);
            assert_eq!(f.engine.containers().iter().filter(|c| c.request.auto_remove).count(), 0);
        }
        let (id, _) = f.engine.create(Request { user: "nobodyhere".into(), ..request(&["true"]) }).await.unwrap();
        let error = f.engine.start(&id).await.unwrap_err();
        assert_eq!(error.message, "unable to find user nobodyhere: no matching entries in passwd file");
        let error = f.engine.create(Request { image: "nope".into(), ..request(&["true"]) }).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (Kind::NotFound, "No such image: nope:latest"));
    });
}

fn users_environment_and_limits() {
    with_engine(|f| async move {
        let out = |r: Request| {
            let engine = f.engine.clone();
            async move { run(&engine, Request { auto_remove: true, ..r }).await.unwrap().out }
        };
        assert_eq!(out(request(&["id"])).await, "uid=0(root) gid=0(root) groups=0(root),10(wheel)\n");
        assert_eq!(out(Request { user: "web".into(), ..request(&["id"]) }).await, "uid=33(web) gid=34(www) groups=34(www)\n");
        assert_eq!(out(Request { user: "1234:5".into(), ..request(&["id"]) }).await, "uid=1234 gid=5 groups=5\n");
        let env = Request { env: vec!["A=1".into()], hostname: "h".into(), ..request(&["env"]) };
        assert_eq!(out(env).await, "PATH=/bin\nHOSTNAME=h\nA=1\nFROM=image\nHOME=/root\n");
        assert_eq!(out(Request { hostname: "box".into(), ..request(&["hostname"]) }).await, "box\n");
        let mut limited =
            request(&["sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"]);
        limited.host.resources = Resources { memory: 64 << 20, ..Resources::default() };
        assert_eq!(out(limited).await, "67108864\n");
    });
}

fn binds_and_read_only() {
    with_engine(|f| async move {
        let source = f.root().join("made/for/it");
        let mut r = request(&["sh", "-c", "echo x >/in/file; echo y 2>/dev/null >/root-file || echo ro; cat /etc/hostname"]);
        r.auto_remove = true;
        r.host.read_only = true;
        r.hostname = "h".into();
        r.host.mounts = vec![Mount {
            kind: MountKind::Bind,
            source: source.clone(),
            target: "/in".into(),
            read_only: false,
            bind: Default::default(),
            propagation: String::new(),
            create_source: true,
            options: vec![],
            volume: None,
            image: None,
            inherited: false,
        }];
        let outcome = run(&f.engine, r).await.unwrap();
        assert_eq!(outcome.out, "ro\nh\n", "{outcome:?}");
        assert_eq!(std::fs::read_to_string(source.join("file")).unwrap(), "x\n");
    });
}

fn restart_keeps() {
    with_engine(|f| async move {
        let engine = &f.engine;
        let r = Request { auto_remove: true, ..request(&["sh", "-c", "echo begun; exec sleep 1000"]) };
        let (id, _) = engine.create(r).await.unwrap();
        engine.start(&id).await.unwrap();
        let first = engine.container(&id).unwrap().state.pid;
        engine.restart(&id, Some("KILL"), Some(1)).await.unwrap();
        let again = engine.container(&id).unwrap();
        assert_eq!(again.state.status, Status::Running);
        assert_ne!(again.state.pid, first);
        let removed = engine.wait(&id, WaitFor::Removed).await.unwrap();
        engine.kill(&id, None).await.unwrap();
        assert_eq!(removed.await.unwrap().0, 137);
        assert_eq!(engine.container(&id).unwrap_err().kind, Kind::NotFound);
    });
}

fn an_init_reaps_and_hands_on() {
    with_engine(|f| async move {
        let mut r = request(&["sh", "-c", "echo $$; cat /proc/1/cmdline | tr '\\0' ' '; exit 6"]);
        r.host.init = true;
        r.auto_remove = true;
        let outcome = run(&f.engine, r).await.unwrap();
        assert_eq!(outcome.code, 6, "{outcome:?}");
        assert!(outcome.out.contains("/sbin/docker-init -- sh -c"), "{outcome:?}");
        assert!(!outcome.out.starts_with("1\n"), "{outcome:?}");
    });
}

fn an_update_changes_a_running_container() {
    with_engine(|f| async move {
        let engine = &f.engine;
        let mut r = request(&["sleep", "1000"]);
        r.host.resources = Resources { pids_limit: Some(20), ..Resources::default() };
        let (id, _) = engine.create(r).await.unwrap();
        engine.start(&id).await.unwrap();
        engine.update(&id, Resources { pids_limit: Some(-1), memory: 64 << 20, ..Resources::default() }, None).await.unwrap();
        let resources = engine.container(&id).unwrap().request.host.resources.clone();
        assert_eq!((resources.pids_limit, resources.memory), (Some(0), 64 << 20));
        let error = engine.update(&id, Resources { memory: 1, ..Resources::default() }, None).await.unwrap_err();
        assert_eq!(error.message, "Minimum memory limit allowed is 6MB");
    });
}

fn a_stop_that_waits_holds_nobody_up() {
    with_engine(|f| async move {
        let engine = f.engine.clone();
        let r = Request { name: Some("deaf".into()), stop_signal: Some("USR1".into()), ..request(&["sleep", "1000"]) };
        let (id, _) = engine.create(r).await.unwrap();
        engine.start("deaf").await.unwrap();
        let stop = tokio::spawn({
            let engine = engine.clone();
            async move { engine.stop("deaf", None, Some(-1)).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(engine.containers().len(), 1);
        engine.rename("deaf", "mute").await.unwrap();
        let exec = ExecRequest { command: vec!["true".into()], ..ExecRequest::default() };
        let exec = engine.exec_create("mute", exec).await.unwrap();
        engine.exec_claim(&exec).await.unwrap();
        engine.exec_start(&exec, ExecStart::default()).await.unwrap();
        assert!(!stop.is_finished());
        engine.kill(&id, Some("9")).await.unwrap();
        stop.await.unwrap().unwrap();
        assert_eq!(engine.container("mute").unwrap().state.exit_code, 137);
    });
}

fn out_of_memory_is_told() {
    with_engine(|f| async move {
        let engine = &f.engine;
        let mut r = request(&["tail", "-c", "200m", "/dev/zero"]);
        r.host.resources = Resources { memory: 32 << 20, ..Resources::default() };
        let (_, mut events) = engine.events(dhow_engine::events::Range::default());
        let (id, _) = engine.create(r).await.unwrap();
        let end = engine.wait(&id, WaitFor::NextExit).await.unwrap();
        engine.start(&id).await.unwrap();
        assert_eq!(end.await.unwrap().0, 137);
        assert!(engine.container(&id).unwrap().state.oom_killed);
        let mut told = Vec::new();
        while let Ok(event) = events.try_recv() {
            told.push(event.action.clone());
        }
        assert!(told.contains(&"oom".to_owned()), "{told:?}");
    });
}

fn two_engines_side_by_side() {
    with_engine(|one| async move {
        let root = tempfile::tempdir().unwrap();
        let two = dhow_engine::Engine::open(crate::fixture::options(root.path())).await.unwrap();
        crate::fixture::import(&two).await;
        let named = || Request { name: Some("same".into()), ..request(&["sh", "-c", "echo x; exec sleep 1000"]) };
        for engine in [&one.engine, &two] {
            engine.create(named()).await.unwrap();
            engine.start("same").await.unwrap();
        }
        let third = dhow_engine::Engine::open(crate::fixture::options(root.path())).await.unwrap_err();
        assert!(third.message.starts_with("another engine holds"), "{third}");
        two.remove("same", true, false).await.unwrap();
        assert_eq!(one.engine.container("same").unwrap().state.status, Status::Running);
        two.close().await;
        crate::fixture::assert_clean(root.path());
        let mut lines = one.engine.logs("same", LogRequest { stdout: true, ..LogRequest::default() }).await.unwrap();
        assert_eq!(lines.recv().await.unwrap().unwrap()[0].text, b"x\n");
    });
}
