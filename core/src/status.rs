//! What a machine is doing, for whoever asks "why is nothing coming": one answer (`design.md` §1, P6).

use alloc::string::String;
use core::fmt;

use crate::time::Instant;

/// The stage a destination is in, from first to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Finding out, or settling, who owns the destination.
    Electing,
    /// Another server owns the destination.
    StandingBy,
    /// Waiting before the source is tried again.
    BackingOff,
    /// Connecting to the source and learning what it is.
    Discovering,
    /// Looking for the place where reading begins.
    Locating,
    /// Writing down where reading begins, before anything is read.
    Recording,
    /// Opening the dump.
    Dialing,
    /// Reading query events ahead of the dump, to prove schemas that were asked for late.
    Surveying,
    /// Reading the binlog.
    Streaming,
    /// Stopped for a reason that only an operator can lift.
    Stopped,
}

impl Stage {
    /// Its name, as logs and status pages show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Electing => "electing",
            Self::StandingBy => "standing by",
            Self::BackingOff => "backing off",
            Self::Discovering => "discovering",
            Self::Locating => "locating",
            Self::Recording => "recording",
            Self::Dialing => "dialing",
            Self::Surveying => "surveying",
            Self::Streaming => "streaming",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a machine is doing, why, since when, and what ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The stage.
    pub stage: Stage,
    /// Why it is in it: one line.
    pub reason: String,
    /// Since when.
    pub since: Instant,
    /// When it ends by itself, if a time ends it.
    pub until: Option<Instant>,
}
