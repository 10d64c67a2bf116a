use super::*;
use crate::coordination::{StepRefusal, ZkSessionId};
use crate::election::testing::Model;
use crate::identity::Destination;
use crate::meta::record::{Gap, GapEnd};
use crate::meta::testing::cursor;
use crate::position::{BinlogFile, BinlogPosition};

const CLIENT: ClientId = ClientId(1001);
const OTHER: ClientId = ClientId(7);
const NOW: Instant = Instant::ZERO;

fn paths() -> DestinationPaths {
    DestinationPaths::new(&Destination::new("example"))
}

/// An owner of a destination in ZooKeeper.
struct Rig {
    model: Model,
    session: ZkSessionId,
    meta: NodeMeta,
    asks: Asks,
}

impl Rig {
    fn new() -> Self {
        let mut model = Model::default();
        let session = model.open(NOW);
        let mut rig = Self {
            model,
            session,
            meta: NodeMeta::new(paths()),
            asks: Asks::default(),
        };
        rig.operator(Effect::CreateAll(paths().own()));
        rig.operator(Effect::Create(
            paths().running(),
            Bytes::new(),
            NodeLife::Ephemeral,
        ));
        let three = Bytes::from_static(b"3");
        rig.operator(Effect::Create(
            paths().generation(),
            three,
            NodeLife::Persistent,
        ));
        rig
    }

    fn operator(&mut self, effect: Effect) {
        let outcome = self.model.perform(NOW, self.session, Ticket(0), effect);
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }

    fn tenure(&self) -> Tenure {
        let stat = |path: NodePath| self.model.node(&path).unwrap().stat;
        Tenure {
            session: self.session,
            created: stat(paths().running()).created,
            run: stat(paths().running()).version,
            generation: Generation::new(3).unwrap(),
            generation_at: stat(paths().generation()).version,
        }
    }

    /// Answers one question; how it was answered.
    fn answer(&mut self) -> Option<(Effect, Outcome)> {
        let (ticket, effect) = self.asks.poll()?;
        let outcome = self
            .model
            .perform(NOW, self.session, ticket, effect.clone());
        self.meta
            .handle_outcome(NOW, ticket, outcome.clone(), &mut self.asks);
        Some((effect, outcome))
    }

    fn settle(&mut self) -> Vec<Event> {
        while self.answer().is_some() {}
        core::iter::from_fn(|| self.meta.poll_event()).collect()
    }

