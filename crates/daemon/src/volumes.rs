//! `/volumes`.

use crate::convert::volumes::shown;
use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use crate::swarm;
use crate::system::prune::Wanted;
use dhow_api::types::{PruneVolumes, VolumeBody, VolumeList};
use dhow_api::{ApiVersion, Filters};
use dhow_engine::model::volume::Wish;
use http::StatusCode;

/// `GET /volumes`.
pub(crate) fn list(cx: &Cx) -> Result<Reply> {
    let filters = Filters::parse(cx.query.get("filters"))?;
    filters.validate(&["dangling", "name", "driver", "label"])?;
    let dangling = filters.contains("dangling").then(|| filters.boolean("dangling", false)).transpose()?;
    let containers = cx.app.engine.containers();
    let used = |name: &str| {
        let mut mounts = containers.iter().flat_map(|container| &container.request.host.mounts);
        mounts.any(|mount| mount.volume.as_ref().is_some_and(|volume| volume.wish.name == name))
    };
    let volumes = cx.app.engine.volumes().into_iter().filter(|volume| {
        filters.matches_pattern("name", &volume.name)
            && filters.matches_exactly("driver", "local")
            && filters.matches_labels("label", &volume.labels)
            && dangling.is_none_or(|dangling| dangling != used(&volume.name))
    });
    reply::json(&VolumeList { volumes: volumes.map(|volume| shown(&volume)).collect(), warnings: None })
}

/// `GET /volumes/{name}`.
pub(crate) fn inspect(cx: &Cx, name: &str) -> Result<Reply> {
    reply::json(&shown(&*cx.app.engine.volume(name)?))
}

/// `POST /volumes/create`.
pub(crate) async fn create(cx: Cx) -> Result<Reply> {
    let engine = cx.app.engine.clone();
    let cluster = cx.since(42);
    let body: VolumeBody = cx.json().await?;
    if cluster && body.cluster.is_some() {
        return Err(swarm::not_a_manager());
    }
    let wish = Wish { name: body.name, driver: body.driver, labels: body.labels, options: body.driver_opts };
    reply::json_with(StatusCode::CREATED, &shown(&*engine.create_volume(wish).await?))
}

/// `DELETE /volumes/{name}`.
pub(crate) async fn remove(cx: &Cx, name: &str) -> Result<Reply> {
    cx.app.engine.remove_volume(name, cx.query.boolean("force")).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// `POST /volumes/prune`: since 1.42 without `all` only those that nobody named.
pub(crate) async fn prune(cx: &Cx) -> Result<Reply> {
    let anonymous_only = cx.version >= ApiVersion::v1(42);
    let accepted: &[&str] = if anonymous_only { &["label", "label!", "all"] } else { &["label", "label!"] };
    let wanted = Wanted::parse(cx, accepted)?;
    let all = wanted.filters.boolean("all", false)? || !anonymous_only;
    let (volumes_deleted, reclaimed) = cx.app.engine.prune_volumes(all, |volume| wanted.matches(None, &volume.labels)).await?;
    reply::json(&PruneVolumes { volumes_deleted, space_reclaimed: i64::try_from(reclaimed).unwrap_or(i64::MAX) })
}
