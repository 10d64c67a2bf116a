//! The model of a consumer: changes applied in order give the tables that the server must hold.
//!
//! A table with a primary key is a map by key, so that applying a change twice does no harm; one
//! without is a bag of whole rows. An `ALTER TABLE` moves values without row events, so a workload
//! changes every row of an altered table afterwards; full row images then make the model right.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};

use super::change::{Change, Row};
use super::statement::{Effect, Named, effect};

/// Schema and table.
pub type TableId = (String, String);

/// The rows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rows {
    Keyed {
        keys: Vec<String>,
        rows: BTreeMap<Vec<Option<String>>, Row>,
    },
    Bag(BTreeMap<Row, usize>),
}

/// Everything that a client was told, applied.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    tables: BTreeMap<TableId, Rows>,
}

impl Mirror {
    /// Applies one change.
    ///
    /// # Errors
    /// When it cannot be applied: a row that was never there, a key that is missing, an unknown kind.
    pub fn apply(&mut self, change: &Change) -> Result<()> {
        if let Some(sql) = &change.sql {
            self.apply_statement(change, sql);
            return Ok(());
        }
        let id = (change.schema.clone(), change.table.clone());
        let rows = self
            .tables
            .entry(id)
            .or_insert_with(|| Rows::new(&change.keys));
        match change.kind.as_str() {
            "INSERT" => rows.add(&change.after),
            "DELETE" => rows.remove(&change.before),
            "UPDATE" => rows
                .remove(&change.before)
                .and_then(|()| rows.add(&change.after)),
            other => bail!("rows of the unknown kind {other}"),
        }
        .with_context(|| format!("{change:?}"))
    }

    fn apply_statement(&mut self, change: &Change, sql: &str) {
        let here = |named: Named| (named.0.unwrap_or_else(|| change.schema.clone()), named.1);
        match effect(sql) {
            Effect::Drop(names) => {
                for name in names {
                    self.tables.remove(&here(name));
                }
            }
            Effect::DropSchema(schema) => self.tables.retain(|id, _| id.0 != schema),
            Effect::Empty(name) => {
                self.tables.remove(&here(name));
            }
            Effect::Rename(pairs) => {
                for (old, new) in pairs {
                    if let Some(rows) = self.tables.remove(&here(old)) {
                        self.tables.insert(here(new), rows);
                    }
                }
            }
            Effect::None => {}
        }
    }

    /// The rows of every table that has any, in no meaningful order within a table.
    pub fn tables(&self) -> impl Iterator<Item = (&TableId, Vec<&Row>)> {
        self.tables
            .iter()
            .map(|(id, rows)| (id, rows.all()))
            .filter(|(_, rows)| !rows.is_empty())
    }
}

impl Rows {
    fn new(keys: &[String]) -> Self {
        if keys.is_empty() {
            Self::Bag(BTreeMap::new())
        } else {
            Self::Keyed {
                keys: keys.to_vec(),
                rows: BTreeMap::new(),
            }
        }
    }

    fn add(&mut self, row: &Row) -> Result<()> {
        match self {
            Self::Keyed { keys, rows } => {
                rows.insert(key(keys, row)?, row.clone());
            }
            Self::Bag(rows) => *rows.entry(row.clone()).or_default() += 1,
        }
        Ok(())
    }

    fn remove(&mut self, row: &Row) -> Result<()> {
        match self {
            // A repeated change finds its row gone already.
            Self::Keyed { keys, rows } => {
                rows.remove(&key(keys, row)?);
            }
            Self::Bag(rows) => {
                let count = rows.get_mut(row).context("a row that never came is gone")?;
                *count -= 1;
                if *count == 0 {
                    rows.remove(row);
                }
            }
        }
        Ok(())
    }

    fn all(&self) -> Vec<&Row> {
        match self {
            Self::Keyed { rows, .. } => rows.values().collect(),
            Self::Bag(rows) => rows
                .iter()
                .flat_map(|(row, count)| std::iter::repeat_n(row, *count))
                .collect(),
        }
    }
}

fn key(keys: &[String], row: &Row) -> Result<Vec<Option<String>>> {
    let key: Option<Vec<_>> = keys.iter().map(|name| row.get(name).cloned()).collect();
    let key = key.context("a column of the primary key is missing")?;
    ensure!(
        key.iter().all(Option::is_some),
        "a column of the primary key is NULL"
    );
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, note: Option<&str>) -> Row {
        Row::from([
            ("id".to_owned(), Some(id.to_owned())),
            ("note".to_owned(), note.map(str::to_owned)),
        ])
    }

    fn change(kind: &str, before: Row, after: Row) -> Change {
        let keys = vec!["id".to_owned()];
        Change {
            kind: kind.to_owned(),
            schema: "s".to_owned(),
            table: "t".to_owned(),
            before,
            after,
            keys,
            ..Change::default()
        }
    }

    fn statement(sql: &str) -> Change {
        Change {
            kind: "QUERY".to_owned(),
            schema: "s".to_owned(),
            sql: Some(sql.to_owned()),
            ..Change::default()
        }
    }

    #[test]
    fn a_change_of_the_key_moves_the_row_and_may_be_repeated() {
        let mut mirror = Mirror::default();
        let moved = change("UPDATE", row("1", None), row("2", Some("x")));
        for change in [
            &change("INSERT", Row::new(), row("1", None)),
            &moved,
            &moved,
        ] {
            mirror.apply(change).unwrap();
        }
        let tables: Vec<_> = mirror.tables().collect();
        assert_eq!(
            tables,
            [(
                &("s".to_owned(), "t".to_owned()),
                vec![&row("2", Some("x"))]
            )]
        );
    }

    #[test]
    fn a_bag_counts_equal_rows() {
        let mut mirror = Mirror::default();
        let bag = |kind, before, after| Change {
            keys: Vec::new(),
            ..change(kind, before, after)
        };
        mirror
            .apply(&bag("INSERT", Row::new(), row("1", None)))
            .unwrap();
        mirror
            .apply(&bag("INSERT", Row::new(), row("1", None)))
            .unwrap();
        mirror
            .apply(&bag("DELETE", row("1", None), Row::new()))
            .unwrap();
        assert_eq!(mirror.tables().next().unwrap().1.len(), 1);
        assert!(
            mirror
                .apply(&bag("DELETE", row("9", None), Row::new()))
                .is_err()
        );
    }

    #[test]
    fn statements_move_and_drop_tables() {
        let mut mirror = Mirror::default();
        mirror
            .apply(&change("INSERT", Row::new(), row("1", None)))
            .unwrap();
        mirror
            .apply(&statement("RENAME TABLE t TO other.u"))
            .unwrap();
        assert_eq!(
            mirror.tables().next().unwrap().0,
            &("other".to_owned(), "u".to_owned())
        );
        mirror.apply(&statement("DROP DATABASE other")).unwrap();
        assert_eq!(mirror.tables().count(), 0);
    }
}
