//! What the log is known to hold ahead of the place being decoded: the proof that a table's columns,
//! asked of the server now, were the same then.
//!
//! The server answers for its own position S, the stream stands at P before it. The answer holds at P
//! only if no DDL in (P, S] touches the table (`design.md` §5), and that is known once the stream has
//! been seen up to S. A [`Horizon`] remembers how far it has been seen and which DDL lies there.
//!
//! Bounded by [`DDLS_MAX`]; beyond it the oldest half is replaced by one that touches everything,
//! which can only turn a proof into a doubt, never a doubt into a proof.

use alloc::vec::Vec;

use crate::position::BinlogPosition;
use crate::schema::ddl::Touches;
use crate::schema::table::TableName;

/// DDL statements remembered ahead of the place being decoded.
pub const DDLS_MAX: usize = 16_384;

/// What is known of a stretch of the log.
#[derive(Clone, Debug)]
pub struct Horizon {
    seen_from: BinlogPosition,
    seen_to: BinlogPosition,
    ddls: Vec<(BinlogPosition, Touches)>,
}

/// Whether an answer given at one position holds at an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It does.
    Holds,
    /// The log has not been seen far enough.
    NotYet,
    /// A DDL that ends here touches the table in between.
    Broken(BinlogPosition),
}

impl Horizon {
    /// Nothing has been seen beyond `at`.
    #[must_use]
    pub fn new(at: BinlogPosition) -> Self {
        Self {
            seen_from: at.clone(),
            seen_to: at,
            ddls: Vec::new(),
        }
    }

    /// How far the log has been seen.
    #[must_use]
    pub const fn seen_to(&self) -> &BinlogPosition {
        &self.seen_to
    }

    /// The log has been seen up to `to`.
    pub fn extend(&mut self, to: BinlogPosition) {
        if to > self.seen_to {
            self.seen_to = to;
        }
    }

    /// A statement that ends at `end` may change the columns of `touches`.
    pub fn note(&mut self, end: BinlogPosition, touches: Touches) {
        if self.ddls.len() >= DDLS_MAX {
            let kept = self.ddls.split_off(DDLS_MAX / 2);
            let last = self.ddls.pop();
            self.ddls.clear();
            if let Some((place, _)) = last {
                self.ddls.push((place, Touches::Everything));
            }
            self.ddls.extend(kept);
        }
        self.ddls.push((end, touches));
    }

    /// Whether `place` lies in the stretch.
    #[must_use]
    pub fn covers(&self, place: &BinlogPosition) -> bool {
        self.seen_from <= *place && *place <= self.seen_to
    }

    /// Whether a DDL beyond `place` touches `table`.
    #[must_use]
    pub fn touches_after(&self, table: &TableName, place: &BinlogPosition) -> bool {
        self.ddls
            .iter()
            .any(|(end, touches)| end > place && touches.contains(table))
    }

    /// Whether what the server said of `table` at `said_at` holds at `from`.
    #[must_use]
    pub fn proof(
        &self,
        table: &TableName,
        from: &BinlogPosition,
        said_at: &BinlogPosition,
    ) -> Proof {
        if said_at <= from {
            return Proof::Holds;
        }
        let between = |end: &BinlogPosition| end > from && end <= said_at;
        let broken = self
            .ddls
            .iter()
            .find(|(end, t)| between(end) && t.contains(table));
        match broken {
            Some((end, _)) => Proof::Broken(end.clone()),
            None if self.seen_from <= *from && self.seen_to >= *said_at => Proof::Holds,
            None => Proof::NotYet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::BinlogFile;
    use alloc::vec;

    fn at(offset: u64) -> BinlogPosition {
        BinlogPosition::new(BinlogFile::new("bin.000001"), offset)
    }

    fn touching(table: &str) -> Touches {
        Touches::Tables(vec![TableName::new("d", table)])
    }

    #[test]
    fn an_answer_holds_only_where_no_ddl_lies_between() {
        let table = TableName::new("d", "t");
        let mut horizon = Horizon::new(at(100));
        assert_eq!(horizon.proof(&table, &at(100), &at(100)), Proof::Holds);
        assert_eq!(horizon.proof(&table, &at(100), &at(300)), Proof::NotYet);
        horizon.note(at(200), touching("other"));
        horizon.extend(at(300));
        assert_eq!(horizon.proof(&table, &at(100), &at(300)), Proof::Holds);
        horizon.note(at(250), touching("t"));
        assert_eq!(
            horizon.proof(&table, &at(100), &at(300)),
            Proof::Broken(at(250))
        );
        assert_eq!(
            horizon.proof(&table, &at(250), &at(300)),
            Proof::Holds,
            "the DDL lies behind"
        );
        assert_eq!(
            horizon.proof(&table, &at(100), &at(240)),
            Proof::Holds,
            "the DDL lies beyond"
        );
    }

    #[test]
    fn of_what_lies_before_its_beginning_a_horizon_knows_nothing() {
        let table = TableName::new("d", "t");
        let mut horizon = Horizon::new(at(200));
        horizon.extend(at(300));
        assert!(horizon.covers(&at(200)) && horizon.covers(&at(300)));
        assert!(!horizon.covers(&at(199)));
        assert_eq!(horizon.proof(&table, &at(200), &at(300)), Proof::Holds);
        assert_eq!(horizon.proof(&table, &at(199), &at(300)), Proof::NotYet);
    }

    #[test]
    fn too_many_ddls_can_only_add_doubt() {
        let table = TableName::new("d", "t");
        let mut horizon = Horizon::new(at(0));
        for n in 0..=DDLS_MAX as u64 {
            horizon.note(at(n + 1), touching("other"));
        }
        horizon.extend(at(1 << 20));
        assert!(matches!(
            horizon.proof(&table, &at(0), &at(1 << 20)),
            Proof::Broken(_)
        ));
    }
}
