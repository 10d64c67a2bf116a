//! How to decode one version of a table: made once, used for every row.
//!
//! A plan knows of each column how wide its values are, how they become text, and the bytes around the
//! text, which are always the same: index, sqlType, name and key in front, mysqlType behind. Nothing in it
//! changes; plans are shared between threads.
//!
//! A column that cannot be shown exactly is a [`PlanError`] that names it, never a guess.

mod format;
mod guess;

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

use crate::binlog::table_map::TableMap;
use crate::binlog::value::WINDOW;
use crate::config::{InstanceConfig, Zone};
use crate::entry::wire::{ColumnHead, put_column_tail};
use crate::mysql::charset::Charset;
use crate::schema::table::{ColumnSchema, TableName, TableSchema};
use crate::store::segment::SubjectId;
use crate::write::{BLOCK, VARINT_MAX, Writer, varint_len};

pub(crate) use format::{Format, Width};
use format::{Shown, shown};
pub use guess::Guess;
pub(crate) use guess::set_bits;

/// How ENUM and SET are shown: `canald.enum.text`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberText {
    /// The number of the member and the mask of the members, as canal.
    #[default]
    Number,
    /// Their labels.
    Label,
}

/// Where the connection charset is used: `canald.charset.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CharsetScope {
    /// For text whose charset nothing tells.
    #[default]
    Undeclared,
    /// For all text, as canal.
    Always,
}

/// How values are shown.
#[derive(Clone, Debug)]
pub struct EncodeSettings {
    pub(crate) zone: Zone,
    pub(crate) members: MemberText,
    pub(crate) charset: Charset,
    pub(crate) scope: CharsetScope,
}

impl Default for EncodeSettings {
    fn default() -> Self {
        Self::new(
            Zone::utc(),
            MemberText::Number,
            Charset::Utf8,
            CharsetScope::Undeclared,
        )
    }
}

/// A setting that names nothing we know.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "canal.instance.connectionCharset: no character set is called {0:?}; give the name that MySQL or \
     Java has for one, such as UTF-8 or GBK"
)]
pub struct UnknownCharset(pub String);

impl EncodeSettings {
    /// Settings: the zone of TIMESTAMP, how ENUM and SET are shown, and the connection charset with
    /// where it is used.
    #[must_use]
    pub const fn new(
        zone: Zone,
        members: MemberText,
        charset: Charset,
        scope: CharsetScope,
    ) -> Self {
        Self {
            zone,
            members,
            charset,
            scope,
        }
    }

    /// The settings of an instance.
    ///
    /// # Errors
    /// Its connection charset is unknown.
    pub fn of_instance(config: &InstanceConfig) -> Result<Self, UnknownCharset> {
        let Some(charset) = Charset::from_name(&config.connection_charset) else {
            return Err(UnknownCharset(config.connection_charset.clone()));
        };
        let members = if config.enum_text {
            MemberText::Label
        } else {
            MemberText::Number
        };
        let scope = if config.connection_charset_always {
            CharsetScope::Always
        } else {
            CharsetScope::Undeclared
        };
        Ok(Self::new(config.zone.clone(), members, charset, scope))
    }
}

/// Why a table cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The schema is of another version than the rows.
    #[error(
        "table {table}: its rows have {map} columns, its schema has {schema}: the schema is of \
         another time"
    )]
    ColumnCount {
        /// The table.
        table: TableName,
        /// Columns in the TABLE_MAP event.
        map: usize,
        /// Columns in the schema.
        schema: usize,
    },
    /// A column that cannot be shown.
    #[error("table {table}, column {index} `{column}` ({column_type}): {problem}")]
    Column {
        /// The table.
        table: TableName,
        /// Position of the column, from 0.
        index: usize,
        /// Its name.
        column: String,
        /// Its type in the schema.
        column_type: String,
        /// What is wrong.
        problem: ColumnProblem,
    },
}

