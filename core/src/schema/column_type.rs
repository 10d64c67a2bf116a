//! The text of a column's type, taken apart and put together as canal shows it.
//!
//! Canal's `mysqlType` is the type's name in lower case, its arguments without spaces, ` unsigned` and
//! ` zerofill` (which implies unsigned); charsets and collations are not part of it (wire-protocol
//! reference §12.4). The many other spellings of a type become the one that servers print.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::schema::ddl::SqlContext;
use crate::schema::ddl::cursor::Cursor;
use crate::schema::ddl::lexer::{TokenKind, unquote};

/// Arguments of a type that are kept: the servers' limit for the members of an ENUM.
const ARGUMENTS_MAX: usize = 65_535;

/// A column's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SqlType {
    /// Its name in lower case, as servers print it.
    pub(crate) name: Cow<'static, str>,
    /// Numbers as they stand, members of ENUM and SET as quoted literals.
    pub(crate) arguments: Vec<String>,
    /// `unsigned`
    pub(crate) unsigned: bool,
    /// `zerofill`
    pub(crate) zerofill: bool,
}

/// A type and what stood with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypeClause {
    /// The type.
    pub(crate) sql_type: SqlType,
    /// The character set that was named, in lower case.
    pub(crate) charset: Option<String>,
    /// Whether it is SERIAL: NOT NULL AUTO_INCREMENT UNIQUE besides.
    pub(crate) serial: bool,
}

impl SqlType {
    /// A type without arguments.
    pub(crate) fn plain(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            arguments: Vec::new(),
            unsigned: false,
            zerofill: false,
        }
    }

    /// A type with numbers for arguments.
    pub(crate) fn sized(name: impl Into<Cow<'static, str>>, sizes: &[u32]) -> Self {
        Self {
            arguments: sizes.iter().map(ToString::to_string).collect(),
            ..Self::plain(name)
        }
    }

    /// Reads the text that a server or canal shows.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let context = SqlContext::default();
        read_type(&mut Cursor::new(text, &context)).map(|clause| clause.sql_type)
    }

    /// Argument `index` as a number.
    pub(crate) fn number(&self, index: usize) -> Option<u32> {
        self.arguments.get(index)?.parse().ok()
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.arguments.is_empty() {
            write!(f, "({})", self.arguments.join(","))?;
        }
        if self.unsigned {
            f.write_str(" unsigned")?;
        }
        if self.zerofill {
            f.write_str(" zerofill")?;
        }
        Ok(())
    }
}

/// The type's text as canal shows it; what is no type stays as it is, in lower case.
pub(crate) fn normalise(text: &str) -> String {
    match SqlType::parse(text) {
        Some(sql_type) => sql_type.to_string(),
        None => text.to_lowercase(),
    }
}

