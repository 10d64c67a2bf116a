//! The stages of the data path that need no socket, joined as the instance joins them: raw events in,
//! segments out, on one thread.

use std::sync::Arc;

use anyhow::{Result, ensure};
use bytes::Bytes;
use canald_core::binlog::stream::EventStream;
use canald_core::config::{FilterConfig, SubscribeFilter};
use canald_core::filter::{ColumnFilter, ListKind, TableFilter, TableJudge, Verdicts};
use canald_core::pipeline::decode::decode;
use canald_core::pipeline::gtids::GtidTracker;
use canald_core::pipeline::plan::EncodeSettings;
use canald_core::pipeline::selection::Selection;
use canald_core::pipeline::split::{DoubtPolicy, SplitConfig, Splitter};
use canald_core::store::segment::Segment;

/// Bytes that the daemon reads from its source at a time.
pub const READ_BYTES: usize = 256 << 10;

/// Entries of a transaction that are delivered as a unit, as shipped.
const TRANSACTION_ENTRIES: u32 = 1024;

/// Bytes of binlog that may wait for a schema, as shipped. The logs here name their columns.
const LOOKAHEAD_BYTES: u64 = 64 << 20;

/// The serial stage and the decoder.
#[derive(Debug)]
pub struct Stages {
    splitter: Splitter,
}

impl Stages {
    /// The stages for events of `stream`, of the tables that `filter` names.
    ///
    /// # Errors
    /// When the filter is none.
    pub fn new(stream: EventStream, filter: &str) -> Result<Self> {
        let white = TableFilter::compile(filter, ListKind::White)?;
        let black = TableFilter::compile("", ListKind::Black)?;
        let judge = TableJudge::new(vec![Arc::new(white)], Arc::new(black));
        let columns = ColumnFilter::parse("", "")?;
        let selection = Selection::new(filters(filter), columns, vec![Verdicts::new(judge)]);
        let config = SplitConfig {
            encode: Arc::new(EncodeSettings::default()),
            transaction_entries: TRANSACTION_ENTRIES,
            drop_transaction_entries: false,
            doubt: DoubtPolicy::Anonymous,
            lookahead_bytes: LOOKAHEAD_BYTES,
            fold_names: false,
        };
        let splitter = Splitter::new(config, stream, selection, GtidTracker::off());
        Ok(Self { splitter })
    }

    /// Takes one raw event.
    ///
    /// # Errors
    /// When the serial stage cannot go on.
    pub fn take(&mut self, raw: Bytes) -> Result<()> {
        Ok(self.splitter.handle_event(raw)?)
    }

    /// Decodes what was taken; call it after every read.
    ///
    /// # Errors
    /// When a row is not what its table says.
    pub fn drain(&mut self, mut sink: impl FnMut(Segment)) -> Result<()> {
        self.splitter.close_job();
        while let Some(job) = self.splitter.next_job() {
            let decoded = decode(job);
            ensure!(decoded.fault.is_none(), "{:?}", decoded.fault);
            sink(decoded.segment);
        }
        Ok(())
    }
}

fn filters(white: &str) -> FilterConfig {
    FilterConfig {
        white: white.to_owned(),
        black: String::new(),
        fields: String::new(),
        black_fields: String::new(),
        subscribe: SubscribeFilter::Replace,
        drop_dcl: false,
        drop_dml: false,
        drop_ddl: false,
        drop_rows: false,
        drop_transaction_entries: false,
        drop_insert: false,
        drop_update: false,
        drop_delete: false,
        quarantine: false,
    }
}