    fn load(&mut self) -> Event {
        let tenure = self.tenure();
        self.meta.begin(tenure, &mut self.asks);
        let mut events = self.settle();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    fn loaded(&mut self) -> Box<MetaRecord> {
        let event = self.load();
        let Event::Loaded(record) = event else {
            panic!("{event:?}")
        };
        record
    }

    fn save(&mut self, record: &MetaRecord) -> Vec<Event> {
        self.meta.save(record.clone(), &mut self.asks);
        self.settle()
    }

    fn data(&self, path: &NodePath) -> Option<String> {
        let read = self.model.node(path)?;
        Some(String::from_utf8(read.data.to_vec()).unwrap())
    }
}

fn client(filter: &str, cursor: Option<Cursor>) -> ClientRecord {
    ClientRecord {
        filter: filter.into(),
        cursor,
    }
}

fn record() -> MetaRecord {
    let mut record = MetaRecord {
        generation: Generation::new(3).unwrap(),
        start: Some(cursor("bin.000001", 4)),
        ..MetaRecord::default()
    };
    let at = cursor("bin.000001", 700);
    record.clients.insert(CLIENT, client(".*\\..*", Some(at)));
    record.clients.insert(OTHER, client("", None));
    record
}

#[test]
fn what_is_saved_is_loaded_by_the_next_tenure() {
    let mut rig = Rig::new();
    let empty = rig.loaded();
    assert_eq!((empty.generation.get(), &empty.start), (2, &None));
    let mut saved = record();
    saved.note_gap(Gap {
        from: None,
        to: GapEnd {
            identity: "source".into(),
            position: BinlogPosition::new(BinlogFile::new("bin.000009"), 4),
            gtid: String::new(),
        },
        reason: "PositionPurged".into(),
    });
    assert_eq!(rig.save(&saved), [Event::Saved]);
    let found = rig.loaded();
    assert_eq!(
        found.generation.get(),
        2,
        "the next one is the tenure's own"
    );
    saved.generation = found.generation;
    assert_eq!(*found, saved);
}

#[test]
fn nodes_are_canals() {
    let mut rig = Rig::new();
    rig.loaded();
    rig.save(&record());
    assert_eq!(rig.data(&paths().filter(CLIENT)).unwrap(), ".*\\..*");
    assert_eq!(rig.data(&paths().client(OTHER)).unwrap(), "");
    assert_eq!(rig.data(&paths().cursor(OTHER)), None);
    let cursor = rig.data(&paths().cursor(CLIENT)).unwrap();
    let class = r#"{"@type":"com.alibaba.otter.canal.protocol.position.LogPosition","identity""#;
    assert!(cursor.starts_with(class), "{cursor}");
    assert!(!rig.data(&paths().parse()).unwrap().contains("@type"));
}

#[test]
fn only_what_differs_is_written_and_behind_the_fence() {
    let mut rig = Rig::new();
    rig.loaded();
    rig.save(&record());
    assert_eq!(rig.save(&record()), [Event::Saved], "nothing is asked");
    let mut next = record();
    next.clients.get_mut(&CLIENT).unwrap().cursor = Some(cursor("bin.000001", 800));
    rig.meta.save(next, &mut rig.asks);
    let (effect, _) = rig.answer().unwrap();
    let Effect::All(steps) = effect else {
        panic!("{effect:?}")
    };
    assert_eq!(steps[..2], rig.tenure().fence(&paths()));
    let [_, _, Step::Write(path, _, NodeVersion(0))] = &steps[..] else {
        panic!("{steps:?}")
    };
    assert_eq!(*path, paths().cursor(CLIENT));
}

#[test]
fn a_tenure_that_is_over_writes_nothing() {
    let mut rig = Rig::new();
    rig.loaded();
    rig.save(&record());
    rig.model.rewrite(&paths().generation(), b"4");
    let mut late = record();
    late.clients.get_mut(&CLIENT).unwrap().cursor = Some(cursor("bin.000001", 5));
    assert_eq!(rig.save(&late), [Event::Fenced]);
    let kept = rig.loaded().clients[&CLIENT].cursor.clone();
    assert_eq!(kept, Some(cursor("bin.000001", 700)));
    rig.meta.end();
    assert_eq!(rig.save(&late), []);
}

#[test]
fn a_cursor_that_java_rewrote_is_written_again_and_said() {
    let mut rig = Rig::new();
    rig.loaded();
    rig.save(&record());
    rig.model.rewrite(&paths().cursor(CLIENT), b"{}");
    let mut next = record();
    let at = Some(cursor("bin.000001", 800));
    next.clients
        .get_mut(&CLIENT)
        .unwrap()
        .cursor
        .clone_from(&at);
    let events = rig.save(&next);
    let [Event::Note(note), Event::Saved] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(note.contains("somebody else"), "{note}");
    assert_eq!(rig.loaded().clients[&CLIENT].cursor, at);
}

#[test]
fn a_lost_answer_is_found_out_whether_it_was_done_or_not() {
    for done in [true, false] {
        let mut rig = Rig::new();
        rig.loaded();
        rig.meta.save(record(), &mut rig.asks);
        let (ticket, effect) = rig.asks.poll().unwrap();
        if done {
            rig.operator(effect);
        }
        let lost = Outcome::Unknown("the connection is gone".into());
        rig.meta.handle_outcome(NOW, ticket, lost, &mut rig.asks);
        assert_eq!(rig.settle(), []);
        let at = rig.meta.poll_timeout().unwrap();
        rig.meta.handle_timeout(at, &mut rig.asks);
        assert_eq!(rig.settle(), [Event::Saved]);
        assert_eq!(rig.loaded().clients, record().clients);
    }
}

#[test]
fn what_java_wrote_is_left_as_it_is_until_it_moves() {
    let mut rig = Rig::new();
    rig.loaded();
    rig.save(&record());
    let java = br#"{"@type":"com.alibaba.otter.canal.protocol.position.LogPosition","identity":{"slaveId":-1,"sourceAddress":{"address":"localhost","port":3306}},"postion":{"gtid":"","included":false,"journalName":"bin.000001","position":50,"serverId":1,"timestamp":1700000000000}}"#;
    rig.model.rewrite(&paths().cursor(CLIENT), java);
    let found = rig.loaded();
    assert_eq!(rig.save(&found), [Event::Saved]);
    let kept = rig.model.node(&paths().cursor(CLIENT)).unwrap();
    assert_eq!(&kept.data[..], java);
    let mut renamed = found;
    assert_eq!(
        renamed.foreign_hosts().into_iter().next().as_deref(),
        Some("localhost")
    );
    renamed.rename_host("localhost", "10.0.0.3");
    assert_eq!(rig.save(&renamed), [Event::Saved]);
    let cursor = rig.loaded().clients[&CLIENT].cursor.clone().unwrap();
    assert_eq!(cursor.source.host, "10.0.0.3");
    assert_eq!(cursor.extension, None, "it says no more than Java did");
}

#[test]
fn who_unsubscribes_is_gone_with_all_that_lies_under_it() {
    let mut rig = Rig::new();
    rig.loaded();
    rig.save(&record());
    let running = paths().client_running(CLIENT);
    rig.operator(Effect::Create(running, Bytes::new(), NodeLife::Ephemeral));
    let mut next = record();
    next.clients.remove(&CLIENT);
    let events = rig.save(&next);
    assert_eq!(events.last(), Some(&Event::Saved), "{events:?}");
    assert!(rig.model.node(&paths().client(CLIENT)).is_none());
    assert!(rig.model.node(&paths().client(OTHER)).is_some());
}

#[test]
fn what_lies_deep_under_a_client_goes_with_it_and_keeps_nobody_waiting() {
    let mut rig = Rig::new();
    rig.loaded();
    rig.save(&record());
    let mark = paths().client(CLIENT).child("mark").child("0000000001");
    rig.operator(Effect::CreateAll(mark.clone()));
    let mut next = record();
    next.clients.remove(&CLIENT);
    let at = Some(cursor("bin.000001", 900));
    next.clients.get_mut(&OTHER).unwrap().cursor.clone_from(&at);
    rig.meta.save(next, &mut rig.asks);
    let (_, written) = rig.answer().unwrap();
    assert_eq!(
        written,
        Outcome::Done(Value::Done),
        "cursors do not wait for deletions"
    );
    let events = rig.settle();
    assert_eq!(events.last(), Some(&Event::Saved), "{events:?}");
    assert!(rig.model.node(&mark).is_none());
    assert_eq!(rig.loaded().clients[&OTHER].cursor, at);
}

#[test]
fn what_is_refused_again_and_again_is_not_asked_without_a_pause() {
    let mut rig = Rig::new();
    rig.loaded();
    rig.meta.save(record(), &mut rig.asks);
    let mut asked = 0;
    while let Some((ticket, effect)) = rig.asks.poll() {
        asked += 1;
        assert!(asked < 20, "it spins");
        let outcome = if matches!(effect, Effect::All(_)) {
            Outcome::Refused(Refusal::Step(FENCE, StepRefusal::NotEmpty))
        } else {
            rig.model.perform(NOW, rig.session, ticket, effect)
        };
        rig.meta.handle_outcome(NOW, ticket, outcome, &mut rig.asks);
    }
    assert_eq!(rig.meta.poll_timeout(), Some(NOW + RETRY));
}

#[test]
fn what_is_too_much_for_one_transaction_is_written_in_several() {
    let mut rig = Rig::new();
    rig.loaded();
    let mut large = record();
    for id in 100..140 {
        let filter = "x".repeat(30 << 10);
        large.clients.insert(ClientId(id), client(&filter, None));
    }
    rig.meta.save(large, &mut rig.asks);
    while let Some((effect, _)) = rig.answer() {
        let Effect::All(steps) = effect else {
            panic!("{effect:?}")
        };
        let bytes: usize = steps.iter().map(size).sum();
        assert!(bytes <= STEPS_BYTES_MAX + (4 << 10), "{bytes}");
    }
    assert_eq!(rig.settle(), [Event::Saved]);
}

#[test]
fn more_than_one_transaction_holds_is_written_in_several() {
    let mut rig = Rig::new();
    rig.loaded();
    let mut many = record();
    for id in 100..300 {
        many.clients.insert(ClientId(id), client("a\\..*", None));
    }
    rig.meta.save(many.clone(), &mut rig.asks);
    let mut transactions = 0;
    while let Some((effect, outcome)) = rig.answer() {
        let Effect::All(steps) = effect else {
            panic!("{effect:?}")
        };
        assert!(steps.len() <= STEPS_MAX);
        assert_eq!(outcome, Outcome::Done(Value::Done));
        transactions += 1;
    }
    assert_eq!((transactions, rig.settle()), (4, [Event::Saved].to_vec()));
    assert_eq!(rig.loaded().clients, many.clients);
}

#[test]
fn what_cannot_be_read_is_not_overwritten_and_says_what_to_do() {
    for bad in [&b""[..], b"null", b"{\"@type\":\"x\"", b"{\"identity\":{}}"] {
        let mut rig = Rig::new();
        rig.loaded();
        rig.save(&record());
        let bad: &'static [u8] = bad;
        rig.model.rewrite(&paths().cursor(CLIENT), bad);
        let Event::Unusable(why) = rig.load() else {
            panic!("{bad:?}")
        };
        assert!(
            why.contains("/1001/cursor") && why.contains("delete"),
            "{why}"
        );
        assert_eq!(rig.save(&record()), [], "nothing is written");
        let kept = rig.model.node(&paths().cursor(CLIENT)).unwrap();
        assert_eq!(kept.data, bad);
    }
}

#[test]
fn a_generation_that_is_used_up_needs_another_tenure() {
    let mut rig = Rig::new();
    rig.loaded();
    let mut next = record();
    next.generation = Generation::new(4).unwrap();
    assert_eq!(rig.save(&next), [Event::UsedUp]);
}

#[test]
fn a_host_name_is_not_given_to_java_to_resolve() {
    let mut rig = Rig::new();
    rig.loaded();
    let mut named = record();
    let start = named.start.as_mut().unwrap();
    start.source.host = "db.example".into();
    rig.save(&named);
    let parse = rig.data(&paths().parse()).unwrap();
    assert!(parse.contains(r#""address":"0.0.0.0""#), "{parse}");
    let at = rig.loaded().start.unwrap();
    assert_eq!(at.extension, named.start.unwrap().extension);
    let refused = Outcome::Refused(Refusal::Step(0, StepRefusal::BadVersion));
    assert!(
        !rig.meta
            .handle_outcome(NOW, Ticket(999), refused, &mut rig.asks)
    );
}
