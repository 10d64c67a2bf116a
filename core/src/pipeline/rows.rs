//! Rows and the tables that they belong to.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

use bytes::Bytes;

use crate::binlog::event::{Event, EventProblem};
use crate::binlog::rows::{RowsEncoding, RowsEvent};
use crate::binlog::table_map::{RawTableMap, TableMap};
use crate::mysql::charset::{Charset, collation_charset};
use crate::pipeline::fault::{SplitFault, Unsupported};
use crate::pipeline::horizon::Proof;
use crate::pipeline::job::ItemBody;
use crate::pipeline::lookahead::WaitingTable;
use crate::pipeline::plan::TablePlan;
use crate::pipeline::split::{DoubtPolicy, Group, Splitter, Withheld};
use crate::pipeline::tables::Treatment;
use crate::position::BinlogPosition;
use crate::schema::resolve::{Charsets, SchemaDoubt, anonymous, needs_live, resolve};
use crate::schema::table::{TableName, TableSchema};
use crate::store::segment::SubjectId;

impl Splitter {
    pub(super) fn handle_table_map(
        &mut self,
        raw: &Bytes,
        event: &Event<'_>,
        map: &RawTableMap<'_>,
    ) -> Result<(), SplitFault> {
        if matches!(self.group, Group::Outside) {
            self.group_place(event); // rows cannot be read again without their maps
        }
        if self.tables.bind_known(map.table_id, map.definition) {
            return Ok(());
        }
        let (schema, table) = map.names().map_err(|error| {
            event
                .fault(EventProblem::Field(error))
                .of_file(self.stream.file())
        })?;
        let waiting = WaitingTable {
            name: TableName::new(schema, table),
            table_id: map.table_id,
            definition: raw.slice_ref(map.definition),
            at: self.at(event),
        };
        if let Some(still) = self.settle_table(waiting)? {
            self.lookahead.wait(still, &self.stream);
        }
        Ok(())
    }

    /// Decides what to do with the rows of a table, or gives it back if its columns must be asked for.
    pub(super) fn settle_table(
        &mut self,
        waiting: WaitingTable,
    ) -> Result<Option<WaitingTable>, SplitFault> {
        let treatment = match self.selection.table(&waiting.name) {
            None => Treatment::Excluded,
            Some(subject) => match self.tables.quarantine(&waiting.name) {
                Some(quarantined) => quarantined,
                None => match self.decide(&waiting, subject) {
                    Ok(None) => return Ok(Some(waiting)),
                    Ok(Some(plan)) => Treatment::Decoded(plan),
                    Err(fault)
                        if self.config.doubt == DoubtPolicy::Quarantine && fault.is_doubt() =>
                    {
                        self.tables.doubt(&waiting.name)
                    }
                    Err(fault) => return Err(fault),
                },
            },
        };
        self.tables
            .bind(waiting.table_id, waiting.definition, treatment);
        Ok(None)
    }

    /// The plan of a table; none while its columns are not known.
    fn decide(
        &self,
        waiting: &WaitingTable,
        subject: SubjectId,
    ) -> Result<Option<Arc<TablePlan>>, SplitFault> {
        let at = || waiting.at.clone();
        let raw = RawTableMap {
            table_id: waiting.table_id,
            definition: &waiting.definition,
        };
        let map = raw
            .read(self.stream.format().flavor)
            .map_err(|why| SplitFault::TableMap {
                why: Box::new(why),
                at: at(),
            })?;
        let Some(schema) = self.schema(&map, waiting)? else {
            return Ok(None);
        };
        let kept = |column: &str| self.selection.column(&waiting.name, column);
        TablePlan::build(&map, &schema, subject, &self.config.encode, kept)
            .map(|plan| Some(Arc::new(plan)))
            .map_err(|why| SplitFault::Plan {
                why: Box::new(why),
                at: at(),
            })
    }

