//! Encoded entries laid end to end, and the fixed facts about each.
//!
//! A [`Segment`] holds entries in the form the `MESSAGES` packet carries them: field tag `12`, length,
//! `Entry`. A batch is a run of slots, so serving one costs a header and one slice per segment.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::entry::kind::{EntryType, RowKind};
use crate::position::{BinlogFile, BinlogPosition};
use crate::time::WallMillis;

/// What a filter judges: the table or tables of an entry. Interned by [`crate::filter::Subjects`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId(pub u32);

impl SubjectId {
    /// The subject of entries that no filter judges: transaction begin and end, statements without a table.
    pub const NONE: Self = Self(0);
}

/// Where reading must begin again so that an entry, or what follows it, is seen whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The last place between transactions at or before the entry.
    pub boundary: BinlogPosition,
    /// The GTID set *without* the transaction in progress; none where GTIDs are not tracked.
    pub gtid_before: Option<Arc<str>>,
    /// The GTID set *with* the transaction in progress: what canal's entry header and cursor show.
    pub gtid_with: Option<Arc<str>>,
}

/// The fixed facts about one entry of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Where its bytes end in the segment (they begin where the former slot's end), tag and length included.
    pub end: u32,
    /// Length of the `Entry` itself: what canal's MEMSIZE counts.
    pub entry_len: u32,
    /// Start offset of its binlog event in the segment's file.
    pub offset: u64,
    /// Which entry of that event it is; 0 for the first (compressed transactions hold several).
    pub ordinal: u32,
    /// The event's timestamp.
    pub execute_time: WallMillis,
    /// The server that the change came from.
    pub server_id: u32,
    /// Rows that it carries.
    pub rows: u32,
    /// What filters judge.
    pub subject: SubjectId,
    /// Index into [`Segment::resumes`].
    pub resume: u32,
    /// What it is.
    pub entry_type: EntryType,
    /// What it does, if it is `ROWDATA`.
    pub kind: Option<RowKind>,
}

impl Slot {
    /// Whether this is a DDL that canal isolates and lets a cursor rest on.
    #[must_use]
    pub const fn is_isolated_ddl(&self) -> bool {
        match self.kind {
            Some(kind) => kind.is_isolated_ddl(),
            None => false,
        }
    }
}

/// A run of encoded entries from one binlog file.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The entries, end to end.
    pub bytes: Bytes,
    /// One per entry, in order.
    pub slots: Vec<Slot>,
    /// The binlog file that all of them come from.
    pub file: BinlogFile,
    /// What [`Slot::resume`] points into; ascending.
    pub resumes: Vec<Resume>,
}

impl Segment {
    /// The bytes of the `Entry` of one slot, without the tag and length in front of it.
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn entry(&self, slot: usize) -> Bytes {
        let Slot { end, entry_len, .. } = self.slots[slot];
        self.bytes.slice((end - entry_len) as usize..end as usize)
    }

    /// The bytes of the slots `first..end`, as the client packet carries them.
    ///
    /// # Panics
    /// If the range is not within the segment.
    #[must_use]
    pub fn slice(&self, first: usize, end: usize) -> Bytes {
        let from = if first == 0 {
            0
        } else {
            self.slots[first - 1].end as usize
        };
        let to = if end == 0 {
            0
        } else {
            self.slots[end - 1].end as usize
        };
        self.bytes.slice(from..to)
    }
}

/// A place in the stream of entries, as a cursor records it (wire-protocol reference §8.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPosition {
    /// File and start offset of the entry's event.
    pub position: BinlogPosition,
    /// Which entry of that event.
    pub ordinal: u32,
    /// The event's timestamp.
    pub timestamp: WallMillis,
    /// The server that the change came from.
    pub server_id: u32,
    /// GTID set as canal's cursor shows it: the transaction included. Empty where not tracked.
    pub gtid: String,
}
