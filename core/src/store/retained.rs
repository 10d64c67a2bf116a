//! The entries that the ring holds: segments end to end, from the oldest that a reader needs to the
//! newest put.
//!
//! Slots are freed by sequence, memory by segment: a segment is dropped when its last slot is freed, so
//! what is held exceeds what is counted by less than one segment.

use alloc::collections::VecDeque;
use core::cmp::Ordering;

use crate::position::BinlogFile;
use crate::store::batch::{Place, is_ackable};
use crate::store::ring::{Ring, SegmentNumber, Sequence};
use crate::store::segment::{EntryPosition, Segment};

/// Which of the sources that followed each other a position belongs to, counted from 0. Positions of
/// different sources do not compare; the entries of a later source are after those of an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SourceEra(u64);

/// Where an entry stands in the order of all entries of the destination, also when the source is read
/// again and its sequence is another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    era: SourceEra,
    file: BinlogFile,
    offset: u64,
    ordinal: u32,
}

impl Mark {
    /// A mark before this one and after every entry before it.
    pub(super) fn before(mut self) -> Self {
        if self.ordinal > 0 {
            self.ordinal -= 1;
        } else {
            self.offset = self.offset.saturating_sub(1);
            self.ordinal = u32::MAX;
        }
        self
    }

    /// Whether the entry `index` of `stored` stands at this mark or before it.
    pub(super) fn covers(&self, stored: &Stored, index: usize) -> bool {
        let slot = &stored.segment.slots[index];
        let place = (stored.era, &stored.segment.file, slot.offset, slot.ordinal);
        place.cmp(&(self.era, &self.file, self.offset, self.ordinal)) != Ordering::Greater
    }
}

/// A segment in the ring.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// The sequence of its first entry.
    pub(super) first: Sequence,
    /// The segment.
    pub(super) segment: Segment,
    /// Bytes of all entries ever put before it.
    bytes_before: u64,
    era: SourceEra,
}

impl Stored {
    /// One past the sequence of its last entry.
    pub(super) fn end(&self) -> Sequence {
        self.first.plus(self.segment.slots.len() as u64)
    }

    /// The mark of its entry `index`.
    pub(super) fn mark(&self, index: usize) -> Mark {
        let slot = &self.segment.slots[index];
        let file = self.segment.file.clone();
        Mark {
            era: self.era,
            file,
            offset: slot.offset,
            ordinal: slot.ordinal,
        }
    }
}

/// The retained entries: sequences `free..put`.
#[derive(Clone, Debug)]
pub(super) struct Retained {
    ring: Ring,
    segments: VecDeque<Stored>,
    /// The number of the segment at the front.
    front: SegmentNumber,
    free: Sequence,
    put: Sequence,
    bytes_put: u64,
    bytes_freed: u64,
    /// The last of all entries ever put, wherever reading stands now.
    newest: Option<Mark>,
    era: SourceEra,
}

