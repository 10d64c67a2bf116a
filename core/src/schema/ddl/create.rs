//! The columns of a CREATE TABLE statement.
//!
//! Attributes are read token by token up to the next comma; what is unknown is skipped, in balanced
//! parentheses. A column's character set is its own, else its collation's, else the table's, else
//! `utf8mb4`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use thiserror::Error;

use super::cursor::Cursor;
use crate::schema::column_type::{
    SqlType, TypeClause, character_bytes_max, charset_of_collation, read_charset, read_type,
};
use crate::schema::table::{ColumnSchema, TableName, TableSchema};

/// The character set of a table that names none.
const CHARSET_DEFAULT: &str = "utf8mb4";

/// Columns of a table, at most: the servers' own limit.
pub(crate) const COLUMNS_MAX: usize = 4096;

/// A CREATE TABLE statement whose columns cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CreateProblem {
    /// The table's name cannot be found.
    #[error("the table's name cannot be found")]
    Name,
    /// There is no list of columns.
    #[error("it has no list of columns; give the output of SHOW CREATE TABLE")]
    Columns,
    /// It takes columns from a query.
    #[error("it takes columns from a SELECT; give the output of SHOW CREATE TABLE")]
    Select,
    /// LIKE names a table that does not stand before it.
    #[error("the table {0} that it is LIKE is not defined before it")]
    Like(TableName),
    /// A column's definition cannot be read.
    #[error("column {number}: its name or type cannot be found")]
    Column {
        /// Its place, from 1.
        number: usize,
    },
    /// The list of columns does not end.
    #[error("the list of columns is not closed")]
    Open,
    /// More columns than a table can have.
    #[error("more than {COLUMNS_MAX} columns")]
    TooMany,
    /// The primary key names a column that the table has not.
    #[error("the primary key's column `{0}` is not in the table")]
    Key(String),
}

/// What a CREATE TABLE says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// The table's columns.
    Table(TableSchema),
    /// The name of a table, and of the one whose columns it has.
    Like(TableName, TableName),
}

/// A column before the table's character set is known.
struct Draft {
    name: String,
    clause: TypeClause,
    is_key: bool,
    nullable: Option<bool>,
}

/// Takes `CREATE … TABLE [IF NOT EXISTS]` if it is next.
pub(crate) fn eat_create_table(cursor: &mut Cursor<'_>) -> bool {
    let before = cursor.clone();
    if cursor.eat("CREATE") {
        cursor.eat_all(&["OR", "REPLACE"]);
        cursor.eat("TEMPORARY");
        if cursor.eat("TABLE") {
            cursor.eat_if_exists();
            return true;
        }
    }
    *cursor = before;
    false
}

/// Reads the rest of a CREATE TABLE, from the table's name on.
pub(crate) fn read_create_table(cursor: &mut Cursor<'_>) -> Result<Created, CreateProblem> {
    let name = cursor.table_name().ok_or(CreateProblem::Name)?;
    if cursor.eat("LIKE") {
        let like = cursor.table_name().ok_or(CreateProblem::Name)?;
        return Ok(Created::Like(name, like));
    }
    if cursor.at_any(&["SELECT", "AS", "WITH"]) {
        return Err(CreateProblem::Select);
    }
    if !cursor.eat_symbol(b'(') {
        return Err(CreateProblem::Columns);
    }
    if cursor.eat("LIKE") {
        let like = cursor.table_name().ok_or(CreateProblem::Name)?;
        return Ok(Created::Like(name, like));
    }
    let (mut drafts, mut key) = (Vec::new(), Vec::new());
    loop {
        read_element(cursor, &mut drafts, &mut key)?;
        cursor.skip_item();
        if cursor.eat_symbol(b',') {
            continue;
        }
        if !cursor.eat_symbol(b')') {
            return Err(CreateProblem::Open);
        }
        break;
    }
    let charset = read_table_charset(cursor)?;
    if drafts.is_empty() {
        return Err(CreateProblem::Columns);
    }
    mark_key(&mut drafts, &key)?;
    let charset = charset.as_deref().unwrap_or(CHARSET_DEFAULT);
    let columns = drafts
        .into_iter()
        .map(|draft| finish(draft, charset))
        .collect();
    Ok(Created::Table(TableSchema { name, columns }))
}

/// Reads a column or the columns of the primary key; leaves other elements to be skipped.
fn read_element(
    cursor: &mut Cursor<'_>,
    drafts: &mut Vec<Draft>,
    key: &mut Vec<String>,
) -> Result<(), CreateProblem> {
    if cursor.eat("CONSTRAINT") && !cursor.at_any(&["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"]) {
        cursor.bump();
    }
    if cursor.eat_all(&["PRIMARY", "KEY"]) {
        *key = read_key(cursor);
        return Ok(());
    }
    let element = [
        "INDEX", "KEY", "UNIQUE", "FULLTEXT", "SPATIAL", "FOREIGN", "CHECK",
    ];
    let other = cursor.at_any(&element)
        || [["PERIOD", "FOR"], ["VECTOR", "INDEX"], ["VECTOR", "KEY"]]
            .iter()
            .any(|words| cursor.clone().eat_all(words));
    if other {
        return Ok(());
    }
    if drafts.len() == COLUMNS_MAX {
        return Err(CreateProblem::TooMany);
    }
    let problem = CreateProblem::Column {
        number: drafts.len() + 1,
    };
    drafts.push(read_column(cursor).ok_or(problem)?);
    Ok(())
}

