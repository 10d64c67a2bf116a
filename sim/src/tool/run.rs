//! `cargo sim run`: seeds, as many as wanted, until one fails.
//!
//! Seeds are handed out in order to one thread a processor. The first failure in time ends it; what is
//! printed then is the smallest seed that failed.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::plan::draw::{Size, draw};
use crate::run::{Extras, Outcome, run};
use crate::tool::{Exit, explained};

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After so many seeds.
    Seeds(u64),
    /// After so much time, in which seeds that were begun are ended.
    Time(Duration),
}

/// What is to be run.
#[derive(Debug)]
pub struct Batch {
    /// The first seed.
    pub from: u64,
    /// When to stop.
    pub until: Until,
    /// How many at a time.
    pub jobs: usize,
    /// Whether each is run twice and compared.
    pub is_doubled: bool,
    /// Whether each one's digest is printed.
    pub tells_digests: bool,
    /// What is drawn.
    pub size: Size,
    /// What the command line calls it.
    pub size_name: &'static str,
}

/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// How many processors there are.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Tally {
    seeds: u64,
    transactions: u64,
    records: u64,
    virtual_time: Duration,
    digests: BTreeMap<u64, u64>,
    failed: BTreeMap<u64, Failure>,
}

#[derive(Debug)]
enum Failure {
    Run(Outcome),
    Differs(Outcome, Outcome),
}

/// Runs them, and prints a summary.
///
/// # Errors
/// The machine gives no thread, or no handler for Ctrl-C.
pub fn seeds(batch: &Batch) -> anyhow::Result<Exit> {
    head(batch);
    let (tally, next, over) = (
        Mutex::new(Tally::default()),
        AtomicU64::new(0),
        Arc::new(AtomicBool::new(false)),
    );
    let interrupted = Arc::clone(&over);
    ctrlc::set_handler(move || interrupted.store(true, Ordering::Relaxed))?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..batch.jobs.max(1))
            .map(|_| scope.spawn(|| work(batch, began, &tally, &next, &over)))
            .collect();
        while !workers
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            std::thread::sleep(Duration::from_millis(20));
            progress(&tally, began);
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(summary(batch, &tally, began.elapsed()))
}

fn work(batch: &Batch, began: Instant, tally: &Mutex<Tally>, next: &AtomicU64, over: &AtomicBool) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let is_done = match batch.until {
            Until::Seeds(seeds) => number >= seeds,
            Until::Time(time) => began.elapsed() >= time,
        };
        if is_done || over.load(Ordering::Relaxed) {
            return;
        }
        let seed = batch.from.wrapping_add(number);
        let plan = draw(seed, batch.size);
        let outcome = run(&plan, Extras::default());
        let again = batch.is_doubled.then(|| run(&plan, Extras::default()));
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.seeds += 1;
        tally.transactions += outcome.transactions;
        tally.records += outcome.records;
        tally.virtual_time += outcome.virtual_time;
        if batch.tells_digests {
            tally.digests.insert(seed, outcome.hash);
        }
        let failure = match again {
            Some(again) if again != outcome => Failure::Differs(outcome, again),
            _ if Exit::of(&outcome) != Exit::Passed => Failure::Run(outcome),
            _ => continue,
        };
        tally.failed.insert(seed, failure);
        over.store(true, Ordering::Relaxed);
    }
}

/// All that is needed to do it again.
#[expect(clippy::print_stdout, reason = "it is what the command is for")]
fn head(batch: &Batch) {
    let until = match batch.until {
        Until::Seeds(seeds) => format!("--seeds {seeds}"),
        Until::Time(time) => format!("--for {}s", time.as_secs()),
    };
    let twice = if batch.is_doubled { " --twice" } else { "" };
    println!(
        "cargo sim run {until} --from {} --options {}{twice}   (commit {}, {} jobs)",
        batch.from,
        batch.size_name,
        commit(),
        batch.jobs
    );
}

/// The commit of the tree that this was run in, as far as git knows it.
fn commit() -> String {
    let told = std::process::Command::new("git")
        .args(["describe", "--always", "--dirty", "--exclude=*"])
        .output();
    let told = told.ok().filter(|told| told.status.success());
    let told = told.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned());
    told.unwrap_or_else(|| "unknown".to_owned())
}

/// A line on a terminal, which the next one overwrites.
fn progress(tally: &Mutex<Tally>, began: Instant) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut err = std::io::stderr();
    if !err.is_terminal() {
        return;
    }
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_some_and(|last| last.elapsed() < PROGRESS_EVERY) {
        return;
    }
    *last = Some(Instant::now());
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    // A terminal that is gone does not matter.
    let _ = write!(err, "\r{}\x1b[K", figures(&tally, began.elapsed()));
    let _ = err.flush();
}

fn figures(tally: &Tally, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(1e-3);
    format!(
        "{} seeds, {:.1} virtual hours, {} transactions, {} records in {seconds:.1} s: {:.1} seeds/s",
        tally.seeds,
        tally.virtual_time.as_secs_f64() / 3600.0,
        tally.transactions,
        tally.records,
        tally.seeds as f64 / seconds,
    )
}

#[expect(clippy::print_stdout, reason = "it is what the command is for")]
fn summary(batch: &Batch, tally: &Tally, took: Duration) -> Exit {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    for (seed, digest) in &tally.digests {
        println!("{seed} {digest:016x}");
    }
    println!("{}", figures(tally, took));
    println!("violations: {}", tally.failed.len());
    let Some((seed, failure)) = tally.failed.first_key_value() else {
        return Exit::Passed;
    };
    let exit = match failure {
        Failure::Run(outcome) => {
            println!("seed {seed} failed {}", explained(outcome));
            Exit::of(outcome)
        }
        Failure::Differs(first, second) => {
            println!(
                "seed {seed} is not one run: {} records ({:016x}) and then {} ({:016x})",
                first.records, first.hash, second.records, second.hash
            );
            Exit::Nondeterminism
        }
    };
    println!(
        "cargo sim replay {seed} --options {} --trace",
        batch.size_name
    );
    exit
}
