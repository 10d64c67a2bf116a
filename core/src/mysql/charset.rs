//! Character sets: from a collation id or a name to text in UTF-8 (binlog-parser reference §2.3, §3.2).
//!
//! UTF-8 is checked and copied; what `encoding_rs` knows is left to it; the rest has small tables. Bytes
//! that mean nothing become U+FFFD, as in canal; nothing here fails.

mod tables;

use alloc::borrow::Cow;
use alloc::string::String;

use encoding_rs::Encoding;

use crate::write::Writer;
use tables::HighHalf;

/// How bytes become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// `utf8mb4`, `utf8mb3`, `ascii`, and `binary` where text is wanted of it.
    Utf8,
    /// ISO-8859-1 to the letter: each byte is the code point of the same number. MySQL's `latin1` is
    /// not this but windows-1252.
    Iso8859Part1,
    /// What `encoding_rs` decodes.
    Foreign(&'static Encoding),
    /// A single-byte character set with a table of ours.
    SingleByte(&'static HighHalf),
    /// `swe7`: ASCII with ten characters replaced.
    Swe7,
    /// `utf32`, big endian.
    Utf32,
}

impl Charset {
    /// The character set called `name`: MySQL's and MariaDB's names, and the labels that Java and the
    /// web use (`UTF-8`, `ISO-8859-1`, `GBK`), in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let lower = name.trim().to_ascii_lowercase();
        Some(match lower.as_str() {
            "utf8mb4" | "utf8mb3" | "utf8" | "utf-8" | "ascii" | "us-ascii" | "binary" => {
                Self::Utf8
            }
            "iso-8859-1" | "iso8859-1" | "iso8859_1" | "iso_8859_1" => Self::Iso8859Part1,
            "latin1" => Self::Foreign(encoding_rs::WINDOWS_1252),
            "latin2" => Self::Foreign(encoding_rs::ISO_8859_2),
            "latin7" => Self::Foreign(encoding_rs::ISO_8859_13),
            "greek" => Self::Foreign(encoding_rs::ISO_8859_7),
            "hebrew" => Self::Foreign(encoding_rs::ISO_8859_8),
            "cp1250" => Self::Foreign(encoding_rs::WINDOWS_1250),
            "cp1251" => Self::Foreign(encoding_rs::WINDOWS_1251),
            "cp1256" => Self::Foreign(encoding_rs::WINDOWS_1256),
            "cp1257" => Self::Foreign(encoding_rs::WINDOWS_1257),
            "cp866" => Self::Foreign(encoding_rs::IBM866),
            "koi8r" => Self::Foreign(encoding_rs::KOI8_R),
            "koi8u" => Self::Foreign(encoding_rs::KOI8_U),
            "macroman" => Self::Foreign(encoding_rs::MACINTOSH),
            "big5" => Self::Foreign(encoding_rs::BIG5),
            "gbk" | "gb2312" => Self::Foreign(encoding_rs::GBK),
            "gb18030" => Self::Foreign(encoding_rs::GB18030),
            "sjis" | "cp932" => Self::Foreign(encoding_rs::SHIFT_JIS),
            "ujis" | "eucjpms" => Self::Foreign(encoding_rs::EUC_JP),
            "euckr" => Self::Foreign(encoding_rs::EUC_KR),
            "ucs2" | "utf16" | "utf-16" | "utf-16be" => Self::Foreign(encoding_rs::UTF_16BE),
            "utf16le" | "utf-16le" => Self::Foreign(encoding_rs::UTF_16LE),
            "utf32" | "utf-32" | "utf-32be" => Self::Utf32,
            "swe7" => Self::Swe7,
            "cp850" => Self::SingleByte(&tables::CP850),
            "cp852" => Self::SingleByte(&tables::CP852),
            "dec8" => Self::SingleByte(&tables::DEC8),
            "hp8" => Self::SingleByte(&tables::HP8),
            "latin5" | "iso-8859-9" => Self::SingleByte(&tables::LATIN5),
            "tis620" => Self::SingleByte(&tables::TIS620),
            "macce" => Self::SingleByte(&tables::MACCE),
            "armscii8" => Self::SingleByte(&tables::ARMSCII8),
            "geostd8" => Self::SingleByte(&tables::GEOSTD8),
            "keybcs2" => Self::SingleByte(&tables::KEYBCS2),
            label => match Encoding::for_label_no_replacement(label.as_bytes()) {
                Some(encoding) if encoding == encoding_rs::UTF_8 => Self::Utf8,
                Some(encoding) => Self::Foreign(encoding),
                None => return None,
            },
        })
    }

    /// The character set of collation `id`; none for an id that no server known to us uses.
    #[must_use]
    pub fn from_collation(id: u16) -> Option<Self> {
        Self::from_name(collation_charset(id)?)
    }

    /// `bytes` as text.
    #[must_use]
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Cow<'a, str> {
        if *self == Self::Utf8
            && let Ok(text) = core::str::from_utf8(bytes)
        {
            return Cow::Borrowed(text);
        }
        let mut w = Writer::default();
        self.write(bytes, &mut w);
        Cow::Owned(String::from_utf8_lossy(w.as_slice()).into_owned())
    }

    /// Writes `bytes` as UTF-8, at most three bytes for each.
    #[inline]
    pub fn write(&self, bytes: &[u8], w: &mut Writer) {
        match self {
            Self::Utf8 if is_utf8(bytes) => w.put(bytes),
            Self::Utf8 => write_utf8_repaired(bytes, w),
            Self::Iso8859Part1 => write_iso_8859_1(bytes, w),
            Self::Foreign(encoding) => write_foreign(encoding, bytes, w),
            Self::SingleByte(table) => write_chars(bytes, w, |byte| match byte {
                0..=0x7f => char::from(byte),
                high => table.0[usize::from(high & 0x7f)],
            }),
            Self::Swe7 => write_chars(bytes, w, swe7_char),
            Self::Utf32 => write_utf32(bytes, w),
        }
    }
}

