//! The store against a naive model that knows the specification and not the code: every slot has a
//! status per reader, and everything is found by looking at all of them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use crate::config::{BatchMode, StoreConfig};
use crate::entry::kind::{EntryType, RowKind};
use crate::identity::ClientId;
use crate::position::{BinlogFile, BinlogPosition};
use crate::store::segment::{EntryPosition, Resume, Segment, Slot, SubjectId};
use crate::store::testing::{config, slot};
use crate::store::{EventStore, ReadFrom, ReaderState, Sequence};

/// The number of an entry in the source: the same however often the source is read.
type Number = u64;

/// Entries a binlog file of the source holds.
const FILE_ENTRIES: u64 = 23;

/// The source's entry `n`: transactions of five, a DDL now and then.
#[derive(Clone, Copy, Debug)]
struct SourceEntry(Number);

impl SourceEntry {
    const fn file_number(self) -> u64 {
        1 + self.0 / FILE_ENTRIES
    }

    const fn len(self) -> u32 {
        4 + (self.0 * 7 % 29) as u32
    }

    const fn subject(self) -> SubjectId {
        SubjectId(if self.is_row() {
            1 + (self.0 / 3 % 3) as u32
        } else {
            0
        })
    }

    const fn is_row(self) -> bool {
        !matches!(self.0 % 5, 0 | 4)
    }

    const fn is_ddl(self) -> bool {
        self.0 % 11 == 6 && self.is_row()
    }

    const fn is_ackable(self) -> bool {
        !self.is_row() || self.is_ddl()
    }

    fn bytes(self) -> Vec<u8> {
        let mut bytes = alloc::vec![0; self.len() as usize + 2];
        bytes[..4].copy_from_slice(&(self.0 as u32).to_le_bytes());
        bytes
    }

    fn position(self) -> EntryPosition {
        let file = BinlogFile::new(&std::format!("bin.{:06}", self.file_number()));
        let slot = self.slot(0);
        EntryPosition {
            position: BinlogPosition::new(file, slot.offset),
            ordinal: slot.ordinal,
            timestamp: slot.execute_time,
            server_id: slot.server_id,
            gtid: alloc::string::String::new(),
        }
    }

    fn slot(self, end: u32) -> Slot {
        let kind = if self.is_ddl() {
            RowKind::Alter
        } else {
            RowKind::Update
        };
        let entry_type = match self.0 % 5 {
            0 => EntryType::TransactionBegin,
            4 => EntryType::TransactionEnd,
            _ => EntryType::RowData,
        };
        Slot {
            end,
            // Pairs of entries share an event.
            offset: 4 + self.0 % FILE_ENTRIES / 2 * 100,
            ordinal: (self.0 % FILE_ENTRIES % 2) as u32,
            subject: self.subject(),
            entry_type,
            kind: self.is_row().then_some(kind),
            ..slot(self.len())
        }
    }
}

