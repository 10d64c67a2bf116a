//! What the real `zookeeper-client` needs to live in the simulator: an executor for its tasks, a network for
//! its connections, and a seed for what it draws. Its time, its maps and its `select!` are replaced by the
//! crates in `sim/shims`.
//!
//! Its tasks run on the machine of whoever calls it, and end when that is killed: then nothing closes its
//! session but time.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use canald::net::{DialFault, Net as _};
use canald_core::rng::{Rng, Seed};
use madsim::plugin::node;
use madsim::task::NodeId;
use spawns_core::{Spawn, SpawnScope, Task};

use crate::host::Host;
use crate::world::net::{Network, SimStream};

/// Runs tasks on the simulated machine that they are spawned from.
struct Spawner;

impl Spawn for Spawner {
    fn spawn(&self, task: Task) {
        madsim::task::spawn(Box::into_pin(task.future));
    }
}

/// As long as it is held, clients of ZooKeeper that are made on this thread live in the simulator. One at a
/// time on a thread.
pub struct ClientRuntime {
    hosts: Arc<Mutex<BTreeMap<NodeId, Host>>>,
    /// Held for its drop.
    _spawner: SpawnScope<'static>,
}

impl ClientRuntime {
    /// Installs it. What clients draw (in which order they try the servers, for how long they wait) follows
    /// from `seed`.
    #[must_use]
    pub fn install(seed: u64, network: Network) -> Self {
        fastrand::seed(Rng::new(Rng::new(Seed(seed)).split("zookeeper/clients")).next_u64());
        let hosts: Arc<Mutex<BTreeMap<NodeId, Host>>> = Arc::default();
        let known = Arc::clone(&hosts);
        let connector: async_net::Connector = Box::new(move |host, port| {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let from = known.get(&node()).copied();
            Box::pin(dial(network.clone(), from, host.to_owned(), port))
        });
        async_net::set_connector(Some(connector));
        Self {
            hosts,
            _spawner: spawns_core::enter(&Spawner),
        }
    }

    /// Says which host of the network a simulated machine is: clients on machines that are none have no
    /// network.
    pub fn place(&self, machine: NodeId, host: Host) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.insert(machine, host);
    }
}

impl Drop for ClientRuntime {
    fn drop(&mut self) {
        async_net::set_connector(None);
    }
}

async fn dial(
    network: Network,
    from: Option<Host>,
    host: String,
    port: u16,
) -> io::Result<Box<dyn async_net::Stream>> {
    let no_host = || io::Error::new(io::ErrorKind::NetworkDown, "this machine is no host");
    let net = network.host(from.ok_or_else(no_host)?);
    let dialed: Result<SimStream, DialFault> = net.dial(&host, port).await;
    match dialed {
        Ok(stream) => Ok(Box::new(stream)),
        Err(fault) => Err(io::Error::other(fault)),
    }
}
