//! What stands around the daemon: the source that it reads and the clients that read from it.

pub mod client;
pub mod daemon;
pub mod history;
pub mod source;
