//! From a job of items to a segment of entries: a pure function.
//!
//! Every value is converted once, straight into the bytes that a client will receive: one buffer for the
//! whole job, nothing kept or allocated for a row or a value. Lengths that stand in front of what they
//! measure are guessed, and filled in when it is known; a wrong guess moves what follows.
//!
//! A row that is not what its table says ends the job: the segment holds the entries before it, the fault
//! says where it was. Nothing is skipped. A segment is at most [`SEGMENT_BYTES_MAX`] long, soft by one row
//! while it is being written.

mod rows;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use crate::binlog::rows::RowOp;
use crate::entry::kind::{EntryType, RowKind};
use crate::entry::wire::{
    Header, HeaderGtid, Prelude, StatementChange, put_header, put_rows_head, put_statement,
    put_transaction_begin, put_transaction_end,
};
use crate::pipeline::job::{DecodeJob, GtidStamp, Item, ItemBody, Statement};
use crate::pipeline::plan::{Guess, TablePlan};
use crate::position::BinlogFile;
use crate::read::ReadError;
use crate::schema::table::TableName;
use crate::store::segment::{Segment, Slot};
use crate::time::WallMillis;
use crate::write::Writer;
use rows::{RowError, RowsEvent, Scratch};

/// Most bytes of a segment: what a length of Java's protobuf, an `int`, can say.
pub const SEGMENT_BYTES_MAX: usize = i32::MAX as usize;

/// What became of a job.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The entries; all of them, or those before the fault.
    pub segment: Segment,
    /// Why there are no more.
    pub fault: Option<DecodeFault>,
}

/// Why an item did not become an entry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeFault {
    /// A row is not what its table says.
    #[error(
        "{file}:{offset}: {event} of {table}, row {row}{}: {error}; either the event is damaged, or {table} \
         was not as canald believes when it was written: compare `canald schema show {table}` with it",
        AtColumn(column)
    )]
    Row {
        /// The binlog file.
        file: BinlogFile,
        /// Where the event starts in it.
        offset: u64,
        /// What kind of event it is.
        event: &'static str,
        /// The table.
        table: TableName,
        /// Which row of the event, from 0.
        row: u32,
        /// Position and name of the column; none if the fault is not in a value.
        column: Option<(usize, String)>,
        /// What is wrong. Places are counted from the event's column count on.
        error: ReadError,
    },
    /// The entries of one job are larger than a client can read.
    #[error(
        "{file}:{offset}: {event} makes the entries of one packet larger than 2 GiB, which no client can \
         read; leave the large column out with canal.instance.filter.black.field"
    )]
    TooLarge {
        /// The binlog file.
        file: BinlogFile,
        /// Where the event starts in it.
        offset: u64,
        /// What kind of event it is.
        event: &'static str,
    },
}

struct AtColumn<'a>(&'a Option<(usize, String)>);

impl fmt::Display for AtColumn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((index, name)) => write!(f, ", column {index} `{name}`"),
            None => Ok(()),
        }
    }
}

/// Turns the items of `job` into entries.
#[must_use]
pub fn decode(job: DecodeJob) -> Decoded {
    let mut encoder = Encoder::new(&job);
    let fault = job
        .items
        .iter()
        .try_for_each(|item| encoder.item(item))
        .err();
    let segment = Segment {
        bytes: encoder.w.into_bytes(),
        slots: encoder.slots,
        file: job.file,
        resumes: job.resumes,
    };
    Decoded { segment, fault }
}

struct Encoder<'j> {
    job: &'j DecodeJob,
    /// The segment's bytes.
    w: Writer,
    slots: Vec<Slot>,
    /// Scratch: the store value, or what of it stands in front of the rows; then the entry's header.
    parts: Writer,
    /// Where in `parts` the header begins.
    header_at: usize,
    /// Scratch: what stands in front of rows, if it was guessed wrong.
    front: Writer,
    rows: Scratch<'j>,
}

