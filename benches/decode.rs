//! Decoding and encoding on one core: raw binlog bytes to segments of entries, as the daemon does it
//! between its sockets.
//!
//! The logs in `data/` were written by MySQL 9.7 (`cargo bench --bench throughput -- --record` writes
//! them anew) and are repeated end to end. Bytes a second are those of binlog; bytes a row are those of
//! the rows events alone.
//!
//! A second is one of the thread's processor time.
//!
//! `--table` prints one table beside the budgets, with heap allocations (words behind it choose cases);
//! without it, criterion runs.

use std::hint::black_box;
use std::time::Duration;

use alloc_counter::{AllocCounter, count_alloc};
use anyhow::{Context as _, Result};
use bytes::BytesMut;
use canald_benches::stages::{READ_BYTES, Stages};
use canald_core::binlog::event::{EventHeader, EventType};
use canald_core::binlog::file::FileReader;
use canald_core::binlog::stream::EventStream;
use canald_core::position::BinlogFile;
use criterion::{Criterion, Throughput};

/// The daemon's allocator, counting.
#[global_allocator]
static ALLOCATOR: AllocCounter<mimalloc::MiMalloc> = AllocCounter(mimalloc::MiMalloc);

fn main() -> Result<()> {
    let cases = cases()?;
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--table") {
        let named = |case: &&Case| {
            arguments
                .iter()
                .any(|argument| case.name.contains(argument))
        };
        return match cases.iter().filter(named).collect::<Vec<_>>() {
            some if !some.is_empty() => print_table(&some),
            _ => print_table(&cases.iter().collect::<Vec<_>>()),
        };
    }
    let mut criterion = Criterion::default().configure_from_args();
    for case in &cases {
        let mut flow = case.flow()?;
        let once = flow.once()?;
        let mut group = criterion.benchmark_group("decode");
        group.throughput(Throughput::Elements(case.rows.max(once.rows)));
        group.bench_function(case.name, |b| {
            b.iter(|| flow.once().expect("the log was decoded before"));
        });
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

/// A log, and what of it is decoded.
struct Case {
    name: &'static str,
    filter: &'static str,
    budget: Budget,
    /// FORMAT_DESCRIPTION and PREVIOUS_GTIDS, which come once.
    head: Vec<u8>,
    /// Whole transactions, which are repeated.
    body: Vec<u8>,
    /// Rows of the body.
    rows: u64,
    /// Bytes of its rows events.
    rows_bytes: u64,
}

#[derive(Clone, Copy)]
enum Budget {
    RowsPerSecond(f64),
    BytesPerSecond(f64),
    None,
}

/// Bytes of a body at least: a log is read in large pieces, and so is this.
const BODY_BYTES: usize = 4 << 20;

/// Heap allocations a row that are allowed.
const ALLOCATIONS_PER_ROW: f64 = 0.05;

fn cases() -> Result<Vec<Case>> {
    let bulk: &[u8] = include_bytes!("data/bulk.binlog");
    let wide: &[u8] = include_bytes!("data/wide.binlog");
    let text: &[u8] = include_bytes!("data/text.binlog");
    let single: &[u8] = include_bytes!("data/single.binlog");
    let (all, other) = (".*\\..*", "other\\..*");
    let rows = Budget::RowsPerSecond;
    let bytes = Budget::BytesPerSecond;
    Ok(vec![
        Case::new("4-column inserts", bulk, 4000, all, rows(3e6))?,
        Case::new("16-column updates", wide, 400, all, rows(0.6e6))?,
        Case::new("1 KB of text", text, 200, all, bytes(600e6))?,
        Case::new("one a transaction", single, 500, all, Budget::None)?,
        Case::new("excluded", wide, 400, other, bytes(3e9))?,
    ])
}

impl Case {
    fn new(
        name: &'static str,
        log: &[u8],
        rows: u64,
        filter: &'static str,
        budget: Budget,
    ) -> Result<Self> {
        let mut case = Self {
            name,
            filter,
            budget,
            head: Vec::new(),
            body: Vec::new(),
            rows,
            rows_bytes: 0,
        };
        let mut reader = FileReader::new(BinlogFile::new("binlog.000001"));
        let mut buffer = BytesMut::from(log);
        case.head.extend_from_slice(&log[..4]);
        while let Some(event) = reader.next(&mut buffer)? {
            match EventHeader::parse(&event)?.event_type {
                EventType::FORMAT_DESCRIPTION | EventType::PREVIOUS_GTIDS => {
                    case.head.extend_from_slice(&event);
                    continue;
                }
                EventType::ROTATE | EventType::STOP => continue,
                EventType::WRITE_ROWS | EventType::UPDATE_ROWS => {
                    case.rows_bytes += event.len() as u64;
                }
                _ => {}
            }
            case.body.extend_from_slice(&event);
        }
        let repeats = BODY_BYTES.div_ceil(case.body.len());
        case.body = case.body.repeat(repeats);
        case.rows *= repeats as u64;
        case.rows_bytes *= repeats as u64;
        Ok(case)
    }

    /// The stages, past the head of the log.
    fn flow(&self) -> Result<Flow<'_>> {
        let file = BinlogFile::new("binlog.000001");
        let mut flow = Flow {
            case: self,
            reader: FileReader::new(file.clone()),
            stages: Stages::new(EventStream::for_file(file), self.filter)?,
            buffer: BytesMut::new(),
        };
        flow.read(&self.head)?;
        Ok(flow)
    }
}

