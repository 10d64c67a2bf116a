//! Where a client stands, and how that becomes durable.
//!
//! A [`Cursor`] is canal's log position, with what canald knows besides in an [`Extension`] that a Java
//! server drops when it rewrites the cursor (ha-meta-store reference §8.1), so nothing may depend on it
//! being there.
//!
//! [`CursorState`] holds what should be stored, what is being written and what is stored. A write is due
//! while the first and the last differ and none is under way: newest wins, at most one in flight,
//! nothing queues while storage is away. It never moves back on one source; it never retries by itself,
//! its owner asks again when it wants to.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use crate::meta::identity::ClientId;
use crate::position::BinlogPosition;
use crate::store::ReadFrom;
use crate::store::batch::Place;
use crate::store::segment::{EntryPosition, Resume};

/// The address of a source as canal's cursor names it.
///
/// In ZooKeeper the host must be an IP literal: Java resolves it while parsing (ha-meta-store reference, M6).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceAddress {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What canald knows of a cursor beyond canal's log position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The identity of the source (`server_uuid`; `design.md` §5): file and offset mean something there alone.
    pub identity: String,
    /// The last entry acknowledged; none if nothing has been since the start.
    pub last_acked: Option<EntryPosition>,
    /// Where to read again to see everything after it.
    pub resume: Resume,
}

/// Where a client stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Canal's position: a TRANSACTIONEND, a DDL, or a TRANSACTIONBEGIN without GTID (or where the
    /// destination started).
    pub position: EntryPosition,
    /// The address that the source had.
    pub source: SourceAddress,
    /// What only canald writes.
    pub extension: Option<Extension>,
}

impl Cursor {
    /// The cursor after an acknowledged batch (or skipped run) that ends at `last`. Canal's position
    /// stays if nothing in it is ackable.
    #[must_use]
    pub fn after(
        &self,
        source: SourceAddress,
        identity: String,
        ack_at: Option<&Place>,
        last: &Place,
    ) -> Self {
        let position = ack_at.map_or_else(|| self.position.clone(), |place| place.entry.clone());
        let (last_acked, resume) = (Some(last.entry.clone()), last.resume.clone());
        Self {
            position,
            source,
            extension: Some(Extension {
                identity,
                last_acked,
                resume,
            }),
        }
    }

    /// The file and offset from which the source is read again.
    #[must_use]
    pub fn read_from(&self) -> &BinlogPosition {
        self.extension
            .as_ref()
            .map_or(&self.position.position, |known| &known.resume.boundary)
    }

    /// Where the client's reader begins in what is read again. What a Java server wrote says that all
    /// *before* the position was had: it may name an entry that was stored and never confirmed.
    #[must_use]
    pub fn reader_from(&self) -> ReadFrom {
        match &self.extension {
            Some(Extension {
                last_acked: Some(last),
                ..
            }) => ReadFrom::After(last.clone()),
            Some(Extension {
                last_acked: None, ..
            }) => ReadFrom::Oldest,
            None => ReadFrom::At(self.position.clone()),
        }
    }

    /// Whether positions of both mean the same server: by identity if both name one, else by address.
    #[must_use]
    pub fn same_source(&self, other: &Self) -> bool {
        match (&self.extension, &other.extension) {
            (Some(mine), Some(theirs)) => mine.identity == theirs.identity,
            (None, _) | (_, None) => self.source == other.source,
        }
    }
}

/// The oldest of several cursors: the one from which the source must be read for all. On one source by
/// file (in numeric order) and offset; between sources, whose positions do not compare, by time.
#[must_use]
pub fn minimum<'a>(
    cursors: impl IntoIterator<Item = (ClientId, &'a Cursor)>,
) -> Option<(ClientId, &'a Cursor)> {
    let mut oldest: Vec<(ClientId, &Cursor)> = Vec::new();
    for (client, cursor) in cursors {
        match oldest
            .iter_mut()
            .find(|(_, other)| other.same_source(cursor))
        {
            Some(other) if cursor.read_from() < other.1.read_from() => *other = (client, cursor),
            Some(_) => {}
            None => oldest.push((client, cursor)),
        }
    }
    oldest
        .into_iter()
        .min_by_key(|(_, cursor)| cursor.position.timestamp)
}

