//! The network between the simulated machines.
//!
//! | Module | Decides |
//! |---|---|
//! | `lane` | how bytes are cut, delayed and held back, in one direction |
//! | `connection` | what an end of a connection is, and gives to its reader |
//! | `fabric` | who is connected with whom, what arrives when, and what breaks |
//!
//! All of it is one synchronous state behind a lock; one task, on a machine of its own, lets things happen
//! when they are due. So killing or pausing a host leaves what it sent to the network. Bytes are never
//! lost, doubled or mixed up while a connection lives: it is TCP, and only as bad as TCP. What is due
//! within the same millisecond may arrive together, as timers are no finer.

mod connection;
mod fabric;
mod lane;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use canald::net::{DialFault, Net};
use canald::tls::{TlsFault, TlsPlan};
use canald_core::rng::Seed;
use madsim::runtime::Handle;
use madsim::time::{Instant, sleep_until};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use self::connection::{DialFailure, Side};
use self::fabric::{CONNECT_TIMEOUT, Fabric};
use crate::host::Host;
use crate::journal::Journal;
use crate::plan::Options;

/// The machine that the network's own task runs on.
const NODE: &str = "net";

/// A network of hosts; cheap to clone. It is gone with the last clone, host and stream.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    fabric: Mutex<Fabric>,
    driver: Arc<Notify>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The driver sees that there is nothing left to drive.
        self.driver.notify_one();
    }
}

impl Network {
    /// A network without faults where nobody listens yet, all of whose randomness comes from `seed`.
    ///
    /// # Panics
    /// Outside a madsim runtime.
    #[must_use]
    pub fn new(seed: u64, options: &Options, journal: Journal) -> Self {
        let driver = Arc::new(Notify::new());
        let fabric = Fabric::new(Seed(seed), options, journal, Arc::clone(&driver));
        let shared = Arc::new(Shared {
            fabric: Mutex::new(fabric),
            driver: Arc::clone(&driver),
        });
        let node = Handle::current().create_node().name(NODE).build();
        node.spawn(drive(Arc::downgrade(&shared), driver));
        Self(shared)
    }

    /// The network as one host sees it.
    #[must_use]
    pub fn host(&self, host: Host) -> SimNet {
        SimNet {
            network: self.clone(),
            host,
        }
    }

    /// Nothing passes between two hosts, either way. What is on its way waits, FINs too; a dial waits, and
    /// times out. Cuts count: each needs its own heal.
    pub fn cut(&self, a: Host, b: Host) {
        let mut fabric = self.lock();
        fabric.cut_one_way(a, b);
        fabric.cut_one_way(b, a);
    }

    /// As [`Self::cut`], in one direction.
    pub fn cut_one_way(&self, from: Host, to: Host) {
        self.lock().cut_one_way(from, to);
    }

    /// Takes back one [`Self::cut`] or [`Self::half_open`]; what waited arrives now.
    pub fn heal(&self, a: Host, b: Host) {
        let mut fabric = self.lock();
        fabric.heal_one_way(a, b);
        fabric.heal_one_way(b, a);
    }

    /// Takes back one [`Self::cut_one_way`].
    pub fn heal_one_way(&self, from: Host, to: Host) {
        self.lock().heal_one_way(from, to);
    }

    /// Nothing is cut any more, and every host is on.
    pub fn heal_all(&self) {
        self.lock().heal_all();
    }

    /// Resets all connections between two hosts, at once at both ends. What is on its way is lost; what
    /// has arrived can still be read.
    pub fn reset(&self, a: Host, b: Host) {
        self.lock().reset(a, b);
    }

    /// `forgetful` forgets its connections with `ignorant` without a word: its own ends are reset at once;
    /// the other ends hear nothing, and what they send vanishes. After [`Self::heal`] it is answered with
    /// a reset.
    pub fn half_open(&self, ignorant: Host, forgetful: Host) {
        self.lock().half_open(ignorant, forgetful);
    }

    /// The power of a host goes: its connections and listeners are forgotten, no FIN is sent, and nothing
    /// answers, until [`Self::power_on`]. Whoever calls this kills its process as well.
    pub fn power_off(&self, host: Host) {
        self.lock().power_off(host);
    }

    /// A host that was off can be reached again; it answers what comes for forgotten connections with a
    /// reset.
    pub fn power_on(&self, host: Host) {
        self.lock().power_on(host);
    }

    /// Whether anything gets from one host to another now: for models whose own talk is not simulated
    /// byte by byte.
    #[must_use]
    pub fn passes(&self, from: Host, to: Host) -> bool {
        self.lock().passes(from, to)
    }

