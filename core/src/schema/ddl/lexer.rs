//! The lexical rules of MySQL and MariaDB, as far as finding names and keywords needs them.
//!
//! Lazy and linear: every call of [`Lexer::next`] moves on or ends. What does not lex (a string
//! without its end, a comment without its end) reaches to the end of the text; nothing is an error.
//!
//! Comments are space. Executable comments are code or space by the version in them and the server's
//! (binlog-parser reference §4.6), which both servers count differently.

use alloc::borrow::{Cow, ToOwned};

use super::{Flavor, SqlContext};

/// The version from which MySQL reads six digits in an executable comment if a blank follows them.
const MYSQL_SIX_DIGITS: u32 = 80_400;

/// Executable comments of these versions are MySQL's alone: MariaDB takes them for space.
const MARIADB_SKIPS: core::ops::RangeInclusive<u32> = 50_700..=99_999;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in quotes.
    QuotedName,
    /// A string literal.
    Text,
    /// Digits alone.
    Number,
    /// Any other single byte.
    Symbol,
}

/// One token and where it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// What it is.
    pub(crate) kind: TokenKind,
    /// As it stands, quotes included.
    pub(crate) raw: &'a str,
    /// Bytes from the start of the text to it.
    pub(crate) start: usize,
}

impl<'a> Token<'a> {
    /// Whether it is the keyword `keyword`, in any case.
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.raw.eq_ignore_ascii_case(keyword)
    }

    /// Whether it is one of `keywords`, in any case.
    pub(crate) fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    /// Whether it is the symbol `byte`.
    pub(crate) fn is_symbol(&self, byte: u8) -> bool {
        self.kind == TokenKind::Symbol && self.raw.as_bytes() == [byte]
    }

    /// Where it ends in the text.
    pub(crate) const fn end(&self) -> usize {
        self.start + self.raw.len()
    }

    /// The name it stands for, if it can be one.
    pub(crate) fn name(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            TokenKind::Word => Some(Cow::Borrowed(self.raw)),
            TokenKind::QuotedName => Some(unquote(self.raw)),
            TokenKind::Text | TokenKind::Number | TokenKind::Symbol => None,
        }
    }
}

/// What stands between the quotes of `raw`, doubled quotes made single. Backslashes stay.
pub(crate) fn unquote(raw: &str) -> Cow<'_, str> {
    let Some(quote) = raw.chars().next() else {
        return Cow::Borrowed("");
    };
    let inner = &raw[quote.len_utf8()..];
    let inner = inner.strip_suffix(quote).unwrap_or(inner);
    if !inner.contains(quote) {
        return Cow::Borrowed(inner);
    }
    let single = quote.encode_utf8(&mut [0; 4]).to_owned();
    Cow::Owned(inner.replace(&single.repeat(2), &single))
}

/// Cuts a text into tokens.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    /// How many executable comments are open: as many `*/` are space.
    open_comments: u32,
    context: &'a SqlContext<'a>,
}

impl<'a> Lexer<'a> {
    /// Reads `sql` from its start, by the rules of `context`.
    pub(crate) const fn new(sql: &'a str, context: &'a SqlContext<'a>) -> Self {
        Self {
            sql,
            at: 0,
            open_comments: 0,
            context,
        }
    }

