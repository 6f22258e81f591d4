//! Every form, chains in which they take turns, and snapshots that are copies, put to the suite of the contract.
#![expect(clippy::unwrap_used, reason = "a panic is a test's result")]

mod turns;

use dhow_storage::{Choice, Form, LayerStore, Root, Roots, Store, conformance};
use dhow_sys::overlay::Overlay;
use std::os::fd::AsRawFd;
use std::path::Path;

fn one(form: Form) -> impl Fn(&Path) -> Box<dyn LayerStore> {
    move |root| Box::new(Store::open(root, Choice::Only(form)).unwrap())
}

/// Snapshots are copies although they need not be.
fn copied(root: &Path) -> Box<dyn LayerStore> {
    let store = Store::open_rooted(root, Choice::Probe, Roots::Only(Root::Copy)).unwrap();
    assert!(store.copies());
    Box::new(store)
}

/// On an overlayfs, mounted where nobody sees it until the test ends: neither indexes nor upper directories nor overlay's marks work there.
fn overlaid(root: &Path) -> Box<dyn LayerStore> {
    let place = |name: &str| {
        std::fs::create_dir_all(root.join(name)).unwrap();
        root.join(name)
    };
    let overlay = Overlay { lower: vec![place("lower").into()], upper: Some(place("upper")), work: Some(place("work")), volatile: true };
    let mount = overlay.mount_detached().unwrap();
    let path = format!("/proc/self/fd/{}/store", mount.as_raw_fd());
    std::mem::forget(mount);
    let store = Store::open(Path::new(&path), Choice::Probe).unwrap();
    assert!(store.copies() && store.form() == "dir");
    Box::new(store)
}

/// Runs a part of the suite on stores of this kind.
fn run(part: fn(conformance::Make<'_>), open: &dyn Fn(&Path) -> Box<dyn LayerStore>) {
    let root = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    part(&|| {
        count.set(count.get() + 1);
        open(&root.path().join(count.get().to_string()))
    });
}

/// Whether this kernel and this disk can have the form at all; which ones can is another test's business.
fn can_index() -> bool {
    let root = tempfile::tempdir().unwrap();
    Store::open(root.path(), Choice::Probe).unwrap().form() == "tar+erofs"
}

macro_rules! suite {
    ($($name:ident)*) => {
        mod directory {
            use super::*;
            $(#[test]
            fn $name() {
                run(conformance::$name, &one(Form::Directory));
            })*
        }

        mod index {
            use super::*;
            $(#[test]
            fn $name() {
                if can_index() {
                    run(conformance::$name, &one(Form::Index));
                }
            })*
        }

        mod mixed {
            use super::*;
            $(#[test]
            fn $name() {
                if can_index() {
                    run(conformance::$name, &|root| Box::new(turns::Turns::open(root)));
                }
            })*
        }

        mod copies {
            use super::*;
            $(#[test]
            fn $name() {
                run(conformance::$name, &copied);
            })*
        }

        mod on_overlayfs {
            use super::*;
            $(#[test]
            fn $name() {
                run(conformance::$name, &overlaid);
            })*
        }

        /// No part of the suite is forgotten here.
        #[test]
        fn complete() {
            let here = [$(stringify!($name)),*];
            let all: Vec<_> = conformance::TESTS.iter().map(|(name, _)| *name).collect();
            assert_eq!(here.to_vec(), all);
        }
    };
}

suite! {
    apply_answers_what_it_made
    apply_twice_is_a_success
    apply_checks_the_digest
    staged_layers_are_placed_later
    a_failed_apply_leaves_nothing
    trailing_bytes_count
    a_chain_in_use_stays
    snapshots_live_and_die
    merged_view
    whiteouts_and_opaque_directories
    parents_left_out_are_inherited
    hard_links_across_layers
    attributes_survive
    tar_is_reproducible
    commit_makes_the_same_content
    diff_as_docker_shows_it
    base_fills_what_the_image_lacks
    usage_counts_content
    two_at_once
}
