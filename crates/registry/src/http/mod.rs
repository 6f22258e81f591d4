//! HTTP/1.1 to registries: addresses, connections that are kept, TLS, bounds. Knows nothing of the protocol above it.

mod body;
mod connect;
mod dns;
mod pool;
mod settings;
mod target;
mod tls;

pub(crate) use body::Body;
pub use dns::lookup;
pub(crate) use pool::{Http, verb};
pub use settings::{Proxies, Settings};
pub(crate) use target::{Scheme, Target, Trust};
