//! Who owns a destination, and how that is proved.
//!
//! [`Election`] is one server's candidacy for one destination. Ownership is proved by the ephemeral owner of
//! RUN being our session, and by nothing else: no answer to a create is trusted, and no address compared
//! (ha-meta-store reference §2.9, §2.10; `design.md` §6). While the lease lasts, an owner may serve; when it
//! ends, the tenure is over, though RUN may still be ours, and a new tenure begins by claiming RUN again.
//!
//! One transaction makes RUN, rewrites it, so that its version is above that of a RUN made by a Java server, and
//! raises the generation: so while the generation is at the version that a tenure gave it, nobody else has made
//! RUN, and the versions of both fence whatever the tenure writes ([`Tenure::fence`]). The generation is read
//! before RUN, always: what is seen of RUN then cannot be older than what the transaction expects.
//!
//! States: see [`State`]. One effect is under way at a time; watches say when to look again, and looking again
//! is always safe. Nothing is ever asked again in another session.
//!
//! Never serves, reads a source or writes a cursor: its owner does, as long as [`Election::stance`] allows it.

pub mod candidacy;
mod claim;
pub mod lease;
pub mod paths;
pub mod presence;
pub mod record;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::coordination::ask::Asks;
use crate::coordination::{
    Effect, NodeRead, NodeStat, NodeVersion, Outcome, Refusal, Signal, Step, StepRefusal, Ticket,
    Value, ZkSessionId, Zxid,
};
use crate::election::claim::Claim;
use crate::election::paths::DestinationPaths;
use crate::election::record::{RunningData, is_canald};
use crate::meta::ledger::Generation;
use crate::rng::{Rng, Seed};
use crate::time::{Duration, Instant};

/// Time that Java servers leave to the last owner before they compete; canald leaves it too where one of them
/// is registered (M13).
pub const TAKEOVER_BESIDE_JAVA: Duration = Duration::from_secs(5);

/// Time for which a server that gave a destination away leaves it to others: they have seen the deletion, waited,
/// and created by then.
pub const HOLD_OFF: Duration = Duration::from_secs(10);

/// Time that an owner has to store what it must before RUN is given away without.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Time after which something that did not work is tried again.
pub const RETRY: Duration = Duration::from_secs(1);

/// The longest time between attempts of a destination that does not start here.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where clients reach us: a host or IPv4 address and a port.
    pub address: String,
    /// The id that this server keeps on its disk, whose port it holds: a RUN that bears it and is another
    /// session's was left behind by a former life of ours.
    pub node: String,
}

/// One time of owning a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The session that owns RUN.
    pub session: ZkSessionId,
    /// The transaction that made RUN.
    pub created: Zxid,
    /// RUN's version.
    pub run: NodeVersion,
    /// The generation of batch ids that is this tenure's own.
    pub generation: Generation,
    /// The version of the node that holds it.
    pub generation_at: NodeVersion,
}

impl Tenure {
    /// Whether both are the same time of owning: RUN may have been rewritten in between.
    #[must_use]
    pub fn is_one_with(&self, other: &Self) -> bool {
        (self.created, self.generation) == (other.created, other.generation)
    }

    /// What each write of this tenure must begin with: RUN is as we left it, and nobody raised the generation.
    #[must_use]
    pub fn fence(&self, paths: &DestinationPaths) -> [Step; 2] {
        [
            Step::Check(paths.running(), self.run),
            Step::Check(paths.generation(), self.generation_at),
        ]
    }
}

/// What the election allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// Nothing: hang up, drop what is held, send clients away.
    Passive,
    /// Read and serve, until the lease ends.
    Active(Tenure),
    /// Serve nothing new, store what must be stored, and say [`Election::drained`].
    Draining(Tenure),
}

/// Why a destination is given away, and what comes then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// Others come first for a while, if there are others.
    For(Duration),
    /// It does not start here: it is not tried again for a while, others or not.
    Failed(Duration),
    /// The server stops: nothing comes.
    ForGood,
}

/// RUN and the generation, as they were seen together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    run: NodeVersion,
    generation_at: Option<NodeVersion>,
}

