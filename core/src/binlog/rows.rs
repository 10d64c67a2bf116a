//! Rows events of all versions, up to where their columns begin (binlog-parser reference §2.6, §2.7).

use crate::binlog::event::EventType;
use crate::binlog::format::Format;
use crate::read::{ReadError, Reader};

/// The table id of a rows event that has no rows and only ends a statement.
pub const DUMMY_TABLE_ID: u64 = 0x00ff_ffff;

/// The flags of a rows event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RowsFlags(pub u16);

impl RowsFlags {
    /// The statement ends here; table ids are void after it.
    pub const STMT_END: Self = Self(0x01);
    /// Without checks of foreign keys.
    pub const NO_FOREIGN_KEY_CHECKS: Self = Self(0x02);
    /// Without checks of unique keys.
    pub const RELAXED_UNIQUE_CHECKS: Self = Self(0x04);
    /// The images hold all columns.
    pub const COMPLETE_ROWS: Self = Self(0x08);
    /// Foreign keys are the SQL layer's business (MySQL 9).
    pub const USE_SQL_FOREIGN_KEY: Self = Self(0x10);

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What rows events do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOp {
    /// WRITE_ROWS: after images.
    Insert,
    /// UPDATE_ROWS: before and after images.
    Update,
    /// DELETE_ROWS: before images.
    Delete,
}

/// How the data of a rows event are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsEncoding {
    /// As they are.
    Plain,
    /// What follows the bitmaps is compressed (MariaDB `log_bin_compress`).
    Compressed,
    /// After images may hold differences of JSON documents (MySQL `PARTIAL_JSON`).
    PartialJson,
}

/// A rows event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsEvent<'a> {
    /// What it does.
    pub op: RowOp,
    /// How its data are written.
    pub encoding: RowsEncoding,
    /// Which TABLE_MAP describes it.
    pub table_id: u64,
    /// Flags.
    pub flags: RowsFlags,
    /// From the column count on: `lenenc ncol, bitmap(s), rows…`.
    pub data: &'a [u8],
}

impl<'a> RowsEvent<'a> {
    /// Reads the body of a rows event, checksum removed.
    ///
    /// # Errors
    /// It is cut off, or of no version that exists.
    ///
    /// # Panics
    /// `event_type` is not one of a rows event: see [`Self::kind`].
    pub fn parse(
        event_type: EventType,
        body: &'a [u8],
        format: &Format,
    ) -> Result<Self, ReadError> {
        let (op, encoding, default_length) =
            Self::kind(event_type).expect("callers pass rows events alone");
        let mut r = Reader::new(body);
        let length = format
            .post_header_length(event_type)
            .unwrap_or(default_length);
        let table_id_bytes = table_id_bytes(length, &r)?;
        let table_id = r.uint(table_id_bytes, "table id")?;
        let flags = RowsFlags(r.u16("rows flags")?);
        if length == POST_HEADER_V2 {
            let extra = usize::from(r.u16("extra data length")?);
            let Some(extra) = extra.checked_sub(EXTRA_LENGTH_BYTES) else {
                return Err(r.invalid("extra data length", "does not include itself"));
            };
            r.bytes(extra, "extra data")?;
        }
        Ok(Self {
            op,
            encoding,
            table_id,
            flags,
            data: r.rest(),
        })
    }

    /// What a rows event of this type does, how its data are written, and the length of its post-header
    /// where the server states none; none if it is no rows event.
    #[must_use]
    pub const fn kind(event_type: EventType) -> Option<(RowOp, RowsEncoding, u8)> {
        use RowsEncoding::{Compressed, PartialJson, Plain};
        Some(match event_type {
            EventType::WRITE_ROWS_V1 => (RowOp::Insert, Plain, POST_HEADER_V1),
            EventType::UPDATE_ROWS_V1 => (RowOp::Update, Plain, POST_HEADER_V1),
            EventType::DELETE_ROWS_V1 => (RowOp::Delete, Plain, POST_HEADER_V1),
            EventType::WRITE_ROWS => (RowOp::Insert, Plain, POST_HEADER_V2),
            EventType::UPDATE_ROWS => (RowOp::Update, Plain, POST_HEADER_V2),
            EventType::DELETE_ROWS => (RowOp::Delete, Plain, POST_HEADER_V2),
            EventType::PARTIAL_UPDATE_ROWS => (RowOp::Update, PartialJson, POST_HEADER_V2),
            EventType::WRITE_ROWS_COMPRESSED_V1 => (RowOp::Insert, Compressed, POST_HEADER_V1),
            EventType::UPDATE_ROWS_COMPRESSED_V1 => (RowOp::Update, Compressed, POST_HEADER_V1),
            EventType::DELETE_ROWS_COMPRESSED_V1 => (RowOp::Delete, Compressed, POST_HEADER_V1),
            EventType::WRITE_ROWS_COMPRESSED => (RowOp::Insert, Compressed, POST_HEADER_V2),
            EventType::UPDATE_ROWS_COMPRESSED => (RowOp::Update, Compressed, POST_HEADER_V2),
            EventType::DELETE_ROWS_COMPRESSED => (RowOp::Delete, Compressed, POST_HEADER_V2),
            _ => return None,
        })
    }

