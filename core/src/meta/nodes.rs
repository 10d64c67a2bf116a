//! The record of a destination in ZooKeeper, as canal lays it out, and as one tenure of an owner reads and writes it.
//!
//! | Node | What it holds |
//! |---|---|
//! | `…/D/C` | nothing: it is there while client C is subscribed |
//! | `…/D/C/filter`, `…/D/C/cursor` | its filter, its cursor with canald's extension |
//! | `…/D/parse` | where the destination started |
//! | `…/D/canald/record` | what was withheld and what was lost, in the format of [`MetaRecord`]'s file |
//!
//! States: between tenures; loading; idle; writing; loading again, because an answer was lost or somebody else wrote.
//! Every write is one transaction behind the fence of its tenure, names the version of each node that it changes, and
//! has at most [`STEPS_MAX`] steps; what is left follows. A node that somebody else has changed is read again and
//! then written as we know it: duplicates are harmless, and loss is not (ha-meta-store reference §2.9, 6).
//!
//! Never writes outside of a tenure, and never what it could not read.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use bytes::Bytes;

use crate::coordination::ask::Asks;
use crate::coordination::{
    Effect, NodeLife, NodePath, NodeRead, NodeVersion, Outcome, Refusal, Signal, Step, Ticket,
    Value,
};
use crate::election::Tenure;
use crate::election::paths::{DestinationPaths, client_of};
use crate::meta::cursor::Cursor;
use crate::meta::identity::ClientId;
use crate::meta::java::{LogPositionForm, decode_log_position, encode_log_position};
use crate::meta::ledger::Generation;
use crate::meta::record::{ClientRecord, MetaRecord};
use crate::time::{Duration, Instant};

/// Steps of one transaction: what changes at once is one cursor per client, and clients are few.
pub const STEPS_MAX: usize = 128;

/// Bytes of paths and data in one transaction of several changes: below what ZooKeeper takes at once
/// ([`NODE_BYTES_MAX`](crate::coordination::NODE_BYTES_MAX)), with room for the rest of the request.
pub const STEPS_BYTES_MAX: usize = 900 << 10;

/// Steps of the fence, which come first.
const FENCE: usize = 2;

/// Time after which what was not answered is asked again.
pub const RETRY: Duration = Duration::from_secs(1);

/// What Java reads where a source has no address: it then looks for the position by time.
const NO_ADDRESS: &str = "0.0.0.0";

/// What came of what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The record, as it is stored.
    Loaded(Box<MetaRecord>),
    /// It cannot be used: which node, why, and what to do.
    Unusable(String),
    /// What [`NodeMeta::save`] was given is stored.
    Saved,
    /// A write was refused by the fence: the tenure is over.
    Fenced,
    /// The generation of the tenure is used up: it takes another tenure to go on.
    UsedUp,
    /// Something that operators should read.
    Note(String),
}

/// A node as we know it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    data: Bytes,
    version: NodeVersion,
}

/// The nodes of a destination, by path.
type Nodes = BTreeMap<NodePath, Known>;

/// How far loading is.
#[derive(Debug, Default)]
struct Loading {
    nodes: Nodes,
    /// Nodes whose children are still to be read.
    left: Vec<NodePath>,
}

#[derive(Debug)]
enum State {
    /// No tenure, or nothing usable.
    Away,
    /// Before loading again.
    Syncing,
    Loading(Loading),
    Idle,
    /// A transaction is under way: what is there once it is done.
    Writing(Nodes),
    Retrying(Instant),
}

/// The record of a destination in ZooKeeper.
#[derive(Debug)]
pub struct NodeMeta {
    paths: DestinationPaths,
    tenure: Option<Tenure>,
    state: State,
    /// Whether the tenure has been given the record.
    loaded: bool,
    /// Whether the last write was refused by what it would change.
    was_refused: bool,
    pending: Option<Ticket>,
    nodes: Nodes,
    /// What is to be stored; none if all is.
    wanted: Option<MetaRecord>,
    events: VecDeque<Event>,
}

impl NodeMeta {
    /// The record of the destination whose nodes are `paths`.
    #[must_use]
    pub const fn new(paths: DestinationPaths) -> Self {
        Self {
            paths,
            tenure: None,
            state: State::Away,
            loaded: false,
            was_refused: false,
            pending: None,
            nodes: Nodes::new(),
            wanted: None,
            events: VecDeque::new(),
        }
    }

