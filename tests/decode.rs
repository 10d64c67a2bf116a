//! `canald decode` against logs of real servers: every value of every row is compared with the truth.
//!
//! The committed corpus is `tests/corpus`; `CANALD_CORPUS=DIR` names another folder of the same layout.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use canald_core::entry::proto::{Column, EventType};
use canald_tests::harness::corpus::{self, DecodedRow, Log, Map};
use canald_tests::harness::say;
use canald_tests::harness::truth::{self, Escapes, Known};
use serde_json::Value;

/// Differences that are shown in full.
const SHOWN_MAX: usize = 40;

fn folder() -> PathBuf {
    std::env::var_os("CANALD_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus"),
        PathBuf::from,
    )
}

/// What was compared.
#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    values: u64,
    named_rows: u64,
    named_values: u64,
    unprinted: u64,
    differing: u64,
    surprises: u64,
    refused: Vec<String>,
    shown: Vec<String>,
}

impl Tally {
    fn judge_refusal(&mut self, log: &Log, fault: Option<String>) {
        let name = &log.name;
        match (expected_refusal(log), fault) {
            (None, None) => {}
            (Some(expected), Some(fault)) if fault.contains(expected) => {
                self.refused
                    .push(format!("refused as expected: {name}: {fault}"));
            }
            (None, Some(fault)) => {
                self.surprises += 1;
                self.refused.push(format!("REFUSED: {name}: {fault}"));
            }
            (Some(expected), fault) => {
                self.surprises += 1;
                self.refused
                    .push(format!("NOT refused for {expected:?}: {name}: {fault:?}"));
            }
        }
    }

    fn differ(&mut self, what: impl FnOnce() -> String) {
        self.differing += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(what());
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rows and {} values compared with the server's tool ({} more rows it cannot print), {} rows and \
             {} values with another decoder; {} rows differ; {} files refused",
            self.rows,
            self.values,
            self.unprinted,
            self.named_rows,
            self.named_values,
            self.differing,
            self.refused.len()
        )
    }
}

/// Why a log is not read to its end: what this version of canald recognises and does not deliver.
fn expected_refusal(log: &Log) -> Option<&'static str> {
    let topic = log.topic();
    Some(match (log.server(), log.variant(), topic) {
        ("mariadb1011" | "mariadb118", "compressed", _) => "a compressed event (Query_compressed)",
        // not compressed: the first change is one
        (_, _, "10-statements") => "a change logged as a statement, without rows",
        ("mysql97", "compressed", _) => "a compressed transaction (TRANSACTION_PAYLOAD)",
        (_, _, "14-xa-open" | "15-xa-close") => "an XA transaction",
        // the topic ends with one; MySQL 5.6 does not log it as such
        ("mysql97" | "mariadb1011" | "mariadb118", _, "09-transactions") => "an XA transaction",
        ("mariadb1011" | "mariadb118", _, "06-special") => "COMPRESSED columns of MariaDB",
        ("mysql97", _, "11-partial-json") => "a partial JSON update",
        _ => return None,
    })
}

#[test]
fn every_value_is_what_the_servers_tools_and_another_decoder_say() -> Result<()> {
    let logs = corpus::logs(&folder())?;
    ensure!(!logs.is_empty(), "no logs in {}", folder().display());
    let mut tally = Tally::default();
    for log in &logs {
        let (rows, fault) = corpus::decode(&log.path)?;
        let fault = fault.map(|fault| fault.to_string());
        let end = match &fault {
            Some(fault) => corpus::place_of(fault, &log.path)?,
            None => u64::MAX,
        };
        compare_printed(log, &rows, end, &mut tally)?;
        compare_decoded(log, &rows, end, &mut tally)?;
        tally.judge_refusal(log, fault);
    }
    say(&format!("{} files: {tally}", logs.len()));
    for line in tally.refused.iter().chain(&tally.shown) {
        say(line);
    }
    ensure!(tally.differing == 0, "{} rows differ", tally.differing);
    ensure!(
        tally.surprises == 0,
        "{} refusals not as expected",
        tally.surprises
    );
    Ok(())
}

/// Compares with what the server's own tool prints. It prints the rows of a statement at the last of its
/// events, so rows are taken event by event up to there.
fn compare_printed(log: &Log, rows: &[DecodedRow], end: u64, tally: &mut Tally) -> Result<()> {
    let bytes = log.bytes()?;
    let context = Context {
        bytes: &bytes,
        maps: corpus::maps(&bytes),
        escapes: Escapes::of(log),
    };
    let mut rest = rows;
    for event in log.truth("events")?.context("a log without its truth")? {
        let Some(printed) = event["rows"].as_array() else {
            continue;
        };
        let Some(pos) = event["pos"].as_u64() else {
            continue;
        };
        if pos >= end {
            break; // refused here
        }
        let count = rest.iter().take_while(|row| row.offset <= pos).count();
        let (ours, later) = rest.split_at(count);
        // MySQL's tool cannot print spatial columns: such rows are left to the other truth
        if printed.iter().any(|row| row["incomplete"] == true) {
            tally.unprinted += ours.len() as u64;
            rest = later;
            continue;
        }
        if printed.is_empty() {
            continue;
        }
        rest = later;
        if ours.len() != printed.len() {
            tally.differ(|| {
                format!(
                    "{} at {pos}: {} rows, not {}",
                    log.name,
                    ours.len(),
                    printed.len()
                )
            });
            continue;
        }
        for (row, printed) in ours.iter().zip(printed) {
            tally.rows += 1;
            if let Err(what) = compare_row(row, printed, &event["types"], &context, tally) {
                tally.differ(|| format!("{} at {}: {what}", log.name, row.offset));
            }
        }
    }
    if !rest.is_empty() {
        tally.differ(|| format!("{}: {} rows more than the truth", log.name, rest.len()));
    }
    Ok(())
}

