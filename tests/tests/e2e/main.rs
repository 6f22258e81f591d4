//! End to end, one file for each theme. Every test has an engine of its own and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is all it can do")]

mod bad_input;
mod class01_binary;
mod class02_descriptors;
mod class03_symlink_race;
mod class04_devices;
mod class05_proc;
mod class19_users;
mod class20_cgroups;
mod class21_kernel_surface;
mod commit;
mod cp;
mod crash;
mod devices;
mod differential;
mod export;
mod health;
mod hello;
mod help;
mod images;
mod inherited;
mod isolation;
mod lifecycle;
mod limits;
mod logs;
mod mounts;
mod resilience;
mod running;
mod runtimes;
mod stats;
mod streams;
mod terminal;
mod top;
mod tutorial;
mod two_engines;
mod websocket;
