//! Where to start reading, as a person writes it: `--start`.

use canald_core::config::Start;
use canald_core::position::{BinlogFile, BinlogPosition};
use canald_core::time::WallMillis;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use thiserror::Error;

/// What a start may look like, for help texts and errors.
pub const FORMS: &str = "earliest, latest, FILE:OFFSET (mysql-bin.000003:4), a GTID set, or a time \
                         (2026-01-31T08:00:00+08:00, '2026-01-31 08:00:00', milliseconds since 1970)";

/// Milliseconds since 1970 have at least this many digits from 1973 on; fewer are likely seconds.
const MILLIS_DIGITS_MIN: usize = 12;

/// Why a text is not a start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// Nothing that we know.
    #[error("expected {FORMS}")]
    Unknown,
    /// Seconds where milliseconds are meant, or a number that is no time at all.
    #[error("a time in milliseconds has 12 digits or more; if these are seconds, append 000")]
    FewDigits,
    /// A date is also a GTID of MariaDB.
    #[error("say at what time of the day ('{0} 00:00:00'), or gtid:{0} if it is a GTID of MariaDB")]
    DateOrGtid(String),
    /// The local clock never showed it, or no time can be that far away.
    #[error("the clock of {zone} never shows this time")]
    NoSuchTime {
        /// Whose clock.
        zone: String,
    },
    /// A GTID set with a part that is none.
    #[error("{0} is not part of a GTID set: MySQL's is UUID:1-5[:7…],…, MariaDB's is 0-1-100,…")]
    Gtid(String),
}

/// Reads a start; a time without an offset is meant in `zone`.
///
/// # Errors
/// [`StartError`], which says what would be right.
pub fn parse(text: &str, zone: &TimeZone) -> Result<Start, StartError> {
    let text = text.trim();
    if let Some(set) = text.strip_prefix("gtid:") {
        return gtid(set);
    }
    match text.to_ascii_lowercase().as_str() {
        "earliest" => return Ok(Start::Earliest),
        "latest" => return Ok(Start::Latest),
        _ => {}
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return millis(text).map(Start::Time);
    }
    if let Some(time) = time(text, zone) {
        return time.map(Start::Time);
    }
    if is_date(text) {
        return Err(StartError::DateOrGtid(text.into()));
    }
    if text.split(',').next().is_some_and(is_gtid) {
        return gtid(text);
    }
    position(text)
        .map(Start::Position)
        .ok_or(StartError::Unknown)
}

fn millis(digits: &str) -> Result<WallMillis, StartError> {
    if digits.len() < MILLIS_DIGITS_MIN {
        return Err(StartError::FewDigits);
    }
    digits
        .parse()
        .map(WallMillis)
        .map_err(|_| StartError::Unknown)
}

/// A time with an offset, or by the clock of `zone`; none if it does not look like one.
fn time(text: &str, zone: &TimeZone) -> Option<Result<WallMillis, StartError>> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(Ok(WallMillis(at.as_millisecond())));
    }
    // A date alone would read as its midnight, and might be a GTID.
    if !text.contains(':') {
        return None;
    }
    let civil: DateTime = text.parse().ok()?;
    let at = zone.to_ambiguous_timestamp(civil);
    if matches!(at.offset(), AmbiguousOffset::Gap { .. }) {
        return Some(Err(no_time(zone)));
    }
    // Of two such times the earlier one loses nothing.
    Some(
        at.earlier()
            .map(|at| WallMillis(at.as_millisecond()))
            .map_err(|_| no_time(zone)),
    )
}

fn no_time(zone: &TimeZone) -> StartError {
    StartError::NoSuchTime {
        zone: zone.iana_name().unwrap_or("the zone").into(),
    }
}

fn is_date(text: &str) -> bool {
    let shape = |text: &str| {
        text.len() == 10
            && text.bytes().enumerate().all(|(at, b)| match at {
                4 | 7 => b == b'-',
                _ => b.is_ascii_digit(),
            })
    };
    shape(text) && text.parse::<jiff::civil::Date>().is_ok()
}

