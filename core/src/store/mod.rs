//! The ring of a destination (`design.md` §4): entries are put once, and each client id reads them at
//! its own place.
//!
//! One put sequence; one reader per client id with get, ack and rollback ([`reader`] has its states); a
//! slot is freed when every reader that holds slots has acknowledged it. Filters are verdicts on a
//! slot's subject, taken at get: what a filter excludes counts as acknowledged once nothing older is
//! open, so a reader whose filter passes nothing advances all the same.
//!
//! Bounds: slots ([`StoreConfig::entries`], hard) and bytes (`entries * unit`, soft by one segment); a
//! put without room is a bug of the caller. One owner, no locks; it never waits, knows no time, and
//! never drops what a holding reader needs. Without a reader that holds, nothing is freed.
//!
//! [`reader`]: ReaderState

pub mod batch;
mod reader;
mod retained;
pub mod ring;
pub mod segment;

#[cfg(test)]
mod model;
#[cfg(test)]
pub(crate) mod testing;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use thiserror::Error;

use crate::config::{BatchMode, StoreConfig};
use crate::identity::ClientId;
use crate::store::batch::{Cut, Gather, Offer, Place, Skipped, Taken};
use crate::store::reader::Reader;
pub use crate::store::reader::ReaderState;
use crate::store::retained::{Mark, Retained};
use crate::store::ring::Sequence;
use crate::store::segment::{EntryPosition, Segment, SubjectId};

/// The most slots that a ring may be configured to have: 128 MiB of index. Readers need no bound of
/// their own, client ids are 16 bits.
pub const RING_ENTRIES_MAX: u32 = 1 << 24;

/// A ring that cannot work, found before anything starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StoreConfigFault {
    /// Slots are found by mask.
    #[error("canal.instance.memory.buffer.size = {0} is no power of two: use {next}", next = .0.checked_next_power_of_two().unwrap_or(RING_ENTRIES_MAX))]
    NoPowerOfTwo(u32),
    /// Beyond what is sensible.
    #[error("canal.instance.memory.buffer.size = {0} is above the limit of {RING_ENTRIES_MAX}")]
    TooManyEntries(u32),
    /// A ring of no bytes takes nothing.
    #[error("canal.instance.memory.buffer.memunit = 0 leaves the ring without a byte: use 1024")]
    NoUnit,
    /// A flush of a transaction would never fit: every put would wait for ever.
    #[error(
        "canal.instance.transaction.size = {transaction} is above canal.instance.memory.buffer.size = {entries}: \
         a transaction of that size could never be stored; lower the one or raise the other"
    )]
    TransactionAboveRing {
        /// Entries delivered as a unit.
        transaction: u32,
        /// Slots of the ring.
        entries: u32,
    },
}

/// Checks the size of a ring against itself and against the largest unit that is put at once.
///
/// # Errors
/// The ring could not be built, or would stop for ever.
pub const fn check(config: &StoreConfig, transaction_entries: u32) -> Result<(), StoreConfigFault> {
    let entries = config.entries;
    if !entries.is_power_of_two() {
        return Err(StoreConfigFault::NoPowerOfTwo(entries));
    }
    if entries > RING_ENTRIES_MAX {
        return Err(StoreConfigFault::TooManyEntries(entries));
    }
    if config.unit == 0 {
        return Err(StoreConfigFault::NoUnit);
    }
    if transaction_entries > entries {
        let transaction = transaction_entries;
        return Err(StoreConfigFault::TransactionAboveRing {
            transaction,
            entries,
        });
    }
    Ok(())
}

/// Where a new reader begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the oldest entry that the ring holds.
    Oldest,
    /// At the next entry put.
    Newest,
    /// After an entry of the present source, which the client has acknowledged.
    After(EntryPosition),
    /// At an entry of the present source: the client has had all before it.
    At(EntryPosition),
}

/// What fits, or what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Slots.
    pub entries: u64,
    /// Bytes as MEMSIZE counts them: the entries' own lengths.
    pub bytes: u64,
}

/// One reader, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderStatus {
    /// Whose.
    pub client: ClientId,
    /// Whether it holds its slots.
    pub state: ReaderState,
    /// What it has not been given. Nothing is known of it while it is behind the ring: zero.
    pub unread: Room,
    /// Slots that it has been given, or has skipped, and has not acknowledged.
    pub unacknowledged: u64,
    /// Batches that it has been given and has not acknowledged.
    pub open_batches: usize,
}

/// The ring, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// What is held.
    pub held: Room,
    /// What it may hold at most.
    pub limit: Room,
    /// Entries put since the destination began.
    pub put: Sequence,
    /// Every reader.
    pub readers: Vec<ReaderStatus>,
}