/// A cursor that would go back on one source. Entries confirmed and forgotten would count as not had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the cursor on {server} would go back from {from} to {to}: if the binlog began anew there, \
     set the position by hand"
)]
pub struct Backward {
    /// The source's address.
    pub server: SourceAddress,
    /// Where it is.
    pub from: BinlogPosition,
    /// Where it would go.
    pub to: BinlogPosition,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is durable.
    Stored,
    /// It is not.
    Refused,
    /// Nobody knows: it is written again.
    Unknown,
}

/// What should be stored, what is being written, what is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CursorState {
    wanted: Option<Cursor>,
    in_flight: Option<Cursor>,
    stored: Option<Cursor>,
}

impl CursorState {
    /// The state of a client whose cursor was loaded from storage; none if it has none.
    #[must_use]
    pub fn loaded(stored: Option<Cursor>) -> Self {
        Self {
            wanted: stored.clone(),
            in_flight: None,
            stored,
        }
    }

    /// Where the client stands, durable or not.
    #[must_use]
    pub const fn wanted(&self) -> Option<&Cursor> {
        self.wanted.as_ref()
    }

    /// What is known to be durable; none while that is unknown.
    #[must_use]
    pub const fn stored(&self) -> Option<&Cursor> {
        self.stored.as_ref()
    }

    /// Moves to `cursor` after an accepted ack (or skipped run).
    ///
    /// # Errors
    /// It lies before the present one on the same source; nothing moved.
    pub fn advance(&mut self, cursor: Cursor) -> Result<(), Backward> {
        if let Some(present) = self
            .wanted
            .as_ref()
            .filter(|present| present.same_source(&cursor))
        {
            let last = |cursor: &Cursor| cursor.extension.as_ref()?.last_acked.clone();
            let pairs = [
                (
                    Some(present.position.clone()),
                    Some(cursor.position.clone()),
                ),
                (last(present), last(&cursor)),
            ];
            for (from, to) in pairs {
                if let (Some(from), Some(to)) = (from, to)
                    && (&to.position, to.ordinal) < (&from.position, from.ordinal)
                {
                    let server = cursor.source.clone();
                    return Err(Backward {
                        server,
                        from: from.position,
                        to: to.position,
                    });
                }
            }
        }
        self.wanted = Some(cursor);
        Ok(())
    }

    /// Moves to `cursor` wherever it lies: another source was proved, or an operator decided.
    pub fn set(&mut self, cursor: Cursor) {
        self.wanted = Some(cursor);
    }

    /// What to write now; none if nothing is due or a write is under way. Must be answered by
    /// [`Self::end_write`].
    pub fn begin_write(&mut self) -> Option<&Cursor> {
        if !self.is_due() {
            return None;
        }
        self.in_flight.clone_from(&self.wanted);
        self.in_flight.as_ref()
    }

