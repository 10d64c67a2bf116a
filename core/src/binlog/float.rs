//! FLOAT and DOUBLE in the layout of Java's `toString` (wire-protocol reference §13.2).
//!
//! The digits are the shortest that identify the value, the rule of JDK 19 and later; only the layout
//! is Java's: plain from 10⁻³ to below 10⁷, else `d.ddE-n`, always with a digit behind the point.

use core::fmt::Write as _;

use crate::binlog::value::{Window, write_i64};

/// Most significant digits of a shortest double.
const DIGITS_MAX: usize = 17;

/// A finite positive number as digits and the power of ten of the first of them.
struct Decimal {
    digits: [u8; DIGITS_MAX],
    len: usize,
    exponent: i32,
}

impl Decimal {
    /// From text such as `1234.5`, `0.001` or `5e-324`.
    fn parse(text: &[u8]) -> Self {
        let mut out = Self {
            digits: [b'0'; DIGITS_MAX],
            len: 0,
            exponent: 0,
        };
        // Digits before the point, less one; minus the zeros behind it where there are none.
        let mut exponent = -1;
        let mut zeros = 0;
        let mut point_seen = false;
        let mut rest = text.iter();
        for &byte in rest.by_ref() {
            match byte {
                b'.' => point_seen = true,
                b'0' if out.len == 0 => exponent -= i32::from(point_seen),
                b'0'..=b'9' => {
                    exponent += i32::from(!point_seen);
                    out.push(byte, &mut zeros);
                }
                _ => break,
            }
        }
        out.exponent = exponent + parse_exponent(rest.as_slice());
        out
    }

    /// Appends a digit; zeros are held back until another digit follows them.
    fn push(&mut self, digit: u8, zeros: &mut usize) {
        if digit == b'0' {
            *zeros += 1;
            return;
        }
        self.len += *zeros;
        *zeros = 0;
        if let Some(to) = self.digits.get_mut(self.len) {
            *to = digit;
            self.len += 1;
        }
    }

    /// Writes it in Java's layout; returns where it ends.
    fn layout(&self, to: &mut Window, at: usize) -> usize {
        match self.exponent {
            0..=6 => self.with_point_after(to, at, self.exponent as usize + 1),
            -3..=-1 => {
                let zeros = (-self.exponent) as usize;
                to[at..at + 5].copy_from_slice(b"0.000");
                let at = at + 1 + zeros;
                to[at..at + self.len].copy_from_slice(&self.digits[..self.len]);
                at + self.len
            }
            _ => {
                let at = self.with_point_after(to, at, 1);
                to[at] = b'E';
                write_i64(to, at + 1, i64::from(self.exponent))
            }
        }
    }

    /// Writes the digits with a point after the first `whole` of them, which may be more than there are.
    fn with_point_after(&self, to: &mut Window, at: usize, whole: usize) -> usize {
        to[at..at + whole].copy_from_slice(&self.digits[..whole]);
        to[at + whole] = b'.';
        let at = at + whole + 1;
        let fraction = if self.len > whole {
            &self.digits[whole..self.len]
        } else {
            b"0"
        };
        to[at..at + fraction.len()].copy_from_slice(fraction);
        at + fraction.len()
    }
}

/// The number behind an `e`.
fn parse_exponent(text: &[u8]) -> i32 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let n = digits
        .iter()
        .fold(0, |n, digit| n * 10 + i32::from(digit & 0x0f));
    if negative { -n } else { n }
}

/// Writes `value`; returns the length.
#[inline]
pub fn write_f64(to: &mut Window, value: f64) -> usize {
    if !value.is_finite() {
        return write_special(to, value);
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value.abs());
    write_finite(
        to,
        value.is_sign_negative(),
        value,
        text,
        value.is_subnormal(),
    )
}

/// Writes `value` with the digits of single precision; returns the length.
#[inline]
pub fn write_f32(to: &mut Window, value: f32) -> usize {
    if !value.is_finite() {
        return write_special(to, f64::from(value));
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value.abs());
    write_finite(
        to,
        value.is_sign_negative(),
        f64::from(value),
        text,
        value.is_subnormal(),
    )
}