fn source_segment(entries: impl Iterator<Item = SourceEntry>) -> Segment {
    let (mut bytes, mut slots, mut file) = (Vec::new(), Vec::new(), BinlogFile::new(""));
    for entry in entries {
        bytes.extend(entry.bytes());
        slots.push(entry.slot(bytes.len() as u32));
        file = entry.position().position.file;
    }
    let boundary = BinlogPosition::new(file.clone(), 4);
    let resumes = [Resume {
        boundary,
        gtid_before: None,
        gtid_with: None,
    }]
    .into();
    Segment {
        bytes: Bytes::from(bytes),
        slots,
        file,
        resumes,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Not,
    Skipped,
    Given,
    Acked,
}

#[derive(Clone, Debug)]
struct ModelBatch {
    first: Sequence,
    end: Sequence,
    numbers: Vec<Number>,
    before_restart: bool,
}

#[derive(Clone, Debug)]
struct ModelReader {
    state: ReaderState,
    mask: u32,
    /// What it had before it was attached: everything below.
    had_below: Number,
    given: BTreeSet<Number>,
    acked_below: Number,
    open: Vec<ModelBatch>,
    /// By index into [`Model::ring`]; before the end it has, beyond it `Not`.
    seen: Vec<Seen>,
    never_there: bool,
}

impl ModelReader {
    const fn passes(&self, entry: SourceEntry) -> bool {
        let subject = entry.subject().0;
        subject == 0 || self.mask & (1 << subject) != 0
    }

    fn owes(&self, number: Number) -> bool {
        number >= self.had_below
            && !self.given.contains(&number)
            && self.passes(SourceEntry(number))
    }

    /// The first slot that it needs.
    fn needs(&self, model: &Model) -> usize {
        if self.open.iter().any(|batch| batch.before_restart) {
            return model.restarted_at;
        }
        let released = |seen: &Seen| matches!(seen, Seen::Acked | Seen::Skipped);
        self.seen
            .iter()
            .position(|seen| !released(seen))
            .unwrap_or(self.seen.len())
    }

    fn unseen(&self) -> usize {
        self.seen
            .iter()
            .position(|seen| *seen == Seen::Not)
            .unwrap_or(self.seen.len())
    }

    /// If nothing is open, what was skipped counts as acknowledged: the numbers that do so only now.
    fn settle(&mut self, model: &Model) -> Vec<Number> {
        if !self.open.is_empty() {
            return Vec::new();
        }
        let looked_at = &model.ring[model.free..self.unseen().max(model.free)];
        let skipped: Vec<Number> = looked_at
            .iter()
            .copied()
            .filter(|n| *n >= self.acked_below)
            .collect();
        if let Some(last) = skipped.last() {
            self.acked_below = last + 1;
        }
        skipped
    }
}

#[derive(Clone, Debug)]
struct Model {
    config: StoreConfig,
    ring: Vec<Number>,
    free: usize,
    restarted_at: usize,
    head: Number,
    newest_below: Number,
    floor_below: Number,
    readers: BTreeMap<ClientId, ModelReader>,
}

impl Model {
    fn bytes(&self) -> u64 {
        self.ring[self.free..]
            .iter()
            .map(|n| u64::from(SourceEntry(*n).len()))
            .sum()
    }

    fn attach(&mut self, client: ClientId, mask: u32, had_below: Number, at: usize) {
        let mut seen = alloc::vec![Seen::Acked; at];
        seen.resize(self.ring.len(), Seen::Not);
        let behind = had_below < self.floor_below;
        let state = if behind {
            ReaderState::Behind
        } else {
            ReaderState::Holding
        };
        let reader = ModelReader {
            state,
            mask,
            had_below,
            given: BTreeSet::new(),
            acked_below: had_below,
            open: Vec::new(),
            seen,
            never_there: behind,
        };
        self.readers.insert(client, reader);
        self.release();
    }

    fn expect_batch(&self, reader: &ModelReader, size: u64) -> Vec<usize> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for at in reader.unseen()..self.ring.len() {
            let entry = SourceEntry(self.ring[at]);
            if !reader.owes(entry.0) {
                continue;
            }
            let alone = self.config.ddl_isolation && entry.is_ddl();
            let full = match self.config.batch_mode {
                BatchMode::Bytes => bytes > size.max(1) * u64::from(self.config.unit),
                BatchMode::Entries => batch.len() as u64 >= size.max(1),
            };
            if !batch.is_empty() && (alone || full) {
                break;
            }
            batch.push(at);
            bytes += u64::from(entry.len());
            if alone {
                break;
            }
        }
        batch
    }

    /// How far a get looks that takes `batch`: to the next entry that is owed, or to the end.
    fn looked_to(&self, reader: &ModelReader, batch: &[usize]) -> usize {
        let Some(last) = batch.last() else {
            return self.ring.len();
        };
        let alone = self.config.ddl_isolation && SourceEntry(self.ring[*last]).is_ddl();
        let next = (last + 1..self.ring.len()).find(|at| alone || reader.owes(self.ring[*at]));
        next.unwrap_or(self.ring.len())
    }

    fn release(&mut self) {
        let holding = self
            .readers
            .values()
            .filter(|r| r.state == ReaderState::Holding);
        let Some(keep) = holding.map(|reader| reader.needs(self)).min() else {
            return;
        };
        if keep > self.free {
            self.floor_below = self.ring[keep - 1] + 1;
            self.free = keep;
        }
        let model = self.clone();
        for reader in self
            .readers
            .values_mut()
            .filter(|r| r.state == ReaderState::Idle)
        {
            if reader.needs(&model) < keep {
                reader.state = ReaderState::Behind;
            }
        }
    }
}

