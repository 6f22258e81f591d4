//! What devices by name change in a specification besides nodes, rules and mounts: variables, groups, hooks.

use super::env;
use crate::cdi::Edits;
use oci_spec::runtime::{Hook, Hooks, Spec};

/// Applies them.
pub(super) fn apply(spec: &mut Spec, edits: Edits) {
    if let Some(process) = spec.process_mut() {
        let mut variables = process.env().clone().unwrap_or_default();
        env::overlay(&mut variables, &edits.env);
        process.set_env(Some(variables));
        if !edits.groups.is_empty() {
            let mut user = process.user().clone();
            let mut groups = user.additional_gids().clone().unwrap_or_default();
            for group in edits.groups {
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
            user.set_additional_gids(Some(groups));
            process.set_user(user);
        }
    }
    if !edits.hooks.is_empty() {
        spec.set_hooks(Some(hooks(edits.hooks)));
    }
}

fn hooks(named: Vec<(String, Hook)>) -> Hooks {
    let of = |moment: &str| {
        let list: Vec<Hook> = named.iter().filter(|(name, _)| name == moment).map(|(_, hook)| hook.clone()).collect();
        Some(list).filter(|list| !list.is_empty())
    };
    let mut hooks = Hooks::default();
    // `prestart` is the older name of what is done at `createRuntime`.
    let early: Vec<Hook> = ["prestart", "createRuntime"].iter().filter_map(|name| of(name)).flatten().collect();
    hooks
        .set_create_runtime(Some(early).filter(|list| !list.is_empty()))
        .set_create_container(of("createContainer"))
        .set_start_container(of("startContainer"))
        .set_poststart(of("poststart"))
        .set_poststop(of("poststop"));
    hooks
}