fn gtid(set: &str) -> Result<Start, StartError> {
    let set: String = set.chars().filter(|c| !c.is_whitespace()).collect();
    match set.split(',').find(|part| !is_gtid(part)) {
        Some(bad) => Err(StartError::Gtid(bad.into())),
        None => Ok(Start::Gtid(set)),
    }
}

/// Whether it has the shape of one GTID, or of one server's share of a set. What the numbers mean is
/// for the core to judge.
fn is_gtid(part: &str) -> bool {
    let part = part.trim();
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mariadb = part.split('-').count() == 3 && part.split('-').all(number);
    let mysql = part.split_once(':').is_some_and(|(uuid, intervals)| {
        let shape = uuid.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
        let hex = uuid.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
        // Since MySQL 8.3 a tag may stand before intervals.
        let item = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        shape && hex && intervals.split(':').all(item)
    });
    mariadb || mysql
}

fn position(text: &str) -> Option<BinlogPosition> {
    let (file, offset) = text.rsplit_once(':')?;
    let is_file = !file.is_empty()
        && !file.contains(|c: char| matches!(c, '/' | '\\' | ':') || c.is_whitespace());
    let is_offset = !offset.is_empty() && offset.bytes().all(|b| b.is_ascii_digit());
    let offset = offset.parse().ok().filter(|_| is_file && is_offset)?;
    Some(BinlogPosition::new(BinlogFile::new(file), offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    #[test]
    fn every_form() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let position =
            |file, offset| Start::Position(BinlogPosition::new(BinlogFile::new(file), offset));
        for (text, want) in [
            ("earliest", Start::Earliest),
            ("LATEST", Start::Latest),
            ("mysql-bin.000003:4", position("mysql-bin.000003", 4)),
            ("bin.1:18446744073709551615", position("bin.1", u64::MAX)),
            ("1700000000000", Start::Time(WallMillis(1_700_000_000_000))),
            (
                "2023-11-14T22:13:20Z",
                Start::Time(WallMillis(1_700_000_000_000)),
            ),
            (
                "2023-11-15T06:13:20.5+08:00",
                Start::Time(WallMillis(1_700_000_000_500)),
            ),
            (
                "2023-11-14 23:13:20",
                Start::Time(WallMillis(1_700_000_000_000)),
            ),
            // In autumn an hour comes twice.
            (
                "2023-10-29 02:30:00",
                Start::Time(WallMillis(1_698_539_400_000)),
            ),
            ("0-1-100", Start::Gtid("0-1-100".into())),
            ("0-1-100, 1-2-3", Start::Gtid("0-1-100,1-2-3".into())),
            ("gtid:2024-10-10", Start::Gtid("2024-10-10".into())),
        ] {
            assert_eq!(parse(text, &zone()), Ok(want), "{text}");
        }
        for set in [
            format!("{uuid}:1-5"),
            format!("{uuid}:1-5:7,{uuid}:tag:1-2"),
        ] {
            assert_eq!(parse(&set, &zone()), Ok(Start::Gtid(set.clone())));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, want) in [
            ("", StartError::Unknown),
            ("soon", StartError::Unknown),
            ("mysql-bin.000003", StartError::Unknown),
            ("mysql-bin.000003:x", StartError::Unknown),
            ("mysql-bin.000003:-4", StartError::Unknown),
            (":4", StartError::Unknown),
            ("/var/lib/bin.1:4", StartError::Unknown),
            ("99999999999999999999", StartError::Unknown),
            ("1700000000", StartError::FewDigits),
            ("2024-10-10", StartError::DateOrGtid("2024-10-10".into())),
            (
                "2024-03-31 02:30:00",
                StartError::NoSuchTime {
                    zone: "Europe/Berlin".into(),
                },
            ),
            ("0-1-100,x", StartError::Gtid("x".into())),
            ("gtid:bin.1:4", StartError::Gtid("bin.1:4".into())),
        ] {
            assert_eq!(parse(text, &zone()), Err(want), "{text}");
        }
    }
}
