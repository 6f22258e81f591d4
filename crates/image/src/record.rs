//! The last step of everything that makes an image: its row, with its names, in one commit. Content has been kept before; the row says that
//! it is not synced.

use crate::db::{self, NameRow, Row};
use crate::error::{Error, Result};
use crate::incoming::Checked;
use crate::model::Image;
use crate::store::Images;
use dhow_reference::Reference;
use dhow_storage::ChainId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of an image when all its content is there.
#[derive(Debug)]
pub(crate) struct Whole<'a> {
    pub(crate) id: &'a str,
    pub(crate) raw: &'a [u8],
    pub(crate) checked: Checked,
    pub(crate) chain: Option<ChainId>,
    pub(crate) size: u64,
    pub(crate) parent: Option<String>,
    /// Its blobs, and the diff ids of those that are layers.
    pub(crate) needs: BTreeMap<String, Option<String>>,
}

/// An image as it is after its record, and for each of its new names the image that had it before.
pub(crate) type Recorded = (Arc<Image>, Vec<Option<String>>);

impl Images {
    /// Records an image, and points names to it that stand for `top`. One that is there already stays, and has the new content too. `at` is
    /// given where a person tags.
    pub(crate) fn record_image(&self, whole: Whole<'_>, names: &[Reference], top: Option<&str>, at: Option<i64>) -> Result<Recorded> {
        let at = at.filter(|_| !names.is_empty());
        let Whole { id, raw, checked, chain, size, parent, needs } = whole;
        let row = Row {
            id: id.to_owned(),
            chain: chain.as_ref().map(ToString::to_string),
            parent: parent.clone(),
            last_tagged: None,
            unsynced: Some(self.lasting.mark()),
        };
        let named = |name: &Reference| NameRow { name: name.to_string(), image: id.to_owned(), top: top.map(str::to_owned) };
        let mut state = self.state();
        db::insert(&mut state.connection, &row, &needs, &names.iter().map(named).collect::<Vec<_>>(), at)?;
        let mut documents: Vec<String> =
            needs.into_iter().filter(|(digest, diff)| diff.is_none() && digest != id).map(|(d, _)| d).collect();
        let image = match state.index.get(id) {
            Some(known) => {
                documents.extend(known.documents.iter().cloned());
                Image::clone(known)
            }
            None => Image {
                id: id.to_owned(),
                config: checked.config,
                raw: Arc::from(raw),
                chain,
                size,
                tags: Vec::new(),
                digests: Vec::new(),
                documents: Vec::new(),
                last_tagged: None,
                parent,
            },
        };
        documents.sort();
        documents.dedup();
        state.index.put(Image { documents, ..image });
        let before = names.iter().map(|name| state.index.set_name(name, id, top, at)).collect();
        let image = state.index.get(id).cloned().ok_or_else(|| Error::NotFound(id.to_owned()))?;
        drop(state);
        self.lasting.tell();
        Ok((image, before))
    }
}
