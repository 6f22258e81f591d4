//! Exec: create, start, inspect, resize.

use crate::containers::content_type;
use crate::convert::console::size_of;
use crate::error::{Failure, Result};
use crate::http::hijack::Takeover;
use crate::http::{Cx, Reply, reply};
use dhow_api::types::{ExecCreateAnswer, ExecCreateBody, ExecInspect, ExecProcess, ExecStartBody};
use dhow_engine::client::{Client, ExecStart};
use dhow_engine::model::{ExecRequest, ExecState};
use http::StatusCode;
use std::io::Write;

/// `POST /containers/{id}/exec`.
pub(crate) async fn create(cx: Cx, container: &str) -> Result<Reply> {
    let engine = cx.app.engine.clone();
    let body: ExecCreateBody = cx.json().await?;
    let id = engine.exec_create(container, request(body)?).await?;
    reply::json_with(StatusCode::CREATED, &ExecCreateAnswer { id })
}

fn request(body: ExecCreateBody) -> Result<ExecRequest> {
    let command = body.cmd.unwrap_or_default();
    if command.is_empty() {
        return Err(Failure::invalid("No exec command specified"));
    }
    Ok(ExecRequest {
        command,
        env: body.env.unwrap_or_default(),
        user: body.user,
        working_dir: body.working_dir,
        privileged: body.privileged,
        tty: body.tty,
        attach_stdin: body.attach_stdin,
        attach_stdout: body.attach_stdout,
        attach_stderr: body.attach_stderr,
        console_size: body.console_size.and_then(size_of),
        detach_keys: Some(body.detach_keys).filter(|keys| !keys.is_empty()),
    })
}

/// `POST /exec/{id}/start`.
pub(crate) async fn start(cx: Cx, id: &str) -> Result<Reply> {
    let engine = cx.app.engine.clone();
    let (upgrade, version, slot) = (cx.wants_upgrade(), cx.version, cx.slot.clone());
    let body = cx.json_or_none::<ExecStartBody>().await?.unwrap_or_default();
    let size = body.console_size.and_then(size_of);
    if size.is_some() && !body.tty {
        return Err(Failure::invalid("console size can only be set with a TTY"));
    }
    engine.exec_claim(id).await?;
    // Whether the answer is framed is for the start to say, as in Docker, even where it disagrees with the exec.
    let raw = body.tty;
    if body.detach {
        engine.exec_start(id, ExecStart { console_size: size, ..ExecStart::default() }).await?;
        return Ok(reply::empty(StatusCode::OK));
    }
    let id = id.to_owned();
    let then = move |client: Client| async move {
        // The engine gives the socket away; this copy is for words about a start that fails.
        let copy = client.socket.try_clone();
        if let Err(error) = engine.exec_start(&id, ExecStart { client: Some(client), console_size: size, raw }).await {
            tracing::debug!(exec = id, %error, "an exec did not start");
            let mut socket = copy.map(std::fs::File::from);
            let told = socket.as_mut().map(|socket| socket.write_all(format!("{error}\r\n").as_bytes()));
            if !matches!(told, Ok(Ok(()))) {
                tracing::debug!(exec = id, "its client is gone");
            }
        }
    };
    Cx::take_over(slot, Takeover::new(upgrade, content_type(raw, version), then)).await
}

/// `POST /exec/{id}/resize`.
pub(crate) async fn resize(cx: &Cx, id: &str) -> Result<Reply> {
    let (height, width) = crate::containers::size_query(cx)?;
    cx.app.engine.exec_resize(id, height, width).await?;
    Ok(reply::empty(StatusCode::OK))
}

/// `GET /exec/{id}/json`.
pub(crate) async fn inspect(cx: &Cx, id: &str) -> Result<Reply> {
    // In step with the shim: who has just seen the output end must find the exit code.
    reply::json(&shape(&*cx.app.engine.exec_inspect(id).await?))
}

fn shape(exec: &ExecState) -> ExecInspect {
    let request = &exec.request;
    let mut words = request.command.iter().cloned();
    ExecInspect {
        id: exec.id.clone(),
        running: exec.running,
        exit_code: exec.exit_code.map(i64::from),
        process_config: ExecProcess {
            tty: request.tty,
            entrypoint: words.next().unwrap_or_default(),
            arguments: words.collect(),
            privileged: Some(request.privileged),
            user: request.user.clone(),
        },
        open_stdin: request.attach_stdin,
        open_stderr: request.attach_stderr,
        open_stdout: request.attach_stdout,
        can_remove: exec.exit_code.is_some(),
        container_id: exec.container.clone(),
        detach_keys: String::new(),
        pid: exec.pid.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_needed() {
        assert_eq!(request(ExecCreateBody::default()).unwrap_err().0.message, "No exec command specified");
    }

    #[test]
    fn inspect_shape() {
        let exec = ExecState {
            id: "e".into(),
            container: "c".into(),
            request: ExecRequest { command: vec!["ls".into(), "-l".into()], attach_stdout: true, ..ExecRequest::default() },
            running: false,
            exit_code: Some(3),
            pid: 7,
        };
        insta::assert_snapshot!(serde_json::to_string(&shape(&exec)).unwrap(), @r#"{"ID":"e","Running":false,"ExitCode":3,"ProcessConfig":{"tty":false,"entrypoint":"ls","arguments":["-l"],"privileged":false},"OpenStdin":false,"OpenStderr":false,"OpenStdout":true,"CanRemove":true,"ContainerID":"c","DetachKeys":"","Pid":7}"#);
    }
}
