//! What is in the rows: each value follows from table, id, revision and column alone, so that a row that
//! arrives somewhere says by itself whether it is whole.
//!
//! An id is never given twice in a table. A revision holds, beside a count, how long the row's `note` is.
//! A column added by DDL is called `cN`, where ids below N are of rows that were there before it: in them
//! it is NULL for ever.

use std::fmt::Write as _;

use crate::model::history::Column;
use crate::plan::Flavor;

/// Bits of a revision that hold the class of the note's length; the others count.
const CLASS_BITS: u32 = 5;
/// The greatest class: notes below 8 MiB, so that two of them fit into a MEDIUMTEXT's bounds with ease.
const CLASS_MAX: u32 = 23;
/// Revisions fit into an INT: after so many changes of a table its counts begin again.
const COUNT_MASK: u32 = (1 << (31 - CLASS_BITS)) - 1;
/// One made-up date in so many is the zero date.
const ZERO_DATE_ONE_IN: u64 = 64;

/// The columns that every table has from the beginning.
pub(super) const FIRST_COLUMNS: [Kind; 7] = [
    Kind::Id,
    Kind::Revision,
    Kind::Name,
    Kind::Amount,
    Kind::MadeAt,
    Kind::Note,
    Kind::Stock,
];

/// A column, by what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `id BIGINT PRIMARY KEY`
    Id,
    /// `rev INT NOT NULL`
    Revision,
    /// `name VARCHAR(64) NOT NULL`, with characters of one to four bytes.
    Name,
    /// `amount DECIMAL(12,3) NOT NULL`
    Amount,
    /// `made_at DATETIME(3) NOT NULL`
    MadeAt,
    /// `note MEDIUMTEXT NOT NULL`
    Note,
    /// `stock INT UNSIGNED`
    Stock,
    /// `cN INT`, added by DDL when N was the next id.
    Added(u64),
}

/// A value, before anybody has written it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// NULL
    Null,
    /// A BIGINT.
    Big(i64),
    /// An INT.
    Int(i32),
    /// An INT UNSIGNED.
    Unsigned(u32),
    /// A VARCHAR or MEDIUMTEXT.
    Text(String),
    /// A DECIMAL(12,3), in thousandths.
    Thousandths(i64),
    /// A DATETIME(3).
    Moment(Moment),
}

/// A date and a time of day, as a calendar shows it; all zero for the zero date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) year: u32,
    pub(super) month: u32,
    pub(super) day: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
    pub(super) milli: u32,
}

impl Kind {
    /// The column of this name.
    pub(super) fn of(column: &str) -> Option<Self> {
        let first = FIRST_COLUMNS.into_iter().find(|kind| kind.name() == column);
        first.or_else(|| Some(Self::Added(column.strip_prefix('c')?.parse().ok()?)))
    }

    /// Its name.
    pub(super) fn name(self) -> String {
        match self {
            Self::Id => "id".into(),
            Self::Revision => "rev".into(),
            Self::Name => "name".into(),
            Self::Amount => "amount".into(),
            Self::MadeAt => "made_at".into(),
            Self::Note => "note".into(),
            Self::Stock => "stock".into(),
            Self::Added(first) => format!("c{first}"),
        }
    }

