//! `GET /system/df`, in the shape before 1.52.

use crate::convert::defaults::image_config_of;
use crate::convert::document::Document;
use crate::convert::inspect;
use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use crate::images::inspect::{created, names};
use dhow_api::types::{ContainerSummary, ImageSummary, Volume};
use serde::Serialize;

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

/// Images by their own size (layers that several share count for each), containers by their own content.
pub(crate) async fn get(cx: &Cx) -> Result<Reply> {
    let kinds: Vec<&str> = cx.query.all("type").collect();
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
        let mut images = Vec::new();
        for image in cx.app.engine.images().await? {
            let (repo_tags, repo_digests) = names(&image);
            let size = i64::try_from(image.size).unwrap_or(i64::MAX);
            usage.layers_size += size;
            images.push(ImageSummary {
                containers: all.iter().filter(|container| container.image_id == image.id).count().try_into().unwrap_or(-1),
                created: created(&image).unwrap_or(0).div_euclid(1_000_000_000),
                id: image.id.clone(),
                labels: image_config_of(&image.raw).labels,
                parent_id: image.parent.clone().unwrap_or_default(),
                repo_digests,
                repo_tags,
                shared_size: 0,
                size,
                virtual_size: if cx.since(44) { 0 } else { size },
            });
        }
        usage.images = Some(images);
    }
    if wants("container") {
        let now = super::now();
        let mut containers = Vec::new();
        for container in &all {
            let mut summary = inspect::summary(container, &Document::of(container), &cx.app.facts, now, false);
            let (own, whole) = cx.app.engine.sizes(&container.id).await?;
            summary.size_rw = i64::try_from(own).unwrap_or(i64::MAX);
            summary.size_root_fs = i64::try_from(whole).unwrap_or(i64::MAX);
            containers.push(summary);
        }
        usage.containers = Some(containers);
    }
    usage.volumes = wants("volume").then(Vec::new);
    usage.build_cache = wants("build-cache").then(Vec::new);
    reply::json(&usage)
}
