//! Dates and times, in the formats since MySQL 5.6.4 and in those before it (binlog-parser reference §3.4,
//! wire-protocol reference §13).
//!
//! The text is MySQL's own: partial and zero dates stay as they are, fractions have exactly the digits of
//! the type. TIMESTAMP alone has a zone, given as data: [`ZoneClock`] finds its offset and remembers the
//! span in which it holds.

use crate::binlog::value::{TextLen, Window, be_uint, le_uint, pair, write_padded, write_u64};
use crate::config::Zone;
use crate::read::ReadProblem;

/// Digits of a second's fraction, 0 to 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction(u8);

impl Fraction {
    /// No fraction.
    pub const NONE: Self = Self(0);

    /// Microseconds: the fraction of JSON's times.
    pub const MICROS: Self = Self(6);

    /// So many digits; none where the server allows no such type.
    #[must_use]
    pub const fn new(digits: u8) -> Option<Self> {
        if digits <= 6 {
            Some(Self(digits))
        } else {
            None
        }
    }

    /// Bytes that it takes in a row.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0.div_ceil(2) as usize
    }

    /// Writes the point and the digits of `stored`, a number of hundredths for each byte.
    #[inline]
    fn write(self, to: &mut Window, at: usize, stored: u32) -> TextLen {
        if self.0 == 0 {
            return Ok(at);
        }
        if stored >= 100u32.pow(u32::from(self.0.div_ceil(2))) {
            return Err(ReadProblem::Invalid("a fraction of a whole second or more"));
        }
        to[at] = b'.';
        let shown = if self.0 % 2 == 1 { stored / 10 } else { stored };
        Ok(write_padded(to, at + 1, shown, usize::from(self.0)))
    }
}

/// Offsets of a zone, found fast where times come in runs.
#[derive(Clone, Debug)]
pub struct ZoneClock<'a> {
    zone: &'a Zone,
    /// Where `offset` holds: from here…
    from: i64,
    /// … to before here.
    until: i64,
    offset: i32,
}

impl<'a> ZoneClock<'a> {
    /// A clock for `zone`.
    #[must_use]
    pub const fn new(zone: &'a Zone) -> Self {
        Self {
            zone,
            from: 0,
            until: 0,
            offset: 0,
        }
    }

    /// Seconds east of UTC at `second`, counted from 1970.
    #[inline]
    fn offset(&mut self, second: i64) -> i64 {
        if second < self.from || second >= self.until {
            self.look_up(second);
        }
        i64::from(self.offset)
    }

    fn look_up(&mut self, second: i64) {
        let transitions = &self.zone.transitions;
        let after = transitions.partition_point(|&(from, _)| from <= second);
        self.until = transitions.get(after).map_or(i64::MAX, |&(from, _)| from);
        let current = after.checked_sub(1).and_then(|i| transitions.get(i));
        (self.from, self.offset) = current
            .copied()
            .unwrap_or((i64::MIN, self.zone.first_offset));
    }
}

/// Length of `YYYY-MM-DD`.
const DATE_LEN: usize = 10;

/// Length of `YYYY-MM-DD HH:MM:SS`.
const DATE_TIME_LEN: usize = 19;

/// Writes `YYYY-MM-DD` at `at`.
#[inline]
fn put_date(to: &mut Window, at: usize, year: u32, month: u32, day: u32) {
    let [y0, y1] = pair(year / 100);
    let [y2, y3] = pair(year % 100);
    let [m0, m1] = pair(month);
    let [d0, d1] = pair(day);
    to[at..at + DATE_LEN].copy_from_slice(&[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1]);
}

/// Writes `:MM:SS` at `at`.
#[inline]
fn put_minutes(to: &mut Window, at: usize, minute: u32, second: u32) -> usize {
    let [m0, m1] = pair(minute);
    let [s0, s1] = pair(second);
    to[at..at + 6].copy_from_slice(&[b':', m0, m1, b':', s0, s1]);
    at + 6
}

/// Writes ` HH:MM:SS` behind a date.
#[inline]
fn put_time_of_day(to: &mut Window, hour: u32, minute: u32, second: u32) {
    let [h0, h1] = pair(hour);
    to[DATE_LEN..DATE_LEN + 3].copy_from_slice(&[b' ', h0, h1]);
    put_minutes(to, DATE_LEN + 3, minute, second);
}