impl Seen {
    const fn of(tenure: Tenure) -> Self {
        Self {
            run: tenure.run,
            generation_at: Some(tenure.generation_at),
        }
    }
}

/// What the effect under way is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Cluster,
    Own,
    Sync,
    Generation,
    Running,
    Candidates,
    Claim,
    Clear,
    Release,
}

/// Where the candidacy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not asked to take part, or no session: nothing is known.
    Idle,
    /// Making the nodes that hold the others: clients of Java need that of the candidates.
    Preparing,
    /// Reading the generation, then RUN.
    Looking,
    /// Another owns it: who, as far as RUN says.
    Standby(String),
    /// Nobody owns it: who else could.
    Weighing,
    /// Nobody owns it, and others come first.
    Waiting(Instant),
    /// Making RUN, or making it a new tenure's.
    Claiming,
    /// Deleting the RUN that a former life of ours left behind.
    Clearing,
    /// A tenure is ours, and nothing proves the session yet.
    Unproved(Tenure),
    /// Owning it.
    Active(Tenure),
    /// Giving it away, once what must be stored is.
    Draining(Tenure, Instant),
    /// Deleting RUN.
    Releasing,
    /// Something did not work: why, and when it is tried again.
    Retrying(String, Instant),
    /// Done for good.
    Stopped,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("waiting for a ZooKeeper session"),
            Self::Preparing => f.write_str("making the nodes of the destination"),
            Self::Looking => f.write_str("looking who owns the destination"),
            Self::Standby(owner) => write!(f, "{owner} owns the destination"),
            Self::Weighing => f.write_str("nobody owns the destination: looking who could"),
            Self::Waiting(_) => f.write_str("others may take the destination first"),
            Self::Claiming => f.write_str("claiming the destination"),
            Self::Clearing => f.write_str("taking back what a former life of this server owned"),
            Self::Unproved(_) => f.write_str("owning the destination, and proving the session"),
            Self::Active(_) => f.write_str("owning the destination"),
            Self::Draining(..) => f.write_str("giving the destination away: storing what must be"),
            Self::Releasing => f.write_str("giving the destination away"),
            Self::Retrying(why, _) => f.write_str(why),
            Self::Stopped => f.write_str("the server stops"),
        }
    }
}

/// A server's candidacy for a destination.
#[derive(Debug)]
pub struct Election {
    me: Candidate,
    paths: DestinationPaths,
    rng: Rng,
    session: Option<ZkSessionId>,
    /// Until when the session is known to live.
    session_until: Option<Instant>,
    /// Until when a tenure may go on.
    lease_until: Option<Instant>,
    state: State,
    since: Instant,
    /// The generation, as it was before RUN was read.
    generation: Option<NodeRead>,
    /// What is there if our last claim was done, whether we were told or not.
    claim: Option<Claim>,
    /// The effect under way.
    pending: Option<(Ticket, Asked)>,
    /// The read whose watch tells of changes of RUN.
    watch: Option<Ticket>,
    /// RUN has changed while an effect was under way.
    stale: bool,
    /// RUN was ours when it was last seen: then nobody comes first (M13).
    was_ours: bool,
    /// We have waited for our turn.
    is_our_turn: bool,
    /// Given away: others come first until then.
    held_off: Option<Instant>,
    /// It did not start here: it is not tried before.
    not_before: Option<Instant>,
    /// Whether what is ours, or becomes ours, is to be given away.
    leaving: Option<Leaving>,
    /// When an owner looks again at RUN, which it could not watch.
    look_at: Option<Instant>,
    failures: u32,
    /// Something was asked and not answered.
    is_unsure: bool,
    /// What an operator should read, oldest first.
    notes: Vec<String>,
}

impl Election {
    /// A candidacy that begins with the first session.
    #[must_use]
    pub fn new(me: Candidate, paths: DestinationPaths, seed: Seed) -> Self {
        Self {
            me,
            paths,
            rng: Rng::new(seed),
            session: None,
            session_until: None,
            lease_until: None,
            state: State::Idle,
            since: Instant::ZERO,
            generation: None,
            claim: None,
            pending: None,
            watch: None,
            stale: false,
            was_ours: false,
            is_our_turn: false,
            held_off: None,
            not_before: None,
            leaving: None,
            look_at: None,
            failures: 0,
            is_unsure: false,
            notes: Vec::new(),
        }
    }