    /// Whether it has no rows and only ends a statement.
    #[must_use]
    pub const fn is_dummy(&self) -> bool {
        self.table_id == DUMMY_TABLE_ID
    }
}

/// Bytes of a table id, by the length of the post-header that begins with it.
pub(crate) fn table_id_bytes(post_header: u8, r: &Reader<'_>) -> Result<usize, ReadError> {
    match post_header {
        POST_HEADER_SHORT_ID => Ok(4),
        POST_HEADER_V1 | POST_HEADER_V2 => Ok(6),
        _ => Err(r.invalid(
            "table id",
            "has a post-header that is not of 6, 8 or 10 bytes",
        )),
    }
}

/// Table ids of 32 bits: servers before 5.1.4.
const POST_HEADER_SHORT_ID: u8 = 6;
/// Table id and flags.
pub(crate) const POST_HEADER_V1: u8 = 8;
/// Table id, flags, length of extra data.
const POST_HEADER_V2: u8 = 10;
/// The length of the extra data counts itself.
const EXTRA_LENGTH_BYTES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::format::tests::body as format_body;

    fn format(lengths: &[u8]) -> Format {
        Format::parse(&format_body("8.0.46", lengths, Some(0))).unwrap()
    }

    #[test]
    fn version_2_skips_extra_data() {
        let body = [
            253, 0, 0, 0, 0, 0, 0x11, 0, 5, 0, 1, 2, 0, 1, 0xff, 0, 1, 0, 0, 0,
        ];
        let rows = RowsEvent::parse(EventType::WRITE_ROWS, &body, &Format::initial()).unwrap();
        assert_eq!(rows.op, RowOp::Insert);
        assert_eq!(rows.table_id, 253);
        assert!(rows.flags.contains(RowsFlags::STMT_END));
        assert!(rows.flags.contains(RowsFlags::USE_SQL_FOREIGN_KEY));
        assert_eq!(rows.data, &body[13..]);
        let error =
            RowsEvent::parse(EventType::WRITE_ROWS, &body[..12], &Format::initial()).unwrap_err();
        assert_eq!(error.field, "extra data");
        let body = [253, 0, 0, 0, 0, 0, 0x11, 0, 1, 0];
        assert!(RowsEvent::parse(EventType::WRITE_ROWS, &body, &Format::initial()).is_err());
    }

    #[test]
    fn the_format_tells_the_length_of_the_table_id() {
        let body = [7, 0, 0, 0, 1, 0, 9, 9];
        let mut lengths = [8; 23];
        lengths[22] = 6;
        let rows = RowsEvent::parse(EventType::WRITE_ROWS_V1, &body, &format(&lengths)).unwrap();
        assert_eq!((rows.table_id, rows.data), (7, &[9, 9][..]));
        lengths[22] = 8;
        let rows = RowsEvent::parse(EventType::WRITE_ROWS_V1, &body, &format(&lengths)).unwrap();
        assert_eq!((rows.table_id, rows.flags.0), (0x0001_0000_0007, 0x0909));
        lengths[22] = 7;
        assert!(RowsEvent::parse(EventType::WRITE_ROWS_V1, &body, &format(&lengths)).is_err());
    }

    #[test]
    fn a_length_of_zero_is_not_believed() {
        let body = [253, 0, 0, 0, 0, 0, 1, 0, 1];
        let rows = RowsEvent::parse(EventType::DELETE_ROWS_V1, &body, &format(&[0; 42])).unwrap();
        assert_eq!(
            (rows.op, rows.table_id, rows.data),
            (RowOp::Delete, 253, &[1][..])
        );
    }

    #[test]
    fn a_dummy_has_its_own_table_id() {
        let body = [0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 2, 0];
        let rows = RowsEvent::parse(EventType::UPDATE_ROWS, &body, &Format::initial()).unwrap();
        assert!(rows.is_dummy());
        assert!(rows.data.is_empty());
    }
}
