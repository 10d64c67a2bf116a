//! Random runs of one destination with two clients: whatever breaks, nothing that was committed is left
//! out, nothing comes out of order, and nothing comes again that the stored record says was acknowledged.
//! Where the log does not say its columns, they are proved by looking ahead, or by a pass of its own.

use alloc::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::source::fault::BACKOFF_MAX;
use crate::source::start::tests::config as any_config;

const CLIENTS: [ClientId; 2] = [ClientId(1001), ClientId(1002)];

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// The source commits a transaction of so many rows, each in an event of its own.
    Commit(u8),
    /// A client asks for so many entries.
    Get(usize, u8),
    /// A client acknowledges its oldest batch.
    Ack(usize),
    /// A client gives back its batches from this one on; all if it has fewer.
    Rollback(usize, usize),
    /// A client comes again on a new connection.
    Reconnect(usize),
    Disk(Disk),
    /// Every link to the source breaks.
    Cut,
    /// Time passes.
    Wait(u8),
    /// The process dies; whether a write under way came through.
    Crash(bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let client = 0..CLIENTS.len();
    let act = prop_oneof![
        4 => (1_u8..7).prop_map(Act::Commit),
        6 => (client.clone(), 1_u8..9).prop_map(|(client, size)| Act::Get(client, size)),
        5 => client.clone().prop_map(Act::Ack),
        1 => (client.clone(), 0_usize..3).prop_map(|(client, nth)| Act::Rollback(client, nth)),
        1 => client.prop_map(Act::Reconnect),
        1 => prop_oneof![Just(Disk::Works), Just(Disk::Fails), Just(Disk::Hangs)]
            .prop_map(Act::Disk),
        1 => Just(Act::Cut),
        2 => prop_oneof![1_u8..4, 60_u8..70].prop_map(Act::Wait),
        1 => any::<bool>().prop_map(Act::Crash),
    ];
    proptest::collection::vec(act, 1..120)
}

/// What a client knows. Rows are numbered from 1 in the order of their commits.
#[derive(Default)]
struct Member {
    session: u64,
    open: VecDeque<(BatchId, Vec<u32>)>,
    /// The last row that it was given and has not given back.
    given: u32,
    /// The last row that it has acknowledged.
    acked: u32,
    /// What of that is in the record being written, and in the one stored.
    saving: u32,
    stored: u32,
}

impl Member {
    fn take(&mut self, batch: BatchId, rows: Vec<u32>) {
        for row in &rows {
            assert_eq!(*row, self.given + 1, "in order, none left out, none twice");
            self.given = *row;
        }
        self.open.push_back((batch, rows));
    }

    /// Gives back the batches from the `nth` on; the one to name.
    fn give_back(&mut self, nth: usize) -> Option<BatchId> {
        let back = self.open.split_off(nth.min(self.open.len()));
        if let Some(first) = back.iter().find_map(|(_, rows)| rows.first()) {
            self.given = first - 1;
        }
        back.front().map(|(batch, _)| *batch)
    }
}

struct Run {
    rig: Rig,
    metadata: Metadata,
    members: [Member; 2],
    rows: u32,
    sessions: u64,
    seen_steps: usize,
    saving: MetaRecord,
    stored: MetaRecord,
}

fn config() -> InstanceConfig {
    InstanceConfig {
        store: store_config(16, BatchMode::Entries),
        transaction_entries: 4,
        lookahead_bytes: 300,
        ..any_config(Start::Earliest)
    }
}

impl Run {
    fn new(metadata: Metadata) -> Self {
        let mut rig = Rig::new(config());
        rig.run();
        let mut run = Self {
            rig,
            metadata,
            members: Default::default(),
            rows: 0,
            sessions: 0,
            seen_steps: 0,
            saving: MetaRecord::default(),
            stored: MetaRecord::default(),
        };
        for index in 0..CLIENTS.len() {
            run.connect(index);
        }
        run.note_saves();
        run
    }

    fn connect(&mut self, index: usize) {
        self.sessions += 1;
        self.members[index].session = self.sessions;
        self.rig.subscribe(self.sessions, CLIENTS[index]);
    }

