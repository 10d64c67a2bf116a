//! For how long a session with ZooKeeper is known to live.
//!
//! Nobody can own what an ephemeral node of ours stands for while our session lives, and the session lives
//! at least its timeout after the leader last heard of it. So whatever the leader has answered proves the
//! session from the moment at which it was *sent*; two thirds of the timeout are used, which leaves a third
//! for what is under way when the lease ends (`design.md` §6).
//!
//! States: no session; a session not yet proved; a session proved until a moment. One proof is under way at
//! a time. Pings and reads are no proof: a follower that is cut off from its leader answers them too.

use crate::coordination::ask::Asks;
use crate::coordination::{Effect, Outcome, Signal, Ticket, ZkSessionId};
use crate::time::{Duration, Instant};

/// A session and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    id: ZkSessionId,
    timeout: Duration,
    connected: bool,
    /// Until when it is known to live; none if nothing has proved it yet.
    lives_until: Option<Instant>,
}

/// A request that the leader has to see.
#[derive(Clone, Copy, Debug)]
struct Proof {
    ticket: Ticket,
    session: ZkSessionId,
    sent: Instant,
}

/// The lease of a process on its session.
#[derive(Debug, Default)]
pub struct Lease {
    session: Option<Session>,
    proof: Option<Proof>,
    next: Instant,
}

impl Lease {
    /// Takes what the connection says.
    pub fn handle_signal(&mut self, now: Instant, signal: &Signal, asks: &mut Asks) {
        match signal {
            Signal::Connected { session, timeout } => {
                let known = self.session.filter(|known| known.id == *session);
                self.session = Some(Session {
                    id: *session,
                    timeout: *timeout,
                    connected: true,
                    lives_until: known.and_then(|known| known.lives_until),
                });
                self.prove(now, asks);
            }
            Signal::Disconnected => {
                if let Some(session) = &mut self.session {
                    session.connected = false;
                }
            }
            Signal::Expired => {
                self.session = None;
                self.proof = None;
            }
            Signal::Fired(_) => {}
        }
    }

    /// Takes the answer to a proof; false if it is the answer to something else.
    pub fn handle_outcome(&mut self, ticket: Ticket, outcome: &Outcome) -> bool {
        let Some(proof) = self.proof.take_if(|proof| proof.ticket == ticket) else {
            return false;
        };
        if let (Outcome::Done(_), Some(session)) = (outcome, &mut self.session)
            && session.id == proof.session
        {
            let until = proof.sent + session.timeout * 2 / 3;
            session.lives_until = session.lives_until.max(Some(until));
        }
        true
    }

    /// Asks for the next proof when it is due.
    pub fn handle_timeout(&mut self, now: Instant, asks: &mut Asks) {
        if now >= self.next {
            self.prove(now, asks);
        }
    }

    /// When [`Self::handle_timeout`] is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let session = self.session.as_ref()?;
        (session.connected && self.proof.is_none()).then_some(self.next)
    }

    /// Until when the session named is known to live; none if it is not ours, or nothing proves it.
    #[must_use]
    pub fn until(&self, session: ZkSessionId) -> Option<Instant> {
        let ours = self.session.as_ref().filter(|ours| ours.id == session)?;
        ours.lives_until
    }

    /// The session, if there is one.
    #[must_use]
    pub fn session(&self) -> Option<ZkSessionId> {
        self.session.map(|session| session.id)
    }

    /// Whether the connection stands.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.session.is_some_and(|session| session.connected)
    }

    fn prove(&mut self, now: Instant, asks: &mut Asks) {
        let Some(session) = self.session.filter(|session| session.connected) else {
            return;
        };
        self.next = now + session.timeout / 6;
        if self.proof.is_none() {
            self.proof = Some(Proof {
                ticket: asks.ask(Effect::Sync),
                session: session.id,
                sent: now,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordination::Value;
    use alloc::string::String;

    const ID: ZkSessionId = ZkSessionId(7);
    const TIMEOUT: Duration = Duration::from_secs(6);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn connected(id: ZkSessionId) -> Signal {
        Signal::Connected {
            session: id,
            timeout: TIMEOUT,
        }
    }

    fn answered(lease: &mut Lease, asks: &mut Asks) {
        let (ticket, effect) = asks.poll().unwrap();
        assert_eq!(effect, Effect::Sync);
        assert!(lease.handle_outcome(ticket, &Outcome::Done(Value::Done)));
    }

    #[test]
    fn a_proof_counts_from_when_it_was_sent() {
        let (mut lease, mut asks) = (Lease::default(), Asks::default());
        lease.handle_signal(at(1), &connected(ID), &mut asks);
        assert_eq!(lease.until(ID), None, "nothing proves it yet");
        answered(&mut lease, &mut asks);
        assert_eq!(lease.until(ID), Some(at(5)));
        assert_eq!(lease.poll_timeout(), Some(at(2)));
        lease.handle_timeout(at(2), &mut asks);
        lease.handle_timeout(at(3), &mut asks);
        answered(&mut lease, &mut asks);
        assert_eq!(asks.poll(), None, "one proof at a time");
        assert_eq!(lease.until(ID), Some(at(6)), "sent at 2");
    }

    #[test]
    fn a_proof_that_was_lost_proves_nothing_and_the_connection_is_asked_again() {
        let (mut lease, mut asks) = (Lease::default(), Asks::default());
        lease.handle_signal(at(1), &connected(ID), &mut asks);
        answered(&mut lease, &mut asks);
        lease.handle_timeout(at(2), &mut asks);
        let (ticket, _) = asks.poll().unwrap();
        lease.handle_signal(at(3), &Signal::Disconnected, &mut asks);
        assert!(lease.handle_outcome(ticket, &Outcome::Unknown(String::from("lost"))));
        assert_eq!((lease.until(ID), lease.poll_timeout()), (Some(at(5)), None));
        lease.handle_signal(at(4), &connected(ID), &mut asks);
        assert_eq!(lease.until(ID), Some(at(5)), "a connection is no proof");
        answered(&mut lease, &mut asks);
        assert_eq!(lease.until(ID), Some(at(8)));
    }

    #[test]
    fn another_session_begins_unproved_and_late_proofs_of_the_former_are_nothing() {
        let (mut lease, mut asks) = (Lease::default(), Asks::default());
        lease.handle_signal(at(1), &connected(ID), &mut asks);
        let (late, _) = asks.poll().unwrap();
        lease.handle_signal(at(2), &Signal::Expired, &mut asks);
        assert_eq!((lease.until(ID), lease.session()), (None, None));
        let next = ZkSessionId(8);
        lease.handle_signal(at(3), &connected(next), &mut asks);
        assert!(!lease.handle_outcome(late, &Outcome::Done(Value::Done)));
        assert_eq!(lease.until(next), None);
        answered(&mut lease, &mut asks);
        assert_eq!((lease.until(next), lease.until(ID)), (Some(at(7)), None));
    }
}
