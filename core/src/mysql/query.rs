//! A statement and its answer, in the text protocol.
//!
//! Cells are slices of the packets they came in. An answer is bounded by [`RESULT_BYTES_MAX`]. A
//! statement has one answer: we never ask for several results, nor for a file of ours.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;
use thiserror::Error;

use crate::read::{ReadError, Reader};

/// Bytes of an answer that are kept: far above what any statement of ours returns.
pub const RESULT_BYTES_MAX: usize = 256 << 20;

/// MySQL's own limit of columns in a table, and so in an answer.
const COLUMNS_MAX: usize = 4096;

/// A refusal in a server's own words.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("error {code} ({sqlstate}): {message}")]
pub struct ServerError {
    /// Its number.
    pub code: u16,
    /// Its SQLSTATE; `HY000` if the server gave none, as before a handshake.
    pub sqlstate: String,
    /// Its text.
    pub message: String,
}

impl ServerError {
    /// Access denied to a user (at login).
    pub const ACCESS_DENIED: u16 = 1045;
    /// Access denied to a database.
    pub const DATABASE_ACCESS_DENIED: u16 = 1044;
    /// A privilege is missing.
    pub const SPECIFIC_ACCESS_DENIED: u16 = 1227;
    /// Unknown system variable.
    pub const UNKNOWN_VARIABLE: u16 = 1193;
    /// Whatever ends a dump: told apart by its text.
    pub const MASTER_FATAL_READING_BINLOG: u16 = 1236;

    /// Reads an ERR packet, `payload` including its `ff`.
    ///
    /// # Errors
    /// It is too short for a number.
    pub fn parse(payload: &[u8]) -> Result<Self, ReadError> {
        const SQLSTATE_BYTES: usize = 5;
        let mut r = Reader::new(payload);
        r.u8("error marker")?;
        let code = r.u16("error code")?;
        let rest = r.rest();
        let (sqlstate, message) = match rest.strip_prefix(b"#") {
            Some(rest) if rest.len() >= SQLSTATE_BYTES => rest.split_at(SQLSTATE_BYTES),
            Some(_) | None => (&b"HY000"[..], rest),
        };
        let text = |bytes| String::from_utf8_lossy(bytes).to_string();
        Ok(Self {
            code,
            sqlstate: text(sqlstate),
            message: text(message),
        })
    }

    /// Whether a privilege is missing.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(
            self.code,
            Self::ACCESS_DENIED | Self::DATABASE_ACCESS_DENIED | Self::SPECIFIC_ACCESS_DENIED
        )
    }
}

/// The rows that answer a statement; none for one that returns nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultSet {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Cells in the order of the columns; `None` is NULL.
    pub rows: Vec<Vec<Option<Bytes>>>,
}

impl ResultSet {
    /// The index of the column called `name`, in any case.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.eq_ignore_ascii_case(name))
    }

    /// The text in a cell: `None` if there is no such row or column, or it holds NULL or no UTF-8.
    #[must_use]
    pub fn text(&self, row: usize, column: &str) -> Option<&str> {
        self.text_at(row, self.column(column)?)
    }

    /// As [`Self::text`], by the index of a column.
    #[must_use]
    pub fn text_at(&self, row: usize, column: usize) -> Option<&str> {
        core::str::from_utf8(self.rows.get(row)?.get(column)?.as_ref()?).ok()
    }
}

/// How far the reading of an answer has come.
#[derive(Debug)]
pub(super) enum Progress {
    /// More packets are due.
    More,
    /// All is there.
    Rows(ResultSet),
    /// The server refused.
    Failed(ServerError),
}

/// Reads the packets that answer one statement.
#[derive(Debug, Default)]
pub(super) struct ResultReader {
    phase: Phase,
    set: ResultSet,
    bytes: usize,
}

/// What is due next.
#[derive(Debug, Default)]
enum Phase {
    #[default]
    Header,
    Columns {
        left: usize,
    },
    EndOfColumns,
    Rows,
}

impl ResultReader {
    /// Takes the next packet.
    pub(super) fn packet(&mut self, payload: &Bytes) -> Result<Progress, ReadError> {
        const ERR: u8 = 0xff;
        let mut r = Reader::new(payload);
        self.bytes += payload.len();
        if self.bytes > RESULT_BYTES_MAX {
            return Err(r.invalid("result set", "is longer than 256 MiB"));
        }
        if payload.first() == Some(&ERR) {
            return Ok(Progress::Failed(ServerError::parse(payload)?));
        }
        match self.phase {
            Phase::Header => self.header(&mut r),
            Phase::Columns { left } => {
                for field in ["catalog", "schema", "table", "original table"] {
                    r.lenenc_bytes(field)?;
                }
                let name = String::from_utf8_lossy(r.lenenc_bytes("column name")?);
                self.set.columns.push(name.to_string());
                self.phase = match left - 1 {
                    0 => Phase::EndOfColumns,
                    left => Phase::Columns { left },
                };
                Ok(Progress::More)
            }
            Phase::EndOfColumns if is_eof(payload) => {
                self.phase = Phase::Rows;
                Ok(Progress::More)
            }
            Phase::EndOfColumns => Err(r.invalid("end of columns", "is missing")),
            Phase::Rows if is_eof(payload) => Ok(Progress::Rows(core::mem::take(&mut self.set))),
            Phase::Rows => self.row(payload),
        }
    }

