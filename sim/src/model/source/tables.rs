//! The tables `shop.t0`, `shop.t1`, `shop.t2`: what is in them, and what an act does to that.
//!
//! A row is its id and its revision ([`super::value`]). Which rows an act touches follows from a number
//! that the caller draws and from the rows that are there.
//!
//! Bounds: memory; a row takes a few words. Nothing here is written anywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::value::{FIRST_COLUMNS, Kind, Value, revision};
use crate::model::history::{Row, RowKind, Table};
use crate::plan::{Change, DdlAct, Flavor};

/// The schema of all tables.
pub const SCHEMA: &str = "shop";
/// How many tables there are.
pub const TABLES: u8 = 3;
/// The ids by which a log names tables begin here with each start of a server.
const FIRST_MAP_ID: u64 = 90;

/// A table between two DDL statements.
#[derive(Debug)]
pub(super) struct Shape {
    /// The table's number.
    pub(super) number: u8,
    /// The id by which the log names it.
    pub(super) map_id: u64,
    /// Its columns in order.
    pub(super) kinds: Vec<Kind>,
    /// As the history tells it.
    pub(super) table: Arc<Table>,
}

impl Shape {
    /// All values of a row.
    pub(super) fn values(&self, id: u64, rev: u32) -> Vec<Value> {
        let values = self
            .kinds
            .iter()
            .map(|kind| kind.value(self.number, id, rev));
        values.collect()
    }

    /// A touched row as the history tells it.
    pub(super) fn row(&self, touched: &Touched) -> Row {
        let image = |(id, rev)| self.values(id, rev).iter().map(Value::text).collect();
        Row {
            before: touched.before.map(image),
            after: touched.after.map(image),
        }
    }
}

/// A row that was touched: id and revision, before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) before: Option<(u64, u32)>,
    pub(super) after: Option<(u64, u32)>,
}

/// One statement on one table.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) shape: Arc<Shape>,
    pub(super) kind: RowKind,
    pub(super) rows: Vec<Touched>,
}

/// A DDL statement that was run.
#[derive(Debug)]
pub(super) struct DdlDone {
    /// The table's name.
    pub(super) table: String,
    /// The statement.
    pub(super) sql: String,
    /// Canal's name of its kind.
    pub(super) kind: &'static str,
}

#[derive(Debug)]
struct State {
    shape: Arc<Shape>,
    rows: BTreeMap<u64, u32>,
    next_id: u64,
    changes: u32,
}

/// All tables.
#[derive(Debug)]
pub(super) struct Tables {
    flavor: Flavor,
    states: Vec<State>,
    next_map_id: u64,
}

impl Tables {
    /// Empty ones.
    pub(super) fn new(flavor: Flavor) -> Self {
        let state = |number| State {
            shape: Arc::new(shape(number, 0, FIRST_COLUMNS.to_vec(), 0, flavor)),
            rows: BTreeMap::new(),
            next_id: 1,
            changes: 0,
        };
        Self {
            flavor,
            states: (0..TABLES).map(state).collect(),
            next_map_id: FIRST_MAP_ID,
        }
    }

    /// The server starts for the `life`-th time: it names the tables anew, in another order, so that an
    /// id of before may be another table's.
    pub(super) fn open(&mut self, life: usize) {
        self.next_map_id = FIRST_MAP_ID;
        let tables = self.states.len();
        for place in 0..tables {
            let map_id = self.take_map_id();
            let state = &mut self.states[(place + life) % tables];
            let former = &state.shape;
            state.shape = Arc::new(Shape {
                number: former.number,
                map_id,
                kinds: former.kinds.clone(),
                table: Arc::clone(&former.table),
            });
        }
    }

    fn take_map_id(&mut self) -> u64 {
        self.next_map_id += 1;
        self.next_map_id - 1
    }

