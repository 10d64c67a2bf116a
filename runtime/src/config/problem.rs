//! What may be wrong with a configuration, and what is merely worth knowing.
//!
//! Every problem names where it is, what was found and what would be right; they are gathered, so that
//! an operator corrects a file once and not once per start.

use core::fmt;

use thiserror::Error;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A flag of the command line.
    CommandLine,
    /// An environment variable.
    Environment(String),
    /// A file.
    File {
        /// Its path, as it was opened.
        path: String,
        /// The line on which the key stands, counted from 1.
        line: u32,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
        }
    }
}

/// One reason why canald cannot start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Problem {
    /// A file or folder cannot be read.
    #[error("{path}: cannot be read: {reason}")]
    Unreadable {
        /// Which one.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// A line has no meaning.
    #[error("{at}: {reason}")]
    Syntax {
        /// Which one.
        at: Origin,
        /// Why.
        reason: String,
    },
    /// Neither canal nor canald knows the key.
    #[error("{at}: {key} is not a key of canal or canald{}", .nearest.map(|n| format!("; did you mean {n}?")).unwrap_or_default())]
    Unknown {
        /// Where it stands.
        at: Origin,
        /// What stands there.
        key: String,
        /// The key that looks most like it.
        nearest: Option<&'static str>,
    },
    /// A value is not what its key takes.
    #[error("{at}: {key} = {value}: expected {expected}")]
    Malformed {
        /// Where it stands.
        at: Origin,
        /// Its key.
        key: String,
        /// What stands there; hidden if it is a secret.
        value: String,
        /// What should stand there.
        expected: String,
    },
    /// Placeholders never end.
    #[error("{at}: {key}: {reason}")]
    Endless {
        /// Where it stands.
        at: Origin,
        /// Its key.
        key: String,
        /// Which placeholder.
        reason: String,
    },
    /// canald does not do what the value asks for.
    #[error("{at}: {key} = {value} is not supported: {cure}")]
    Refused {
        /// Where it stands.
        at: Origin,
        /// Its key.
        key: String,
        /// What stands there; hidden if it is a secret.
        value: String,
        /// Why, and what to do.
        cure: String,
    },
    /// Something that canald needs is nowhere.
    #[error("{what}: {cure}")]
    Missing {
        /// What is missing.
        what: String,
        /// What to do.
        cure: String,
    },
    /// Values that are right one by one and not together.
    #[error("{at}: {what}")]
    Conflict {
        /// Where one of them stands.
        at: Origin,
        /// Which values, why not, and what to do.
        what: String,
    },
}

/// All reasons why canald cannot start; at least one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "the configuration has a problem")?,
            n => write!(f, "the configuration has {n} problems")?,
        }
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// Something that an operator may not expect, and that stops nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// A key has no effect in canald, and its value says that somebody counts on one.
    Inert {
        /// Where it stands.
        at: Origin,
        /// The key.
        key: String,
        /// Why it has none.
        why: &'static str,
    },
    /// A key of the server stands in a destination's file, where neither canal nor canald reads it.
    Misplaced {
        /// Where it stands.
        at: Origin,
        /// The key.
        key: String,
    },
    /// A file sets a key twice.
    Repeated {
        /// A line that loses.
        at: Origin,
        /// The key.
        key: String,
    },
    /// The time zone cannot be told, so TIMESTAMP values are shown in UTC.
    NoZone(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inert { at, key, why } => write!(f, "{at}: {key} has no effect: {why}"),
            Self::Misplaced { at, key } => {
                write!(
                    f,
                    "{at}: {key} has no effect here: move it to canal.properties"
                )
            }
            Self::Repeated { at, key } => {
                write!(f, "{at}: {key} has no effect: it is set again further down")
            }
            Self::NoZone(reason) => write!(f, "TIMESTAMP values are shown in UTC: {reason}"),
        }
    }
}