fn write_finite(to: &mut Window, negative: bool, value: f64, text: &str, subnormal: bool) -> usize {
    let mut decimal = Decimal::parse(text.as_bytes());
    if decimal.len == 0 {
        decimal = Decimal {
            digits: [b'0'; DIGITS_MAX],
            len: 1,
            exponent: 0,
        };
    } else if decimal.len == 1 && subnormal {
        decimal = nearest_of_two_digits(value.abs());
    }
    let at = usize::from(negative);
    to[0] = b'-';
    decimal.layout(to, at)
}

/// Where one digit would do, Java prints the nearest number of two; they differ only where doubles lie
/// farther apart than a tenth of themselves.
#[cold]
fn nearest_of_two_digits(value: f64) -> Decimal {
    struct Text([u8; 16], usize);
    impl core::fmt::Write for Text {
        fn write_str(&mut self, s: &str) -> core::fmt::Result {
            let end = self.1 + s.len();
            self.0
                .get_mut(self.1..end)
                .ok_or(core::fmt::Error)?
                .copy_from_slice(s.as_bytes());
            self.1 = end;
            Ok(())
        }
    }
    let mut text = Text([0; 16], 0);
    write!(text, "{value:.1e}").expect("two digits and an exponent fit in sixteen bytes");
    Decimal::parse(&text.0[..text.1])
}

/// What no column holds, but four or eight bytes may.
#[cold]
fn write_special(to: &mut Window, value: f64) -> usize {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value > 0.0 {
        b"Infinity"
    } else {
        b"-Infinity"
    };
    to[..text.len()].copy_from_slice(text);
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::value::text_of;
    use alloc::string::String;
    use proptest::prelude::*;

    fn double(value: f64) -> String {
        text_of(|to| Ok(write_f64(to, value)))
    }

    fn float(value: f32) -> String {
        text_of(|to| Ok(write_f32(to, value)))
    }

    /// The vectors of wire-protocol reference §13.2 and binlog-parser reference §3.6, by the rule of JDK 19:
    /// 123456789 as FLOAT has a ninth digit in the older JDK that the table was taken from.
    #[test]
    fn vectors() {
        for (value, text) in [
            (1.0, "1.0"),
            (100.0, "100.0"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (0.001, "0.001"),
            (1e-4, "1.0E-4"),
            (9.9e-4, "9.9E-4"),
            (12_345_678.9, "1.23456789E7"),
            (2.225_073_858_507_201_4e-308, "2.2250738585072014E-308"),
            (-1.25e100, "-1.25E100"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (0.012_5, "0.0125"),
            (123.456, "123.456"),
            (1_000_000.5, "1000000.5"),
            (2e23, "2.0E23"),
            (5e-324, "4.9E-324"),
            (1e-323, "9.9E-324"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(value), text);
        }
        for (value, text) in [
            (f32::MAX, "3.4028235E38"),
            (123_456_789.0, "1.2345679E8"),
            (1e-45, "1.4E-45"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (16_777_216.0, "1.6777216E7"),
        ] {
            assert_eq!(float(value), text);
        }
    }

    proptest! {
        /// The text reads back as the value, and is laid out as Java does.
        #[test]
        fn doubles_read_back(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = double(value);
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits, "{}", text);
            let plain = value == 0.0 || (1e-3..1e7).contains(&value.abs());
            prop_assert_eq!(plain, !text.contains('E'), "{}", text);
            prop_assert!(text.contains('.') && !text.ends_with('.'), "{}", text);
        }

        #[test]
        fn doubles_of_daily_life_read_back(n: i32, scale in 0i32..12) {
            let value = f64::from(n) / 10f64.powi(scale);
            prop_assert_eq!(double(value).parse::<f64>().unwrap(), value);
        }

        #[test]
        fn floats_read_back(bits: u32) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = float(value);
            prop_assert_eq!(text.parse::<f32>().unwrap().to_bits(), bits, "{}", text);
        }
    }
}
