//! What stands around the daemon: the source that it reads, the clients that read from it, and the ZooKeeper
//! that coordinates it with others.

pub mod client;
pub mod daemon;
pub mod history;
pub mod source;
pub mod zookeeper;