/// What the comparison of a log's values has to know.
struct Context<'a> {
    bytes: &'a [u8],
    maps: Vec<Map>,
    escapes: Escapes,
}

impl<'a> Context<'a> {
    /// The raw event at `offset`.
    fn event(&self, offset: u64) -> &'a [u8] {
        let from = &self.bytes[offset as usize..];
        let size = u32::from_le_bytes(*from[9..].first_chunk().expect("a whole event"));
        &from[..size as usize]
    }
}

fn compare_row(
    row: &DecodedRow,
    printed: &Value,
    types: &Value,
    context: &Context<'_>,
    tally: &mut Tally,
) -> Result<(), String> {
    let op = match printed["op"].as_str() {
        Some("I") => EventType::Insert,
        Some("U") => EventType::Update,
        Some("D") => EventType::Delete,
        _ => return Err(format!("a truth without its kind: {printed}")),
    };
    if row.event_type != op || printed["table"] != row.table.as_str() {
        return Err(format!(
            "{} of {}, not {} of {}",
            row.event_type.name(),
            row.table,
            op.name(),
            printed["table"]
        ));
    }
    let map = context
        .maps
        .iter()
        .rfind(|map| map.offset < row.offset && map.table == row.table);
    for (image, shown) in [
        ("before", &row.data.before_columns),
        ("after", &row.data.after_columns),
    ] {
        let nothing = serde_json::Map::new();
        let printed = printed[image].as_object().unwrap_or(&nothing);
        if printed.len() != shown.len() {
            return Err(format!(
                "{}: {} columns {image}, not {}",
                row.table,
                shown.len(),
                printed.len()
            ));
        }
        for column in shown {
            tally.values += 1;
            let number = (column.index() + 1).to_string();
            let printed_type = types[&row.table][&number].as_str().unwrap_or_default();
            let described = map.and_then(|map| map.columns.get(column.index() as usize));
            let name = described.and_then(|it| it.name.clone());
            if column.name() != name.unwrap_or_else(|| format!("@{number}")) {
                return Err(format!(
                    "{}: column {number} is called {:?}",
                    row.table,
                    column.name()
                ));
            }
            let collation = described.and_then(|it| it.collation);
            let known = Known {
                printed_type,
                collation,
                escapes: context.escapes,
                event: context.event(row.offset),
            };
            let Some(truth) = printed.get(&number) else {
                return Err(format!(
                    "{}: column {number} is not there {image}",
                    row.table
                ));
            };
            if !truth::agrees(column, truth, known) {
                return Err(describe(&row.table, image, column, truth, known));
            }
        }
    }
    Ok(())
}

/// Compares with what another decoder made of the log: names above all.
fn compare_decoded(log: &Log, rows: &[DecodedRow], end: u64, tally: &mut Tally) -> Result<()> {
    let mut rows = rows.iter();
    for event in log.truth("rows")?.unwrap_or_default() {
        for decoded in event["rows"].as_array().into_iter().flatten() {
            let Some(row) = rows.next() else {
                // the events before the place of a refusal are compared with the other truth
                if end == u64::MAX {
                    tally.differ(|| format!("{}: the other decoder has more rows", log.name));
                }
                return Ok(());
            };
            tally.named_rows += 1;
            if let Err(what) = compare_named(row, &event["table"], decoded, tally) {
                tally.differ(|| format!("{} at {}: {what}", log.name, row.offset));
            }
        }
    }
    Ok(())
}

fn compare_named(
    row: &DecodedRow,
    table: &Value,
    decoded: &Value,
    tally: &mut Tally,
) -> Result<(), String> {
    if *table != row.table.as_str() {
        return Err(format!("{}, not {table}", row.table));
    }
    let (before, after) = if row.event_type == EventType::Update {
        ("before_values", "after_values")
    } else {
        ("values", "values")
    };
    for (image, shown) in [
        (before, &row.data.before_columns),
        (after, &row.data.after_columns),
    ] {
        for column in shown {
            let Some(truth) = decoded[image].get(column.name()) else {
                return Err(format!(
                    "{}: no column is called {:?}",
                    row.table,
                    column.name()
                ));
            };
            match truth::agrees_decoded(column, truth) {
                None => {}
                Some(true) => tally.named_values += 1,
                Some(false) => {
                    return Err(format!(
                        "{} `{}` {}: {:?} is not {truth}",
                        row.table,
                        column.name(),
                        column.mysql_type(),
                        column.text(),
                    ));
                }
            }
        }
    }
    Ok(())
}

fn describe(table: &str, image: &str, column: &Column, truth: &Value, known: Known<'_>) -> String {
    let cut = |text: String| text.chars().take(160).collect::<String>();
    format!(
        "{table} {image}, column {} `{}` {} [{} {:?}]: {} is not {}",
        column.index() + 1,
        column.name(),
        column.mysql_type(),
        known.printed_type,
        known.collation,
        cut(format!("{:?}", column.text())),
        cut(truth.to_string()),
    )
}
