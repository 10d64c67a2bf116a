//! The rows of one event: images to `RowData` (wire-protocol reference §12.4, binlog-parser reference
//! §2.6).

use alloc::vec::Vec;

use crate::binlog::decimal::write_decimal;
use crate::binlog::float::{write_f32, write_f64};
use crate::binlog::json::{Frame, write_json};
use crate::binlog::rows::RowOp;
use crate::binlog::temporal::{
    ZoneClock, write_date, write_datetime, write_old_datetime, write_old_time, write_old_timestamp,
    write_time, write_timestamp,
};
use crate::binlog::value::{
    Window, be_uint, le_uint, write_i64, write_inet4, write_inet6, write_u64, write_uuid,
    write_year,
};
use crate::config::Zone;
use crate::entry::wire::{ColumnHead, bytes_tag, field};
use crate::mysql::charset::write_iso_8859_1;
use crate::pipeline::decode::SEGMENT_BYTES_MAX;
use crate::pipeline::plan::{ColumnPlan, Format, Guess, TablePlan, set_bits};
use crate::read::{ReadError, ReadProblem, Reader};
use crate::write::{VARINT_MAX, Writer, varint_len};

/// What is used again for every row of a job.
#[derive(Debug)]
pub(super) struct Scratch<'j> {
    /// Columns present in the first bitmap: the before image, or the only one.
    first: Columns,
    /// Columns present in the after image of updates.
    second: Columns,
    /// By column: what the before image of the row in hand has.
    before: Vec<Before<'j>>,
    values: ValueScratch<'j>,
}

#[derive(Debug)]
struct ValueScratch<'j> {
    clock: ZoneClock<'j>,
    json: Vec<Frame>,
}

/// A column in the before image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before<'j> {
    Missing,
    Null,
    Value(&'j [u8]),
}

impl<'j> Scratch<'j> {
    pub(super) const fn new(zone: &'j Zone) -> Self {
        let values = ValueScratch {
            clock: ZoneClock::new(zone),
            json: Vec::new(),
        };
        Self {
            first: Columns::new(),
            second: Columns::new(),
            before: Vec::new(),
            values,
        }
    }
}

/// The columns that an image has.
#[derive(Debug)]
struct Columns {
    present: Present,
    /// Their places, lowest first, if they are not all.
    listed: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Present {
    All,
    Listed,
}

impl Columns {
    const fn new() -> Self {
        Self {
            present: Present::Listed,
            listed: Vec::new(),
        }
    }

    /// Notes the first `count` bits of `bitmap`. What is behind them means nothing.
    fn read(&mut self, bitmap: &[u8], count: usize) {
        if set_bits(bitmap, count) == count {
            self.present = Present::All;
            return;
        }
        self.present = Present::Listed;
        self.listed.clear();
        let places = (0..count).filter(|i| bitmap[i / 8] >> (i % 8) & 1 == 1);
        self.listed.extend(places.map(|i| i as u32));
    }

    fn of<'a>(&'a self, plan: &'a TablePlan) -> &'a [u32] {
        match self.present {
            Present::All => plan.all(),
            Present::Listed => &self.listed,
        }
    }
}

/// Why an event's rows were not all written.
#[derive(Debug)]
pub(super) enum RowError {
    Row {
        row: u32,
        column: Option<usize>,
        error: ReadError,
    },
    TooLarge,
}

impl From<ReadError> for RowError {
    fn from(error: ReadError) -> Self {
        Self::Row {
            row: 0,
            column: None,
            error,
        }
    }
}

/// A rows event whose bitmaps were read.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowsEvent<'j> {
    op: RowOp,
    plan: &'j TablePlan,
    /// The event from its column count on.
    data: &'j [u8],
    /// Where its rows start.
    rows_at: usize,
}

/// Which image of which change a column belongs to: decides its tag and its `updated`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Inserted,
    Deleted,
    Old,
    New,
}

impl Side {
    const fn tag(self) -> u8 {
        match self {
            Self::Inserted | Self::New => bytes_tag(field::row_data::AFTER_COLUMNS),
            Self::Deleted | Self::Old => bytes_tag(field::row_data::BEFORE_COLUMNS),
        }
    }
}