    /// Its type as `information_schema.columns` of a flavour spells it.
    pub(super) const fn sql_type(self, flavor: Flavor) -> &'static str {
        match (self, flavor) {
            (Self::Id, Flavor::Mysql) => "bigint",
            (Self::Id, Flavor::Mariadb) => "bigint(20)",
            (Self::Revision | Self::Added(_), Flavor::Mysql) => "int",
            (Self::Revision | Self::Added(_), Flavor::Mariadb) => "int(11)",
            (Self::Name, _) => "varchar(64)",
            (Self::Amount, _) => "decimal(12,3)",
            (Self::MadeAt, _) => "datetime(3)",
            (Self::Note, _) => "mediumtext",
            (Self::Stock, Flavor::Mysql) => "int unsigned",
            (Self::Stock, Flavor::Mariadb) => "int(10) unsigned",
        }
    }

    /// Whether it is the primary key.
    pub(super) const fn is_key(self) -> bool {
        matches!(self, Self::Id)
    }

    /// Whether it may be NULL.
    pub(super) const fn is_nullable(self) -> bool {
        matches!(self, Self::Stock | Self::Added(_))
    }

    /// Whether it holds text, all of which is utf8mb4.
    pub(super) const fn is_text(self) -> bool {
        matches!(self, Self::Name | Self::Note)
    }

    /// As the history tells it.
    pub(super) fn column(self, flavor: Flavor) -> Column {
        Column {
            name: self.name(),
            sql_type: self.sql_type(flavor).into(),
            key: self.is_key(),
        }
    }

    const fn salt(self) -> u64 {
        match self {
            Self::Id => 1,
            Self::Revision => 2,
            Self::Name => 3,
            Self::Amount => 4,
            Self::MadeAt => 5,
            Self::Note => 6,
            Self::Stock => 7,
            Self::Added(first) => 1000 + first,
        }
    }

    /// What is in it.
    pub(super) fn value(self, table: u8, id: u64, rev: u32) -> Value {
        let drawn = mix(mix(mix(u64::from(table), id), u64::from(rev)), self.salt());
        match self {
            Self::Id => Value::Big(id.cast_signed()),
            Self::Revision => Value::Int(rev.cast_signed()),
            Self::Name => Value::Text(name(drawn)),
            Self::Amount => Value::Thousandths(thousandths(drawn)),
            Self::MadeAt => Value::Moment(moment(drawn)),
            Self::Note => Value::Text(note(table, id, rev, drawn)),
            Self::Stock if drawn.is_multiple_of(4) => Value::Null,
            Self::Stock => Value::Unsigned((drawn >> 32) as u32),
            Self::Added(first) if id < first => Value::Null,
            Self::Added(_) => Value::Int(((drawn >> 32) as u32).cast_signed()),
        }
    }
}

impl Value {
    /// As a client must see it; none for NULL.
    pub(super) fn text(&self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Big(n) => n.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Unsigned(n) => n.to_string(),
            Self::Text(text) => text.clone(),
            Self::Thousandths(n) => {
                let (sign, n) = (if *n < 0 { "-" } else { "" }, n.unsigned_abs());
                format!("{sign}{}.{:03}", n / 1000, n % 1000)
            }
            Self::Moment(m) => format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
                m.year, m.month, m.day, m.hour, m.minute, m.second, m.milli
            ),
        })
    }
}

/// What a client must see in a column of row `id` of table `t{table}` at revision `rev`: canal's text, or
/// none for NULL and for a column that no table ever has.
#[must_use]
pub fn expected(table: u8, id: u64, rev: u32, column: &str) -> Option<String> {
    Kind::of(column)?.value(table, id, rev).text()
}

/// The revision that is the `count`-th change of a table and has a note of about `bytes` bytes: at least
/// half, at most twice as many.
pub(super) fn revision(count: u32, bytes: u32) -> u32 {
    let class = (u32::BITS - bytes.leading_zeros()).min(CLASS_MAX);
    (count & COUNT_MASK) << CLASS_BITS | class
}

