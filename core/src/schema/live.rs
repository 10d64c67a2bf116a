//! What a server says now about one table: the question, and its answer as a schema.
//!
//! `information_schema` is read because it answers in rows: no definition has to be parsed, and MySQL
//! 5.6 to 9.7 and MariaDB 10.11 to 11.8 all answer this one question. Keys come from
//! `statistics`: `column_key` says PRI also of a unique index where there is no primary key.
//!
//! The answer is about the moment of asking, which is no moment of the binlog; whether it may be used for
//! an event is [`super::resolve`]'s and the instance's business.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

use super::column_type::normalise;
use crate::schema::table::{ColumnSchema, TableName, TableSchema};

/// What the connection for these questions runs first: text in UTF-8, ordinary quoting, and on MySQL from
/// 8.0.30 the invisible primary keys that the server generates, which are in the binlog
/// (binlog-parser reference §3.7). Other servers take the last part for a comment.
pub const SESSION_SETUP: &str = "SET NAMES utf8mb4, SESSION sql_mode = '' \
    /*!80030 , SESSION show_gipk_in_create_table_and_information_schema = ON */";

/// Columns of the answer.
const ANSWER_COLUMNS: usize = 5;

/// One row of the answer: text values, none for NULL.
pub type Row = Vec<Option<Vec<u8>>>;

/// An answer that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "columns of {table}, row {row} of the server's answer: {problem}; is there a proxy between?"
)]
pub struct LiveError {
    /// The table that was asked for.
    pub table: TableName,
    /// The row, from 1.
    pub row: usize,
    /// What is wrong with it.
    pub problem: LiveProblem,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LiveProblem {
    /// Another number of values.
    #[error("it has {0} values, {ANSWER_COLUMNS} were asked for")]
    Values(usize),
    /// A value that is never NULL is.
    #[error("{0} is NULL")]
    Null(&'static str),
    /// A value is not UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
}

/// The question for the columns of `name`: name, type, character set, `YES` or `NO` for NULL allowed, `1`
/// or `0` for part of the primary key; in the order of the table.
#[must_use]
pub fn query(name: &TableName) -> String {
    let (schema, table) = (literal(&name.schema), literal(&name.table));
    format!(
        "SELECT c.column_name, c.column_type, c.character_set_name, c.is_nullable, \
         k.column_name IS NOT NULL \
         FROM information_schema.columns AS c LEFT JOIN (\
         SELECT column_name FROM information_schema.statistics \
         WHERE table_schema = {schema} AND table_name = {table} AND index_name = 'PRIMARY'\
         ) AS k ON k.column_name = c.column_name \
         WHERE c.table_schema = {schema} AND c.table_name = {table} \
         ORDER BY c.ordinal_position"
    )
}

/// The schema in the answer; none if there is no such table (or none that the account may see).
///
/// # Errors
/// The answer has another form.
pub fn from_rows(name: &TableName, rows: &[Row]) -> Result<Option<TableSchema>, LiveError> {
    let mut columns = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let fail = |problem| LiveError {
            table: name.clone(),
            row: index + 1,
            problem,
        };
        columns.push(column(row).map_err(fail)?);
    }
    Ok((!columns.is_empty()).then(|| TableSchema {
        name: name.clone(),
        columns,
    }))
}

fn column(row: &[Option<Vec<u8>>]) -> Result<ColumnSchema, LiveProblem> {
    let [name, column_type, charset, nullable, key] = row else {
        return Err(LiveProblem::Values(row.len()));
    };
    let charset = match charset {
        Some(_) => Some(text(charset, "character_set_name")?.into()),
        None => None,
    };
    Ok(ColumnSchema {
        name: text(name, "column_name")?.into(),
        column_type: normalise(text(column_type, "column_type")?),
        charset,
        is_key: text(key, "the primary key flag")? == "1",
        nullable: Some(text(nullable, "is_nullable")?.eq_ignore_ascii_case("YES")),
    })
}

fn text<'a>(value: &'a Option<Vec<u8>>, field: &'static str) -> Result<&'a str, LiveProblem> {
    let bytes = value.as_deref().ok_or(LiveProblem::Null(field))?;
    core::str::from_utf8(bytes).map_err(|_| LiveProblem::NotUtf8(field))
}

/// `text` as a literal that means the same in every sql_mode: in hexadecimal if it holds what some read
/// otherwise.
fn literal(text: &str) -> String {
    if !text.contains(['\'', '\\', '\0']) {
        return format!("'{text}'");
    }
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("_utf8mb4 x'{digits}'")
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn row(values: [Option<&str>; 5]) -> Row {
        values
            .iter()
            .map(|value| value.map(|text| text.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn names_are_quoted_so_that_no_mode_reads_them_otherwise() {
        let sql = query(&TableName::new("d", "t `odd`.名前"));
        assert!(
            sql.contains("c.table_schema = 'd' AND c.table_name = 't `odd`.名前'"),
            "{sql}"
        );
        let sql = query(&TableName::new("a'b", r"x\"));
        assert!(
            sql.contains("table_schema = _utf8mb4 x'612762' AND"),
            "{sql}"
        );
        assert!(sql.contains("table_name = _utf8mb4 x'785c' "), "{sql}");
    }

    #[test]
    fn rows_become_columns() {
        let name = TableName::new("d", "t");
        let rows = [
            row([
                Some("id"),
                Some("int(10) unsigned"),
                None,
                Some("NO"),
                Some("1"),
            ]),
            row([
                Some("名"),
                Some("VARCHAR(20)"),
                Some("gbk"),
                Some("YES"),
                Some("0"),
            ]),
            row([
                Some("v"),
                Some("text /*M!100301 COMPRESSED*/"),
                Some("latin1"),
                Some("YES"),
                Some("0"),
            ]),
        ];
        let schema = from_rows(&name, &rows).unwrap().unwrap();
        assert_eq!(schema.name, name);
        assert_eq!(
            schema.columns[0],
            ColumnSchema {
                name: "id".into(),
                column_type: "int(10) unsigned".into(),
                charset: None,
                is_key: true,
                nullable: Some(false),
            }
        );
        assert_eq!(schema.columns[1].column_type, "varchar(20)");
        assert_eq!(schema.columns[1].charset.as_deref(), Some("gbk"));
        assert_eq!(schema.columns[2].column_type, "text");
        assert_eq!(from_rows(&name, &[]), Ok(None));
    }

    #[test]
    fn a_foreign_answer_is_an_error_that_says_where() {
        let name = TableName::new("d", "t");
        let good = row([Some("id"), Some("int"), None, Some("NO"), Some("1")]);
        let error = from_rows(&name, &[good.clone(), Vec::new()]).unwrap_err();
        assert_eq!(
            (error.row, error.problem.clone()),
            (2, LiveProblem::Values(0))
        );
        assert!(error.to_string().starts_with("columns of d.t, row 2 "));
        let mut null = good.clone();
        null[1] = None;
        let error = from_rows(&name, &[null]).unwrap_err();
        assert_eq!(error.problem, LiveProblem::Null("column_type"));
        let mut binary = good;
        binary[0] = Some([0xff].into());
        let error = from_rows(&name, &[binary]).unwrap_err();
        assert_eq!(error.problem, LiveProblem::NotUtf8("column_name"));
    }
}
