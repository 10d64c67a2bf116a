//! What a server holds, in a form that can be compared with what a client received.
//!
//! Canal's text of a value differs from that of a `SELECT`: labels are numbers, bytes are
//! characters, floats are printed as Java does. Both sides are therefore brought into one form,
//! by the type of the column: on the server's side with SQL, on the client's side here
//! (wire-protocol reference §13).

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};

use super::change::Row;
use super::mirror::{Mirror, TableId};
use super::server::Server;

/// How many differences are told before the rest is only counted.
const DIFFERENCES_SHOWN_MAX: usize = 20;

/// How the values of a column are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Character by character: DECIMAL, dates and times.
    Plain,
    /// The same, without the zeros that ZEROFILL shows and the binlog does not hold.
    Integer,
    /// By number: BIT, ENUM, SET.
    Number,
    Float,
    Double,
    /// By the bytes of its UTF-8 form.
    Text,
    /// By bytes; each arrives as the character of that number.
    Bytes,
    /// The same, without the zero bytes at the end, which are no part of a BINARY in the binlog.
    Binary,
    /// By meaning.
    Json,
}

#[derive(Clone, Debug)]
struct Column {
    name: String,
    form: Form,
}

impl Form {
    fn of(data_type: &str) -> Result<Self> {
        Ok(match data_type {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Self::Integer,
            "decimal" | "year" | "date" | "time" | "datetime" | "timestamp" => Self::Plain,
            "bit" | "enum" | "set" => Self::Number,
            "float" => Self::Float,
            "double" => Self::Double,
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Self::Text,
            "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "geometry"
            | "point" | "linestring" | "polygon" => Self::Bytes,
            "binary" => Self::Binary,
            "json" => Self::Json,
            other => bail!("no test compares values of type {other} yet"),
        })
    }

    fn select(self, column: &str) -> String {
        match self {
            Self::Plain => column.to_owned(),
            Self::Integer => format!("{column}+0"),
            Self::Number => format!("CAST({column} AS UNSIGNED)"),
            Self::Float | Self::Double => format!("{column}+0e0"),
            Self::Text | Self::Json => format!("HEX(CONVERT({column} USING utf8mb4))"),
            Self::Bytes | Self::Binary => format!("HEX({column})"),
        }
    }

    /// The common form of what the server answered.
    fn of_server(self, text: &str) -> Result<String> {
        Ok(match self {
            Self::Plain | Self::Integer | Self::Number | Self::Text | Self::Bytes => {
                text.to_owned()
            }
            Self::Float => format!("{:?}", text.parse::<f64>()? as f32),
            Self::Double => format!("{:?}", text.parse::<f64>()?),
            Self::Binary => text.trim_end_matches("00").to_owned(),
            Self::Json => json(&unhex_text(text)?)?,
        })
    }

    /// The common form of what a client received.
    fn of_client(self, text: &str) -> Result<String> {
        Ok(match self {
            Self::Plain | Self::Integer | Self::Number => text.to_owned(),
            Self::Float => format!("{:?}", text.parse::<f32>()?),
            Self::Double => format!("{:?}", text.parse::<f64>()?),
            Self::Text => hex(text.bytes()),
            Self::Bytes => hex(latin1(text)?.into_iter()),
            Self::Binary => hex(latin1(text)?.into_iter())
                .trim_end_matches("00")
                .to_owned(),
            Self::Json => json(text)?,
        })
    }
}

/// Compares every table of a server with the model.
///
/// # Errors
/// With a list of the differences.
pub fn compare(server: &Server, mirror: &Mirror) -> Result<()> {
    let mut differences = Vec::new();
    let mut expected: BTreeMap<&TableId, Vec<&Row>> = mirror.tables().collect();
    for (id, columns) in columns(server)? {
        let held = rows(server, &id, &columns)?;
        let seen = expected.remove(&id).unwrap_or_default();
        let seen: Result<Vec<_>> = seen
            .into_iter()
            .map(|row| common_row(&columns, row))
            .collect();
        match seen {
            Ok(seen) => differences.extend(differing(&id, &columns, held, seen)),
            Err(error) => differences.push(format!("{id:?}: {error:#}")),
        }
    }
    differences.extend(
        expected
            .keys()
            .map(|id| format!("{id:?}: the server has no such table")),
    );
    ensure!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences
            .iter()
            .take(DIFFERENCES_SHOWN_MAX)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
    Ok(())
}

