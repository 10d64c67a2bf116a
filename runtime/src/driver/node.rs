//! Runs what a process does in ZooKeeper for all its destinations.

use std::sync::Arc;

use canald_core::node::{Node, Proved};
use tracing::{debug, trace};

use crate::clock::Clock;
use crate::driver::coordination::{Line, Said};
use crate::watch;
use crate::zookeeper::{Signals, ZooKeeper};

/// The driver of a process in a cluster.
pub struct NodeDriver<C> {
    clock: C,
    machine: Node,
    line: Line,
    proved: Arc<watch::Sender<Proved>>,
}

impl<C: Clock> NodeDriver<C> {
    /// A driver for `machine`.
    #[must_use]
    pub fn new(clock: C, machine: Node, zookeeper: (ZooKeeper, Signals)) -> Self {
        Self {
            clock,
            proved: Arc::new(watch::Sender::new(machine.proved())),
            machine,
            line: Line::new(zookeeper),
        }
    }

    /// Follows until when the session is known to live.
    #[must_use]
    pub fn proved(&self) -> watch::Receiver<Proved> {
        self.proved.subscribe()
    }

    /// Runs until `stop` is true, and closes the session then: all other machines have ended by that time.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            while let Some((ticket, effect)) = self.machine.poll_effect() {
                trace!("node > {effect:?}");
                self.line.perform(ticket, effect);
            }
            let proved = self.machine.proved();
            self.proved.send_if_modified(|known| {
                let changed = *known != proved;
                *known = proved;
                changed
            });
            let deadline = self.machine.poll_timeout();
            let clock = &self.clock;
            let timer = async {
                match deadline {
                    Some(at) => clock.sleep_until(at).await,
                    None => core::future::pending().await,
                }
            };
            let said = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return self.line.close().await,
                said = self.line.next() => Some(said),
                () = timer => None,
            };
            let now = self.clock.now();
            match said {
                Some(Said::Signal(signal)) => {
                    debug!("ZooKeeper: {signal:?}");
                    self.machine.handle_signal(now, &signal);
                }
                Some(Said::Outcome(ticket, outcome)) => {
                    trace!("node < {outcome:?}");
                    self.machine.handle_outcome(now, ticket, &outcome);
                }
                None => self.machine.handle_timeout(now),
            }
        }
    }
}
