use alloc::vec::Vec;

use super::*;
use crate::election::testing::{Model, TIMEOUT};
use crate::identity::ClientId;
use crate::meta::record::ClientRecord;
use crate::time::Duration;

struct Rig {
    model: Model,
    machine: Candidacy,
    session: ZkSessionId,
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

impl Rig {
    fn new() -> Self {
        let mut model = Model::default();
        let session = model.open(at(1));
        Self {
            model,
            machine: machine("a"),
            session,
        }
    }

    fn connect(&mut self, now: Instant) -> Vec<Output> {
        let signal = Signal::Connected {
            session: self.session,
            timeout: TIMEOUT,
        };
        self.input(now, Input::Signal(signal));
        let until = Some(now + TIMEOUT * 2 / 3);
        self.input(now, Input::Lease(self.session, until))
    }

    /// What is wanted after an input, with ZooKeeper answering at once.
    fn input(&mut self, now: Instant, input: Input) -> Vec<Output> {
        self.machine.handle_input(now, input);
        self.settle(now)
    }

    fn settle(&mut self, now: Instant) -> Vec<Output> {
        let mut outputs = Vec::new();
        loop {
            let of_ours = |(session, _): &(ZkSessionId, Ticket)| *session == self.session;
            if let Some(nth) = self.model.fired.iter().position(of_ours) {
                let (_, ticket) = self.model.fired.remove(nth);
                let fired = Input::Signal(Signal::Fired(ticket));
                self.machine.handle_input(now, fired);
            }
            match self.machine.poll_output() {
                Some(Output::Perform(ticket, effect)) => {
                    let outcome = self.model.perform(now, self.session, ticket, effect);
                    let outcome = Input::Outcome(ticket, outcome);
                    self.machine.handle_input(now, outcome);
                }
                Some(output) => outputs.push(output),
                None => return outputs,
            }
        }
    }

    fn started(&mut self, now: Instant) -> Box<MetaRecord> {
        let outputs = self.connect(now);
        record(outputs)
    }
}

fn machine(name: &str) -> Candidacy {
    let me = Candidate {
        address: alloc::format!("{name}:11111"),
        node: name.into(),
    };
    Candidacy::new(me, &Destination::new("example"), Seed(1))
}

fn record(outputs: Vec<Output>) -> Box<MetaRecord> {
    let mut outputs = outputs.into_iter();
    let started = outputs.find_map(|output| match output {
        Output::Start(record) => Some(record),
        Output::Perform(..)
        | Output::ServeUntil(_)
        | Output::Drain
        | Output::End
        | Output::Saved
        | Output::Note(_) => None,
    });
    started.unwrap()
}

fn has(outputs: &[Output], wanted: fn(&Output) -> bool) -> bool {
    outputs.iter().any(wanted)
}

fn subscribed(generation: &MetaRecord) -> Box<MetaRecord> {
    let mut record = generation.clone();
    record.generation = record.generation.next().unwrap();
    record.clients.insert(ClientId(1), ClientRecord::default());
    Box::new(record)
}

#[test]
fn it_runs_from_the_record_stores_it_and_the_next_tenure_finds_it() {
    let mut rig = Rig::new();
    let record = rig.started(at(1));
    assert_eq!(record.generation.get(), 0);
    assert_eq!(rig.machine.status().stage, Stage::Electing);
    let saved = subscribed(&record);
    let outputs = rig.input(at(1), Input::Save(saved.clone()));
    assert!(has(&outputs, |o| matches!(o, Output::Saved)), "{outputs:?}");
    let outputs = rig.input(at(2), Input::Signal(Signal::Expired));
    assert!(has(&outputs, |o| matches!(o, Output::End)), "{outputs:?}");
    assert_eq!(rig.machine.serve_until, None);
    rig.model.expire(at(20));
    rig.session = rig.model.open(at(20));
    let again = rig.started(at(20));
    assert_eq!(
        (again.generation.get(), &again.clients),
        (1, &saved.clients)
    );
}

#[test]
fn it_drains_before_it_gives_away_and_stands_by_then() {
    let mut rig = Rig::new();
    rig.started(at(1));
    let mut other = Rig::new();
    core::mem::swap(&mut rig.model, &mut other.model);
    other.machine = machine("b");
    other.session = other.model.open(at(1));
    other.connect(at(1));
    assert_eq!(
        other.machine.status().reason,
        "a:11111 owns the destination"
    );
    assert_eq!(other.machine.status().stage, Stage::StandingBy);
    core::mem::swap(&mut rig.model, &mut other.model);
    let outputs = rig.input(at(2), Input::GiveAway);
    assert!(has(&outputs, |o| matches!(o, Output::Drain)), "{outputs:?}");
    assert!(!has(&outputs, |o| matches!(o, Output::End)));
    let outputs = rig.input(at(2), Input::Drained);
    assert!(has(&outputs, |o| matches!(o, Output::End)), "{outputs:?}");
    core::mem::swap(&mut rig.model, &mut other.model);
    record(other.settle(at(2)));
}

#[test]
fn a_record_that_cannot_be_used_gives_the_destination_away() {
    let mut rig = Rig::new();
    let paths = DestinationPaths::new(&Destination::new("example"));
    let session = rig.session;
    for effect in [
        Effect::CreateAll(paths.root().clone()),
        Effect::Create(
            paths.parse(),
            Bytes::from_static(b"?"),
            crate::coordination::NodeLife::Persistent,
        ),
    ] {
        rig.model.perform(at(1), session, Ticket(0), effect);
    }
    let outputs = rig.connect(at(1));
    assert!(!has(&outputs, |o| matches!(o, Output::Start(_))));
    let says =
        |o: &Output| matches!(o, Output::Note(note) if note.contains("/parse cannot be read"));
    assert!(has(&outputs, says), "{outputs:?}");
    assert!(rig.model.node(&paths.running()).is_none());
    assert_eq!(rig.machine.status().until, Some(at(2)));
}

#[test]
fn a_lease_that_ends_ends_what_runs() {
    let mut rig = Rig::new();
    rig.started(at(1));
    assert_eq!(rig.machine.poll_timeout(), Some(at(5)));
    rig.machine.handle_timeout(at(5));
    let outputs = rig.settle(at(5));
    assert!(has(&outputs, |o| matches!(o, Output::End)), "{outputs:?}");
    let session = rig.session;
    let outputs = rig.input(at(5), Input::Lease(session, Some(at(9))));
    assert_eq!(record(outputs).generation.get(), 1, "another tenure");
}
