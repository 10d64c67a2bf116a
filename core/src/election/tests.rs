//! Elections against a naive ZooKeeper: one by one, and in crowds with faults.

mod crowd;

use alloc::string::String;

use bytes::Bytes;

use super::lease::Lease;
use super::presence::Presence;
use super::record::CANDIDATE;
use super::testing::{Model, TIMEOUT};
use super::*;
use crate::coordination::StepRefusal;
use crate::identity::Destination;

/// A server: its machines, its connection, and what is on its way.
#[derive(Debug)]
struct Rig {
    lease: Lease,
    presence: Presence,
    election: Election,
    asks: Asks,
    session: Option<ZkSessionId>,
}

fn paths() -> DestinationPaths {
    DestinationPaths::new(&Destination::new("example"))
}

impl Rig {
    fn new(name: &str) -> Self {
        let me = Candidate {
            address: alloc::format!("{name}:11111"),
            node: name.into(),
        };
        let data = Bytes::from_static(CANDIDATE);
        Self {
            lease: Lease::default(),
            presence: Presence::new(paths().cluster(), &me.address, data),
            election: Election::new(me, paths(), Seed(7)),
            asks: Asks::default(),
            session: None,
        }
    }

    fn signal(&mut self, now: Instant, signal: &Signal) {
        self.lease.handle_signal(now, signal, &mut self.asks);
        self.presence.handle_signal(signal, &mut self.asks);
        self.election.handle_signal(now, signal, &mut self.asks);
        self.renew(now);
    }