const YEAR_BEYOND: ReadProblem = ReadProblem::Invalid("a year beyond 9999");
const FIELD_BEYOND: ReadProblem =
    ReadProblem::Invalid("a month, day, hour, minute or second beyond two digits");

/// The last year that has four digits.
const YEAR_MAX: u32 = 9999;

/// `DATE`: three bytes.
pub fn write_date(to: &mut Window, raw: &[u8]) -> TextLen {
    let packed = le_uint(raw) as u32;
    let year = packed >> 9;
    if year > YEAR_MAX {
        return Err(YEAR_BEYOND);
    }
    put_date(to, 0, year, packed >> 5 & 0x0f, packed & 0x1f);
    Ok(DATE_LEN)
}

/// `DATETIME`: five bytes and the fraction's.
#[inline]
pub fn write_datetime(to: &mut Window, raw: &[u8], fraction: Fraction) -> TextLen {
    let (seconds, stored) = raw.split_at(raw.len() - fraction.bytes());
    let Some(packed) = be_uint(seconds).checked_sub(DATETIME_ZERO) else {
        return Err(ReadProblem::Invalid("a negative DATETIME"));
    };
    put_packed_datetime(to, packed)?;
    fraction.write(to, DATE_TIME_LEN, be_uint(stored) as u32)
}

/// What DATETIME adds to its value so that values sort as bytes.
const DATETIME_ZERO: u64 = 0x80_0000_0000;

/// Year and month in base 13, then day, hour, minute and second in bits.
#[inline]
fn put_packed_datetime(to: &mut Window, packed: u64) -> Result<(), ReadProblem> {
    let time = packed as u32 & 0x1_ffff;
    let date = packed >> 17;
    let Ok(months) = u32::try_from(date >> 5) else {
        return Err(YEAR_BEYOND);
    };
    let year = months / 13;
    if year > YEAR_MAX {
        return Err(YEAR_BEYOND);
    }
    put_date(to, 0, year, months % 13, date as u32 & 0x1f);
    put_time_of_day(to, time >> 12, time >> 6 & 0x3f, time & 0x3f);
    Ok(())
}

/// `TIMESTAMP`: four bytes of seconds since 1970, unsigned, and the fraction's.
#[inline]
pub fn write_timestamp(
    to: &mut Window,
    raw: &[u8],
    fraction: Fraction,
    zone: &mut ZoneClock<'_>,
) -> TextLen {
    let (seconds, stored) = raw.split_at(raw.len() - fraction.bytes());
    put_timestamp(to, be_uint(seconds) as u32, zone)?;
    fraction.write(to, DATE_TIME_LEN, be_uint(stored) as u32)
}

/// `TIMESTAMP` before MySQL 5.6.4.
pub fn write_old_timestamp(to: &mut Window, raw: &[u8], zone: &mut ZoneClock<'_>) -> TextLen {
    put_timestamp(to, le_uint(raw) as u32, zone)?;
    Ok(DATE_TIME_LEN)
}

const SECONDS_PER_DAY: u64 = 86_400;

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: u64 = 719_468;

#[inline]
fn put_timestamp(
    to: &mut Window,
    seconds: u32,
    zone: &mut ZoneClock<'_>,
) -> Result<(), ReadProblem> {
    if seconds == 0 {
        put_date(to, 0, 0, 0, 0);
        put_time_of_day(to, 0, 0, 0);
        return Ok(());
    }
    let utc = i64::from(seconds);
    let since_year_zero = utc + zone.offset(utc) + (DAYS_TO_1970 * SECONDS_PER_DAY) as i64;
    let Ok(local) = u64::try_from(since_year_zero) else {
        return Err(ReadProblem::Invalid(
            "a time zone that leads before the year 0",
        ));
    };
    let (year, month, day) = civil_date(local / SECONDS_PER_DAY);
    if year > YEAR_MAX {
        return Err(YEAR_BEYOND);
    }
    let second = (local % SECONDS_PER_DAY) as u32;
    put_date(to, 0, year, month, day);
    put_time_of_day(to, second / 3600, second / 60 % 60, second % 60);
    Ok(())
}

