//! What is reachable from outside, and what stands in the way.

use crate::engine::Engine;
use crate::network;

/// What front ends tell of the packet filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firewall {
    /// Names of running containers, with the addresses and ports by which they are reached from outside: `0.0.0.0:8080/tcp`.
    pub reachable: Vec<(String, Vec<String>)>,
    /// Chains of others that drop what they do not know, and the chain in which a rule of ours lets pass; `None`: it is lost there.
    pub obstacles: Vec<(String, Option<String>)>,
}

impl Engine {
    /// What is reachable from outside.
    pub fn firewall(&self) -> Firewall {
        let containers = self.containers();
        let published = containers.iter().map(|container| (container.name.clone(), network::joined(&container.published)));
        let mut reachable: Vec<_> = published.filter(|(_, ports)| !ports.is_empty()).collect();
        reachable.sort();
        Firewall { reachable, obstacles: self.parts.networks.obstacles() }
    }
}