/// The name of the character set of collation `id`; none for an id that no server known to us uses.
///
/// MariaDB's ids above 1024 are the same collations without padding, those from 2048 on are UCA 14.0.
#[must_use]
pub const fn collation_charset(id: u16) -> Option<&'static str> {
    Some(match id {
        1024..=2047 => return fixed_collation_charset(id - 1024),
        2048..=2303 => "utf8mb3",
        2304..=2559 => "utf8mb4",
        2560..=2815 => "ucs2",
        2816..=3071 => "utf16",
        3072..=3327 => "utf32",
        _ => return fixed_collation_charset(id),
    })
}

/// As [`collation_charset`], for the ids below 1024, which are numbered one by one.
const fn fixed_collation_charset(id: u16) -> Option<&'static str> {
    Some(match id {
        1 | 84 => "big5",
        2 | 9 | 21 | 27 | 77 => "latin2",
        3 | 69 => "dec8",
        4 | 80 => "cp850",
        5 | 8 | 15 | 31 | 47..=49 | 94 => "latin1",
        6 | 72 => "hp8",
        7 | 74 => "koi8r",
        10 | 82 => "swe7",
        11 | 65 => "ascii",
        12 | 91 => "ujis",
        13 | 88 => "sjis",
        14 | 23 | 50..=52 => "cp1251",
        16 | 71 => "hebrew",
        18 | 89 => "tis620",
        19 | 85 => "euckr",
        20 | 41 | 42 | 79 => "latin7",
        22 | 75 => "koi8u",
        24 | 86 => "gb2312",
        25 | 70 => "greek",
        26 | 34 | 44 | 66 | 99 => "cp1250",
        28 | 87 => "gbk",
        29 | 58 | 59 => "cp1257",
        30 | 78 => "latin5",
        32 | 64 => "armscii8",
        33 | 76 | 83 | 192..=223 | 576..=578 => "utf8mb3",
        35 | 90 | 128..=159 | 640..=642 => "ucs2",
        36 | 68 => "cp866",
        37 | 73 => "keybcs2",
        38 | 43 => "macce",
        39 | 53 => "macroman",
        40 | 81 => "cp852",
        45 | 46 | 224..=247 | 255..=323 | 608..=610 => "utf8mb4",
        54 | 55 | 101..=124 | 672..=674 => "utf16",
        56 | 62 => "utf16le",
        57 | 67 => "cp1256",
        60 | 61 | 160..=183 | 736..=738 => "utf32",
        63 => "binary",
        92 | 93 => "geostd8",
        95 | 96 => "cp932",
        97 | 98 => "eucjpms",
        248..=250 => "gb18030",
        _ => return None,
    })
}

/// The collation of binary strings.
pub const BINARY_COLLATION: u16 = 63;

/// From this length on the vectorised check of UTF-8 is worth its start.
const SIMD_UTF8_MIN: usize = 64;

/// Whether `bytes` are UTF-8.
#[inline]
pub fn is_utf8(bytes: &[u8]) -> bool {
    if bytes.len() < SIMD_UTF8_MIN {
        core::str::from_utf8(bytes).is_ok()
    } else {
        simdutf8::basic::from_utf8(bytes).is_ok()
    }
}

