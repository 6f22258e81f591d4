//! From method and path to a handler.

use crate::app::App;
use crate::error::{Failure, Result};
use crate::http::body::Asked;
use crate::http::hijack::Slot;
use crate::http::{Cx, Reply, reply};
use crate::{containers, distribution, exec, images, networks, swarm, system, volumes};
use dhow_api::{ApiError, ApiVersion, Query};
use http::request::Parts;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use std::sync::Arc;

/// Finds the handler and runs it.
pub(crate) async fn dispatch(app: Arc<App>, head: Parts, body: Asked, slot: Slot) -> Result<Reply> {
    let path = percent_decode_str(head.uri.path()).decode_utf8().map_err(|_| not_found())?;
    let (version, path) = split_version(&path)?;
    let mut segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let linked = link_name(&segments, head.method == Method::DELETE);
    if let Some(name) = &linked {
        segments.splice(1..3, [name.as_str()]);
    }
    let query = Query::parse(head.uri.query().unwrap_or_default());
    let cx = Cx { app, version, query, headers: head.headers, body, slot };
    match head.method {
        Method::GET => get(cx, &segments).await,
        Method::HEAD => match segments.as_slice() {
            ["_ping"] => system::ping(&cx, true),
            ["containers", id, "archive"] => containers::archive::head(&cx, id).await,
            _ => Err(not_found()),
        },
        Method::POST => post(cx, &segments).await,
        Method::DELETE => delete(cx, &segments).await,
        Method::PUT => match segments.as_slice() {
            ["containers", id, "archive"] => containers::archive::put(cx, id).await,
            ["volumes", _] => Err(swarm::no_cluster_volumes()),
            _ => Err(not_found()),
        },
        Method::OPTIONS => Ok(reply::empty(StatusCode::OK)),
        _ => Err(not_found()),
    }
}

/// The name of a container by a link, `parent/alias`, where the path has one in two parts.
fn link_name(segments: &[&str], delete: bool) -> Option<String> {
    let verb = match segments {
        _ if delete => 0,
        [.., "attach", "ws"] => 2,
        _ => 1,
    };
    match segments {
        ["containers", parent, alias, rest @ ..] if rest.len() == verb && !parent.is_empty() => Some(format!("{parent}/{alias}")),
        _ => None,
    }
}

/// Wrong methods are unknown pages too.
fn not_found() -> Failure {
    Failure(ApiError::not_found("page not found"))
}

/// Takes `/vX.YY` off.
fn split_version(path: &str) -> Result<(ApiVersion, &str)> {
    let rest = path.trim_start_matches('/');
    let Some(tail) = rest.strip_prefix('v') else { return Ok((ApiVersion::MAX, path)) };
    let (number, tail) = tail.split_once('/').unwrap_or((tail, ""));
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Ok((ApiVersion::MAX, path));
    }
    let version = ApiVersion::parse(number).ok_or_else(not_found)?;
    Ok((version.check()?, tail))
}

async fn get(cx: Cx, segments: &[&str]) -> Result<Reply> {
    match segments {
        ["_ping"] => system::ping(&cx, false),
        ["version"] => system::version::get(&cx),
        ["info"] => system::info::get(&cx).await,
        ["events"] => system::events::get(cx).await,
        ["system", "df"] => system::df::get(&cx).await,
        ["containers", "json"] => containers::list::get(&cx).await,
        ["containers", id, "json"] => containers::inspect::get(&cx, id).await,
        ["containers", id, "logs"] => containers::logs::get(&cx, id).await,
        ["containers", id, "top"] => containers::top::get(&cx, id).await,
        ["containers", id, "stats"] => containers::stats::get(&cx, id).await,
        ["containers", id, "changes"] => containers::changes::get(&cx, id).await,
        ["containers", id, "export"] => containers::export::get(&cx, id).await,
        ["containers", id, "archive"] => containers::archive::get(&cx, id).await,
        ["containers", id, "attach", "ws"] => containers::attach_ws::get(cx, id).await,
        ["exec", id, "json"] => exec::inspect(&cx, id).await,
        ["images", "json"] => images::list::get(&cx).await,
        ["images", "search"] => images::search::get(&cx).await,
        ["images", "get"] => images::save::get(&cx, None).await,
        ["images", name @ .., "json"] if !name.is_empty() => images::inspect::get(&cx, &name.join("/")).await,
        ["images", name @ .., "history"] if !name.is_empty() => images::history::get(&cx, &name.join("/")).await,
        ["images", name @ .., "get"] if !name.is_empty() => images::save::get(&cx, Some(name.join("/"))).await,
        ["distribution", name @ .., "json"] if !name.is_empty() => distribution::get(&cx, &name.join("/")).await,
        ["networks"] | ["networks", ""] => networks::list(&cx),
        ["networks", name] => networks::inspect(&cx, name),
        ["volumes"] => volumes::list(&cx),
        ["volumes", name] => volumes::inspect(&cx, name),
        ["plugins"] => crate::http::reply::json(&Vec::<u8>::new()),
        ["dhow", "timings", id] => system::timings::get(&cx, id),
        _ => swarm::or_not_found(segments).ok_or_else(not_found)?,
    }
}

