//! Values of rows as text: integers, bits, years and addresses, and what all value formats share
//! (wire-protocol reference §13, binlog-parser reference §3).
//!
//! Text of bounded length is written into a [`Window`]; the functions say how many bytes they used and
//! leave scratch behind them. None allocates, none keeps state. Bytes that no server writes are a
//! [`ReadProblem`].

use core::net::Ipv4Addr;

use crate::read::ReadProblem;

/// Bytes of a [`Window`]: the longest bounded text is DECIMAL(65, 30) with its sign, a zero and a point,
/// and the last store may run over its end.
pub const WINDOW: usize = 80;

/// Scratch for one value's text.
pub type Window = [u8; WINDOW];

/// Length of the text in a window, or why there is none.
pub type TextLen = Result<usize, ReadProblem>;

const TEN_TO_8: u64 = 100_000_000;
const TEN_TO_16: u64 = 10_000_000_000_000_000;

/// Eight decimal digits as ASCII in the order of text: the lowest byte is the first digit.
///
/// All digits are computed at once: the number is split into halves of four, two and one digits, each
/// in its own lane of a word.
#[inline]
const fn eight_digits(n: u64) -> u64 {
    debug_assert!(n < TEN_TO_8);
    let fours = (n / 10_000) | ((n % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (twos - 10 * tens) << 8
}

const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;

#[inline]
fn store(to: &mut Window, at: usize, bytes: u64) {
    to[at..at + 8].copy_from_slice(&bytes.to_le_bytes());
}

/// Writes `n`, below 10⁸, in as many digits as it has.
#[inline]
fn write_small(to: &mut Window, at: usize, n: u64) -> usize {
    let digits = eight_digits(n);
    let zeros = (digits.trailing_zeros() / 8).min(7);
    store(to, at, (digits | ASCII_ZEROS) >> (8 * zeros));
    at + 8 - zeros as usize
}

/// Writes `n` at `at` in as many digits as it has; returns where they end.
#[inline]
pub fn write_u64(to: &mut Window, at: usize, n: u64) -> usize {
    if n < TEN_TO_8 {
        write_small(to, at, n)
    } else {
        write_large(to, at, n)
    }
}

fn write_large(to: &mut Window, at: usize, n: u64) -> usize {
    let mut at = at;
    let mut low = n;
    if n >= TEN_TO_16 {
        at = write_small(to, at, n / TEN_TO_16);
        low = n % TEN_TO_16;
        store(to, at, eight_digits(low / TEN_TO_8) | ASCII_ZEROS);
        at += 8;
    } else {
        at = write_small(to, at, n / TEN_TO_8);
    }
    low %= TEN_TO_8;
    store(to, at, eight_digits(low) | ASCII_ZEROS);
    at + 8
}

/// Writes `n` at `at` with its sign; returns where it ends.
#[inline]
pub fn write_i64(to: &mut Window, at: usize, n: i64) -> usize {
    let at = if n < 0 {
        to[at] = b'-';
        at + 1
    } else {
        at
    };
    write_u64(to, at, n.unsigned_abs())
}

/// Writes `n`, below 10⁸, in exactly `digits` digits, at most eight; returns where they end.
#[inline]
pub fn write_padded(to: &mut Window, at: usize, n: u32, digits: usize) -> usize {
    debug_assert!(digits <= 8);
    let text = eight_digits(u64::from(n)) | ASCII_ZEROS;
    if digits > 0 {
        store(to, at, text >> (8 * (8 - digits)));
    }
    at + digits
}

/// The two digits of each number below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

/// The two digits of `n`, below 100.
#[inline]
#[must_use]
pub const fn pair(n: u32) -> [u8; 2] {
    PAIRS[n as usize % 100]
}

/// A little-endian unsigned integer of at most eight bytes.
#[inline]
#[must_use]
pub fn le_uint(bytes: &[u8]) -> u64 {
    match *bytes {
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_le_bytes([a, b])),
        [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
        _ => {
            let mut out = [0; 8];
            out[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(out)
        }
    }
}

/// A big-endian unsigned integer of at most eight bytes.
#[inline]
#[must_use]
pub fn be_uint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte))
}

