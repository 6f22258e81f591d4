//! `--metrics-addr`: measurements for Prometheus, under Docker's names.

use crate::app::App;
use crate::http::body::Body;
use crate::http::{Reply, limits};
use crate::system::SERVER_VERSION;
use anyhow::{Context, Result};
use dhow_engine::model::Status;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Clients at once. One or two programs collect.
const CLIENTS: usize = 16;
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Ends with what it is part of.
pub(crate) struct Served(JoinHandle<()>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers at the address of the settings, where there is one.
///
/// # Errors
/// It cannot be listened to.
pub(crate) async fn listen(app: &Arc<App>) -> Result<Option<Served>> {
    let address = &app.settings.metrics;
    if address.is_empty() {
        return Ok(None);
    }
    // Like `-H`, only a port means this host alone.
    let at = if address.starts_with(':') { format!("127.0.0.1{address}") } else { address.clone() };
    let listener = TcpListener::bind(at.as_str()).await.with_context(|| format!("failed to start metrics server: listen tcp {address}"))?;
    let shown = listener.local_addr().map_or_else(|_| at, |bound| bound.to_string());
    tracing::info!("metrics API listening on {shown}");
    Ok(Some(Served(tokio::spawn(accept_all(app.clone(), listener)))))
}

async fn accept_all(app: Arc<App>, listener: TcpListener) {
    let free = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(permit) = free.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let app = app.clone();
                tokio::spawn(async move {
                    serve(app, stream).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection for metrics");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(app: Arc<App>, stream: TcpStream) {
    let service = service_fn(move |request: Request<Incoming>| {
        let app = app.clone();
        async move { Ok::<_, Infallible>(answer(&app, request.uri().path())) }
    });
    let served = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::IDLE)
        .max_buf_size(limits::HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection for metrics ended badly");
    }
}

fn answer(app: &App, path: &str) -> Reply {
    let (status, kind, text) = match path {
        "/metrics" => (StatusCode::OK, TEXT, show(&measure(app))),
        _ => (StatusCode::NOT_FOUND, HeaderValue::from_static("text/plain; charset=utf-8"), "404 page not found\n".to_owned()),
    };
    let mut reply = Reply::new(Body::full(text));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

/// One quantity, with what it is about: values by their labels.
struct Gauge {
    name: &'static str,
    help: &'static str,
    values: Vec<(Vec<(&'static str, String)>, i64)>,
}

fn measure(app: &App) -> Vec<Gauge> {
    let host = &app.facts.host;
    let all = app.engine.containers();
    let count =
        |test: fn(Status) -> bool| i64::try_from(all.iter().filter(|container| test(container.state.status)).count()).unwrap_or(i64::MAX);
    let state = |name: &str, number| (vec![("state", name.to_owned())], number);
    let running = |status| matches!(status, Status::Running | Status::Restarting);
    let about = vec![
        ("architecture", host.machine.clone()),
        ("commit", String::new()),
        ("daemon_id", app.facts.id.clone()),
        ("graphdriver", "overlay2".to_owned()),
        ("kernel", host.kernel.clone()),
        ("os", host.os.clone()),
        ("os_type", "linux".to_owned()),
        ("os_version", host.os_version.clone()),
        ("version", SERVER_VERSION.to_owned()),
    ];
    let one = |name, help, number| Gauge { name, help, values: vec![(Vec::new(), number)] };
    vec![
        Gauge {
            name: "engine_daemon_container_states_containers",
            help: "The count of containers in various states",
            values: vec![
                state("paused", count(|status| status == Status::Paused)),
                state("running", count(running)),
                state("stopped", count(|status| !matches!(status, Status::Running | Status::Paused | Status::Restarting))),
            ],
        },
        one("engine_daemon_engine_cpus_cpus", "The number of cpus that the host system of the engine has", host.cpus),
        Gauge {
            name: "engine_daemon_engine_info",
            help: "The information related to the engine and the OS it is running on",
            values: vec![(about, 1)],
        },
        one("engine_daemon_engine_memory_bytes", "The number of bytes of memory that the host system of the engine has", host.memory),
        one(
            "engine_daemon_events_subscribers_total",
            "The number of current subscribers to events",
            i64::try_from(app.engine.listeners()).unwrap_or(i64::MAX),
        ),
    ]
}

/// In Prometheus's text format.
fn show(gauges: &[Gauge]) -> String {
    let mut out = String::new();
    for Gauge { name, help, values } in gauges {
        // Writing to a string cannot fail.
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in values {
            let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_format() {
        let labels = vec![("a", "x\"\\\ny".to_owned()), ("b", "z".to_owned())];
        let gauges = [Gauge { name: "n", help: "Of n", values: vec![(labels, 3), (Vec::new(), 0)] }];
        assert_eq!(show(&gauges), "# HELP n Of n\n# TYPE n gauge\nn{a=\"x\\\"\\\\\\ny\",b=\"z\"} 3\nn 0\n");
    }
}
