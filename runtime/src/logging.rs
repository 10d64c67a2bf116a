//! The log: on standard error, for people, in colour only on a terminal.

use std::io::{self, IsTerminal as _};

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The variable that overrules the command line, module by module.
pub const VARIABLE: &str = "RUST_LOG";

/// The log cannot be set up.
#[derive(Debug, Error)]
#[error("{VARIABLE} is not a filter such as info or canald=debug,warn: {0}")]
pub struct BadFilter(String);

/// Starts the log at `level`, unless the environment says otherwise.
///
/// # Errors
/// The environment says something that makes no sense.
///
/// # Panics
/// If there is a log already: a process starts it once.
pub fn start(level: LevelFilter) -> Result<(), BadFilter> {
    let filter = match std::env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => EnvFilter::builder()
            .parse(&text)
            .map_err(|e| BadFilter(e.to_string()))?,
        Ok(_) | Err(_) => EnvFilter::default().add_directive(level.into()),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}