/// `YEAR`: years since 1900, and 0 for the year zero.
pub fn write_year(to: &mut Window, raw: &[u8]) -> TextLen {
    let year = match le_uint(raw) as u32 {
        0 => 0,
        since_1900 => 1900 + since_1900,
    };
    Ok(write_padded(to, 0, year, 4))
}

/// MariaDB's `INET4`: four bytes, of which trailing zeros were cut off.
pub fn write_inet4(to: &mut Window, raw: &[u8]) -> TextLen {
    let [a, b, c, d] = padded::<4>(raw)?;
    Ok(write_ipv4(to, 0, Ipv4Addr::new(a, b, c, d)))
}

fn write_ipv4(to: &mut Window, at: usize, address: Ipv4Addr) -> usize {
    let mut at = at;
    for (i, octet) in address.octets().into_iter().enumerate() {
        if i > 0 {
            to[at] = b'.';
            at += 1;
        }
        at = write_u64(to, at, u64::from(octet));
    }
    at
}

/// MariaDB's `INET6` as the server prints it: the first longest run of zero groups is folded, even if
/// it is a single group, and IPv4-compatible and IPv4-mapped addresses end in dotted form.
pub fn write_inet6(to: &mut Window, raw: &[u8]) -> TextLen {
    let bytes = padded::<16>(raw)?;
    let (pairs, _) = bytes.as_chunks::<2>();
    let mut groups = [0u16; 8];
    for (group, pair) in groups.iter_mut().zip(pairs) {
        *group = u16::from_be_bytes(*pair);
    }
    let (gap, gap_len) = longest_zero_run(&groups);
    let dotted = gap == 0 && (gap_len == 6 || gap_len == 5 && groups[5] == 0xffff);
    let mut at = 0;
    let mut i = 0;
    while i < groups.len() {
        if i == gap && gap_len > 0 {
            to[at..at + 2].copy_from_slice(b"::");
            // The group before has written its colon already.
            at += if i == 0 { 2 } else { 1 };
            i += gap_len;
            continue;
        }
        if dotted && i == 6 {
            let [.., a, b, c, d] = bytes;
            return Ok(write_ipv4(to, at, Ipv4Addr::new(a, b, c, d)));
        }
        at = write_hex_group(to, at, groups[i]);
        i += 1;
        if i < groups.len() {
            to[at] = b':';
            at += 1;
        }
    }
    Ok(at)
}

/// Start and length of the first of the longest runs of zero groups.
fn longest_zero_run(groups: &[u16; 8]) -> (usize, usize) {
    let mut best = (0, 0);
    let mut start = 0;
    for (i, &group) in groups.iter().enumerate() {
        if group != 0 {
            start = i + 1;
        } else if i + 1 - start > best.1 {
            best = (start, i + 1 - start);
        }
    }
    best
}

fn write_hex_group(to: &mut Window, at: usize, group: u16) -> usize {
    let mut at = at;
    let digits = (16 - (group | 1).leading_zeros()).div_ceil(4);
    for i in (0..digits).rev() {
        to[at] = hex_digit((group >> (4 * i)) as u8);
        at += 1;
    }
    at
}

/// The lower-case hexadecimal digit of the low four bits.
#[inline]
#[must_use]
pub const fn hex_digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[(nibble & 0x0f) as usize]
}

/// MariaDB's `UUID`: sixteen bytes in the order of the text, of which trailing zeros were cut off.
pub fn write_uuid(to: &mut Window, raw: &[u8]) -> TextLen {
    let bytes = padded::<16>(raw)?;
    let mut at = 0;
    for (i, byte) in bytes.into_iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            to[at] = b'-';
            at += 1;
        }
        to[at] = hex_digit(byte >> 4);
        to[at + 1] = hex_digit(byte);
        at += 2;
    }
    Ok(at)
}

fn padded<const N: usize>(raw: &[u8]) -> Result<[u8; N], ReadProblem> {
    let mut out = [0; N];
    let Some(to) = out.get_mut(..raw.len()) else {
        return Err(ReadProblem::Invalid("longer than its type"));
    };
    to.copy_from_slice(raw);
    Ok(out)
}

