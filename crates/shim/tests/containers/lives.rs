//! Starts, exits, signals, execs, limits, and what is left behind.

use crate::Test;
use crate::fixture::*;
use dhow_runtime::Kind;
use dhow_shim::config::{AttachConfig, UpdateConfig};
use dhow_shim::handle::{Error, Event, Spawner, recorded_exit};
use dhow_shim::protocol::State;
use std::io::Write;
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = &[
    ("lives::exit_code_output_and_nothing_left", exit_code_output_and_nothing_left),
    ("lives::many_short_lives", many_short_lives),
    ("lives::failures_leave_nothing", failures_leave_nothing),
    ("lives::signals", signals),
    ("lives::exec", exec_runs),
    ("lives::exec_failures", exec_failures),
    ("lives::exec_that_leaves_a_child", exec_that_leaves_a_child),
    ("lives::pause_usage_update_root", pause_usage_update_root),
    ("lives::shared_pid_namespace_ends_by_cgroup", shared_pid_namespace_ends_by_cgroup),
    ("lives::pinned_network_namespace", pinned_network_namespace),
    ("lives::out_of_memory", out_of_memory),
    ("lives::name_and_descriptors_of_a_shim", name_and_descriptors_of_a_shim),
    ("lives::times_of_a_start_and_an_exec", times_of_a_start_and_an_exec),
    ("lives::exit_beside_a_busy_disk", exit_beside_a_busy_disk),
    ("lives::memory_of_ten_shims", memory_of_ten_shims),
    ("lives::nothing_of_the_shim_in_the_container", nothing_of_the_shim_in_the_container),
];

fn exit_code_output_and_nothing_left() {
    block_on(async {
        let place = Place::new();
        let (_spawner, mut running) = run(place.script("echo out; echo err >&2; echo -n part; exit 42")).await;
        let State::Running { pid, start_time, at } = running.state else { panic!("{:?}", running.state) };
        assert!(pid > 0 && start_time > 0 && at > 0);
        let names: Vec<&str> = running.timings.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["received", "cgroup", "create", "start", "announce", "total"] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        let code = exit(&mut running).await;
        assert_eq!(code, 42);
        let recorded = recorded_exit(&place.dir()).unwrap().unwrap();
        assert_eq!((recorded.code, recorded.oom), (42, false));
        running.shim.release().await.unwrap();
        assert!(!place.dir().exists());
        let mut entries = place.entries();
        entries.sort();
        let expect = [("stderr", "err\n"), ("stdout", "out\n"), ("stdout", "part")];
        assert_eq!(entries, expect.map(|(s, t)| (s.to_owned(), t.to_owned())));
    });
}

fn many_short_lives() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        for n in 0..20 {
            let place = Place::new();
            let mut running = spawner.spawn(place.script(&format!("exit {n}")), Vec::new()).await.unwrap();
            assert_eq!(exit_and_release(&place, &mut running).await, n);
        }
    });
}

fn failures_leave_nothing() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        for (args, kind) in [(["/bin/nosuch"], Kind::NotFound), (["/etc"], Kind::IsDirectory)] {
            let place = Place::new();
            let error = spawner.spawn(place.config(&args), Vec::new()).await.unwrap_err();
            let Error::Refused(failure) = error else { panic!("{error:?}") };
            assert_eq!(failure.kind, kind, "{failure:?}");
            assert!(!place.dir().exists());
        }
        // The clients' sockets are the daemon's again: it had kept a copy.
        let place = Place::new();
        let (mut theirs, ours) = client();
        let kept = ours.try_clone().unwrap();
        let mut config = place.config(&["/bin/nosuch"]);
        config.attach = vec![everything()];
        spawner.spawn(config, vec![ours]).await.unwrap_err();
        std::fs::File::from(kept).write_all(b"why").unwrap();
        assert_eq!(rest(&mut theirs), "why");
        // The spawner goes on.
        let place = Place::new();
        let mut running = spawner.spawn(place.script("exit 0"), Vec::new()).await.unwrap();
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
    });
}

