//! What one get takes from the ring: where it stops, and what it carries.
//!
//! The rules of size are canal's, byte for byte (wire-protocol reference §7.3): MEMSIZE adds entries
//! while the sum so far is at most the limit, so it takes at least one and overshoots by at most one;
//! ITEMSIZE counts entries; with DDL isolation each DDL is a batch of its own.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::config::{BatchMode, StoreConfig};
use crate::entry::kind::EntryType;
use crate::position::BinlogPosition;
use crate::store::ring::Sequence;
use crate::store::segment::{EntryPosition, Resume, Segment, Slot};

/// Bytes that a batch of several entries never exceeds, whatever was asked for: the length field of a
/// frame is a signed 32-bit number (wire-protocol reference §1). What is left out comes with the next get.
pub const BATCH_BYTES_MAX: u64 = 1 << 30;

/// An entry as a cursor records it, and where reading begins again after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The entry.
    pub entry: EntryPosition,
    /// Where to read from to see what follows it.
    pub resume: Resume,
}

impl Place {
    /// The place of the entry `index` of `segment`.
    ///
    /// # Panics
    /// If the segment has no such entry.
    #[must_use]
    pub fn of(segment: &Segment, index: usize) -> Self {
        let slot = &segment.slots[index];
        let resume = segment.resumes[slot.resume as usize].clone();
        let entry = EntryPosition {
            position: BinlogPosition::new(segment.file.clone(), slot.offset),
            ordinal: slot.ordinal,
            timestamp: slot.execute_time,
            server_id: slot.server_id,
            gtid: resume
                .gtid_with
                .as_deref()
                .map_or_else(String::new, String::from),
        };
        Self { entry, resume }
    }
}

/// What a get took: a few runs of slots.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The first entry in it; a rollback to here gives all of it again.
    pub first: Sequence,
    /// One past the last entry in it; what its acknowledgement names.
    pub end: Sequence,
    /// The entries as the `MESSAGES` packet carries them, one slice per run and segment.
    pub chunks: Vec<Bytes>,
    /// How many entries.
    pub entries: u32,
    /// Rows in all of them.
    pub rows: u64,
    /// Their size as MEMSIZE counts it: the entries' own lengths, without tag and length prefix.
    pub bytes: u64,
    /// Canal's ackable position (wire-protocol reference §8.5); none if the batch lies within a transaction.
    pub ack_at: Option<Place>,
    /// The last entry in it.
    pub last: Place,
}

/// How far acknowledgement reached over entries that the reader's filter excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Canal's ackable position among them; none if there is none.
    pub ack_at: Option<Place>,
    /// The last of them.
    pub last: Place,
    /// One past it.
    pub end: Sequence,
}

/// Whether canal lets a cursor rest on an entry: TRANSACTIONEND, DDL, or a TRANSACTIONBEGIN whose GTID
/// is empty (a begin's set already holds its own transaction; ha-meta-store reference §5.2).
#[must_use]
pub fn is_ackable(segment: &Segment, slot: &Slot) -> bool {
    match slot.entry_type {
        EntryType::TransactionEnd => true,
        EntryType::RowData => slot.is_isolated_ddl(),
        EntryType::TransactionBegin => segment.resumes[slot.resume as usize]
            .gtid_with
            .as_deref()
            .is_none_or(str::is_empty),
    }
}

/// Whether a batch in the making takes an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It takes it and may take more.
    Taken,
    /// It takes it and is full.
    TakenLast,
    /// It was full before.
    Full,
}

/// Where a get stops, and what it has counted so far.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    mode: BatchMode,
    limit: u64,
    ddl_isolation: bool,
    entries: u32,
    rows: u64,
    bytes: u64,
}

impl Cut {
    /// A get of `size` units (MEMSIZE) or entries (ITEMSIZE); 0 counts as 1.
    #[must_use]
    pub(super) fn new(config: &StoreConfig, size: u64) -> Self {
        Self {
            mode: config.batch_mode,
            limit: Self::limit(config, size),
            ddl_isolation: config.ddl_isolation,
            entries: 0,
            rows: 0,
            bytes: 0,
        }
    }

    /// What a get of `size` is measured against: bytes in MEMSIZE, entries in ITEMSIZE.
    #[must_use]
    pub(super) const fn limit(config: &StoreConfig, size: u64) -> u64 {
        let size = if size == 0 { 1 } else { size };
        match config.batch_mode {
            BatchMode::Bytes => size.saturating_mul(config.unit as u64),
            BatchMode::Entries => size,
        }
    }

    /// Offers the next entry, and counts it if it is taken.
    pub(super) fn offer(&mut self, slot: &Slot) -> Offer {
        let alone = self.ddl_isolation && slot.is_isolated_ddl();
        let bytes = self.bytes + u64::from(slot.entry_len);
        if self.entries > 0 && (alone || self.is_full() || bytes > BATCH_BYTES_MAX) {
            return Offer::Full;
        }
        self.entries += 1;
        self.rows += u64::from(slot.rows);
        self.bytes = bytes;
        if alone {
            Offer::TakenLast
        } else {
            Offer::Taken
        }
    }

    const fn is_full(&self) -> bool {
        match self.mode {
            BatchMode::Bytes => self.bytes > self.limit,
            BatchMode::Entries => self.entries as u64 >= self.limit,
        }
    }
}

