//! The servers together, without tasks: who leads, what is committed, which sessions live.
//!
//! ```text
//! no leader ─ a majority has reached each other for `election` ─► led ─┐
//!     ▲                                                                │
//!     └── the leader is down, or was without a majority for `sync_limit` ┘
//! ```
//!
//! A change is committed when the leader has it while a majority follows and can be reached, and never undone.
//! One that is under way outlives the connection that it came by: it waits at its server for the leader, and
//! at the leader for a majority, and even a leader that resigned commits it if it is the next one too. Two
//! leaders never are at one time; servers cut off from theirs serve old reads until they notice.

use std::collections::BTreeMap;
use std::time::Duration;

use canald_core::coordination::{ZkSessionId, Zxid};
use canald_core::rng::{Rng, Seed};
use madsim::time::Instant;

use super::Terms;
use super::jute::Hello;
use super::server::{Answer, Ending, Proposal, Server, UnderWay};
use super::tree::{Change, Outcome, PASSWORD_BYTES, Session, Stamp, Step, Tree};
use crate::host::Host;
use crate::journal::{Journal, Record, ZkRecord};
use crate::world::net::Network;

/// The leader's place in a transaction's number.
const EPOCH_BITS: u32 = 32;

/// The place of a server in a session's number, as real servers make them.
const SERVER_BITS: u32 = 56;

/// Who leads, and what only it knows.
#[derive(Debug)]
struct Leading {
    server: u8,
    /// Transactions of its epoch.
    transactions: i64,
    /// When each session ends if nothing is heard of it.
    deadlines: BTreeMap<ZkSessionId, Instant>,
    /// Through which server each session speaks, if it has said so to this leader.
    homes: BTreeMap<ZkSessionId, u8>,
    /// Since when it has no majority.
    alone_since: Option<Instant>,
}

/// Answers to changes that will be lost.
#[derive(Clone, Copy, Debug)]
struct Loss {
    /// Whose; anybody's for none.
    session: Option<ZkSessionId>,
    /// How many more.
    left: u32,
}

/// The servers together.
pub(super) struct Inner {
    pub(super) terms: Terms,
    network: Network,
    journal: Journal,
    rng: Rng,
    base_millis: i64,
    log: Vec<Proposal>,
    servers: Vec<Server>,
    leading: Option<Leading>,
    epoch: i64,
    /// Since when somebody could lead, while nobody does.
    ready_since: Option<Instant>,
    sessions_given: i64,
    connections_given: u64,
    loss: Option<Loss>,
}

impl Inner {
    /// Servers that know nothing, one of which leads.
    pub(super) fn new(
        seed: u64,
        terms: Terms,
        network: Network,
        journal: Journal,
        base_seconds: u32,
    ) -> Self {
        let servers = (0..terms.servers).map(|_| Server::new()).collect();
        let mut inner = Self {
            terms,
            network,
            journal,
            rng: Rng::new(Seed(seed)),
            base_millis: i64::from(base_seconds) * 1000,
            log: Vec::new(),
            servers,
            leading: None,
            epoch: 0,
            ready_since: None,
            sessions_given: 0,
            connections_given: 0,
            loss: None,
        };
        if let Some(first) = inner.candidate() {
            inner.lead(Instant::now(), first);
        }
        inner
    }

    /// Randomness for one use.
    pub(super) fn rng(&self, label: &str) -> Rng {
        Rng::new(self.rng.split(&format!("zookeeper/{label}")))
    }

    pub(super) fn record(&self, record: ZkRecord) {
        self.journal.record(Record::ZooKeeper(record));
    }

    /// A server.
    pub(super) fn server(&mut self, id: u8) -> &mut Server {
        &mut self.servers[usize::from(id)]
    }

    fn ids(&self) -> std::ops::Range<u8> {
        0..self.terms.servers
    }

    /// Who leads.
    pub(super) fn leader(&self) -> Option<u8> {
        self.leading.as_ref().map(|leading| leading.server)
    }

    /// The tree that shows all that is committed.
    pub(super) fn truth(&self) -> &Tree {
        let newest = self.servers.iter().max_by_key(|server| server.applied);
        &newest.expect("an ensemble has servers").tree
    }