/// Year, month and day of a day counted from 0000-03-01 in the Gregorian calendar: years are counted
/// from March, so that the leap day is the last of its year.
#[inline]
const fn civil_date(day: u64) -> (u32, u32, u32) {
    let era = day / 146_097;
    let of_era = (day % 146_097) as u32;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let next_year = month_from_march >= 10;
    let month = if next_year {
        month_from_march - 9
    } else {
        month_from_march + 3
    };
    let year = year_of_era + (era as u32).saturating_mul(400) + next_year as u32;
    (year, month, day)
}

/// `TIME`: three bytes and the fraction's, which are one number for negative times.
#[inline]
pub fn write_time(to: &mut Window, raw: &[u8], fraction: Fraction) -> TextLen {
    let fraction_bits = 8 * fraction.bytes() as u32;
    let zero = 0x80_0000u64 << fraction_bits;
    let stored = be_uint(raw);
    let magnitude = stored.abs_diff(zero);
    let packed = (magnitude >> fraction_bits) as u32;
    let at = put_time(
        to,
        stored < zero,
        packed >> 12,
        packed >> 6 & 0x3f,
        packed & 0x3f,
    );
    fraction.write(to, at, (magnitude & ((1 << fraction_bits) - 1)) as u32)
}

/// Writes `[-]HH:MM:SS`, the hours in at least two digits; returns where it ends.
#[inline]
fn put_time(to: &mut Window, negative: bool, hour: u32, minute: u32, second: u32) -> usize {
    to[0] = b'-';
    let mut at = usize::from(negative);
    if hour < 100 {
        to[at..at + 2].copy_from_slice(&pair(hour));
        at += 2;
    } else {
        at = write_u64(to, at, u64::from(hour));
    }
    put_minutes(to, at, minute, second)
}

/// `TIME` before MySQL 5.6.4: three bytes, a signed decimal number HHMMSS.
pub fn write_old_time(to: &mut Window, raw: &[u8]) -> TextLen {
    let unsigned = le_uint(raw) as i32;
    let signed = unsigned << 8 >> 8;
    let n = signed.unsigned_abs();
    if n % 100 > 59 || n / 100 % 100 > 59 {
        return Err(FIELD_BEYOND);
    }
    Ok(put_time(to, signed < 0, n / 10_000, n / 100 % 100, n % 100))
}

/// `DATETIME` before MySQL 5.6.4: eight bytes, a decimal number YYYYMMDDHHMMSS.
pub fn write_old_datetime(to: &mut Window, raw: &[u8]) -> TextLen {
    let n = le_uint(raw);
    let (date, time) = (n / 1_000_000, (n % 1_000_000) as u32);
    let (Ok(year), month_day) = (u32::try_from(date / 10_000), (date % 10_000) as u32) else {
        return Err(YEAR_BEYOND);
    };
    if year > YEAR_MAX {
        return Err(YEAR_BEYOND);
    }
    put_date(to, 0, year, month_day / 100, month_day % 100);
    put_time_of_day(to, time / 10_000, time / 100 % 100, time % 100);
    Ok(DATE_TIME_LEN)
}

/// A DATE, DATETIME or TIMESTAMP inside JSON: all have a time and six digits of fraction, but for zero
/// (wire-protocol reference §14).
pub fn write_json_datetime(to: &mut Window, packed: i64) -> TextLen {
    if packed == 0 {
        put_date(to, 0, 0, 0, 0);
        put_time_of_day(to, 0, 0, 0);
        return Ok(DATE_TIME_LEN);
    }
    put_packed_datetime(to, packed.unsigned_abs() >> 24)?;
    Fraction::MICROS.write(to, DATE_TIME_LEN, packed.unsigned_abs() as u32 & 0xff_ffff)
}

