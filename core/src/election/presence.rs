//! An ephemeral node that says that we are here: a candidate of a destination, a server of the cluster.
//!
//! It is watched: whoever deletes it sees it come back, and one that a former session of ours left behind is
//! waited for and made anew when it goes (ha-meta-store reference §2.9, 9). States: no session; looking; ours;
//! left behind; trying again later. One effect is under way at a time.

use bytes::Bytes;

use crate::coordination::ask::Asks;
use crate::coordination::{
    Effect, NodeLife, NodePath, Outcome, Refusal, Signal, Ticket, Value, ZkSessionId,
};
use crate::time::{Duration, Instant};

/// Time after which something that did not work is tried again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Away,
    Looking(Ticket),
    MakingParent(Ticket),
    Making(Ticket),
    Here(Ticket),
    LeftBehind(Ticket),
    Retrying(Instant),
}

/// The node, as far as it is ours to keep.
#[derive(Debug)]
pub struct Presence {
    parent: NodePath,
    path: NodePath,
    data: Bytes,
    session: Option<ZkSessionId>,
    state: State,
}

impl Presence {
    /// A node called `name` under `parent`.
    #[must_use]
    pub fn new(parent: NodePath, name: &str, data: Bytes) -> Self {
        Self {
            path: parent.child(name),
            parent,
            data,
            session: None,
            state: State::Away,
        }
    }

    /// Whether the node is there and lives with our session.
    #[must_use]
    pub const fn is_here(&self) -> bool {
        matches!(self.state, State::Here(_))
    }

    /// Takes what the connection says.
    pub fn handle_signal(&mut self, signal: &Signal, asks: &mut Asks) {
        match signal {
            Signal::Connected { session, .. } => {
                self.session = Some(*session);
                self.look(asks);
            }
            Signal::Disconnected => {}
            Signal::Expired => (self.session, self.state) = (None, State::Away),
            Signal::Fired(ticket) => match self.state {
                State::Here(watch) | State::LeftBehind(watch) if watch == *ticket => {
                    self.look(asks);
                }
                State::Here(_)
                | State::LeftBehind(_)
                | State::Away
                | State::Looking(_)
                | State::MakingParent(_)
                | State::Making(_)
                | State::Retrying(_) => {}
            },
        }
    }

    /// Takes an answer; false if it is the answer to something else.
    pub fn handle_outcome(
        &mut self,
        now: Instant,
        ticket: Ticket,
        outcome: &Outcome,
        asks: &mut Asks,
    ) -> bool {
        match self.state {
            State::Looking(asked) if asked == ticket => self.seen(now, ticket, outcome, asks),
            State::MakingParent(asked) if asked == ticket => match outcome {
                Outcome::Done(_) => self.make(asks),
                Outcome::Refused(_) | Outcome::Unknown(_) => self.retry(now),
            },
            State::Making(asked) if asked == ticket => match outcome {
                // What is there now decides, not what is said about it.
                Outcome::Done(_) | Outcome::Refused(Refusal::NodeExists) => self.look(asks),
                Outcome::Refused(Refusal::NoNode) => {
                    let effect = Effect::CreateAll(self.parent.clone());
                    self.state = State::MakingParent(asks.ask(effect));
                }
                Outcome::Refused(_) | Outcome::Unknown(_) => self.retry(now),
            },
            State::Away
            | State::Looking(_)
            | State::MakingParent(_)
            | State::Making(_)
            | State::Here(_)
            | State::LeftBehind(_)
            | State::Retrying(_) => return false,
        }
        true
    }

    /// Tries again when it is time to.
    pub fn handle_timeout(&mut self, now: Instant, asks: &mut Asks) {
        if matches!(self.state, State::Retrying(at) if at <= now) {
            self.look(asks);
        }
    }

    /// When [`Self::handle_timeout`] is wanted.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Retrying(at) => Some(at),
            State::Away
            | State::Looking(_)
            | State::MakingParent(_)
            | State::Making(_)
            | State::Here(_)
            | State::LeftBehind(_) => None,
        }
    }

    fn look(&mut self, asks: &mut Asks) {
        self.state = State::Looking(asks.ask(Effect::ReadAndWatch(self.path.clone())));
    }

    fn make(&mut self, asks: &mut Asks) {
        let effect = Effect::Create(self.path.clone(), self.data.clone(), NodeLife::Ephemeral);
        self.state = State::Making(asks.ask(effect));
    }

    fn seen(&mut self, now: Instant, ticket: Ticket, outcome: &Outcome, asks: &mut Asks) {
        match outcome {
            Outcome::Done(Value::Node(None)) => self.make(asks),
            Outcome::Done(Value::Node(Some(read))) if read.stat.owner == self.session => {
                self.state = State::Here(ticket);
            }
            Outcome::Done(Value::Node(Some(_))) => self.state = State::LeftBehind(ticket),
            Outcome::Done(Value::Done | Value::Children(_) | Value::Stat(_))
            | Outcome::Refused(_)
            | Outcome::Unknown(_) => self.retry(now),
        }
    }

    fn retry(&mut self, now: Instant) {
        self.state = State::Retrying(now + RETRY);
    }
}
