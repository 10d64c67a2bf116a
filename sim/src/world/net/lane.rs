//! One direction of a connection: what was given to the network and has not arrived, in order.
//!
//! Bytes are cut into pieces at drawn places, and each piece is given a drawn moment to arrive at, never
//! before the piece in front of it. The writer may be ahead of the reader by a window of bytes, wherever
//! they are: with the network, or arrived and not read. A lane never loses or changes order by itself;
//! faults clear it.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use canald_core::rng::Rng;
use madsim::time::Instant;

use crate::host::Host;
use crate::plan::Options;

/// One write in so many is taken only in part, though there is room.
const PARTIAL_WRITE_ONE_IN: u64 = 4;

/// One piece in so many is a single byte.
const ONE_BYTE_ONE_IN: u64 = 8;

/// A writer that waits is woken once this part of the window is free, as kernels do, not for each byte.
const WAKE_PART: usize = 2;

/// What all lanes of a network have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Bytes that a writer may be ahead of the reader; at least 1.
    pub(super) window: usize,
    /// The most bytes in a piece; at least 1.
    pub(super) segment: usize,
    /// Delay of a piece, at least and at most.
    pub(super) latency: (Duration, Duration),
}

impl Terms {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            window: options.window.max(1),
            segment: options.segment.max(1),
            latency: options.latency,
        }
    }
}

/// What travels on a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parcel {
    /// From the one who dials: may we talk? From the other: we may.
    Open,
    /// Some bytes.
    Bytes(Bytes),
    /// No more bytes will come.
    Fin,
    /// There is no such connection.
    Reset,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) from: Host,
    pub(super) to: Host,
    /// The first parcel is due and found the way cut: there is no alarm for it.
    pub(super) stalled: bool,
    /// There is an alarm for the first parcel.
    pub(super) alarmed: bool,
    /// A [`Parcel::Fin`] was sent.
    pub(super) finished: bool,
    terms: Terms,
    rng: Rng,
    parcels: VecDeque<(Instant, Parcel)>,
    last_due: Option<Instant>,
    /// Bytes that were written and that the writer does not know to be read.
    ahead: usize,
    /// Of these, bytes that are read, but the way back for the news is cut.
    unheard: usize,
    reset: bool,
}

impl Lane {
    pub(super) const fn new(from: Host, to: Host, terms: Terms, rng: Rng) -> Self {
        Self {
            from,
            to,
            stalled: false,
            alarmed: false,
            finished: false,
            terms,
            rng,
            parcels: VecDeque::new(),
            last_due: None,
            ahead: 0,
            unheard: 0,
            reset: false,
        }
    }

    /// Takes what there is room for of `slices`, or a part of that; 0 if there is no room.
    pub(super) fn write(&mut self, now: Instant, slices: &[IoSlice<'_>]) -> usize {
        let given: usize = slices.iter().map(|slice| slice.len()).sum();
        let most = given.min(self.terms.window - self.ahead);
        if most == 0 {
            return 0;
        }
        let taken = match self.rng.below(PARTIAL_WRITE_ONE_IN) {
            0 => self.up_to(most),
            _ => most,
        };
        let mut bytes = BytesMut::with_capacity(taken);
        for slice in slices {
            let part = slice.len().min(taken - bytes.len());
            bytes.extend_from_slice(&slice[..part]);
        }
        let mut bytes = bytes.freeze();
        while !bytes.is_empty() {
            let piece = match self.rng.below(ONE_BYTE_ONE_IN) {
                0 => 1,
                _ => self.up_to(self.terms.segment),
            };
            let piece = bytes.split_to(piece.min(bytes.len()));
            self.send(now, Parcel::Bytes(piece));
        }
        self.ahead += taken;
        taken
    }

    /// Sends a parcel behind all others. Nothing follows a [`Parcel::Reset`].
    pub(super) fn send(&mut self, now: Instant, parcel: Parcel) {
        if self.reset {
            return;
        }
        self.finished |= parcel == Parcel::Fin;
        self.reset = parcel == Parcel::Reset;
        let (least, most) = self.terms.latency;
        let spread = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX - 1);
        let delay = least + Duration::from_nanos(self.rng.below(spread + 1));
        let due = (now + delay).max(self.last_due.unwrap_or(now));
        self.last_due = Some(due);
        self.parcels.push_back((due, parcel));
    }

