//! Drivers: they carry bytes, time and records between the world and the core's machines, and decide
//! nothing. Each is generic over its [`World`](crate::env::World), so the simulator runs these very ones.
//!
//! | Driver | Machine | Owns |
//! |---|---|---|
//! | [`server`] | – | the data folder, the port, one task per destination and per connection |
//! | [`instance`] | `canald_core::instance::Instance` | the links to the source, decode jobs, the record |
//! | [`owner`] | `canald_core::election::candidacy::Candidacy` | a destination in a cluster, and its instance's driver |
//! | [`node`] | `canald_core::node::Node` | the proof of the ZooKeeper session |
//! | [`session`] | `canald_core::session::Session` | one client's connection |
//! | [`client`] | `canald_core::client::Client` | our own connection to a canal server |
//! | [`probe`] | `canald_core::mysql::replica::Replica` | one look at a source |

pub mod client;
mod cluster;
mod coordination;
pub mod inbox;
pub mod instance;
pub mod link;
pub mod node;
pub mod owner;
pub mod probe;
pub mod record;
pub mod server;
pub mod session;
mod trace;