    /// All sessions, and the server that each is connected to.
    pub(super) fn sessions(&self) -> Vec<(ZkSessionId, Duration, Option<u8>)> {
        let home = |id: ZkSessionId| {
            self.ids().find(|server| {
                let mut connections = self.servers[usize::from(*server)].connections.values();
                connections.any(|c| c.session == Some(id) && c.ending == Ending::Open)
            })
        };
        let sessions = self.truth().sessions();
        sessions
            .map(|(id, session)| (id, session.timeout, home(id)))
            .collect()
    }

    /// Takes a connection of a client; none if the server serves nobody.
    pub(super) fn attach(&mut self, server: u8, from: Option<Host>) -> Option<u64> {
        let id = self.connections_given;
        self.connections_given += 1;
        self.server(server).attach(id, from).then_some(id)
    }

    /// Whether two servers are up and can talk with each other.
    fn reaches(&self, a: u8, b: u8) -> bool {
        let is_up = |id: u8| self.servers[usize::from(id)].up;
        let (from, to) = (Host::ZooKeeper(a), Host::ZooKeeper(b));
        let passes = || self.network.passes(from, to) && self.network.passes(to, from);
        is_up(a) && is_up(b) && (a == b || passes())
    }

    fn is_majority(&self, servers: usize) -> bool {
        servers * 2 > self.servers.len()
    }

    /// The followers that the leader can talk with, itself among them.
    fn followers(&self, leader: u8) -> Vec<u8> {
        let follows = |id: &u8| self.servers[usize::from(*id)].follows && self.reaches(*id, leader);
        self.ids().filter(follows).collect()
    }

    /// The leader, if it can be reached from a server.
    pub(super) fn leader_from(&self, server: u8) -> Option<u8> {
        let leader = self.leader()?;
        let follows = self.servers[usize::from(server)].follows;
        (follows && self.reaches(server, leader)).then_some(leader)
    }

    /// The end of what the leader has committed, for who asks from a server; nothing while it cannot be
    /// reached, or has changes that wait for a majority. As with real servers, no majority is asked: a leader
    /// that has lost it answers until it resigns.
    pub(super) fn committed(&self, server: u8) -> Option<usize> {
        let leader = self.leader_from(server)?;
        let leader = &self.servers[usize::from(leader)];
        leader.proposed.is_empty().then_some(self.log.len())
    }

    /// A change sets out for the leader, from a server that a client asked.
    pub(super) fn submit(
        &mut self,
        now: Instant,
        (server, connection): (u8, u64),
        change: Change,
        answer: Answer,
    ) {
        let new = matches!(change, Change::Open(_)).then(|| self.new_session(server));
        let Some(asker) = self.server(server).connections.get_mut(&connection) else {
            return;
        };
        asker.asks = true;
        let under_way = UnderWay {
            session: new.or(asker.session),
            change,
            server,
            connection,
            answer,
        };
        self.server(server).forwarded.push_back(under_way);
        self.forward(now, server);
    }

    /// What clients asked of a server goes on to the leader, if it can be reached.
    fn forward(&mut self, now: Instant, server: u8) {
        let Some(leader) = self.leader_from(server) else {
            return;
        };
        while let Some(under_way) = self.server(server).forwarded.pop_front() {
            let session = under_way.session;
            if !self.has_moved(session, server) {
                self.touch(now, leader, session);
                self.server(leader).proposed.push_back(under_way);
            } else if let Some(asker) = self
                .server(server)
                .connections
                .get_mut(&under_way.connection)
            {
                asker.ending = Ending::Now;
            }
        }
        self.commit_proposed(now);
    }

    /// Commits what the leader has, if it has a majority. Whether it has one.
    fn commit_proposed(&mut self, now: Instant) -> bool {
        let Some(leader) = self.leader() else {
            return false;
        };
        if !self.is_majority(self.followers(leader).len()) {
            return false;
        }
        while let Some(under_way) = self.server(leader).proposed.pop_front() {
            self.commit_asked(now, under_way);
        }
        true
    }

    /// Commits what a client asked, and sees to it that it is told.
    fn commit_asked(&mut self, now: Instant, under_way: UnderWay) {
        let UnderWay {
            session,
            change,
            server,
            connection,
            answer,
        } = under_way;
        let answer = self.lose(session, &change, answer);
        let is_lost = matches!(answer, Answer::Lost);
        let index = self.log.len();
        let asked = self.server(server);
        if asked.connections.contains_key(&connection) {
            asked.answers.insert(index, (connection, answer));
        }
        self.commit(now, session, change);
        if is_lost {
            let zxid = self.log[index].stamp.zxid;
            self.record(ZkRecord::AnswerLost { zxid, session });
        }
        if let (Some(session), Some(leading)) = (session, &mut self.leading)
            && leading.deadlines.contains_key(&session)
        {
            leading.homes.insert(session, server);
        }
    }

