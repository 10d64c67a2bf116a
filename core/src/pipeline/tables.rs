//! The tables of a stream: which are decoded, how, and from where their schemas come.
//!
//! Three layers, each cheaper to ask than the next: by table id (one look-up per rows event), by the
//! bytes of the TABLE_MAP (so that a repeated map costs a comparison), and by name (schemas that the
//! server told, with the position at which they were true).
//!
//! Bounded by [`PLANS_MAX`]: beyond it all plans are forgotten and built again as they are needed.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use bytes::Bytes;

use crate::hash::FixedMap;
use crate::pipeline::plan::TablePlan;
use crate::position::BinlogPosition;
use crate::schema::ddl::Touches;
use crate::schema::table::{TableName, TableSchema};

/// Table versions whose plans are kept.
pub const PLANS_MAX: usize = 8_192;

/// What the stream does with the rows of a table.
#[derive(Clone, Debug)]
pub enum Treatment {
    /// No filter wants them: they are skipped unread.
    Excluded,
    /// They are decoded.
    Decoded(Arc<TablePlan>),
    /// They are withheld under doubt, and the range is recorded.
    Quarantined(Arc<TableName>),
}

#[derive(Clone, Debug)]
struct Known {
    map: Bytes,
    epoch: u64,
    treatment: Treatment,
}

/// What the server said of a table, and where that was true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The table; none if the server shows no such table.
    pub schema: Option<TableSchema>,
    /// The server's position after it answered.
    pub at: BinlogPosition,
}

/// The tables of a stream.
#[derive(Debug, Default)]
pub struct Tables {
    epoch: u64,
    by_id: FixedMap<u64, Known>,
    by_map: FixedMap<Bytes, (u64, Treatment)>,
    snapshots: BTreeMap<TableName, Snapshot>,
    doubtful: BTreeMap<TableName, Arc<TableName>>,
}

impl Tables {
    /// The treatment of the table that rows events call `id`.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<&Treatment> {
        self.by_id.get(&id).map(|known| &known.treatment)
    }

    /// Binds `id` to the table of `map` (the TABLE_MAP after the id), if that map is known.
    pub fn bind_known(&mut self, id: u64, map: &[u8]) -> bool {
        if let Some(known) = self.by_id.get(&id)
            && known.epoch == self.epoch
            && known.map == map
        {
            return true;
        }
        let Some((bytes, (epoch, treatment))) = self.by_map.get_key_value(map) else {
            return false;
        };
        if *epoch != self.epoch {
            return false;
        }
        let known = Known {
            map: bytes.clone(),
            epoch: *epoch,
            treatment: treatment.clone(),
        };
        self.by_id.insert(id, known);
        true
    }

    /// Binds `id` and every later map of the same bytes to `treatment`.
    pub fn bind(&mut self, id: u64, map: Bytes, treatment: Treatment) {
        if self.by_map.len() >= PLANS_MAX {
            self.by_map.clear();
        }
        self.by_map
            .insert(map.clone(), (self.epoch, treatment.clone()));
        self.by_id.insert(
            id,
            Known {
                map,
                epoch: self.epoch,
                treatment,
            },
        );
    }

    /// The source began a new life (a format description event): its table ids mean nothing any more.
    pub fn forget_ids(&mut self) {
        self.by_id.clear();
    }

    /// Treatments are decided anew at the next TABLE_MAP of each table. Rows under way keep the treatment
    /// that their map had.
    pub fn forget_treatments(&mut self) {
        self.epoch += 1;
        self.by_map.clear();
    }

    /// What the server said of `name`.
    #[must_use]
    pub fn snapshot(&self, name: &TableName) -> Option<&Snapshot> {
        self.snapshots.get(name)
    }

    /// Remembers what the server said of `name`.
    pub fn remember(&mut self, name: TableName, snapshot: Snapshot) {
        self.snapshots.insert(name, snapshot);
    }

    /// Another log is read, or part of it is left out: what was said of tables, and where, means nothing.
    pub fn forget_snapshots(&mut self) {
        self.snapshots.clear();
        self.doubtful.clear();
        self.forget_treatments();
    }

    /// The quarantine of `name`, if it is in one.
    #[must_use]
    pub fn quarantine(&self, name: &TableName) -> Option<Treatment> {
        self.doubtful
            .get(name)
            .map(|name| Treatment::Quarantined(name.clone()))
    }

    /// Withholds the rows of `name` until a statement touches it.
    pub fn doubt(&mut self, name: &TableName) -> Treatment {
        let shared = self
            .doubtful
            .entry(name.clone())
            .or_insert_with(|| Arc::new(name.clone()));
        Treatment::Quarantined(shared.clone())
    }

    /// A statement that ends at `end` was reached: what was known of the tables it touches from before
    /// is no longer true. Names are compared without their case, because a file does not say whether its
    /// server folds them; forgetting too much costs a question, forgetting too little the truth.
    pub fn invalidate(&mut self, touches: &Touches, end: &BinlogPosition) {
        let stale = |name: &TableName, snapshot: &Snapshot| {
            touches.contains_in_any_case(name) && snapshot.at < *end
        };
        self.snapshots
            .retain(|name, snapshot| !stale(name, snapshot));
        self.doubtful.retain(|name, _| !touches.contains(name));
        self.forget_treatments();
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::position::BinlogFile;

    #[test]
    fn a_statement_takes_what_was_known_before_it_in_whatever_case() {
        let at = |offset| BinlogPosition::new(BinlogFile::new("bin.000001"), offset);
        let name = TableName::new("shop", "Orders");
        let after = |touches: Touches, said_at: u64| {
            let mut tables = Tables::default();
            let snapshot = Snapshot {
                schema: None,
                at: at(said_at),
            };
            tables.remember(name.clone(), snapshot);
            tables.invalidate(&touches, &at(100));
            tables.snapshot(&name).is_some()
        };
        let table = |table: &str| Touches::Tables(vec![TableName::new("SHOP", table)]);
        assert!(!after(table("orders"), 99));
        assert!(!after(Touches::Schema("Shop".into()), 99));
        assert!(!after(Touches::Everything, 99));
        assert!(after(table("other"), 99));
        assert!(
            after(table("orders"), 100),
            "it was said after the statement"
        );
    }
}
