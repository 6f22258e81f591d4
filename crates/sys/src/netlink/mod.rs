//! Netlink: messages made and taken apart (pure), and the socket.

mod message;
mod socket;

pub use message::{Message, Reply, attributes, header, number};
pub use socket::{Failed, Socket};
