//! Health checks, told and shown; over restarts and over engines.

use crate::Test;
use crate::adoption::{end, in_runtime};
use crate::fixture::{eventually, import, options, request, with_engine};
use dhow_engine::Engine;
use dhow_engine::model::{HealthCheck, HealthStatus, Request, Status};

pub(crate) const TESTS: &[Test] =
    &[("health::verdicts_and_events", verdicts_and_events), ("health::results_of_an_engines_absence", results_of_an_engines_absence)];

const MS: i64 = 1_000_000;

fn checked(name: &str, check: &str, command: &[&str]) -> Request {
    let command: Vec<&str> = command.to_vec();
    let check = HealthCheck {
        command: ["sh", "-c", check].map(str::to_owned).into(),
        interval: 20 * MS,
        timeout: 20_000 * MS,
        retries: 2,
        ..HealthCheck::default()
    };
    Request { name: Some(name.into()), user: "web".into(), health: Some(check), stop_timeout: Some(0), ..request(&command) }
}

fn status(engine: &Engine, name: &str) -> Option<HealthStatus> {
    engine.container(name).unwrap().state.health.as_ref().map(|health| health.status)
}

async fn until(engine: &Engine, name: &str, wanted: HealthStatus) {
    eventually(&format!("{name} is {wanted:?}"), || status(engine, name) == Some(wanted)).await;
}

fn verdicts_and_events() {
    with_engine(|f| async move {
        let engine = &f.engine;
        let (_, mut events) = engine.events(dhow_engine::events::Range::default());
        let check = "id -u; test -e /tmp/ok";
        engine.create(checked("checked", check, &["sleep", "1000"])).await.unwrap();
        assert_eq!(status(engine, "checked"), None);
        engine.start("checked").await.unwrap();
        until(engine, "checked", HealthStatus::Unhealthy).await;
        let health = engine.container("checked").unwrap().state.health.clone().unwrap();
        assert!(health.failing_streak >= 2);
        let probe = &health.log[0];
        assert_eq!((probe.exit_code, probe.output.as_str(), probe.timed_out), (1, "33\n", false));
        let mut told = Vec::new();
        while told.last().is_none_or(|(action, _): &(String, _)| action != "health_status: unhealthy") {
            let event = events.recv().await.unwrap();
            if event.kind == "container" {
                told.push((event.action.clone(), event.attributes.clone()));
            }
        }
        let actions: Vec<&str> = told.iter().map(|(action, _)| action.as_str()).collect();
        let (create, start) = (format!("exec_create: sh -c {check}"), format!("exec_start: sh -c {check}"));
        assert_eq!(actions, ["create", "start", &create, &start, "exec_die", &create, &start, "exec_die", "health_status: unhealthy"]);
        assert_eq!(told[2].1["execID"], told[4].1["execID"]);
        assert_eq!((told[4].1["exitCode"].as_str(), told[2].1["execID"].len()), ("1", 64));

        // Frozen, it is not well; thawed, it is after the next success.
        let touch = dhow_engine::model::ExecRequest {
            user: "0".into(),
            command: ["sh", "-c", "> /tmp/ok"].map(str::to_owned).into(),
            ..Default::default()
        };
        let id = engine.exec_create("checked", touch).await.unwrap();
        engine.exec_claim(&id).await.unwrap();
        engine.exec_start(&id, dhow_engine::client::ExecStart::default()).await.unwrap();
        until(engine, "checked", HealthStatus::Healthy).await;
        engine.pause("checked").await.unwrap();
        assert_eq!(status(engine, "checked"), Some(HealthStatus::Unhealthy));
        engine.unpause("checked").await.unwrap();
        until(engine, "checked", HealthStatus::Healthy).await;

        let full = || engine.container("checked").unwrap().state.health.as_ref().is_some_and(|health| health.log.len() == 5);
        eventually("five results are there", full).await;
        // The end makes it unhealthy, a start opens everything again; the results stay.
        engine.stop("checked", None, None).await.unwrap();
        let health = engine.container("checked").unwrap().state.health.clone().unwrap();
        assert_eq!((health.status, health.log.len()), (HealthStatus::Unhealthy, 5));
        engine.start("checked").await.unwrap();
        let again = engine.container("checked").unwrap().state.health.clone().unwrap();
        assert_eq!((again.failing_streak, again.log.last().map(|p| p.start) >= health.log.last().map(|p| p.start)), (0, true));
        until(engine, "checked", HealthStatus::Healthy).await;
    });
}

fn results_of_an_engines_absence() {
    let root = tempfile::tempdir().unwrap();
    in_runtime(async {
        let engine = Engine::open(options(root.path())).await.unwrap();
        import(&engine).await;
        for (name, command) in [("stays", "sleep 1000"), ("ends", "sleep 0.2; exit 3")] {
            let check = checked(name, "echo x >> /tmp/n; exec cat /tmp/n", &["sh", "-c", command]);
            engine.create(Request { user: String::new(), ..check }).await.unwrap();
            engine.start(name).await.unwrap();
        }
        let before = engine.container("stays").unwrap().state.health.clone().unwrap();
        engine.close().await;
        drop(engine);
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;

        let engine = Engine::open(options(root.path())).await.unwrap();
        let after = engine.container("stays").unwrap().state.health.clone().unwrap();
        assert_eq!(after.status, HealthStatus::Healthy);
        assert!(after.log.last().map(|p| p.start) > before.log.last().map(|p| p.start));
        let lines: Vec<usize> = after.log.iter().map(|p| p.output.lines().count()).collect();
        assert!(lines.windows(2).all(|pair| pair[1] == pair[0] + 1), "{lines:?}");
        eventually("its end is known", || engine.container("ends").unwrap().state.status == Status::Exited).await;
        let ended = engine.container("ends").unwrap().state.health.clone().unwrap();
        assert_eq!((ended.status, ended.log.is_empty()), (HealthStatus::Unhealthy, false));
        end(&engine, root.path()).await;
    });
}
