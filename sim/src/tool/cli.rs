//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::plan::draw::Size;
use crate::tool::{Exit, mutants, replay, run, seed};

/// Runs the whole of canald in a simulated world, under faults drawn from a seed, and says whether its
/// promises held. The same seed is the same run.
#[derive(Debug, Parser)]
#[command(name = "cargo sim", version, after_help = EXITS)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXITS: &str = "Exit codes: 0 passed, 2 usage, 10 panic, 11 something came wrong, 12 something never \
                     came, 13 two runs of one seed differ, 14 a planted bug was not found.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs many seeds, one after another on each processor, until one fails
    Run(RunArgs),
    /// Runs seeds, or the plans in files, again
    Replay(ReplayArgs),
    /// Prints the plan of a seed, to be read, edited, and given to replay
    Plan {
        /// A number, or the hash of a commit
        #[arg(value_parser = seed::parse)]
        seed: u64,
        #[command(flatten)]
        size: SizeArgs,
    },
    /// Plants known bugs into a copy of canald, one at a time, and looks for each
    Mutants(MutantsArgs),
}

/// What is drawn.
#[derive(Args, Clone, Copy, Debug)]
pub struct SizeArgs {
    /// How much is drawn for a seed
    #[arg(long, value_enum, default_value = "lite")]
    options: Options,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Options {
    /// Small worlds, many seeds a second
    Lite,
    /// Everything, and larger
    Swarm,
}

impl SizeArgs {
    const fn size(self) -> Size {
        match self.options {
            Options::Lite => Size::Lite,
            Options::Swarm => Size::Swarm,
        }
    }

    const fn name(self) -> &'static str {
        match self.options {
            Options::Lite => "lite",
            Options::Swarm => "swarm",
        }
    }
}

#[derive(Args, Debug)]
struct RunArgs {
    /// How many seeds
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        conflicts_with = "time"
    )]
    seeds: u64,
    /// Seeds until this much time has passed, such as 90s, 10m or 8h
    #[arg(long = "for", value_name = "TIME", value_parser = duration, id = "time")]
    time: Option<Duration>,
    /// The first seed: a number, or the hash of a commit
    #[arg(long, value_name = "SEED", default_value = "0", value_parser = seed::parse)]
    from: u64,
    /// Runs at a time; as many as there are processors if it is not given
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Runs each seed twice and compares the journals
    #[arg(long)]
    twice: bool,
    /// Prints the digest of each seed's journal, to be compared with another process's
    #[arg(long)]
    digests: bool,
    #[command(flatten)]
    size: SizeArgs,
}

#[derive(Args, Debug)]
struct ReplayArgs {
    /// Seeds, or files of plans
    #[arg(value_name = "SEED|PLAN", required = true)]
    what: Vec<String>,
    /// Prints what happens, a line for each input and output, in lanes
    #[arg(long)]
    trace: bool,
    /// Writes the source's binlog files into this folder
    #[arg(long, value_name = "FOLDER")]
    files: Option<PathBuf>,
    #[command(flatten)]
    size: SizeArgs,
}

#[derive(Args, Debug)]
struct MutantsArgs {
    /// Names; all if none is given
    names: Vec<String>,
    /// Looks only whether every patch still applies
    #[arg(long)]
    check: bool,
    /// Three of them, chosen by this seed (a commit's hash)
    #[arg(long, value_name = "SEED", value_parser = seed::parse, conflicts_with = "names")]
    three: Option<u64>,
    /// Seeds within which each must be found
    #[arg(long, value_name = "N", default_value_t = mutants::SEEDS_MAX)]
    seeds: u64,
}

impl Cli {
    /// Does what it says.
    ///
    /// # Errors
    /// What cannot be done for reasons of the command or the machine.
    pub fn carry_out(self) -> anyhow::Result<Exit> {
        match self.command {
            Command::Run(args) => {
                let until = match args.time {
                    Some(time) => run::Until::Time(time),
                    None => run::Until::Seeds(args.seeds),
                };
                run::seeds(&run::Batch {
                    from: args.from,
                    until,
                    jobs: args.jobs.unwrap_or_else(run::processors),
                    is_doubled: args.twice,
                    tells_digests: args.digests,
                    size: args.size.size(),
                    size_name: args.size.name(),
                })
            }
            Command::Replay(args) => replay::replay(&replay::Replay {
                what: &args.what,
                is_traced: args.trace,
                files: args.files.as_deref(),
                size: args.size.size(),
                size_name: args.size.name(),
            }),
            Command::Plan { seed, size } => replay::print_plan(seed, size.size()),
            Command::Mutants(args) => {
                let which = match (args.three, args.names.is_empty()) {
                    (Some(seed), _) => mutants::Which::Three(seed),
                    (None, false) => mutants::Which::Named(args.names),
                    (None, true) => mutants::Which::All,
                };
                mutants::mutants(&which, args.check, args.seeds)
            }
        }
    }
}

/// Units of a time on the command line, in seconds.
const UNITS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3600)];

fn duration(text: &str) -> Result<Duration, String> {
    let unit = UNITS.iter().find(|(unit, _)| text.ends_with(unit));
    let wrong = || format!("{text:?} is no time: give 90s, 10m or 8h");
    let (unit, seconds) = unit.ok_or_else(wrong)?;
    let number = text.trim_end_matches(unit).parse::<u64>();
    let number = number.map_err(|_| wrong())?;
    let seconds = number.checked_mul(*seconds).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        for wrong in ["10", "m", "-1s", "1.5h", ""] {
            assert!(duration(wrong).unwrap_err().contains("is no time"));
        }
    }
}
