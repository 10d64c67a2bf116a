//! What a process does in ZooKeeper for all its destinations: it proves its session, and says that it is there.
//!
//! One session serves all destinations of a process, so its proof is asked for once. States: those of [`Lease`] and of
//! [`Presence`]. Never knows a destination.

use bytes::Bytes;

use crate::coordination::ask::Asks;
use crate::coordination::{Effect, Outcome, Signal, Ticket, ZkSessionId};
use crate::election::lease::Lease;
use crate::election::paths;
use crate::election::presence::Presence;
use crate::time::Instant;

/// Until when a session is known to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proved {
    /// Which; none if there is none.
    pub session: Option<ZkSessionId>,
    /// Until when; none if nothing proves it.
    pub until: Option<Instant>,
}

/// A process in a cluster.
#[derive(Debug)]
pub struct Node {
    lease: Lease,
    presence: Presence,
    asks: Asks,
}

impl Node {
    /// A process that clients reach at `address`, a host and a port.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self {
            lease: Lease::default(),
            presence: Presence::new(paths::servers(), address, Bytes::new()),
            asks: Asks::default(),
        }
    }

    /// Takes what the connection says.
    pub fn handle_signal(&mut self, now: Instant, signal: &Signal) {
        if matches!(signal, Signal::Expired) {
            self.asks.forget();
        }
        self.lease.handle_signal(now, signal, &mut self.asks);
        self.presence.handle_signal(signal, &mut self.asks);
    }

    /// Takes the answer to an effect.
    pub fn handle_outcome(&mut self, now: Instant, ticket: Ticket, outcome: &Outcome) {
        if !self.lease.handle_outcome(ticket, outcome) {
            let asks = &mut self.asks;
            self.presence.handle_outcome(now, ticket, outcome, asks);
        }
    }

    /// Does what time alone asks for.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.lease.handle_timeout(now, &mut self.asks);
        self.presence.handle_timeout(now, &mut self.asks);
    }

    /// The next effect.
    pub fn poll_effect(&mut self) -> Option<(Ticket, Effect)> {
        self.asks.poll()
    }

    /// When [`Self::handle_timeout`] is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = [self.lease.poll_timeout(), self.presence.poll_timeout()];
        timers.into_iter().flatten().min()
    }

    /// Until when the session is known to live.
    #[must_use]
    pub fn proved(&self) -> Proved {
        let session = self.lease.session();
        Proved {
            session,
            until: session.and_then(|session| self.lease.until(session)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::testing::{Model, TIMEOUT};
    use crate::time::Duration;

    #[test]
    fn a_node_is_there_and_proves_its_session_again_and_again() {
        let (mut model, mut node) = (Model::default(), Node::new("a:11111"));
        let now = Instant::ZERO + Duration::from_secs(1);
        let session = model.open(now);
        let timeout = TIMEOUT;
        node.handle_signal(now, &Signal::Connected { session, timeout });
        let mut settle = |node: &mut Node, now| {
            while let Some((ticket, effect)) = node.poll_effect() {
                let outcome = model.perform(now, session, ticket, effect);
                node.handle_outcome(now, ticket, &outcome);
            }
        };
        settle(&mut node, now);
        assert!(node.presence.is_here());
        let proved = Proved {
            session: Some(session),
            until: Some(now + TIMEOUT * 2 / 3),
        };
        assert_eq!(node.proved(), proved);
        let next = now + TIMEOUT / 6;
        assert_eq!(node.poll_timeout(), Some(next));
        node.handle_timeout(next);
        settle(&mut node, next);
        assert_eq!(node.proved().until, Some(next + TIMEOUT * 2 / 3));
        node.handle_signal(next, &Signal::Expired);
        assert_eq!((node.proved().session, node.poll_timeout()), (None, None));
    }
}