/// The columns between the parentheses of a key.
fn read_key(cursor: &mut Cursor<'_>) -> Vec<String> {
    while !cursor.is_at_end() && !cursor.eat_symbol(b'(') {
        cursor.bump();
    }
    let mut columns = Vec::new();
    while let Some(column) = cursor.name() {
        columns.push(column);
        cursor.skip_item();
        if !cursor.eat_symbol(b',') {
            break;
        }
    }
    cursor.eat_symbol(b')');
    columns
}

fn read_column(cursor: &mut Cursor<'_>) -> Option<Draft> {
    let name = cursor.name()?;
    let clause = read_type(cursor)?;
    // Before MySQL 8 a TIMESTAMP that says nothing may be either.
    let unsaid = if clause.sql_type.name == "timestamp" {
        None
    } else {
        Some(true)
    };
    let nullable = if clause.serial { Some(false) } else { unsaid };
    let mut draft = Draft {
        name,
        clause,
        is_key: false,
        nullable,
    };
    while let Some(token) = cursor.peek() {
        if token.is_symbol(b',') || token.is_symbol(b')') {
            break;
        }
        read_attribute(cursor, &mut draft);
    }
    if draft.is_key {
        draft.nullable = Some(false);
    }
    Some(draft)
}

fn read_attribute(cursor: &mut Cursor<'_>, draft: &mut Draft) {
    if cursor.eat_all(&["NOT", "NULL"]) {
        draft.nullable = Some(false);
    } else if cursor.eat("NULL") {
        draft.nullable = Some(true);
    } else if cursor.eat("UNIQUE") {
        cursor.eat("KEY");
    } else if cursor.eat("PRIMARY") {
        cursor.eat("KEY");
        draft.is_key = true;
    } else if cursor.eat("KEY") {
        draft.is_key = true;
    } else if cursor.eat("COLLATE") {
        cursor.eat_symbol(b'=');
        let charset = cursor.text_or_name().map(|name| name.to_lowercase());
        if let Some(charset) = charset.as_deref().and_then(charset_of_collation) {
            draft.clause.charset.get_or_insert_with(|| charset.into());
        }
    } else if let Some(charset) = read_charset(cursor) {
        draft.clause.charset = Some(charset);
    } else if cursor.eat_any(&["DEFAULT", "COMMENT", "CONSTRAINT"]) {
        // What follows may read like an attribute: DEFAULT NULL.
        cursor.skip_one();
    } else {
        cursor.skip_one();
    }
}

/// The character set among the table's options.
fn read_table_charset(cursor: &mut Cursor<'_>) -> Result<Option<String>, CreateProblem> {
    let (mut charset, mut collation) = (None, None);
    while !cursor.is_at_end() {
        if cursor.at_any(&["SELECT", "AS", "IGNORE", "REPLACE"]) {
            return Err(CreateProblem::Select);
        }
        if let Some(name) = read_charset(cursor) {
            charset = Some(name);
        } else if cursor.eat("COLLATE") {
            cursor.eat_symbol(b'=');
            collation = cursor.text_or_name().map(|name| name.to_lowercase());
        } else if cursor.eat("COMMENT") {
            cursor.eat_symbol(b'=');
            cursor.skip_one();
        } else {
            cursor.skip_one();
        }
    }
    Ok(charset.or_else(|| {
        collation
            .as_deref()
            .and_then(charset_of_collation)
            .map(Into::into)
    }))
}

fn mark_key(drafts: &mut [Draft], key: &[String]) -> Result<(), CreateProblem> {
    for column in key {
        let lower = column.to_lowercase();
        let Some(draft) = drafts
            .iter_mut()
            .find(|draft| draft.name.to_lowercase() == lower)
        else {
            return Err(CreateProblem::Key(column.clone()));
        };
        draft.is_key = true;
        draft.nullable = Some(false);
    }
    Ok(())
}

fn finish(draft: Draft, table_charset: &str) -> ColumnSchema {
    let Draft {
        name,
        clause,
        is_key,
        nullable,
    } = draft;
    let charset = clause.charset.unwrap_or_else(|| table_charset.into());
    let sql_type = fit_length(clause.sql_type, &charset);
    let is_text = matches!(
        sql_type.name.as_ref(),
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set"
    );
    ColumnSchema {
        name,
        column_type: sql_type.to_string(),
        charset: is_text.then_some(charset),
        is_key,
        nullable,
    }
}

/// `TEXT(n)` and `BLOB(n)` are the smallest type that holds n characters or bytes.
fn fit_length(sql_type: SqlType, charset: &str) -> SqlType {
    let (each, names) = match sql_type.name.as_ref() {
        "blob" => (1, ["tinyblob", "blob", "mediumblob", "longblob"]),
        "text" => {
            let each = character_bytes_max(charset).unwrap_or(1);
            (each, ["tinytext", "text", "mediumtext", "longtext"])
        }
        _ => return sql_type,
    };
    let Some(length) = sql_type.number(0) else {
        return sql_type;
    };
    let name = match u64::from(length) * u64::from(each) {
        0..=0xff => names[0],
        0x100..=0xffff => names[1],
        0x1_0000..=0xff_ffff => names[2],
        _ => names[3],
    };
    SqlType::plain(name)
}