    /// A tenure begins: what is stored is read, after RUN was won and in the same session, so that no write of a
    /// former owner is missed.
    pub fn begin(&mut self, tenure: Tenure, asks: &mut Asks) {
        self.end();
        self.tenure = Some(tenure);
        self.load(asks);
    }

    /// The tenure is over: nothing is written any more.
    pub fn end(&mut self) {
        self.tenure = None;
        (self.state, self.pending, self.loaded) = (State::Away, None, false);
        self.was_refused = false;
        self.wanted = None;
        self.nodes.clear();
        self.events.clear();
    }

    /// RUN was rewritten, and the tenure goes on.
    pub fn refence(&mut self, tenure: Tenure) {
        if let Some(own) = &mut self.tenure {
            *own = tenure;
        }
    }

    /// Stores `record`; [`Event::Saved`] follows. Newer records take the place of older ones.
    pub fn save(&mut self, record: MetaRecord, asks: &mut Asks) {
        self.wanted = Some(record);
        if matches!(self.state, State::Idle) {
            self.write(asks);
        }
    }

    /// The next thing that came of what was asked.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes what the connection says.
    pub fn handle_signal(&mut self, signal: &Signal, asks: &mut Asks) {
        match signal {
            Signal::Connected { .. } => {
                if matches!(self.state, State::Retrying(_)) {
                    self.sync(asks);
                }
            }
            Signal::Expired => self.end(),
            Signal::Disconnected | Signal::Fired(_) => {}
        }
    }

    /// Whether the answer to `ticket` is for it.
    #[must_use]
    pub fn is_waiting_for(&self, ticket: Ticket) -> bool {
        self.pending == Some(ticket)
    }

    /// Takes an answer; false if it is the answer to something else.
    pub fn handle_outcome(
        &mut self,
        now: Instant,
        ticket: Ticket,
        outcome: Outcome,
        asks: &mut Asks,
    ) -> bool {
        if self.pending.take_if(|pending| *pending == ticket).is_none() {
            return false;
        }
        match (core::mem::replace(&mut self.state, State::Away), outcome) {
            (State::Loading(loading), Outcome::Done(Value::Children(children))) => {
                self.read(loading, children.unwrap_or_default(), asks);
            }
            (State::Writing(nodes), Outcome::Done(_)) => {
                self.was_refused = false;
                self.nodes = nodes;
                self.state = State::Idle;
                self.write(asks);
            }
            (State::Writing(_), Outcome::Refused(Refusal::Step(step, _))) if step < FENCE => {
                self.events.push_back(Event::Fenced);
            }
            (State::Writing(_), Outcome::Refused(Refusal::Step(..))) => {
                let note = format!(
                    "somebody else has changed the cursors of {}: they are written again as they were \
                     acknowledged here",
                    self.paths.root()
                );
                self.events.push_back(Event::Note(note));
                if core::mem::replace(&mut self.was_refused, true) {
                    self.state = State::Retrying(now + RETRY);
                } else {
                    self.load(asks);
                }
            }
            (State::Syncing, Outcome::Done(_)) => self.load(asks),
            (_, outcome) => {
                if let Outcome::Refused(why) = outcome {
                    let note = format!(
                        "ZooKeeper refuses the record of {}: {why:?}",
                        self.paths.root()
                    );
                    self.events.push_back(Event::Note(note));
                }
                self.state = State::Retrying(now + RETRY);
            }
        }
        true
    }

    /// Asks again when it is time to.
    pub fn handle_timeout(&mut self, now: Instant, asks: &mut Asks) {
        if matches!(self.state, State::Retrying(at) if at <= now) {
            self.sync(asks);
        }
    }

