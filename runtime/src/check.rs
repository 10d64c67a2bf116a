//! `canald check`

use std::io::Write as _;

use crate::config::ServerConfig;
use crate::output::Output;

/// Says what would be served, then looks at each source.
///
/// # Errors
/// What is not ready.
pub fn run(config: ServerConfig) -> anyhow::Result<()> {
    let mut out = Output::stdout();
    for note in &config.notes {
        writeln!(out, "note: {note}")?;
    }
    for destination in &config.destinations {
        let source = &destination.instance.source;
        writeln!(
            out,
            "{}: {}:{} as {}",
            destination.instance.destination, source.host, source.port, source.username
        )?;
    }
    out.flush()?;
    anyhow::bail!("not wired")
}