fn columns(server: &Server) -> Result<BTreeMap<TableId, Vec<Column>>> {
    let listed = server.sql(
        "SELECT HEX(CONVERT(c.table_schema USING utf8mb4)), HEX(CONVERT(c.table_name USING utf8mb4)),
                HEX(CONVERT(c.column_name USING utf8mb4)), c.data_type
         FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
         WHERE t.table_type = 'BASE TABLE'
           AND c.table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
         ORDER BY c.table_schema, c.table_name, c.ordinal_position",
    )?;
    let mut tables: BTreeMap<TableId, Vec<Column>> = BTreeMap::new();
    for line in listed.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[schema, table, name, data_type] = fields.as_slice() else {
            bail!("an odd column: {line}")
        };
        let column = Column {
            name: unhex_text(name)?,
            form: Form::of(&data_type.to_lowercase())?,
        };
        tables
            .entry((unhex_text(schema)?, unhex_text(table)?))
            .or_default()
            .push(column);
    }
    Ok(tables)
}

type CommonRow = Vec<Option<String>>;

fn rows(server: &Server, id: &TableId, columns: &[Column]) -> Result<Vec<CommonRow>> {
    let list: Vec<String> = columns
        .iter()
        .map(|column| column.form.select(&quote(&column.name)))
        .collect();
    let answer = server.sql(&format!(
        "SET time_zone = '+00:00'; SELECT {} FROM {}.{}",
        list.join(", "),
        quote(&id.0),
        quote(&id.1)
    ))?;
    answer
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            ensure!(fields.len() == columns.len(), "{id:?}: an odd row: {line}");
            let field = |(column, text): (&Column, &str)| {
                (text != "NULL")
                    .then(|| column.form.of_server(text))
                    .transpose()
            };
            columns.iter().zip(fields).map(field).collect()
        })
        .collect()
}

fn common_row(columns: &[Column], row: &Row) -> Result<CommonRow> {
    ensure!(
        columns.len() == row.len(),
        "the client has columns {:?}, the server {:?}",
        row.keys().collect::<Vec<_>>(),
        columns
            .iter()
            .map(|column| &column.name)
            .collect::<Vec<_>>()
    );
    let value = |column: &Column| -> Result<Option<String>> {
        let text = row
            .get(&column.name)
            .with_context(|| format!("the client has no column {:?}", column.name))?;
        text.as_deref()
            .map(|text| column.form.of_client(text))
            .transpose()
            .with_context(|| format!("{column:?}"))
    };
    columns.iter().map(value).collect()
}

fn differing(
    id: &TableId,
    columns: &[Column],
    mut held: Vec<CommonRow>,
    mut seen: Vec<CommonRow>,
) -> Vec<String> {
    held.sort();
    seen.sort();
    if held == seen {
        return Vec::new();
    }
    let mut told = vec![format!(
        "{id:?}: {} rows on the server, {} at the client",
        held.len(),
        seen.len()
    )];
    for (held, seen) in held.iter().zip(&seen).filter(|(held, seen)| held != seen) {
        for ((column, held), seen) in columns
            .iter()
            .zip(held)
            .zip(seen)
            .filter(|((_, held), seen)| held != seen)
        {
            told.push(format!(
                "{id:?}.{}: server {}, client {}",
                column.name,
                short(held),
                short(seen)
            ));
        }
    }
    told
}

fn short(value: &Option<String>) -> String {
    value.as_ref().map_or_else(
        || "NULL".to_owned(),
        |text| text.chars().take(120).collect(),
    )
}

/// A name as SQL takes any name.
#[must_use]
pub fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn json(text: &str) -> Result<String> {
    let value: serde_json::Value =
        serde_json::from_str(text).with_context(|| format!("not JSON: {text}"))?;
    Ok(value.to_string())
}

fn latin1(text: &str) -> Result<Vec<u8>> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).with_context(|| format!("{c:?} is no byte")))
        .collect()
}

fn hex(bytes: impl Iterator<Item = u8>) -> String {
    bytes.map(|byte| format!("{byte:02X}")).collect()
}

fn unhex_text(text: &str) -> Result<String> {
    let digits: Vec<u32> = text
        .chars()
        .map(|c| c.to_digit(16).context("not a hexadecimal number"))
        .collect::<Result<_>>()?;
    let bytes = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte * 16 + *digit as u8))
        .collect();
    Ok(String::from_utf8(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_reach_one_form() {
        for (form, server, client) in [
            (Form::Plain, "-12.30", "-12.30"),
            (Form::Float, "0.10000000149011612", "0.1"),
            (Form::Double, "20000000000", "2.0E10"),
            (Form::Text, "C3A9", "é"),
            (Form::Bytes, "00FF", "\u{0}\u{ff}"),
            (Form::Binary, "41000000", "A"),
            (
                Form::Json,
                "7B2262223A312C2261223A6E756C6C7D",
                "{\"a\": null, \"b\": 1}",
            ),
        ] {
            assert_eq!(
                form.of_server(server).unwrap(),
                form.of_client(client).unwrap(),
                "{form:?}"
            );
        }
        assert!(Form::Bytes.of_client("中").is_err());
    }
}