    /// Whether a session speaks through another server by now: what comes late through this one is refused.
    fn has_moved(&self, session: Option<ZkSessionId>, server: u8) -> bool {
        let homes = self.leading.as_ref().map(|leading| &leading.homes);
        let home = homes.and_then(|homes| homes.get(&session?));
        home.is_some_and(|home| *home != server)
    }

    fn new_session(&mut self, server: u8) -> ZkSessionId {
        self.sessions_given += 1;
        ZkSessionId((i64::from(server) + 1) << SERVER_BITS | self.sessions_given)
    }

    /// The answer that a change gets if its own is to be lost.
    fn lose(&mut self, session: Option<ZkSessionId>, change: &Change, answer: Answer) -> Answer {
        let is_of_nodes = matches!(change, Change::One(_) | Change::All(_));
        match &mut self.loss {
            Some(loss)
                if is_of_nodes
                    && loss.left > 0
                    && loss.session.is_none_or(|of| Some(of) == session) =>
            {
                loss.left -= 1;
                Answer::Lost
            }
            Some(_) | None => answer,
        }
    }

    /// Loses the answers to the next changes of nodes; what was asked before is over.
    pub(super) const fn lose_answers(&mut self, session: Option<ZkSessionId>, left: u32) {
        self.loss = Some(Loss { session, left });
    }

    /// Commits a change: the leader applies it at once, and those who follow it have it safe.
    fn commit(
        &mut self,
        now: Instant,
        session: Option<ZkSessionId>,
        change: Change,
    ) -> Option<Outcome> {
        let leading = self.leading.as_mut()?;
        leading.transactions += 1;
        let leader = leading.server;
        let zxid = Zxid(self.epoch << EPOCH_BITS | leading.transactions);
        let elapsed = i64::try_from(self.journal.elapsed().as_millis()).unwrap_or(i64::MAX);
        let stamp = Stamp {
            zxid,
            millis: self.base_millis.saturating_add(elapsed),
        };
        let proposal = Proposal {
            stamp,
            session,
            change,
        };
        let was_alive = session.is_some_and(|id| self.truth().session(id).is_some());
        self.log.push(proposal.clone());
        for id in self.followers(leader) {
            self.server(id).logged = self.log.len();
        }
        self.begin_or_end(now, zxid, &proposal, was_alive);
        let (outcome, changes) = self.server(leader).apply(&proposal);
        for change in changes {
            self.record(ZkRecord::Applied {
                zxid,
                session,
                change,
            });
        }
        Some(outcome)
    }

    /// What a transaction means for the leader's list of sessions.
    fn begin_or_end(&mut self, now: Instant, zxid: Zxid, proposal: &Proposal, was_alive: bool) {
        let Some(session) = proposal.session else {
            return;
        };
        let Some(leading) = &mut self.leading else {
            return;
        };
        match &proposal.change {
            Change::Open(new) => {
                leading.deadlines.insert(session, now + new.timeout);
                let timeout = new.timeout;
                let by = self.asker(session);
                self.record(ZkRecord::SessionBegun {
                    zxid,
                    session,
                    timeout,
                    by,
                });
            }
            Change::Close { expired } => {
                leading.deadlines.remove(&session);
                leading.homes.remove(&session);
                if was_alive {
                    self.record(ZkRecord::SessionEnded {
                        zxid,
                        session,
                        expired: *expired,
                    });
                }
            }
            Change::One(_) | Change::All(_) => {}
        }
    }

    /// Who the last proposal's answer goes to.
    fn asker(&self, session: ZkSessionId) -> Option<Host> {
        let index = self.log.len() - 1;
        let server = usize::try_from((session.0 >> SERVER_BITS) - 1).ok()?;
        let server = self.servers.get(server)?;
        let (connection, _) = server.answers.get(&index)?;
        server.connections.get(connection)?.from
    }

