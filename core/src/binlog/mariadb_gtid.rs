//! MariaDB's GTID and GTID_LIST (binlog-parser reference §2.4).

use crate::binlog::xa::XaId;
use crate::gtid::MariadbGtid;
use crate::read::{ReadError, Reader};

/// The flags of a MariaDB GTID event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MariadbGtidFlags(pub u8);

impl MariadbGtidFlags {
    /// No commit follows: the next QUERY is the whole group.
    pub const STANDALONE: Self = Self(0x01);
    /// Committed in a group, which has a number.
    pub const GROUP_COMMIT_ID: Self = Self(0x02);
    /// Can be rolled back.
    pub const TRANSACTIONAL: Self = Self(0x04);
    /// May run in parallel with others.
    pub const ALLOW_PARALLEL: Self = Self(0x08);
    /// Had to wait for another transaction.
    pub const WAITED: Self = Self(0x10);
    /// Holds a DDL statement.
    pub const DDL: Self = Self(0x20);
    /// Is an `XA START`: there is no such QUERY.
    pub const PREPARED_XA: Self = Self(0x40);
    /// Is an `XA COMMIT` or `XA ROLLBACK`.
    pub const COMPLETED_XA: Self = Self(0x80);

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What the ALTER of this group is, if it is run in two phases (`binlog_alter_two_phase`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlterPhase {
    /// It only begins: the table is as before.
    Start,
    /// It is done: of the ALTER whose start has this sequence number.
    Commit {
        /// Sequence number of the group that started it.
        start: u64,
    },
    /// It failed: of the ALTER whose start has this sequence number.
    Rollback {
        /// Sequence number of the group that started it.
        start: u64,
    },
}

/// The begin of a group (transaction or statement), MariaDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MariadbGtidEvent<'a> {
    /// Its GTID.
    pub gtid: MariadbGtid,
    /// Flags.
    pub flags: MariadbGtidFlags,
    /// Number of the group commit, with [`MariadbGtidFlags::GROUP_COMMIT_ID`].
    pub commit_id: Option<u64>,
    /// Name of the XA transaction, with one of the two XA flags.
    pub xid: Option<XaId<'a>>,
    /// Which phase of an ALTER it is; none if it is no such thing.
    pub alter: Option<AlterPhase>,
    /// The connection that ran it (11.5).
    pub thread_id: Option<u32>,
}

impl<'a> MariadbGtidEvent<'a> {
    /// Reads a body, checksum removed; the server is that of the event's header.
    ///
    /// # Errors
    /// It is cut off.
    pub fn parse(body: &'a [u8], server: u32) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        let sequence = r.u64("GTID sequence")?;
        let domain = r.u32("GTID domain")?;
        let flags = MariadbGtidFlags(r.u8("GTID flags")?);
        let mut event = Self {
            gtid: MariadbGtid {
                domain,
                server,
                sequence,
            },
            flags,
            commit_id: None,
            xid: None,
            alter: None,
            thread_id: None,
        };
        if flags.contains(MariadbGtidFlags::GROUP_COMMIT_ID) {
            event.commit_id = Some(r.u64("commit id")?);
        }
        if flags.0 & (MariadbGtidFlags::PREPARED_XA.0 | MariadbGtidFlags::COMPLETED_XA.0) != 0 {
            let format = r.u32("XA format")?;
            let gtrid = usize::from(r.u8("XA gtrid length")?);
            let bqual = usize::from(r.u8("XA bqual length")?);
            event.xid = Some(XaId::parts(&mut r, format, gtrid, bqual)?);
        }
        if !r.is_empty() {
            event.read_extra(&mut r)?;
        }
        Ok(event)
    }

    /// What newer versions append, or the zeros that fill the event up to its least length.
    fn read_extra(&mut self, r: &mut Reader<'_>) -> Result<(), ReadError> {
        let extra = r.u8("extra flags")?;
        if extra & EXTRA_ENGINES != 0 {
            r.u8("extra engines")?;
        }
        if extra & EXTRA_START_ALTER != 0 {
            self.alter = Some(AlterPhase::Start);
        }
        if extra & (EXTRA_COMMIT_ALTER | EXTRA_ROLLBACK_ALTER) != 0 {
            let start = r.u64("sequence of the ALTER's start")?;
            let is_commit = extra & EXTRA_COMMIT_ALTER != 0;
            self.alter = Some(if is_commit {
                AlterPhase::Commit { start }
            } else {
                AlterPhase::Rollback { start }
            });
        }
        if extra & EXTRA_THREAD_ID != 0 {
            self.thread_id = Some(r.u32("thread id")?);
        }
        Ok(())
    }
}

/// The last GTIDs before a file, MariaDB. Several servers may occur in one domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GtidList<'a> {
    items: &'a [u8],
}