fn signals() {
    block_on(async {
        let place = Place::new();
        let script = "trap 'echo got; exit 7' TERM; echo ready; while :; do usleep 1000; done";
        let mut config = place.script(script);
        let (mut theirs, ours) = client();
        config.attach = vec![AttachConfig { stdin: false, ..everything() }];
        let (_spawner, mut running) = run_with(config, vec![ours]).await;
        expect(&mut theirs, "ready");
        assert!(matches!(running.shim.kill(1000, false).await, Err(Error::Refused(_))));
        assert!(matches!(running.shim.release().await, Err(Error::Refused(_))), "it still runs");
        running.shim.kill(15, false).await.unwrap();
        assert_eq!(rest(&mut theirs), "got\n");
        assert_eq!(exit(&mut running).await, 7);
        let Err(Error::Refused(failure)) = running.shim.kill(15, false).await else { panic!("it has ended") };
        assert_eq!(failure.kind, Kind::NotRunning);
        running.shim.release().await.unwrap();

        let place = Place::new();
        let (_spawner, mut running) = run(place.config(&["/bin/sleep", "100"])).await;
        running.shim.kill(9, false).await.unwrap();
        assert_eq!(exit_and_release(&place, &mut running).await, 137);

        let place = Place::new();
        let (_spawner, mut running) = run(place.script("sleep 100 & sleep 100; exit 3")).await;
        running.shim.kill(9, true).await.unwrap();
        assert_eq!(exit_and_release(&place, &mut running).await, 137);
    });
}

fn exec_runs() {
    block_on(async {
        let place = Place::new();
        let (_spawner, mut running) = run(place.config(&["/bin/sleep", "100"])).await;
        // Output, errors in frames, input to its end, code.
        let (mut theirs, ours) = client();
        let mut config = exec("e1", "cat; echo err >&2; exit 9", false);
        config.attach = Some(AttachConfig { framed: true, ..everything() });
        assert!(running.shim.exec(config, Some(ours)).await.unwrap() > 0);
        theirs.write_all(b"typed").unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(rest(&mut theirs), "\x01\0\0\0\0\0\0\x05typed\x02\0\0\0\0\0\0\x04err\n");
        running.shim.sync().await.unwrap();
        let event = running.events.try_recv().unwrap();
        assert!(matches!(&event, Event::ExecExited { exec, code: 9 } if exec == "e1"), "{event:?}");
        // A terminal, resized.
        let (mut theirs, ours) = client();
        let mut config = exec("e2", "stty size; read x; stty size; exit 0", true);
        config.console_size = Some((11, 22));
        config.attach = Some(everything());
        running.shim.exec(config, Some(ours)).await.unwrap();
        expect(&mut theirs, "11 22");
        running.shim.resize(Some("e2"), 33, 44).await.unwrap();
        theirs.write_all(b"\n").unwrap();
        assert!(rest(&mut theirs).contains("33 44"));
        assert!(matches!(next(&mut running).await, Event::ExecExited { code: 0, .. }));
        // Several at once, one of them detached, one killed.
        for n in 0..5 {
            running.shim.exec(exec(&format!("d{n}"), &format!("usleep 20000; exit {n}"), false), None).await.unwrap();
        }
        running.shim.exec(exec("k", "sleep 100", false), None).await.unwrap();
        running.shim.exec_kill("k", 9).await.unwrap();
        let mut codes = Vec::new();
        for _ in 0..6 {
            let Event::ExecExited { exec, code } = next(&mut running).await else { panic!() };
            codes.push((exec, code));
        }
        codes.sort();
        let mut expected: Vec<_> = (0..5).map(|n| (format!("d{n}"), n)).collect();
        expected.push(("k".to_owned(), 137));
        assert_eq!(codes, expected);
        // The end of the container ends it too, and is told after it.
        running.shim.exec(exec("last", "sleep 100", false), None).await.unwrap();
        running.shim.kill(9, false).await.unwrap();
        assert!(matches!(next(&mut running).await, Event::ExecExited { code: 137, .. }));
        assert_eq!(exit_and_release(&place, &mut running).await, 137);
    });
}