/// A number that follows from two others and looks like chance: a round of splitmix64.
pub(super) const fn mix(a: u64, b: u64) -> u64 {
    let mut z = (a ^ b.rotate_left(32)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn name(drawn: u64) -> String {
    const WORDS: [&str; 8] = [
        "",
        "plain",
        "Übergröße",
        "数据库",
        "🦀 crab",
        "O'Hara \\ \"quoted\"",
        "tab\tand\nline",
        "Ωmega %s {}",
    ];
    let word = WORDS[(drawn % 8) as usize];
    match drawn >> 8 & 3 {
        0 => word.into(),
        more => format!("{word} {}", drawn >> (16 + 8 * more)),
    }
}

/// Of any number of digits that DECIMAL(12,3) has.
const fn thousandths(drawn: u64) -> i64 {
    const DIGITS: u64 = 12;
    let digits = 1 + (drawn % DIGITS) as u32;
    let magnitude = ((drawn >> 8) % 10_u64.pow(digits)).cast_signed();
    if drawn >> 63 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

fn moment(drawn: u64) -> Moment {
    if drawn.is_multiple_of(ZERO_DATE_ONE_IN) {
        return Moment::default();
    }
    let part = |shift: u32, bound: u64| ((drawn >> shift) % bound) as u32;
    Moment {
        year: 1000 + part(20, 9000),
        month: 1 + part(8, 12),
        day: 1 + part(12, 28),
        hour: part(33, 24),
        minute: part(38, 60),
        second: part(44, 60),
        milli: part(50, 1000),
    }
}

fn note(table: u8, id: u64, rev: u32, drawn: u64) -> String {
    let least = match rev & ((1 << CLASS_BITS) - 1) {
        0 => return String::new(),
        class => 1_u64 << (class - 1),
    };
    let bytes = (least + drawn % least) as usize;
    let unit = format!("t{table}/{id}@{rev} {drawn:016x}. ");
    let mut text = String::with_capacity(bytes + unit.len());
    while text.len() < bytes {
        // Numbered, so that a piece that is left out shows.
        let at = text.len();
        write!(text, "{at} {unit}").expect("a String takes all that is written to it");
    }
    text.truncate(bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_known_by_its_id_and_revision() {
        let rev = revision(7, 100);
        assert_eq!(expected(1, 42, rev, "id").unwrap(), "42");
        assert_eq!(expected(1, 42, rev, "rev").unwrap(), rev.to_string());
        assert_eq!(
            expected(1, 42, rev, "note"),
            expected(1, 42, rev, "note"),
            "the same again"
        );
        assert_ne!(expected(1, 42, rev, "note"), expected(2, 42, rev, "note"));
        assert_ne!(
            expected(1, 42, rev, "note"),
            expected(1, 42, revision(8, 100), "note")
        );
        assert_eq!(expected(1, 42, rev, "no_such"), None);
    }

    #[test]
    fn a_note_is_about_as_long_as_was_asked() {
        for asked in [0, 1, 2, 100, 4096, 70_000] {
            let bytes = expected(0, 9, revision(1, asked), "note").unwrap().len() as u32;
            assert!(
                (asked / 2..=asked * 2).contains(&bytes),
                "{asked} was asked, {bytes} came"
            );
        }
    }

    #[test]
    fn an_added_column_is_null_in_rows_of_before() {
        assert_eq!(expected(0, 56, 0, "c57"), None);
        assert!(expected(0, 58, 0, "c57").is_some());
        assert_ne!(expected(0, 58, 0, "c57"), expected(0, 58, 0, "c50"));
    }

    #[test]
    fn values_are_written_as_canal_writes_them() {
        let text = |value: Value| value.text().unwrap();
        assert_eq!(text(Value::Thousandths(-1_500)), "-1.500");
        assert_eq!(text(Value::Thousandths(7)), "0.007");
        assert_eq!(
            text(Value::Moment(Moment::default())),
            "0000-00-00 00:00:00.000"
        );
        let moment = Moment {
            year: 2026,
            month: 1,
            day: 1,
            milli: 123,
            ..Moment::default()
        };
        assert_eq!(text(Value::Moment(moment)), "2026-01-01 00:00:00.123");
        assert_eq!(Value::Null.text(), None);
    }

    #[test]
    fn names_fit_into_their_column() {
        for id in 0..2_000 {
            let name = expected(0, id, 1, "name").unwrap();
            assert!(name.chars().count() <= 64, "{name}");
        }
    }
}
