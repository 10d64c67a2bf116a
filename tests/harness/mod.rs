//! What the tests of this package share: real servers, the real binary, stock clients, and the
//! comparison of what a client saw with what the server holds.
//!
//! A test that cannot run here, because a server, a JDK or Python is missing, prints one line
//! that begins with `skipped:` and passes. It is never skipped because canald fails.

pub mod canald;
pub mod change;
pub mod corpus;
pub mod mirror;
pub mod relay;
pub mod server;
pub mod statement;
pub mod stock;
pub mod tables;
pub mod truth;
pub mod wire;
pub mod workload;
pub mod zookeeper;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// Exit status by which the scripts of this folder say that something cannot be had here.
pub const EXIT_UNAVAILABLE: i32 = 77;

static SCRATCHES: AtomicU32 = AtomicU32::new(0);

/// The folder of this package.
#[must_use]
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Says that a test does not run, and why, past the test runner's capture of output.
pub fn skipped(what: &str, why: &str) {
    say(&format!("skipped: {what}: {}", why.trim()));
}

/// Prints a line that is shown for passing tests too.
pub fn say(line: &str) {
    // A closed standard error is no reason for a test to fail.
    let _ = writeln!(io::stderr(), "{line}");
}

/// A name that no other test, in this process or another, uses now.
#[must_use]
pub fn unique(label: &str) -> String {
    format!(
        "{label}-{}-{}",
        std::process::id(),
        SCRATCHES.fetch_add(1, Ordering::Relaxed)
    )
}

/// A folder that is deleted with its value.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty folder.
    ///
    /// # Errors
    /// When the system's folder for temporary files cannot be written.
    pub fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(unique("canald-tests"));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left-overs in a folder for temporary files are harmless.
        let _ = fs::remove_dir_all(&self.0);
    }
}