/// The ring and its readers.
#[derive(Clone, Debug)]
pub struct EventStore {
    config: StoreConfig,
    retained: Retained,
    readers: BTreeMap<ClientId, Reader>,
    /// Where the ring was emptied because the source is read again; zero if never.
    restarted_at: Sequence,
    /// The entry before the oldest that the ring holds or will be given; none if unknown: since the start.
    floor: Option<Mark>,
}

impl EventStore {
    /// An empty ring.
    ///
    /// # Panics
    /// If [`check`] refuses the size.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        if let Err(fault) = check(&config, 0) {
            panic!("the configuration was not checked: {fault}");
        }
        Self {
            config,
            retained: Retained::new(config.entries),
            readers: BTreeMap::new(),
            restarted_at: Sequence::ZERO,
            floor: None,
        }
    }

    /// Bytes that the ring holds at most, soft by one segment.
    const fn bytes_max(&self) -> u64 {
        self.config.entries as u64 * self.config.unit as u64
    }

    /// What may still be put.
    #[must_use]
    pub const fn room(&self) -> Room {
        Room {
            entries: self.retained.capacity() - self.retained.entries(),
            bytes: self.bytes_max().saturating_sub(self.retained.bytes()),
        }
    }

    /// Whether `segment` may be put now: its slots fit, and there is a byte left (canal's own rule, so
    /// that one segment of any size can overshoot).
    #[must_use]
    pub const fn can_put(&self, segment: &Segment) -> bool {
        let room = self.room();
        segment.slots.len() as u64 <= room.entries && room.bytes > 0
    }

    /// Appends a segment; one without slots leaves no trace.
    ///
    /// # Panics
    /// If [`Self::can_put`] says no.
    pub fn put(&mut self, segment: Segment) {
        assert!(
            segment.slots.is_empty() || self.room().bytes > 0,
            "no byte left: ask can_put first"
        );
        self.retained.append(segment);
    }

    /// The oldest entry held.
    #[must_use]
    pub fn oldest(&self) -> Option<Place> {
        let oldest = self.retained.free();
        (oldest < self.retained.put()).then(|| self.retained.place(oldest))
    }

    /// Adds a reader. It holds its slots, unless what it needs is no longer here: then it is behind.
    ///
    /// # Panics
    /// If the client has a reader.
    pub fn attach(&mut self, client: ClientId, from: ReadFrom) -> ReaderState {
        let reader = match from {
            ReadFrom::Oldest => Reader::new(
                ReaderState::Holding,
                self.retained.free(),
                self.floor.clone(),
            ),
            // Should the source be read again, what was here before the reader is not for it.
            ReadFrom::Newest => Reader::new(
                ReaderState::Holding,
                self.retained.put(),
                self.retained.newest().cloned(),
            ),
            ReadFrom::After(entry) => self.reader_after(self.retained.mark_of(&entry)),
            ReadFrom::At(entry) => self.reader_after(self.retained.mark_of(&entry).before()),
        };
        let state = reader.state;
        let former = self.readers.insert(client, reader);
        assert!(
            former.is_none(),
            "client {client} has a reader: detach it first"
        );
        self.release();
        state
    }

    fn reader_after(&self, mark: Mark) -> Reader {
        let freed = self.floor.as_ref().is_some_and(|floor| mark < *floor);
        let state = if freed {
            ReaderState::Behind
        } else {
            ReaderState::Holding
        };
        Reader::new(state, self.retained.free(), Some(mark))
    }

    /// Removes a reader; without one, does nothing.
    pub fn detach(&mut self, client: ClientId) {
        self.readers.remove(&client);
        if !self
            .readers
            .values()
            .any(|reader| reader.state == ReaderState::Holding)
        {
            // Somebody always holds, or the source would be read into the void.
            for reader in self.readers.values_mut() {
                if reader.state == ReaderState::Idle {
                    reader.state = ReaderState::Holding;
                }
            }
        }
        self.release();
    }

    /// The state of a client's reader; none if it has none.
    #[must_use]
    pub fn state(&self, client: ClientId) -> Option<ReaderState> {
        self.readers.get(&client).map(|reader| reader.state)
    }

    /// The next batch of at most `size` (see [`StoreConfig::batch_mode`]) of what `passes` lets through;
    /// entries without a subject are not asked about. None if there is nothing for the reader, or if it
    /// must wait until the source is read again ([`ReaderState::Returning`]).
    ///
    /// # Panics
    /// If the client has no reader.
    pub fn get(
        &mut self,
        client: ClientId,
        size: u64,
        passes: &mut dyn FnMut(SubjectId) -> bool,
    ) -> Option<Taken> {
        let cut = Cut::new(&self.config, size);
        let retained = &self.retained;
        let reader = asking(&mut self.readers, client, retained);
        if reader.state != ReaderState::Holding {
            reader.state = ReaderState::Returning;
            return None;
        }
        let from = reader.get;
        let taken = collect(retained, reader, Gather::new(cut), passes);
        match &taken {
            Some(taken) => reader.give(taken, retained.mark(taken.end.before())),
            None => settle(retained, reader, from),
        }
        self.release();
        taken
    }

    /// Confirms the client's oldest open batch, which ends at `end`.
    ///
    /// # Panics
    /// If the client has no reader, or that batch does not end there: acks are checked in the ledger
    /// before anything moves.
    pub fn ack(&mut self, client: ClientId, end: Sequence) {
        let retained = &self.retained;
        let reader = asking(&mut self.readers, client, retained);
        let confirmed = reader.confirm(end);
        let is_lost = reader.needs_from() < retained.free() || reader.base() < self.restarted_at;
        if !is_lost {
            // The open batch may have been all that kept the reader behind.
            reader.state = ReaderState::Holding;
            settle(retained, reader, confirmed.max(retained.free()));
        }
        self.release();
    }

    /// Takes back the open batch that begins at `to` and every later one: the next get begins there.
    ///
    /// # Panics
    /// If the client has no reader, or no open batch begins there.
    pub fn rollback(&mut self, client: ClientId, to: Sequence) {
        let reader = asking(&mut self.readers, client, &self.retained);
        reader.take_back(to);
        self.release();
    }

    /// What acknowledgement has skipped since this was last asked: entries that the filter excludes
    /// while nothing was open. The client's cursor may rest there, so that a reader of a quiet table
    /// does not keep a cursor in a file long purged.
    pub fn take_skipped(&mut self, client: ClientId) -> Option<Skipped> {
        self.readers.get_mut(&client)?.skipped.take()
    }

    /// Lets a reader that asks nothing stop holding its slots; its next request ends that. Does nothing
    /// unless another reader holds: a sole reader always holds its slots.
    pub fn idle(&mut self, client: ClientId) {
        let holding = |reader: &Reader| reader.state == ReaderState::Holding;
        let other = self
            .readers
            .iter()
            .any(|(id, reader)| *id != client && holding(reader));
        if let Some(reader) = self.readers.get_mut(&client)
            && other
            && holding(reader)
        {
            reader.state = ReaderState::Idle;
            self.release();
        }
    }

    /// Whether a reader asks for what is no longer here: the source should be read again from the oldest
    /// cursor of [`Self::needed`].
    #[must_use]
    pub fn wants_restart(&self) -> bool {
        self.readers
            .values()
            .any(|reader| reader.state == ReaderState::Returning)
    }

    /// The clients whose cursors decide where reading again begins: all but those that are behind and
    /// have not asked.
    pub fn needed(&self) -> impl Iterator<Item = ClientId> {
        self.readers
            .iter()
            .filter(|(_, reader)| is_needed(reader))
            .map(|(client, _)| *client)
    }

    /// Empties the ring: the source is read again, from before the last acknowledged entry of every
    /// reader of [`Self::needed`]. Batches stay open, and no reader is given again what it has had and
    /// not given back.
    pub fn restart(&mut self) {
        let needed = || self.readers.values().filter(|reader| is_needed(reader));
        let acked = || needed().map(Reader::acked);
        // A reader that has acknowledged nothing needs everything since the start.
        let since_the_start = acked().any(|mark| mark.is_none());
        self.floor = if since_the_start {
            None
        } else {
            acked().flatten().min().cloned()
        };
        let put = self.retained.put();
        self.retained.free_to(put);
        self.restarted_at = put;
        for reader in self.readers.values_mut().filter(|reader| is_needed(reader)) {
            reader.restart(put);
            if reader.state == ReaderState::Returning {
                reader.state = ReaderState::Holding;
            }
        }
    }

    /// From now on segments come from another source, or from one whose binlog began anew: their
    /// positions are not compared with those before.
    pub const fn switch_source(&mut self) {
        self.retained.begin_era();
    }

    /// Whether there is something that the reader has not looked at. Its filter may still exclude all of
    /// it: only a get can tell.
    #[must_use]
    pub fn has_data(&self, client: ClientId) -> bool {
        self.available(client).entries > 0
    }

    /// What the reader has not looked at; zero without a reader, and for one that is behind, whose get
    /// asks for the source to be read again.
    #[must_use]
    pub fn available(&self, client: ClientId) -> Room {
        self.readers.get(&client).map_or(
            Room {
                entries: 0,
                bytes: 0,
            },
            |reader| self.unread(reader),
        )
    }

    /// Whether a get of `size` would be full: canal's "enough" (ha-meta-store reference §5.2).
    #[must_use]
    pub fn is_enough(&self, client: ClientId, size: u64) -> bool {
        let available = self.available(client);
        let limit = Cut::limit(&self.config, size);
        match self.config.batch_mode {
            BatchMode::Bytes => available.bytes >= limit,
            BatchMode::Entries => available.entries >= limit,
        }
    }

    /// What the ring and its readers look like.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        let readers = self.readers.iter().map(|(client, reader)| ReaderStatus {
            client: *client,
            state: reader.state,
            unread: self.unread(reader),
            unacknowledged: reader.get.since(reader.needs_from()),
            open_batches: reader.open(),
        });
        StoreStatus {
            held: Room {
                entries: self.retained.entries(),
                bytes: self.retained.bytes(),
            },
            limit: Room {
                entries: self.retained.capacity(),
                bytes: self.bytes_max(),
            },
            put: self.retained.put(),
            readers: readers.collect(),
        }
    }

    fn unread(&self, reader: &Reader) -> Room {
        match reader.state {
            ReaderState::Holding | ReaderState::Idle => Room {
                entries: self.retained.put().since(reader.get),
                bytes: self.retained.bytes_from(reader.get),
            },
            ReaderState::Behind | ReaderState::Returning => Room {
                entries: 0,
                bytes: 0,
            },
        }
    }

    /// Frees what no holding reader needs. Without one, nothing: somebody may still come for it.
    fn release(&mut self) {
        let holding = self
            .readers
            .values()
            .filter(|reader| reader.state == ReaderState::Holding);
        let Some(keep) = holding.map(|reader| reader.needs_from()).min() else {
            return;
        };
        if keep > self.retained.free() {
            self.floor = Some(self.retained.mark(keep.before()));
        }
        self.retained.free_to(keep);
        for reader in self.readers.values_mut() {
            let needs = reader.needs_from();
            match reader.state {
                ReaderState::Holding => {
                    assert!(
                        keep <= needs && needs <= reader.get,
                        "a reader needs what it has not got"
                    );
                    assert!(
                        reader.get <= self.retained.put(),
                        "a reader has got what was not put"
                    );
                }
                ReaderState::Idle if needs < keep => reader.state = ReaderState::Behind,
                ReaderState::Idle | ReaderState::Behind | ReaderState::Returning => {}
            }
        }
    }
}