impl<'j> RowsEvent<'j> {
    /// Reads column count and bitmaps.
    pub(super) fn parse(
        op: RowOp,
        plan: &'j TablePlan,
        data: &'j [u8],
        scratch: &mut Scratch<'j>,
    ) -> Result<Self, RowError> {
        let mut r = Reader::new(data);
        let count = r.length("column count")?;
        if count != plan.column_count() {
            return Err(r
                .invalid("column count", "not that of the table map")
                .into());
        }
        let bitmap_bytes = count.div_ceil(8);
        scratch
            .first
            .read(r.bytes(bitmap_bytes, "column bitmap")?, count);
        if op == RowOp::Update {
            scratch
                .second
                .read(r.bytes(bitmap_bytes, "after column bitmap")?, count);
            scratch.before.clear();
            scratch.before.resize(count, Before::Missing);
        }
        Ok(Self {
            op,
            plan,
            data,
            rows_at: r.position(),
        })
    }

    /// Writes a `RowData` for each row, and says how many there were.
    pub(super) fn encode(
        &self,
        guess: Guess,
        scratch: &mut Scratch<'j>,
        w: &mut Writer,
    ) -> Result<u32, RowError> {
        let first_at = w.len();
        let mut rest = &self.data[self.rows_at..];
        // A row without columns has no bytes: the server writes one such row when an INSERT names none.
        let mut pending = !rest.is_empty() || scratch.first.of(self.plan).is_empty();
        let mut rows = 0u32;
        let mut width = varint_len(guess.bytes as u64 / u64::from(guess.rows.max(1)));
        while pending {
            let left = rest.len();
            let at = w.len();
            w.reserve(1 + VARINT_MAX);
            w.advance(1 + width);
            let written = self.row(&mut rest, scratch, w);
            written.map_err(|(column, error)| RowError::Row {
                row: rows,
                column,
                error,
            })?;
            w.set(at, bytes_tag(field::row_change::ROW_DATAS));
            width = w.fill_varint(at + 1, width, w.len() - at - 1 - width);
            if w.len() > SEGMENT_BYTES_MAX {
                return Err(RowError::TooLarge);
            }
            rows += 1;
            pending = !rest.is_empty();
            if pending && rest.len() == left {
                let error = self.error("row", rest, ReadProblem::Invalid("rows without columns"));
                return Err(RowError::Row {
                    row: rows,
                    column: None,
                    error,
                });
            }
            if rows == 1 && pending {
                let like_this =
                    (w.len() - at) as u64 * rest.len() as u64 / (left - rest.len()) as u64;
                let wanted = (like_this + like_this / 32).min(SEGMENT_BYTES_MAX as u64);
                w.reserve(wanted as usize);
            }
        }
        debug_assert!(w.len() >= first_at);
        Ok(rows)
    }

    /// Writes the images of one row.
    #[inline]
    fn row(
        &self,
        rest: &mut &'j [u8],
        scratch: &mut Scratch<'j>,
        w: &mut Writer,
    ) -> Result<(), (Option<usize>, ReadError)> {
        let Scratch {
            first,
            second,
            before,
            values,
        } = scratch;
        let (first, second) = (first.of(self.plan), second.of(self.plan));
        match self.op {
            RowOp::Insert => self.image(Side::Inserted, first, rest, before, values, w),
            RowOp::Delete => self.image(Side::Deleted, first, rest, before, values, w),
            RowOp::Update => {
                self.image(Side::Old, first, rest, before, values, w)?;
                self.image(Side::New, second, rest, before, values, w)
            }
        }
    }

