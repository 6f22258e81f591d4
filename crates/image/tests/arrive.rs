//! Images that come layer by layer: side by side, in any order, several at once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use dhow_image::{Arrival, Arrived, Bring, Hand, Images};
use dhow_reference::Reference;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};
use support::{Place, gzip, place, sha256, tar};

/// An image of these layers as a registry has it.
fn arrival(layers: &[Vec<u8>], packed: &[Vec<u8>]) -> Arrival {
    let diffs: Vec<String> = layers.iter().map(|layer| format!("\"sha256:{}\"", sha256(layer))).collect();
    let config =
        format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#, diffs.join(",")).into_bytes();
    Arrival {
        config,
        layers: packed.iter().map(|bytes| format!("sha256:{}", sha256(bytes))).collect(),
        documents: Vec::new(),
        names: vec![Reference::parse("x:1").unwrap()],
        top: None,
    }
}

fn receive(images: &Images, bytes: &[u8]) -> Arc<Arrived> {
    let mut ingest = images.ingest(&format!("sha256:{}", sha256(bytes)), bytes.len() as u64).unwrap();
    let here = usize::try_from(ingest.at()).unwrap();
    ingest.write(&bytes[here..]).unwrap();
    Arc::new(ingest.finish().unwrap().unwrap())
}

/// Layers that were in their places, in the order in which that was told.
type Told = Arc<Mutex<Vec<usize>>>;

/// Hands the layers over in this order; those that are not in it never come.
struct Bringer<'a> {
    images: &'a Images,
    packed: &'a [Vec<u8>],
    order: Vec<usize>,
    told: Told,
}

impl Bring for Bringer<'_> {
    fn want(&mut self, needed: &[bool], hand: Hand) {
        for number in self.order.iter().filter(|number| needed[**number]) {
            hand.put(*number, receive(self.images, &self.packed[*number]));
        }
    }

    fn teller(&self) -> Arc<dyn Fn(usize, u64, u64) + Send + Sync> {
        let told = self.told.clone();
        Arc::new(move |number, done, total| {
            if done == total {
                told.lock().unwrap().push(number);
            }
        })
    }
}

fn layers() -> Vec<Vec<u8>> {
    (0..4).map(|number| tar(&[(&format!("f{number}"), b"content"), ("same", format!("{number}").as_bytes())])).collect()
}

fn bring(place: &Place, packed: &[Vec<u8>], order: &[usize]) -> (dhow_image::Result<Arc<dhow_image::Image>>, Vec<usize>) {
    let told = Told::default();
    let mut bringer = Bringer { images: &place.images, packed, order: order.to_vec(), told: told.clone() };
    let outcome = place.images.arrive(&arrival(&layers(), packed), &mut bringer);
    let told = told.lock().unwrap().clone();
    (outcome, told)
}

#[test]
fn layers_that_come_in_any_order_stand_in_theirs() {
    let packed: Vec<Vec<u8>> = layers().iter().map(|layer| gzip(layer)).collect();
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let place = place();
        let (image, told) = bring(&place, &packed, &order);
        assert_eq!(told, [0, 1, 2, 3], "{order:?}");
        let mut next = image.unwrap().chain.clone();
        for layer in layers().iter().rev() {
            let info = place.layers.layer(&next.unwrap()).unwrap();
            assert_eq!(info.diff.hex(), sha256(layer));
            next = info.parent;
        }
        place.images.remove("x:1", false, true, &[]).unwrap();
        place.assert_empty();
    }
}

#[test]
fn without_one_of_them_nothing_is_there() {
    let packed: Vec<Vec<u8>> = layers().iter().map(|layer| gzip(layer)).collect();
    let place = place();
    let (outcome, _) = bring(&place, &packed, &[3, 0, 1]);
    assert!(matches!(outcome, Err(dhow_image::Error::Aborted)), "{outcome:?}");
    place.assert_empty();
    // What came is not asked for again.
    bring(&place, &packed, &[2, 3, 0, 1]).0.unwrap();
}

#[test]
fn one_that_is_another_ends_it_all() {
    let mut packed: Vec<Vec<u8>> = layers().iter().map(|layer| gzip(layer)).collect();
    packed[2] = gzip(&tar(&[("other", b"content")]));
    let place = place();
    let error = bring(&place, &packed, &[0, 1, 2, 3]).0.unwrap_err().to_string();
    assert!(error.starts_with("invalid archive: invalid diffID for layer 2: "), "{error}");
    place.assert_empty();
}

#[test]
fn of_several_who_want_the_same_one_works() {
    let packed: Vec<Vec<u8>> = layers().iter().map(|layer| gzip(layer)).collect();
    let place = place();
    std::thread::scope(|scope| {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 3, 0, 1]] {
            let (place, packed) = (&place, &packed);
            scope.spawn(move || bring(place, packed, &order).0.unwrap());
        }
    });
    assert_eq!((place.images.list().len(), place.layers.layers().unwrap().len()), (1, 4));
    place.images.remove("x:1", false, true, &[]).unwrap();
    place.assert_empty();
}

#[test]
fn a_plain_layer_is_one_file_with_its_tar() {
    let place = place();
    bring(&place, &layers(), &[3, 1, 2, 0]).0.unwrap();
    for info in place.layers.layers().unwrap() {
        // Where the layer is unpacked, there is nothing to share.
        let Some(tar) = place.layers.kept_tar(&info.chain).unwrap() else { continue };
        let blob = place.dir.path().join("image/blobs/sha256").join(info.diff.hex());
        assert_eq!(blob.metadata().unwrap().ino(), tar.metadata().unwrap().ino());
    }
    place.images.remove("x:1", false, true, &[]).unwrap();
    place.assert_empty();
}
