//! `cargo sim`: what people and CI use.
//!
//! | Command | Does |
//! |---|---|
//! | [`run`] | many seeds, on all processors |
//! | [`replay`] | seeds and plans again, with a trace if wanted; the plan of a seed as text |
//! | [`mutants`] | planted bugs, each of which must be found |

pub mod cli;
pub mod mutants;
pub mod replay;
pub mod run;
pub mod seed;
pub mod trace;

use std::process::ExitCode;

use crate::run::{Outcome, Verdict};

/// How a command ended, as its exit code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All is well.
    Passed,
    /// The command or its input is wrong.
    Usage,
    /// canald, or the simulator, panicked or spins.
    Crash,
    /// Something came wrong.
    Safety,
    /// Something never came.
    Liveness,
    /// Two runs of one seed differ.
    Nondeterminism,
    /// A planted bug was not found, or cannot be planted any more.
    Mutant,
}

impl Exit {
    /// The exit code.
    #[must_use]
    pub fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Passed => 0,
            Self::Usage => 2,
            Self::Crash => 10,
            Self::Safety => 11,
            Self::Liveness => 12,
            Self::Nondeterminism => 13,
            Self::Mutant => 14,
        })
    }

    /// How a run ended.
    #[must_use]
    pub const fn of(outcome: &Outcome) -> Self {
        match &outcome.verdict {
            Verdict::Passed => Self::Passed,
            Verdict::Broken(..) => Self::Safety,
            Verdict::Missing(_) => Self::Liveness,
            Verdict::Panicked(_) | Verdict::Spinning => Self::Crash,
        }
    }
}

/// What is wrong with a run, in a few lines; empty if nothing is.
#[must_use]
pub fn explained(outcome: &Outcome) -> String {
    match &outcome.verdict {
        Verdict::Passed => String::new(),
        Verdict::Broken(at, violation) => format!("at {at:?}: {violation}"),
        Verdict::Missing(missing) => format!(
            "P4 (liveness): all faults are over since long, and still\n  {}",
            missing.join("\n  ")
        ),
        Verdict::Panicked(text) => format!("a panic: {text}"),
        Verdict::Spinning => {
            "it spins: something is always ready and never lets time pass".to_owned()
        }
    }
}