    fn image(
        &self,
        side: Side,
        columns: &[u32],
        rest: &mut &'j [u8],
        before: &mut [Before<'j>],
        values: &mut ValueScratch<'_>,
        w: &mut Writer,
    ) -> Result<(), (Option<usize>, ReadError)> {
        let Some((nulls, behind)) = rest.split_at_checked(columns.len().div_ceil(8)) else {
            let needed = columns.len().div_ceil(8);
            let problem = ReadProblem::Truncated {
                needed,
                left: rest.len(),
            };
            return Err((None, self.error("null bitmap", rest, problem)));
        };
        *rest = behind;
        for (i, &index) in columns.iter().enumerate() {
            let index = index as usize;
            let column = &self.plan.columns[index];
            let raw = if nulls[i / 8] >> (i % 8) & 1 == 1 {
                None
            } else {
                let raw = column.width.take(rest);
                Some(raw.map_err(|problem| (Some(index), self.error("value", rest, problem)))?)
            };
            let updated = match side {
                Side::Inserted => true,
                Side::Deleted => false,
                Side::Old => {
                    before[index] = raw.map_or(Before::Null, Before::Value);
                    false
                }
                Side::New => before[index] != raw.map_or(Before::Null, Before::Value),
            };
            if !column.kept {
                continue;
            }
            let put = Put {
                plan: self.plan,
                column,
                tag: side.tag(),
                updated,
            };
            let written = match raw {
                None => {
                    put.null(w);
                    Ok(())
                }
                Some(raw) => put.value(raw, values, w),
            };
            written.map_err(|error| (Some(index), self.in_value(error, raw, rest)))?;
        }
        Ok(())
    }

    /// An error about what `rest` begins with.
    #[cold]
    fn error(&self, field: &'static str, rest: &[u8], problem: ReadProblem) -> ReadError {
        ReadError {
            field,
            at: self.data.len() - rest.len(),
            problem,
        }
    }

    /// An error inside the value `raw`, which was just taken from `rest`.
    #[cold]
    fn in_value(&self, error: ReadError, raw: Option<&[u8]>, rest: &[u8]) -> ReadError {
        let at = self.data.len() - rest.len() - raw.map_or(0, <[u8]>::len);
        ReadError {
            at: at + error.at,
            ..error
        }
    }
}

/// One column to be written.
struct Put<'a> {
    plan: &'a TablePlan,
    column: &'a ColumnPlan,
    tag: u8,
    updated: bool,
}

impl Put<'_> {
    #[inline]
    fn null(&self, w: &mut Writer) {
        let column = self.column;
        w.reserve(column.room);
        let at = w.len();
        let width = varint_len(u64::from(column.head_null.len + column.tail.len));
        w.advance(1 + width);
        self.plan.put(w, column.head_null);
        w.set(
            w.len() - ColumnHead::NULL_UPDATED_FROM_END,
            u8::from(self.updated),
        );
        self.plan.put(w, column.tail);
        self.close(at, width, w);
    }

    #[inline]
    fn value(
        &self,
        raw: &[u8],
        values: &mut ValueScratch<'_>,
        w: &mut Writer,
    ) -> Result<(), ReadError> {
        let column = self.column;
        w.reserve(column.room);
        let at = w.len();
        // Where the value's own length says that of its text, the guess is nearly always right.
        let (width, value_width) = if column.format.is_bounded() {
            (column.len_width, 1)
        } else {
            let value_width = varint_len(raw.len() as u64);
            (
                varint_len((column.fixed_len() + value_width + raw.len()) as u64),
                value_width,
            )
        };
        w.advance(1 + width);
        let promoted = column.format.promotes() && raw.last().is_some_and(|&high| high & 0x80 != 0);
        self.plan.put(
            w,
            if promoted {
                column.head_promoted
            } else {
                column.head
            },
        );
        w.set(
            w.len() - ColumnHead::UPDATED_FROM_END,
            u8::from(self.updated),
        );
        let value_at = w.len();
        w.advance(value_width);
        values.put(&column.format, raw, w)?;
        w.fill_varint(value_at, value_width, w.len() - value_at - value_width);
        w.reserve(column.tail_room());
        self.plan.put(w, column.tail);
        self.close(at, width, w);
        Ok(())
    }

    #[inline]
    fn close(&self, at: usize, width: usize, w: &mut Writer) {
        w.set(at, self.tag);
        w.fill_varint(at + 1, width, w.len() - at - 1 - width);
    }
}

/// The value's bytes as an array; the plan has taken so many.
#[inline]
fn fixed<const N: usize>(raw: &[u8]) -> [u8; N] {
    *raw.first_chunk()
        .expect("a value has the width of its plan")
}

/// The upper three bytes of a word, so that its sign is that of the value.
#[inline]
fn upper24(raw: &[u8]) -> [u8; 4] {
    let [a, b, c] = fixed(raw);
    [0, a, b, c]
}

