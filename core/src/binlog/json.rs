//! MySQL's binary JSON as canal's text (binlog-parser reference §3.5, wire-protocol reference §14).
//!
//! A document is walked with a stack of our own, straight into the output: `, ` between elements, `: `
//! behind keys, keys in stored order, numbers as Java prints them.
//!
//! Bounds: nesting of [`DEPTH_MAX`]; and since each value of an honest document has bytes of its own,
//! all values together may not take more bytes than the document has, so that a forged one whose
//! offsets share values cannot grow beyond its size times a constant.

use alloc::vec::Vec;

use crate::binlog::decimal::{DecimalShape, write_decimal};
use crate::binlog::float::write_f64;
use crate::binlog::temporal::{write_json_datetime, write_json_time};
use crate::binlog::value::{WINDOW, hex_digit, write_i64, write_u64};
use crate::mysql::charset::Charset;
use crate::read::{ReadError, ReadProblem, Reader};
use crate::write::Writer;

/// Most containers within each other: the server's own bound.
pub const DEPTH_MAX: usize = 100;

/// An open object or array. Offsets are from the start of the document, so that a stack of frames can be
/// kept from value to value.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Where the offsets inside are counted from.
    start: usize,
    /// Where the container ends.
    end: usize,
    shape: Shape,
    /// Elements in all.
    count: usize,
    /// Elements written.
    next: usize,
}

/// The four kinds of containers: objects have keys, large ones have offsets of four bytes.
#[derive(Clone, Copy, Debug)]
struct Shape {
    has_keys: bool,
    offset_bytes: usize,
}

impl Shape {
    const fn of(kind: u8) -> Option<Self> {
        Some(match kind {
            SMALL_OBJECT => Self {
                has_keys: true,
                offset_bytes: 2,
            },
            LARGE_OBJECT => Self {
                has_keys: true,
                offset_bytes: 4,
            },
            SMALL_ARRAY => Self {
                has_keys: false,
                offset_bytes: 2,
            },
            LARGE_ARRAY => Self {
                has_keys: false,
                offset_bytes: 4,
            },
            _ => return None,
        })
    }

    const fn open(self) -> u8 {
        if self.has_keys { b'{' } else { b'[' }
    }

    const fn close(self) -> u8 {
        if self.has_keys { b'}' } else { b']' }
    }

    /// Bytes of the count and size in front.
    const fn head_bytes(self) -> usize {
        2 * self.offset_bytes
    }

    /// Bytes of a key entry: offset and length.
    const fn key_bytes(self) -> usize {
        if self.has_keys {
            self.offset_bytes + 2
        } else {
            0
        }
    }

    /// Bytes of a value entry: type and offset or value.
    const fn value_bytes(self) -> usize {
        1 + self.offset_bytes
    }

    /// Whether values of `kind` stand in the entry itself.
    const fn is_inline(self, kind: u8) -> bool {
        match kind {
            LITERAL | INT16 | UINT16 => true,
            INT32 | UINT32 => self.offset_bytes == 4,
            _ => false,
        }
    }
}

const SMALL_OBJECT: u8 = 0;
const LARGE_OBJECT: u8 = 1;
const SMALL_ARRAY: u8 = 2;
const LARGE_ARRAY: u8 = 3;
const LITERAL: u8 = 4;
const INT16: u8 = 5;
const UINT16: u8 = 6;
const INT32: u8 = 7;
const UINT32: u8 = 8;
const INT64: u8 = 9;
const UINT64: u8 = 10;
const DOUBLE: u8 = 11;
const STRING: u8 = 12;
const OPAQUE: u8 = 15;

/// Column types that occur inside opaque values.
mod opaque_type {
    pub(super) const TIMESTAMP: u8 = 7;
    pub(super) const DATE: u8 = 10;
    pub(super) const TIME: u8 = 11;
    pub(super) const DATETIME: u8 = 12;
    pub(super) const DECIMAL: u8 = 246;
}

/// Writes the document `doc` as text. An empty one, which old servers store, is the empty text.
///
/// `charset` is that of opaque values that are neither numbers nor times. `stack` is scratch.
///
/// # Errors
/// `doc` is not JSON as MySQL stores it, or is nested too deep.
pub fn write_json(
    doc: &[u8],
    charset: &Charset,
    stack: &mut Vec<Frame>,
    w: &mut Writer,
) -> Result<(), ReadError> {
    let Some(&kind) = doc.first() else {
        return Ok(());
    };
    stack.clear();
    let mut walk = Walk {
        doc,
        charset,
        stack,
        unclaimed: doc.len(),
        w,
    };
    walk.value(kind, 1, doc.len())?;
    while let Some(frame) = walk.stack.last_mut() {
        if frame.next == frame.count {
            let close = frame.shape.close();
            walk.stack.pop();
            walk.w.put_u8(close);
            continue;
        }
        let index = frame.next;
        frame.next += 1;
        let frame = *frame;
        walk.element(&frame, index)?;
    }
    Ok(())
}