    /// The next token.
    pub(crate) fn next(&mut self) -> Option<Token<'a>> {
        self.skip_space();
        let start = self.at;
        let byte = self.byte(0)?;
        let kind = match byte {
            b'`' => {
                self.skip_quoted(byte, Escapes::None);
                TokenKind::QuotedName
            }
            b'"' if self.context.ansi_quotes => {
                self.skip_quoted(byte, Escapes::None);
                TokenKind::QuotedName
            }
            b'\'' | b'"' => {
                let escapes = if self.context.no_backslash_escapes {
                    Escapes::None
                } else {
                    Escapes::Backslash
                };
                self.skip_quoted(byte, escapes);
                TokenKind::Text
            }
            _ if is_word_byte(byte) => self.skip_word(),
            _ => {
                self.at += 1;
                TokenKind::Symbol
            }
        };
        Some(Token {
            kind,
            raw: &self.sql[start..self.at],
            start,
        })
    }

    /// The whole text.
    pub(crate) const fn text(&self) -> &'a str {
        self.sql
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.sql.as_bytes().get(self.at + ahead).copied()
    }

    fn rest(&self) -> &'a [u8] {
        &self.sql.as_bytes()[self.at..]
    }

    fn skip_word(&mut self) -> TokenKind {
        let length = self
            .rest()
            .iter()
            .take_while(|byte| is_word_byte(**byte))
            .count();
        let digits = self.rest()[..length].iter().all(u8::is_ascii_digit);
        self.at += length;
        if digits {
            TokenKind::Number
        } else {
            TokenKind::Word
        }
    }

    fn skip_quoted(&mut self, quote: u8, escapes: Escapes) {
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            self.at += 1;
            if byte == b'\\' && escapes == Escapes::Backslash {
                self.at = (self.at + 1).min(self.sql.len());
            } else if byte == quote {
                if self.byte(0) != Some(quote) {
                    return;
                }
                self.at += 1;
            }
        }
    }

    fn skip_space(&mut self) {
        while let Some(byte) = self.byte(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0 => self.at += 1,
                b'#' => self.skip_line(),
                b'-' if self.starts_dash_comment() => self.skip_line(),
                b'/' if self.byte(1) == Some(b'*') => self.open_comment(),
                b'*' if self.open_comments > 0 && self.byte(1) == Some(b'/') => {
                    self.open_comments -= 1;
                    self.at += 2;
                }
                _ => return,
            }
        }
    }

    /// Two dashes begin a comment only before a blank or a control character, or at the end.
    fn starts_dash_comment(&self) -> bool {
        self.byte(1) == Some(b'-') && self.byte(2).is_none_or(|byte| byte <= b' ' || byte == 0x7f)
    }

    fn skip_line(&mut self) {
        self.at = match memchr::memchr(b'\n', self.rest()) {
            Some(length) => self.at + length + 1,
            None => self.sql.len(),
        };
    }

    fn open_comment(&mut self) {
        match self.executable_prefix() {
            Some(prefix) => {
                self.open_comments += 1;
                self.at += prefix;
            }
            None => self.skip_comment(),
        }
    }

    /// Skips a comment that is space. A versioned one may hold other comments, one deep.
    fn skip_comment(&mut self) {
        let versioned = matches!(self.byte(2), Some(b'!'))
            || (self.context.flavor == Flavor::Mariadb
                && self.byte(2) == Some(b'M')
                && self.byte(3) == Some(b'!'));
        self.at += 2;
        let mut inside = false;
        while let Some(byte) = self.byte(0) {
            match (byte, self.byte(1)) {
                (b'*', Some(b'/')) => {
                    self.at += 2;
                    if !inside {
                        return;
                    }
                    inside = false;
                }
                (b'/', Some(b'*')) if versioned && !inside => {
                    self.at += 2;
                    inside = true;
                }
                _ => self.at += 1,
            }
        }
    }

    /// If the comment here is code: the bytes before that code.
    fn executable_prefix(&self) -> Option<usize> {
        let version = self.context.server_version;
        match (self.byte(2), self.byte(3), self.context.flavor) {
            (Some(b'!'), _, Flavor::Mysql) => {
                let digits = self.mysql_digits(3);
                (digits == 0 || self.number(3, digits) <= version).then_some(3 + digits)
            }
            (Some(b'!'), _, Flavor::Mariadb) => {
                let digits = self.mariadb_digits(3);
                let number = self.number(3, digits);
                let code = digits == 0 || number <= version && !MARIADB_SKIPS.contains(&number);
                code.then_some(3 + digits)
            }
            (Some(b'M'), Some(b'!'), Flavor::Mariadb) => {
                let digits = self.mariadb_digits(4);
                (digits == 0 || self.number(4, digits) <= version).then_some(4 + digits)
            }
            _ => None,
        }
    }

    fn mysql_digits(&self, from: usize) -> usize {
        match self.count_digits(from) {
            0..=4 => 0,
            6.. if self.context.server_version >= MYSQL_SIX_DIGITS
                && self
                    .byte(from + 6)
                    .is_some_and(|byte| byte.is_ascii_whitespace()) =>
            {
                6
            }
            _ => 5,
        }
    }

    fn mariadb_digits(&self, from: usize) -> usize {
        match self.count_digits(from) {
            0..=4 => 0,
            5 => 5,
            _ => 6,
        }
    }

    /// Digits that stand `from` bytes ahead; more than six count as six.
    fn count_digits(&self, from: usize) -> usize {
        (0..6)
            .take_while(|i| {
                self.byte(from + i)
                    .is_some_and(|byte| byte.is_ascii_digit())
            })
            .count()
    }

    fn number(&self, from: usize, digits: usize) -> u32 {
        (0..digits)
            .filter_map(|i| self.byte(from + i))
            .fold(0, |n, d| n * 10 + u32::from(d - b'0'))
    }
}

