//! Compares values as canald shows them with the truth of a corpus.
//!
//! Each truth has its own notation; where canald's text may differ from it and still say the same, the
//! rule stands here with its reason. Everything else must be equal.

use canald_core::entry::proto::Column;
use canald_core::mysql::charset::{Charset, collation_charset};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::corpus::Log;

/// What is known of a column besides the value.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its type as the server's tool prints it: `DATETIME(3) meta=3 nullable=1`.
    pub printed_type: &'a str,
    /// Its collation, where the log says it.
    pub collation: Option<u16>,
    /// What became of escapes in the truth.
    pub escapes: Escapes,
    /// The raw event that the value lies in.
    pub event: &'a [u8],
}

/// What became of the escapes of a tool's literals on their way into the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escapes {
    /// They are undone.
    Undone,
    /// `\n` has become `n`: only the backslash was taken off.
    Stripped,
}

impl Escapes {
    /// Those of a log: the tool of MySQL escapes some bytes by letters. Where it could not be used, for spatial
    /// columns and rows events of version 1, MariaDB's was.
    #[must_use]
    pub fn of(log: &Log) -> Self {
        let is_mariadbs = log.variant().starts_with("v1") || log.name.ends_with("-geometry");
        if log.server().starts_with("mysql") && !is_mariadbs {
            Self::Stripped
        } else {
            Self::Undone
        }
    }

    fn apply(self, byte: u8) -> u8 {
        match (self, byte) {
            (Self::Stripped, 0x08) => b'b',
            (Self::Stripped, 0x0c) => b'f',
            (Self::Stripped, b'\t') => b't',
            (Self::Stripped, b'\n') => b'n',
            (Self::Stripped, b'\r') => b'r',
            _ => byte,
        }
    }

    fn apply_to(self, text: &str) -> String {
        let mapped = |c: char| {
            u8::try_from(c).map_or(c, |byte| {
                if byte < 0x80 {
                    char::from(self.apply(byte))
                } else {
                    c
                }
            })
        };
        text.chars().map(mapped).collect()
    }
}

/// Whether `column` shows what the server's own tool printed.
#[must_use]
pub fn agrees(column: &Column, truth: &Value, known: Known<'_>) -> bool {
    let Some(text) = column.text() else {
        return truth.is_null();
    };
    let printed_type = known.printed_type.split(' ').next().unwrap_or_default();
    let class = printed_type.split('(').next().unwrap_or_default();
    match truth {
        Value::String(printed) => agrees_printed(column, text, printed.trim(), class),
        Value::Object(_) => match class {
            "DATE" | "TIME" | "DATETIME" => {
                agrees_time(text, truth["s"].as_str().unwrap_or_default(), class)
            }
            "JSON" => agrees_json(text, truth, known.escapes),
            _ => agrees_bytes(column, text, truth, known),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    }
}

fn agrees_printed(column: &Column, text: &str, printed: &str, class: &str) -> bool {
    match class {
        "TINYINT" | "SHORTINT" | "MEDIUMINT" | "INT" | "LONGINT" => {
            let is_unsigned = column.mysql_type().contains("unsigned");
            // `-1 (255)`: signed, and in parentheses the same bits unsigned
            let reading = match printed.split_once(" (") {
                Some((_, unsigned)) if is_unsigned => unsigned.trim_end_matches(')'),
                Some((signed, _)) => signed,
                None => printed,
            };
            text == reading
        }
        "FLOAT" | "DOUBLE" => {
            // printed with few digits; the other truth has them all
            let (Ok(shown), Ok(printed)) = (text.parse::<f64>(), printed.parse::<f64>()) else {
                return false;
            };
            let digits = if class == "FLOAT" { 1e-5 } else { 1e-14 };
            let is_same_single = class == "FLOAT" && shown as f32 == printed as f32;
            shown == printed || is_same_single || (shown - printed).abs() <= printed.abs() * digits
        }
        "BIT" => bits(printed).is_some_and(|bits| text == bits.to_string()),
        "SET" => members(printed).is_some_and(|mask| text == mask.to_string()),
        // the tool adds 1900 to what is stored, also to the 0 that stands for the year 0000
        "YEAR" if printed == "1900" => text == "0000",
        "TIMESTAMP" => text == civil(printed),
        "VECTOR" => agrees_vector(text, printed),
        // the tool adds a line about the partition to the last value of some rows
        _ if printed.contains("\nExtra row info for partitioning") => {
            let value = printed.split(" /* ").next().unwrap_or_default();
            text == value.trim_matches('\'')
        }
        _ => text == printed,
    }
}

/// canal shows a vector as the bytes of its numbers, the tool prints them with few digits.
fn agrees_vector(text: &str, printed: &str) -> bool {
    let Some(bytes) = latin1(text) else {
        return false;
    };
    let shown = bytes
        .chunks_exact(4)
        .map(|it| f32::from_le_bytes([it[0], it[1], it[2], it[3]]));
    let shown: Vec<String> = shown.map(|number| format!("{number:.5e}")).collect();
    let printed = printed.trim_matches(['[', ']']).split(',');
    let printed: Vec<String> = printed
        .filter_map(|number| Some(format!("{:.5e}", number.parse::<f64>().ok()?)))
        .collect();
    shown == printed
}

/// The bytes that `text` shows as ISO-8859-1.
fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect()
}

