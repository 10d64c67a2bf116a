//! The simulated ZooKeeper: an ensemble whose servers speak the real protocol, so that the real client can
//! be run against it.
//!
//! | Module | Does |
//! |---|---|
//! | `tree` | nodes and sessions as one server knows them, and what changes do to them |
//! | `watches` | who is told of what |
//! | `server` | one server: its copy of the tree, its connections |
//! | `ensemble` | all of them: leader, majority, log, the life of sessions |
//! | `jute` | the bytes, written from the protocol's description: no code of a client is used |
//! | `by_hand` | what an operator does |
//! | `serve` | the tasks |
//! | [`client`] | what the real client needs to live in the simulator |
//!
//! As real servers do: reads are answered by the server that is asked, however far it is behind; changes go
//! through the leader and need a majority; a `sync` needs the leader alone, and waits behind changes that wait
//! for a majority; a change whose client lost its connection may still be done, seconds later; the leader
//! ends the sessions that it hears nothing of; a session goes on through another server, and what it sent
//! through the one before is refused there. Not here: sequential nodes, TTLs, access control, persistent watches, observers,
//! read-only servers, and a leader that does not know yet that there is a newer one.
//!
//! Bounds: memory, for the log is kept whole. It never looks at canald but through its connections.

mod by_hand;
pub mod client;
mod ensemble;
mod jute;
mod serve;
mod server;
#[cfg(test)]
mod tests;
mod tree;
mod watches;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use canald::watch;
use canald_core::coordination::ZkSessionId;
use canald_core::rng::Rng;
use madsim::runtime::Handle;
use madsim::time::Instant;

use self::ensemble::Inner;
use self::server::Ending;
use self::tree::Outcome;
pub use self::tree::Stat;
use crate::host::{Host, ZOOKEEPER_PORT};
use crate::journal::Journal;
use crate::world::net::Network;

/// The machine that all tasks of the ensemble run on. In the network each server has its own.
const NODE: &str = "zookeeper";

/// What the ensemble is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many servers; at least one.
    pub servers: u8,
    /// The unit of time of its configuration. Sessions time out after 2 to 20 of them, and end with the next
    /// half of one.
    pub tick: Duration,
    /// After so many ticks without each other, followers leave their leader and it resigns.
    pub sync_ticks: u32,
    /// How long a majority must have been together before one of them leads.
    pub election: Duration,
    /// How long a message between servers takes, at least and at most.
    pub latency: (Duration, Duration),
}

impl Default for Terms {
    /// Three servers with the ticks that ZooKeeper's own sample configuration has.
    fn default() -> Self {
        Self {
            servers: 3,
            tick: Duration::from_secs(2),
            sync_ticks: 5,
            election: Duration::from_secs(1),
            latency: (Duration::from_millis(1), Duration::from_millis(5)),
        }
    }
}

impl Terms {
    /// The least and the most that a session's timeout may be.
    #[must_use]
    pub fn session_timeouts(&self) -> (Duration, Duration) {
        const LEAST_TICKS: u32 = 2;
        const MOST_TICKS: u32 = 20;
        (self.tick * LEAST_TICKS, self.tick * MOST_TICKS)
    }

    fn sync_limit(&self) -> Duration {
        self.tick * self.sync_ticks
    }

    /// The leader asks its followers twice a tick.
    fn beat(&self) -> Duration {
        self.tick / 2
    }

    fn delay(&self, rng: &mut Rng) -> Duration {
        let (least, most) = self.latency;
        let spread = most.saturating_sub(least).as_micros();
        let spread = u64::try_from(spread).unwrap_or(u64::MAX - 1);
        least + Duration::from_micros(rng.below(spread + 1))
    }
}

/// A session that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSession {
    /// Which.
    pub session: ZkSessionId,
    /// How long it outlives the last word of its client.
    pub timeout: Duration,
    /// The server that its client is connected to, if to any.
    pub server: Option<u8>,
}

/// The ensemble; clones are the same one. Servers count from 0.
#[derive(Clone)]
pub struct Ensemble(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    network: Network,
    /// Told whenever something happened that a task may wait for.
    changes: watch::Sender<()>,
}

impl Ensemble {
    /// An empty ensemble that has just elected its leader, and whose servers listen, each on its own
    /// [`Host::ZooKeeper`]. Its clock shows `base_seconds` (since 1970) where the journal's time is 0, and
    /// all its randomness comes from `seed`.
    ///
    /// # Panics
    /// Outside a madsim runtime.
    #[must_use]
    pub fn new(
        seed: u64,
        terms: Terms,
        network: &Network,
        journal: Journal,
        base_seconds: u32,
    ) -> Self {
        let inner = Inner::new(seed, terms, network.clone(), journal, base_seconds);
        let ensemble = Self(Arc::new(Shared {
            inner: Mutex::new(inner),
            network: network.clone(),
            changes: watch::Sender::new(()),
        }));
        let node = Handle::current().create_node().name(NODE).build();
        node.spawn(serve::beat(ensemble.clone()));
        for server in 0..terms.servers {
            node.spawn(serve::replicate(ensemble.clone(), server));
            node.spawn(serve::listen(ensemble.clone(), server));
        }
        ensemble
    }

    /// All servers, as canal's `canal.zkServers` names them.
    #[must_use]
    pub fn addresses(&self) -> String {
        let servers = 0..self.lock().terms.servers;
        let addresses: Vec<String> = servers
            .map(|server| format!("{}:{ZOOKEEPER_PORT}", Host::ZooKeeper(server)))
            .collect();
        addresses.join(",")
    }

