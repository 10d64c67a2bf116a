//! Joins a cluster: who we are in it, and one candidacy per destination.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use canald_core::election::Candidate;
use canald_core::election::candidacy::Candidacy;
use canald_core::node::{Node, Proved};
use canald_core::rng::Rng;
use tracing::info;

use crate::config::{ClusterConfig, DestinationConfig};
use crate::driver::node::NodeDriver;
use crate::driver::owner::OwnerDriver;
use crate::env::World;
use crate::files::{FileFault, Files as _};
use crate::watch;
use crate::zookeeper::ZooKeeper;

/// The file of the data folder that holds the id of this server: whoever has the folder is that server.
const NODE_FILE: &str = "canald.node";

/// A cluster that was joined.
pub(super) struct Cluster<W: World> {
    me: Candidate,
    zookeeper: ZooKeeper,
    proved: watch::Receiver<Proved>,
    /// What is run beside the destinations.
    pub(super) node: NodeDriver<W::Clock>,
}

impl<W: World> Cluster<W> {
    /// Begins to seek a session. Clients reach this server at `bound`, or at the host that is configured.
    pub(super) async fn join(
        world: &W,
        data: &Path,
        config: &ClusterConfig,
        bound: SocketAddr,
    ) -> Result<Self, FileFault> {
        let host = config
            .host
            .clone()
            .unwrap_or_else(|| bound.ip().to_string());
        let me = Candidate {
            address: format!("{host}:{}", bound.port()),
            node: identity(world, data).await?,
        };
        info!(
            "one of a cluster, as {}, through {}",
            me.address,
            config.zookeeper.connect_string()
        );
        let (zookeeper, signals) = ZooKeeper::open(config.zookeeper.clone());
        let machine = Node::new(&me.address);
        let clock = world.clock().clone();
        let node = NodeDriver::new(clock, machine, (zookeeper.clone(), signals));
        Ok(Self {
            me,
            zookeeper,
            proved: node.proved(),
            node,
        })
    }

    /// The driver of a destination.
    pub(super) fn driver(&self, world: &W, config: DestinationConfig) -> OwnerDriver<W> {
        let name = config.instance.destination.clone();
        let machine = Candidacy::new(self.me.clone(), &name, world.seed());
        let zookeeper = self.zookeeper.another();
        OwnerDriver::new(
            world.clone(),
            config,
            machine,
            zookeeper,
            self.proved.clone(),
        )
    }
}

/// The id of this server; it is drawn once.
async fn identity<W: World>(world: &W, data: &Path) -> Result<String, FileFault> {
    let path = data.join(NODE_FILE);
    if let Some(bytes) = world.files().load(&path).await? {
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        if !text.is_empty() {
            return Ok(text);
        }
    }
    let mut rng = Rng::new(world.seed());
    let id = format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64());
    world
        .files()
        .save(&path, Bytes::from(format!("{id}\n")))
        .await?;
    Ok(id)
}