/// `b'0101'`
fn bits(printed: &str) -> Option<u64> {
    let digits = printed.strip_prefix("b'")?.strip_suffix('\'')?;
    u64::from_str_radix(digits, 2).ok()
}

/// `b'0000000110000000'`, the lowest byte first, as the log has them.
fn members(printed: &str) -> Option<u64> {
    let digits = printed.strip_prefix("b'")?.strip_suffix('\'')?;
    let bytes = digits.as_bytes().chunks(8).rev();
    bytes.into_iter().try_fold(0, |mask, byte| {
        let byte = u64::from_str_radix(std::str::from_utf8(byte).ok()?, 2).ok()?;
        Some(mask << 8 | byte)
    })
}

/// Seconds since 1970, with their fraction, in UTC.
fn civil(printed: &str) -> String {
    let (seconds, fraction) = printed.split_once('.').unwrap_or((printed, ""));
    let Ok(seconds) = seconds.parse::<i64>() else {
        return format!("not seconds: {printed}");
    };
    let point = if fraction.is_empty() { "" } else { "." };
    if seconds == 0 {
        return format!("0000-00-00 00:00:00{point}{fraction}");
    }
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{point}{fraction}")
}

/// The date `days` after 1970-01-01, counted out.
fn date_of(mut days: i64) -> (i64, i64, i64) {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    loop {
        let length = 365 + i64::from(is_leap(year));
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = 28 + i64::from(is_leap(year));
    for (month, length) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
        if days < length {
            return (year, month, days + 1);
        }
        days -= length;
    }
    unreachable!("a year has twelve months");
}

fn agrees_time(text: &str, printed: &str, class: &str) -> bool {
    match class {
        "DATE" => text == printed.replace(':', "-"),
        _ => text == printed,
    }
}

/// The tool prints doubles as C++ does, canal as Java does; a string that is all of a document it prints bare.
fn agrees_json(text: &str, truth: &Value, escapes: Escapes) -> bool {
    match (serde_json::from_str(text), truth["s"].as_str()) {
        (Ok(Value::String(bare)), None) => agrees_hash(escapes.apply_to(&bare).as_bytes(), truth),
        (Ok(Value::String(bare)), Some(printed)) => escapes.apply_to(&bare) == printed,
        (Ok(_), None) => agrees_hash(text.as_bytes(), truth),
        (Ok(_), Some(printed)) => {
            let (shown, printed) = (tokens(text), tokens(printed));
            shown.len() == printed.len()
                && shown
                    .iter()
                    .zip(&printed)
                    .all(|(shown, printed)| agrees_token(shown, printed))
        }
        (Err(_), _) => false,
    }
}

