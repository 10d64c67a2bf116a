//! TABLE_MAP and rows events, from the MySQL manual: what a table looks like, and what is in its rows.
//!
//! Shares no code with canald's decoder. Full row images alone (`binlog_row_image=FULL`).

use super::event::{
    Event, UTF8MB4_0900_AI_CI, UTF8MB4_GENERAL_CI, kind, put_lenenc, put_lenenc_bytes,
};
use super::tables::{Shape, Touched};
use super::value::{Kind, Moment, Value};
use crate::model::history::RowKind;
use crate::plan::Flavor;

const TABLE_ID_BYTES: usize = 6;
/// The sizes of VARCHAR(64) in utf8mb4.
const NAME_BYTES_MAX: u16 = 64 * 4;
/// Of a VARCHAR that may have 256 bytes or more.
const LONG_VARCHAR_LENGTH_BYTES: usize = 2;
const PRECISION: u8 = 12;
const SCALE: u8 = 3;
const FRACTION_DIGITS: u8 = 3;
const MEDIUMTEXT_LENGTH_BYTES: u8 = 3;

/// How much a TABLE_MAP says: `binlog_row_metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metadata {
    /// Types alone.
    NoLog,
    /// Signedness and character sets too.
    Minimal,
    /// Names and the key too.
    Full,
}

impl Metadata {
    /// As the variable spells it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NoLog => "NO_LOG",
            Self::Minimal => "MINIMAL",
            Self::Full => "FULL",
        }
    }
}

impl Kind {
    /// The number of its type, and what a TABLE_MAP says of its size.
    fn binlog_type(self) -> (u8, Vec<u8>) {
        const LONG: u8 = 3;
        const LONGLONG: u8 = 8;
        const VARCHAR: u8 = 15;
        const DATETIME2: u8 = 18;
        const NEWDECIMAL: u8 = 246;
        const BLOB: u8 = 252;
        match self {
            Self::Id => (LONGLONG, Vec::new()),
            Self::Revision | Self::Stock | Self::Added(_) => (LONG, Vec::new()),
            Self::Name => (VARCHAR, NAME_BYTES_MAX.to_le_bytes().to_vec()),
            Self::Amount => (NEWDECIMAL, vec![PRECISION, SCALE]),
            Self::MadeAt => (DATETIME2, vec![FRACTION_DIGITS]),
            Self::Note => (BLOB, vec![MEDIUMTEXT_LENGTH_BYTES]),
        }
    }

    /// Whether it is unsigned; none for what is no number.
    const fn unsigned(self) -> Option<bool> {
        match self {
            Self::Id | Self::Revision | Self::Amount | Self::Added(_) => Some(false),
            Self::Stock => Some(true),
            Self::Name | Self::MadeAt | Self::Note => None,
        }
    }
}

/// TABLE_MAP.
pub(super) fn table_map(now: u32, shape: &Shape, flavor: Flavor, metadata: Metadata) -> Event {
    const LENGTHS_ARE_EXACT: u16 = 1;
    let mut body = shape.map_id.to_le_bytes()[..TABLE_ID_BYTES].to_vec();
    body.extend_from_slice(&LENGTHS_ARE_EXACT.to_le_bytes());
    for name in [&shape.table.schema, &shape.table.name] {
        put_lenenc_bytes(&mut body, name.as_bytes());
        body.push(0);
    }
    put_lenenc(&mut body, shape.kinds.len() as u64);
    let types = shape.kinds.iter().map(|kind| kind.binlog_type());
    let (types, sizes): (Vec<u8>, Vec<Vec<u8>>) = types.unzip();
    body.extend_from_slice(&types);
    put_lenenc_bytes(&mut body, &sizes.concat());
    body.extend_from_slice(&low_bits_first(
        shape.kinds.iter().map(|kind| kind.is_nullable()),
    ));
    if metadata != Metadata::NoLog {
        put_metadata(&mut body, shape, flavor, metadata);
    }
    Event::new(kind::TABLE_MAP, now, body)
}

