//! Networks of containers: addresses, links, the packet filter's table, published ports.
//!
//! Plans are pure ([`ipam`], [`ports`], [`table`], [`endpoint::Plan`]); effects are thin functions over netlink, spoken in process
//! ([`link`], [`nft`], [`endpoint::apply`]). Knows nothing of containers or of Docker's JSON.

pub mod conntrack;
pub mod cooperate;
pub mod dns;
pub mod endpoint;
pub mod error;
pub mod forward;
pub mod ipam;
pub mod limits;
pub mod link;
pub mod linked;
pub mod namespace;
pub use dhow_sys::netlink;
pub mod nft;
pub mod ports;
pub mod published;
pub mod resolv;
pub mod resolver;
pub mod subnet;
pub mod table;

pub use error::{Error, Result};
pub use subnet::Subnet;