impl<'j> Encoder<'j> {
    fn new(job: &'j DecodeJob) -> Self {
        Self {
            job,
            w: Writer::with_capacity(job.entry_bytes().min(ROOM_BYTES_MAX)),
            slots: Vec::with_capacity(job.items.len()),
            parts: Writer::with_capacity(PARTS_BYTES),
            header_at: 0,
            front: Writer::default(),
            rows: Scratch::new(&job.settings.zone),
        }
    }

    fn item(&mut self, item: &'j Item) -> Result<(), DecodeFault> {
        self.parts.truncate(0);
        match &item.body {
            ItemBody::Begin { thread_id } => {
                put_transaction_begin(&mut self.parts, *thread_id);
                self.transaction(item, EntryType::TransactionBegin)
            }
            ItemBody::End { xid } => {
                put_transaction_end(&mut self.parts, *xid);
                self.transaction(item, EntryType::TransactionEnd)
            }
            ItemBody::Statement(statement) => self.statement(item, statement),
            ItemBody::Rows {
                op,
                table_id,
                plan,
                data,
                guess,
            } => {
                put_rows_head(&mut self.parts, *table_id, RowKind::from(*op));
                self.header_at = self.parts.len();
                self.rows(item, *op, plan, data, *guess)
            }
        }
    }

    fn transaction(&mut self, item: &Item, entry_type: EntryType) -> Result<(), DecodeFault> {
        self.header_at = self.parts.len();
        self.put_header(item, Some(""), Some(""), None, 0);
        self.whole(item, entry_type, None)
    }

    fn statement(&mut self, item: &Item, statement: &Statement) -> Result<(), DecodeFault> {
        let Statement {
            kind,
            is_ddl,
            sql,
            schema,
            table,
            ddl_schema,
        } = statement;
        let change = StatementChange {
            kind: *kind,
            is_ddl: *is_ddl,
            sql,
            ddl_schema: ddl_schema.as_deref(),
        };
        put_statement(&mut self.parts, &change);
        self.header_at = self.parts.len();
        self.put_header(item, schema.as_deref(), table.as_deref(), Some(*kind), 0);
        self.whole(item, EntryType::RowData, Some(*kind))
    }

    /// Writes an entry whose store value is in `parts` as a whole.
    fn whole(
        &mut self,
        item: &Item,
        entry_type: EntryType,
        kind: Option<RowKind>,
    ) -> Result<(), DecodeFault> {
        let at = self.w.len();
        let prelude = self.put_front(entry_type, self.header_at);
        let entry = Entry {
            at,
            entry_type,
            kind,
            rows: 0,
            len: prelude.entry_len(),
        };
        self.close(item, &entry)
    }

    fn rows(
        &mut self,
        item: &'j Item,
        op: RowOp,
        plan: &'j TablePlan,
        data: &'j [u8],
        guess: Guess,
    ) -> Result<(), DecodeFault> {
        let at = self.w.len();
        let parsed = RowsEvent::parse(op, plan, data, &mut self.rows);
        let event = parsed.map_err(|error| self.row_fault(item, op, plan, error))?;
        let TableName { schema, table } = plan.name();
        let (schema, table, kind) = (Some(&**schema), Some(&**table), Some(RowKind::from(op)));
        self.put_header(item, schema, table, kind, guess.rows);
        let guessed = self.put_front(EntryType::RowData, self.header_at + guess.bytes);
        let front_end = self.w.len();
        let rows = match event.encode(guess, &mut self.rows, &mut self.w) {
            Ok(rows) => rows,
            Err(error) => {
                self.w.truncate(at);
                return Err(self.row_fault(item, op, plan, error));
            }
        };
        if rows != guess.rows {
            self.put_header(item, schema, table, kind, rows);
        }
        let store_len = self.header_at + self.w.len() - front_end;
        let header_len = self.parts.len() - self.header_at;
        let prelude = Prelude::new(EntryType::RowData, header_len, store_len);
        if rows == guess.rows && prelude.bytes() == guessed.bytes() {
            prelude.put_lengths(&mut self.w, at);
        } else {
            let (store, header) = self.parts.as_slice().split_at(self.header_at);
            self.front.truncate(0);
            prelude.put(&mut self.front, header);
            self.front.put(store);
            self.w.fill_gap(at, front_end - at, self.front.as_slice());
        }
        let entry = Entry {
            at,
            entry_type: EntryType::RowData,
            kind,
            rows,
            len: prelude.entry_len(),
        };
        self.close(item, &entry)
    }