/// A batch in the making: entries come in order, runs of them become chunks.
#[derive(Debug)]
pub(super) struct Gather<'a> {
    cut: Cut,
    chunks: Vec<Bytes>,
    run: Option<Run<'a>>,
    first: Option<Sequence>,
    last: Option<(Sequence, &'a Segment, usize)>,
    ackable: Option<(&'a Segment, usize)>,
}

/// Adjacent entries of one segment.
#[derive(Debug)]
struct Run<'a> {
    segment: &'a Segment,
    first: usize,
    end: usize,
}

impl<'a> Gather<'a> {
    /// Nothing yet, up to `cut`.
    pub(super) const fn new(cut: Cut) -> Self {
        Self {
            cut,
            chunks: Vec::new(),
            run: None,
            first: None,
            last: None,
            ackable: None,
        }
    }

    /// Offers the entry `index` of `segment`, whose sequence is above all offered before.
    pub(super) fn offer(&mut self, at: Sequence, segment: &'a Segment, index: usize) -> Offer {
        let slot = &segment.slots[index];
        let offer = self.cut.offer(slot);
        if offer == Offer::Full {
            return offer;
        }
        match &mut self.run {
            Some(run) if run.end == index && core::ptr::eq(run.segment, segment) => run.end += 1,
            _ => {
                self.end_run();
                self.run = Some(Run {
                    segment,
                    first: index,
                    end: index + 1,
                });
            }
        }
        self.first.get_or_insert(at);
        self.last = Some((at, segment, index));
        if is_ackable(segment, slot) {
            self.ackable = Some((segment, index));
        }
        offer
    }

    fn end_run(&mut self) {
        if let Some(Run {
            segment,
            first,
            end,
        }) = self.run.take()
        {
            self.chunks.push(segment.slice(first, end));
        }
    }

    /// What was taken; none if nothing was.
    pub(super) fn finish(mut self) -> Option<Taken> {
        self.end_run();
        let (last, segment, index) = self.last?;
        Some(Taken {
            first: self.first?,
            end: last.plus(1),
            chunks: self.chunks,
            entries: self.cut.entries,
            rows: self.cut.rows,
            bytes: self.cut.bytes,
            ack_at: self
                .ackable
                .map(|(segment, index)| Place::of(segment, index)),
            last: Place::of(segment, index),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::kind::RowKind;
    use crate::store::testing::{config, slot};

    fn entries_taken(cut: &mut Cut, slots: impl IntoIterator<Item = Slot>) -> u32 {
        for slot in slots {
            match cut.offer(&slot) {
                Offer::Taken => {}
                Offer::TakenLast | Offer::Full => break,
            }
        }
        cut.entries
    }

    #[test]
    fn memsize_adds_while_the_sum_so_far_is_at_most_the_limit() {
        let config = StoreConfig {
            unit: 1024,
            ..config(16, BatchMode::Bytes)
        };
        let slots = |len| core::iter::repeat_n(slot(len), 16);
        // 2 × 512 is not above 1024, so a third entry is taken.
        assert_eq!(entries_taken(&mut Cut::new(&config, 1), slots(512)), 3);
        assert_eq!(entries_taken(&mut Cut::new(&config, 1), slots(513)), 2);
        assert_eq!(entries_taken(&mut Cut::new(&config, 1), slots(9000)), 1);
        assert_eq!(entries_taken(&mut Cut::new(&config, 2), slots(512)), 5);
    }

    #[test]
    fn sizes_that_overflow_32_bits_in_java_mean_what_they_say() {
        let config = StoreConfig {
            unit: 1024,
            ..config(16, BatchMode::Bytes)
        };
        let slots = || core::iter::repeat_n(slot(512), 16);
        assert_eq!(
            entries_taken(&mut Cut::new(&config, 2_097_152), slots()),
            16
        );
        assert_eq!(entries_taken(&mut Cut::new(&config, u64::MAX), slots()), 16);
        assert_eq!(entries_taken(&mut Cut::new(&config, 0), slots()), 3);
    }

    #[test]
    fn itemsize_counts_entries() {
        let config = config(16, BatchMode::Entries);
        let slots = || core::iter::repeat_n(slot(70_000), 16);
        assert_eq!(entries_taken(&mut Cut::new(&config, 5), slots()), 5);
        assert_eq!(entries_taken(&mut Cut::new(&config, 0), slots()), 1);
    }

    #[test]
    fn no_batch_outgrows_the_length_field_of_a_frame() {
        let config = config(16, BatchMode::Entries);
        let big = slot(600 << 20);
        let mut cut = Cut::new(&config, 16);
        assert_eq!(entries_taken(&mut cut, [big, big, big]), 1);
        assert!(cut.bytes <= BATCH_BYTES_MAX);
    }

    #[test]
    fn an_isolated_ddl_is_alone() {
        let config = StoreConfig {
            ddl_isolation: true,
            ..config(16, BatchMode::Entries)
        };
        let ddl = Slot {
            kind: Some(RowKind::Alter),
            ..slot(10)
        };
        let statement = Slot {
            kind: Some(RowKind::Query),
            ..slot(10)
        };
        assert_eq!(
            entries_taken(&mut Cut::new(&config, 9), [slot(10), ddl, slot(10)]),
            1
        );
        assert_eq!(entries_taken(&mut Cut::new(&config, 9), [ddl, slot(10)]), 1);
        assert_eq!(
            entries_taken(&mut Cut::new(&config, 9), [statement, slot(10)]),
            2
        );
    }
}
