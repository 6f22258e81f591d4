//! Further processes in running containers.

use crate::Test;
use crate::fixture::{client, read_all, request, unframe, with_engine};
use dhow_engine::client::ExecStart;
use dhow_engine::error::Kind;
use dhow_engine::model::{ExecRequest, Request};
use dhow_engine::{Engine, Error};
use std::time::Instant;

pub(crate) const TESTS: &[Test] = &[
    ("execs::output_and_exit_code", output_and_exit_code),
    ("execs::the_start_decides_about_frames", the_start_decides_about_frames),
    ("execs::programs_that_cannot_run", programs_that_cannot_run),
    ("execs::users_and_environment", users_and_environment),
    ("execs::the_end_of_the_container_is_theirs", the_end_of_the_container_is_theirs),
];

async fn sleeper(engine: &Engine) {
    let r = Request { name: Some("c1".into()), env: vec!["A=1".into()], hostname: "h".into(), ..request(&["sleep", "1000"]) };
    engine.create(r).await.unwrap();
    engine.start("c1").await.unwrap();
}

fn exec(words: &[&str]) -> ExecRequest {
    ExecRequest {
        command: words.iter().map(|w| (*w).to_owned()).collect(),
        attach_stdout: true,
        attach_stderr: true,
        ..ExecRequest::default()
    }
}

async fn run(engine: &Engine, request: ExecRequest) -> Result<(String, i32), Error> {
    let id = engine.exec_create("c1", request).await?;
    engine.exec_claim(&id).await?;
    let (client, stream) = client();
    // Not waited for: as a client, we see nothing but the stream.
    let started = tokio::spawn({
        let (engine, id) = (engine.clone(), id.clone());
        async move { engine.exec_start(&id, ExecStart { client: Some(client), ..ExecStart::default() }).await }
    });
    let (out, err) = unframe(&read_all(stream).await);
    let state = engine.exec_inspect(&id).await?;
    started.await.unwrap()?;
    assert!(!state.running, "{state:?}");
    Ok((out + &err, state.exit_code.unwrap()))
}

fn output_and_exit_code() {
    with_engine(|f| async move {
        let engine = &f.engine;
        sleeper(engine).await;
        let (_, mut events) = engine.events(dhow_engine::events::Range::default());
        assert_eq!(run(engine, exec(&["sh", "-c", "echo hi; exit 7"])).await.unwrap(), ("hi\n".into(), 7));
        let mut told = Vec::new();
        while let Ok(event) = events.try_recv() {
            told.push(event.action.clone());
        }
        assert_eq!(told, ["exec_create: sh -c echo hi; exit 7", "exec_start: sh -c echo hi; exit 7", "exec_die"]);
        // The exit code is there as soon as the output has ended, every time.
        let mut times = Vec::new();
        for _ in 0..50 {
            let begun = Instant::now();
            assert_eq!(run(engine, exec(&["sh", "-c", "exit 5"])).await.unwrap().1, 5);
            times.push(begun.elapsed());
        }
        times.sort();
        println!("exec: median {:?}, best {:?}", times[25], times[0]);
        assert!(engine.container("c1").unwrap().execs.is_empty());
        let id = engine.exec_create("c1", exec(&["true"])).await.unwrap();
        assert_eq!(engine.container("c1").unwrap().execs, std::slice::from_ref(&id));
        engine.exec_claim(&id).await.unwrap();
        assert_eq!(engine.exec_claim(&id).await.unwrap_err().message, format!("exec command {id} has already run"));
        engine.exec_start(&id, ExecStart::default()).await.unwrap();
        assert_eq!(engine.exec("nope").unwrap_err().message, "No such exec instance: nope");
    });
}

fn the_start_decides_about_frames() {
    with_engine(|f| async move {
        let engine = &f.engine;
        sleeper(engine).await;
        // With a terminal, and with frames all the same; a message about a start that fails comes like the output.
        let tty = |words: &[&str]| ExecRequest { tty: true, ..exec(words) };
        assert_eq!(run(engine, tty(&["sh", "-c", "test -t 1 && echo terminal"])).await.unwrap(), ("terminal\r\n".into(), 0));
        let (said, code) = run(engine, tty(&["nosuch"])).await.unwrap();
        assert!(code == 127 && said.contains("nosuch"), "{said}");
    });
}

fn programs_that_cannot_run() {
    with_engine(|f| async move {
        let engine = &f.engine;
        sleeper(engine).await;
        let prefix = "OCI runtime exec failed: exec failed: unable to start container process: exec: ";
        let (text, code) = run(engine, exec(&["nosuch"])).await.unwrap();
        assert_eq!((text, code), (format!("{prefix}\"nosuch\": executable file not found in $PATH\r\n"), 127));
        let (text, code) = run(engine, exec(&["/etc/plain"])).await.unwrap();
        assert_eq!((text, code), (format!("{prefix}\"/etc/plain\": permission denied\r\n"), 126));
        assert_eq!(run(engine, exec(&[])).await.unwrap_err().message, "No exec command specified");
        let id = engine.exec_create("c1", exec(&["nosuch"])).await.unwrap();
        engine.exec_claim(&id).await.unwrap();
        let error = engine.exec_start(&id, ExecStart::default()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        assert_eq!(engine.exec(&id).unwrap().exit_code, Some(127));
        let (id, _) = engine.create(request(&["true"])).await.unwrap();
        let error = engine.exec_create(&id, exec(&["true"])).await.unwrap_err();
        assert_eq!((error.kind, error.message), (Kind::Conflict, format!("container {id} is not running")));
    });
}

fn users_and_environment() {
    with_engine(|f| async move {
        let engine = &f.engine;
        sleeper(engine).await;
        let as_web = ExecRequest { user: "web".into(), ..exec(&["id"]) };
        assert_eq!(run(engine, as_web).await.unwrap().0, "uid=33(web) gid=34(www) groups=34(www)\n");
        let nobody = ExecRequest { user: "nobodyhere".into(), ..exec(&["id"]) };
        let (text, _) = run(engine, nobody).await.unwrap();
        assert_eq!(text, "unable to find user nobodyhere: no matching entries in passwd file\r\n");
        let env =
            ExecRequest { env: vec!["B=2".into(), "FROM=exec".into()], working_dir: "/tmp".into(), ..exec(&["sh", "-c", "env; pwd"]) };
        let (text, _) = run(engine, env).await.unwrap();
        for line in ["A=1", "B=2", "FROM=exec", "HOSTNAME=h", "PATH=/bin", "HOME=/root", "/tmp"] {
            assert!(text.lines().any(|l| l == line), "{line} is not in {text}");
        }
        assert_eq!(run(engine, exec(&["sh", "-c", "cat /proc/self/status | head -60"])).await.unwrap().0.matches("Seccomp:\t2").count(), 1);
    });
}

fn the_end_of_the_container_is_theirs() {
    with_engine(|f| async move {
        let engine = &f.engine;
        sleeper(engine).await;
        let id = engine.exec_create("c1", exec(&["sleep", "1000"])).await.unwrap();
        engine.exec_claim(&id).await.unwrap();
        engine.exec_start(&id, ExecStart::default()).await.unwrap();
        assert!(engine.exec(&id).unwrap().running);
        engine.kill("c1", None).await.unwrap();
        assert_eq!(engine.exec_inspect(&id).await.unwrap().exit_code, Some(137));
    });
}
