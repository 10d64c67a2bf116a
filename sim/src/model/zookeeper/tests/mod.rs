//! The model against the real client: what each takes for granted, the other must mean.

mod faults;
mod plain;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use canald_core::coordination::ZkSessionId;
use madsim::runtime::{Handle, Runtime};
use madsim::time::{Instant, sleep};
use zookeeper_client as zk;

use super::client::ClientRuntime;
use super::{Ensemble, Terms};
use crate::host::Host;
use crate::journal::{Journal, Record, ZkRecord};
use crate::world::net::Network;
use crate::world::testing::{journal, options};

/// 2026-01-01.
const BASE_SECONDS: u32 = 1_767_225_600;

/// What the clients ask for; the model's bounds for it are 2 s and 20 s.
const SESSION_TIMEOUT: Duration = Duration::from_secs(4);

/// After so long without a word they try another server.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// Longer than any of it takes.
const LONG: Duration = Duration::from_secs(60);

const A: Host = Host::Canald;
const B: Host = Host::Client(0);

const fn terms() -> Terms {
    Terms {
        servers: 3,
        tick: Duration::from_secs(1),
        sync_ticks: 2,
        election: Duration::from_millis(500),
        latency: (Duration::from_millis(1), Duration::from_millis(4)),
    }
}

const fn persistent() -> zk::CreateOptions<'static> {
    zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all())
}

const fn ephemeral() -> zk::CreateOptions<'static> {
    zk::CreateMode::Ephemeral.with_acls(zk::Acls::anyone_all())
}

/// Runs a scenario against three servers, on a thread of its own, as real runs are: the randomness that
/// libraries keep for a thread is then drawn inside the simulation.
fn with_ensemble<T, F>(seed: u64, scenario: impl FnOnce(Rig) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let run = move || {
        let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
        runtime.block_on(async {
            let rig = Rig::new(seed);
            scenario(rig).await
        })
    };
    match std::thread::spawn(run).join() {
        Ok(out) => out,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

struct Rig {
    network: Network,
    ensemble: Ensemble,
    records: Arc<Mutex<Vec<Record>>>,
    journal: Journal,
    clients: ClientRuntime,
}

impl Rig {
    fn new(seed: u64) -> Self {
        let (journal, records) = journal();
        let network = Network::new(seed, &options(), journal.clone());
        let ensemble = Ensemble::new(seed, terms(), &network, journal.clone(), BASE_SECONDS);
        let clients = ClientRuntime::install(seed, network.clone());
        Self {
            network,
            ensemble,
            records,
            journal,
            clients,
        }
    }

    /// A client on a machine of its own.
    async fn client(&self, host: Host) -> zk::Client {
        self.client_of(host, &self.ensemble.addresses()).await
    }

    /// A client that knows these servers.
    async fn client_of(&self, host: Host, servers: &str) -> zk::Client {
        let machine = Handle::current().create_node().build();
        self.clients.place(machine.id(), host);
        let servers = servers.to_owned();
        let connecting = machine.spawn(async move {
            zk::Client::connector()
                .with_session_timeout(SESSION_TIMEOUT)
                .with_connection_timeout(CONNECTION_TIMEOUT)
                .connect(&servers)
                .await
        });
        connecting.await.unwrap().unwrap()
    }

    /// The server that a client is connected to.
    fn home(&self, client: &zk::Client) -> Option<u8> {
        let sessions = self.ensemble.sessions().into_iter();
        let mut own = sessions.filter(|live| live.session == session(client));
        own.next().and_then(|live| live.server)
    }

    /// A server that follows.
    fn follower(&self) -> u8 {
        let leader = self.ensemble.leader();
        (0..3).find(|server| Some(*server) != leader).unwrap()
    }

    fn address(server: u8) -> String {
        format!("{}:2181", Host::ZooKeeper(server))
    }

    /// Nothing passes between a host and any server.
    fn cut_off(&self, host: Host) {
        (0..3).for_each(|server| self.network.cut(host, Host::ZooKeeper(server)));
    }

    fn count(&self, of: impl Fn(&ZkRecord) -> bool) -> usize {
        let records = self.records.lock().unwrap();
        let is_chosen = |r: &&Record| matches!(r, Record::ZooKeeper(record) if of(record));
        records.iter().filter(is_chosen).count()
    }
}

fn session(client: &zk::Client) -> ZkSessionId {
    ZkSessionId(client.session_id().0)
}

/// What comes within a while, or nothing.
async fn within<T>(patience: Duration, what: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        out = what => Some(out),
        () = sleep(patience) => None,
    }
}

/// Waits until something holds.
async fn until(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "it never holds");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a client is in a state.
async fn state(client: &zk::Client, wanted: zk::SessionState) {
    until(|| client.state() == wanted).await;
}