    /// The columns of a table as they are at its map; none while the server has not said them, or the
    /// log has not been seen far enough to trust what it said.
    fn schema(
        &self,
        map: &TableMap,
        waiting: &WaitingTable,
    ) -> Result<Option<TableSchema>, SplitFault> {
        let at = || waiting.at.clone();
        let doubtful = |doubt: Box<SchemaDoubt>| SplitFault::Doubt { doubt, at: at() };
        let Some(snapshot) = self.tables.snapshot(&waiting.name) else {
            return match self.config.doubt {
                DoubtPolicy::Anonymous if needs_live(map) => Ok(Some(anonymous(map, &CHARSETS))),
                DoubtPolicy::Anonymous => resolve(map, None, &CHARSETS).map(Some).map_err(doubtful),
                DoubtPolicy::Stop | DoubtPolicy::Quarantine => Ok(None),
            };
        };
        if !needs_live(map) {
            return resolve(map, snapshot.schema.as_ref(), &CHARSETS)
                .map(Some)
                .map_err(doubtful);
        }
        match self
            .lookahead
            .proof(&waiting.name, &waiting.at, &snapshot.at)
        {
            Proof::NotYet => Ok(None),
            Proof::Broken(ddl) => Err(SplitFault::Changed {
                table: waiting.name.clone(),
                at: at(),
                ddl,
            }),
            Proof::Holds => match &snapshot.schema {
                None => Err(SplitFault::Hidden {
                    table: waiting.name.clone(),
                    at: at(),
                }),
                Some(schema) => resolve(map, Some(schema), &CHARSETS)
                    .map(Some)
                    .map_err(doubtful),
            },
        }
    }

    pub(super) fn handle_rows(
        &mut self,
        raw: &Bytes,
        event: &Event<'_>,
        rows: &RowsEvent<'_>,
    ) -> Result<(), SplitFault> {
        if rows.is_dummy() {
            return Ok(());
        }
        let treatment = self.tables.by_id(rows.table_id).cloned();
        match treatment {
            None => Err(SplitFault::NoTableMap {
                table_id: rows.table_id,
                at: self.at(event),
            }),
            Some(Treatment::Excluded) => Ok(()),
            Some(Treatment::Quarantined(table)) => {
                self.withhold(event, &table);
                Ok(())
            }
            Some(Treatment::Decoded(_)) if !self.selection.rows(rows.op) => Ok(()),
            Some(Treatment::Decoded(plan)) => {
                let what = match rows.encoding {
                    RowsEncoding::Plain => {
                        self.emit_rows(raw, event, rows, plan);
                        return Ok(());
                    }
                    RowsEncoding::PartialJson => Unsupported::PartialJson {
                        table: plan.name().clone(),
                    },
                    RowsEncoding::Compressed => Unsupported::CompressedEvent {
                        event: event.header.event_type.name(),
                    },
                };
                Err(self.unsupported(event, what))
            }
        }
    }

    fn emit_rows(
        &mut self,
        raw: &Bytes,
        event: &Event<'_>,
        rows: &RowsEvent<'_>,
        plan: Arc<TablePlan>,
    ) {
        let (op, table_id) = (rows.op, rows.table_id);
        let data = raw.slice_ref(rows.data);
        let subject = plan.subject();
        let guess = plan.guess(op, &data);
        let body = ItemBody::Rows {
            op,
            table_id,
            plan,
            data,
            guess,
        };
        self.emit(event, subject, body);
    }

    fn withhold(&mut self, event: &Event<'_>, table: &TableName) {
        let file = self.file();
        let (from, to) = (
            BinlogPosition::new(file.clone(), event.start),
            BinlogPosition::new(file, event.end),
        );
        match self.withheld.iter_mut().find(|range| range.table == *table) {
            Some(range) => range.to = to,
            None => self.withheld.push(Withheld {
                table: table.clone(),
                from,
                to,
            }),
        }
    }
}

/// What schemas have to know about collations.
const CHARSETS: Charsets<'static> = Charsets {
    name: &collation_charset,
    decode: &decode_text,
};

/// ENUM and SET members are written in the character set of their column.
fn decode_text(collation: u16, bytes: &[u8]) -> String {
    match Charset::from_collation(collation) {
        Some(charset) => charset.decode(bytes).into_owned(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}
