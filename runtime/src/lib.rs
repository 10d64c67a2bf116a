//! The runtime of canald: everything that touches the world, and decides nothing.
//!
//! The core (`canald_core`) decides; what is here carries bytes, time and files to it and back, through
//! the seams in [`mod@env`], so that the simulator can put its own world under the same drivers. With the
//! feature `daemon` there is the real world too: sockets with TLS, the disk, threads, the command line.

#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod driver;
pub mod env;
pub mod files;
pub mod net;
pub mod pool;
pub mod tls;
pub mod watch;
pub mod zone;
pub mod zookeeper;

#[cfg(feature = "daemon")]
pub mod check;
#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod decode;
#[cfg(feature = "daemon")]
pub mod exit;
#[cfg(feature = "daemon")]
pub mod logging;
#[cfg(feature = "daemon")]
pub mod output;
#[cfg(feature = "daemon")]
pub mod serve;
#[cfg(feature = "daemon")]
pub mod tail;
