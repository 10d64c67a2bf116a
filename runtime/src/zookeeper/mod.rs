//! ZooKeeper: carries out the core's effects in one session at a time, and tells what happens to it.
//!
//! A [`ZooKeeper`] is the side that asks, [`Signals`] the side that hears; both belong to one machine of the
//! core, and any number of machines share the session ([`ZooKeeper::another`]). A task of its own owns the
//! session, which is in one of three states: there is none yet, its connection stands, its connection is
//! gone. When it is over, a new one is begun and announced.
//!
//! **An effect belongs to the connection that its machine has heard of**, not to the one that stands when it
//! is asked: a machine that has not heard yet that its session is over cannot reach into the next one. Asked
//! outside of a connection, or in one that has ended, it is [`Outcome::Unknown`] and is not sent. Asked in
//! one that ends before the answer, it is `Unknown` at that moment. It may have reached ZooKeeper, and may
//! still reach it in the same session, but not behind anything that is asked later: requests of a session
//! keep their order. So who asks for a sync after an `Unknown`, and then reads, sees what has become of it.
//!
//! An outcome is there before any signal that follows it, and an `Unknown` before the
//! [`Signal::Disconnected`] or [`Signal::Expired`] that explains it: whoever looks at outcomes first keeps
//! that order.
//!
//! Bounds: effects under way and watches are as many as the machines ask for; signals wait for those that
//! hear them, two for each connection and one for each watch. A request of 1 MiB, with paths and all, is refused
//! unsent: a server would drop the connection over it.
//!
//! It never decides and never tries an effect again. What it tries again for ever is to have a session.

mod config;
mod effects;
mod session;

use core::future::Future;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use canald_core::coordination::{Effect, Outcome, Signal, Ticket};
use tokio::sync::{mpsc, oneshot};

pub use self::config::{
    DigestAuth, PORT_DEFAULT, SESSION_TIMEOUT_DEFAULT, ServerAddress, ServersFault, ZooKeeperConfig,
};
use self::session::{Ask, Listener, Order};

/// Numbers the connections of all sessions, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ConnectionNo(u64);

/// The connection that a machine has heard of last, while it has not heard of its end.
#[derive(Debug, Default)]
struct Heard(AtomicU64);

impl Heard {
    fn get(&self) -> Option<ConnectionNo> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            number => Some(ConnectionNo(number)),
        }
    }

    fn set(&self, connection: Option<ConnectionNo>) {
        let number = connection.map_or(0, |connection| connection.0);
        self.0.store(number, Ordering::Release);
    }
}

/// The side that asks. Clones are the same machine's. The session is closed when nobody asks any more: the last
/// handle is dropped, and the last effect has its outcome.
#[derive(Clone, Debug)]
pub struct ZooKeeper {
    orders: mpsc::UnboundedSender<Order>,
    heard: Arc<Heard>,
    listener: Listener,
}

/// The side that hears.
#[derive(Debug)]
pub struct Signals {
    signals: mpsc::UnboundedReceiver<(Signal, Option<ConnectionNo>)>,
    heard: Arc<Heard>,
}

impl ZooKeeper {
    /// Begins to seek a session, in a task of its own.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn open(config: ZooKeeperConfig) -> (Self, Signals) {
        let (orders, taken) = mpsc::unbounded_channel();
        tokio::spawn(session::run(config, taken));
        Self::with(orders)
    }

    /// Both sides for another machine over the same session: its tickets and signals are its own. It hears of a
    /// connection that stands already.
    #[must_use]
    pub fn another(&self) -> (Self, Signals) {
        Self::with(self.orders.clone())
    }

    fn with(orders: mpsc::UnboundedSender<Order>) -> (Self, Signals) {
        let (listener, signals) = mpsc::unbounded_channel();
        let heard = Arc::new(Heard::default());
        let zookeeper = Self {
            orders,
            heard: Arc::clone(&heard),
            listener,
        };
        zookeeper.order(Order::Listen(zookeeper.listener.clone()));
        (zookeeper, Signals { signals, heard })
    }

    /// Asks for `effect`. It is sent in the order of these calls, whether the future is polled or not; dropping
    /// the future takes nothing back. [`Signal::Fired`] names `ticket`.
    pub fn perform(
        &self,
        ticket: Ticket,
        effect: Effect,
    ) -> impl Future<Output = Outcome> + Send + use<> {
        let (answer, outcome) = oneshot::channel();
        self.order(Order::Perform(Ask {
            connection: self.heard.get(),
            ticket,
            effect,
            answer,
            listener: self.listener.clone(),
        }));
        // The session is not closed before the answer.
        let orders = self.orders.clone();
        async move {
            let _orders = orders;
            outcome.await.unwrap_or_else(|_| {
                Outcome::Unknown("the connection ended before the answer".to_owned())
            })
        }
    }

    /// The task that takes orders ends by a panic only, while there is a handle. Then nobody answers, which
    /// is an answer too: the order is dropped here, and its outcome is unknown.
    fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }
}

impl Signals {
    /// The next signal; [`Signal::Expired`] may come without a [`Signal::Disconnected`] before it. None when the session was closed because nobody asks any more; then its ephemeral nodes
    /// are gone, unless ZooKeeper could not be reached. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Signal> {
        let (signal, connection) = self.signals.recv().await?;
        if !matches!(signal, Signal::Fired(_)) {
            self.heard.set(connection);
        }
        Some(signal)
    }
}