/// A TIME inside JSON: six digits of fraction, but for zero.
pub fn write_json_time(to: &mut Window, packed: i64) -> TextLen {
    let magnitude = packed.unsigned_abs();
    let seconds = (magnitude >> 24) as u32;
    let hour = seconds >> 12 & 0x3ff;
    let at = put_time(to, packed < 0, hour, seconds >> 6 & 0x3f, seconds & 0x3f);
    if packed == 0 {
        return Ok(at);
    }
    Fraction::MICROS.write(to, at, magnitude as u32 & 0xff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::value::{WINDOW, text_of, unhex};
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;
    use proptest::prelude::*;

    fn fraction(digits: u8) -> Fraction {
        Fraction::new(digits).unwrap()
    }

    fn shanghai() -> Zone {
        Zone {
            name: "Asia/Shanghai".into(),
            first_offset: 8 * 3600,
            transitions: vec![],
        }
    }

    fn timestamp(raw: &str, digits: u8, zone: &Zone) -> String {
        text_of(|to| write_timestamp(to, &unhex(raw), fraction(digits), &mut ZoneClock::new(zone)))
    }

    /// The vectors of wire-protocol reference §16.
    #[test]
    fn timestamps() {
        let zone = shanghai();
        for (digits, raw, text) in [
            (0, "6553f100", "2023-11-15 06:13:20"),
            (3, "6553f10004ce", "2023-11-15 06:13:20.123"),
            (6, "6553f10001e240", "2023-11-15 06:13:20.123456"),
            (3, "000000000000", "0000-00-00 00:00:00.000"),
            (0, "80000005", "2038-01-19 11:14:13"),
        ] {
            assert_eq!(timestamp(raw, digits, &zone), text);
        }
        assert_eq!(
            timestamp("ffffffff0f423f", 6, &Zone::utc()),
            "2106-02-07 06:28:15.999999"
        );
        let old =
            text_of(|to| write_old_timestamp(to, &unhex("00f15365"), &mut ZoneClock::new(&zone)));
        assert_eq!(old, "2023-11-15 06:13:20");
    }

    #[test]
    fn an_offset_holds_from_its_transition_on() {
        let transitions = vec![(1_711_846_800, 7200), (1_729_990_800, 3600)];
        let zone = Zone {
            name: "Europe/Berlin".into(),
            first_offset: 3600,
            transitions,
        };
        let mut clock = ZoneClock::new(&zone);
        for (second, text) in [
            (1_711_846_799u32, "2024-03-31 01:59:59"),
            (1_711_846_800, "2024-03-31 03:00:00"),
            (1_729_990_799, "2024-10-27 02:59:59"),
            (1_729_990_800, "2024-10-27 02:00:00"),
            (1_711_846_799, "2024-03-31 01:59:59"),
        ] {
            let raw = second.to_be_bytes();
            let shown = text_of(|to| write_timestamp(to, &raw, Fraction::NONE, &mut clock));
            assert_eq!(shown, text);
        }
    }

    /// The vectors of wire-protocol reference §16 and binlog-parser reference §3.4.
    #[test]
    fn datetimes() {
        for (digits, raw, text) in [
            (0, "99b2bac8b8", "2024-02-29 12:34:56"),
            (1, "99b2bac8b832", "2024-02-29 12:34:56.5"),
            (6, "99b2bac8b8000007", "2024-02-29 12:34:56.000007"),
            (0, "8000000000", "0000-00-00 00:00:00"),
            (6, "8000000000000000", "0000-00-00 00:00:00.000000"),
            (0, "99b2000000", "2024-00-00 00:00:00"),
            (6, "99b24431050a5bf5", "2024-01-02 03:04:05.678901"),
        ] {
            assert_eq!(
                text_of(|to| write_datetime(to, &unhex(raw), fraction(digits))),
                text
            );
        }
        let old = text_of(|to| write_old_datetime(to, &unhex("80c5aa8b68120000")));
        assert_eq!(old, "2024-02-29 12:34:56");
        assert!(write_datetime(&mut [0; WINDOW], &unhex("7fffffffff"), Fraction::NONE).is_err());
        assert!(write_datetime(&mut [0; WINDOW], &unhex("ffffffffff"), Fraction::NONE).is_err());
        assert!(write_old_datetime(&mut [0; WINDOW], &[0xff; 8]).is_err());
    }

    /// The vectors of wire-protocol reference §16 and binlog-parser reference §3.4.
    #[test]
    fn times() {
        for (digits, raw, text) in [
            (0, "80c8b8", "12:34:56"),
            (0, "7fef7d", "-01:02:03"),
            (0, "4b9105", "-838:59:59"),
            (2, "7fffffff", "-00:00:00.01"),
            (2, "7ffffef6", "-00:00:01.10"),
            (2, "7ffffece", "-00:00:01.50"),
            (1, "7ffffff6", "-00:00:00.1"),
            (3, "80c8b81ed2", "12:34:56.789"),
            (4, "7fef7cfb2e", "-01:02:03.1234"),
            (6, "7fef7cf6040f", "-01:02:03.654321"),
            (5, "7ffffff85ee0", "-00:00:00.50000"),
            (3, "8000000000", "00:00:00.000"),
            (0, "864000", "100:00:00"),
        ] {
            assert_eq!(
                text_of(|to| write_time(to, &unhex(raw), fraction(digits))),
                text
            );
        }
        assert_eq!(
            text_of(|to| write_old_time(to, &unhex("25d8ff"))),
            "-01:02:03"
        );
        // Canal prints the hour 100 as 00 here.
        assert_eq!(
            text_of(|to| write_old_time(to, &1_000_000u32.to_le_bytes()[..3])),
            "100:00:00"
        );
        assert!(write_time(&mut [0; WINDOW], &unhex("800000ff"), fraction(2)).is_err());
    }

    /// The vectors of wire-protocol reference §16.
    #[test]
    fn dates() {
        assert_eq!(text_of(|to| write_date(to, &unhex("5dd00f"))), "2024-02-29");
        assert_eq!(text_of(|to| write_date(to, &unhex("00d00f"))), "2024-00-00");
        assert_eq!(text_of(|to| write_date(to, &[0; 3])), "0000-00-00");
        assert!(write_date(&mut [0; WINDOW], &[0xff; 3]).is_err());
    }

    proptest! {
        /// A day and the next one follow each other in the calendar.
        #[test]
        fn the_calendar_has_no_gaps(day in DAYS_TO_1970..DAYS_TO_1970 + 50_000) {
            let (year, month, of_month) = civil_date(day);
            let next = civil_date(day + 1);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u32::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let expected = if of_month < length {
                (year, month, of_month + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
            prop_assert_eq!(next, expected);
        }

        /// Every time of the server is shown as it is.
        #[test]
        fn times_round_trip(
            negative: bool,
            h in 0u32..839,
            m in 0u32..60,
            s in 0u32..60,
            micros in 0u32..1_000_000,
            digits in 0u8..7,
        ) {
            let unit = 10u32.pow(6 - u32::from(digits));
            let kept = micros / unit * unit;
            let bytes = fraction(digits).bytes();
            let stored = u64::from(kept) / 100u64.pow(3 - bytes as u32);
            let magnitude = u64::from(h << 12 | m << 6 | s) << (8 * bytes) | stored;
            let zero = 0x80_0000u64 << (8 * bytes);
            let n = if negative { zero - magnitude } else { zero + magnitude };
            let raw = &n.to_be_bytes()[5 - bytes..];
            let sign = if negative && magnitude > 0 { "-" } else { "" };
            let mut text = format!("{sign}{h:02}:{m:02}:{s:02}");
            if digits > 0 {
                text += &format!(".{:0width$}", kept / unit, width = usize::from(digits));
            }
            prop_assert_eq!(text_of(|to| write_time(to, raw, fraction(digits))), text);
        }

        /// Any bytes give text or a refusal.
        #[test]
        fn any_bytes_are_taken(raw: [u8; 8], digits in 0u8..7) {
            let mut to = [0; WINDOW];
            let f = fraction(digits);
            let zone = shanghai();
            let _ = write_date(&mut to, &raw[..3]);
            let _ = write_time(&mut to, &raw[..3 + f.bytes()], f);
            let _ = write_datetime(&mut to, &raw[..5 + f.bytes()], f);
            let _ = write_timestamp(&mut to, &raw[..4 + f.bytes()], f, &mut ZoneClock::new(&zone));
            let _ = write_old_time(&mut to, &raw[..3]);
            let _ = write_old_datetime(&mut to, &raw);
            let _ = write_json_time(&mut to, i64::from_le_bytes(raw));
            let _ = write_json_datetime(&mut to, i64::from_le_bytes(raw));
        }
    }
}