/// Why a column cannot be shown, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ColumnProblem {
    /// Values of this type are recognised but not decoded.
    #[error(
        "binlog type {0} is not decoded; leave the table out with canal.instance.filter.black.regex"
    )]
    Unsupported(u8),
    /// MariaDB's compressed columns.
    #[error(
        "COMPRESSED columns of MariaDB are not decoded; ALTER the column to be uncompressed, or leave the \
         table out with canal.instance.filter.black.regex"
    )]
    Compressed,
    /// MariaDB's old times with a fraction say nowhere how long they are.
    #[error(
        "a time with a fraction in MariaDB's old format; SET GLOBAL mysql56_temporal_format=ON and \
         ALTER TABLE … FORCE"
    )]
    OldFraction,
    /// The TABLE_MAP event says something impossible of the type.
    #[error("metadata {meta:#06x} is impossible for binlog type {column_type}")]
    Metadata {
        /// The binlog's type number.
        column_type: u8,
        /// The type's metadata.
        meta: u16,
    },
    /// Text of a collation that nobody told us of.
    #[error("collation id {0} is unknown; canald.charset.mode=connection decodes it as canal does")]
    Collation(u16),
    /// Text of a charset that nobody told us of.
    #[error(
        "character set {0:?} is unknown; canald.charset.mode=connection decodes it as canal does"
    )]
    Charset(String),
    /// ENUM or SET are to be shown as text and their members are unknown.
    #[error("canald.enum.text is set and the members are unknown; set binlog_row_metadata=FULL")]
    Members,
}

/// How to decode one version of a table.
#[derive(Debug)]
pub struct TablePlan {
    name: TableName,
    subject: SubjectId,
    pub(crate) columns: Vec<ColumnPlan>,
    all: Box<[u32]>,
    /// What [`Piece`]s point into.
    blocks: Vec<[u8; BLOCK]>,
    /// About the bytes that one image of a row takes beyond those of its values.
    image_overhead: usize,
}

/// A run of bytes in the plan's blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    first: u32,
    blocks: u32,
    pub(crate) len: u32,
}

/// How to decode one column.
#[derive(Debug)]
pub(crate) struct ColumnPlan {
    pub(crate) name: Box<str>,
    pub(crate) width: Width,
    pub(crate) format: Format,
    /// Whether it is shown; if not, it is only skipped.
    pub(crate) kept: bool,
    /// In front of a value.
    pub(crate) head: Piece,
    /// In front of an unsigned value that its sqlType cannot hold.
    pub(crate) head_promoted: Piece,
    /// All of a NULL but its end.
    pub(crate) head_null: Piece,
    /// Behind the value.
    pub(crate) tail: Piece,
    /// Bytes of length in front of the column where the value is of bounded length.
    pub(crate) len_width: usize,
    /// Room for everything besides a value of unbounded length.
    pub(crate) room: usize,
    /// Bytes that the text of most values is longer than the value.
    growth: usize,
}

impl ColumnPlan {
    /// Bytes of the column besides tag, length, value and the value's length.
    #[inline]
    pub(crate) const fn fixed_len(&self) -> usize {
        self.head.len as usize + self.tail.len as usize
    }

    /// Room for what is behind the value.
    #[inline]
    pub(crate) const fn tail_room(&self) -> usize {
        self.tail.blocks as usize * BLOCK
    }
}