    /// Who leads, if anybody does.
    #[must_use]
    pub fn leader(&self) -> Option<u8> {
        self.lock().leader()
    }

    /// Whether a server takes clients: it is up, and has a leader as far as it knows.
    ///
    /// # Panics
    /// If there is no such server.
    #[must_use]
    pub fn serves(&self, server: u8) -> bool {
        self.lock().server(server).follows
    }

    /// All sessions that are not over, in the order of their ids.
    #[must_use]
    pub fn sessions(&self) -> Vec<LiveSession> {
        let sessions = self.lock().sessions().into_iter();
        sessions
            .map(|(session, timeout, server)| LiveSession {
                session,
                timeout,
                server,
            })
            .collect()
    }

    /// A node as it was committed last, if it is there.
    #[must_use]
    pub fn node(&self, path: &str) -> Option<(Bytes, Stat)> {
        self.lock().truth().data(path)
    }

    /// The session that a node lives and dies with, if it is there and ephemeral.
    #[must_use]
    pub fn owner(&self, path: &str) -> Option<ZkSessionId> {
        self.lock().truth().stat(path)?.owner
    }

    /// The process of a server ends: its connections end, and nobody listens. It keeps what it has on its
    /// disk. Nothing if it is down. Whoever takes the power of its host calls this as well.
    ///
    /// # Panics
    /// If there is no such server.
    pub fn stop(&self, server: u8) {
        self.lock().stop(server);
        self.announce();
    }

    /// A server that was stopped begins again. Nothing if it is up.
    ///
    /// # Panics
    /// If there is no such server.
    pub fn start(&self, server: u8) {
        self.lock().start(server);
        self.announce();
    }

    /// Stops the leader; which one it was.
    pub fn stop_leader(&self) -> Option<u8> {
        let leader = self.leader()?;
        self.stop(leader);
        Some(leader)
    }

    /// Stops so many servers that no majority is left, the leader last; which.
    pub fn stop_majority(&self) -> Vec<u8> {
        let (servers, leader) = {
            let inner = self.lock();
            (inner.terms.servers, inner.leader())
        };
        let mut order: Vec<u8> = (0..servers).collect();
        order.sort_by_key(|server| Some(*server) == leader);
        order.truncate(usize::from(servers).div_ceil(2));
        for server in &order {
            self.stop(*server);
        }
        order
    }

    /// From now on a server applies what is committed only so long after it got it; what it is about to apply
    /// keeps its time. One that leads is never behind.
    ///
    /// # Panics
    /// If there is no such server.
    pub fn lag(&self, server: u8, lag: Duration) {
        self.lock().server(server).lag = lag;
    }

    /// The next `count` changes of nodes, of one session or of any, are done, or refused, and not answered:
    /// the connection breaks. What was asked by an earlier call is over.
    pub fn lose_answers(&self, session: Option<ZkSessionId>, count: u32) {
        self.lock().lose_answers(session, count);
    }

    /// Ends a session as if nothing had been heard of it. False if there is none, or no leader with a
    /// majority.
    pub fn expire(&self, session: ZkSessionId) -> bool {
        let expired = self.lock().expire(Instant::now(), session);
        self.announce();
        expired
    }

    /// An operator gives a node this data, and makes it, and those that hold it, where they are absent.
    /// False if there is no leader with a majority, or the node cannot be.
    pub fn write_by_hand(&self, path: &str, data: Bytes) -> bool {
        let done = {
            let mut inner = self.lock();
            let steps = by_hand::write(inner.truth(), path, data);
            inner.by_hand(Instant::now(), steps)
        };
        self.announce();
        matches!(done, Some(Outcome::All(_)))
    }

    /// An operator deletes a node and all under it. False if it is absent, or there is no leader with a
    /// majority.
    pub fn delete_by_hand(&self, path: &str) -> bool {
        let done = {
            let mut inner = self.lock();
            let steps = by_hand::delete(inner.truth(), path);
            let is_there = !steps.is_empty();
            is_there.then(|| inner.by_hand(Instant::now(), steps))
        };
        self.announce();
        matches!(done, Some(Some(Outcome::All(_))))
    }

    /// All servers are stopped, lose all they know, and begin again; their transactions begin again as
    /// well, so clients that have seen later ones are turned away.
    pub fn wipe(&self) {
        self.lock().wipe();
        self.announce();
    }

    /// Every server is up and as fast as it can, and no answer is lost any more. Cuts are the network's.
    pub fn heal(&self) {
        self.lock().heal();
        self.announce();
    }

    fn network(&self) -> &Network {
        &self.0.network
    }

    fn ending(&self, server: u8, connection: u64) -> Ending {
        let mut inner = self.lock();
        let connection = inner.server(server).connections.get(&connection);
        connection.map_or(Ending::Now, |connection| connection.ending)
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    async fn changed(&self, changes: &mut watch::Receiver<()>) {
        changes
            .changed()
            .await
            .expect("the ensemble, which is held here, holds the sender");
    }

    /// Waits until something holds.
    async fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if holds(self) {
                return;
            }
            self.changed(&mut changes).await;
        }
    }

    fn announce(&self) {
        self.0.changes.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zxid = self.lock().truth().zxid();
        write!(f, "Ensemble(at {:#x}, leader {:?})", zxid.0, self.leader())
    }
}