#[cold]
fn write_utf8_repaired(bytes: &[u8], w: &mut Writer) {
    for chunk in bytes.utf8_chunks() {
        w.put(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            w.put("\u{fffd}".as_bytes());
        }
    }
}

/// Writes each byte as the code point of the same number: how canal shows binary data.
#[inline]
pub fn write_iso_8859_1(bytes: &[u8], w: &mut Writer) {
    w.reserve(2 * bytes.len());
    let len = encoding_rs::mem::convert_latin1_to_utf8(bytes, &mut w.room()[..2 * bytes.len()]);
    w.advance(len);
}

fn write_foreign(encoding: &'static Encoding, bytes: &[u8], w: &mut Writer) {
    if encoding.is_ascii_compatible() && bytes.is_ascii() {
        w.put(bytes);
        return;
    }
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let max = decoder.max_utf8_buffer_length(bytes.len());
    w.reserve(max.expect("three bytes for each byte of an event fit in memory's range"));
    let (_, read, written, _) = decoder.decode_to_utf8(bytes, w.room(), true);
    debug_assert_eq!(
        read,
        bytes.len(),
        "the decoder was given the room that it asked for"
    );
    w.advance(written);
}

/// Writes the characters that `to_char` makes of `bytes`, none of which is beyond U+FFFF.
#[inline]
fn write_chars(bytes: &[u8], w: &mut Writer, to_char: impl Fn(u8) -> char) {
    w.reserve(3 * bytes.len());
    let room = w.room();
    let mut len = 0;
    for &byte in bytes {
        len += to_char(byte).encode_utf8(&mut room[len..]).len();
    }
    w.advance(len);
}

const fn swe7_char(byte: u8) -> char {
    match byte {
        b'@' => 'É',
        b'[' => 'Ä',
        b'\\' => 'Ö',
        b']' => 'Å',
        b'^' => 'Ü',
        b'`' => 'é',
        b'{' => 'ä',
        b'|' => 'ö',
        b'}' => 'å',
        b'~' => 'ü',
        0x7f.. => char::REPLACEMENT_CHARACTER,
        ascii => ascii as char,
    }
}