struct Walk<'a> {
    doc: &'a [u8],
    charset: &'a Charset,
    stack: &'a mut Vec<Frame>,
    /// Bytes of the document that no value has claimed yet.
    unclaimed: usize,
    w: &'a mut Writer,
}

impl<'a> Walk<'a> {
    /// A reader of `start..end`, which errors name by their place in the document.
    fn reader(
        &self,
        start: usize,
        end: usize,
        field: &'static str,
    ) -> Result<Reader<'a>, ReadError> {
        let mut reader = Reader::new(self.doc.get(..end).unwrap_or(self.doc));
        reader.bytes(start, field)?;
        Ok(reader)
    }

    fn claim(&mut self, bytes: usize, at: usize) -> Result<(), ReadError> {
        match self.unclaimed.checked_sub(bytes) {
            Some(left) => {
                self.unclaimed = left;
                Ok(())
            }
            None => Err(invalid("JSON", at, "values that overlap")),
        }
    }

    /// Writes the value of `kind` whose bytes start at `at`; a container is opened and pushed.
    fn value(&mut self, kind: u8, at: usize, end: usize) -> Result<(), ReadError> {
        if let Some(shape) = Shape::of(kind) {
            return self.open(shape, at, end);
        }
        let mut r = self.reader(at, end, "JSON value")?;
        self.scalar(kind, &mut r)?;
        self.claim(r.position() - at, at)
    }

    fn open(&mut self, shape: Shape, at: usize, end: usize) -> Result<(), ReadError> {
        let mut r = self.reader(at, end, "JSON container")?;
        let count = r.uint(shape.offset_bytes, "JSON element count")? as usize;
        let size = r.uint(shape.offset_bytes, "JSON container size")? as usize;
        let entries = count.saturating_mul(shape.key_bytes() + shape.value_bytes());
        if size > end - at || shape.head_bytes().saturating_add(entries) > size {
            return Err(invalid(
                "JSON container size",
                at,
                "beyond what contains it",
            ));
        }
        if self.stack.len() == DEPTH_MAX {
            return Err(invalid(
                "JSON container",
                at,
                "nested deeper than 100 levels",
            ));
        }
        self.claim(shape.head_bytes(), at)?;
        self.stack.push(Frame {
            start: at,
            end: at + size,
            shape,
            count,
            next: 0,
        });
        self.w.put_u8(shape.open());
        Ok(())
    }

    /// Writes one element: separator, key and value.
    fn element(&mut self, frame: &Frame, index: usize) -> Result<(), ReadError> {
        let shape = frame.shape;
        if index > 0 {
            self.w.put(b", ");
        }
        let keys = frame.start + shape.head_bytes();
        if shape.has_keys {
            let mut r = self.reader(
                keys + index * shape.key_bytes(),
                frame.end,
                "JSON key entry",
            )?;
            let offset = r.uint(shape.offset_bytes, "JSON key offset")? as usize;
            let len = usize::from(r.u16("JSON key length")?);
            let at = frame.start.saturating_add(offset);
            let key = self
                .reader(at, frame.end, "JSON key")?
                .bytes(len, "JSON key")?;
            self.claim(shape.key_bytes() + len, at)?;
            write_quoted(key, &Charset::Utf8, self.w);
            self.w.put(b": ");
        }
        let values = keys + frame.count * shape.key_bytes();
        let entry = values + index * shape.value_bytes();
        self.claim(shape.value_bytes(), entry)?;
        let mut r = self.reader(entry, frame.end, "JSON value entry")?;
        let kind = r.u8("JSON value type")?;
        if shape.is_inline(kind) {
            return self.scalar(kind, &mut r);
        }
        let offset = r.uint(shape.offset_bytes, "JSON value offset")? as usize;
        self.value(kind, frame.start.saturating_add(offset), frame.end)
    }

    fn scalar(&mut self, kind: u8, r: &mut Reader<'_>) -> Result<(), ReadError> {
        match kind {
            LITERAL => {
                let text: &[u8] = match r.u8("JSON literal")? {
                    0 => b"null",
                    1 => b"true",
                    2 => b"false",
                    _ => return Err(r.invalid("JSON literal", "neither null, true nor false")),
                };
                self.w.put(text);
            }
            INT16 => self.signed(i64::from(r.u16("JSON int16")? as i16)),
            UINT16 => self.unsigned(u64::from(r.u16("JSON uint16")?)),
            INT32 => self.signed(i64::from(r.u32("JSON int32")? as i32)),
            UINT32 => self.unsigned(u64::from(r.u32("JSON uint32")?)),
            INT64 => self.signed(r.u64("JSON int64")? as i64),
            UINT64 => self.unsigned(r.u64("JSON uint64")?),
            DOUBLE => {
                let value = f64::from_bits(r.u64("JSON double")?);
                self.w.reserve(WINDOW);
                let len = write_f64(self.w.window(), value);
                self.w.advance(len);
            }
            STRING => {
                let len = varint(r, "JSON string length")?;
                let text = r.bytes(len, "JSON string")?;
                write_quoted(text, &Charset::Utf8, self.w);
            }
            OPAQUE => {
                let column_type = r.u8("JSON opaque type")?;
                let len = varint(r, "JSON opaque length")?;
                let at = r.position();
                let bytes = r.bytes(len, "JSON opaque value")?;
                let written = write_opaque(column_type, bytes, self.charset, self.w);
                written.map_err(|problem| ReadError {
                    field: "JSON opaque value",
                    at,
                    problem,
                })?;
            }
            _ => return Err(r.invalid("JSON value type", "unknown")),
        }
        Ok(())
    }

    fn signed(&mut self, n: i64) {
        self.w.reserve(WINDOW);
        let len = write_i64(self.w.window(), 0, n);
        self.w.advance(len);
    }

    fn unsigned(&mut self, n: u64) {
        self.w.reserve(WINDOW);
        let len = write_u64(self.w.window(), 0, n);
        self.w.advance(len);
    }
}