/// Strings, numbers, and all other characters one by one.
fn tokens(json: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' => string_len(rest),
            '-' | '0'..='9' => {
                let is_more = |c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
                rest.find(is_more).unwrap_or(rest.len())
            }
            _ => first.len_utf8(),
        };
        let (token, later) = rest.split_at(len);
        tokens.push(token);
        rest = later;
    }
    tokens
}

fn agrees_token(shown: &str, printed: &str) -> bool {
    if shown == printed {
        return true;
    }
    let Some(inner) = printed
        .strip_prefix('"')
        .and_then(|it| it.strip_suffix('"'))
    else {
        return shown.contains(['.', 'E']) && shown.parse::<f64>().ok() == printed.parse().ok();
    };
    // canal shows a date in a document as a date with a time, and zero without a fraction
    let canals = match inner {
        "0000-00-00 00:00:00.000000" => "\"0000-00-00 00:00:00\"".to_owned(),
        "00:00:00.000000" => "\"00:00:00\"".to_owned(),
        date if date.len() == "2026-01-02".len() => format!("\"{date} 00:00:00.000000\""),
        // and what MySQL has no JSON type for as the text of its bytes
        _ => match inner
            .strip_prefix("base64:type")
            .and_then(|it| it.split_once(':'))
        {
            Some((_, base64)) => quoted(&String::from_utf8_lossy(&from_base64(base64))),
            None => return false,
        },
    };
    shown == canals
}

/// As a JSON string with canal's escapes.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        '\0'..='\x1f' | '\x7f'..='\u{a0}' => format!("\\u{:04x}", u32::from(c)),
        _ => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

