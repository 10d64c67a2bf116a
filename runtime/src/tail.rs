//! `canald tail`

use crate::cli::TailArgs;

/// Prints changes until it is told to stop.
///
/// # Errors
/// What ends it.
pub fn run(args: &TailArgs) -> anyhow::Result<()> {
    anyhow::bail!("not wired: {}", args.server)
}