struct Pair {
    store: EventStore,
    model: Model,
}

impl Pair {
    fn put(&mut self, count: u64) {
        let head = SourceEntry(self.model.head);
        let count = count.min(FILE_ENTRIES - head.0 % FILE_ENTRIES);
        let segment = source_segment((head.0..head.0 + count).map(SourceEntry));
        let entries = (self.model.ring.len() - self.model.free) as u64 + count;
        let limit = u64::from(self.model.config.entries);
        let fits =
            entries <= limit && self.model.bytes() < limit * u64::from(self.model.config.unit);
        assert_eq!(self.store.can_put(&segment), fits);
        if fits {
            self.store.put(segment);
            self.model.ring.extend(head.0..head.0 + count);
            self.model.head += count;
            self.model.newest_below = self.model.newest_below.max(self.model.head);
            for reader in self.model.readers.values_mut() {
                reader.seen.resize(self.model.ring.len(), Seen::Not);
            }
        }
    }

    fn get(&mut self, client: ClientId, size: u64) {
        let Some(mut reader) = self.model.readers.remove(&client) else {
            return;
        };
        let mask = reader.mask;
        let taken = self
            .store
            .get(client, size, &mut |subject| mask & (1 << subject.0) != 0);
        match reader.state {
            ReaderState::Behind | ReaderState::Returning => {
                assert!(taken.is_none());
                reader.state = ReaderState::Returning;
            }
            ReaderState::Holding | ReaderState::Idle => {
                reader.state = ReaderState::Holding;
                let batch = self.model.expect_batch(&reader, size);
                let looked_to = self.model.looked_to(&reader, &batch);
                for at in reader.unseen()..looked_to {
                    reader.seen[at] = if batch.contains(&at) {
                        Seen::Given
                    } else {
                        Seen::Skipped
                    };
                }
                let numbers: Vec<Number> = batch.iter().map(|at| self.model.ring[*at]).collect();
                let bytes: Vec<u8> = numbers
                    .iter()
                    .flat_map(|n| SourceEntry(*n).bytes())
                    .collect();
                let given = taken
                    .iter()
                    .flat_map(|taken| taken.chunks.iter().flatten().copied());
                assert_eq!(given.collect::<Vec<u8>>(), bytes);
                assert_eq!(taken.is_some(), !numbers.is_empty());
                if let Some(taken) = taken {
                    let sizes = numbers.iter().map(|n| u64::from(SourceEntry(*n).len()));
                    assert_eq!(taken.bytes, sizes.sum::<u64>());
                    assert_eq!(taken.entries as usize, numbers.len());
                    let last = SourceEntry(*numbers.last().unwrap());
                    assert_eq!(taken.last.entry, last.position());
                    let ackable = numbers.iter().rev().find(|n| SourceEntry(**n).is_ackable());
                    let ack_at = ackable.map(|n| SourceEntry(*n).position());
                    assert_eq!(taken.ack_at.map(|place| place.entry), ack_at);
                    reader.given.extend(&numbers);
                    let (first, end) = (taken.first, taken.end);
                    let batch = ModelBatch {
                        first,
                        end,
                        numbers,
                        before_restart: false,
                    };
                    reader.open.push(batch);
                }
                self.check_skipped(client, &reader.settle(&self.model));
            }
        }
        self.model.readers.insert(client, reader);
        self.model.release();
    }

