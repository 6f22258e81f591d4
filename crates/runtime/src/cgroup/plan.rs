//! From OCI resources to the writes that bring them about: pure, one list for whatever mixture of v1 and v2 a host has.

use super::devices;
use super::hierarchy::{Dialect, Layout};
use super::write::{State, Write};
use super::{invalid, v1, v2};
use crate::error::Result;
use dhow_sys::bpf::Instruction;
use oci_spec::runtime::LinuxResources;

/// Everything that a set of resources means on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) writes: Vec<Write>,
    /// For the unified hierarchy, where devices are governed by a program.
    pub(crate) program: Option<Vec<Instruction>>,
}

impl Plan {
    /// Leaves out what decides about devices.
    pub(crate) fn forget_devices(&mut self) {
        self.program = None;
        self.writes.retain(|write| write.controller != "devices");
    }
}

/// Plans all writes, in order. Device rules are always set on a fresh directory (none given: only what every container
/// may use), and on one in use only if there are any.
pub(crate) fn plan(resources: &LinuxResources, layout: &Layout, state: State) -> Result<Plan> {
    let mut plan = Plan::default();
    v2::refuse(resources, |controller| layout.dialect(controller) == Some(Dialect::V2))?;
    // Devices first: everything after it runs under the final rules.
    plan_devices(&mut plan, resources, layout, state)?;
    if let Some(memory) = resources.memory() {
        let writes = match need(layout, "memory") {
            Ok(Dialect::V1) => v1::memory(memory, state)?,
            Ok(Dialect::V2) => v2::memory(memory, state.present())?,
            Err(missing) if *memory != Default::default() => return Err(missing),
            Err(_) => Vec::new(),
        };
        plan.writes.extend(writes);
    }
    if let Some(cpu) = resources.cpu() {
        let (time, sets) = (v1::asks_time(cpu), v1::asks_sets(cpu));
        if time {
            plan.writes.extend(pick(layout, "cpu", || v1::cpu(cpu), || v2::cpu(cpu, state.present()))?);
        }
        if sets {
            need(layout, "cpuset")?;
            plan.writes.extend(v1::cpuset(cpu));
        }
    }
    if let Some(pids) = resources.pids() {
        need(layout, "pids")?;
        let limit = if pids.limit() > 0 { pids.limit().to_string() } else { "max".to_owned() };
        plan.writes.push(Write::new("pids", "pids.max", limit));
    }
    if let Some(io) = resources.block_io() {
        plan.writes.extend(match layout.dialect("blkio") {
            Some(Dialect::V1) => v1::block_io(io),
            Some(Dialect::V2) => v2::block_io(io),
            None if *io == Default::default() => Vec::new(),
            None => return Err(invalid("blkio", "this host has no such cgroup controller")),
        });
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        plan.writes.extend(pick(layout, "hugetlb", || v1::huge_pages(limit), || v2::huge_pages(limit))?);
    }
    plan_rest(&mut plan, resources, layout)?;
    Ok(plan)
}

fn plan_devices(plan: &mut Plan, resources: &LinuxResources, layout: &Layout, state: State) -> Result<()> {
    let rules = resources.devices().as_deref().unwrap_or_default();
    let fresh = state == State::Fresh;
    if !fresh && rules.is_empty() {
        return Ok(());
    }
    let policy = devices::policy(rules)?;
    match need(layout, "devices")? {
        Dialect::V1 => {
            let writes = policy.v1_writes(fresh).into_iter();
            plan.writes.extend(writes.map(|(file, line)| Write::new("devices", file, line)));
        }
        Dialect::V2 if fresh && policy.allow && policy.exceptions.is_empty() => {}
        Dialect::V2 => plan.program = Some(policy.program()),
    }
    Ok(())
}

fn plan_rest(plan: &mut Plan, resources: &LinuxResources, layout: &Layout) -> Result<()> {
    for (device, limit) in sorted(resources.rdma()) {
        need(layout, "rdma")?;
        if limit.hca_handles().is_none() && limit.hca_objects().is_none() {
            return Err(invalid("rdma", format!("{device}: one of hcaHandles and hcaObjects is needed")));
        }
        let mut value = device.clone();
        for (name, number) in [("hca_handle", limit.hca_handles()), ("hca_object", limit.hca_objects())] {
            value.extend(number.map(|number| format!(" {name}={number}")));
        }
        plan.writes.push(Write::new("rdma", "rdma.max", value));
    }
    if let Some(network) = resources.network() {
        // There is no such thing on v2; runc does not refuse it either.
        if layout.dialect("net_cls") == Some(Dialect::V1) {
            plan.writes.extend(network.class_id().map(|id| Write::new("net_cls", "net_cls.classid", id)));
        }
        if layout.dialect("net_prio") == Some(Dialect::V1) {
            plan.writes.extend(network.priorities().iter().flatten().map(|priority| {
                let value = format!("{} {}", priority.name(), priority.priority());
                Write::new("net_prio", "net_prio.ifpriomap", value)
            }));
        }
    }
    for (file, value) in sorted(resources.unified()) {
        if layout.mode() != super::Mode::V2 {
            return Err(invalid("unified", "raw cgroup v2 settings need a host with cgroup v2 alone"));
        }
        if file.contains('/') || !file.contains('.') {
            return Err(invalid("unified", format!("{file:?} is not the name of a cgroup file")));
        }
        // The kernel takes one line with each write.
        plan.writes.extend(value.lines().map(|line| Write::new("", file.as_str(), line)));
    }
    Ok(())
}

/// Maps have no order of their own; the plan must not depend on a hash.
fn sorted<V>(map: &Option<std::collections::HashMap<String, V>>) -> Vec<(&String, &V)> {
    let mut entries: Vec<_> = map.iter().flatten().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

fn need(layout: &Layout, controller: &str) -> Result<Dialect> {
    layout.dialect(controller).ok_or_else(|| invalid(controller, "this host has no such cgroup controller"))
}

fn pick(layout: &Layout, controller: &str, one: impl FnOnce() -> Vec<Write>, two: impl FnOnce() -> Vec<Write>) -> Result<Vec<Write>> {
    Ok(match need(layout, controller)? {
        Dialect::V1 => one(),
        Dialect::V2 => two(),
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
