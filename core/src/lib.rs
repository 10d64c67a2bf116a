//! The pure core of canald: state machines and codecs for a MySQL/MariaDB change-data-capture daemon
//! that speaks canal's protocol.
//!
//! It does no I/O and knows no clock, thread, socket or ambient randomness: time and seeds are
//! arguments, effects are values, and the same calls give the same outputs, byte for byte.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod flavor;
pub mod hash;
pub mod identity;
pub mod position;
pub mod read;
pub mod rng;
pub mod time;
pub mod write;

pub mod gtid;

pub mod binlog;
pub mod entry;
pub mod filter;
pub mod mysql;
pub mod schema;

pub mod store;

pub mod coordination;
pub mod election;
pub mod meta;
pub mod node;
pub mod request;

pub mod client;
pub mod pipeline;
pub mod session;
pub mod source;

pub mod config;
pub mod instance;
pub mod status;
