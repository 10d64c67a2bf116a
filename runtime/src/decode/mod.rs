//! `canald decode`: the changes in binlog files, without a server.
//!
//! One thread reads and frames (`files`), as many as there are processors decode and print
//! (`workers`); the lines come out in the order of the log. At the first thing that cannot be read the
//! command stops: what came before is printed, then the error says where it was and what. Nothing is ever
//! skipped in silence, and no column has a name that may be wrong: names come from the log itself, else
//! from the script of `--schema` until a statement of the log touches the table, else they are `@1 @2 …`.

mod fault;
mod files;
mod lines;
mod progress;
mod workers;

use std::fs;
use std::io::{self, Write as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use canald_core::config::{FilterConfig, SubscribeFilter};
use canald_core::filter::{ColumnFilter, ListKind, TableFilter, TableJudge, Verdicts};
use canald_core::mysql::charset::Charset;
use canald_core::pipeline::plan::{CharsetScope, EncodeSettings, MemberText};
use canald_core::pipeline::selection::Selection;
use canald_core::pipeline::split::{DoubtPolicy, SplitConfig};
use canald_core::schema::script;
use canald_core::schema::table::TableSchema;

pub use self::fault::Fault;
pub use self::files::{Seen, Unclosed};
pub use self::workers::{Decoding, decode};

use self::lines::{Counts, Lines};
use self::progress::Progress;
use crate::cli::{DecodeArgs, DecodeFormat};
use crate::exit::Exit;
use crate::output::Output;
use crate::zone;

/// The name that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

/// Entries of a transaction that go through the workers in one piece: canal's default for a unit.
const TRANSACTION_ENTRIES: u32 = 1024;

/// Prints the changes in files.
///
/// # Errors
/// A file that cannot be read, by name, file offset and event.
pub fn run(args: &DecodeArgs) -> anyhow::Result<()> {
    let decoding = Decoding {
        split: split_config()?,
        selection: selection(&args.filter).map_err(usage)?,
        schemas: schemas(args.schema.as_deref()).map_err(usage)?,
        workers: thread::available_parallelism().map_or(1, NonZero::get),
    };
    let mut output = Output::stdout();
    let mut progress = Progress::of_files(&args.files, args.format);
    let mut counts = Counts::default();
    let begun = Instant::now();
    let format = args.format;
    let outcome = decode(
        &args.files,
        decoding,
        |segment| Lines::of(segment, format),
        |lines| {
            counts.add(&lines.counts);
            output.write_all(lines.text.as_bytes())
        },
        |bytes| progress.reached(bytes),
    );
    progress.clear();
    let outcome = outcome.and_then(|seen| {
        if format == DecodeFormat::None {
            counts.print(&seen, begun.elapsed(), &mut output)?;
        }
        Ok(seen)
    });
    // What came before a fault is printed before the fault is.
    let flushed = output.flush();
    let seen = outcome.map_err(|fault| explain(fault, args))?;
    flushed?;
    for file in &seen.unclosed {
        tracing::warn!("{file}");
    }
    Ok(())
}

/// How a fault ends the command.
fn explain(fault: Fault, args: &DecodeArgs) -> anyhow::Error {
    if let Fault::Output(error) = fault {
        return error.into();
    }
    if matches!(fault, Fault::Open { .. }) {
        return Exit::Usage.mark(fault.into());
    }
    let doubted = args.schema.as_deref().filter(|_| fault.is_doubt());
    let error = anyhow::Error::new(fault);
    Exit::Data.mark(match doubted {
        Some(script) => error.context(format!(
            "{} does not describe the tables as they were",
            script.display()
        )),
        None => error,
    })
}

fn usage(error: anyhow::Error) -> anyhow::Error {
    Exit::Usage.mark(error)
}

fn split_config() -> anyhow::Result<SplitConfig> {
    let zone = zone::local().map_err(|error| Exit::Usage.mark(error.into()))?;
    let encode = EncodeSettings::new(
        zone::table(&zone),
        MemberText::Number,
        Charset::Utf8,
        CharsetScope::Undeclared,
    );
    Ok(SplitConfig {
        encode: Arc::new(encode),
        transaction_entries: TRANSACTION_ENTRIES,
        drop_transaction_entries: false,
        doubt: DoubtPolicy::Anonymous,
        lookahead_bytes: 0,
        fold_names: false,
    })
}

fn selection(filter: &str) -> anyhow::Result<Selection> {
    let white = TableFilter::compile(filter, ListKind::White).context("--filter")?;
    for warning in white.warnings() {
        tracing::warn!("--filter: {warning}");
    }
    let black = TableFilter::compile("", ListKind::Black)?;
    let config = FilterConfig {
        white: filter.into(),
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
    let judge = TableJudge::new([Arc::new(white)].into(), Arc::new(black));
    let columns = ColumnFilter::parse("", "")?;
    Ok(Selection::new(
        config,
        columns,
        [Verdicts::new(judge)].into(),
    ))
}

fn schemas(path: Option<&Path>) -> anyhow::Result<Vec<TableSchema>> {
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    let shown = || format!("--schema {}", path.display());
    let sql = fs::read_to_string(path).with_context(shown)?;
    let tables = script::parse(&sql, "").with_context(shown)?;
    if tables.is_empty() {
        anyhow::bail!("{}: there is no CREATE TABLE in it", shown());
    }
    if let Some(nameless) = tables.iter().find(|table| table.name.schema.is_empty()) {
        anyhow::bail!(
            "{}: it does not say in which schema table {} is: put USE schema; at its beginning",
            shown(),
            nameless.name.table
        );
    }
    Ok(tables)
}

/// What a file is called in entries and faults: its last part.
fn name_of(path: &Path) -> String {
    if path == Path::new(STANDARD_INPUT) {
        return "stdin".into();
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Bytes of all files together; none if that cannot be told, as of a pipe.
fn bytes_of(files: &[PathBuf]) -> Option<u64> {
    let one = |path: &PathBuf| {
        let facts = fs::metadata(path).ok()?;
        facts.is_file().then_some(facts.len())
    };
    files.iter().map(one).sum()
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