    fn check_skipped(&mut self, client: ClientId, numbers: &[Number]) {
        let skipped = self.store.take_skipped(client);
        let last = numbers.last().map(|n| SourceEntry(*n).position());
        assert_eq!(
            skipped.as_ref().map(|skipped| &skipped.last.entry),
            last.as_ref()
        );
        let ackable = numbers.iter().rev().find(|n| SourceEntry(**n).is_ackable());
        let ack_at = skipped
            .and_then(|skipped| skipped.ack_at)
            .map(|place| place.entry);
        assert_eq!(ack_at, ackable.map(|n| SourceEntry(*n).position()));
    }

    fn ack(&mut self, client: ClientId) {
        let Some(mut reader) = self.model.readers.remove(&client) else {
            return;
        };
        if !reader.open.is_empty() {
            let batch = reader.open.remove(0);
            self.store.ack(client, batch.end);
            reader.acked_below = reader.acked_below.max(batch.numbers.last().unwrap() + 1);
            if !batch.before_restart {
                for at in batch.first.0..batch.end.0 {
                    reader.seen[at as usize] = Seen::Acked;
                }
            }
            let lost = reader.needs(&self.model) < self.model.free;
            if !reader.never_there && !lost {
                reader.state = ReaderState::Holding;
                self.check_skipped(client, &reader.settle(&self.model));
            }
        }
        self.model.readers.insert(client, reader);
        self.model.release();
    }

    fn rollback(&mut self, client: ClientId, which: usize) {
        let Some(mut reader) = self.model.readers.remove(&client) else {
            return;
        };
        if !reader.open.is_empty() {
            if reader.state == ReaderState::Idle {
                reader.state = ReaderState::Holding;
            }
            let which = which % reader.open.len();
            let dropped: Vec<ModelBatch> = reader.open.drain(which..).collect();
            self.store.rollback(client, dropped[0].first);
            let from = if dropped[0].before_restart {
                self.model.restarted_at
            } else {
                dropped[0].first.0 as usize
            };
            reader.seen[from..].fill(Seen::Not);
            for number in dropped.iter().flat_map(|batch| &batch.numbers) {
                reader.given.remove(number);
            }
        }
        self.model.readers.insert(client, reader);
        self.model.release();
    }

    fn idle(&mut self, client: ClientId) {
        self.store.idle(client);
        let holding = |reader: &ModelReader| reader.state == ReaderState::Holding;
        let holders = self
            .model
            .readers
            .values()
            .filter(|reader| holding(reader))
            .count();
        if let Some(reader) = self.model.readers.get_mut(&client)
            && holding(reader)
            && holders > 1
        {
            reader.state = ReaderState::Idle;
            self.model.release();
        }
    }

    fn attach(&mut self, client: ClientId, mask: u32, from: u64) {
        if self.model.readers.contains_key(&client) {
            return;
        }
        match from {
            0 => {
                self.store.attach(client, ReadFrom::Oldest);
                self.model
                    .attach(client, mask, self.model.floor_below, self.model.free);
            }
            1 => {
                self.store.attach(client, ReadFrom::Newest);
                let put = self.model.ring.len();
                self.model
                    .attach(client, mask, self.model.newest_below, put);
            }
            _ => {
                let after = from % (self.model.newest_below + 1);
                if after == 0 {
                    return;
                }
                let position = SourceEntry(after - 1).position();
                let state = self.store.attach(client, ReadFrom::After(position));
                self.model.attach(client, mask, after, self.model.free);
                assert_eq!(state, self.model.readers[&client].state);
            }
        }
    }

    fn detach(&mut self, client: ClientId) {
        self.store.detach(client);
        self.model.readers.remove(&client);
        if !self
            .model
            .readers
            .values()
            .any(|reader| reader.state == ReaderState::Holding)
        {
            for reader in self.model.readers.values_mut() {
                if reader.state == ReaderState::Idle {
                    reader.state = ReaderState::Holding;
                }
            }
        }
        self.model.release();
    }