impl ValueScratch<'_> {
    /// Writes the text of one value; for bounded texts there is a window.
    #[inline]
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "put_bounded takes all the rest"
    )]
    fn put(&mut self, format: &Format, raw: &[u8], w: &mut Writer) -> Result<(), ReadError> {
        match format {
            Format::Text(charset) => charset.write(raw, w),
            Format::Binary => write_iso_8859_1(raw, w),
            Format::Json(charset) => write_json(raw, charset, &mut self.json, w)?,
            Format::EnumLabel(members) => {
                let label = match le_uint(raw) as usize {
                    // The invalid value is shown as the empty text that it is.
                    0 => Some(""),
                    n => members.0.get(n - 1).map(|label| &**label),
                };
                let problem = ReadProblem::Invalid("a number beyond the members");
                let label = label.ok_or(ReadError {
                    field: "ENUM",
                    at: 0,
                    problem,
                })?;
                w.put(label.as_bytes());
            }
            Format::SetLabels(members) => {
                let mask = le_uint(raw);
                let beyond = mask.checked_shr(members.0.len() as u32).unwrap_or(0);
                if beyond != 0 {
                    let problem = ReadProblem::Invalid("a bit beyond the members");
                    return Err(ReadError {
                        field: "SET",
                        at: 0,
                        problem,
                    });
                }
                let labels = members
                    .0
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| (mask >> i) & 1 == 1);
                for (nth, (_, label)) in labels.enumerate() {
                    if nth > 0 {
                        w.put_u8(b',');
                    }
                    w.put(label.as_bytes());
                }
            }
            bounded => {
                let len = self.put_bounded(bounded, raw, w.window());
                w.advance(len.map_err(|problem| ReadError {
                    field: "value",
                    at: 0,
                    problem,
                })?);
            }
        }
        Ok(())
    }

    #[inline]
    fn put_bounded(
        &mut self,
        format: &Format,
        raw: &[u8],
        to: &mut Window,
    ) -> Result<usize, ReadProblem> {
        Ok(match format {
            Format::Int8 => write_i64(to, 0, i8::from_le_bytes(fixed(raw)).into()),
            Format::Int16 => write_i64(to, 0, i16::from_le_bytes(fixed(raw)).into()),
            Format::Int24 => write_i64(to, 0, (i32::from_le_bytes(upper24(raw)) >> 8).into()),
            Format::Int32 => write_i64(to, 0, i32::from_le_bytes(fixed(raw)).into()),
            Format::Int64 => write_i64(to, 0, i64::from_le_bytes(fixed(raw))),
            Format::Uint8 => write_u64(to, 0, u8::from_le_bytes(fixed(raw)).into()),
            Format::Uint16 => write_u64(to, 0, u16::from_le_bytes(fixed(raw)).into()),
            Format::Uint24 => write_u64(to, 0, (u32::from_le_bytes(upper24(raw)) >> 8).into()),
            Format::Uint32 => write_u64(to, 0, u32::from_le_bytes(fixed(raw)).into()),
            Format::Uint64 => write_u64(to, 0, u64::from_le_bytes(fixed(raw))),
            Format::Float => write_f32(to, f32::from_le_bytes(fixed(raw))),
            Format::Double => write_f64(to, f64::from_le_bytes(fixed(raw))),
            Format::Decimal(shape) => return write_decimal(to, raw, *shape),
            Format::Bits => write_u64(to, 0, be_uint(raw)),
            Format::Number => write_u64(to, 0, le_uint(raw)),
            Format::Year => return write_year(to, raw),
            Format::Date => return write_date(to, raw),
            Format::Time(fraction) => return write_time(to, raw, *fraction),
            Format::DateTime(fraction) => return write_datetime(to, raw, *fraction),
            Format::Timestamp(fraction) => {
                return write_timestamp(to, raw, *fraction, &mut self.clock);
            }
            Format::OldTime => return write_old_time(to, raw),
            Format::OldDateTime => return write_old_datetime(to, raw),
            Format::OldTimestamp => return write_old_timestamp(to, raw, &mut self.clock),
            Format::Inet4 => return write_inet4(to, raw),
            Format::Inet6 => return write_inet6(to, raw),
            Format::Uuid => return write_uuid(to, raw),
            Format::Text(_)
            | Format::Binary
            | Format::Json(_)
            | Format::EnumLabel(_)
            | Format::SetLabels(_) => unreachable!("their text has no bound"),
        })
    }
}