    /// What is allowed now.
    #[must_use]
    pub const fn stance(&self) -> Stance {
        match self.state {
            State::Active(tenure) => Stance::Active(tenure),
            State::Draining(tenure, _) => Stance::Draining(tenure),
            State::Idle
            | State::Preparing
            | State::Looking
            | State::Standby(_)
            | State::Weighing
            | State::Waiting(_)
            | State::Clearing
            | State::Claiming
            | State::Unproved(_)
            | State::Releasing
            | State::Retrying(..)
            | State::Stopped => Stance::Passive,
        }
    }

    /// Where it stands, and since when.
    #[must_use]
    pub const fn state(&self) -> (&State, Instant) {
        (&self.state, self.since)
    }

    /// The next line for operators.
    pub fn poll_note(&mut self) -> Option<String> {
        (!self.notes.is_empty()).then(|| self.notes.remove(0))
    }

    /// Takes what the connection says.
    pub fn handle_signal(&mut self, now: Instant, signal: &Signal, asks: &mut Asks) {
        match signal {
            Signal::Connected { session, .. } if self.session == Some(*session) => {
                self.look_again(now, asks);
            }
            Signal::Connected { session, .. } => self.begin(now, *session, asks),
            Signal::Disconnected => {}
            Signal::Expired => {
                asks.forget();
                self.expired(now);
            }
            Signal::Fired(ticket) => {
                // It may come before the answer of the read that it belongs to.
                let is_asked = self.pending.is_some_and(|(asked, _)| asked == *ticket);
                if is_asked || self.watch.take_if(|watch| watch == ticket).is_some() {
                    self.look_again(now, asks);
                }
            }
        }
    }

    /// Takes until when the session is known to live ([`lease::Lease::until`]); it never shrinks within one.
    ///
    /// What proves the session proves a tenure only while RUN is watched: otherwise RUN may be gone already.
    pub fn handle_lease(&mut self, now: Instant, until: Option<Instant>) {
        self.session_until = until;
        // A lease that has ended stays so: what it was for has stopped where it stood.
        let has_ended = !matches!(self.stance(), Stance::Passive) && !self.is_proved(now);
        if self.watch.is_some() && !has_ended {
            self.lease_until = until;
        }
        if let State::Unproved(tenure) = self.state
            && self.is_proved(now)
        {
            self.enter(now, State::Active(tenure));
        }
    }

    /// The destination has started: what went wrong before does not count any more.
    pub const fn started(&mut self) {
        self.failures = 0;
    }

    /// Takes the answer to an effect; false if it is the answer to something else.
    pub fn handle_outcome(
        &mut self,
        now: Instant,
        ticket: Ticket,
        outcome: Outcome,
        asks: &mut Asks,
    ) -> bool {
        let is_it = |pending: &mut (Ticket, Asked)| pending.0 == ticket;
        let Some((_, asked)) = self.pending.take_if(is_it) else {
            return false;
        };
        self.answered(now, (ticket, asked), outcome, asks);
        if core::mem::take(&mut self.stale) {
            self.look_again(now, asks);
        }
        true
    }

    /// Does what time alone asks for.
    pub fn handle_timeout(&mut self, now: Instant, asks: &mut Asks) {
        let serves = !matches!(self.stance(), Stance::Passive);
        if serves && !self.is_proved(now) {
            self.lose(now, "its lease on the ZooKeeper session ended");
            return self.look(now, asks);
        }
        if self.tenure().is_some() && self.look_at.take_if(|at| *at <= now).is_some() {
            return self.look_again(now, asks);
        }
        match self.state {
            State::Draining(_, until) if until <= now => {
                self.note("RUN is given away although not everything could be stored".into());
                self.release(now, asks);
            }
            State::Waiting(until) if until <= now => {
                self.is_our_turn = true;
                self.look(now, asks);
            }
            State::Retrying(_, at) if at <= now => self.look(now, asks),
            State::Draining(..)
            | State::Waiting(_)
            | State::Retrying(..)
            | State::Idle
            | State::Preparing
            | State::Looking
            | State::Standby(_)
            | State::Weighing
            | State::Clearing
            | State::Claiming
            | State::Unproved(_)
            | State::Active(_)
            | State::Releasing
            | State::Stopped => {}
        }
    }

