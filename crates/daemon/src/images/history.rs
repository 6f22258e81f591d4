//! `GET /images/{name}/history`.

use super::platform;
use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use dhow_api::time;
use dhow_api::types::ImageHistoryItem;
use dhow_reference::Reference;
use serde::Deserialize;

const MISSING: &str = "<missing>";

/// Steps, the newest first; those whose images are here have their ids.
pub(crate) async fn get(cx: &Cx, name: &str) -> Result<Reply> {
    let image = cx.app.engine.image_for(name, platform(cx, "platform", 48)?.as_ref()).await?;
    let mut items = steps(&image.raw, &cx.app.engine.layer_sizes(&image)?)?;
    let mut next = Some(image);
    for item in &mut items {
        let Some(image) = next.take() else { break };
        item.id.clone_from(&image.id);
        item.tags = Some(image.tags.iter().map(Reference::familiar).collect::<Vec<_>>()).filter(|tags| !tags.is_empty());
        if let Some(parent) = &image.parent {
            // A parent that was removed ends the line.
            next = cx.app.engine.image(parent).await.ok();
        }
    }
    reply::json(&items)
}

/// What an image says of its steps, with the sizes of its layers.
fn steps(raw: &[u8], sizes: &[u64]) -> Result<Vec<ImageHistoryItem>> {
    #[derive(Deserialize)]
    struct Image {
        #[serde(default)]
        history: Option<Vec<Step>>,
    }
    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Step {
        created: Option<String>,
        created_by: String,
        comment: String,
        empty_layer: bool,
    }
    let image: Image = serde_json::from_slice(raw).map_err(|error| Failure::internal(format!("image configuration: {error}")))?;
    let mut sizes = sizes.iter();
    let mut items = Vec::new();
    for step in image.history.unwrap_or_default() {
        let size = match (step.empty_layer, sizes.as_slice()) {
            (true, _) => 0,
            (false, []) => return Err(Failure::internal("too many non-empty layers in History section")),
            (false, _) => sizes.next().copied().unwrap_or_default(),
        };
        // Go's zero time, in seconds, where the step says when; 0 where it does not.
        let created = step.created.map_or(0, |text| time::parse_rfc3339(&text).map_or(-62_135_596_800, |at| at.div_euclid(1_000_000_000)));
        items.push(ImageHistoryItem {
            id: MISSING.into(),
            created,
            created_by: step.created_by,
            tags: None,
            size: i64::try_from(size).unwrap_or(i64::MAX),
            comment: step.comment,
        });
    }
    items.reverse();
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_sizes() {
        let raw =
            br#"{"history":[{"created":"2024-01-01T00:00:00Z","created_by":"a"},{"created_by":"b","empty_layer":true,"comment":"c"}]}"#;
        let items = steps(raw, &[7]).unwrap();
        let shown: Vec<_> = items.iter().map(|i| (i.created, i.created_by.as_str(), i.size, i.comment.as_str())).collect();
        assert_eq!(shown, [(0, "b", 0, "c"), (1_704_067_200, "a", 7, "")]);
        assert_eq!(steps(raw, &[]).unwrap_err().0.message, "too many non-empty layers in History section");
        assert!(steps(b"{}", &[1]).unwrap().is_empty());
    }
}
