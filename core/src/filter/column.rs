//! Which columns of which tables: `canal.instance.filter.field` and `canal.instance.filter.black.field`.
//!
//! The text is `schema.table:column/column,schema.table:…`. Names are compared without regard to
//! case. A table in the white list has its listed columns alone and its black list is ignored;
//! any other table lacks the columns of its black list. A table named twice has the columns of both.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use thiserror::Error;

/// An item that is not `schema.table:column/column`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{key} item `{item}`: {problem}; write schema.table:column1/column2,…")]
pub struct ColumnFilterError {
    /// The configuration key.
    pub key: &'static str,
    /// The item.
    pub item: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

type Columns = BTreeMap<String, BTreeSet<String>>;

/// The two lists of columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnFilter {
    white: Columns,
    black: Columns,
}

impl ColumnFilter {
    /// Reads both lists.
    ///
    /// # Errors
    /// An item is malformed.
    pub fn parse(fields: &str, black_fields: &str) -> Result<Self, ColumnFilterError> {
        Ok(Self {
            white: parse("canal.instance.filter.field", fields)?,
            black: parse("canal.instance.filter.black.field", black_fields)?,
        })
    }

    /// Whether it keeps every column of every table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.white.is_empty() && self.black.is_empty()
    }

    /// Whether entries of the table show the column.
    #[must_use]
    pub fn keeps(&self, schema: &str, table: &str, column: &str) -> bool {
        if self.is_empty() {
            return true;
        }
        let table = format!("{schema}.{table}").to_lowercase();
        let column = column.to_lowercase();
        match (self.white.get(&table), self.black.get(&table)) {
            (Some(listed), _) => listed.contains(&column),
            (None, Some(listed)) => !listed.contains(&column),
            (None, None) => true,
        }
    }
}

fn parse(key: &'static str, text: &str) -> Result<Columns, ColumnFilterError> {
    let mut columns = Columns::new();
    for item in text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
    {
        let fail = |problem| ColumnFilterError {
            key,
            item: item.into(),
            problem,
        };
        let (table, list) = item
            .split_once(':')
            .ok_or_else(|| fail("it has no colon"))?;
        match table.trim().split_once('.') {
            Some((schema, table)) if !schema.is_empty() && !table.is_empty() => {}
            _ => return Err(fail("before the colon stands no schema.table")),
        }
        let listed = columns.entry(table.trim().to_lowercase()).or_default();
        for column in list.split('/').map(str::trim) {
            if column.is_empty() || column.contains(':') {
                return Err(fail(
                    "after the colon stand no column names separated by slashes",
                ));
            }
            listed.insert(column.to_lowercase());
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn white_columns_are_kept_and_black_ones_dropped() {
        let filter = ColumnFilter::parse("d.t:id/Name,d.u:a", "d.v:secret,d.t:id").unwrap();
        assert!(filter.keeps("D", "t", "ID") && filter.keeps("d", "T", "name"));
        assert!(!filter.keeps("d", "t", "other"), "only the listed ones");
        assert!(!filter.keeps("d", "v", "Secret") && filter.keeps("d", "v", "other"));
        assert!(filter.keeps("d", "w", "anything"));
    }

    #[test]
    fn nothing_configured_keeps_everything() {
        let filter = ColumnFilter::parse("", " ").unwrap();
        assert!(filter.is_empty() && filter.keeps("d", "t", "c"));
    }

    #[test]
    fn malformed_items_are_named() {
        for text in ["d.t", "t:a", "d.t:", "d.t:a//b", ".t:a", "d.:a", "d.t:a:b"] {
            let error = ColumnFilter::parse("", text).unwrap_err();
            assert_eq!(error.item, text);
            assert!(
                error
                    .to_string()
                    .starts_with("canal.instance.filter.black.field item")
            );
        }
        let error = ColumnFilter::parse("d.t:a,nonsense", "").unwrap_err();
        assert_eq!(
            (error.key, error.item.as_str()),
            ("canal.instance.filter.field", "nonsense")
        );
    }
}
