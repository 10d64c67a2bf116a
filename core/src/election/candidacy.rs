//! One server's candidacy for one destination, with all that lies in ZooKeeper: its presence among the candidates,
//! the election, the record of the destination.
//!
//! It says when the destination is to be run here, from which record, and when no more; whoever runs it says what
//! became of that. States of what it has given out: nothing; a tenure whose record is being read; a running tenure;
//! a tenure that is to store what it must. What it gives out follows from [`Election::stance`] alone.
//!
//! Contract: after inputs, poll [`Candidacy::poll_output`] until none, then [`Candidacy::poll_timeout`]. Each
//! `Perform` ends in one `Outcome`; `Start` is followed by `End`, whatever is said in between.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;

use bytes::Bytes;

use crate::coordination::ask::Asks;
use crate::coordination::{Effect, Outcome, Signal, Ticket, ZkSessionId};
use crate::election::paths::DestinationPaths;
use crate::election::presence::Presence;
use crate::election::record::CANDIDATE;
use crate::election::{Candidate, Election, Stance, State, Tenure};
use crate::identity::Destination;
use crate::meta::nodes::{Event, NodeMeta};
use crate::meta::record::MetaRecord;
use crate::rng::Seed;
use crate::status::{Stage, Status};
use crate::time::Instant;

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// The connection to ZooKeeper says something.
    Signal(Signal),
    /// This session is known to live until then; none if nothing proves it.
    Lease(ZkSessionId, Option<Instant>),
    /// An effect has ended.
    Outcome(Ticket, Outcome),
    /// What was started reads its source: what went wrong before does not count any more.
    Started,
    /// What was started cannot run here: why.
    Failed(String),
    /// The record of what runs is to be stored; answered by [`Output::Saved`] unless the tenure ends before.
    Save(Box<MetaRecord>),
    /// What was told to drain has stored everything.
    Drained,
    /// Another server shall own the destination.
    GiveAway,
    /// The server stops.
    Stop,
}

/// Something that is wanted.
#[derive(Debug)]
pub enum Output {
    /// Ask ZooKeeper.
    Perform(Ticket, Effect),
    /// Run the destination from this record.
    Start(Box<MetaRecord>),
    /// Until when what runs may serve; it is told anew as it moves.
    ServeUntil(Instant),
    /// What runs is to give out nothing more, store what it must, and say so.
    Drain,
    /// What runs is over, at once: nothing of it may be seen any more.
    End,
    /// The record is stored.
    Saved,
    /// A line for operators.
    Note(String),
}

/// What was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Nothing,
    /// The record of a tenure is being read.
    Reading(Tenure),
    Running(Tenure),
    Draining(Tenure),
}

/// A server's candidacy for a destination.
#[derive(Debug)]
pub struct Candidacy {
    presence: Presence,
    election: Election,
    meta: NodeMeta,
    asks: Asks,
    session: Option<ZkSessionId>,
    given: Given,
    serve_until: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Candidacy {
    /// A candidacy that begins with the first session.
    #[must_use]
    pub fn new(me: Candidate, destination: &Destination, seed: Seed) -> Self {
        let paths = DestinationPaths::new(destination);
        let data = Bytes::from_static(CANDIDATE);
        Self {
            presence: Presence::new(paths.cluster(), &me.address, data),
            election: Election::new(me, paths.clone(), seed),
            meta: NodeMeta::new(paths),
            asks: Asks::default(),
            session: None,
            given: Given::Nothing,
            serve_until: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes everything that happened.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        let asks = &mut self.asks;
        match input {
            Input::Signal(signal) => {
                match &signal {
                    Signal::Connected { session, .. } => self.session = Some(*session),
                    Signal::Expired => self.session = None,
                    Signal::Disconnected | Signal::Fired(_) => {}
                }
                self.election.handle_signal(now, &signal, asks);
                self.presence.handle_signal(&signal, asks);
                self.meta.handle_signal(&signal, asks);
            }
            Input::Lease(session, until) => {
                if self.session == Some(session) {
                    self.election.handle_lease(now, until);
                }
            }
            Input::Outcome(ticket, outcome) => self.outcome(now, ticket, outcome),
            Input::Started => self.election.started(),
            Input::Failed(why) => self.election.failed(now, &why, asks),
            Input::Save(record) => self.meta.save(*record, asks),
            Input::Drained => self.election.drained(now, asks),
            Input::GiveAway => self.election.give_away(now, asks),
            Input::Stop => self.election.stop(now, asks),
        }
        self.turn(now);
    }

    /// Does what time alone asks for; harmless when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.election.handle_timeout(now, &mut self.asks);
        self.presence.handle_timeout(now, &mut self.asks);
        self.meta.handle_timeout(now, &mut self.asks);
        self.turn(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        let (ticket, effect) = self.asks.poll()?;
        Some(Output::Perform(ticket, effect))
    }

    /// When [`Self::handle_timeout`] is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = [
            self.election.poll_timeout(),
            self.presence.poll_timeout(),
            self.meta.poll_timeout(),
        ];
        timers.into_iter().flatten().min()
    }