async fn post(cx: Cx, segments: &[&str]) -> Result<Reply> {
    match segments {
        ["containers", "create"] => containers::create::post(cx).await,
        ["containers", "prune"] => containers::prune::post(&cx).await,
        ["containers", id, "start"] => containers::lifecycle::start(cx, id).await,
        ["containers", id, "stop"] => containers::lifecycle::stop(&cx, id).await,
        ["containers", id, "restart"] => containers::lifecycle::restart(&cx, id).await,
        ["containers", id, "kill"] => containers::lifecycle::kill(&cx, id).await,
        ["containers", id, "pause"] => containers::lifecycle::pause(&cx, id).await,
        ["containers", id, "unpause"] => containers::lifecycle::unpause(&cx, id).await,
        ["containers", id, "rename"] => containers::lifecycle::rename(&cx, id).await,
        ["containers", id, "update"] => containers::lifecycle::update(cx, id).await,
        ["containers", id, "resize"] => containers::lifecycle::resize(&cx, id).await,
        ["containers", id, "wait"] => containers::wait::post(&cx, id).await,
        ["containers", id, "attach"] => containers::attach::post(cx, id).await,
        ["containers", id, "exec"] => exec::create(cx, id).await,
        ["dhow", "runs", id] => containers::run::post(&cx, id).await,
        ["exec", id, "start"] => exec::start(cx, id).await,
        ["exec", id, "resize"] => exec::resize(&cx, id).await,
        ["images", "create"] => images::create::post(cx).await,
        ["images", "load"] => images::load::post(cx).await,
        ["images", "prune"] => images::prune::post(&cx).await,
        ["images", name @ .., "tag"] if !name.is_empty() => images::tag(&cx, &name.join("/")).await,
        ["images", name @ .., "push"] if !name.is_empty() => images::push::post(&cx, &name.join("/")).await,
        ["commit"] => containers::commit::post(cx).await,
        ["build"] | ["build", "cancel"] => Err(Failure::unsupported("building images")),
        ["build", "prune"] => system::prune::build(&cx),
        ["session" | "grpc"] => Err(Failure::unsupported("BuildKit's protocol")),
        ["auth"] => system::auth::post(cx).await,
        ["networks", "create"] => networks::create(cx).await,
        ["networks", "prune"] => networks::prune(&cx).await,
        ["networks", name, "connect"] => networks::connect(cx, name).await,
        ["networks", name, "disconnect"] => networks::disconnect(cx, name).await,
        ["volumes", "create"] => volumes::create(cx).await,
        ["volumes", "prune"] => volumes::prune(&cx).await,
        ["plugins", ..] => Err(Failure::unsupported("plugins")),
        _ => swarm::or_not_found(segments).ok_or_else(not_found)?,
    }
}

async fn delete(cx: Cx, segments: &[&str]) -> Result<Reply> {
    match segments {
        ["containers", id] => containers::remove::delete(&cx, id).await,
        ["images", name @ ..] if !name.is_empty() => images::remove::delete(&cx, &name.join("/")).await,
        ["networks", name] => networks::remove(&cx, name).await,
        ["volumes", name] => volumes::remove(&cx, name).await,
        ["plugins", ..] => Err(Failure::unsupported("plugins")),
        _ => swarm::or_not_found(segments).ok_or_else(not_found)?,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_links() {
        let check = |path: &str, delete: bool, expect: Option<&str>| {
            assert_eq!(link_name(&path.split('/').collect::<Vec<_>>(), delete).as_deref(), expect, "{path}");
        };
        check("containers/web/db/json", false, Some("web/db"));
        check("containers/web/db/attach/ws", false, Some("web/db"));
        check("containers/web/db", true, Some("web/db"));
        check("containers/web/attach/ws", false, None);
        check("containers/web/json", false, None);
        check("containers/web", true, None);
        check("images/a/b/json", false, None);
    }

    #[test]
    fn versions_in_paths() {
        let check = |path: &str, expect: Result<(u16, &str), (u16, &str)>| {
            let got = split_version(path).map(|(v, rest)| (v.minor, rest.to_owned())).map_err(|f| (f.0.status, f.0.message));
            assert_eq!(got, expect.map(|(v, r)| (v, r.to_owned())).map_err(|(s, m)| (s, m.to_owned())), "{path}");
        };
        check("/_ping", Ok((51, "/_ping")));
        check("/v1.41/containers/json", Ok((41, "containers/json")));
        check("/volumes", Ok((51, "/volumes")));
        check("/version", Ok((51, "/version")));
        check("/v1.41", Ok((41, "")));
        check("/v9.99/info", Err((400, "client version 9.99 is too new. Maximum supported API version is 1.51")));
        check(
            "/v1.10/info",
            Err((
                400,
                "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
            )),
        );
        check("/v1.2.3.x/info", Ok((51, "/v1.2.3.x/info")));
    }
}
