//! One server of the ensemble, without tasks: its copy of the tree, and its connections.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use canald_core::coordination::{ZkSessionId, Zxid};
use madsim::time::Instant;

use super::jute::{self, Form, Found, Query};
use super::tree::{Change, Outcome, Stamp, Tree};
use super::watches::{Event, Rearmed, WatchKind, Watches};
use crate::host::Host;
use crate::journal::ZkChange;

/// A transaction, as the leader numbered it. A refused one is one too.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) stamp: Stamp,
    pub(super) session: Option<ZkSessionId>,
    pub(super) change: Change,
}

/// How soon a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Not yet.
    Open,
    /// Once what it is to be told is sent.
    WhenTold,
    /// At once.
    Now,
}

/// What a connection is told when a transaction is applied.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Its session has begun.
    Welcome,
    /// How its request went.
    Changed { xid: i32, forms: Vec<Form> },
    /// Nothing: the connection breaks instead.
    Lost,
}

/// A change that a client asked for, on its way.
#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    pub(super) session: Option<ZkSessionId>,
    pub(super) change: Change,
    /// The server that was asked.
    pub(super) server: u8,
    /// By whom.
    pub(super) connection: u64,
    pub(super) answer: Answer,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Who dialed.
    pub(super) from: Option<Host>,
    pub(super) session: Option<ZkSessionId>,
    pub(super) ending: Ending,
    /// It has asked for a change, and was not answered.
    pub(super) asks: bool,
    /// Frames that are to be sent.
    pub(super) outbox: VecDeque<Vec<u8>>,
    watches: Watches,
}

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) up: bool,
    /// It has a leader, or is it: only then it serves clients.
    pub(super) follows: bool,
    /// How much of the log it has safe; the leader counts it for that.
    pub(super) logged: usize,
    /// How much of the log its tree shows.
    pub(super) applied: usize,
    pub(super) tree: Tree,
    /// How much longer than a message it takes to apply what it has.
    pub(super) lag: Duration,
    /// Since when nothing passes between it and its leader.
    pub(super) cut_since: Option<Instant>,
    /// Sessions that it has heard of, and the leader has not been told.
    pub(super) touched: BTreeSet<ZkSessionId>,
    pub(super) connections: BTreeMap<u64, Connection>,
    /// Changes that are on their way to the leader.
    pub(super) forwarded: VecDeque<UnderWay>,
    /// Changes that it has got as the leader, and that no majority has: safe on its disk.
    pub(super) proposed: VecDeque<UnderWay>,
    /// Who is told what when a proposal is applied, by its place in the log.
    pub(super) answers: BTreeMap<usize, (u64, Answer)>,
}

impl Server {
    /// A server that knows nothing and has no leader.
    pub(super) fn new() -> Self {
        Self {
            up: true,
            follows: false,
            logged: 0,
            applied: 0,
            tree: Tree::new(),
            lag: Duration::ZERO,
            cut_since: None,
            touched: BTreeSet::new(),
            connections: BTreeMap::new(),
            forwarded: VecDeque::new(),
            proposed: VecDeque::new(),
            answers: BTreeMap::new(),
        }
    }

    /// Loses its leader: it looks for another, and serves nobody.
    pub(super) fn leave(&mut self) {
        self.follows = false;
        self.cut_since = None;
        self.touched.clear();
        self.forwarded.clear();
        self.answers.clear();
        for connection in self.connections.values_mut() {
            connection.ending = Ending::Now;
        }
    }

    /// Takes a connection. False if it serves nobody.
    pub(super) fn attach(&mut self, id: u64, from: Option<Host>) -> bool {
        if !self.follows {
            return false;
        }
        let connection = Connection {
            from,
            session: None,
            ending: Ending::Open,
            asks: false,
            outbox: VecDeque::new(),
            watches: Watches::default(),
        };
        self.connections.insert(id, connection);
        true
    }

