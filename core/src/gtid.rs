//! Global transaction identifiers, and sets of them, of MySQL and MariaDB
//! (binlog-parser reference §1.10, §1.11).
//!
//! A set says "already processed": a source streams everything else. The two families have nothing in
//! common but the name: MySQL's sets hold intervals of numbers per server (and tag), MariaDB's hold the
//! last identifier of each domain.

mod mariadb;
mod mysql_set;
mod tracked;

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use thiserror::Error;

pub use self::mariadb::{MariadbGtid, MariadbGtidSet};
pub use self::mysql_set::{GTID_NUMBER_MAX, MysqlGtidSet};
pub use self::tracked::TrackedGtidSet;

/// The UUID of a server, as its `server_uuid` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerUuid(pub [u8; 16]);

impl ServerUuid {
    /// Of no server: what anonymous transactions carry.
    pub const NIL: Self = Self([0; 16]);
}

impl fmt::Display for ServerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        f.write_str(core::str::from_utf8(&text).expect("hexadecimal digits are ASCII"))
    }
}

impl FromStr for ServerUuid {
    type Err = GtidError;

    /// Hexadecimal digits, with or without dashes.
    fn from_str(text: &str) -> Result<Self, GtidError> {
        let wrong = || GtidError::new(text, GtidProblem::Uuid);
        let mut digits = text.bytes().filter(|&byte| byte != b'-');
        let mut digit = || {
            let digit = char::from(digits.next()?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            *byte = digit().ok_or_else(wrong)? << 4 | digit().ok_or_else(wrong)?;
        }
        if digits.next().is_some() {
            Err(wrong())
        } else {
            Ok(Self(bytes))
        }
    }
}

/// The tag of a GTID: none, or up to 32 lower-case letters, digits and underscores.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GtidTag {
    // padded with zeros, which order before every character of a tag: the derived order is that of text
    bytes: [u8; Self::BYTES_MAX],
    length: u8,
}

impl GtidTag {
    /// Most bytes of a tag.
    pub const BYTES_MAX: usize = 32;
    /// No tag.
    pub const NONE: Self = Self {
        bytes: [0; Self::BYTES_MAX],
        length: 0,
    };

    /// The tag `text`, folded to lower case as the server does; none if it is not a tag.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        let first = *text.first()?;
        if text.len() > Self::BYTES_MAX || !(first.is_ascii_alphabetic() || first == b'_') {
            return None;
        }
        let mut bytes = [0; Self::BYTES_MAX];
        for (to, from) in bytes.iter_mut().zip(text) {
            if !(from.is_ascii_alphanumeric() || *from == b'_') {
                return None;
            }
            *to = from.to_ascii_lowercase();
        }
        Some(Self {
            bytes,
            length: text.len() as u8,
        })
    }

    /// Its text; empty if there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("tags are ASCII")
    }

    /// Whether there is no tag.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.length == 0
    }
}

impl fmt::Debug for GtidTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The GTID of a transaction, MySQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gtid {
    /// The server of origin.
    pub uuid: ServerUuid,
    /// Its tag.
    pub tag: GtidTag,
    /// Its number, from 1 to [`GTID_NUMBER_MAX`].
    pub number: u64,
}

impl fmt::Display for Gtid {
    /// `uuid:number`, or `uuid:tag:number`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.uuid)?;
        if !self.tag.is_none() {
            write!(f, "{}:", self.tag.as_str())?;
        }
        write!(f, "{}", self.number)
    }
}

impl FromStr for Gtid {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let set: MysqlGtidSet = text.parse()?;
        set.single()
            .ok_or_else(|| GtidError::new(text, GtidProblem::NotOne))
    }
}

/// A set of GTIDs of either family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GtidSet {
    /// MySQL's.
    Mysql(MysqlGtidSet),
    /// MariaDB's.
    Mariadb(MariadbGtidSet),
}

impl GtidSet {
    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Mysql(set) => set.is_empty(),
            Self::Mariadb(set) => set.is_empty(),
        }
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mysql(set) => set.fmt(f),
            Self::Mariadb(set) => set.fmt(f),
        }
    }
}

/// Text that is no GTID or GTID set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}`: {problem}")]
pub struct GtidError {
    /// The part that is wrong, cut to [`GtidError::TEXT_CHARS_MAX`] characters.
    pub text: String,
    /// What is wrong with it.
    pub problem: GtidProblem,
}

impl GtidError {
    /// Most characters of the text that are shown.
    pub const TEXT_CHARS_MAX: usize = 80;

    fn new(text: &str, problem: GtidProblem) -> Self {
        Self {
            text: text.chars().take(Self::TEXT_CHARS_MAX).collect(),
            problem,
        }
    }
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GtidProblem {
    /// Not a UUID.
    #[error(
        "not a server UUID: MySQL writes GTID sets as `uuid:1-40`, with tags as `uuid:1-40:tag:1-2`"
    )]
    Uuid,
    /// Not a tag.
    #[error("not a tag: a letter or underscore, then letters, digits and underscores, 32 at most")]
    Tag,
    /// Not an interval.
    #[error("not an interval: a number from 1 on, or two, the lesser first, as in `1-40`")]
    Interval,
    /// A server or tag without intervals.
    #[error("has no interval after it")]
    NoInterval,
    /// Not one GTID.
    #[error("not one GTID but none or several")]
    NotOne,
    /// Not a MariaDB GTID.
    #[error("not a MariaDB GTID: domain, server and sequence, as in `0-1-100`")]
    Mariadb,
    /// A domain twice.
    #[error("its domain occurs twice: a MariaDB position has one GTID per domain")]
    DomainTwice,
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_uuid_is_read_in_every_spelling() {
        let text = "17026959-e61e-11f1-93b6-02fc00000001";
        let uuid: ServerUuid = text.parse().unwrap();
        assert_eq!(uuid.0[..4], [0x17, 0x02, 0x69, 0x59]);
        assert_eq!(uuid.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(uuid));
        assert_eq!(text.replace('-', "").parse(), Ok(uuid));
        assert!(text[1..].parse::<ServerUuid>().is_err());
        assert!(
            "17026959-e61e-11f1-93b6-02fc000000012"
                .parse::<ServerUuid>()
                .is_err()
        );
        assert!(
            "g7026959-e61e-11f1-93b6-02fc00000001"
                .parse::<ServerUuid>()
                .is_err()
        );
    }

    #[test]
    fn a_tag_is_folded_and_ordered_as_text() {
        let tag = |text: &[u8]| GtidTag::new(text).unwrap();
        assert_eq!(tag(b"My_Tag1").as_str(), "my_tag1");
        assert!(tag(b"a") < tag(b"aa"));
        assert!(tag(b"aa") < tag(b"b"));
        assert!(GtidTag::NONE < tag(b"_"));
        assert_eq!(GtidTag::new(b""), None);
        assert_eq!(GtidTag::new(b"1a"), None);
        assert_eq!(GtidTag::new(b"a-b"), None);
        assert_eq!(GtidTag::new(&[b'a'; 33]), None);
        assert!(GtidTag::new(&[b'a'; 32]).is_some());
    }

    #[test]
    fn a_gtid_is_one_transaction() {
        let text = "17026959-e61e-11f1-93b6-02fc00000001:tag:7";
        let gtid: Gtid = text.parse().unwrap();
        assert_eq!(gtid.number, 7);
        assert_eq!(gtid.to_string(), text);
        let error = "17026959-e61e-11f1-93b6-02fc00000001:1-2"
            .parse::<Gtid>()
            .unwrap_err();
        assert_eq!(error.problem, GtidProblem::NotOne);
    }
}