    /// The table of this name, as it is now.
    pub(super) fn named(&self, schema: &str, table: &str) -> Option<&Shape> {
        let mut shapes = self.states.iter().map(|state| &*state.shape);
        shapes.find(|shape| shape.table.schema == schema && shape.table.name == table)
    }

    /// How many rows a table has.
    pub(super) fn rows(&self, table: u8) -> usize {
        self.states[index(table)].rows.len()
    }

    /// Does what `change` says, as far as there are rows for it: up to three statements, none of them empty.
    pub(super) fn change(&mut self, change: &Change, drawn: u64) -> Vec<Statement> {
        let state = &mut self.states[index(change.table)];
        let done = [
            (RowKind::Insert, state.insert(change)),
            (RowKind::Update, state.update(change, drawn)),
            (RowKind::Delete, state.delete(change, drawn)),
        ];
        let statement = |(kind, rows): (RowKind, Vec<Touched>)| {
            let shape = Arc::clone(&state.shape);
            (!rows.is_empty()).then_some(Statement { shape, kind, rows })
        };
        done.into_iter().filter_map(statement).collect()
    }

    /// Runs a DDL statement; none if there is nothing to drop.
    pub(super) fn define(&mut self, table: u8, ddl: DdlAct) -> Option<DdlDone> {
        let map_id = self.next_map_id;
        let state = &mut self.states[index(table)];
        let former = Arc::clone(&state.shape);
        let name = &former.table.name;
        let mut kinds = former.kinds.clone();
        let (sql, kind) = match ddl {
            DdlAct::Add => {
                let added = Kind::Added(state.next_id);
                // This id is never given, so that no two columns have one name.
                state.next_id += 1;
                kinds.push(added);
                let sql = format!("ALTER TABLE {name} ADD COLUMN {} INT", added.name());
                (sql, "ALTER")
            }
            DdlAct::Drop => {
                let dropped = kinds.pop_if(|kind| matches!(kind, Kind::Added(_)))?;
                (
                    format!("ALTER TABLE {name} DROP COLUMN {}", dropped.name()),
                    "ALTER",
                )
            }
            DdlAct::Truncate => {
                state.rows.clear();
                (format!("TRUNCATE TABLE {name}"), "TRUNCATE")
            }
        };
        let version = former.table.version + 1;
        state.shape = Arc::new(shape(former.number, map_id, kinds, version, self.flavor));
        self.next_map_id += 1;
        Some(DdlDone {
            table: name.clone(),
            sql,
            kind,
        })
    }
}

/// A plan that names a table that is not there means one that is.
fn index(table: u8) -> usize {
    usize::from(table % TABLES)
}

fn shape(number: u8, map_id: u64, kinds: Vec<Kind>, version: u32, flavor: Flavor) -> Shape {
    let table = Arc::new(Table {
        schema: SCHEMA.into(),
        name: format!("t{number}"),
        version,
        columns: kinds.iter().map(|kind| kind.column(flavor)).collect(),
    });
    Shape {
        number,
        map_id,
        kinds,
        table,
    }
}

impl State {
    fn insert(&mut self, change: &Change) -> Vec<Touched> {
        let insert = |_| {
            let (id, rev) = (self.next_id, self.next_revision(change.text));
            self.next_id += 1;
            self.rows.insert(id, rev);
            Touched {
                before: None,
                after: Some((id, rev)),
            }
        };
        (0..change.inserts).map(insert).collect()
    }

    fn update(&mut self, change: &Change, drawn: u64) -> Vec<Touched> {
        let chosen = self.choose(change.updates, drawn);
        let update = |(id, former)| {
            let rev = self.next_revision(change.text);
            self.rows.insert(id, rev);
            Touched {
                before: Some((id, former)),
                after: Some((id, rev)),
            }
        };
        chosen.into_iter().map(update).collect()
    }