impl TablePlan {
    /// A plan for the rows that follow `map`, of the table that `schema` describes. Columns for which
    /// `kept` is false by name are left out of entries.
    ///
    /// # Errors
    /// Map and schema have different numbers of columns, or a column cannot be shown.
    pub fn build(
        map: &TableMap,
        schema: &TableSchema,
        subject: SubjectId,
        settings: &EncodeSettings,
        kept: impl Fn(&str) -> bool,
    ) -> Result<Self, PlanError> {
        let name = TableName::new(&map.schema, &map.table);
        if map.columns.len() != schema.columns.len() {
            let (map, schema) = (map.columns.len(), schema.columns.len());
            return Err(PlanError::ColumnCount {
                table: name,
                map,
                schema,
            });
        }
        let mut pieces = Pieces::default();
        let mut columns = Vec::with_capacity(map.columns.len());
        for (index, (mapped, column)) in map.columns.iter().zip(&schema.columns).enumerate() {
            let shown = shown(mapped, column, settings).map_err(|problem| PlanError::Column {
                table: name.clone(),
                index,
                column: column.name.clone(),
                column_type: column.column_type.clone(),
                problem,
            })?;
            columns.push(pieces.column(index as u32, column, shown, kept(&column.name)));
        }
        let image_overhead = columns
            .iter()
            .filter(|column| column.kept)
            .map(|column| column.fixed_len() + COLUMN_LENGTHS + column.growth)
            .sum();
        Ok(Self {
            name,
            subject,
            all: (0..columns.len() as u32).collect(),
            columns,
            blocks: pieces.blocks,
            image_overhead,
        })
    }

    /// The table's name.
    #[must_use]
    pub const fn name(&self) -> &TableName {
        &self.name
    }

    /// What filters judge.
    #[must_use]
    pub const fn subject(&self) -> SubjectId {
        self.subject
    }

    /// Columns in the table, those included that are left out of entries.
    #[must_use]
    pub const fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// The places of all columns.
    pub(crate) fn all(&self) -> &[u32] {
        &self.all
    }

    /// Writes `piece`, for which there is room.
    #[inline]
    pub(crate) fn put(&self, w: &mut Writer, piece: Piece) {
        let first = piece.first as usize;
        w.put_blocks(
            &self.blocks[first..first + piece.blocks as usize],
            piece.len as usize,
        );
    }
}

/// Tag, length and the value's length: three bytes if all is short.
const COLUMN_LENGTHS: usize = 3;

/// Collects the pieces of a plan.
#[derive(Default)]
struct Pieces {
    blocks: Vec<[u8; BLOCK]>,
    scratch: Writer,
}

impl Pieces {
    fn piece(&mut self, put: impl FnOnce(&mut Writer)) -> Piece {
        self.scratch.truncate(0);
        put(&mut self.scratch);
        let first = self.blocks.len();
        for chunk in self.scratch.as_slice().chunks(BLOCK) {
            let mut block = [0; BLOCK];
            block[..chunk.len()].copy_from_slice(chunk);
            self.blocks.push(block);
        }
        let blocks = (self.blocks.len() - first) as u32;
        Piece {
            first: first as u32,
            blocks,
            len: self.scratch.len() as u32,
        }
    }

    fn column(
        &mut self,
        index: u32,
        schema: &ColumnSchema,
        shown: Shown,
        kept: bool,
    ) -> ColumnPlan {
        let head = ColumnHead {
            index,
            sql_type: shown.sql_type,
            name: &schema.name,
            is_key: schema.is_key,
        };
        let promoted = ColumnHead {
            sql_type: shown.sql_type_promoted,
            ..head
        };
        let null = ColumnHead {
            sql_type: shown.sql_type_null,
            ..head
        };
        let head = self.piece(|w| head.put(w));
        let head_promoted = self.piece(|w| promoted.put(w));
        let head_null = self.piece(|w| null.put_null(w));
        let tail = self.piece(|w| put_column_tail(w, &schema.column_type));
        let fixed = (head.len + tail.len) as usize;
        let head_blocks = head.blocks.max(head_promoted.blocks).max(head_null.blocks);
        ColumnPlan {
            name: schema.name.as_str().to_owned().into_boxed_str(),
            width: shown.width,
            format: shown.format,
            kept,
            head,
            head_promoted,
            head_null,
            tail,
            growth: match shown.width {
                Width::Fixed(bytes) => shown.typical_len.saturating_sub(bytes as usize),
                Width::Prefixed(_) => 0,
            },
            len_width: varint_len((fixed + 1 + shown.typical_len) as u64),
            room: 1 + 2 * VARINT_MAX + WINDOW + (head_blocks + tail.blocks) as usize * BLOCK,
        }
    }
}

#[cfg(test)]
mod tests;