impl<'a> GtidList<'a> {
    /// Reads a body, checksum removed.
    ///
    /// # Errors
    /// It is cut off.
    pub fn parse(body: &'a [u8]) -> Result<Self, ReadError> {
        let mut r = Reader::new(body);
        let count = (r.u32("GTID count")? & LIST_COUNT_MASK) as usize;
        Ok(Self {
            items: r.bytes(count * LIST_ITEM_BYTES, "GTID list")?,
        })
    }

    /// The GTIDs as they stand; the last of a domain is the newest.
    pub fn iter(&self) -> impl Iterator<Item = MariadbGtid> + 'a {
        let (items, _) = self.items.as_chunks::<LIST_ITEM_BYTES>();
        items.iter().map(
            |&[d0, d1, d2, d3, s0, s1, s2, s3, sequence @ ..]| MariadbGtid {
                domain: u32::from_le_bytes([d0, d1, d2, d3]),
                server: u32::from_le_bytes([s0, s1, s2, s3]),
                sequence: u64::from_le_bytes(sequence),
            },
        )
    }
}

const EXTRA_ENGINES: u8 = 0x01;
const EXTRA_START_ALTER: u8 = 0x02;
const EXTRA_COMMIT_ALTER: u8 = 0x04;
const EXTRA_ROLLBACK_ALTER: u8 = 0x08;
const EXTRA_THREAD_ID: u8 = 0x10;
/// The four bits above are flags of the list.
const LIST_COUNT_MASK: u32 = 0x0fff_ffff;
const LIST_ITEM_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_plain_statement_is_padded() {
        let body = b"\x01\0\0\0\0\0\0\0\x05\0\0\0\x29\0\0\0\0\0\0";
        let event = MariadbGtidEvent::parse(body, 20616).unwrap();
        assert_eq!(event.gtid.to_string(), "5-20616-1");
        assert!(event.flags.contains(MariadbGtidFlags::STANDALONE));
        assert!(event.flags.contains(MariadbGtidFlags::DDL));
        assert!(!event.flags.contains(MariadbGtidFlags::TRANSACTIONAL));
        assert_eq!(
            (event.commit_id, event.alter, event.thread_id),
            (None, None, None)
        );
        assert_eq!(
            MariadbGtidEvent::parse(&body[..12], 1).unwrap_err().field,
            "GTID flags"
        );
    }

    #[test]
    fn version_11_8_adds_the_connection() {
        let body = b"\x01\0\0\0\0\0\0\0\0\0\0\0\x29\x10\x07\0\0\0\0";
        assert_eq!(MariadbGtidEvent::parse(body, 1).unwrap().thread_id, Some(7));
    }

    #[test]
    fn an_xa_start_is_a_gtid_event() {
        let body = b"\x09\0\0\0\0\0\0\0\0\0\0\0\x4c\x03\0\0\0\x02\x01x1b\x01\xff";
        let event = MariadbGtidEvent::parse(body, 1).unwrap();
        assert_eq!(
            event.xid,
            Some(XaId {
                format: 3,
                gtrid: b"x1",
                bqual: b"b"
            })
        );
        assert!(event.flags.contains(MariadbGtidFlags::PREPARED_XA));
        assert!(MariadbGtidEvent::parse(&body[..body.len() - 1], 1).is_err());
    }

    #[test]
    fn an_alter_may_have_two_phases() {
        let alter = |tail: &[u8]| {
            let mut body = Vec::from(&b"\x01\0\0\0\0\0\0\0\0\0\0\0\x2b\x08\0\0\0\0\0\0\0"[..]);
            body.extend(tail);
            let event = MariadbGtidEvent::parse(&body, 1).unwrap();
            assert_eq!(event.commit_id, Some(8));
            event.alter
        };
        assert_eq!(alter(b"\x02\0\0"), Some(AlterPhase::Start));
        let start = 0x1f;
        assert_eq!(
            alter(b"\x04\x1f\0\0\0\0\0\0\0"),
            Some(AlterPhase::Commit { start })
        );
        assert_eq!(
            alter(b"\x08\x1f\0\0\0\0\0\0\0"),
            Some(AlterPhase::Rollback { start })
        );
        assert_eq!(alter(b""), None);
    }

    #[test]
    fn a_list_has_a_count_and_flags() {
        let mut body = Vec::from(0x1000_0002u32.to_le_bytes());
        body.extend(
            b"\0\0\0\0\xf3\x03\0\0\x23\0\0\0\0\0\0\0\x05\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0",
        );
        let list = GtidList::parse(&body).unwrap();
        let text: Vec<_> = list.iter().map(|gtid| gtid.to_string()).collect();
        assert_eq!(text, ["0-1011-35", "5-1-1"]);
        assert!(GtidList::parse(&body[..35]).is_err());
        assert_eq!(GtidList::parse(&[0; 4]).unwrap().iter().count(), 0);
    }
}
