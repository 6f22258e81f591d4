//! `GET /images/{name}/json`.

use crate::convert::defaults::image_config_of;
use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use dhow_api::time;
use dhow_api::types::image::ImageMetadata;
use dhow_api::types::{GraphDriver, ImageInspect, RootFs};
use dhow_api::version::Shape;
use dhow_engine::Image;
use serde::Deserialize;

/// One image.
pub(crate) async fn get(cx: &Cx, name: &str) -> Result<Reply> {
    let platform = super::platform(cx, "platform", 49)?;
    let with_manifests = cx.since(48) && cx.query.boolean("manifests");
    if with_manifests && platform.is_some() {
        return Err(Failure::invalid("conflicting options: manifests and platform options cannot both be set"));
    }
    let image = cx.app.engine.image_for(name, platform.as_ref()).await?;
    let mut shown = shape(&image, cx.app.engine.storage_driver());
    if with_manifests && let Some((descriptor, manifests)) = super::manifests::of(cx, &image).await? {
        shown.descriptor = Some(descriptor);
        shown.manifests = manifests;
    }
    reply::shaped(Shape::Image, cx.version, &shown)
}

/// What of a configuration Docker shows beside its `config`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extra {
    comment: String,
    author: String,
    docker_version: String,
    #[serde(rename = "os.version")]
    os_version: String,
    variant: String,
    created: Option<String>,
    history: Vec<History>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct History {
    comment: String,
}

/// When the image says it was made, nanoseconds since 1970.
pub(crate) fn created(image: &Image) -> Option<i64> {
    image.config.created().as_ref().and_then(|text| time::parse_rfc3339(&text.to_string()))
}

/// Tags and digests as people write them.
pub(crate) fn names(image: &Image) -> (Vec<String>, Vec<String>) {
    (image.tags.iter().map(|name| name.familiar()).collect(), image.digests.iter().map(|name| name.familiar()).collect())
}

fn shape(image: &Image, driver: &str) -> ImageInspect {
    let extra: Extra = serde_json::from_slice(&image.raw).unwrap_or_default();
    let (repo_tags, repo_digests) = names(image);
    // Docker falls back to the last step's comment.
    let comment = Some(extra.comment).filter(|c| !c.is_empty()).or_else(|| extra.history.last().map(|step| step.comment.clone()));
    ImageInspect {
        id: image.id.clone(),
        repo_tags,
        repo_digests,
        parent: image.parent.clone().unwrap_or_default(),
        comment: comment.unwrap_or_default(),
        created: extra.created.unwrap_or_default(),
        docker_version: extra.docker_version,
        author: extra.author,
        config: Some(image_config_of(&image.raw)),
        architecture: image.config.architecture().to_string(),
        variant: extra.variant,
        os: image.config.os().to_string(),
        os_version: extra.os_version,
        size: i64::try_from(image.size).unwrap_or(i64::MAX),
        virtual_size: 0,
        graph_driver: GraphDriver { data: None, name: driver.into() },
        root_fs: RootFs { kind: "layers".into(), layers: image.config.rootfs().diff_ids().iter().map(ToString::to_string).collect() },
        metadata: ImageMetadata { last_tag_time: time::rfc3339_or_zero(image.last_tagged) },
        descriptor: None,
        manifests: Vec::new(),
    }
}