/// What a backslash in quotes does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// It hides the byte after it.
    Backslash,
    /// Nothing.
    None,
}

/// Whether `byte` may be part of a name without quotes. All of UTF-8 beyond ASCII may.
const fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;

    fn lex(sql: &str, context: &SqlContext<'_>) -> Vec<String> {
        let mut lexer = Lexer::new(sql, context);
        core::iter::from_fn(|| lexer.next())
            .map(|token| token.raw.into())
            .collect()
    }

    fn mysql(version: u32) -> SqlContext<'static> {
        SqlContext {
            server_version: version,
            ..SqlContext::default()
        }
    }

    fn mariadb(version: u32) -> SqlContext<'static> {
        SqlContext {
            flavor: Flavor::Mariadb,
            ..mysql(version)
        }
    }

    #[test]
    fn names_strings_numbers_and_symbols() {
        let context = mysql(80_000);
        assert_eq!(
            lex(r"a.`b``c`='x\'y''z' 12 1a 名前 -- note", &context),
            ["a", ".", "`b``c`", "=", r"'x\'y''z'", "12", "1a", "名前"]
        );
        assert_eq!(unquote("`b``c`"), "b`c");
        assert_eq!(unquote("'"), "");
    }

    #[test]
    fn sql_mode_decides_over_double_quotes_and_backslashes() {
        let plain = mysql(80_000);
        let ansi = SqlContext {
            ansi_quotes: true,
            ..plain
        };
        let kind = |context| Lexer::new("\"a\"", context).next().map(|token| token.kind);
        assert_eq!(kind(&plain), Some(TokenKind::Text));
        assert_eq!(kind(&ansi), Some(TokenKind::QuotedName));
        let verbatim = SqlContext {
            no_backslash_escapes: true,
            ..plain
        };
        assert_eq!(lex(r"'a\' b", &verbatim), [r"'a\'", "b"]);
        assert_eq!(lex(r"'a\' b", &plain), [r"'a\' b"]);
    }

    #[test]
    fn comments_are_space() {
        let context = mysql(80_000);
        assert_eq!(
            lex("a/* x */b # c\nd --\te\nf 1--2", &context),
            ["a", "b", "d", "f", "1", "-", "-", "2"]
        );
        assert_eq!(lex("/* never ends", &context), [""; 0]);
    }

    #[test]
    fn executable_comments_on_mysql() {
        assert_eq!(lex("a /*!50000 b */ c", &mysql(50_624)), ["a", "b", "c"]);
        assert_eq!(lex("a /*!80000 b */ c", &mysql(50_624)), ["a", "c"]);
        assert_eq!(
            lex("a /*! b /* in */ c */ d", &mysql(50_624)),
            ["a", "b", "c", "d"]
        );
        assert_eq!(
            lex("a /*!99999 b /* in */ c */ d", &mysql(50_624)),
            ["a", "d"]
        );
        assert_eq!(lex("/*!100100 b */", &mysql(80_036)), ["0", "b"]);
        assert_eq!(lex("/*!100100 b */ c", &mysql(80_400)), ["c"]);
        assert_eq!(lex("/*!080400 b */ c", &mysql(80_400)), ["b", "c"]);
        assert_eq!(lex("/*!50001b*/", &mysql(80_400)), ["b"]);
        assert_eq!(lex("/*M!100100 b */ c", &mysql(90_700)), ["c"]);
    }

    #[test]
    fn executable_comments_on_mariadb() {
        let context = mariadb(101_100);
        assert_eq!(lex("/*!50100 a */ b", &context), ["a", "b"]);
        assert_eq!(lex("/*!50700 a */ b", &context), ["b"]);
        assert_eq!(lex("/*!99999 a */ b", &context), ["b"]);
        assert_eq!(lex("/*!100100 a */ b", &context), ["a", "b"]);
        assert_eq!(lex("/*!110800 a */ b", &context), ["b"]);
        assert_eq!(lex("/*M!50700 a */ b", &context), ["a", "b"]);
        assert_eq!(lex("/*M! a */ b", &context), ["a", "b"]);
        assert_eq!(lex("/*M!110800 a */ b", &context), ["b"]);
    }
}
