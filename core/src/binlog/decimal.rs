//! NEWDECIMAL: packed decimal digits, nine to four bytes (binlog-parser reference §3.3).
//!
//! The text has the full scale of its column, `100.00`, as `design.md` settles it; canal itself drops
//! trailing zeros in part (wire-protocol reference §13.1).

use crate::binlog::value::{TextLen, Window, be_uint, write_padded, write_u64};
use crate::read::ReadProblem;

/// Most digits of a decimal.
pub const PRECISION_MAX: u8 = 65;

/// Most digits behind the point.
pub const SCALE_MAX: u8 = 30;

/// Digits in a whole group, which takes four bytes.
const GROUP_DIGITS: usize = 9;

/// Bytes of a group of so many digits.
const GROUP_BYTES: [usize; GROUP_DIGITS + 1] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// Most bytes of a packed decimal.
const PACKED_MAX: usize = 32;

/// Precision and scale, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecimalShape {
    integer_digits: u8,
    fraction_digits: u8,
}

impl DecimalShape {
    /// DECIMAL(`precision`, `scale`); none where the server allows no such type.
    #[must_use]
    pub const fn new(precision: u8, scale: u8) -> Option<Self> {
        if precision == 0 || precision > PRECISION_MAX || scale > SCALE_MAX || scale > precision {
            return None;
        }
        Some(Self {
            integer_digits: precision - scale,
            fraction_digits: scale,
        })
    }

    /// Bytes of a value.
    #[must_use]
    pub const fn bytes(self) -> usize {
        part_bytes(self.integer_digits as usize) + part_bytes(self.fraction_digits as usize)
    }
}

const fn part_bytes(digits: usize) -> usize {
    digits / GROUP_DIGITS * 4 + GROUP_BYTES[digits % GROUP_DIGITS]
}

/// Writes the value in `raw`, which has the [`DecimalShape::bytes`] of `shape`.
///
/// # Errors
/// A group holds a number of more digits than it has.
pub fn write_decimal(to: &mut Window, raw: &[u8], shape: DecimalShape) -> TextLen {
    debug_assert_eq!(raw.len(), shape.bytes());
    let mut packed = [0; PACKED_MAX];
    let packed = &mut packed[..raw.len()];
    packed.copy_from_slice(raw);
    let negative = packed[0] & 0x80 == 0;
    packed[0] ^= 0x80;
    if negative {
        for byte in packed.iter_mut() {
            *byte = !*byte;
        }
        to[0] = b'-';
    }
    let integer_digits = usize::from(shape.integer_digits);
    let (integer, fraction) = packed.split_at(part_bytes(integer_digits));
    let start = usize::from(negative);
    let at = write_integer(to, start, integer, integer_digits)?;
    let end = write_fraction(to, at, fraction, usize::from(shape.fraction_digits))?;
    if negative && to[1..end].iter().all(|digit| matches!(digit, b'0' | b'.')) {
        // No server stores a negative zero; if one comes, it is shown without its sign, as by canal.
        to.copy_within(1..end, 0);
        return Ok(end - 1);
    }
    Ok(end)
}

/// A group of `digits` from the start of `rest`.
#[inline]
fn group(rest: &mut &[u8], digits: usize) -> Result<u32, ReadProblem> {
    let (bytes, left) = rest.split_at(GROUP_BYTES[digits]);
    *rest = left;
    let n = be_uint(bytes) as u32;
    if n >= 10u32.pow(digits as u32) {
        return Err(ReadProblem::Invalid(
            "a decimal group has more digits than its width",
        ));
    }
    Ok(n)
}

fn write_integer(to: &mut Window, start: usize, mut rest: &[u8], digits: usize) -> TextLen {
    let mut at = start;
    let first = digits % GROUP_DIGITS;
    if first > 0 {
        let n = group(&mut rest, first)?;
        if n > 0 {
            at = write_u64(to, at, u64::from(n));
        }
    }
    for _ in 0..digits / GROUP_DIGITS {
        let n = group(&mut rest, GROUP_DIGITS)?;
        if at > start {
            at = write_nine(to, at, n);
        } else if n > 0 {
            at = write_u64(to, at, u64::from(n));
        }
    }
    if at == start {
        to[at] = b'0';
        at += 1;
    }
    Ok(at)
}

