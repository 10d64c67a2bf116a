//! Civil time of a zone as the core wants it: a table of offsets, taken once from the zone database.
//!
//! The core computes with data, so a run in Shanghai replays in Berlin. The table covers what a MySQL
//! TIMESTAMP can hold: 1970 to 2106 (binlog-parser reference §3.4).

use canald_core::config::Zone;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use thiserror::Error;

/// The last second of a TIMESTAMP: MariaDB reads its four bytes as unsigned.
const LAST_SECOND: i64 = u32::MAX as i64;

/// Offsets beyond a day are nonsense and nobody uses more than 14 hours.
const OFFSET_HOURS_MAX: i32 = 18;

/// Why there is no such zone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ZoneError {
    /// Neither a name of the zone database nor an offset.
    #[error("{0} is neither a time zone such as Asia/Shanghai nor an offset such as +08:00")]
    Unknown(String),
    /// The process has no usable local zone.
    #[error("the local time zone cannot be told ({0}): set canald.timezone or TZ")]
    NoLocal(String),
}

/// The zone called `name`: a name of the zone database, `UTC`, or an offset such as `+08:00`, which may
/// follow `GMT` or `UTC` as Java writes it.
///
/// # Errors
/// [`ZoneError::Unknown`].
pub fn named(name: &str) -> Result<TimeZone, ZoneError> {
    let unknown = || ZoneError::Unknown(name.into());
    let bare = name
        .strip_prefix("GMT")
        .or_else(|| name.strip_prefix("UTC"))
        .unwrap_or(name);
    if bare.starts_with(['+', '-']) {
        return offset(bare).map(TimeZone::fixed).ok_or_else(unknown);
    }
    TimeZone::get(name).map_err(|_| unknown())
}

/// The zone of this process: `TZ`, else the machine's.
///
/// # Errors
/// [`ZoneError::NoLocal`].
pub fn local() -> Result<TimeZone, ZoneError> {
    TimeZone::try_system().map_err(|e| ZoneError::NoLocal(e.to_string()))
}

/// Reads `+8`, `+08`, `+0800` or `+08:00`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    if !hours
        .bytes()
        .chain(minutes.bytes())
        .all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    if hours > OFFSET_HOURS_MAX || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

/// The offsets of `zone` from 1970 to 2106.
#[must_use]
pub fn table(zone: &TimeZone) -> Zone {
    let name = match (zone.iana_name(), zone.to_fixed_offset()) {
        (Some(name), _) => name.into(),
        (None, Ok(offset)) => offset.to_string(),
        (None, Err(_)) => "local".into(),
    };
    let start = Timestamp::UNIX_EPOCH;
    let first_offset = zone.to_offset(start).seconds();
    let mut transitions: Vec<(i64, i32)> = Vec::new();
    for transition in zone.following(start) {
        let second = transition.timestamp().as_second();
        if second > LAST_SECOND {
            break;
        }
        let offset = transition.offset().seconds();
        // The database also lists changes of name alone.
        if transitions.last().map_or(first_offset, |last| last.1) != offset {
            transitions.push((second, offset));
        }
    }
    Zone {
        name,
        first_offset,
        transitions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset_at(zone: &Zone, second: i64) -> i32 {
        let after = zone.transitions.partition_point(|t| t.0 <= second);
        if after == 0 {
            zone.first_offset
        } else {
            zone.transitions[after - 1].1
        }
    }

    #[test]
    fn shanghai_had_summer_time_from_1986_to_1991() {
        let zone = table(&named("Asia/Shanghai").unwrap());
        assert_eq!(zone.name, "Asia/Shanghai");
        assert_eq!(zone.first_offset, 8 * 3600);
        // 1986-05-04 02:00 local: clocks go to 03:00; 1991-09-15 02:00 summer time: back for good.
        assert_eq!(zone.transitions.first(), Some(&(515_527_200, 9 * 3600)));
        assert_eq!(zone.transitions.last(), Some(&(684_867_600, 8 * 3600)));
        assert_eq!(zone.transitions.len(), 12);
        assert_eq!(offset_at(&zone, 1_700_000_000), 8 * 3600);
    }

    #[test]
    fn berlin_changes_twice_a_year_until_2106() {
        let zone = table(&named("Europe/Berlin").unwrap());
        assert_eq!(zone.first_offset, 3600);
        // 2024-03-31 01:00 UTC and 2024-10-27 01:00 UTC.
        assert!(zone.transitions.contains(&(1_711_846_800, 7200)));
        assert!(zone.transitions.contains(&(1_729_990_800, 3600)));
        assert_eq!(offset_at(&zone, 1_711_846_799), 3600);
        // 2105-07-01: the rule goes on after the database's last year.
        assert_eq!(offset_at(&zone, 4_276_022_400), 7200);
        assert!(zone.transitions.is_sorted());
        assert!(zone.transitions.last().unwrap().0 <= LAST_SECOND);
    }

    #[test]
    fn offsets_are_zones_too() {
        for text in ["+08:00", "+8", "+08", "+0800", "GMT+8", "UTC+08:00"] {
            let zone = table(&named(text).unwrap());
            assert_eq!(
                (zone.first_offset, zone.transitions.len()),
                (8 * 3600, 0),
                "{text}"
            );
        }
        assert_eq!(table(&named("-03:30").unwrap()).first_offset, -12_600);
        assert_eq!(table(&named("UTC").unwrap()).first_offset, 0);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for text in [
            "Asia/Shangai",
            "+25",
            "+8:60",
            "+",
            "+a",
            "",
            "+1:2:3",
            "+\u{663}",
        ] {
            assert_eq!(named(text), Err(ZoneError::Unknown(text.into())), "{text}");
        }
    }
}