    /// Whether [`Self::begin_write`] would give something.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.in_flight.is_none() && self.wanted != self.stored
    }

    /// Whether everything is durable: the condition of a hand-over.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.in_flight.is_none() && self.wanted == self.stored
    }

    /// Takes the answer to the write under way.
    ///
    /// # Panics
    /// If none is under way.
    pub fn end_write(&mut self, outcome: WriteOutcome) {
        let Some(written) = self.in_flight.take() else {
            panic!("no cursor write is under way: {outcome:?} answers nothing");
        };
        match outcome {
            WriteOutcome::Stored => self.stored = Some(written),
            WriteOutcome::Refused => {}
            WriteOutcome::Unknown => self.stored = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::testing::{cursor, position};
    use proptest::prelude::*;

    #[test]
    fn writes_coalesce_and_the_newest_wins() {
        let mut state = CursorState::loaded(None);
        assert!(state.is_settled());
        for offset in [100, 200] {
            state.advance(cursor("bin.000001", offset)).unwrap();
        }
        assert_eq!(state.begin_write(), Some(&cursor("bin.000001", 200)));
        state.advance(cursor("bin.000001", 300)).unwrap();
        state.advance(cursor("bin.000001", 400)).unwrap();
        assert_eq!(state.begin_write(), None);
        state.end_write(WriteOutcome::Stored);
        assert_eq!(state.stored(), Some(&cursor("bin.000001", 200)));
        assert_eq!(state.begin_write(), Some(&cursor("bin.000001", 400)));
        state.end_write(WriteOutcome::Stored);
        assert!(state.is_settled());
    }

    #[test]
    fn a_write_of_unknown_end_is_due_again_even_back_at_the_old_place() {
        let old = cursor("bin.000001", 100);
        let mut state = CursorState::loaded(Some(old.clone()));
        state.advance(cursor("bin.000001", 200)).unwrap();
        assert!(state.begin_write().is_some());
        state.end_write(WriteOutcome::Unknown);
        state.set(old.clone());
        assert_eq!(state.begin_write(), Some(&old));
        state.end_write(WriteOutcome::Refused);
        assert!(state.is_due());
    }

    #[test]
    fn a_cursor_never_goes_back_on_its_source() {
        let mut state = CursorState::loaded(Some(cursor("bin.1000000", 500)));
        let back = state.advance(cursor("bin.999999", 900)).unwrap_err();
        assert_eq!(back.from, position("bin.1000000", 500).position);
        assert_eq!(state.wanted(), Some(&cursor("bin.1000000", 500)));
        let mut elsewhere = cursor("bin.000001", 4);
        elsewhere.extension.as_mut().unwrap().identity = "another".into();
        state.advance(elsewhere.clone()).unwrap();
        assert_eq!(state.wanted(), Some(&elsewhere));
    }

    #[test]
    fn within_a_transaction_only_the_extension_moves() {
        let before = cursor("bin.000001", 100);
        let last = Place {
            entry: position("bin.000001", 700),
            resume: before.extension.clone().unwrap().resume,
        };
        let after = before.after(before.source.clone(), "source".into(), None, &last);
        assert_eq!(after.position, before.position);
        assert_eq!(after.reader_from(), ReadFrom::After(last.entry));
        assert_eq!(after.read_from(), before.read_from());
    }

    #[test]
    fn the_minimum_compares_positions_on_one_source_and_times_between_sources() {
        let (a, b) = (cursor("bin.999999", 900), cursor("bin.1000000", 4));
        let mut c = cursor("bin.000001", 4);
        c.extension.as_mut().unwrap().identity = "another".into();
        c.position.timestamp.0 += 1;
        let all = [(ClientId(1), &c), (ClientId(2), &b), (ClientId(3), &a)];
        assert_eq!(minimum(all), Some((ClientId(3), &a)));
        c.position.timestamp.0 -= 2;
        let all = [(ClientId(1), &c), (ClientId(2), &b), (ClientId(3), &a)];
        assert_eq!(minimum(all), Some((ClientId(1), &c)));
        assert_eq!(minimum([]), None);
    }

    #[test]
    fn what_java_wrote_compares_by_address_and_gives_the_entry_again() {
        let (mut java, ours) = (cursor("bin.000001", 50), cursor("bin.000001", 60));
        java.extension = None;
        assert!(java.same_source(&ours));
        assert_eq!(java.reader_from(), ReadFrom::At(position("bin.000001", 50)));
        java.source.port += 1;
        assert!(!java.same_source(&ours));
    }

    proptest! {
        #[test]
        fn what_is_stored_only_grows_and_at_last_is_what_is_wanted(
            ops in prop::collection::vec((0_u8..5, 1_u64..9), 1..60),
        ) {
            let mut state = CursorState::loaded(None);
            let (mut offset, mut durable, mut under_way) = (4, None, None);
            for (op, step) in ops {
                match op {
                    0 | 1 => {
                        offset += step;
                        state.advance(cursor("bin.000001", offset)).unwrap();
                    }
                    2 => {
                        if let Some(cursor) = state.begin_write() {
                            prop_assert!(under_way.is_none());
                            under_way = Some(cursor.position.position.offset);
                        }
                    }
                    _ => {
                        if let Some(written) = under_way.take() {
                            prop_assert!(durable < Some(written));
                            let outcome = if step % 2 == 0 {
                                durable = Some(written);
                                WriteOutcome::Stored
                            } else {
                                WriteOutcome::Refused
                            };
                            state.end_write(outcome);
                        }
                    }
                }
            }
            if under_way.is_some() {
                state.end_write(WriteOutcome::Unknown);
            }
            if state.begin_write().is_some() {
                state.end_write(WriteOutcome::Stored);
            }
            prop_assert!(state.is_settled());
        }
    }
}
