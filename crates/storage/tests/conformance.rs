//! The `dir` form put to the suite of the contract.

use dhow_storage::{DirStore, LayerStore, conformance};

macro_rules! suite {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let root = tempfile::tempdir().unwrap();
            let count = std::cell::Cell::new(0);
            conformance::$name(&|| -> Box<dyn LayerStore> {
                count.set(count.get() + 1);
                Box::new(DirStore::open(&root.path().join(count.get().to_string())).unwrap())
            });
        })*

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