fn from_base64(base64: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for digit in base64.bytes() {
        let Some(value) = DIGITS.iter().position(|it| *it == digit) else {
            break; // padding
        };
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

/// Bytes of the JSON string at the start of `json`, quotes included.
fn string_len(json: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in json.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

/// Bytes of the log, in the character set of their column.
fn agrees_bytes(column: &Column, text: &str, truth: &Value, known: Known<'_>) -> bool {
    let shown_type = column.mysql_type();
    let is_text = ["char", "text", "json", "enum", "set", "inet", "uuid"]
        .iter()
        .any(|name| shown_type.contains(name));
    if !is_text {
        // canal shows bytes as ISO-8859-1
        let Some(bytes) = latin1(text) else {
            return false;
        };
        let stripped: Vec<u8> = bytes
            .iter()
            .map(|byte| known.escapes.apply(*byte))
            .collect();
        return match raw(truth) {
            Some(expected) => stripped == expected,
            None => agrees_hash(&stripped, truth),
        };
    }
    if let Some(bytes) = wide(text, known.collation) {
        let stripped: Vec<u8> = bytes
            .iter()
            .map(|byte| known.escapes.apply(*byte))
            .collect();
        return match raw(truth) {
            Some(expected) => stripped == expected,
            None => agrees_hash(&stripped, truth),
        };
    }
    // what the log does not say is read as UTF-8
    let charset = known
        .collation
        .and_then(Charset::from_collation)
        .unwrap_or(Charset::Utf8);
    match raw(truth) {
        // escapes are all ASCII, which stands for itself in what is read as UTF-8, whole or damaged
        Some(expected) => known.escapes.apply_to(text) == charset.decode(&expected),
        None => hashed(truth, known).is_some_and(|bytes| text == charset.decode(bytes)),
    }
}

/// `text` in a character set whose units are wider than a byte; none for the others.
fn wide(text: &str, collation: Option<u16>) -> Option<Vec<u8>> {
    match collation_charset(collation?)? {
        "ucs2" | "utf16" => Some(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        "utf16le" => Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        "utf32" => Some(
            text.chars()
                .flat_map(|c| u32::from(c).to_be_bytes())
                .collect(),
        ),
        _ => None,
    }
}

/// The bytes of which the truth has only length and hash, found in the event by both.
fn hashed<'a>(truth: &Value, known: Known<'a>) -> Option<&'a [u8]> {
    let len = usize::try_from(truth["len"].as_u64()?).ok()?;
    let prefix = (len as u16).to_le_bytes();
    let mut places = known
        .event
        .windows(2)
        .enumerate()
        .filter(|(_, it)| *it == prefix);
    places.find_map(|(at, _)| {
        // the length is one of two, three or four bytes
        (2..=4).find_map(|width| {
            let bytes = known.event.get(at + width..at + width + len)?;
            let stripped: Vec<u8> = bytes
                .iter()
                .map(|byte| known.escapes.apply(*byte))
                .collect();
            agrees_hash(&stripped, truth).then_some(bytes)
        })
    })
}

/// The bytes of a literal that is not too long to be there.
fn raw(truth: &Value) -> Option<Vec<u8>> {
    if let Some(text) = truth["s"].as_str() {
        return Some(text.as_bytes().to_vec());
    }
    let hex = truth["x"].as_str()?;
    (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok())
        .collect()
}

fn agrees_hash(bytes: &[u8], truth: &Value) -> bool {
    let digest: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    truth["len"].as_u64() == Some(bytes.len() as u64) && truth["sha256"].as_str() == Some(&digest)
}

/// Whether `column` shows what another decoder made of the value; none where that truth cannot tell.
///
/// What the server's own tool tells as well or better is left to it: documents, members of ENUM and SET.
#[must_use]
pub fn agrees_decoded(column: &Column, truth: &Value) -> Option<bool> {
    let shown_type = column.mysql_type();
    if ["json", "enum", "set"]
        .iter()
        .any(|it| shown_type.starts_with(it))
    {
        return None;
    }
    let Some(text) = column.text() else {
        return Some(truth.is_null());
    };
    Some(match truth {
        // it makes nulls of dates that no calendar has
        Value::Null => {
            if shown_type.starts_with("date") || shown_type.starts_with("timestamp") {
                return None;
            }
            false
        }
        // the year 0000 is 1900 for it, as for the server's tool
        Value::Number(number) if shown_type == "year" && text == "0000" => {
            number.as_u64() == Some(1900)
        }
        Value::Number(number) => {
            text.trim_start_matches('0') == number.to_string().trim_start_matches('0')
        }
        Value::String(string) if shown_type.starts_with("bit") => {
            u64::from_str_radix(string, 2).is_ok_and(|bits| text == bits.to_string())
        }
        Value::String(string) => text == string,
        Value::Object(_) => return agrees_decoded_object(text, shown_type, truth),
        Value::Bool(_) | Value::Array(_) => false,
    })
}

fn agrees_decoded_object(text: &str, shown_type: &str, truth: &Value) -> Option<bool> {
    if let Some(decimal) = truth["d"].as_str() {
        // `1E-10` is how Python writes a small one
        return (!decimal.contains('E')).then_some(text == decimal);
    }
    if let Some(number) = truth["f"].as_str() {
        let (shown, number) = (text.parse::<f64>().ok()?, number.parse::<f64>().ok()?);
        let is_single = shown_type.starts_with("float");
        return Some(shown == number || is_single && shown as f32 == number as f32);
    }
    if let Some(time) = truth["t"].as_str() {
        let time = time.replace('T', " ");
        // neither the zero time stamp nor those from 2038 on are times for it
        let is_zero = time == "1970-01-01 00:00:00" && text.starts_with("0000");
        let is_late = time.as_str() < "1970" && text >= "2038-01-19 03:14:08";
        if shown_type.starts_with("timestamp") && (is_zero || is_late) {
            return None;
        }
        let same_digits = |it: &str| match it.split_once('.') {
            Some((seconds, fraction)) => format!("{seconds}.{}", fraction.trim_end_matches('0')),
            None => format!("{it}."),
        };
        return Some(same_digits(text) == same_digits(&time));
    }
    if truth["x"].is_string() {
        return Some(latin1(text)? == raw(truth)?);
    }
    if truth["sha256"].is_string() {
        let bytes = if truth["of"].is_null() {
            latin1(text)?
        } else {
            text.as_bytes().to_vec()
        };
        return Some(agrees_hash(&bytes, truth));
    }
    None
}
