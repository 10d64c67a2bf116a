//! Java's properties syntax, with the line of each key.
//!
//! Written here rather than taken from a crate because messages must name lines, one bad escape must
//! not hide the problems after it, and a comment may hold anything (`# C:\users`).
//! Follows `java.util.Properties.load`: `=`, `:` or white space separate; a line that ends in an odd
//! number of backslashes goes on; `#` and `!` begin comments; `\t \n \r \f \uXXXX` are escapes, and any
//! other escaped character stands for itself. The text is UTF-8, as canal reads it.

use thiserror::Error;

/// A key and its value, unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The line on which it begins, counted from 1.
    pub line: u32,
    /// What stands before the separator.
    pub key: String,
    /// What stands after it; trailing blanks are kept.
    pub value: String,
}

/// A line that has no meaning.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("\\u must be followed by four hexadecimal digits that form a character")]
pub struct BadEscape {
    /// The line on which its key begins, counted from 1.
    pub line: u32,
}

/// Reads a whole file: what is understood, and what is not.
#[must_use]
pub fn scan(text: &str) -> (Vec<Property>, Vec<BadEscape>) {
    let (mut properties, mut faults) = (Vec::new(), Vec::new());
    let mut lines = Lines {
        text: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 0,
    };
    while let Some((line, logical)) = lines.next_logical() {
        let (key, value) = split(&logical);
        match (unescape(key), unescape(value)) {
            (Some(key), Some(value)) => properties.push(Property { line, key, value }),
            _ => faults.push(BadEscape { line }),
        }
    }
    (properties, faults)
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

struct Lines<'a> {
    text: &'a str,
    line: u32,
}

impl<'a> Lines<'a> {
    /// The next line as it stands, without its end; `\n`, `\r` and `\r\n` end lines.
    fn next_natural(&mut self) -> Option<&'a str> {
        if self.text.is_empty() {
            return None;
        }
        self.line += 1;
        let Some(end) = self.text.find(['\n', '\r']) else {
            return Some(core::mem::take(&mut self.text));
        };
        let (line, rest) = self.text.split_at(end);
        self.text = rest.strip_prefix("\r\n").unwrap_or_else(|| &rest[1..]);
        Some(line)
    }

    /// The next line that is neither blank nor a comment, with its continuations.
    fn next_logical(&mut self) -> Option<(u32, String)> {
        loop {
            let line = self.next_natural()?.trim_start_matches(BLANKS);
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let first = self.line;
            let mut logical = String::from(line);
            while ends_in_continuation(&logical) {
                logical.pop();
                let Some(more) = self.next_natural() else {
                    break;
                };
                logical.push_str(more.trim_start_matches(BLANKS));
            }
            return Some((first, logical));
        }
    }
}

fn ends_in_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// Key and value, still escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (matches!(c, '=' | ':') || BLANKS.contains(&c));
        escaped = c == '\\' && !escaped;
        ends
    });
    let Some(end) = end else { return (line, "") };
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(BLANKS);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(BLANKS))
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = after.chars();
        match chars.next() {
            None => {}
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let (c, after) = utf16(chars.as_str())?;
                out.push(c);
                rest = after;
                continue;
            }
            Some(other) => out.push(other),
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    Some(out)
}

/// The character that begins with the four digits at the start of `text`; a high surrogate takes the
/// escape that follows along.
fn utf16(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| -> Option<u16> {
        let digits = text.get(..4)?;
        let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
    };
    let first = unit(text)?;
    let rest = &text[4..];
    if let Some(c) = char::from_u32(u32::from(first)) {
        return Some((c, rest));
    }
    let low = rest.strip_prefix("\\u")?;
    let pair = char::decode_utf16([first, unit(low)?]).next()?.ok()?;
    Some((pair, &low[4..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> (String, String) {
        let (properties, faults) = scan(text);
        assert_eq!(faults, [], "{text}");
        assert_eq!(properties.len(), 1, "{text}: {properties:?}");
        (properties[0].key.clone(), properties[0].value.clone())
    }

    #[test]
    fn three_separators_and_none() {
        for text in [
            "k=v",
            "k:v",
            "k v",
            "k = v",
            "k\t:\u{c}v",
            "  k=v",
            "k   v",
            "k=  v",
        ] {
            assert_eq!(one(text), ("k".into(), "v".into()), "{text:?}");
        }
        assert_eq!(one("k"), ("k".into(), String::new()));
        assert_eq!(one("k=="), ("k".into(), "=".into()));
        assert_eq!(one("k = a = b : c"), ("k".into(), "a = b : c".into()));
        assert_eq!(one(r"a\=b\:c\ d=v"), ("a=b:c d".into(), "v".into()));
        assert_eq!(one("k = v  "), ("k".into(), "v  ".into()));
    }

    #[test]
    fn lines_go_on_after_an_odd_number_of_backslashes() {
        assert_eq!(
            one("k = a,\\\n    b,\\\r\n\tc"),
            ("k".into(), "a,b,c".into())
        );
        assert_eq!(one("k=a\\\n#b"), ("k".into(), "a#b".into()));
        let (properties, _) = scan("a=x\\\\\nb=y\\");
        assert_eq!(properties[0].value, "x\\");
        assert_eq!((properties[1].line, properties[1].value.as_str()), (2, "y"));
    }

    #[test]
    fn escapes() {
        assert_eq!(one(r"k=\t\n\r\f\\\q").1, "\t\n\r\u{c}\\q");
        assert_eq!(one(r"k=.*\\..*").1, r".*\..*");
        assert_eq!(one(r"k=\u4e2d\u6587 \uD83D\uDE00!").1, "中文 😀!");
        assert_eq!(one("k=中文").1, "中文");
    }

    #[test]
    fn a_bad_escape_is_named_by_line_and_hides_nothing() {
        let (properties, faults) = scan("# C:\\users\na=\\u12\nb=\\uD83Dx\nc=\\u+123\nd=1\n");
        assert_eq!(faults.iter().map(|f| f.line).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(
            properties,
            [Property {
                line: 5,
                key: "d".into(),
                value: "1".into()
            }]
        );
    }

    #[test]
    fn comments_blank_lines_and_line_numbers() {
        let (properties, _) = scan("\u{feff}! c\n\n  # c \\\na=1\r\rb=\\\n\n\nc=3");
        let lines: Vec<_> = properties
            .iter()
            .map(|p| (p.line, p.key.as_str()))
            .collect();
        assert_eq!(lines, [(4, "a"), (6, "b"), (9, "c")]);
    }

    proptest! {
        #[test]
        fn any_text_is_scanned_without_panic(text in any::<String>()) {
            let (properties, faults) = scan(&text);
            let lines = text.matches(['\n', '\r']).count() + 1;
            prop_assert!(properties.len() + faults.len() <= lines);
        }

        #[test]
        fn what_is_escaped_comes_back(value in any::<String>()) {
            let escaped: String =
                value.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let (properties, faults) = scan(&format!("k={escaped}"));
            prop_assert!(faults.is_empty());
            prop_assert_eq!(&properties[0].value, &value);
        }
    }
}