const fn is_needed(reader: &Reader) -> bool {
    match reader.state {
        ReaderState::Holding | ReaderState::Idle | ReaderState::Returning => true,
        ReaderState::Behind => false,
    }
}

/// The reader of a client that asks: it is not idle any more.
fn asking<'a>(
    readers: &'a mut BTreeMap<ClientId, Reader>,
    client: ClientId,
    retained: &Retained,
) -> &'a mut Reader {
    let Some(reader) = readers.get_mut(&client) else {
        panic!("client {client} has no reader: attach it first");
    };
    if reader.state == ReaderState::Idle {
        assert!(
            reader.needs_from() >= retained.free(),
            "an idle reader was overtaken"
        );
        reader.state = ReaderState::Holding;
    }
    reader
}

/// Walks from the reader's place, which moves, until the batch is full or the ring ends.
fn collect<'a>(
    retained: &'a Retained,
    reader: &mut Reader,
    mut gather: Gather<'a>,
    passes: &mut dyn FnMut(SubjectId) -> bool,
) -> Option<Taken> {
    let mut verdict = (SubjectId::NONE, true);
    for (stored, begin) in retained.walk(reader.get) {
        for (index, slot) in stored.segment.slots.iter().enumerate().skip(begin) {
            let at = stored.first.plus(index as u64);
            reader.get = at;
            if let Some(had) = &reader.had {
                if had.covers(stored, index) {
                    continue;
                }
                reader.had = None;
            }
            // Neighbours mostly share their table, so the last verdict is mostly the next.
            if slot.subject != verdict.0 {
                verdict = (
                    slot.subject,
                    slot.subject == SubjectId::NONE || passes(slot.subject),
                );
            }
            if !verdict.1 {
                continue;
            }
            match gather.offer(at, &stored.segment, index) {
                Offer::Taken => {}
                Offer::TakenLast => {
                    reader.get = at.plus(1);
                    return gather.finish();
                }
                Offer::Full => return gather.finish(),
            }
        }
    }
    reader.get = retained.put();
    gather.finish()
}

/// If nothing is open, what was passed over since `from` counts as acknowledged.
fn settle(retained: &Retained, reader: &mut Reader, from: Sequence) {
    if reader.open() > 0 || from >= reader.get {
        return;
    }
    let last = reader.get.before();
    let reached = retained.mark(last);
    // When the source is read again, what comes first has been acknowledged before.
    if reader.acked().is_some_and(|acked| reached <= *acked) {
        return;
    }
    let former = reader.skipped.take().and_then(|skipped| skipped.ack_at);
    let ack_at = retained
        .last_ackable(from, reader.get, reader.acked())
        .or(former);
    reader.skipped = Some(Skipped {
        ack_at,
        last: retained.place(last),
        end: last.plus(1),
    });
    reader.reach(reached);
}