    fn restart(&mut self, earlier: u64) {
        let needed: Vec<ClientId> = self.store.needed().collect();
        let put = self.model.ring.len();
        let mut oldest: Option<Number> = None;
        for (client, reader) in &mut self.model.readers {
            assert_eq!(needed.contains(client), reader.state != ReaderState::Behind);
            for batch in &mut reader.open {
                batch.before_restart = true;
            }
            if reader.state == ReaderState::Behind {
                reader.never_there = true;
                continue;
            }
            oldest = Some(oldest.unwrap_or(Number::MAX).min(reader.acked_below));
            reader.seen.fill(Seen::Acked);
            reader.never_there = false;
            if reader.state == ReaderState::Returning {
                reader.state = ReaderState::Holding;
            }
        }
        self.store.restart();
        self.model.floor_below = oldest.unwrap_or(0);
        self.model.head = self.model.floor_below.saturating_sub(earlier);
        self.model.free = put;
        self.model.restarted_at = put;
    }

    fn check(&self) {
        let room = self.store.room();
        let entries = (self.model.ring.len() - self.model.free) as u64;
        assert_eq!(room.entries, u64::from(self.model.config.entries) - entries);
        let status = self.store.status();
        assert_eq!(status.held.bytes, self.model.bytes());
        assert_eq!(status.readers.len(), self.model.readers.len());
        for status in status.readers {
            let reader = &self.model.readers[&status.client];
            assert_eq!(status.state, reader.state);
            assert_eq!(status.open_batches, reader.open.len());
            if matches!(reader.state, ReaderState::Holding | ReaderState::Idle) {
                let unread = (self.model.ring.len() - reader.unseen()) as u64;
                assert_eq!(status.unread.entries, unread);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put(u64),
    Get(ClientId, u64),
    Ack(ClientId),
    Rollback(ClientId, usize),
    Idle(ClientId),
    Attach(ClientId, u32, u64),
    Detach(ClientId),
    Restart(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let client = || (1_i16..4).prop_map(ClientId);
    prop_oneof![
        6 => (1_u64..7).prop_map(Op::Put),
        8 => (client(), 0_u64..6).prop_map(|(client, size)| Op::Get(client, size)),
        6 => client().prop_map(Op::Ack),
        2 => (client(), 0_usize..4).prop_map(|(client, which)| Op::Rollback(client, which)),
        2 => client().prop_map(Op::Idle),
        2 => (client(), 0_u32..16, prop_oneof![0_u64..2, 0_u64..200])
            .prop_map(|(client, mask, from)| Op::Attach(client, mask, from)),
        1 => client().prop_map(Op::Detach),
        1 => (0_u64..9).prop_map(Op::Restart),
    ]
}

fn run(config: StoreConfig, ops: Vec<Op>) {
    let model = Model {
        config,
        ring: Vec::new(),
        free: 0,
        restarted_at: 0,
        head: 0,
        newest_below: 0,
        floor_below: 0,
        readers: BTreeMap::new(),
    };
    let mut pair = Pair {
        store: EventStore::new(config),
        model,
    };
    pair.attach(ClientId(1), 0b1110, 0);
    for op in ops {
        match op {
            Op::Put(count) => pair.put(count),
            Op::Get(client, size) => pair.get(client, size),
            Op::Ack(client) => pair.ack(client),
            Op::Rollback(client, which) => pair.rollback(client, which),
            Op::Idle(client) => pair.idle(client),
            Op::Attach(client, mask, from) => pair.attach(client, mask, from),
            Op::Detach(client) => pair.detach(client),
            Op::Restart(earlier) => pair.restart(earlier),
        }
        pair.check();
    }
}

proptest! {
    #[test]
    fn the_store_does_what_the_model_does(
        entries in prop_oneof![Just(8_u32), Just(32)],
        unit in 12_u32..40,
        items in any::<bool>(),
        ddl_isolation in any::<bool>(),
        ops in prop::collection::vec(op(), 1..160),
    ) {
        let mode = if items { BatchMode::Entries } else { BatchMode::Bytes };
        run(StoreConfig { unit, ddl_isolation, ..config(entries, mode) }, ops);
    }
}
