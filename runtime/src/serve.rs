//! `canald serve`

use crate::config::ServerConfig;

/// Serves until it is told to stop.
///
/// # Errors
/// What ends it.
pub fn run(config: ServerConfig) -> anyhow::Result<()> {
    for note in &config.notes {
        tracing::info!("{note}");
    }
    anyhow::bail!("not wired")
}