    /// When [`Self::handle_timeout`] is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Unproved(_) => self.look_at,
            State::Active(_) => earliest(&[self.lease_until, self.look_at]),
            State::Draining(_, until) => earliest(&[self.lease_until, self.look_at, Some(until)]),
            State::Waiting(until) | State::Retrying(_, until) => Some(until),
            State::Idle
            | State::Preparing
            | State::Looking
            | State::Standby(_)
            | State::Weighing
            | State::Clearing
            | State::Claiming
            | State::Releasing
            | State::Stopped => None,
        }
    }

    /// Somebody else shall own the destination, if anybody can.
    pub fn give_away(&mut self, now: Instant, asks: &mut Asks) {
        if self.leaving.is_none() {
            self.leave(now, Leaving::For(HOLD_OFF), asks);
        }
    }

    /// The server stops: what it owns is given away, and it owns nothing any more.
    pub fn stop(&mut self, now: Instant, asks: &mut Asks) {
        self.leave(now, Leaving::ForGood, asks);
    }

    /// Whether [`Self::stop`] has been done.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopped)
    }

    /// What must be stored is; RUN may go.
    pub fn drained(&mut self, now: Instant, asks: &mut Asks) {
        if matches!(self.state, State::Draining(..)) {
            self.release(now, asks);
        }
    }

    /// The destination does not start here: another server may fare better.
    pub fn failed(&mut self, now: Instant, why: &str, asks: &mut Asks) {
        if let Some(tenure) = self.tenure() {
            self.note(String::from(why));
            self.unclaimable(now, Seen::of(tenure), asks);
        }
    }

    /// The tenure cannot go on, and another may: its fence refused a write, or its batch ids are used up.
    pub fn fenced(&mut self, now: Instant, why: &str, asks: &mut Asks) {
        if self.tenure().is_some() {
            self.lose(now, why);
            self.look(now, asks);
        }
    }

    /// Until when what runs may serve; none if nothing may.
    #[must_use]
    pub const fn serves_until(&self) -> Option<Instant> {
        match self.stance() {
            Stance::Active(_) | Stance::Draining(_) => self.lease_until,
            Stance::Passive => None,
        }
    }

    fn begin(&mut self, now: Instant, session: ZkSessionId, asks: &mut Asks) {
        if matches!(self.state, State::Stopped) {
            return;
        }
        self.session = Some(session);
        (self.session_until, self.lease_until) = (None, None);
        self.prepare(now, asks);
    }

    fn prepare(&mut self, now: Instant, asks: &mut Asks) {
        self.enter(now, State::Preparing);
        self.ask(
            Asked::Cluster,
            Effect::CreateAll(self.paths.cluster()),
            asks,
        );
    }

    fn ask(&mut self, asked: Asked, effect: Effect, asks: &mut Asks) {
        self.pending = Some((asks.ask(effect), asked));
    }

    fn expired(&mut self, now: Instant) {
        if self.tenure().is_some() {
            self.lose(now, "its ZooKeeper session expired");
        }
        (self.session, self.session_until, self.lease_until) = (None, None, None);
        (self.pending, self.watch, self.stale) = (None, None, false);
        self.claim = None;
        let is_over = matches!(self.leaving, Some(Leaving::ForGood));
        let next = if is_over { State::Stopped } else { State::Idle };
        self.enter(now, next);
    }

    /// RUN may not be what it was.
    fn look_again(&mut self, now: Instant, asks: &mut Asks) {
        if self.pending.is_some() {
            self.stale = true;
        } else {
            self.look(now, asks);
        }
    }

    fn look(&mut self, now: Instant, asks: &mut Asks) {
        if self.session.is_none() || matches!(self.state, State::Stopped | State::Idle) {
            return;
        }
        // Whoever owns it goes on owning it until something else is seen.
        if self.tenure().is_none() {
            self.enter(now, State::Looking);
        }
        self.watch = None;
        // What was not answered may still be on its way, and a server may be behind: a read that is to settle
        // it has to come after all that the leader knows.
        if self.is_unsure {
            return self.ask(Asked::Sync, Effect::Sync, asks);
        }
        self.ask(
            Asked::Generation,
            Effect::Read(self.paths.generation()),
            asks,
        );
    }

    fn answered(
        &mut self,
        now: Instant,
        (ticket, asked): (Ticket, Asked),
        outcome: Outcome,
        asks: &mut Asks,
    ) {
        match (asked, outcome) {
            (Asked::Cluster, Outcome::Done(_)) => {
                self.ask(Asked::Own, Effect::CreateAll(self.paths.own()), asks);
            }
            (Asked::Own, Outcome::Done(_)) => self.look(now, asks),
            (Asked::Sync, Outcome::Done(_)) => {
                self.is_unsure = false;
                self.look(now, asks);
            }
            (Asked::Generation, Outcome::Done(Value::Node(read))) => {
                self.generation = read;
                let effect = Effect::ReadAndWatch(self.paths.running());
                self.ask(Asked::Running, effect, asks);
            }
            (Asked::Running, Outcome::Done(Value::Node(read))) => {
                self.watch = Some(ticket);
                self.seen(now, read, asks);
            }
            (Asked::Candidates, Outcome::Done(Value::Children(candidates))) => {
                self.weigh(now, &candidates.unwrap_or_default(), asks);
            }
            (Asked::Claim, Outcome::Refused(Refusal::Step(_, StepRefusal::NoNode))) => {
                self.prepare(now, asks);
            }
            (Asked::Release, Outcome::Done(_)) => self.nobody(now, asks),
            // What is there now decides, not what is said about it.
            (Asked::Claim | Asked::Clear, Outcome::Done(_))
            | (Asked::Claim | Asked::Clear | Asked::Release, Outcome::Refused(Refusal::Step(..))) => {
                self.look(now, asks)
            }
            (_, outcome) => self.retry(now, &outcome),
        }
    }

    /// RUN as it is.
    fn seen(&mut self, now: Instant, read: Option<NodeRead>, asks: &mut Asks) {
        let Some(NodeRead { data, stat }) = read else {
            return self.nobody(now, asks);
        };
        if stat.owner == self.session {
            return self.ours(now, &data, stat, asks);
        }
        if self.tenure().is_some() {
            self.lose(now, "RUN belongs to another server");
        }
        (self.was_ours, self.is_our_turn) = (false, false);
        if matches!(self.leaving.take(), Some(Leaving::ForGood)) {
            return self.stopped(now);
        }
        let running = RunningData::decode(&data);
        let is_former_life = |running: &RunningData| running.node.as_ref() == Some(&self.me.node);
        if running.as_ref().is_ok_and(is_former_life) {
            self.enter(now, State::Clearing);
            let seen = self.seen_with(stat);
            return self.delete(Asked::Clear, seen, asks);
        }
        if running.as_ref().is_ok_and(|r| r.address == self.me.address) {
            self.note(format(format_args!(
                "another server runs the destination under our address, {}: give each its own \
                 canal.register.ip and canal.port, unless it is a Java server that was here before us",
                self.me.address
            )));
        }
        let owner = running.map_or_else(
            |why| format(format_args!("a server whose RUN says nothing: {why}")),
            |running| running.address,
        );
        self.enter(now, State::Standby(owner));
    }

    /// RUN is our session's.
    fn ours(&mut self, now: Instant, data: &Bytes, stat: NodeStat, asks: &mut Asks) {
        let Some(tenure) = self.tenure() else {
            let running = RunningData::decode(data);
            if running.is_ok_and(|running| !running.active) {
                self.leaving.get_or_insert(Leaving::For(HOLD_OFF));
            }
            if self.leaving.is_some() {
                return self.release_at(now, self.seen_with(stat), asks);
            }
            return match self
                .claim
                .and_then(|claim| claim.made(self.session, stat, self.generation.as_ref()))
            {
                Some(tenure) => self.owned(now, tenure),
                None => self.claim(now, Some(stat), asks),
            };
        };
        if (tenure.created, tenure.run) == (stat.created, stat.version) {
            return self.handle_lease(now, self.session_until);
        }
        if self.leaving.is_some() {
            self.lose(now, "RUN was rewritten by hand");
            return self.release_at(now, self.seen_with(stat), asks);
        }
        let running = RunningData::decode(data);
        if tenure.created == stat.created && running.is_ok_and(|running| !running.active) {
            self.note("RUN says active:false: the destination is given away".into());
            // The fence stands at the version that is there now: what was acknowledged can be stored.
            let tenure = Tenure {
                run: stat.version,
                ..tenure
            };
            let is_unproved = matches!(self.state, State::Unproved(_));
            let (unproved, active) = (State::Unproved(tenure), State::Active(tenure));
            self.enter(now, if is_unproved { unproved } else { active });
            return self.give_away(now, asks);
        }
        self.lose(now, "RUN was rewritten by hand");
        self.claim(now, Some(stat), asks);
    }

    /// RUN is absent.
    fn nobody(&mut self, now: Instant, asks: &mut Asks) {
        if self.tenure().is_some() {
            self.lose(now, "RUN was deleted by hand");
        }
        if self.left(now) {
            return;
        }
        let is_held_off = self.held_off.max(self.not_before) > Some(now);
        if (self.was_ours || self.is_our_turn) && !is_held_off {
            return self.claim(now, None, asks);
        }
        self.enter(now, State::Weighing);
        let effect = Effect::ReadChildren(self.paths.cluster());
        self.ask(Asked::Candidates, effect, asks);
    }

    /// Nothing of ours is left to be given away; true if that was for good.
    fn left(&mut self, now: Instant) -> bool {
        match self.leaving.take() {
            Some(Leaving::ForGood) => {
                self.stopped(now);
                return true;
            }
            Some(Leaving::For(wait)) => self.hold_off(now, wait),
            Some(Leaving::Failed(wait)) => self.not_before = Some(now + wait),
            None => {}
        }
        false
    }

    /// Who else could own it, and whether they come first.
    fn weigh(&mut self, now: Instant, candidates: &[(String, NodeRead)], asks: &mut Asks) {
        if self.left(now) {
            return;
        }
        let others = candidates
            .iter()
            .filter(|(name, _)| *name != self.me.address);
        let (mut any, mut java) = (false, false);
        for (_, read) in others {
            any = true;
            java |= !is_canald(&read.data);
        }
        let held_off = self.held_off.filter(|until| any && now < *until);
        let beside_java = java.then(|| now + TAKEOVER_BESIDE_JAVA);
        let not_before = self.not_before.filter(|until| now < *until);
        match held_off.max(beside_java).max(not_before) {
            Some(until) => self.enter(now, State::Waiting(until)),
            None => self.claim(now, None, asks),
        }
    }

    /// RUN as it was just read, with the generation that was read before it.
    fn seen_with(&self, run: NodeStat) -> Seen {
        Seen {
            run: run.version,
            generation_at: self.generation.as_ref().map(|read| read.stat.version),
        }
    }

    fn leave(&mut self, now: Instant, leaving: Leaving, asks: &mut Asks) {
        self.leaving = Some(leaving);
        match self.state {
            State::Active(tenure) => self.enter(now, State::Draining(tenure, now + DRAIN_MAX)),
            State::Unproved(tenure) => self.release_at(now, Seen::of(tenure), asks),
            // The answer that is under way says whether there is anything to give away.
            State::Preparing
            | State::Looking
            | State::Weighing
            | State::Clearing
            | State::Claiming
            | State::Draining(..)
            | State::Releasing => {}
            // RUN may be ours although nobody could tell us.
            State::Retrying(..) if self.session.is_some() => self.look(now, asks),
            State::Idle
            | State::Standby(_)
            | State::Waiting(_)
            | State::Retrying(..)
            | State::Stopped => match leaving {
                Leaving::ForGood => self.stopped(now),
                Leaving::For(wait) | Leaving::Failed(wait) => {
                    self.leaving = None;
                    self.hold_off(now, wait);
                }
            },
        }
    }

    fn hold_off(&mut self, now: Instant, wait: Duration) {
        let spread = u64::try_from(wait.as_millis() / 4).unwrap_or(u64::MAX);
        let jitter = Duration::from_millis(self.rng.below(spread.max(1)));
        self.held_off = Some(now + wait + jitter);
        self.was_ours = false;
    }

    fn stopped(&mut self, now: Instant) {
        (self.pending, self.watch) = (None, None);
        self.enter(now, State::Stopped);
    }

    fn release(&mut self, now: Instant, asks: &mut Asks) {
        if let State::Active(tenure) | State::Draining(tenure, _) = self.state {
            self.release_at(now, Seen::of(tenure), asks);
        }
    }

    fn release_at(&mut self, now: Instant, seen: Seen, asks: &mut Asks) {
        self.enter(now, State::Releasing);
        self.delete(Asked::Release, seen, asks);
    }

    /// Deletes RUN, if nobody has made it anew since: versions repeat, and the generation does not.
    fn delete(&mut self, asked: Asked, seen: Seen, asks: &mut Asks) {
        let check = |at| Step::Check(self.paths.generation(), at);
        let delete = Step::Delete(self.paths.running(), seen.run);
        let steps = seen.generation_at.map(check).into_iter().chain([delete]);
        let effect = Effect::All(steps.collect());
        self.ask(asked, effect, asks);
    }

    /// The tenure is over, whatever RUN says.
    fn lose(&mut self, now: Instant, why: &str) {
        self.note(format(format_args!(
            "the destination is not ours any more: {why}"
        )));
        self.enter(now, State::Looking);
        (self.pending, self.look_at, self.claim) = (None, None, None);
    }

    fn retry(&mut self, now: Instant, outcome: &Outcome) {
        self.is_unsure |= matches!(outcome, Outcome::Unknown(_));
        if self.tenure().is_none() && matches!(self.leaving, Some(Leaving::ForGood)) {
            // RUN, if it is ours, goes with the session, and that with this process.
            return self.stopped(now);
        }
        let why = match outcome {
            Outcome::Unknown(why) => why.clone(),
            Outcome::Refused(why) => format(format_args!("ZooKeeper refused: {why:?}")),
            Outcome::Done(value) => format(format_args!("ZooKeeper answered {value:?}")),
        };
        if self.tenure().is_some() {
            // An owner goes on: its lease says for how long it may without knowing.
            self.look_at = Some(now + RETRY);
        } else {
            self.enter(now, State::Retrying(why, now + RETRY));
        }
    }

    /// What is ours cannot be used here: it is given away, and tried again later and later.
    fn unclaimable(&mut self, now: Instant, seen: Seen, asks: &mut Asks) {
        let wait = self.backoff();
        self.leaving.get_or_insert(Leaving::Failed(wait));
        self.release_at(now, seen, asks);
    }

    const fn tenure(&self) -> Option<Tenure> {
        match self.state {
            State::Unproved(tenure) | State::Active(tenure) | State::Draining(tenure, _) => {
                Some(tenure)
            }
            State::Idle
            | State::Preparing
            | State::Looking
            | State::Standby(_)
            | State::Weighing
            | State::Waiting(_)
            | State::Clearing
            | State::Claiming
            | State::Releasing
            | State::Retrying(..)
            | State::Stopped => None,
        }
    }

    fn backoff(&mut self) -> Duration {
        let doubled = RETRY * 2_u32.saturating_pow(self.failures.min(6));
        self.failures += 1;
        doubled.min(BACKOFF_MAX)
    }

    fn is_proved(&self, now: Instant) -> bool {
        self.lease_until.is_some_and(|until| now < until)
    }

    fn running(&self) -> Bytes {
        let data = RunningData {
            active: true,
            address: self.me.address.clone(),
            node: Some(self.me.node.clone()),
        };
        data.encode().into()
    }

    fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    fn enter(&mut self, now: Instant, state: State) {
        (self.state, self.since) = (state, now);
    }
}

fn earliest(times: &[Option<Instant>]) -> Option<Instant> {
    times.iter().copied().flatten().min()
}

fn format(text: fmt::Arguments<'_>) -> String {
    alloc::fmt::format(text)
}