    fn delete(&mut self, change: &Change, drawn: u64) -> Vec<Touched> {
        let chosen = self.choose(change.deletes, drawn.rotate_left(32));
        let delete = |(id, former)| {
            self.rows.remove(&id);
            Touched {
                before: Some((id, former)),
                after: None,
            }
        };
        chosen.into_iter().map(delete).collect()
    }

    fn next_revision(&mut self, text: u32) -> u32 {
        self.changes = self.changes.wrapping_add(1);
        revision(self.changes, text)
    }

    /// As many rows as there are, at most `wanted`: those from a drawn id on, then from the first on.
    fn choose(&self, wanted: u32, drawn: u64) -> Vec<(u64, u32)> {
        let from = drawn % self.next_id;
        let (behind, before) = (self.rows.range(from..), self.rows.range(..from));
        let rows = behind.chain(before).map(|(id, rev)| (*id, *rev));
        rows.take(wanted as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGE: Change = Change {
        table: 1,
        inserts: 5,
        updates: 2,
        deletes: 1,
        text: 20,
    };

    #[test]
    fn a_change_inserts_then_updates_then_deletes() {
        let mut tables = Tables::new(Flavor::Mysql);
        let statements = tables.change(&CHANGE, 77);
        let kinds: Vec<_> = statements.iter().map(|s| (s.kind, s.rows.len())).collect();
        assert_eq!(
            kinds,
            [
                (RowKind::Insert, 5),
                (RowKind::Update, 2),
                (RowKind::Delete, 1)
            ]
        );
        assert_eq!(tables.rows(1), 4);
        assert_eq!(tables.rows(0), 0);
        for row in &statements[1].rows {
            let (before, after) = (row.before.unwrap(), row.after.unwrap());
            assert_eq!(before.0, after.0);
            assert_ne!(before.1, after.1);
        }
    }

    #[test]
    fn what_does_not_exist_is_left_out() {
        let mut tables = Tables::new(Flavor::Mysql);
        let nothing = Change {
            inserts: 0,
            ..CHANGE
        };
        assert!(tables.change(&nothing, 5).is_empty());
        assert!(tables.define(0, DdlAct::Drop).is_none());
    }

    #[test]
    fn columns_come_and_go_and_no_name_comes_twice() {
        let mut tables = Tables::new(Flavor::Mariadb);
        let add = tables.define(2, DdlAct::Add).unwrap();
        assert_eq!(add.sql, "ALTER TABLE t2 ADD COLUMN c1 INT");
        tables.define(2, DdlAct::Add).unwrap();
        let shape = tables.named("shop", "t2").unwrap();
        let names: Vec<_> = shape.table.columns[7..].iter().map(|c| &c.name).collect();
        assert_eq!(names, ["c1", "c2"]);
        assert_eq!(shape.table.version, 2);
        let drop = tables.define(2, DdlAct::Drop).unwrap();
        assert_eq!(drop.sql, "ALTER TABLE t2 DROP COLUMN c2");
        let add = tables.define(2, DdlAct::Add).unwrap();
        assert_eq!(add.sql, "ALTER TABLE t2 ADD COLUMN c3 INT");
    }

    #[test]
    fn a_restart_gives_the_ids_to_other_tables() {
        let mut tables = Tables::new(Flavor::Mysql);
        tables.open(0);
        let first = tables.named("shop", "t0").unwrap().map_id;
        tables.open(1);
        assert_eq!(tables.named("shop", "t1").unwrap().map_id, first);
    }

    #[test]
    fn a_truncated_table_is_empty_and_gives_no_id_again() {
        let mut tables = Tables::new(Flavor::Mysql);
        tables.change(&CHANGE, 1);
        let truncate = tables.define(1, DdlAct::Truncate).unwrap();
        assert_eq!((truncate.kind, tables.rows(1)), ("TRUNCATE", 0));
        let statements = tables.change(&CHANGE, 1);
        assert_eq!(statements[0].rows[0].after.unwrap().0, 6);
    }
}