    /// Writes what is in `parts`, as the front of an entry whose store value has `store_len` bytes.
    fn put_front(&mut self, entry_type: EntryType, store_len: usize) -> Prelude {
        let (store, header) = self.parts.as_slice().split_at(self.header_at);
        let prelude = Prelude::new(entry_type, header.len(), store_len);
        self.w.reserve(prelude.bytes() + store.len());
        prelude.put(&mut self.w, header);
        self.w.put(store);
        prelude
    }

    fn put_header(
        &mut self,
        item: &Item,
        schema: Option<&str>,
        table: Option<&str>,
        kind: Option<RowKind>,
        rows: u32,
    ) {
        let header = Header {
            file: self.job.file.as_str(),
            offset: item.place.start,
            server_id: item.place.server_id,
            execute_time: WallMillis::from_event_seconds(item.place.timestamp).0,
            schema,
            table,
            event_length: item.place.size,
            kind,
            gtid: item.gtid.as_deref().map(header_gtid),
            rows,
        };
        self.parts.truncate(self.header_at);
        put_header(&mut self.parts, &header);
    }

    /// Adds the slot of an entry that is written.
    fn close(&mut self, item: &Item, entry: &Entry) -> Result<(), DecodeFault> {
        if self.w.len() > SEGMENT_BYTES_MAX {
            self.w.truncate(entry.at);
            let (file, offset) = (self.job.file.clone(), item.place.start);
            return Err(DecodeFault::TooLarge {
                file,
                offset,
                event: event_name(item),
            });
        }
        self.slots.push(Slot {
            end: self.w.len() as u32,
            entry_len: entry.len as u32,
            offset: item.place.start,
            ordinal: item.ordinal,
            execute_time: WallMillis::from_event_seconds(item.place.timestamp),
            server_id: item.place.server_id,
            rows: entry.rows,
            subject: item.subject,
            resume: item.resume,
            entry_type: entry.entry_type,
            kind: entry.kind,
        });
        Ok(())
    }

    #[cold]
    fn row_fault(&self, item: &Item, op: RowOp, plan: &TablePlan, error: RowError) -> DecodeFault {
        let (file, offset, event) = (self.job.file.clone(), item.place.start, rows_name(op));
        let RowError::Row { row, column, error } = error else {
            return DecodeFault::TooLarge {
                file,
                offset,
                event,
            };
        };
        let column = column.map(|index| (index, String::from(&*plan.columns[index].name)));
        DecodeFault::Row {
            file,
            offset,
            event,
            table: plan.name().clone(),
            row,
            column,
            error,
        }
    }
}

/// An entry that is written.
struct Entry {
    /// Where it starts in the segment.
    at: usize,
    entry_type: EntryType,
    kind: Option<RowKind>,
    rows: u32,
    /// Its own length, without tag and length.
    len: usize,
}

/// Room made for a segment before its first entry, at most: what was foreseen may be wrong by much.
const ROOM_BYTES_MAX: usize = 1 << 20;

/// Room for the parts of an entry besides its rows, unless names are long or a GTID set is large.
const PARTS_BYTES: usize = 512;

fn header_gtid(stamp: &GtidStamp) -> HeaderGtid<'_> {
    HeaderGtid {
        set: &stamp.set,
        current: stamp.current.as_deref(),
        sequence_number: stamp.sequence_number,
        last_committed: stamp.last_committed,
    }
}

const fn rows_name(op: RowOp) -> &'static str {
    match op {
        RowOp::Insert => "WRITE_ROWS",
        RowOp::Update => "UPDATE_ROWS",
        RowOp::Delete => "DELETE_ROWS",
    }
}

const fn event_name(item: &Item) -> &'static str {
    match &item.body {
        ItemBody::Begin { .. } => "the begin of a transaction",
        ItemBody::End { .. } => "the end of a transaction",
        ItemBody::Rows { op, .. } => rows_name(*op),
        ItemBody::Statement(_) => "QUERY",
    }
}

#[cfg(test)]
mod tests;