    /// Something was heard of a session at a server.
    pub(super) fn touch(&mut self, now: Instant, server: u8, session: Option<ZkSessionId>) {
        let Some(session) = session else {
            return;
        };
        if self.leader() != Some(server) {
            self.server(server).touched.insert(session);
            return;
        }
        let timeout = self.truth().session(session).map(|known| known.timeout);
        let leading = self.leading.as_mut();
        let deadline = leading.and_then(|leading| leading.deadlines.get_mut(&session));
        if let (Some(deadline), Some(timeout)) = (deadline, timeout) {
            *deadline = now + timeout;
        }
    }

    /// The session that a client who has none is given: its timeout is what it asked, within bounds.
    pub(super) fn new_terms(&self, hello: &Hello, connection: u64) -> Session {
        let mut password = [0; PASSWORD_BYTES];
        self.rng(&format!("password/{connection}"))
            .fill(&mut password);
        let (least, most) = self.terms.session_timeouts();
        Session {
            timeout: hello.timeout.clamp(least, most),
            password,
        }
    }

    /// A client goes on with its session through this server. False while the leader cannot be asked.
    pub(super) fn resume(
        &mut self,
        now: Instant,
        (server, connection): (u8, u64),
        (session, password): (ZkSessionId, &[u8]),
    ) -> bool {
        let Some(leader) = self.leader_from(server) else {
            return false;
        };
        let known = self.truth().session(session);
        let is_own = known.is_some_and(|known| known.password == password);
        if !is_own {
            self.server(server).welcome(connection, None);
            return true;
        }
        if self.server(server).tree.session(session).is_none() {
            // It was begun elsewhere, and this server has not seen that yet.
            return false;
        }
        self.touch(now, leader, Some(session));
        if let Some(leading) = &mut self.leading {
            leading.homes.insert(session, server);
        }
        self.server(server).welcome(connection, Some(session));
        let by = self
            .server(server)
            .connections
            .get(&connection)
            .and_then(|c| c.from);
        self.record(ZkRecord::SessionResumed {
            session,
            server,
            by,
        });
        true
    }

    /// How far in the log a server has proposals that its tree does not show, and how slow it is. Nothing if
    /// there are none.
    pub(super) fn backlog(&self, id: u8) -> Option<(usize, Duration)> {
        let server = &self.servers[usize::from(id)];
        let is_behind = server.follows && server.applied < server.logged;
        is_behind.then_some((server.logged, server.lag))
    }

    /// Applies what a server has, up to a place in the log, if its leader can tell it to. Whether that
    /// was anything.
    pub(super) fn catch_up(&mut self, id: u8, upto: usize) -> bool {
        if self.leader_from(id).is_none() {
            return false;
        }
        self.apply_upto(id, upto)
    }

    fn apply_upto(&mut self, id: u8, upto: usize) -> bool {
        let server = &mut self.servers[usize::from(id)];
        let upto = upto.min(server.logged).min(self.log.len());
        let is_behind = server.applied < upto;
        while server.applied < upto {
            server.apply(&self.log[server.applied]);
        }
        is_behind
    }

    /// What happens at every half tick: the leader hears of its followers and their sessions, followers of
    /// their leader; those who hear nothing for too long draw their conclusions.
    pub(super) fn beat(&mut self, now: Instant) {
        let Some(leader) = self.leader() else {
            self.elect(now);
            return;
        };
        self.ready_since = None;
        for id in self.ids().filter(|id| *id != leader) {
            self.beat_of(now, id, leader);
        }
        self.ids().for_each(|id| self.forward(now, id));
        let has_majority = self.commit_proposed(now);
        let limit = self.terms.sync_limit();
        let leading = self.leading.as_mut().expect("there is a leader");
        if has_majority {
            leading.alone_since = None;
            self.expire_silent(now);
        } else if now - *leading.alone_since.get_or_insert(now) >= limit {
            self.abdicate();
        }
    }

    fn beat_of(&mut self, now: Instant, id: u8, leader: u8) {
        let (reached, limit) = (self.reaches(id, leader), self.terms.sync_limit());
        let length = self.log.len();
        let server = self.server(id);
        match (server.follows, reached) {
            (true, true) => {
                server.cut_since = None;
                server.logged = length;
                for session in std::mem::take(&mut server.touched) {
                    self.touch(now, leader, Some(session));
                }
            }
            (true, false) => {
                if now - *server.cut_since.get_or_insert(now) >= limit {
                    server.leave();
                }
            }
            (false, true) => {
                server.proposed.clear();
                self.follow(id);
            }
            (false, false) => {}
        }
    }