/// A member of an ENUM or SET as servers print it in the type.
pub(crate) fn quote_member(member: &str) -> String {
    let mut out = String::with_capacity(member.len() + 2);
    out.push('\'');
    for c in member.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("''"),
            '\0' => out.push_str("\\0"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

/// What a string literal stands for.
fn member_of(raw: &str, backslashes: bool) -> String {
    let inner = unquote(raw);
    if !backslashes || !inner.contains('\\') {
        return inner.into_owned();
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('0') => out.push('\0'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('b') => out.push('\x08'),
            Some('Z') => out.push('\x1a'),
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}

/// Reads a type with its arguments and attributes up to the first word that is none of these.
pub(crate) fn read_type(cursor: &mut Cursor<'_>) -> Option<TypeClause> {
    let first = cursor
        .peek()
        .filter(|token| token.kind == TokenKind::Word)?;
    cursor.bump();
    let word = first.raw.to_lowercase();
    let national = matches!(word.as_str(), "national" | "nchar" | "nvarchar");
    let mut clause = TypeClause {
        sql_type: SqlType::plain(spelled(&word, cursor)),
        charset: national.then(|| "utf8mb3".into()),
        serial: word == "serial",
    };
    clause.sql_type.unsigned = clause.serial;
    clause.sql_type.arguments = read_arguments(cursor);
    if matches!(word.as_str(), "bool" | "boolean") {
        clause.sql_type.arguments = Vec::from(["1".into()]);
    }
    read_attributes(cursor, &mut clause);
    complete(&mut clause);
    Some(clause)
}

/// The servers' name for the type that `word` and the words after it spell.
fn spelled(word: &str, cursor: &mut Cursor<'_>) -> Cow<'static, str> {
    let name = match word {
        "bool" | "boolean" | "int1" => "tinyint",
        "int2" => "smallint",
        "int3" | "middleint" => "mediumint",
        "integer" | "int4" => "int",
        "int8" | "serial" => "bigint",
        "dec" | "numeric" | "fixed" => "decimal",
        "real" | "float8" => "double",
        "double" => {
            cursor.eat("PRECISION");
            "double"
        }
        "float4" => "float",
        "char" | "character" | "nchar" => {
            if cursor.eat_any(&["VARYING", "VARCHAR"]) {
                "varchar"
            } else {
                "char"
            }
        }
        "varcharacter" | "nvarchar" => "varchar",
        "national" => return national(cursor),
        "long" => {
            if cursor.eat("VARBINARY") {
                "mediumblob"
            } else {
                if cursor.eat_any(&["CHAR", "CHARACTER"]) {
                    cursor.eat("VARYING");
                } else {
                    cursor.eat_any(&["VARCHAR", "VARCHARACTER"]);
                }
                "mediumtext"
            }
        }
        other => return Cow::Owned(other.into()),
    };
    Cow::Borrowed(name)
}

fn national(cursor: &mut Cursor<'_>) -> Cow<'static, str> {
    if cursor.eat_any(&["VARCHAR", "VARCHARACTER"]) {
        return Cow::Borrowed("varchar");
    }
    cursor.eat_any(&["CHAR", "CHARACTER"]);
    Cow::Borrowed(if cursor.eat("VARYING") {
        "varchar"
    } else {
        "char"
    })
}

fn read_arguments(cursor: &mut Cursor<'_>) -> Vec<String> {
    let mut arguments = Vec::new();
    if !cursor.eat_symbol(b'(') {
        return arguments;
    }
    while let Some(token) = cursor.bump() {
        match token.kind {
            TokenKind::Text if arguments.len() < ARGUMENTS_MAX => {
                let member = member_of(token.raw, cursor.knows_backslashes());
                arguments.push(quote_member(&member));
            }
            TokenKind::Number | TokenKind::Word if arguments.len() < ARGUMENTS_MAX => {
                arguments.push(token.raw.to_lowercase());
            }
            _ if token.is_symbol(b')') => break,
            TokenKind::Text
            | TokenKind::Number
            | TokenKind::Word
            | TokenKind::QuotedName
            | TokenKind::Symbol => {}
        }
    }
    arguments
}

fn read_attributes(cursor: &mut Cursor<'_>, clause: &mut TypeClause) {
    loop {
        if cursor.eat("UNSIGNED") {
            clause.sql_type.unsigned = true;
        } else if cursor.eat("ZEROFILL") {
            clause.sql_type.zerofill = true;
            clause.sql_type.unsigned = true;
        } else if cursor.eat("ASCII") {
            clause.charset = Some("latin1".into());
        } else if cursor.eat("UNICODE") {
            clause.charset = Some("ucs2".into());
        } else if cursor.eat("BYTE") {
            clause.charset = Some("binary".into());
        } else if cursor.eat("COMPRESSED") {
            if cursor.eat_symbol(b'=') {
                cursor.bump();
            }
        } else if let Some(charset) = read_charset(cursor) {
            clause.charset = Some(charset);
        } else if !cursor.eat_any(&["SIGNED", "BINARY"]) {
            return;
        }
    }
}

/// Takes `CHARSET x`, `CHARACTER SET x` or `CHAR SET x`, with or without an equals sign.
pub(crate) fn read_charset(cursor: &mut Cursor<'_>) -> Option<String> {
    let found = cursor.eat("CHARSET")
        || cursor.eat_all(&["CHARACTER", "SET"])
        || cursor.eat_all(&["CHAR", "SET"]);
    if !found {
        return None;
    }
    cursor.eat_symbol(b'=');
    cursor.text_or_name().map(|name| name.to_lowercase())
}

/// Fills in what the spelling left out, as servers do.
fn complete(clause: &mut TypeClause) {
    let sql_type = &mut clause.sql_type;
    let count = sql_type.arguments.len();
    match sql_type.name.as_ref() {
        "decimal" if count == 0 => sql_type.arguments = Vec::from(["10".into(), "0".into()]),
        "decimal" if count == 1 => sql_type.arguments.push("0".into()),
        "char" | "binary" | "bit" if count == 0 => sql_type.arguments.push("1".into()),
        "float" if count == 1 => {
            if sql_type.number(0).is_some_and(|bits| bits > 24) {
                sql_type.name = Cow::Borrowed("double");
            }
            sql_type.arguments.clear();
        }
        "datetime" | "timestamp" | "time" if sql_type.number(0) == Some(0) => {
            sql_type.arguments.clear();
        }
        _ => {}
    }
    if clause.charset.as_deref() == Some("binary") {
        let binary = match clause.sql_type.name.as_ref() {
            "char" => "binary",
            "varchar" => "varbinary",
            "tinytext" => "tinyblob",
            "text" => "blob",
            "mediumtext" => "mediumblob",
            "longtext" => "longblob",
            _ => return,
        };
        clause.sql_type.name = Cow::Borrowed(binary);
        clause.charset = None;
    }
}

/// The most bytes that a character of the character set takes; none for a set that is not known.
pub(crate) fn character_bytes_max(charset: &str) -> Option<u32> {
    Some(match charset {
        "utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030" => 4,
        "utf8" | "utf8mb3" | "eucjpms" | "ujis" => 3,
        "big5" | "cp932" | "euckr" | "gb2312" | "gbk" | "sjis" | "ucs2" => 2,
        "armscii8" | "ascii" | "binary" | "cp1250" | "cp1251" | "cp1256" | "cp1257" | "cp850"
        | "cp852" | "cp866" | "dec8" | "geostd8" | "greek" | "hebrew" | "hp8" | "keybcs2"
        | "koi8r" | "koi8u" | "latin1" | "latin2" | "latin5" | "latin7" | "macce" | "macroman"
        | "swe7" | "tis620" => 1,
        _ => return None,
    })
}

/// Whether two names mean the same character set: `utf8` is the old name of `utf8mb3`.
pub(crate) fn same_charset(a: &str, b: &str) -> bool {
    let old = |name| if name == "utf8" { "utf8mb3" } else { name };
    old(a) == old(b)
}

/// The character set of a collation, by its name; none where the name does not say.
pub(crate) fn charset_of_collation(collation: &str) -> Option<&str> {
    let charset = collation.split('_').next()?;
    character_bytes_max(charset).map(|_| charset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_print_becomes_what_canal_shows() {
        for (text, shown) in [
            ("int(11)", "int(11)"),
            ("BIGINT(20) UNSIGNED", "bigint(20) unsigned"),
            ("int(5) unsigned zerofill", "int(5) unsigned zerofill"),
            ("int(5) zerofill", "int(5) unsigned zerofill"),
            ("decimal( 10, 2 )", "decimal(10,2)"),
            ("float(7,3) unsigned", "float(7,3) unsigned"),
            (
                "enum('a','b c','it''s',',)')",
                "enum('a','b c','it''s',',)')",
            ),
            ("SET('A','b')", "set('A','b')"),
            ("varchar(500) /*M!100301 COMPRESSED*/", "varchar(500)"),
            ("datetime(3) /* mariadb-5.3 */", "datetime(3)"),
            (
                "varchar(10) CHARACTER SET latin1 COLLATE latin1_bin",
                "varchar(10)",
            ),
            ("geomcollection", "geomcollection"),
            ("uuid", "uuid"),
            ("vector(3)", "vector(3)"),
            ("", ""),
        ] {
            assert_eq!(normalise(text), shown, "{text}");
        }
    }

    #[test]
    fn other_spellings_become_the_servers() {
        for (text, shown) in [
            ("BOOL", "tinyint(1)"),
            ("INTEGER", "int"),
            ("DEC", "decimal(10,0)"),
            ("FIXED(5)", "decimal(5,0)"),
            ("NUMERIC(5,1) UNSIGNED", "decimal(5,1) unsigned"),
            ("REAL", "double"),
            ("DOUBLE PRECISION", "double"),
            ("FLOAT(24)", "float"),
            ("FLOAT(25)", "double"),
            ("INT8", "bigint"),
            ("MIDDLEINT", "mediumint"),
            ("SERIAL", "bigint unsigned"),
            ("LONG VARCHAR", "mediumtext"),
            ("LONG", "mediumtext"),
            ("LONG VARBINARY", "mediumblob"),
            ("CHAR", "char(1)"),
            ("CHARACTER VARYING(5)", "varchar(5)"),
            ("NATIONAL VARCHAR(5)", "varchar(5)"),
            ("NATIONAL CHARACTER VARYING(5)", "varchar(5)"),
            ("NCHAR(5)", "char(5)"),
            ("NVARCHAR(5)", "varchar(5)"),
            ("CHAR(5) BYTE", "binary(5)"),
            ("VARCHAR(5) CHARACTER SET binary", "varbinary(5)"),
            ("TEXT CHARSET = binary", "blob"),
            ("DATETIME(0)", "datetime"),
            ("BIT", "bit(1)"),
        ] {
            assert_eq!(normalise(text), shown, "{text}");
        }
    }

    #[test]
    fn charsets_are_read_with_the_type() {
        let context = SqlContext::default();
        let charset = |sql| read_type(&mut Cursor::new(sql, &context)).and_then(|c| c.charset);
        assert_eq!(charset("NCHAR(3)").as_deref(), Some("utf8mb3"));
        assert_eq!(charset("char(3) ASCII").as_deref(), Some("latin1"));
        assert_eq!(charset("text UNICODE").as_deref(), Some("ucs2"));
        assert_eq!(
            charset("enum('x') CHARACTER SET 'GBK'").as_deref(),
            Some("gbk")
        );
        assert_eq!(charset("int"), None);
        assert_eq!(charset_of_collation("gb18030_chinese_ci"), Some("gb18030"));
        assert_eq!(charset_of_collation("uca1400_ai_ci"), None);
        assert!(same_charset("utf8", "utf8mb3") && !same_charset("utf8", "utf8mb4"));
    }

    #[test]
    fn members_keep_what_they_are() {
        for (literal, canonical) in [
            (r"enum('a\'b')", "enum('a''b')"),
            (r#"enum("it's")"#, "enum('it''s')"),
            (r"enum('a\\b','\n')", r"enum('a\\b','\n')"),
        ] {
            assert_eq!(normalise(literal), canonical);
            assert_eq!(normalise(canonical), canonical, "stable");
        }
    }
}