/// A log that flows through the stages.
struct Flow<'c> {
    case: &'c Case,
    reader: FileReader,
    stages: Stages,
    buffer: BytesMut,
}

/// What came out.
#[derive(Clone, Copy, Debug, Default)]
struct Output {
    rows: u64,
    bytes: u64,
}

impl Flow<'_> {
    /// The whole body once.
    fn once(&mut self) -> Result<Output> {
        let case = self.case;
        let mut output = Output::default();
        for chunk in case.body.chunks(READ_BYTES) {
            let read = self.read(chunk)?;
            output.rows += read.rows;
            output.bytes += read.bytes;
        }
        Ok(output)
    }

    /// One read of the source.
    fn read(&mut self, bytes: &[u8]) -> Result<Output> {
        self.buffer.reserve(READ_BYTES);
        self.buffer.extend_from_slice(bytes);
        while let Some(event) = self.reader.next(&mut self.buffer)? {
            self.stages.take(event)?;
        }
        let mut output = Output::default();
        self.stages.drain(|segment| {
            let segment = black_box(segment);
            output.rows += segment.slots.iter().map(|s| u64::from(s.rows)).sum::<u64>();
            output.bytes += segment.bytes.len() as u64;
        })?;
        Ok(output)
    }
}

/// Processor time of this thread: what else runs on the machine does not count.
fn cpu_time() -> Result<Duration> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = schedstat.split(' ').next().context("schedstat is empty")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// The best of a few samples: whatever else runs on the machine only slows them.
#[derive(Clone, Copy)]
struct Sample {
    repeats: u64,
    seconds: f64,
    allocations: usize,
    output: Output,
}

const SAMPLES: usize = 7;
const SAMPLE_TIME: Duration = Duration::from_millis(500);

fn sample(flow: &mut Flow<'_>) -> Result<Sample> {
    let started = cpu_time()?;
    let (counts, result) = count_alloc(|| -> Result<(u64, Output)> {
        let mut repeats = 0;
        let mut total = Output::default();
        while cpu_time()? - started < SAMPLE_TIME {
            let output = flow.once()?;
            repeats += 1;
            total.rows += output.rows;
            total.bytes += output.bytes;
        }
        Ok((repeats, total))
    });
    let seconds = (cpu_time()? - started).as_secs_f64();
    let (repeats, output) = result?;
    let (allocations, reallocations, _) = counts;
    Ok(Sample {
        repeats,
        seconds,
        allocations: allocations + reallocations,
        output,
    })
}

#[expect(clippy::print_stdout, reason = "the figures are what the bench is for")]
fn print_table(cases: &[&Case]) -> Result<()> {
    println!(
        "{:<18} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>12} {:>7}",
        "one core",
        "binlog",
        "entry",
        "M rows/s",
        "ns/row",
        "MB/s in",
        "MB/s out",
        "budget",
        "allocs/row",
        "budget"
    );
    println!("{:<18} {:>9} {:>9}", "", "B/row", "B/row");
    for case in cases {
        let mut flow = case.flow()?;
        sample(&mut flow)?;
        let mut best: Option<Sample> = None;
        for _ in 0..SAMPLES {
            let next = sample(&mut flow)?;
            let rate = |s: &Sample| s.repeats as f64 / s.seconds;
            if best.as_ref().is_none_or(|best| rate(best) < rate(&next)) {
                best = Some(next);
            }
        }
        let best = best.context("no sample")?;
        let rows = (case.rows * best.repeats) as f64;
        let rows_per_second = rows / best.seconds;
        let bytes_per_second = (case.body.len() as u64 * best.repeats) as f64 / best.seconds;
        let reached = match case.budget {
            Budget::RowsPerSecond(budget) => format!("{:.2}x", rows_per_second / budget),
            Budget::BytesPerSecond(budget) => format!("{:.2}x", bytes_per_second / budget),
            Budget::None => "-".to_owned(),
        };
        let allocations = best.allocations as f64 / rows;
        println!(
            "{:<18} {:>9.1} {:>9.1} {:>9.3} {:>9.1} {:>9.0} {:>9.0} {:>7} {:>12.4} {:>6.2}x",
            case.name,
            case.rows_bytes as f64 / case.rows as f64,
            best.output.bytes as f64 / rows,
            rows_per_second / 1e6,
            1e9 / rows_per_second,
            bytes_per_second / 1e6,
            best.output.bytes as f64 / best.seconds / 1e6,
            reached,
            allocations,
            allocations / ALLOCATIONS_PER_ROW,
        );
    }
    Ok(())
}
