//! The machines of the simulated world.

use std::fmt;

/// A machine: a node of the simulator, with its own tasks, and one end of every connection it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// The database.
    Source,
    /// The daemon under test.
    Canald,
    /// A client, by its place in the plan.
    Client(u8),
    /// A server of the ZooKeeper ensemble.
    ZooKeeper(u8),
}

/// The port of the database.
pub const SOURCE_PORT: u16 = 3306;

/// The port of ZooKeeper.
pub const ZOOKEEPER_PORT: u16 = 2181;

/// The port of canald.
pub const CANALD_PORT: u16 = 11_111;

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source"),
            Self::Canald => f.write_str("canald"),
            Self::Client(number) => write!(f, "client-{number}"),
            Self::ZooKeeper(number) => write!(f, "zookeeper-{number}"),
        }
    }
}