    /// Tells a connection something.
    pub(super) fn tell(&mut self, connection: u64, frame: Vec<u8>) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.outbox.push_back(frame);
        }
    }

    /// A connection goes on with a session, or hears that it is over.
    pub(super) fn welcome(&mut self, connection: u64, session: Option<ZkSessionId>) {
        let known = session.and_then(|id| Some((id, self.tree.session(id)?)));
        let frame = jute::welcome(known);
        let session = known.map(|(id, _)| id);
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.outbox.push_back(frame);
            connection.session = session;
            if session.is_none() {
                connection.ending = Ending::WhenTold;
            }
        }
    }

    /// Applies the next proposal; tells those who watch, then the one who asked.
    pub(super) fn apply(&mut self, proposal: &Proposal) -> (Outcome, Vec<ZkChange>) {
        let index = self.applied;
        self.applied += 1;
        let Proposal {
            stamp,
            session,
            change,
        } = proposal;
        let (outcome, changes) = self.tree.apply(*stamp, *session, change);
        for event in changes.iter().flat_map(Event::of) {
            self.fire(&event);
        }
        if let Some((connection, answer)) = self.answers.remove(&index) {
            self.answer(connection, &answer, proposal, &outcome);
        }
        if matches!(change, Change::Close { .. }) {
            for connection in self.connections.values_mut() {
                if connection.session == *session && connection.ending == Ending::Open {
                    connection.ending = Ending::WhenTold;
                }
            }
        }
        (outcome, changes)
    }

    fn fire(&mut self, event: &Event) {
        for connection in self.connections.values_mut() {
            if connection.watches.fire(event) {
                connection.outbox.push_back(jute::event(event));
            }
        }
    }

    fn answer(&mut self, id: u64, answer: &Answer, proposal: &Proposal, outcome: &Outcome) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.asks = false;
        }
        match answer {
            Answer::Welcome => self.welcome(id, proposal.session),
            Answer::Changed { xid, forms } => {
                let frame = jute::changed(*xid, proposal.stamp.zxid, outcome, forms);
                self.tell(id, frame);
            }
            Answer::Lost => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.ending = Ending::Now;
                }
            }
        }
    }

    /// Answers a query from its own tree, however old that is.
    pub(super) fn query(&mut self, id: u64, xid: i32, query: &Query, watch: bool) {
        let zxid = self.tree.zxid();
        let (path, found) = match query {
            Query::Exists(path) => (path, self.tree.stat(path).map(Found::Stat)),
            Query::Data(path) => {
                let found = self.tree.data(path);
                (path, found.map(|(data, stat)| Found::Data(data, stat)))
            }
            Query::Children(path, form) => {
                let found = self.tree.children(path);
                let found = found.map(|(names, stat)| {
                    Found::Children(names, (*form == Form::Long).then_some(stat))
                });
                (path, found)
            }
        };
        let frame = match &found {
            Some(found) => jute::found(xid, zxid, found),
            None => jute::absent(xid, zxid),
        };
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match query {
            Query::Exists(_) if watch => connection.watches.watch_data(path),
            Query::Data(_) if watch && found.is_some() => connection.watches.watch_data(path),
            Query::Children(..) if watch && found.is_some() => {
                connection.watches.watch_children(path);
            }
            Query::Exists(_) | Query::Data(_) | Query::Children(..) => {}
        }
        connection.outbox.push_back(frame);
    }

    /// Sets the watches of an earlier connection again; what was missed comes before the answer.
    pub(super) fn set_watches(&mut self, id: u64, xid: i32, again: &Rearmed) {
        let zxid = self.tree.zxid();
        if let Some(connection) = self.connections.get_mut(&id) {
            let missed = connection.watches.set_again(&self.tree, again);
            connection.outbox.extend(missed.iter().map(jute::event));
            connection
                .outbox
                .push_back(jute::plain(xid, zxid, jute::OK));
        }
    }

    /// Takes watches back.
    pub(super) fn remove_watches(&mut self, id: u64, xid: i32, path: &str, kind: WatchKind) {
        let zxid = self.tree.zxid();
        if let Some(connection) = self.connections.get_mut(&id) {
            let error = match connection.watches.forget(path, kind) {
                true => jute::OK,
                false => jute::NO_WATCHER,
            };
            connection.outbox.push_back(jute::plain(xid, zxid, error));
        }
    }

    /// The last transaction that its tree shows.
    pub(super) const fn zxid(&self) -> Zxid {
        self.tree.zxid()
    }
}
