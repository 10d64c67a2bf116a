//! Index arithmetic of the ring: sequences, and which segment the slot of a sequence lies in.
//!
//! Sequences count the entries of a destination since the process began to serve it and never repeat;
//! the ring knows the segments of the last `capacity` of them, by mask. It holds no entries, and it
//! never says which sequences are in use: the store does.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

/// The number of an entry in the order in which entries were put, from 0.
///
/// Ranges of sequences are half open: `first..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The first there is.
    pub const ZERO: Self = Self(0);

    /// The one `n` entries later.
    #[must_use]
    pub const fn plus(self, n: u64) -> Self {
        Self(self.0 + n)
    }

    /// The one before.
    ///
    /// # Panics
    /// If this is the first.
    #[must_use]
    pub const fn before(self) -> Self {
        assert!(self.0 > 0, "no sequence comes before the first");
        Self(self.0 - 1)
    }

    /// How many entries lie in `earlier..self`; zero if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of a segment in the order in which segments were put, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u64);

/// The segment of each of the last `capacity` sequences.
#[derive(Clone, Debug)]
pub struct Ring {
    cells: Box<[SegmentNumber]>,
    mask: u64,
}

impl Ring {
    /// A ring of `capacity` sequences.
    ///
    /// # Panics
    /// If `capacity` is not a power of two: indices are found by mask.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        assert!(
            capacity.is_power_of_two(),
            "a ring of {capacity} slots has no mask"
        );
        Self {
            cells: vec![SegmentNumber::default(); capacity as usize].into_boxed_slice(),
            mask: u64::from(capacity) - 1,
        }
    }

    /// How many sequences it knows.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// Records that the `count` sequences from `first` on lie in `segment`; forgets those that are
    /// `capacity` earlier.
    ///
    /// # Panics
    /// If `count` is above the capacity: the run would overwrite itself.
    pub fn fill(&mut self, first: Sequence, count: u64, segment: SegmentNumber) {
        assert!(
            count <= self.capacity(),
            "a run of {count} slots in a ring of {}",
            self.capacity()
        );
        let from = self.index(first);
        let to_wall = self.cells.len() - from;
        let count = count as usize;
        let (head, tail) = (count.min(to_wall), count.saturating_sub(to_wall));
        self.cells[from..from + head].fill(segment);
        self.cells[..tail].fill(segment);
    }

    /// The segment of `sequence`, which must be one of the last `capacity`.
    #[must_use]
    pub fn segment(&self, sequence: Sequence) -> SegmentNumber {
        self.cells[self.index(sequence)]
    }

    const fn index(&self, sequence: Sequence) -> usize {
        (sequence.0 & self.mask) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_run_wraps_at_the_wall() {
        let mut ring = Ring::new(8);
        ring.fill(Sequence(0), 6, SegmentNumber(1));
        ring.fill(Sequence(6), 5, SegmentNumber(2));
        let seen: Vec<u64> = (3..11).map(|n| ring.segment(Sequence(n)).0).collect();
        assert_eq!(seen, [1, 1, 1, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn a_run_may_fill_the_whole_ring_from_anywhere() {
        let mut ring = Ring::new(4);
        ring.fill(Sequence(7), 4, SegmentNumber(9));
        assert!((7..11).all(|n| ring.segment(Sequence(n)) == SegmentNumber(9)));
    }

    #[test]
    fn sequences_far_beyond_32_bits_keep_their_places() {
        let mut ring = Ring::new(4);
        let far = Sequence(u64::from(u32::MAX) * 5 + 3);
        ring.fill(far, 2, SegmentNumber(3));
        assert_eq!(ring.segment(far.plus(1)), SegmentNumber(3));
        assert_eq!(far.plus(1).since(far), 1);
        assert_eq!(far.since(far.plus(1)), 0);
    }

    #[test]
    #[should_panic(expected = "no mask")]
    fn a_capacity_that_is_no_power_of_two_is_refused() {
        let _ = Ring::new(12);
    }
}