fn exec_failures() {
    block_on(async {
        let place = Place::new();
        let (_spawner, mut running) = run(place.config(&["/bin/sleep", "100"])).await;
        let mut config = exec("x", "", false);
        config.process.set_args(Some(vec!["nosuch".to_owned()]));
        let Err(Error::Refused(failure)) = running.shim.exec(config, None).await else { panic!() };
        assert_eq!(failure.kind, Kind::NotFound);
        let mut config = exec("y", "true", false);
        config.attach = Some(everything());
        assert!(matches!(running.shim.exec(config, None).await, Err(Error::Refused(_))), "no socket");
        assert!(matches!(running.shim.exec_kill("nosuch", 9).await, Err(Error::Refused(_))));
        assert!(matches!(running.shim.resize(Some("nosuch"), 1, 1).await, Err(Error::Refused(_))));
        running.shim.kill(9, false).await.unwrap();
        exit(&mut running).await;
        let Err(Error::Refused(failure)) = running.shim.exec(exec("z", "true", false), None).await else { panic!() };
        assert_eq!(failure.kind, Kind::NotRunning);
        running.shim.release().await.unwrap();
    });
}

fn exec_that_leaves_a_child() {
    block_on(async {
        let place = Place::new();
        let (_spawner, mut running) = run(place.config(&["/bin/sleep", "100"])).await;
        let (mut theirs, ours) = client();
        let mut config = exec("e", "sleep 50 & echo done", false);
        config.attach = Some(everything());
        let began = Instant::now();
        running.shim.exec(config, Some(ours)).await.unwrap();
        assert!(matches!(next(&mut running).await, Event::ExecExited { code: 0, .. }));
        assert!(began.elapsed() < Duration::from_secs(5), "its child holds the output open");
        assert_eq!(rest(&mut theirs), "done\n");
        running.shim.kill(9, false).await.unwrap();
        assert_eq!(exit_and_release(&place, &mut running).await, 137);
    });
}