    /// Whether [`Input::Stop`] has been done.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.election.is_stopped()
    }

    /// What it is doing while the destination does not run here.
    #[must_use]
    pub fn status(&self) -> Status {
        let (state, since) = self.election.state();
        let until = match state {
            State::Waiting(until) | State::Retrying(_, until) | State::Draining(_, until) => {
                Some(*until)
            }
            State::Idle
            | State::Preparing
            | State::Looking
            | State::Standby(_)
            | State::Weighing
            | State::Claiming
            | State::Clearing
            | State::Unproved(_)
            | State::Active(_)
            | State::Releasing
            | State::Stopped => None,
        };
        let stage = match state {
            State::Standby(_) | State::Waiting(_) => Stage::StandingBy,
            State::Idle
            | State::Preparing
            | State::Looking
            | State::Weighing
            | State::Claiming
            | State::Clearing
            | State::Unproved(_)
            | State::Active(_)
            | State::Draining(..)
            | State::Releasing
            | State::Retrying(..)
            | State::Stopped => Stage::Electing,
        };
        Status {
            stage,
            reason: alloc::format!("{state}"),
            since,
            until,
        }
    }

    fn outcome(&mut self, now: Instant, ticket: Ticket, outcome: Outcome) {
        let asks = &mut self.asks;
        if self.presence.handle_outcome(now, ticket, &outcome, asks) {
            return;
        }
        if self.meta.is_waiting_for(ticket) {
            self.meta.handle_outcome(now, ticket, outcome, asks);
        } else {
            self.election.handle_outcome(now, ticket, outcome, asks);
        }
    }

    /// What follows from whatever just changed.
    fn turn(&mut self, now: Instant) {
        while let Some(event) = self.meta.poll_event() {
            self.stored(now, event);
        }
        while let Some(note) = self.election.poll_note() {
            self.outputs.push_back(Output::Note(note));
        }
        self.follow(now);
        let until = self.election.serves_until();
        if until != self.serve_until {
            self.serve_until = until;
            self.outputs.extend(until.map(Output::ServeUntil));
        }
    }

    fn stored(&mut self, now: Instant, event: Event) {
        match event {
            Event::Loaded(record) => {
                if let Given::Reading(tenure) = self.given {
                    self.given = Given::Running(tenure);
                    self.outputs.push_back(Output::Start(record));
                }
            }
            Event::Unusable(why) => self.election.failed(now, &why, &mut self.asks),
            Event::Saved => self.outputs.push_back(Output::Saved),
            Event::Fenced => {
                let why = "a write was refused: RUN or the generation is another's";
                self.election.fenced(now, why, &mut self.asks);
            }
            Event::UsedUp => {
                let why = "its batch ids are used up: another tenure has new ones";
                self.election.fenced(now, why, &mut self.asks);
            }
            Event::Note(note) => self.outputs.push_back(Output::Note(note)),
        }
    }

    /// What is given out follows what the election allows.
    fn follow(&mut self, now: Instant) {
        match (self.election.stance(), self.given) {
            (Stance::Active(tenure), Given::Reading(given) | Given::Running(given))
                if tenure.is_one_with(&given) =>
            {
                if tenure != given {
                    self.meta.refence(tenure);
                }
            }
            (Stance::Active(tenure), _) => {
                self.end();
                self.given = Given::Reading(tenure);
                self.meta.begin(tenure, &mut self.asks);
            }
            (Stance::Draining(tenure), Given::Running(given)) if tenure.is_one_with(&given) => {
                self.given = Given::Draining(tenure);
                self.meta.refence(tenure);
                self.outputs.push_back(Output::Drain);
            }
            (Stance::Draining(tenure), Given::Draining(given)) if tenure.is_one_with(&given) => {}
            // Nothing of it runs here.
            (Stance::Draining(_), _) => {
                self.end();
                self.election.drained(now, &mut self.asks);
            }
            (Stance::Passive, Given::Nothing) => {}
            (Stance::Passive, _) => self.end(),
        }
    }

    fn end(&mut self) {
        self.meta.end();
        match core::mem::replace(&mut self.given, Given::Nothing) {
            Given::Running(_) | Given::Draining(_) => {
                self.outputs.push_back(Output::End);
            }
            Given::Nothing | Given::Reading(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