    /// When [`Self::handle_timeout`] is wanted.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Retrying(at) => Some(at),
            State::Away | State::Syncing | State::Loading(_) | State::Idle | State::Writing(_) => {
                None
            }
        }
    }

    /// What was not answered may still be on its way: what is read next has to come after it.
    fn sync(&mut self, asks: &mut Asks) {
        self.pending = Some(asks.ask(Effect::Sync));
        self.state = State::Syncing;
    }

    fn load(&mut self, asks: &mut Asks) {
        let root = self.paths.root().clone();
        self.pending = Some(asks.ask(Effect::ReadChildren(root.clone())));
        let left = alloc::vec![root];
        self.state = State::Loading(Loading {
            left,
            ..Loading::default()
        });
    }

    fn read(&mut self, mut loading: Loading, children: Vec<(String, NodeRead)>, asks: &mut Asks) {
        let parent = loading.left.pop().expect("one is under way");
        let at_root = parent == *self.paths.root();
        for (name, NodeRead { data, stat }) in children {
            let path = parent.child(&name);
            let (is_client, is_own) = (client_of(&name).is_some(), path == self.paths.own());
            if at_root && !is_client && !is_own && path != self.paths.parse() {
                continue;
            }
            // Under a client's node lies what a client or a Java server left there: it goes with the client.
            let is_leaf = ["cursor", "filter", "running"].contains(&&*name);
            let is_below = !at_root && parent != self.paths.own();
            if (at_root && (is_client || is_own)) || (is_below && !is_leaf) {
                loading.left.push(path.clone());
            }
            let version = stat.version;
            let is_fence = path == self.paths.generation();
            if !is_own && !is_fence {
                loading.nodes.insert(path, Known { data, version });
            }
        }
        if let Some(next) = loading.left.last() {
            self.pending = Some(asks.ask(Effect::ReadChildren(next.clone())));
            self.state = State::Loading(loading);
            return;
        }
        self.nodes = loading.nodes;
        self.state = State::Idle;
        if self.loaded {
            return self.write(asks);
        }
        match self.record() {
            Ok(record) => {
                self.loaded = true;
                self.events.push_back(Event::Loaded(Box::new(record)));
            }
            Err(why) => {
                self.state = State::Away;
                self.events.push_back(Event::Unusable(why));
            }
        }
    }

    /// The record that the nodes hold.
    fn record(&self) -> Result<MetaRecord, String> {
        let mut record = match self.nodes.get(&self.paths.record()) {
            Some(known) => MetaRecord::decode(&known.data).map_err(|why| {
                let path = self.paths.record();
                format!("{path} cannot be read: {why}. Restore it, or delete it: then what was withheld and \
                         what was lost is forgotten")
            })?,
            None => MetaRecord::default(),
        };
        // The one before: whoever continues from a record takes the next, and that is the tenure's own.
        let own = self.tenure.map_or(0, |tenure| tenure.generation.get());
        record.generation = Generation::new(own.saturating_sub(1)).unwrap_or(Generation::NONE);
        record.start = self.cursor(&self.paths.parse())?;
        for path in self.nodes.keys() {
            let name = path.as_str().strip_prefix(self.paths.root().as_str());
            let Some(id) = name.and_then(|name| client_of(name.trim_start_matches('/'))) else {
                continue;
            };
            let filter = self.nodes.get(&self.paths.filter(id));
            let filter = filter.map(|known| String::from_utf8_lossy(&known.data).into_owned());
            let cursor = self.cursor(&self.paths.cursor(id))?;
            let client = ClientRecord {
                filter: filter.unwrap_or_default(),
                cursor,
            };
            record.clients.insert(id, client);
        }
        Ok(record)
    }

    fn cursor(&self, path: &NodePath) -> Result<Option<Cursor>, String> {
        let Some(known) = self.nodes.get(path) else {
            return Ok(None);
        };
        let cursor = decode_log_position(&known.data).map_err(|why| {
            let data = String::from_utf8_lossy(&known.data);
            format!(
                "{path} cannot be read: {why}. It holds {data:?}. Write a position there by hand, or delete \
                 the node: then its reader begins where the destination started"
            )
        })?;
        Ok(Some(cursor))
    }

    /// The nodes that `record` should have, beside what else lies there.
    fn nodes_of(&self, record: &MetaRecord) -> BTreeMap<NodePath, Bytes> {
        let mut nodes = BTreeMap::new();
        if let Some(start) = &record.start {
            let bytes = encode(start, LogPositionForm::Parse);
            nodes.insert(self.paths.parse(), bytes);
        }
        if !record.quarantined.is_empty() || !record.gaps.is_empty() {
            let kept = MetaRecord {
                quarantined: record.quarantined.clone(),
                gaps: record.gaps.clone(),
                ..MetaRecord::default()
            };
            nodes.insert(self.paths.record(), kept.encode().into());
        }
        for (id, client) in &record.clients {
            nodes.insert(self.paths.client(*id), Bytes::new());
            if !client.filter.is_empty() {
                let filter = client.filter.clone().into_bytes();
                nodes.insert(self.paths.filter(*id), filter.into());
            }
            if let Some(cursor) = &client.cursor {
                nodes.insert(
                    self.paths.cursor(*id),
                    encode(cursor, LogPositionForm::Cursor),
                );
            }
        }
        nodes
    }

    /// Writes what differs, if anything does.
    fn write(&mut self, asks: &mut Asks) {
        let (Some(tenure), Some(record)) = (self.tenure, &self.wanted) else {
            return;
        };
        if record.generation > tenure.generation {
            return self.events.push_back(Event::UsedUp);
        }
        let changes = self.changes(record);
        if changes.is_empty() {
            self.wanted = None;
            return self.events.push_back(Event::Saved);
        }
        let mut after = self.nodes.clone();
        let mut steps = Vec::from(tenure.fence(&self.paths));
        let mut bytes = 0;
        // What is deleted waits until all is written: it may be refused, and nobody's cursor shall wait for that.
        let deletes = matches!(changes.first(), Some(Step::Delete(..)));
        for change in changes.into_iter().take(STEPS_MAX - FENCE) {
            bytes += size(&change);
            let is_full = bytes > STEPS_BYTES_MAX && steps.len() > FENCE;
            if is_full || matches!(change, Step::Delete(..)) != deletes {
                break;
            }
            apply(&mut after, &change);
            steps.push(change);
        }
        self.pending = Some(asks.ask(Effect::All(steps)));
        self.state = State::Writing(after);
    }

    /// Parents before children, and deletions last, children first.
    fn changes(&self, record: &MetaRecord) -> Vec<Step> {
        let wanted = self.nodes_of(record);
        let mut steps = Vec::new();
        for (path, data) in &wanted {
            match self.nodes.get(path) {
                None => steps.push(Step::Create(
                    path.clone(),
                    data.clone(),
                    NodeLife::Persistent,
                )),
                Some(known) if known.data != data && !self.says_so(path, &known.data, data) => {
                    steps.push(Step::Write(path.clone(), data.clone(), known.version));
                }
                Some(_) => {}
            }
        }
        for (path, known) in self.nodes.iter().rev() {
            if self
                .client_at(path)
                .is_some_and(|id| !record.clients.contains_key(&id))
            {
                steps.push(Step::Delete(path.clone(), known.version));
            }
        }
        steps
    }

    /// The client whose node, or a node under it, is at `path`.
    fn client_at(&self, path: &NodePath) -> Option<ClientId> {
        let below = path.as_str().strip_prefix(self.paths.root().as_str())?;
        client_of(below.trim_start_matches('/').split('/').next()?)
    }

    /// Whether what a node holds means what is wanted, in other words: what nobody has moved is left as it is.
    fn says_so(&self, path: &NodePath, found: &[u8], wanted: &[u8]) -> bool {
        let client = self.client_at(path);
        if client.is_some_and(|id| self.paths.client(id) == *path) {
            return true;
        }
        let form = if *path == self.paths.parse() {
            LogPositionForm::Parse
        } else {
            LogPositionForm::Cursor
        };
        decode_log_position(found).is_ok_and(|cursor| encode(&cursor, form) == wanted)
    }
}

fn size(step: &Step) -> usize {
    match step {
        Step::Check(path, _) | Step::Delete(path, _) => path.as_str().len(),
        Step::Create(path, data, _) | Step::Write(path, data, _) => {
            path.as_str().len() + data.len()
        }
    }
}

fn apply(nodes: &mut Nodes, step: &Step) {
    match step {
        Step::Create(path, data, _) => {
            let (data, version) = (data.clone(), NodeVersion(0));
            nodes.insert(path.clone(), Known { data, version });
        }
        Step::Write(path, data, version) => {
            let (data, version) = (data.clone(), version.next());
            nodes.insert(path.clone(), Known { data, version });
        }
        Step::Delete(path, _) => {
            nodes.remove(path);
        }
        Step::Check(..) => {}
    }
}

/// Java resolves the host while it reads: what is no address must not be there (M6).
fn encode(cursor: &Cursor, form: LogPositionForm) -> Bytes {
    let mut cursor = cursor.clone();
    if cursor.source.host.parse::<IpAddr>().is_err() {
        NO_ADDRESS.clone_into(&mut cursor.source.host);
    }
    encode_log_position(&cursor, form).into()
}

#[cfg(test)]
mod tests;
