//! Events about containers.

use crate::model::Container;
use crate::parts::Parts;
use std::collections::BTreeMap;

/// Tells an event about a container, with its labels, image and name.
pub(crate) fn tell(parts: &Parts, container: &Container, action: &str, more: &[(&str, String)]) {
    let mut attributes: BTreeMap<String, String> = container.request.labels.clone();
    attributes.insert("image".into(), container.request.image.clone());
    attributes.insert("name".into(), container.name.clone());
    attributes.extend(more.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
    parts.events.tell("container", action, &container.id, attributes);
}
