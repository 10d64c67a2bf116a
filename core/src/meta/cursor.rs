//! Where a client stands.
//!
//! A [`Cursor`] is canal's log position, with what canald knows besides in an [`Extension`] that a Java
//! server drops when it rewrites the cursor (ha-meta-store reference §8.1), so nothing may depend on it
//! being there.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::testing::{cursor, position};

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
}
