//! `canald decode`

use crate::cli::DecodeArgs;

/// Prints the changes in files.
///
/// # Errors
/// A file that cannot be read, by name, file offset and event.
pub fn run(args: &DecodeArgs) -> anyhow::Result<()> {
    anyhow::bail!("not wired: {:?}", args.files)
}