impl Retained {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            ring: Ring::new(capacity),
            segments: VecDeque::new(),
            front: SegmentNumber(0),
            free: Sequence::ZERO,
            put: Sequence::ZERO,
            bytes_put: 0,
            bytes_freed: 0,
            newest: None,
            era: SourceEra::default(),
        }
    }

    /// The oldest sequence held; equal to [`Self::put`] when nothing is.
    pub(super) const fn free(&self) -> Sequence {
        self.free
    }

    /// One past the newest sequence.
    pub(super) const fn put(&self) -> Sequence {
        self.put
    }

    /// Slots held.
    pub(super) const fn entries(&self) -> u64 {
        self.put.since(self.free)
    }

    /// Slots that there can be.
    pub(super) const fn capacity(&self) -> u64 {
        self.ring.capacity()
    }

    /// Bytes of the slots held, as MEMSIZE counts them.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes_put - self.bytes_freed
    }

    /// Bytes of the slots `from..`.
    pub(super) fn bytes_from(&self, from: Sequence) -> u64 {
        self.bytes_put - self.bytes_at(from)
    }

    /// The last of all entries ever put; none if nothing was.
    pub(super) const fn newest(&self) -> Option<&Mark> {
        self.newest.as_ref()
    }

    /// From now on positions are another source's.
    pub(super) const fn begin_era(&mut self) {
        self.era.0 += 1;
    }

    /// The mark of a position of the present source.
    pub(super) fn mark_of(&self, entry: &EntryPosition) -> Mark {
        Mark {
            era: self.era,
            file: entry.position.file.clone(),
            offset: entry.position.offset,
            ordinal: entry.ordinal,
        }
    }

    /// Appends a segment.
    ///
    /// # Panics
    /// If its slots do not fit.
    pub(super) fn append(&mut self, segment: Segment) {
        let count = segment.slots.len() as u64;
        if count == 0 {
            return;
        }
        assert!(
            self.entries() + count <= self.capacity(),
            "a segment of {count} slots was put into a ring of {} that holds {}: ask can_put first",
            self.capacity(),
            self.entries(),
        );
        let number = SegmentNumber(self.front.0 + self.segments.len() as u64);
        self.ring.fill(self.put, count, number);
        let bytes: u64 = segment
            .slots
            .iter()
            .map(|slot| u64::from(slot.entry_len))
            .sum();
        let (first, bytes_before, era) = (self.put, self.bytes_put, self.era);
        let stored = Stored {
            first,
            segment,
            bytes_before,
            era,
        };
        self.newest = self
            .newest
            .take()
            .max(Some(stored.mark(count as usize - 1)));
        self.segments.push_back(stored);
        self.put = self.put.plus(count);
        self.bytes_put += bytes;
    }

    /// Frees every slot before `to`, which lies in `free..=put`.
    pub(super) fn free_to(&mut self, to: Sequence) {
        assert!(
            self.free <= to && to <= self.put,
            "{to} is not in {}..={}",
            self.free,
            self.put
        );
        self.bytes_freed = self.bytes_at(to);
        self.free = to;
        while self
            .segments
            .front()
            .is_some_and(|stored| stored.end() <= to)
        {
            self.segments.pop_front();
            self.front.0 += 1;
        }
    }

    /// The segment of `sequence` and the entry's index in it.
    pub(super) fn locate(&self, sequence: Sequence) -> (&Stored, usize) {
        assert!(
            self.free <= sequence && sequence < self.put,
            "slot {sequence} is not held"
        );
        let number = self.ring.segment(sequence);
        let stored = &self.segments[(number.0 - self.front.0) as usize];
        (stored, sequence.since(stored.first) as usize)
    }

    /// The segments of the slots `from..put`, and the index in the first of them at which to begin.
    pub(super) fn walk(&self, from: Sequence) -> impl Iterator<Item = (&Stored, usize)> {
        let number = if from < self.put {
            assert!(self.free <= from, "slot {from} is not held");
            (self.ring.segment(from).0 - self.front.0) as usize
        } else {
            self.segments.len()
        };
        self.segments
            .range(number..)
            .map(move |stored| (stored, from.since(stored.first) as usize))
    }

    /// The mark of the slot `sequence`, which must be held.
    pub(super) fn mark(&self, sequence: Sequence) -> Mark {
        let (stored, index) = self.locate(sequence);
        stored.mark(index)
    }

    /// The place of the slot `sequence`, which must be held.
    pub(super) fn place(&self, sequence: Sequence) -> Place {
        let (stored, index) = self.locate(sequence);
        Place::of(&stored.segment, index)
    }

    /// The place of the last ackable slot of `from..end` that stands after `after`.
    pub(super) fn last_ackable(
        &self,
        from: Sequence,
        end: Sequence,
        after: Option<&Mark>,
    ) -> Option<Place> {
        for sequence in (from.0..end.0).rev() {
            let (stored, index) = self.locate(Sequence(sequence));
            if after.is_some_and(|mark| mark.covers(stored, index)) {
                return None;
            }
            if is_ackable(&stored.segment, &stored.segment.slots[index]) {
                return Some(Place::of(&stored.segment, index));
            }
        }
        None
    }

    /// Bytes of all entries ever put before `sequence`, which lies in `free..=put`.
    fn bytes_at(&self, sequence: Sequence) -> u64 {
        if sequence == self.put {
            return self.bytes_put;
        }
        let (stored, index) = self.locate(sequence);
        let before = stored.segment.slots[..index]
            .iter()
            .map(|slot| u64::from(slot.entry_len));
        stored.bytes_before + before.sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::segment;

    #[test]
    fn a_segment_stays_until_its_last_slot_is_freed_and_bytes_are_exact() {
        let mut retained = Retained::new(8);
        retained.append(segment("bin.000001", 100, &[10, 20, 30]));
        retained.append(segment("bin.000001", 200, &[1, 2]));
        assert_eq!((retained.entries(), retained.bytes()), (5, 63));
        retained.free_to(Sequence(2));
        assert_eq!(
            (
                retained.entries(),
                retained.bytes(),
                retained.segments.len()
            ),
            (3, 33, 2)
        );
        assert_eq!(retained.bytes_from(Sequence(3)), 3);
        retained.free_to(Sequence(3));
        assert_eq!(
            (
                retained.entries(),
                retained.bytes(),
                retained.segments.len()
            ),
            (2, 3, 1)
        );
        let (stored, index) = retained.locate(Sequence(4));
        assert_eq!((stored.first, index), (Sequence(3), 1));
    }

    #[test]
    fn marks_follow_source_file_and_place_and_not_the_sequence() {
        let mut retained = Retained::new(8);
        retained.append(segment("bin.999999", 700, &[1, 1]));
        retained.append(segment("bin.1000000", 4, &[1]));
        let (early, late) = (retained.mark(Sequence(1)), retained.mark(Sequence(2)));
        assert!(early < late);
        retained.begin_era();
        retained.append(segment("bin.000001", 4, &[1]));
        assert!(late < retained.mark(Sequence(3)));
        let (stored, index) = retained.locate(Sequence(1));
        assert!(early.covers(stored, index) && late.covers(stored, index));
        let (stored, index) = retained.locate(Sequence(3));
        assert!(!late.covers(stored, index));
    }

    #[test]
    #[should_panic(expected = "ask can_put first")]
    fn a_put_without_room_is_a_bug() {
        let mut retained = Retained::new(2);
        retained.append(segment("bin.000001", 4, &[1, 1, 1]));
    }
}
