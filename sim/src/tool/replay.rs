//! `cargo sim replay` and `cargo sim plan`: one run, looked at closely.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;

use crate::journal::Watcher;
use crate::plan::draw::{Size, draw};
use crate::plan::{Plan, text};
use crate::run::{Extras, run};
use crate::tool::{Exit, explained, seed, trace};

/// What is to be run again.
#[derive(Debug)]
pub struct Replay<'a> {
    /// Seeds, or files of plans.
    pub what: &'a [String],
    /// Whether everything that happens is printed.
    pub is_traced: bool,
    /// Where the source's binlog files go.
    pub files: Option<&'a Path>,
    /// What is drawn for a seed.
    pub size: Size,
    /// What the command line calls it.
    pub size_name: &'static str,
}

/// Runs them one after another, and says how each ended.
///
/// # Errors
/// There is no such plan, or it cannot be read.
pub fn replay(replay: &Replay<'_>) -> anyhow::Result<Exit> {
    let mut worst = Exit::Passed;
    for what in replay.what {
        worst = worst.max(replay_one(replay, what)?);
    }
    Ok(worst)
}

#[expect(clippy::print_stdout, reason = "it is what the command is for")]
fn replay_one(replay: &Replay<'_>, what: &str) -> anyhow::Result<Exit> {
    let (plan, from) = find(replay, what)?;
    println!("cargo sim replay {from}");
    if let Some(folder) = replay.files {
        let made = std::fs::create_dir_all(folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut watchers: Vec<Watcher> = Vec::new();
    if replay.is_traced {
        let mut out = BufWriter::new(std::io::stdout());
        watchers.push(Box::new(move |at, record| {
            if let Some(line) = trace::line(at, record) {
                // Whoever closes the output has seen enough.
                let _ = writeln!(out, "{line}");
            }
        }));
    }
    let outcome = run(
        &plan,
        Extras {
            watchers,
            is_traced: replay.is_traced,
            files: replay.files.map(Path::to_owned),
        },
    );
    println!(
        "{} transactions, {} records ({:016x}), {:.1} virtual seconds",
        outcome.transactions,
        outcome.records,
        outcome.hash,
        outcome.virtual_time.as_secs_f64()
    );
    let exit = Exit::of(&outcome);
    if exit == Exit::Passed {
        println!("passed");
    } else {
        println!("failed {}", explained(&outcome));
        println!("cargo sim replay {from} --trace");
    }
    Ok(exit)
}

fn find(replay: &Replay<'_>, what: &str) -> anyhow::Result<(Plan, String)> {
    match seed::parse(what) {
        Ok(seed) => {
            let from = format!("{what} --options {}", replay.size_name);
            Ok((draw(seed, replay.size), from))
        }
        Err(no_seed) => {
            let plan = std::fs::read_to_string(what);
            let plan =
                plan.with_context(|| format!("{no_seed}; and no plan can be read from it"))?;
            Ok((text::read(what, &plan)?, what.to_owned()))
        }
    }
}

/// Prints the plan of `seed`.
///
/// # Errors
/// Never; it has the form of the other commands.
#[expect(clippy::print_stdout, reason = "it is what the command is for")]
pub fn print_plan(seed: u64, size: Size) -> anyhow::Result<Exit> {
    print!("{}", text::write(&draw(seed, size)));
    Ok(Exit::Passed)
}