const fn invalid(field: &'static str, at: usize, what: &'static str) -> ReadError {
    ReadError {
        field,
        at,
        problem: ReadProblem::Invalid(what),
    }
}

/// Seven bits a byte, the low ones first, at most five bytes.
fn varint(r: &mut Reader<'_>, field: &'static str) -> Result<usize, ReadError> {
    let mut n = 0u64;
    for shift in [0, 7, 14, 21, 28] {
        let byte = r.u8(field)?;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(n).map_err(|_| r.invalid(field, "a length beyond memory"));
        }
    }
    Err(r.invalid(field, "longer than five bytes"))
}

fn write_opaque(
    column_type: u8,
    bytes: &[u8],
    charset: &Charset,
    w: &mut Writer,
) -> Result<(), ReadProblem> {
    use opaque_type::{DATE, DATETIME, DECIMAL, TIME, TIMESTAMP};
    w.reserve(WINDOW + 2);
    match column_type {
        DECIMAL => {
            let [precision, scale, packed @ ..] = bytes else {
                return Err(ReadProblem::Truncated {
                    needed: 2,
                    left: bytes.len(),
                });
            };
            let Some(shape) = DecimalShape::new(*precision, *scale) else {
                return Err(ReadProblem::Invalid("a DECIMAL of impossible precision"));
            };
            if packed.len() != shape.bytes() {
                return Err(ReadProblem::Invalid(
                    "a DECIMAL of another length than its precision",
                ));
            }
            let len = write_decimal(w.window(), packed, shape)?;
            w.advance(len);
        }
        DATE | DATETIME | TIMESTAMP | TIME => {
            let Ok(packed) = bytes.try_into().map(i64::from_le_bytes) else {
                return Err(ReadProblem::Invalid("a time that is not eight bytes long"));
            };
            w.put_u8(b'"');
            let len = if column_type == TIME {
                write_json_time(w.window(), packed)?
            } else {
                write_json_datetime(w.window(), packed)?
            };
            w.advance(len);
            w.put_u8(b'"');
        }
        _ => write_quoted(bytes, charset, w),
    }
    Ok(())
}

/// Writes `bytes` as a JSON string.
fn write_quoted(bytes: &[u8], charset: &Charset, w: &mut Writer) {
    w.put_u8(b'"');
    let start = w.len();
    charset.write(bytes, w);
    if let Some(first) = w.as_slice()[start..]
        .iter()
        .position(|&byte| !PLAIN[usize::from(byte)])
    {
        escape_from(start + first, w);
    }
    w.put_u8(b'"');
}