fn pause_usage_update_root() {
    block_on(async {
        let place = Place::new();
        let (_spawner, mut running) = run(place.script("echo x > /file; i=0; while :; do i=$((i+1)); done")).await;
        running.shim.pause().await.unwrap();
        let first = running.shim.usage().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let second = running.shim.usage().await.unwrap();
        assert!(second.cpu_total - first.cpu_total < 5_000_000, "{first:?} {second:?}");
        assert!(matches!(running.shim.exec(exec("p", "true", false), None).await, Err(Error::Refused(_))), "paused");
        running.shim.resume().await.unwrap();
        let resources = serde_json::from_str(r#"{"memory":{"limit":67108864}}"#).unwrap();
        running.shim.update(UpdateConfig { resources }).await.unwrap();
        assert_eq!(running.shim.usage().await.unwrap().memory_limit, Some(67_108_864));
        let root = running.shim.root().await.unwrap();
        // The container may have been frozen before its first word was done.
        let there = || rustix::fs::openat(&root, "file", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).is_ok();
        let began = Instant::now();
        while !there() {
            assert!(began.elapsed() < Duration::from_secs(20), "the container's file is not in its root");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // A paused one can be killed.
        running.shim.pause().await.unwrap();
        running.shim.kill(9, false).await.unwrap();
        assert_eq!(exit(&mut running).await, 137);
        assert!(running.shim.root().await.is_ok(), "the root is kept");
        drop(root);
        running.shim.release().await.unwrap();
    });
}

fn shared_pid_namespace_ends_by_cgroup() {
    block_on(async {
        let place = Place::new();
        let mut config = place.script("sleep 100 & echo $!; exit 5");
        let linux = config.spec.linux_mut().as_mut().unwrap();
        let mut namespaces = linux.namespaces().clone().unwrap();
        namespaces.retain(|ns| ns.typ() != oci_spec::runtime::LinuxNamespaceType::Pid);
        linux.set_namespaces(Some(namespaces));
        let (_spawner, mut running) = run(config).await;
        assert_eq!(exit_and_release(&place, &mut running).await, 5);
        let pid: i32 = place.logged().trim().parse().unwrap();
        assert!(dhow_sys::process::pidfd_open(pid).is_err(), "{pid} lives");
    });
}

fn pinned_network_namespace() {
    block_on(async {
        let place = Place::new();
        let pin = place.path().join("netns/x");
        let mut config = place.config(&["/bin/sleep", "100"]);
        config.pin_netns = Some(pin.clone());
        let (_spawner, mut running) = run(config).await;
        running.shim.sync().await.unwrap();
        let State::Running { pid, .. } = running.state else { panic!() };
        let inode = |path: &std::path::Path| rustix::fs::stat(path).unwrap().st_ino;
        assert_eq!(inode(&pin), inode(format!("/proc/{pid}/ns/net").as_ref()));
        running.shim.kill(9, false).await.unwrap();
        assert_eq!(exit_and_release(&place, &mut running).await, 137);
        assert!(!pin.exists());
    });
}

fn out_of_memory() {
    block_on(async {
        let place = Place::new();
        let mut config = place.script("tail -c 200m /dev/zero | tail; read x; exit 137");
        config.open_stdin = true;
        config.stdin_once = true;
        let resources = serde_json::from_str(r#"{"memory":{"limit":33554432,"swap":33554432}}"#).unwrap();
        config.spec.linux_mut().as_mut().unwrap().set_resources(Some(resources));
        config.attach = vec![everything()];
        let (theirs, ours) = client();
        let (_spawner, mut running) = run_with(config, vec![ours]).await;
        // At once, and once.
        assert!(matches!(next(&mut running).await, Event::Oom));
        tokio::time::sleep(Duration::from_millis(50)).await;
        running.shim.sync().await.unwrap();
        assert!(running.events.try_recv().is_err());
        drop(theirs);
        let Event::Exited(exit) = next(&mut running).await else { panic!() };
        assert!(exit.oom && exit.code == 137, "{exit:?}");
        assert_eq!(recorded_exit(&place.dir()).unwrap().unwrap(), exit);
        running.shim.release().await.unwrap();
    });
}

fn name_and_descriptors_of_a_shim() {
    block_on(async {
        let place = Place::new();
        let (spawner, mut running) = run(place.config(&["/bin/sleep", "100"])).await;
        running.shim.sync().await.unwrap();
        let proc = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", running.shim.pid())).unwrap();
        let title = format!("dhow-shim {}", &place.id[..12]);
        assert_eq!(proc("cmdline").trim_end_matches('\0'), title);
        assert_ne!(Some(running.shim.pid()), spawner.pid());
        assert_eq!(std::fs::read_link(format!("/proc/{}/cwd", running.shim.pid())).unwrap(), std::path::Path::new("/"));
        for fd in 0..3 {
            let target = std::fs::read_link(format!("/proc/{}/fd/{fd}", running.shim.pid())).unwrap();
            assert_eq!(target, std::path::Path::new("/dev/null"));
        }
        running.shim.kill(9, false).await.unwrap();
        assert_eq!(exit_and_release(&place, &mut running).await, 137);
    });
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() / 2]
}

fn times_of_a_start_and_an_exec() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        let (mut starts, mut execs, mut phases) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..9 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let place = Place::new();
            let began = Instant::now();
            let mut running = spawner.spawn(place.config(&["/bin/sleep", "100"]), Vec::new()).await.unwrap();
            starts.push(began.elapsed());
            phases = running.timings.clone();
            let began = Instant::now();
            running.shim.exec(exec("e", "true", false), None).await.unwrap();
            assert!(matches!(next(&mut running).await, Event::ExecExited { code: 0, .. }));
            execs.push(began.elapsed());
            running.shim.kill(9, false).await.unwrap();
            assert_eq!(exit_and_release(&place, &mut running).await, 137);
        }
        println!("start {:?}, exec to its end {:?}, last start {phases:?}", median(starts), median(execs));
    });
}

