//! Health checks: probes in a real container, with and without a daemon.

use crate::Test;
use crate::fixture::*;
use crate::survival::start_and_kill_daemon;
use dhow_shim::ShimConfig;
use dhow_shim::config::HealthConfig;
use dhow_shim::handle::{Event, Running, Shim};
use dhow_shim::health::{End, Plan, Probe, Status};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    ("health::verdicts_follow_the_probes", verdicts_follow_the_probes),
    ("health::probes_go_on_without_a_daemon", probes_go_on_without_a_daemon),
    ("health::probes_that_hang_or_cannot_run", probes_that_hang_or_cannot_run),
    ("health::an_end_ends_the_probe", an_end_ends_the_probe),
];

const MS: u64 = 1_000_000;

fn with_check(mut config: ShimConfig, args: &[&str], timeout: u64) -> ShimConfig {
    let plan = Plan { interval: 20 * MS, timeout, start_period: 0, start_interval: MS, retries: 2 };
    let mut process = config.spec.process().clone().unwrap();
    process.set_args(Some(args.iter().map(|word| (*word).to_owned()).collect()));
    config.health = Some(HealthConfig { plan, process });
    config
}

/// The next result, with the verdict and the streak. Every result was announced.
async fn result(running: &mut Running) -> (Probe, Status, u64) {
    let Event::ProbeBegan { exec: begun } = next(running).await else { panic!("no probe began") };
    match next(running).await {
        Event::Probed { exec, probe, status, streak } if exec == begun && exec.len() == 64 => (*probe, status, streak),
        other => panic!("{other:?}"),
    }
}

/// The next result with this verdict.
async fn until(running: &mut Running, wanted: Status) -> Probe {
    loop {
        match next(running).await {
            Event::Probed { probe, status, .. } if status == wanted => return *probe,
            Event::Probed { .. } | Event::ProbeBegan { .. } | Event::ExecExited { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn verdicts_follow_the_probes() {
    block_on(async {
        let place = Place::new();
        let check = "echo out; echo err >&2; test -e /tmp/ok || exit 3";
        let config = with_check(place.config(&["/bin/sleep", "100"]), &["/bin/sh", "-c", check], 10_000 * MS);
        let (_spawner, mut running) = run(config).await;
        let (probe, status, streak) = result(&mut running).await;
        assert_eq!((probe.end, status, streak), (End::Exited { code: 3 }, Status::Starting, 1));
        assert!(probe.output == "out\nerr\n" || probe.output == "err\nout\n", "{:?}", probe.output);
        assert!(probe.at > probe.start);
        let (_, status, streak) = result(&mut running).await;
        assert_eq!((status, streak), (Status::Unhealthy, 2));
        running.shim.exec(exec("e1", "echo > /tmp/ok", false), None).await.unwrap();
        until(&mut running, Status::Healthy).await;

        // A frozen container has no probes, and is not well until one has succeeded again.
        running.shim.pause().await.unwrap();
        running.shim.sync().await.unwrap();
        while running.events.try_recv().is_ok() {}
        tokio::time::sleep(Duration::from_millis(60)).await;
        running.shim.sync().await.unwrap();
        assert!(running.events.try_recv().is_err());
        let second = Shim::connect(&place.id, &place.dir()).await.unwrap();
        assert_eq!(second.health.unwrap().status, Status::Unhealthy);
        drop((running.shim, running.events));
        let mut running = Shim::connect(&place.id, &place.dir()).await.unwrap();
        running.shim.resume().await.unwrap();
        until(&mut running, Status::Healthy).await;
        running.shim.kill(9, false).await.unwrap();
        loop {
            match next(&mut running).await {
                Event::Exited(exit) => break assert_eq!(exit.code, 137),
                Event::Probed { .. } | Event::ProbeBegan { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        running.shim.release().await.unwrap();
    });
}

fn probes_go_on_without_a_daemon() {
    let place = Place::new();
    let check = ["/bin/sh", "-c", "echo x >> /tmp/n; cat /tmp/n"];
    let config = with_check(place.config(&["/bin/sleep", "100"]), &check, 10_000 * MS);
    start_and_kill_daemon(&place, &config, Duration::from_millis(300));
    block_on(async {
        let mut running = Shim::connect(&place.id, &place.dir()).await.unwrap();
        let report = running.health.take().unwrap();
        assert_eq!((report.status, report.streak), (Status::Healthy, 0));
        // Nobody took the results meanwhile: the last ones are there, one after the other.
        let lines: Vec<usize> = report.log.iter().map(|probe| probe.output.lines().count()).collect();
        assert!(!lines.is_empty() && lines.windows(2).all(|pair| pair[1] == pair[0] + 1), "{lines:?}");
        let last = *lines.last().unwrap();
        // And those that come follow.
        assert_eq!(until(&mut running, Status::Healthy).await.output.lines().count(), last + 1);
        running.shim.kill(9, false).await.unwrap();
        while !matches!(next(&mut running).await, Event::Exited(_)) {}
        running.shim.release().await.unwrap();
    });
}

fn probes_that_hang_or_cannot_run() {
    block_on(async {
        let place = Place::new();
        let config = with_check(place.config(&["/bin/sleep", "100"]), &["/bin/sh", "-c", "echo slow; exec sleep 50"], 30 * MS);
        let (_spawner, mut running) = run(config).await;
        let (probe, status, streak) = result(&mut running).await;
        assert_eq!((probe.end, probe.output.as_str(), status, streak), (End::TimedOut, "slow\n", Status::Starting, 1));
        running.shim.kill(9, false).await.unwrap();
        while !matches!(next(&mut running).await, Event::Exited(_)) {}
        running.shim.release().await.unwrap();

        let other = Place::new();
        let (_spawner, mut running) = run(with_check(other.config(&["/bin/sleep", "100"]), &["/bin/nosuch"], MS)).await;
        let (probe, status, _) = result(&mut running).await;
        assert!(matches!(&probe.end, End::NotRun { failure } if failure.object == "/bin/nosuch"), "{probe:?}");
        assert_eq!(status, Status::Starting);
        running.shim.kill(9, false).await.unwrap();
        while !matches!(next(&mut running).await, Event::Exited(_)) {}
        running.shim.release().await.unwrap();
    });
}

fn an_end_ends_the_probe() {
    block_on(async {
        let place = Place::new();
        let config = with_check(place.script("usleep 100000; exit 7"), &["/bin/sleep", "50"], 60_000 * MS);
        let (_spawner, mut running) = run(config).await;
        assert!(matches!(next(&mut running).await, Event::ProbeBegan { .. }));
        // The probe had no result, and nobody is told of one.
        assert_eq!(exit_and_release(&place, &mut running).await, 7);
    });
}
