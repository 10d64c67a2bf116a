//! A change as a client saw it: the lines that the stock drivers print, and the same from entries.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A row: column name to the text that the client received, `None` for NULL.
pub type Row = BTreeMap<String, Option<String>>;

/// One row change, or one statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The name of canal's event type, such as `INSERT` or `ALTER`.
    pub kind: String,
    /// Schema of the header.
    pub schema: String,
    /// Table of the header.
    pub table: String,
    /// The image before, empty for an insert.
    pub before: Row,
    /// The image after, empty for a delete.
    pub after: Row,
    /// Columns of the primary key, in table order.
    pub keys: Vec<String>,
    /// Columns of the image after that are marked as updated.
    pub updated: Vec<String>,
    /// The text of a statement; `None` for a row.
    pub sql: Option<String>,
    /// Whether the statement is marked as DDL.
    pub ddl: bool,
}

impl Change {
    /// Reads a line that a stock driver printed.
    ///
    /// # Errors
    /// When the line is not what drivers print.
    pub fn from_line(line: &str) -> Result<Self> {
        let value: Value =
            serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        Ok(Self {
            kind: text(&value, "kind")?,
            schema: text(&value, "schema")?,
            table: text(&value, "table")?,
            before: row(&value["before"]),
            after: row(&value["after"]),
            keys: names(&value["keys"]),
            updated: names(&value["updated"]),
            sql: value["sql"].as_str().map(str::to_owned),
            ddl: value["ddl"].as_bool().unwrap_or(false),
        })
    }
}

fn text(value: &Value, key: &str) -> Result<String> {
    Ok(value[key]
        .as_str()
        .with_context(|| format!("no {key} in {value}"))?
        .to_owned())
}

fn names(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn row(value: &Value) -> Row {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.as_str().map(str::to_owned)))
        .collect()
}