fn exit_beside_a_busy_disk() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        let busy = tempfile::NamedTempFile::new().unwrap();
        let mut file = busy.reopen().unwrap();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = stop.clone();
        let writer = std::thread::spawn(move || {
            let block = vec![0x5a; 1 << 20];
            for n in 0..300 {
                if stopped.load(std::sync::atomic::Ordering::Relaxed) && n >= 50 {
                    break;
                }
                file.write_all(&block).unwrap();
            }
        });
        let mut waits = Vec::new();
        for _ in 0..7 {
            let place = Place::new();
            let mut config = place.script("echo something > /file; read x");
            config.root.volatile = false;
            config.open_stdin = true;
            config.stdin_once = true;
            config.attach = vec![everything()];
            let (theirs, ours) = client();
            let mut running = spawner.spawn(config, vec![ours]).await.unwrap();
            let State::Running { pid, .. } = running.state else { panic!() };
            let init = dhow_sys::process::pidfd_open(pid).unwrap();
            let ended = tokio::task::spawn_blocking(move || {
                let mut fds = [rustix::event::PollFd::new(&init, rustix::event::PollFlags::IN)];
                rustix::event::poll(&mut fds, None).unwrap();
                Instant::now()
            });
            tokio::time::sleep(Duration::from_millis(30)).await;
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            let code = exit(&mut running).await;
            let told = Instant::now();
            assert_eq!(code, 1);
            waits.push(told.saturating_duration_since(ended.await.unwrap()));
            let began = Instant::now();
            running.shim.release().await.unwrap();
            println!("told after {:?}, released after {:?}", waits.last(), began.elapsed());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap();
        assert!(median(waits) < Duration::from_millis(if cfg!(debug_assertions) { 50 } else { 5 }));
    });
}

fn memory_of_ten_shims() {
    block_on(async {
        let spawner = Spawner::start().await.unwrap();
        let mut all = Vec::new();
        for _ in 0..10 {
            let place = Place::new();
            let running = spawner.spawn(place.script("echo x; sleep 100"), Vec::new()).await.unwrap();
            all.push((place, running));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let pss = |pid: i32| memory(pid, "Pss:");
        let mean = all.iter().map(|(_, running)| pss(running.shim.pid())).sum::<u64>() / 10;
        println!("proportional set size of a shim, mean of ten: {mean} kB; spawner {} kB", pss(spawner.pid().unwrap()));
        // Without optimisation the code alone is several times as large.
        assert!(mean <= 300 || cfg!(debug_assertions), "{mean} kB");
        for (place, running) in &mut all {
            running.shim.kill(9, false).await.unwrap();
            assert_eq!(exit_and_release(place, running).await, 137);
        }
    });
}

fn nothing_of_the_shim_in_the_container() {
    block_on(async {
        let place = Place::new();
        let script = "cat /proc/self/oom_score_adj; cat /proc/self/status; ls -l /proc/self/fd; ps";
        std::os::unix::fs::symlink("busybox", place.path().join("lower/bin/ls")).unwrap();
        let (_spawner, mut running) = run(place.script(script)).await;
        assert_eq!(exit_and_release(&place, &mut running).await, 0);
        let text = place.logged();
        assert!(text.starts_with("0\n"), "{text}");
        for line in ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "Umask:\t0022"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("dhow-shim") && !text.contains("socket:"), "{text}");
    });
}