    fn outcome(&mut self, now: Instant, ticket: Ticket, outcome: Outcome) {
        if self.lease.handle_outcome(ticket, &outcome) {
            return self.renew(now);
        }
        let asks = &mut self.asks;
        if !self.presence.handle_outcome(now, ticket, &outcome, asks) {
            self.election.handle_outcome(now, ticket, outcome, asks);
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.lease.handle_timeout(now, &mut self.asks);
        self.presence.handle_timeout(now, &mut self.asks);
        self.election.handle_timeout(now, &mut self.asks);
    }

    fn renew(&mut self, now: Instant) {
        let until = self.session.and_then(|session| self.lease.until(session));
        self.election.handle_lease(now, until);
    }

    fn connect(&mut self, now: Instant, model: &mut Model) {
        let session = self.session.filter(|session| model.lives(*session));
        let session = session.unwrap_or_else(|| model.open(now));
        self.session = Some(session);
        let timeout = TIMEOUT;
        self.signal(now, &Signal::Connected { session, timeout });
    }

    /// Everything that is asked is answered at once, until nothing is asked any more.
    fn settle(&mut self, now: Instant, model: &mut Model) {
        loop {
            // ZooKeeper tells of a change before it answers what was asked after it.
            let of_ours = |(session, _): &(ZkSessionId, Ticket)| Some(*session) == self.session;
            if let Some(nth) = model.fired.iter().position(of_ours) {
                let (_, ticket) = model.fired.remove(nth);
                self.signal(now, &Signal::Fired(ticket));
            } else if let Some((ticket, effect)) = self.asks.poll() {
                let session = self.session.unwrap();
                let outcome = model.perform(now, session, ticket, effect);
                self.outcome(now, ticket, outcome);
            } else {
                return;
            }
        }
    }

    fn serves(&self, now: Instant) -> Option<Tenure> {
        match self.election.stance() {
            Stance::Active(tenure) => self.election.is_proved(now).then_some(tenure),
            Stance::Passive | Stance::Draining(_) => None,
        }
    }
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn owner(model: &mut Model, name: &str) -> Rig {
    let mut rig = Rig::new(name);
    rig.connect(at(1), model);
    rig.settle(at(1), model);
    assert!(rig.serves(at(1)).is_some(), "{:?}", rig.election.state());
    rig
}

fn standby(model: &mut Model, name: &str) -> Rig {
    let mut rig = Rig::new(name);
    rig.connect(at(1), model);
    rig.settle(at(1), model);
    assert!(matches!(rig.election.state(), (State::Standby(_), _)));
    rig
}

#[test]
fn the_first_server_owns_and_says_so_as_canal_does() {
    let mut model = Model::default();
    let rig = owner(&mut model, "a");
    let run = model.node(&paths().running()).unwrap();
    let says = br#"{"active":true,"address":"a:11111","canald":{"node":"a"}}"#;
    assert_eq!((&run.data[..], run.stat.owner), (&says[..], rig.session));
    let tenure = rig.serves(at(1)).unwrap();
    assert_eq!(tenure.run, NodeVersion(1), "above that of a Java server");
    assert_eq!(tenure.generation.get(), 1);
    let candidate = model.node(&paths().candidate("a:11111")).unwrap();
    assert_eq!(
        (&candidate.data[..], candidate.stat.owner),
        (CANDIDATE, rig.session)
    );
    assert_eq!(
        rig.serves(at(5)),
        None,
        "its lease is two thirds of six seconds"
    );
}

#[test]
fn the_next_tenure_has_the_next_generation_and_the_former_is_fenced() {
    let mut model = Model::default();
    let a = owner(&mut model, "a");
    let mut b = standby(&mut model, "b");
    let former = a.serves(at(1)).unwrap();
    b.timeout(at(6));
    b.settle(at(6), &mut model);
    model.expire(at(8));
    b.settle(at(8), &mut model);
    let tenure = b.serves(at(8)).unwrap();
    assert_eq!(tenure.generation.get(), 2);
    let session = model.open(at(8));
    let steps = former.fence(&paths()).to_vec();
    let stale = model.perform(at(8), session, Ticket(0), Effect::All(steps));
    assert_eq!(
        stale,
        Outcome::Refused(Refusal::Step(1, StepRefusal::BadVersion))
    );
    let steps = tenure.fence(&paths()).to_vec();
    let own = model.perform(at(8), session, Ticket(0), Effect::All(steps));
    assert_eq!(own, Outcome::Done(Value::Done));
}

#[test]
fn a_lost_answer_to_the_creation_is_found_out() {
    let mut model = Model::default();
    let mut rig = Rig::new("a");
    rig.connect(at(1), &mut model);
    let mut lost = 0;
    while let Some((ticket, effect)) = rig.asks.poll() {
        let is_claim = matches!(&effect, Effect::All(_));
        let outcome = model.perform(at(1), rig.session.unwrap(), ticket, effect);
        let outcome = if is_claim {
            lost += 1;
            Outcome::Unknown("the connection is gone".into())
        } else {
            outcome
        };
        rig.outcome(at(1), ticket, outcome);
    }
    assert_eq!((lost, rig.serves(at(1))), (1, None));
    rig.timeout(at(2));
    rig.settle(at(2), &mut model);
    let tenure = rig.serves(at(2)).unwrap();
    assert_eq!(
        tenure.generation.get(),
        1,
        "it was done, and is not done again"
    );
}

#[test]
fn what_a_former_life_left_behind_is_taken_over_at_once_and_what_has_our_address_only_is_not() {
    let mut model = Model::default();
    owner(&mut model, "a");
    let mut again = Rig::new("a");
    again.connect(at(2), &mut model);
    again.settle(at(2), &mut model);
    assert_eq!(again.serves(at(2)).unwrap().generation.get(), 2);
    let mut other = Rig::new("b");
    other.election.me.address = "a:11111".into();
    other.connect(at(2), &mut model);
    other.settle(at(2), &mut model);
    assert_eq!(other.election.state().0, &State::Standby("a:11111".into()));
    let note = other.election.poll_note().unwrap();
    assert!(note.contains("canal.register.ip"), "{note}");
}

#[test]
fn a_server_that_stops_gives_away_at_once_and_never_owns_again() {
    let mut model = Model::default();
    let mut a = owner(&mut model, "a");
    let mut b = standby(&mut model, "b");
    a.election.stop(at(2), &mut a.asks);
    assert!(matches!(a.election.stance(), Stance::Draining(_)));
    a.election.drained(at(2), &mut a.asks);
    a.settle(at(2), &mut model);
    assert!(a.election.is_stopped());
    b.timeout(at(2));
    b.settle(at(2), &mut model);
    assert!(b.serves(at(2)).is_some());
    a.connect(at(3), &mut model);
    a.settle(at(3), &mut model);
    assert!(a.election.is_stopped());
}

#[test]
fn who_gives_away_comes_back_only_where_nobody_else_could() {
    let mut model = Model::default();
    let mut a = owner(&mut model, "a");
    a.election.give_away(at(2), &mut a.asks);
    a.election.drained(at(2), &mut a.asks);
    a.settle(at(2), &mut model);
    assert!(a.serves(at(2)).is_some(), "nobody else is there");
    let mut b = standby(&mut model, "b");
    a.election.give_away(at(2), &mut a.asks);
    a.election.drained(at(2), &mut a.asks);
    a.settle(at(2), &mut model);
    assert!(matches!(a.election.state(), (State::Waiting(until), _) if *until >= at(12)));
    b.settle(at(2), &mut model);
    assert!(b.serves(at(2)).is_some());
}

#[test]
fn what_does_not_start_is_tried_later_and_later_also_alone() {
    let mut model = Model::default();
    let mut a = owner(&mut model, "a");
    let mut now = at(1);
    for seconds in [1, 2, 4, 8] {
        a.election.failed(now, "no such table", &mut a.asks);
        a.settle(now, &mut model);
        assert_eq!(
            a.election.state().0,
            &State::Waiting(now + Duration::from_secs(seconds))
        );
        assert_eq!(a.election.poll_note().as_deref(), Some("no such table"));
        now = now + Duration::from_secs(seconds);
        a.timeout(now);
        a.settle(now, &mut model);
        assert!(a.serves(now).is_some());
    }
    a.election.started();
    a.election.failed(now, "again", &mut a.asks);
    a.settle(now, &mut model);
    assert_eq!(
        a.election.state().0,
        &State::Waiting(now + Duration::from_secs(1))
    );
}

#[test]
fn beside_a_java_server_others_wait_as_it_does() {
    let mut model = Model::default();
    let mut java = Presence::new(paths().cluster(), "java:11111", Bytes::new());
    let mut a = Rig::new("a");
    a.connect(at(1), &mut model);
    let session = model.open(at(1));
    let timeout = TIMEOUT;
    java.handle_signal(&Signal::Connected { session, timeout }, &mut a.asks);
    let mut asks = core::mem::take(&mut a.asks);
    while let Some((ticket, effect)) = asks.poll() {
        let outcome = model.perform(at(1), session, ticket, effect);
        java.handle_outcome(at(1), ticket, &outcome, &mut asks);
    }
    assert!(java.is_here());
    let mut a = Rig::new("a");
    a.connect(at(1), &mut model);
    a.settle(at(1), &mut model);
    assert_eq!(
        a.election.state().0,
        &State::Waiting(at(1) + TAKEOVER_BESIDE_JAVA)
    );
    a.timeout(at(6));
    a.settle(at(6), &mut model);
    assert!(a.serves(at(6)).is_some());
}

#[test]
fn hands_in_run_are_obeyed_or_undone() {
    let mut model = Model::default();
    let mut a = owner(&mut model, "a");
    let first = a.serves(at(1)).unwrap();
    model.remove(paths().running().as_str());
    a.settle(at(1), &mut model);
    let second = a.serves(at(1)).unwrap();
    assert!(second.generation > first.generation && second.created > first.created);
    model.rewrite(&paths().running(), b"nonsense");
    a.settle(at(1), &mut model);
    let third = a.serves(at(1)).unwrap();
    assert_eq!((third.created, third.generation.get()), (second.created, 3));
    model.rewrite(
        &paths().running(),
        br#"{"active":false,"address":"a:11111"}"#,
    );
    a.settle(at(1), &mut model);
    let Stance::Draining(tenure) = a.election.stance() else {
        panic!("{:?}", a.election.state())
    };
    let steps = tenure.fence(&paths()).to_vec();
    let last = model.perform(at(1), a.session.unwrap(), Ticket(0), Effect::All(steps));
    assert_eq!(
        last,
        Outcome::Done(Value::Done),
        "what was acknowledged can be stored"
    );
}

#[test]
fn a_lease_that_has_ended_is_not_brought_back() {
    let mut model = Model::default();
    let mut a = owner(&mut model, "a");
    let end = a.election.poll_timeout().unwrap();
    a.election.handle_lease(end, Some(end + TIMEOUT));
    assert_eq!(
        a.serves(end),
        None,
        "whatever ran has stopped where it stood"
    );
    assert_eq!(a.election.poll_timeout(), Some(end));
    a.timeout(end);
    assert_eq!(a.election.stance(), Stance::Passive);
    a.settle(end, &mut model);
    assert_eq!(a.serves(end).unwrap().generation.get(), 2);
}

#[test]
fn an_operators_word_counts_whenever_it_is_read() {
    let mut model = Model::default();
    let mut a = owner(&mut model, "a");
    model.rewrite(
        &paths().running(),
        br#"{"active":false,"address":"a:11111"}"#,
    );
    a.election.fenced(at(1), "a write came first", &mut a.asks);
    let _b = standby(&mut model, "b");
    a.settle(at(1), &mut model);
    assert!(matches!(a.election.state(), (State::Waiting(_), _)));
    assert!(model.node(&paths().running()).is_none());
}

#[test]
fn a_server_that_stops_does_not_wait_for_a_zookeeper_that_is_away() {
    let mut model = Model::default();
    let mut a = owner(&mut model, "a");
    a.election.stop(at(2), &mut a.asks);
    a.election.drained(at(2), &mut a.asks);
    let (ticket, _) = a.asks.poll().unwrap();
    let unknown = Outcome::Unknown("not connected".into());
    a.election
        .handle_outcome(at(2), ticket, unknown, &mut a.asks);
    assert!(a.election.is_stopped());
}

#[test]
fn a_generation_that_cannot_be_read_gives_the_destination_away_with_a_cure() {
    let mut model = Model::default();
    let mut a = owner(&mut model, "a");
    model.rewrite(&paths().generation(), b"many");
    model.remove(paths().running().as_str());
    a.settle(at(1), &mut model);
    assert!(matches!(a.election.state(), (State::Retrying(..), _)));
    assert!(model.node(&paths().running()).is_none());
    let notes: Vec<String> = core::iter::from_fn(|| a.election.poll_note()).collect();
    assert!(
        notes.iter().any(|note| note.contains("no generation")),
        "{notes:?}"
    );
}
