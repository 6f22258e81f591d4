//! `GET /system/df`, in the shape before 1.52.

use crate::convert::defaults::image_config_of;
use crate::convert::document::Document;
use crate::convert::inspect;
use crate::convert::volumes::measured;
use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use crate::images::inspect::{created, names};
use dhow_api::types::{ContainerSummary, ImageSummary, Volume};
use dhow_engine::DiskUsage;
use dhow_engine::model::Container;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct Usage {
    #[serde(rename = "LayersSize")]
    layers_size: i64,
    #[serde(rename = "Images")]
    images: Option<Vec<ImageSummary>>,
    #[serde(rename = "Containers")]
    containers: Option<Vec<ContainerSummary>>,
    #[serde(rename = "Volumes")]
    volumes: Option<Vec<Volume>>,
    #[serde(rename = "BuildCache")]
    build_cache: Option<Vec<()>>,
    #[serde(rename = "BuilderSize", skip_serializing_if = "Option::is_none")]
    builder_size: Option<i64>,
}

const KINDS: [&str; 4] = ["container", "image", "volume", "build-cache"];

/// Layers that several images share count once in the sum, and as shared in each of them; containers count by their own content.
pub(crate) async fn get(cx: &Cx) -> Result<Reply> {
    // Clients of old asked for everything.
    let kinds: Vec<&str> = cx.query.all("type").filter(|_| cx.since(42)).collect();
    if let Some(kind) = kinds.iter().find(|kind| !KINDS.contains(kind)) {
        return Err(Failure::invalid(format!("unknown object type: {kind}")));
    }
    let wants = |kind: &str| kinds.is_empty() || kinds.contains(&kind);
    let all = cx.app.engine.containers();
    let mut usage = Usage {
        layers_size: 0,
        images: None,
        containers: None,
        volumes: None,
        build_cache: None,
        builder_size: (!cx.since(42)).then_some(0),
    };
    if wants("image") {
        let space = cx.app.engine.image_usage();
        usage.layers_size = bytes(space.layers);
        usage.images = Some(images(cx, &space, &all).await?);
    }
    if wants("container") {
        usage.containers = Some(containers(cx, &all).await?);
    }
    if wants("volume") {
        let volumes = cx.app.engine.volume_usage().await;
        usage.volumes = Some(volumes.iter().map(|(volume, size, users)| measured(volume, *size, *users)).collect());
    }
    usage.build_cache = wants("build-cache").then(Vec::new);
    reply::json(&usage)
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

async fn images(cx: &Cx, space: &DiskUsage, users: &[Arc<Container>]) -> Result<Vec<ImageSummary>> {
    let mut list = Vec::new();
    for image in cx.app.engine.images().await? {
        // What lies between images is not shown.
        let Some(shared) = space.shared.get(&image.id) else { continue };
        let (repo_tags, repo_digests) = names(&image);
        let size = bytes(image.size);
        list.push(ImageSummary {
            containers: users.iter().filter(|container| container.image_id == image.id).count().try_into().unwrap_or(-1),
            created: created(&image).unwrap_or(0).div_euclid(1_000_000_000),
            id: image.id.clone(),
            labels: image_config_of(&image.raw).labels,
            parent_id: image.parent.clone().unwrap_or_default(),
            repo_digests,
            repo_tags,
            shared_size: bytes(*shared),
            size,
            virtual_size: if cx.since(44) { 0 } else { size },
            manifests: Vec::new(),
        });
    }
    list.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.repo_tags.cmp(&b.repo_tags)));
    Ok(list)
}

async fn containers(cx: &Cx, all: &[Arc<Container>]) -> Result<Vec<ContainerSummary>> {
    let now = super::now();
    let mut list = Vec::new();
    for container in all {
        let (own, whole) = match cx.app.engine.sizes(&container.id).await {
            Ok(sizes) => sizes,
            // Removed since the list was made.
            Err(_) if cx.app.engine.container(&container.id).is_err() => continue,
            Err(error) => return Err(error.into()),
        };
        let mut summary = inspect::summary(container, &Document::of(container), now, false);
        summary.size_rw = bytes(own);
        summary.size_root_fs = bytes(whole);
        list.push(summary);
    }
    Ok(list)
}