    /// Ends the sessions that nothing was heard of for their timeout.
    fn expire_silent(&mut self, now: Instant) {
        let deadlines = self.leading.iter().flat_map(|leading| &leading.deadlines);
        let silent = deadlines.filter(|(_, deadline)| **deadline <= now);
        let silent: Vec<ZkSessionId> = silent.map(|(id, _)| *id).collect();
        for session in silent {
            self.commit(now, Some(session), Change::Close { expired: true });
        }
    }

    /// Ends a session now. False if there is none, or no leader with a majority.
    pub(super) fn expire(&mut self, now: Instant, session: ZkSessionId) -> bool {
        let is_alive = self.truth().session(session).is_some();
        let done = is_alive && self.commit_proposed(now);
        if done {
            self.commit(now, Some(session), Change::Close { expired: true });
        }
        done
    }

    /// Changes nodes by hand. Nothing if there is no leader with a majority.
    pub(super) fn by_hand(&mut self, now: Instant, steps: Vec<Step>) -> Option<Outcome> {
        let can_commit = self.commit_proposed(now);
        can_commit.then(|| self.commit(now, None, Change::All(steps)))?
    }

    /// Who could lead: it reaches a majority, and has all that is committed; best of all what is only
    /// proposed as well.
    fn candidate(&self) -> Option<u8> {
        let could = self.ids().filter(|id| {
            let server = &self.servers[usize::from(*id)];
            let reached = self.ids().filter(|other| self.reaches(*id, *other));
            server.logged == self.log.len() && self.is_majority(reached.count())
        });
        could.max_by_key(|id| (self.servers[usize::from(*id)].proposed.len(), *id))
    }

    fn elect(&mut self, now: Instant) {
        let Some(candidate) = self.candidate() else {
            self.ready_since = None;
            return;
        };
        if now - *self.ready_since.get_or_insert(now) >= self.terms.election {
            self.lead(now, candidate);
        }
    }

    fn lead(&mut self, now: Instant, leader: u8) {
        self.epoch += 1;
        self.ready_since = None;
        self.follow(leader);
        let sessions = self.server(leader).tree.sessions();
        let deadlines = sessions.map(|(id, session)| (id, now + session.timeout));
        self.leading = Some(Leading {
            server: leader,
            transactions: 0,
            deadlines: deadlines.collect(),
            homes: BTreeMap::new(),
            alone_since: None,
        });
        for id in self.ids() {
            if id != leader && self.reaches(id, leader) {
                // What it proposed as a leader is nothing any more.
                self.server(id).proposed.clear();
                self.follow(id);
            }
        }
        self.record(ZkRecord::Leader(Some(leader)));
        self.commit_proposed(now);
    }

    /// A server has a leader, and everything that it has.
    fn follow(&mut self, id: u8) {
        let length = self.log.len();
        let server = self.server(id);
        server.follows = true;
        server.logged = length;
        self.apply_upto(id, length);
    }

    fn abdicate(&mut self) {
        self.leading = None;
        for server in &mut self.servers {
            server.leave();
        }
        self.record(ZkRecord::Leader(None));
    }

    /// A server's process ends. Nothing if it is down.
    pub(super) fn stop(&mut self, id: u8) {
        let server = self.server(id);
        if !server.up {
            return;
        }
        server.up = false;
        server.leave();
        self.record(ZkRecord::Down(id));
        if self.leader() == Some(id) {
            self.abdicate();
        }
    }

    /// A server's process begins again, with what is on its disk. Nothing if it is up.
    pub(super) fn start(&mut self, id: u8) {
        let server = self.server(id);
        if !server.up {
            server.up = true;
            self.record(ZkRecord::Up(id));
        }
    }

    /// All servers are stopped, lose what is on their disks, and begin again.
    pub(super) fn wipe(&mut self) {
        for id in self.ids() {
            self.stop(id);
        }
        self.log.clear();
        self.epoch = 0;
        for server in &mut self.servers {
            server.tree = Tree::new();
            server.proposed.clear();
            (server.logged, server.applied) = (0, 0);
        }
        self.record(ZkRecord::Wiped);
        for id in self.ids() {
            self.start(id);
        }
    }

    /// Every server is up and as fast as it can, and no answer is lost any more.
    pub(super) fn heal(&mut self) {
        self.loss = None;
        for id in self.ids() {
            self.server(id).lag = Duration::ZERO;
            self.start(id);
        }
    }
}
