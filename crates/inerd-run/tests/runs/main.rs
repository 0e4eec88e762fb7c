//! The store and the runs on it. One binary: linking is what takes long.

mod claims;
mod committed;
mod common;
mod crash;
mod failures;
mod rooms;
mod runs;
mod store;
