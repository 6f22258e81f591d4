//! Networks that are only the configuration of others.

use super::pool::pool;
use super::{Networks, plain};
use crate::error::{Error, Kind, Result};
use crate::model::network::{Driver, Network, NetworkRequest};
use std::sync::Arc;

fn forbidden<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(Kind::Forbidden, message))
}

/// What a request may not say that is, or comes from, a configuration.
pub(super) fn check(request: &NetworkRequest) -> Result<()> {
    if request.config_only {
        if request.ingress || request.internal || request.attachable || !request.scope.is_empty() {
            return forbidden(
                "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.",
            );
        }
        if !request.config_from.is_empty() {
            return forbidden("a configuration network cannot depend on another configuration network");
        }
    }
    if !request.config_from.is_empty() {
        if !request.options.is_empty() {
            return forbidden("network driver options are not supported if the network depends on a configuration network");
        }
        let ipam = !request.pools.is_empty() || request.ipam_options.as_ref().is_some_and(|options| !options.is_empty());
        if ipam || !request.labels.is_empty() || request.ipv6 || request.ipv4 == Some(false) {
            return forbidden("user specified configurations are not supported if the network depends on a configuration network");
        }
    }
    Ok(())
}

/// A configuration as a network. It has no addresses of its own: its subnets are checked and kept as they were given.
pub(super) fn network(request: NetworkRequest) -> Result<Network> {
    for asked in request.pools.iter().filter(|asked| !asked.subnet.is_empty()) {
        pool(asked)?;
    }
    Ok(Network {
        config_only: true,
        ipv4: request.ipv4.unwrap_or(true),
        ipv6: request.ipv6,
        ipam_options: request.ipam_options,
        options: request.options,
        labels: request.labels,
        asked: request.pools,
        ..plain(&request.name, Driver::Null)?
    })
}

/// Gives a request what a configuration says.
pub(super) fn take_from(request: &mut NetworkRequest, from: &Network) {
    request.ipv4 = Some(from.ipv4);
    request.ipv6 = from.ipv6;
    request.ipam_options.clone_from(&from.ipam_options);
    request.options.clone_from(&from.options);
    request.labels.clone_from(&from.labels);
    request.pools.clone_from(&from.asked);
    request.config_from.clone_from(&from.name);
}

impl Networks {
    /// A configuration by its name.
    pub(super) fn configuration(&self, name: &str) -> Result<Arc<Network>> {
        match self.get(name) {
            Ok(network) if network.config_only => Ok(network),
            _ => Err(Error::new(Kind::NotFound, format!("configuration network \"{name}\" does not exist"))),
        }
    }

    /// Fails where a configuration has been made use of.
    pub(crate) fn check_unused(&self, network: &Network) -> Result<()> {
        let used = network.config_only && self.lock().by_id.values().any(|entry| entry.network.config_from == network.name);
        match used {
            true => forbidden(format!("error while removing network: configuration network \"{}\" is in use", network.name)),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::network::PoolRequest;

    #[test]
    fn what_a_configuration_may_say() {
        let said = |change: &dyn Fn(&mut NetworkRequest)| {
            let mut request = NetworkRequest { name: "n".into(), ..NetworkRequest::default() };
            change(&mut request);
            check(&request).map_or_else(|error| error.message, |()| "fine".into())
        };
        assert_eq!(said(&|r| r.config_only = true), "fine");
        assert!(said(&|r| (r.config_only, r.internal) = (true, true)).starts_with("configuration network can only contain"));
        let from = |r: &mut NetworkRequest| r.config_from = "c".into();
        assert_eq!(said(&|r| from(r)), "fine");
        let both = |r: &mut NetworkRequest| (r.config_only, r.config_from) = (true, "c".into());
        assert_eq!(said(&both), "a configuration network cannot depend on another configuration network");
        let option = |r: &mut NetworkRequest| {
            from(r);
            r.options.insert("a".into(), "b".into());
        };
        assert_eq!(said(&option), "network driver options are not supported if the network depends on a configuration network");
        let own = "user specified configurations are not supported if the network depends on a configuration network";
        let pool = |r: &mut NetworkRequest| {
            from(r);
            r.pools.push(PoolRequest::default());
        };
        assert_eq!((said(&pool), said(&|r| (r.config_from, r.ipv6) = ("c".into(), true))), (own.into(), own.into()));
    }
}