fn put_metadata(body: &mut Vec<u8>, shape: &Shape, flavor: Flavor, metadata: Metadata) {
    const SIGNEDNESS: u8 = 1;
    const DEFAULT_CHARSET: u8 = 2;
    const COLUMN_NAME: u8 = 4;
    const SIMPLE_PRIMARY_KEY: u8 = 8;
    const VISIBILITY: u8 = 12;
    let mut put = |code: u8, content: &[u8]| {
        body.push(code);
        put_lenenc_bytes(body, content);
    };
    let unsigned = shape.kinds.iter().filter_map(|kind| kind.unsigned());
    put(SIGNEDNESS, &high_bits_first(unsigned));
    let collation = match flavor {
        Flavor::Mysql => UTF8MB4_0900_AI_CI,
        Flavor::Mariadb => UTF8MB4_GENERAL_CI,
    };
    let mut default = Vec::new();
    put_lenenc(&mut default, u64::from(collation));
    put(DEFAULT_CHARSET, &default);
    if metadata != Metadata::Full {
        return;
    }
    let mut names = Vec::new();
    for kind in &shape.kinds {
        put_lenenc_bytes(&mut names, kind.name().as_bytes());
    }
    put(COLUMN_NAME, &names);
    let mut key = Vec::new();
    for (index, _) in shape
        .kinds
        .iter()
        .enumerate()
        .filter(|(_, kind)| kind.is_key())
    {
        put_lenenc(&mut key, index as u64);
    }
    put(SIMPLE_PRIMARY_KEY, &key);
    if flavor == Flavor::Mysql {
        put(
            VISIBILITY,
            &high_bits_first(shape.kinds.iter().map(|_| true)),
        );
    }
}

/// One rows event; `is_last` of its statement.
pub(super) fn rows(
    now: u32,
    shape: &Shape,
    row_kind: RowKind,
    touched: &[Touched],
    flavor: Flavor,
    is_last: bool,
) -> Event {
    const STATEMENT_END: u16 = 1;
    /// The length of nothing, counting itself.
    const NO_EXTRA: u16 = 2;
    let flags = if is_last { STATEMENT_END } else { 0 };
    let mut body = shape.map_id.to_le_bytes()[..TABLE_ID_BYTES].to_vec();
    body.extend_from_slice(&flags.to_le_bytes());
    if flavor == Flavor::Mysql {
        body.extend_from_slice(&NO_EXTRA.to_le_bytes());
    }
    put_lenenc(&mut body, shape.kinds.len() as u64);
    let all = low_bits_first(shape.kinds.iter().map(|_| true));
    body.extend_from_slice(&all);
    if row_kind == RowKind::Update {
        body.extend_from_slice(&all);
    }
    for row in touched {
        for (id, rev) in [row.before, row.after].into_iter().flatten() {
            put_image(&mut body, shape, id, rev);
        }
    }
    Event::new(rows_kind(row_kind, flavor), now, body)
}

/// Version 2 on MySQL, version 1 on MariaDB.
const fn rows_kind(row_kind: RowKind, flavor: Flavor) -> u8 {
    match (row_kind, flavor) {
        (RowKind::Insert, Flavor::Mysql) => 30,
        (RowKind::Update, Flavor::Mysql) => 31,
        (RowKind::Delete, Flavor::Mysql) => 32,
        (RowKind::Insert, Flavor::Mariadb) => 23,
        (RowKind::Update, Flavor::Mariadb) => 24,
        (RowKind::Delete, Flavor::Mariadb) => 25,
    }
}

fn put_image(body: &mut Vec<u8>, shape: &Shape, id: u64, rev: u32) {
    let values = shape.values(id, rev);
    body.extend_from_slice(&low_bits_first(
        values.iter().map(|value| *value == Value::Null),
    ));
    for (kind, value) in shape.kinds.iter().zip(&values) {
        put_value(body, *kind, value);
    }
}