fn write_fraction(to: &mut Window, at: usize, mut rest: &[u8], digits: usize) -> TextLen {
    if digits == 0 {
        return Ok(at);
    }
    to[at] = b'.';
    let mut at = at + 1;
    for _ in 0..digits / GROUP_DIGITS {
        at = write_nine(to, at, group(&mut rest, GROUP_DIGITS)?);
    }
    let last = digits % GROUP_DIGITS;
    if last > 0 {
        at = write_padded(to, at, group(&mut rest, last)?, last);
    }
    Ok(at)
}

fn write_nine(to: &mut Window, at: usize, n: u32) -> usize {
    to[at] = b'0' + (n / 100_000_000) as u8;
    write_padded(to, at + 1, n % 100_000_000, 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::value::{WINDOW, text_of, unhex};
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn decode(precision: u8, scale: u8, raw: &str) -> String {
        let shape = DecimalShape::new(precision, scale).unwrap();
        text_of(|to| write_decimal(to, &unhex(raw), shape))
    }

    /// The vectors of wire-protocol reference §16 and binlog-parser reference §3.3, at full scale.
    #[test]
    fn vectors() {
        assert_eq!(decode(10, 2, "800004d232"), "1234.50");
        assert_eq!(decode(10, 2, "7ffffb2dcd"), "-1234.50");
        assert_eq!(decode(4, 4, "7b2d"), "-0.1234");
        assert_eq!(decode(20, 10, "80000000051b38b06000"), "5.4567000000");
        assert_eq!(decode(10, 3, "7ffffffefe0b"), "-1.500");
        assert_eq!(decode(10, 2, "8000006400"), "100.00");
        assert_eq!(decode(10, 0, "8000000000"), "0");
    }

    #[test]
    fn a_group_beyond_its_digits_is_refused() {
        let shape = DecimalShape::new(4, 2).unwrap();
        assert!(write_decimal(&mut [0; WINDOW], &[0x80, 100], shape).is_err());
        assert_eq!(DecimalShape::new(66, 0), None);
        assert_eq!(DecimalShape::new(5, 6), None);
        assert_eq!(DecimalShape::new(0, 0), None);
    }

    /// Packs digits as the server does.
    fn pack(integer: &str, fraction: &str, negative: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut push = |digits: &str| {
            let n: u32 = digits.parse().unwrap();
            let bytes = GROUP_BYTES[digits.len()];
            out.extend_from_slice(&n.to_be_bytes()[4 - bytes..]);
        };
        let (first, whole) = integer.split_at(integer.len() % GROUP_DIGITS);
        if !first.is_empty() {
            push(first);
        }
        for chunk in whole.as_bytes().chunks(GROUP_DIGITS) {
            push(core::str::from_utf8(chunk).unwrap());
        }
        for chunk in fraction.as_bytes().chunks(GROUP_DIGITS) {
            push(core::str::from_utf8(chunk).unwrap());
        }
        out[0] ^= 0x80;
        if negative {
            out.iter_mut().for_each(|byte| *byte = !*byte);
        }
        out
    }

    proptest! {
        /// What is packed comes back, with its full scale and without leading zeros.
        #[test]
        fn decimals_round_trip(
            digits in "[0-9]{1,65}",
            scale in 0usize..31,
            negative: bool,
        ) {
            let scale = scale.min(digits.len());
            let (integer, fraction) = digits.split_at(digits.len() - scale);
            let raw = pack(integer, fraction, negative);
            let shape = DecimalShape::new(digits.len() as u8, scale as u8).unwrap();
            let text = text_of(|to| write_decimal(to, &raw, shape));
            let integer = integer.trim_start_matches('0');
            let integer = if integer.is_empty() { "0" } else { integer };
            let zero = digits.bytes().all(|b| b == b'0');
            let sign = if negative && !zero { "-" } else { "" };
            let point = if scale > 0 { "." } else { "" };
            prop_assert_eq!(text, format!("{sign}{integer}{point}{fraction}"));
        }

        /// Any bytes give text or a refusal.
        #[test]
        fn any_bytes_are_taken(precision in 1u8..66, scale in 0u8..31, bytes: [u8; 32]) {
            if let Some(shape) = DecimalShape::new(precision, scale) {
                let _ = write_decimal(&mut [0; WINDOW], &bytes[..shape.bytes()], shape);
            }
        }
    }
}