    fn header(&mut self, r: &mut Reader<'_>) -> Result<Progress, ReadError> {
        const OK: usize = 0;
        match r.length("column count")? {
            OK => Ok(Progress::Rows(ResultSet::default())),
            left @ 1..=COLUMNS_MAX => {
                self.phase = Phase::Columns { left };
                Ok(Progress::More)
            }
            _ => Err(r.invalid("column count", "is above 4096")),
        }
    }

    fn row(&mut self, payload: &Bytes) -> Result<Progress, ReadError> {
        const NULL: u8 = 0xfb;
        let mut r = Reader::new(payload);
        let mut row = Vec::with_capacity(self.set.columns.len());
        for _ in &self.set.columns {
            if payload.get(r.position()) == Some(&NULL) {
                r.u8("NULL")?;
                row.push(None);
            } else {
                row.push(Some(payload.slice_ref(r.lenenc_bytes("cell")?)));
            }
        }
        self.set.rows.push(row);
        Ok(Progress::More)
    }
}

/// Whether a packet says that nothing follows; a longer one is a row with a cell of 16 MiB or more.
pub(super) fn is_eof(payload: &[u8]) -> bool {
    const EOF: u8 = 0xfe;
    const EOF_BYTES_END: usize = 9;
    payload.first() == Some(&EOF) && payload.len() < EOF_BYTES_END
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::vec;
    use proptest::prelude::*;

    /// A result set from texts; `\N` is NULL.
    pub(crate) fn result(columns: &[&str], rows: &[&[&str]]) -> ResultSet {
        let cell = |text: &&str| (*text != "\\N").then(|| Bytes::copy_from_slice(text.as_bytes()));
        ResultSet {
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            rows: rows
                .iter()
                .map(|row| row.iter().map(cell).collect())
                .collect(),
        }
    }

    /// A refusal.
    pub(crate) fn refusal(code: u16, message: &str) -> ServerError {
        ServerError {
            code,
            sqlstate: "HY000".into(),
            message: message.into(),
        }
    }

    /// The packets by which a server answers with `set`.
    pub(crate) fn packets(set: &ResultSet) -> Vec<Vec<u8>> {
        const EOF: [u8; 5] = [0xfe, 0, 0, 2, 0];
        let lenenc = |out: &mut Vec<u8>, bytes: &[u8]| {
            assert!(bytes.len() < 251);
            out.push(bytes.len() as u8);
            out.extend_from_slice(bytes);
        };
        let mut out = vec![vec![set.columns.len() as u8]];
        for name in &set.columns {
            let mut packet = b"\x03def\0\0\0".to_vec();
            lenenc(&mut packet, name.as_bytes());
            packet.extend_from_slice(b"\0\x0c\x2d\0\0\x01\0\0\xfd\0\0\0\0\0");
            out.push(packet);
        }
        out.push(EOF.to_vec());
        for row in &set.rows {
            let mut packet = vec![];
            for cell in row {
                match cell {
                    Some(bytes) => lenenc(&mut packet, bytes),
                    None => packet.push(0xfb),
                }
            }
            out.push(packet);
        }
        out.push(EOF.to_vec());
        out
    }

    #[test]
    fn rows_columns_and_null_come_as_they_were_sent() {
        let set = result(
            &["Variable_name", "Value"],
            &[&["server_id", "7"], &["x", "\\N"], &["", ""]],
        );
        let mut reader = ResultReader::default();
        let mut read = None;
        for packet in packets(&set) {
            match reader.packet(&packet.into()).unwrap() {
                Progress::More => assert!(read.is_none()),
                Progress::Rows(set) => read = Some(set),
                Progress::Failed(error) => panic!("{error}"),
            }
        }
        assert_eq!(read, Some(set.clone()));
        assert_eq!(set.text(0, "VALUE"), Some("7"));
        assert_eq!(set.text(1, "Value"), None);
        assert_eq!(set.text(9, "Value"), None);
    }

    #[test]
    fn an_error_has_a_state_only_if_the_server_sent_one() {
        let error = ServerError::parse(b"\xff\xd4\x04#HY000purged").unwrap();
        assert_eq!(error, refusal(1236, "purged"));
        let early = ServerError::parse(b"\xff\x10\x04Too many connections").unwrap();
        assert_eq!(early, refusal(1040, "Too many connections"));
        assert!(ServerError::parse(b"\xff\x10").is_err());
    }

    proptest! {
        #[test]
        fn no_packets_make_the_reader_panic(
            packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..10),
        ) {
            let mut reader = ResultReader::default();
            for packet in packets {
                if !matches!(reader.packet(&packet.into()), Ok(Progress::More)) {
                    break;
                }
            }
        }
    }
}