/// For the tests of the formats: the text that `write` makes.
#[cfg(test)]
pub(crate) fn text_of(write: impl FnOnce(&mut Window) -> TextLen) -> alloc::string::String {
    let mut window = [0; WINDOW];
    let len = write(&mut window).unwrap();
    alloc::string::String::from_utf8(window[..len].to_vec()).unwrap()
}

/// For the tests of the formats: bytes from hexadecimal text.
#[cfg(test)]
pub(crate) fn unhex(text: &str) -> alloc::vec::Vec<u8> {
    let digits: alloc::vec::Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_are_printed_as_rust_prints_them(n: u64, shift in 0u32..64, at in 0usize..8) {
            let n = n >> shift;
            let unsigned = text_of(|to| {
                to[..at].fill(b'x');
                Ok(write_u64(to, at, n))
            });
            prop_assert_eq!(&unsigned[at..], n.to_string());
            prop_assert_eq!(text_of(|to| Ok(write_i64(to, 0, n as i64))), (n as i64).to_string());
        }

        #[test]
        fn padded_integers_have_their_width(n in 0u32..100_000_000, digits in 1usize..9) {
            let n = n % 10u32.pow(digits as u32);
            prop_assert_eq!(text_of(|to| Ok(write_padded(to, 0, n, digits))), format!("{n:0digits$}"));
        }
    }

    #[test]
    fn integers_at_every_power_of_ten() {
        let mut n = 1u64;
        for _ in 0..20 {
            for n in [n - 1, n, n + 1, u64::MAX] {
                assert_eq!(text_of(|to| Ok(write_u64(to, 0, n))), n.to_string());
            }
            n = n.saturating_mul(10).min(u64::MAX - 1);
        }
        assert_eq!(
            text_of(|to| Ok(write_i64(to, 0, i64::MIN))),
            "-9223372036854775808"
        );
    }

    #[test]
    fn years() {
        for (raw, text) in [
            (0x7c, "2024"),
            (0x00, "0000"),
            (0xff, "2155"),
            (0x01, "1901"),
        ] {
            assert_eq!(text_of(|to| write_year(to, &[raw])), text);
        }
    }

    #[test]
    fn addresses_of_mariadb() {
        assert_eq!(text_of(|to| write_inet4(to, &[10])), "10.0.0.0");
        assert_eq!(
            text_of(|to| write_inet4(to, &[192, 168, 1, 255])),
            "192.168.1.255"
        );
        assert_eq!(
            text_of(|to| write_inet6(to, &unhex("20010db8"))),
            "2001:db8::"
        );
        assert_eq!(text_of(|to| write_inet6(to, &[])), "::");
        for (raw, text) in [
            ("00000000000000000000000000000001", "::1"),
            ("000000000000000000000000c0a80101", "::192.168.1.1"),
            ("00000000000000000000ffffc0a80101", "::ffff:192.168.1.1"),
            ("20010db8000000000000000000000001", "2001:db8::1"),
            ("20010db80000000100000000000000ff", "2001:db8:0:1::ff"),
            ("20010db8000100020003000400050006", "2001:db8:1:2:3:4:5:6"),
            ("20010db8000000020003000400050006", "2001:db8::2:3:4:5:6"),
            ("fe80000000000000ffff0000abcd1234", "fe80::ffff:0:abcd:1234"),
        ] {
            assert_eq!(text_of(|to| write_inet6(to, &unhex(raw))), text);
        }
        let mut window = [0; WINDOW];
        assert!(write_inet4(&mut window, &[1, 2, 3, 4, 5]).is_err());
    }

    #[test]
    fn uuids_of_mariadb() {
        let raw = unhex("123e4567e89b12d3a45642661417");
        assert_eq!(
            text_of(|to| write_uuid(to, &raw)),
            "123e4567-e89b-12d3-a456-426614170000"
        );
        assert_eq!(
            text_of(|to| write_uuid(to, &[])),
            "00000000-0000-0000-0000-000000000000"
        );
    }
}
