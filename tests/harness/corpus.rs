//! Binlogs of real servers with the truth beside them: what the servers' own tools, another decoder and
//! the servers themselves say is in them.
//!
//! A folder holds `SERVER/VARIANT-TOPIC.binlog`, and beside each `.events.jsonl.gz` (every row as
//! mysqlbinlog or mariadb-binlog prints it), `.rows.jsonl.gz` where the log names its columns (rows by name,
//! decoded by the Python package mysql-replication).

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::BytesMut;
use canald::decode::{self, Decoding, Fault};
use canald_core::binlog::file::FileReader;
use canald_core::binlog::payload::Payload;
use canald_core::binlog::stream::EventStream;
use canald_core::binlog::table_map::MapColumn;
use canald_core::config::{FilterConfig, SubscribeFilter};
use canald_core::entry::proto::{Content, Entry, EventType, RowData};
use canald_core::filter::{ColumnFilter, ListKind, TableFilter, TableJudge, Verdicts};
use canald_core::pipeline::plan::EncodeSettings;
use canald_core::pipeline::selection::Selection;
use canald_core::pipeline::split::{DoubtPolicy, SplitConfig};
use canald_core::position::BinlogFile;
use canald_core::store::segment::Segment;
use flate2::read::GzDecoder;
use prost::DecodeError;
use serde_json::Value;

/// One log of a corpus.
#[derive(Clone, Debug)]
pub struct Log {
    /// `SERVER/VARIANT-TOPIC`
    pub name: String,
    /// The binlog.
    pub path: PathBuf,
}

impl Log {
    /// The server's folder.
    #[must_use]
    pub fn server(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// How the server was configured.
    #[must_use]
    pub fn variant(&self) -> &str {
        let file = self.name.split('/').nth(1).unwrap_or_default();
        file.split('-').next().unwrap_or_default()
    }

    /// What its script was about.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.name.split_once('-').map_or("", |(_, topic)| topic)
    }

    /// The bytes of the binlog.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        fs::read(&self.path).with_context(|| self.name.clone())
    }

    /// The truth of this kind, line by line; none if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn truth(&self, kind: &str) -> Result<Option<Vec<Value>>> {
        let path = self.path.with_extension(format!("{kind}.jsonl.gz"));
        if !path.exists() {
            return Ok(None);
        }
        let mut text = String::new();
        GzDecoder::new(File::open(&path)?).read_to_string(&mut text)?;
        let lines = text.lines().map(serde_json::from_str);
        Ok(Some(lines.collect::<Result<_, _>>()?))
    }
}

/// All logs in a folder, in the order of their names.
///
/// # Errors
/// It cannot be read.
pub fn logs(folder: &Path) -> Result<Vec<Log>> {
    let mut logs = Vec::new();
    for server in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let server = server?;
        if !server.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(server.path())? {
            let path = file?.path();
            if path.extension().is_some_and(|it| it == "binlog") {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                let name = format!("{}/{stem}", server.file_name().to_string_lossy());
                logs.push(Log { name, path });
            }
        }
    }
    logs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(logs)
}

/// One row that canald decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedRow {
    /// Where its event starts.
    pub offset: u64,
    /// `schema.table`
    pub table: String,
    /// What happened to it.
    pub event_type: EventType,
    /// Its images.
    pub data: RowData,
}

/// What `canald decode` makes of a file: the rows before the fault, and the fault. Time stamps are in UTC.
///
/// # Errors
/// The settings cannot be used.
pub fn decode(path: &Path) -> Result<(Vec<DecodedRow>, Option<Fault>)> {
    let split = SplitConfig {
        encode: Arc::new(EncodeSettings::default()),
        transaction_entries: 1024,
        drop_transaction_entries: false,
        doubt: DoubtPolicy::Anonymous,
        lookahead_bytes: 0,
        fold_names: false,
    };
    let decoding = Decoding {
        split,
        selection: everything()?,
        schemas: Vec::new(),
        workers: 1,
    };
    let mut rows = Vec::new();
    let take = |more: std::result::Result<Vec<DecodedRow>, DecodeError>| {
        rows.extend(more.map_err(io::Error::other)?);
        Ok(())
    };
    let outcome = decode::decode(&[path.into()], decoding, rows_of, take, |_| {});
    Ok((rows, outcome.err()))
}

/// The offset that a fault names, right behind the name of the file.
///
/// # Errors
/// It names none.
pub fn place_of(fault: &str, path: &Path) -> Result<u64> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let rest = fault.strip_prefix(&*file).unwrap_or_default();
    let rest = rest
        .strip_prefix(" at offset ")
        .or_else(|| rest.strip_prefix(':'));
    let digits = rest.and_then(|it| it.split(|c: char| !c.is_ascii_digit()).next());
    let offset = digits.and_then(|it| it.parse().ok());
    offset.with_context(|| format!("a fault without file and offset: {fault}"))
}

fn everything() -> Result<Selection> {
    let config = FilterConfig {
        white: String::new(),
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
    };
    let black = TableFilter::compile("", ListKind::Black)?;
    let judge = TableJudge::new(Vec::new(), Arc::new(black));
    let columns = ColumnFilter::parse("", "")?;
    Ok(Selection::new(config, columns, vec![Verdicts::new(judge)]))
}

fn rows_of(segment: &Segment) -> std::result::Result<Vec<DecodedRow>, DecodeError> {
    let mut rows = Vec::new();
    for slot in 0..segment.slots.len() {
        let entry = Entry::read(segment.entry(slot))?;
        let Content::Change(change) = entry.content()? else {
            continue;
        };
        let header = entry.header.unwrap_or_default();
        let table = format!("{}.{}", header.schema_name(), header.table_name());
        let event_type = change.event_type();
        rows.extend(change.row_datas.into_iter().map(|data| DecodedRow {
            offset: header.logfile_offset() as u64,
            table: table.clone(),
            event_type,
            data,
        }));
    }
    Ok(rows)
}

/// What a TABLE_MAP says of columns.
#[derive(Clone, Debug)]
pub struct Map {
    /// Where the map starts.
    pub offset: u64,
    /// `schema.table`
    pub table: String,
    /// Of each column.
    pub columns: Vec<MapColumn>,
}

/// All maps of a log, as far as it can be read.
#[must_use]
pub fn maps(bytes: &[u8]) -> Vec<Map> {
    let file = BinlogFile::new("log");
    let (mut reader, mut stream) = (FileReader::new(file.clone()), EventStream::for_file(file));
    let mut buffer = BytesMut::from(bytes);
    let mut all = Vec::new();
    while let Ok(Some(raw)) = reader.next(&mut buffer) {
        let Ok(event) = stream.accept(&raw) else {
            break;
        };
        if let Ok(Payload::TableMap(map)) = stream.parse(&event)
            && let Ok((schema, table)) = map.names()
            && let Ok(map) = map.read(stream.format().flavor)
        {
            all.push(Map {
                offset: event.start,
                table: format!("{schema}.{table}"),
                columns: map.columns,
            });
        }
    }
    all
}