fn write_utf32(bytes: &[u8], w: &mut Writer) {
    let (units, rest) = bytes.as_chunks::<4>();
    let mut utf8 = [0; 4];
    for unit in units {
        let c = char::from_u32(u32::from_be_bytes(*unit)).unwrap_or(char::REPLACEMENT_CHARACTER);
        w.put(c.encode_utf8(&mut utf8).as_bytes());
    }
    if !rest.is_empty() {
        w.put("\u{fffd}".as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mysql_common::collations::{Collation, CollationId};
    use proptest::prelude::*;

    fn decode(name: &str, bytes: &[u8]) -> String {
        Charset::from_name(name).unwrap().decode(bytes).into_owned()
    }

    #[test]
    fn every_collation_of_mysql_has_its_charset() {
        let mut known = 0;
        for id in 1..=323u16 {
            let collation = Collation::from(CollationId::from(id));
            if collation.charset() == "unknown" {
                continue;
            }
            assert_eq!(collation_charset(id), Some(collation.charset()), "id {id}");
            assert!(Charset::from_collation(id).is_some(), "id {id}");
            known += 1;
        }
        assert_eq!(known, 286);
    }

    #[test]
    fn collations_of_mariadb_are_known_by_their_ranges() {
        for (id, name) in [
            (576, "utf8mb3"),
            (608, "utf8mb4"),
            (1032, "latin1"),
            (1069, "utf8mb4"),
            (2048, "utf8mb3"),
            (2304, "utf8mb4"),
            (2560, "ucs2"),
            (2816, "utf16"),
            (3072, "utf32"),
        ] {
            assert_eq!(collation_charset(id), Some(name), "id {id}");
        }
        assert_eq!(collation_charset(0), None);
        assert_eq!(collation_charset(700), None);
        assert_eq!(collation_charset(4000), None);
    }

    #[test]
    fn text_of_each_family_becomes_utf8() {
        assert_eq!(decode("utf8mb4", "你好 🦀".as_bytes()), "你好 🦀");
        assert_eq!(decode("gbk", b"\xc4\xe3\xba\xc3"), "你好");
        assert_eq!(decode("gb18030", b"\x94\x39\xda\x33"), "💩");
        assert_eq!(decode("big5", b"\xa7\x41\xa6\x6e"), "你好");
        assert_eq!(decode("sjis", b"\x83\x65\x83\x58\x83\x67"), "テスト");
        assert_eq!(decode("ujis", b"\xa5\xc6\xa5\xb9\xa5\xc8"), "テスト");
        assert_eq!(decode("euckr", b"\xc7\xd1\xb1\xdb"), "한글");
        assert_eq!(decode("latin1", b"\x80caf\xe9"), "€café");
        assert_eq!(decode("ISO-8859-1", b"\x80caf\xe9"), "\u{80}café");
        assert_eq!(decode("latin2", b"\xb1\xe6"), "ąć");
        assert_eq!(decode("latin5", b"\xd0\x80"), "Ğ\u{80}");
        assert_eq!(decode("latin7", b"\xe0\xb8"), "ąø");
        assert_eq!(decode("cp1251", b"\xcf\xf0\xe8\xe2\xe5\xf2"), "Привет");
        assert_eq!(decode("koi8r", b"\xf0\xd2\xc9\xd7\xc5\xd4"), "Привет");
        assert_eq!(decode("cp866", b"\x8f\xe0\xa8\xa2\xa5\xe2"), "Привет");
        assert_eq!(decode("greek", b"\xe1\xe2\xe3"), "αβγ");
        assert_eq!(decode("hebrew", b"\xf9\xec\xe5\xed"), "שלום");
        assert_eq!(
            decode("tis620", b"\xcd\xd1\xa1\xc9\xc3\xe4\xb7\xc2"),
            "อักษรไทย"
        );
        assert_eq!(
            decode("utf16", b"\x4f\x60\x59\x7d\xd8\x3e\xdd\x80"),
            "你好🦀"
        );
        assert_eq!(decode("ucs2", b"\x4f\x60\x59\x7d"), "你好");
        assert_eq!(decode("utf16le", b"\x60\x4f\x7d\x59"), "你好");
        assert_eq!(decode("utf32", b"\0\x01\xf9\x80\0\0\0A"), "🦀A");
        assert_eq!(decode("cp850", b"\x80\x9d"), "ÇØ");
        assert_eq!(decode("cp852", b"\x88\xe3"), "łŃ");
        assert_eq!(decode("dec8", b"\xd7\xf7\xa8"), "Œœ¤");
        assert_eq!(decode("hp8", b"\xb5\xde"), "çß");
        assert_eq!(decode("macce", b"\xfc\x8b"), "Łč");
        assert_eq!(decode("macroman", b"\x8e"), "é");
        assert_eq!(decode("armscii8", b"\xb2\xb3"), "Աա");
        assert_eq!(decode("geostd8", b"\xc0\xc1\xfd"), "აბ№");
        assert_eq!(decode("keybcs2", b"\x80\x91\xa8"), "Čžš");
        assert_eq!(decode("swe7", b"R{ksm|rg}s @"), "Räksmörgås É");
    }

    #[test]
    fn bytes_without_meaning_become_the_replacement_character() {
        assert_eq!(decode("utf8mb4", b"a\xffb\xe4\xbd"), "a\u{fffd}b\u{fffd}");
        assert_eq!(decode("gbk", b"\xc4"), "\u{fffd}");
        assert_eq!(decode("utf32", b"\0\0\xd8\0\0"), "\u{fffd}\u{fffd}");
        assert_eq!(decode("swe7", b"\x80"), "\u{fffd}");
        assert_eq!(decode("dec8", b"\xff"), "\u{fffd}");
        assert_eq!(Charset::from_name("utf8mb5"), None);
    }

    proptest! {
        /// Whatever the bytes, what comes out is UTF-8, and never more than three bytes for one.
        #[test]
        fn every_charset_takes_every_byte(id in 1u16..324, bytes: alloc::vec::Vec<u8>) {
            if let Some(charset) = Charset::from_collation(id) {
                let mut w = Writer::default();
                charset.write(&bytes, &mut w);
                prop_assert!(core::str::from_utf8(w.as_slice()).is_ok());
                prop_assert!(w.len() <= 3 * bytes.len());
            }
        }

        /// Binary data is shown byte by byte.
        #[test]
        fn binary_is_one_code_point_a_byte(bytes: alloc::vec::Vec<u8>) {
            let text: String = bytes.iter().map(|&b| char::from(b)).collect();
            let mut w = Writer::default();
            write_iso_8859_1(&bytes, &mut w);
            prop_assert_eq!(w.as_slice(), text.as_bytes());
        }
    }
}