fn put_value(body: &mut Vec<u8>, kind: Kind, value: &Value) {
    match value {
        Value::Null => {}
        Value::Big(n) => body.extend_from_slice(&n.to_le_bytes()),
        Value::Int(n) => body.extend_from_slice(&n.to_le_bytes()),
        Value::Unsigned(n) => body.extend_from_slice(&n.to_le_bytes()),
        Value::Text(text) => {
            let bytes = if kind == Kind::Note {
                usize::from(MEDIUMTEXT_LENGTH_BYTES)
            } else {
                LONG_VARCHAR_LENGTH_BYTES
            };
            body.extend_from_slice(&(text.len() as u64).to_le_bytes()[..bytes]);
            body.extend_from_slice(text.as_bytes());
        }
        Value::Thousandths(n) => body.extend_from_slice(&decimal(*n)),
        Value::Moment(moment) => body.extend_from_slice(&datetime(*moment)),
    }
}

/// A DECIMAL(12,3) of so many thousandths. Nine digits before the point are four bytes, three behind it
/// two, each group big-endian; the first bit is set, and all are inverted if the number is negative.
fn decimal(thousandths: i64) -> [u8; 6] {
    const SIGN: u8 = 0x80;
    let magnitude = thousandths.unsigned_abs();
    let whole = u32::try_from(magnitude / 1000).expect("DECIMAL(12,3) has nine digits there");
    let fraction = (magnitude % 1000) as u16;
    let mut out = [0; 6];
    out[..4].copy_from_slice(&whole.to_be_bytes());
    out[4..].copy_from_slice(&fraction.to_be_bytes());
    out[0] |= SIGN;
    if thousandths < 0 {
        out = out.map(|byte| !byte);
    }
    out
}

/// A DATETIME(3): five bytes big-endian, counted from the middle, then two of ten-thousandths.
fn datetime(m: Moment) -> [u8; 7] {
    const MIDDLE: u64 = 0x80_0000_0000;
    const MONTHS: u64 = 13;
    let days = (u64::from(m.year) * MONTHS + u64::from(m.month)) << 5 | u64::from(m.day);
    let time = u64::from(m.hour) << 12 | u64::from(m.minute) << 6 | u64::from(m.second);
    let packed = (MIDDLE + (days << 17 | time)).to_be_bytes();
    let fraction = u16::try_from(m.milli * 10)
        .expect("below ten thousand")
        .to_be_bytes();
    let mut out = [0; 7];
    out[..5].copy_from_slice(&packed[3..]);
    out[5..].copy_from_slice(&fraction);
    out
}

/// Bits, the first in the lowest place of the first byte.
fn low_bits_first(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    pack(bits, |index| 1 << index)
}

/// Bits, the first in the highest place of the first byte.
fn high_bits_first(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    pack(bits, |index| 0x80 >> index)
}

fn pack(bits: impl Iterator<Item = bool>, place: impl Fn(usize) -> u8) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, bit) in bits.enumerate() {
        if index % 8 == 0 {
            out.push(0);
        }
        let last = out
            .last_mut()
            .expect("one was pushed for the first of eight");
        *last |= if bit { place(index % 8) } else { 0 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_packed_as_in_the_manual() {
        assert_eq!(decimal(-1_500), [0x7f, 0xff, 0xff, 0xfe, 0xfe, 0x0b]);
        assert_eq!(decimal(0), [0x80, 0, 0, 0, 0, 0]);
        assert_eq!(decimal(999_999_999_999), [0xbb, 0x9a, 0xc9, 0xff, 3, 0xe7]);
    }

    #[test]
    fn moments_are_packed_as_in_the_manual() {
        let moment = Moment {
            year: 2024,
            month: 1,
            day: 2,
            hour: 3,
            minute: 4,
            second: 5,
            milli: 678,
        };
        let bytes = [0x99, 0xb2, 0x44, 0x31, 0x05, 0x1a, 0x7c];
        assert_eq!(datetime(moment), bytes);
        assert_eq!(datetime(Moment::default()), [0x80, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn bits_lie_in_both_orders() {
        let bits = || [true, false, false, false, false, false, false, false, true].into_iter();
        assert_eq!(low_bits_first(bits()), [0x01, 0x01]);
        assert_eq!(high_bits_first(bits()), [0x80, 0x80]);
    }
}