    fn lock(&self) -> MutexGuard<'_, Fabric> {
        self.0.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Fabric> {
        self.fabric.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets happen what is due, as long as anybody has the network.
async fn drive(shared: Weak<Shared>, driver: Arc<Notify>) {
    loop {
        let Some(alive) = shared.upgrade() else {
            return;
        };
        let next = alive.lock().run(Instant::now());
        drop(alive);
        match next {
            None => driver.notified().await,
            Some(due) => tokio::select! {
                biased;
                () = driver.notified() => {}
                () = sleep_until(due) => {}
            },
        }
    }
}

/// The network as one host sees it; cheap to clone.
#[derive(Clone)]
pub struct SimNet {
    network: Network,
    host: Host,
}

impl Net for SimNet {
    type Stream = SimStream;
    type Listener = SimListener;

    async fn resolve(&self, host: &str) -> Vec<IpAddr> {
        named(host).map(fabric::address).into_iter().collect()
    }

    /// The names of hosts are those that [`Host`] displays.
    async fn dial(&self, host: &str, port: u16) -> Result<SimStream, DialFault> {
        let to = named(host).ok_or_else(|| DialFault::Unresolved {
            host: host.into(),
            reason: "there is no such host".into(),
        })?;
        let id = self
            .network
            .lock()
            .dial(Instant::now(), self.host, (to, port));
        let stream = SimStream {
            network: self.network.clone(),
            id,
            side: Side::Dialer,
        };
        let place = format!("{host}:{port}");
        match poll_fn(|cx| self.network.lock().poll_dial(id, cx)).await {
            Ok(()) => Ok(stream),
            Err(DialFailure::Refused) => Err(DialFault::Unreachable {
                place,
                reason: io::Error::from(io::ErrorKind::ConnectionRefused).to_string(),
            }),
            Err(DialFailure::TimedOut) => Err(DialFault::TimedOut {
                place,
                seconds: CONNECT_TIMEOUT.as_secs(),
            }),
        }
    }

    /// Nobody speaks TLS here.
    async fn secure(&self, _: SimStream, _: &TlsPlan) -> Result<SimStream, TlsFault> {
        Err(TlsFault::Setup("there is no TLS in the simulator".into()))
    }

    /// All addresses of a host are one; a port of 0 is any.
    async fn listen(&self, at: SocketAddr) -> io::Result<SimListener> {
        let (port, id) = self.network.lock().listen(self.host, at.port())?;
        Ok(SimListener {
            net: self.clone(),
            at: SocketAddr::new(at.ip(), port),
            id,
        })
    }

    fn local_addr(&self, listener: &SimListener) -> io::Result<SocketAddr> {
        Ok(listener.at)
    }

    async fn accept(&self, listener: &mut SimListener) -> io::Result<(SimStream, SocketAddr)> {
        let which = (listener.net.host, listener.at.port(), listener.id);
        let network = &listener.net.network;
        let (id, dialer) = poll_fn(|cx| network.lock().poll_accept(which, cx)).await;
        let stream = SimStream {
            network: network.clone(),
            id,
            side: Side::Taker,
        };
        Ok((stream, dialer))
    }
}

/// The host that has an address.
#[must_use]
pub const fn host_at(address: IpAddr) -> Option<Host> {
    fabric::host_at(address)
}

/// The host of that name.
fn named(name: &str) -> Option<Host> {
    let number = |prefix| name.strip_prefix(prefix)?.parse().ok();
    let hosts = [
        Some(Host::Source),
        Some(Host::Canald),
        number("client-").map(Host::Client),
        number("zookeeper-").map(Host::ZooKeeper),
    ];
    hosts
        .into_iter()
        .flatten()
        .find(|host| host.to_string() == name)
}

/// A port that takes connections, until it is dropped.
pub struct SimListener {
    net: SimNet,
    at: SocketAddr,
    id: u64,
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let SimNet { network, host } = &self.net;
        network
            .lock()
            .unlisten(Instant::now(), *host, self.at.port(), self.id);
    }
}

/// An end of a connection. Dropping it closes it.
pub struct SimStream {
    network: Network,
    id: u64,
    side: Side,
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.network
            .lock()
            .release(Instant::now(), self.id, self.side);
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.network
            .lock()
            .poll_read((self.id, self.side), cx, into)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let end = (self.id, self.side);
        self.network
            .lock()
            .poll_write(Instant::now(), end, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What is written is with the network already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.network
            .lock()
            .finish(Instant::now(), self.id, self.side);
        Poll::Ready(Ok(()))
    }
}