    fn ask(&mut self, index: usize, ask: Ask) -> Answer {
        let id = self
            .rig
            .request(self.members[index].session, CLIENTS[index], ask);
        self.rig.reply(id).unwrap()
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Commit(rows) => self.commit(rows),
            Act::Get(index, size) => {
                let (size, wait) = (size.into(), Wait::No);
                if let Answer::Batch(batch, rows) = self.ask(index, Ask::Get { size, wait }) {
                    self.members[index].take(batch, rows);
                }
            }
            Act::Ack(index) => {
                if let Some((batch, rows)) = self.members[index].open.pop_front() {
                    assert_eq!(self.ask(index, Ask::Ack { batch }), Answer::Done);
                    let member = &mut self.members[index];
                    member.acked = rows.last().copied().unwrap_or(member.acked);
                }
            }
            Act::Rollback(index, nth) => {
                if let Some(batch) = self.members[index].give_back(nth) {
                    let batch = Some(batch);
                    assert_eq!(self.ask(index, Ask::Rollback { batch }), Answer::Done);
                }
            }
            Act::Reconnect(index) => {
                self.connect(index);
                self.members[index].give_back(0);
                let answer = self.ask(index, Ask::Rollback { batch: None });
                assert_eq!(answer, Answer::Done);
            }
            Act::Disk(disk) => self.rig.disk(disk),
            Act::Cut => self.rig.cut(),
            Act::Wait(seconds) => self.rig.wait(Duration::from_secs(seconds.into())),
            Act::Crash(came_through) => self.crash(came_through),
        }
        self.note_saves();
    }

    fn commit(&mut self, rows: u8) {
        const TABLE: u8 = 9;
        let log = &mut self.rig.log;
        let mut events = vec![log.query("BEGIN"), log.table(TABLE, "t", self.metadata)];
        for _ in 0..rows {
            self.rows += 1;
            events.push(log.insert(TABLE, &[self.rows]));
        }
        events.push(log.commit());
        self.rig.send(&events);
    }

    /// What became of the record since.
    fn note_saves(&mut self) {
        let steps = self.rig.steps[self.seen_steps..].to_vec();
        self.seen_steps = self.rig.steps.len();
        for step in steps {
            match step {
                Step::Saving(record) => {
                    self.saving = *record;
                    self.members.iter_mut().for_each(|m| m.saving = m.acked);
                }
                Step::Saved(true) => self.note_stored(),
                Step::Saved(false)
                | Step::Dialed(_)
                | Step::Dump(_)
                | Step::Reply(..)
                | Step::Closed(..)
                | Step::Report(..) => {}
            }
        }
    }

    fn note_stored(&mut self) {
        self.stored = self.saving.clone();
        self.members.iter_mut().for_each(|m| m.stored = m.saving);
    }

    /// A new process knows what was stored and nothing more: from there on everything comes again.
    fn crash(&mut self, came_through: bool) {
        if self.rig.unsaved && came_through {
            self.note_stored();
        }
        let log = core::mem::replace(&mut self.rig.log, Log::new(FILE));
        self.rig = Rig::resumed(config(), self.stored.clone(), log);
        self.seen_steps = 0;
        for member in &mut self.members {
            member.open.clear();
            member.acked = member.stored;
            member.given = member.stored;
        }
        self.rig.run();
        for index in 0..CLIENTS.len() {
            self.connect(index);
        }
    }

    /// Everything heals: all that was committed comes.
    fn heal(&mut self) {
        self.rig.disk(Disk::Works);
        for _ in 0..1_000 {
            if self.members.iter().all(|member| member.acked == self.rows) {
                return;
            }
            self.act(Act::Wait(BACKOFF_MAX.as_secs() as u8));
            for index in 0..CLIENTS.len() {
                self.act(Act::Get(index, 8));
                while !self.members[index].open.is_empty() {
                    self.act(Act::Ack(index));
                }
            }
        }
        let status = self.rig.instance.status();
        panic!(
            "{} rows were committed and do not come: {status:?}",
            self.rows
        );
    }
}

proptest! {
    #[test]
    fn whatever_breaks_nothing_is_left_out_and_nothing_stored_comes_again(
        acts in acts(),
        metadata in prop_oneof![Just(Metadata::Full), Just(Metadata::Minimal)],
    ) {
        let mut run = Run::new(metadata);
        for act in acts {
            run.act(act);
        }
        run.heal();
    }
}