    /// When the first parcel arrives.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.parcels.front().map(|(due, _)| *due)
    }

    /// The first parcel, if it has arrived by `now`.
    pub(super) fn take(&mut self, now: Instant) -> Option<Parcel> {
        self.parcels
            .pop_front_if(|(due, _)| *due <= now)
            .map(|(_, parcel)| parcel)
    }

    /// Loses all that has not arrived.
    pub(super) fn clear(&mut self) {
        self.parcels.clear();
        self.stalled = false;
    }

    /// The reader has read so many bytes; the writer hears of it unless the way back is cut. Whether a
    /// writer that waits should be woken.
    pub(super) fn read(&mut self, bytes: usize, way_back_open: bool) -> bool {
        self.unheard += bytes;
        way_back_open && self.hear()
    }

    /// The writer hears what was read. Whether it should be woken if it waits.
    pub(super) fn hear(&mut self) -> bool {
        self.ahead -= std::mem::take(&mut self.unheard);
        (self.terms.window - self.ahead) * WAKE_PART >= self.terms.window
    }

    /// A number of bytes from 1 to `most`.
    fn up_to(&mut self, most: usize) -> usize {
        up_to(&mut self.rng, most)
    }
}

/// A number from 1 to `most`.
pub(super) fn up_to(rng: &mut Rng, most: usize) -> usize {
    let below = rng.below(most as u64);
    1 + usize::try_from(below).expect("it is below a usize")
}

#[cfg(test)]
mod tests {
    use canald_core::rng::Seed;

    use super::*;

    const LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(9));

    fn lane(window: usize, segment: usize, seed: u64) -> Lane {
        let terms = Terms {
            window,
            segment,
            latency: LATENCY,
        };
        Lane::new(Host::Source, Host::Canald, terms, Rng::new(Seed(seed)))
    }

    fn drain(lane: &mut Lane) -> Vec<(Instant, Bytes)> {
        let mut pieces = Vec::new();
        while let Some(due) = lane.next_due() {
            match lane.take(due) {
                Some(Parcel::Bytes(bytes)) => pieces.push((due, bytes)),
                other => panic!("{other:?}"),
            }
        }
        pieces
    }

    #[test]
    fn a_writer_is_at_most_a_window_ahead_of_the_reader() {
        let now = Instant::now();
        let mut lane = lane(100, 30, 1);
        let mut written = 0;
        while let taken @ 1.. = lane.write(now, &[IoSlice::new(&[7; 64])]) {
            written += taken;
        }
        assert_eq!(written, 100);
        assert!(!lane.read(10, true), "too little to be woken for");
        assert_eq!(lane.write(now, &[IoSlice::new(&[7])]), 1);
        assert!(!lane.read(90, false), "the way back is cut");
        assert_eq!(lane.ahead, 91);
        assert!(lane.hear());
        assert_eq!(lane.ahead, 1);
    }

    #[test]
    fn pieces_keep_their_order_and_the_bounds_of_the_plan() {
        for seed in 0..50 {
            let now = Instant::now();
            let mut lane = lane(1000, 20, seed);
            let text: Vec<u8> = (0..200).collect();
            let (head, tail) = text.split_at(77);
            let mut written = 0;
            while written < text.len() {
                let left = [
                    IoSlice::new(&head[written.min(head.len())..]),
                    IoSlice::new(&tail[written.saturating_sub(head.len())..]),
                ];
                written += lane.write(now, &left);
            }
            let pieces = drain(&mut lane);
            assert!(pieces.is_sorted_by_key(|(due, _)| *due));
            assert!(
                pieces
                    .iter()
                    .all(|(_, piece)| (1..=20).contains(&piece.len()))
            );
            assert!(
                pieces
                    .iter()
                    .all(|(due, _)| (LATENCY.0..=LATENCY.1).contains(&(*due - now)))
            );
            let pieces: Vec<_> = pieces.into_iter().map(|(_, piece)| piece).collect();
            assert_eq!(pieces.concat(), text);
        }
    }

    #[test]
    fn nothing_follows_a_reset() {
        let now = Instant::now();
        let mut lane = lane(10, 10, 1);
        lane.send(now, Parcel::Reset);
        lane.send(now, Parcel::Fin);
        let due = lane.next_due().unwrap();
        assert_eq!(lane.take(now), None, "it is not there yet");
        assert_eq!(lane.take(due), Some(Parcel::Reset));
        assert_eq!(lane.next_due(), None);
    }
}