/// Bytes that stand for themselves in any company. 0xc2 begins U+0080 to U+00BF, of which some are
/// escaped.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut i = 0;
    while i < 0x20 {
        plain[i] = false;
        i += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain[0x7f] = false;
    plain[0xc2] = false;
    plain
};

/// Rewrites the text from `start` on with its escapes, in place and from its end.
#[cold]
fn escape_from(start: usize, w: &mut Writer) {
    let text = &w.as_slice()[start..];
    let (mut from, mut growth) = (text.len(), 0);
    for (i, &byte) in text.iter().enumerate() {
        growth += match escape_of(i.checked_sub(1).map(|i| text[i]), byte) {
            Escape::None => 0,
            Escape::Short(_) => 1,
            Escape::Unicode => 5,
            Escape::UnicodePair => 4,
        };
    }
    w.reserve(growth);
    w.advance(growth);
    let text = w.written_mut(start);
    let mut to = from + growth;
    while from < to {
        from -= 1;
        let byte = text[from];
        match escape_of(from.checked_sub(1).map(|i| text[i]), byte) {
            Escape::None => {
                to -= 1;
                text[to] = byte;
            }
            Escape::Short(letter) => {
                to -= 2;
                text[to..to + 2].copy_from_slice(&[b'\\', letter]);
            }
            pair_or_not @ (Escape::Unicode | Escape::UnicodePair) => {
                from -= usize::from(pair_or_not == Escape::UnicodePair);
                to -= 6;
                let (high, low) = (hex_digit(byte >> 4), hex_digit(byte));
                text[to..to + 6].copy_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
}

/// How a byte of UTF-8 is escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    /// A backslash and this letter.
    Short(u8),
    /// `\u00` and two digits.
    Unicode,
    /// As `Unicode`, for a character of which this is the second byte.
    UnicodePair,
}

const fn escape_of(before: Option<u8>, byte: u8) -> Escape {
    match (byte, before) {
        (b'"' | b'\\', _) => Escape::Short(byte),
        (b'\n', _) => Escape::Short(b'n'),
        (b'\r', _) => Escape::Short(b'r'),
        (b'\t', _) => Escape::Short(b't'),
        (..0x20 | 0x7f, _) => Escape::Unicode,
        (0x80..=0xa0, Some(0xc2)) => Escape::UnicodePair,
        _ => Escape::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::value::unhex;
    use alloc::boxed::Box;
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec;
    use proptest::prelude::*;

    fn render(doc: &[u8]) -> Result<String, ReadError> {
        let mut w = Writer::default();
        write_json(doc, &Charset::Utf8, &mut Vec::new(), &mut w)?;
        Ok(String::from_utf8(w.as_slice().to_vec()).unwrap())
    }

    /// A JSON value as the server would be given it; the encoder below knows nothing of the decoder.
    #[derive(Clone, Debug)]
    enum Json {
        Literal(u8),
        Int(i64),
        Uint(u64),
        Double(f64),
        Text(String),
        Opaque(u8, Vec<u8>, &'static str),
        Array(Vec<Self>),
        Object(Vec<(String, Self)>),
    }

    impl Json {
        fn text(&self) -> String {
            match self {
                Self::Literal(n) => ["null", "true", "false"][usize::from(*n)].into(),
                Self::Int(n) => n.to_string(),
                Self::Uint(n) => n.to_string(),
                Self::Double(x) => crate::binlog::value::text_of(|to| Ok(write_f64(to, *x))),
                Self::Text(s) => quote(s),
                Self::Opaque(_, _, text) => (*text).into(),
                Self::Array(items) => {
                    let items: Vec<String> = items.iter().map(Self::text).collect();
                    format!("[{}]", items.join(", "))
                }
                Self::Object(items) => {
                    let item = |(k, v): &(String, Self)| format!("{}: {}", quote(k), v.text());
                    let items: Vec<String> = items.iter().map(item).collect();
                    format!("{{{}}}", items.join(", "))
                }
            }
        }

        /// Type byte and value.
        fn encode(&self, large: bool) -> (u8, Vec<u8>) {
            match self {
                Self::Literal(n) => (4, vec![*n]),
                Self::Int(n) => match (i16::try_from(*n), i32::try_from(*n)) {
                    (Ok(n), _) => (5, n.to_le_bytes().to_vec()),
                    (_, Ok(n)) => (7, n.to_le_bytes().to_vec()),
                    _ => (9, n.to_le_bytes().to_vec()),
                },
                Self::Uint(n) => match (u16::try_from(*n), u32::try_from(*n)) {
                    (Ok(n), _) => (6, n.to_le_bytes().to_vec()),
                    (_, Ok(n)) => (8, n.to_le_bytes().to_vec()),
                    _ => (10, n.to_le_bytes().to_vec()),
                },
                Self::Double(x) => (11, x.to_le_bytes().to_vec()),
                Self::Text(s) => (12, prefixed(s.as_bytes())),
                Self::Opaque(kind, bytes, _) => {
                    let mut out = vec![*kind];
                    out.extend(prefixed(bytes));
                    (15, out)
                }
                Self::Array(items) => {
                    let items: Vec<_> = items.iter().map(|item| (None, item)).collect();
                    (2 + u8::from(large), container(&items, large))
                }
                Self::Object(items) => {
                    let items: Vec<_> = items.iter().map(|(k, v)| (Some(&**k), v)).collect();
                    (u8::from(large), container(&items, large))
                }
            }
        }

        fn document(&self, large: bool) -> Vec<u8> {
            let (kind, value) = self.encode(large);
            let mut out = vec![kind];
            out.extend(value);
            out
        }
    }

    fn quote(s: &str) -> String {
        let mut out = String::from("\"");
        for c in s.chars() {
            match c {
                '"' => out += "\\\"",
                '\\' => out += "\\\\",
                '\n' => out += "\\n",
                '\r' => out += "\\r",
                '\t' => out += "\\t",
                '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' => out += &format!("\\u{:04x}", c as u32),
                c => out.push(c),
            }
        }
        out + "\""
    }

    fn prefixed(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut n = bytes.len();
        while n >= 0x80 {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        out.extend_from_slice(bytes);
        out
    }

    fn container(items: &[(Option<&str>, &Json)], large: bool) -> Vec<u8> {
        let width = if large { 4 } else { 2 };
        let number = |n: usize| n.to_le_bytes()[..width].to_vec();
        let has_keys = items.iter().any(|(key, _)| key.is_some());
        let key_bytes = if has_keys { width + 2 } else { 0 };
        let mut at = 2 * width + items.len() * (key_bytes + 1 + width);
        let (mut keys, mut values, mut tail) = (Vec::new(), Vec::new(), Vec::new());
        for key in items.iter().filter_map(|(key, _)| *key) {
            keys.extend(number(at));
            keys.extend((key.len() as u16).to_le_bytes());
            tail.extend_from_slice(key.as_bytes());
            at += key.len();
        }
        for (_, value) in items {
            let (kind, bytes) = value.encode(large);
            values.push(kind);
            if matches!(kind, 4..=6) || large && matches!(kind, 7 | 8) {
                let mut inline = bytes;
                inline.resize(width, 0);
                values.extend(inline);
            } else {
                values.extend(number(at));
                at += bytes.len();
                tail.extend(bytes);
            }
        }
        [number(items.len()), number(at), keys, values, tail].concat()
    }

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            (0u8..3).prop_map(Json::Literal),
            any::<i64>().prop_map(Json::Int),
            any::<i16>().prop_map(|n| Json::Int(n.into())),
            any::<i32>().prop_map(|n| Json::Int(n.into())),
            any::<u64>().prop_map(Json::Uint),
            any::<u32>().prop_map(|n| Json::Uint(n.into())),
            any::<i32>().prop_map(|n| Json::Double(f64::from(n) / 8.0)),
            any::<String>().prop_map(Json::Text),
            "[\u{70}-\u{b0}\"\\\\\n\t]{0,200}".prop_map(Json::Text),
        ];
        leaf.prop_recursive(5, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Json::Array),
                prop::collection::vec((any::<String>(), inner), 1..8).prop_map(Json::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn documents_are_printed_as_built(value in json(), large: bool) {
            prop_assert_eq!(render(&value.document(large)).unwrap(), value.text());
        }

        /// No document is larger as text than its bytes allow, whatever its offsets say.
        #[test]
        fn any_bytes_are_taken(value in json(), large: bool, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
            let mut doc = value.document(large);
            for (at, byte) in flips {
                let at = at.index(doc.len());
                doc[at] = byte;
            }
            if let Ok(text) = render(&doc) {
                prop_assert!(text.len() <= 16 * doc.len() + 16);
            }
        }

        #[test]
        fn random_bytes_are_taken(doc: Vec<u8>) {
            let _ = render(&doc);
        }
    }

    /// The example of wire-protocol reference §14.
    #[test]
    fn the_example_of_the_reference() {
        let d = "\u{e9}\n\"q\"/\\\t\u{8}\u{c}\u{1f}\u{7f}\u{a0}";
        let items = vec![Json::Int(1), Json::Double(2.5), Json::Text("x".into())];
        let literals = vec![Json::Literal(1), Json::Literal(0), Json::Literal(2)];
        let object = Json::Object(vec![
            ("a".into(), Json::Int(1)),
            (
                "c".into(),
                Json::Object(vec![("d".into(), Json::Text(d.into()))]),
            ),
            ("bb".into(), Json::Array([items, literals].concat())),
        ]);
        let text = "{\"a\": 1, \"c\": {\"d\": \"\u{e9}\\n\\\"q\\\"/\\\\\\t\\u0008\\u000c\\u001f\\u007f\\u00a0\"}, \"bb\": [1, 2.5, \"x\", true, null, false]}";
        assert_eq!(render(&object.document(false)).unwrap(), text);
    }

    #[test]
    fn opaque_values() {
        let date = ((2024 * 13 + 2) << 5 | 29i64) << 17;
        let moment = date | 12 << 12 | 34 << 6 | 56;
        let time = 12 << 12 | 30 << 6 | 1i64;
        for (kind, bytes, text) in [
            (246, unhex("0a02800004d232"), "1234.50"),
            (
                10,
                (date << 24).to_le_bytes().to_vec(),
                "\"2024-02-29 00:00:00.000000\"",
            ),
            (
                12,
                (moment << 24 | 7).to_le_bytes().to_vec(),
                "\"2024-02-29 12:34:56.000007\"",
            ),
            (
                7,
                (moment << 24).to_le_bytes().to_vec(),
                "\"2024-02-29 12:34:56.000000\"",
            ),
            (12, vec![0; 8], "\"0000-00-00 00:00:00\""),
            (
                11,
                (time << 24 | 500_000).to_le_bytes().to_vec(),
                "\"12:30:01.500000\"",
            ),
            (
                11,
                (-(time << 24 | 500_000)).to_le_bytes().to_vec(),
                "\"-12:30:01.500000\"",
            ),
            (11, vec![0; 8], "\"00:00:00\""),
            (252, b"a\"b".to_vec(), "\"a\\\"b\""),
        ] {
            let value = Json::Array(vec![Json::Opaque(kind, bytes, text)]);
            assert_eq!(render(&value.document(false)).unwrap(), format!("[{text}]"));
        }
    }

    #[test]
    fn an_empty_document_is_the_empty_text() {
        assert_eq!(render(&[]).unwrap(), "");
        assert_eq!(render(&[4, 0]).unwrap(), "null");
    }

    fn nested(depth: usize) -> Json {
        (1..depth).fold(Json::Array(vec![]), |inner, _| Json::Array(vec![inner]))
    }

    #[test]
    fn depth_is_bounded() {
        let text = render(&nested(DEPTH_MAX).document(false)).unwrap();
        assert_eq!(text.len(), 2 * DEPTH_MAX);
        let error = render(&nested(DEPTH_MAX + 1).document(false)).unwrap_err();
        assert_eq!(
            error.problem,
            ReadProblem::Invalid("nested deeper than 100 levels")
        );
    }

    #[test]
    fn shared_values_do_not_multiply() {
        // An array of 100 elements that all point to the same string of 1000 bytes.
        let text = Json::Text("x".repeat(1000));
        let mut doc = Json::Array(vec![text; 100]).document(false);
        let first = [doc[6], doc[7]];
        for element in 1..100 {
            doc[5 + 3 * element + 1..][..2].copy_from_slice(&first);
        }
        assert!(
            render(&doc).is_ok(),
            "as many values as there are bytes for"
        );
        doc.truncate(5 + 300 + 2100);
        doc[3..5].copy_from_slice(&2400u16.to_le_bytes());
        let error = render(&doc).unwrap_err();
        assert_eq!(error.problem, ReadProblem::Invalid("values that overlap"));
    }

    #[test]
    fn errors_name_the_place() {
        let error = render(&[2, 1, 0, 7, 0, 12, 99, 0]).unwrap_err();
        assert_eq!((error.field, error.at), ("JSON value", 0));
        let _: Box<dyn core::error::Error> = Box::new(error);
    }
}
