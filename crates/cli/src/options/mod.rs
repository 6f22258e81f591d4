//! What people write in the values of flags, made into what the API takes. Pure but for the files that flags name.

mod body;
mod container_flags;
mod detach;
mod devices;
mod env;
mod health;
mod network;
mod ports;
mod resources;
mod security;
mod values;

pub(crate) use body::{Extra, create_body};
pub(crate) use container_flags::{CREATE_FLAGS, RUN_FLAGS};
pub(crate) use detach::DetachKeys;
pub(crate) use env::{check_env, read_environment};
pub(crate) use resources::{UPDATE_FLAGS, update_body};
pub(crate) use values::{filters, os_error, pairs, some_if_any};
