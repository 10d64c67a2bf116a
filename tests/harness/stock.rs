//! Stock clients: unmodified packages of canal's world, driven by the scripts in `tests/clients`.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::change::Change;
use super::{EXIT_UNAVAILABLE, folder, skipped};

/// A client that this project did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stock {
    /// `canal-python`
    Python,
    /// `com.alibaba.otter:canal.client`
    Java,
}

/// What to do with a batch once it was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Acknowledge it.
    Ack,
    /// Roll each back once, and acknowledge it when it comes again.
    Rollback,
    /// Fetch the next without acknowledging any.
    Hold,
}

/// What a run shall do.
#[derive(Clone, Copy, Debug)]
pub struct Drive<'a> {
    /// The server's data port.
    pub server: SocketAddr,
    /// ZooKeeper, where the owner of the destination is found, wherever it is; instead of the server.
    pub zookeeper: Option<&'a str>,
    /// The destination.
    pub destination: &'a str,
    /// Entries, or units of memory, a batch.
    pub batch: u32,
    /// What happens to each batch.
    pub mode: Mode,
    /// The run ends with the first row inserted into this table, `schema.table`.
    pub until: &'a str,
    /// The run fails when nothing came for so long.
    pub idle_ms: u32,
}

impl Stock {
    fn script(self) -> Command {
        Command::new(folder().join("clients").join(self.name()).join("drive"))
    }

    /// Its name as a folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Java => "java",
        }
    }

    /// Whether it can run here; it is fetched and built if need be.
    ///
    /// # Errors
    /// When building it fails for another reason than that its tools are missing.
    pub fn available(self) -> Result<bool> {
        let output = self
            .script()
            .arg("--build")
            .output()
            .context("cannot run a client's script")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(EXIT_UNAVAILABLE) {
            skipped(self.name(), &complaint);
            return Ok(false);
        }
        ensure!(
            output.status.success(),
            "the {} client cannot be built: {complaint}",
            self.name()
        );
        Ok(true)
    }

    /// Runs the client to its end and returns what it saw.
    ///
    /// # Errors
    /// When it ended with an error, or before the row that it waits for.
    pub fn drive(self, drive: &Drive<'_>) -> Result<Vec<Change>> {
        let mode = match drive.mode {
            Mode::Ack => "ack",
            Mode::Rollback => "rollback",
            Mode::Hold => "hold",
        };
        let server = drive.server.to_string();
        let at = match drive.zookeeper {
            Some(zookeeper) => ["--zookeeper", zookeeper],
            None => ["--server", &server],
        };
        let output = self
            .script()
            .args(at)
            .args(["--destination", drive.destination])
            .args([
                "--batch",
                &drive.batch.to_string(),
                "--mode",
                mode,
                "--until",
                drive.until,
            ])
            .args(["--idle-ms", &drive.idle_ms.to_string()])
            .output()
            .context("cannot run a client's script")?;
        let lines = String::from_utf8(output.stdout).context("a client's output is not UTF-8")?;
        ensure!(
            output.status.success(),
            "the {} client ended with {} after {} changes, the last of them {:?}: {}",
            self.name(),
            output.status,
            lines.lines().count(),
            lines.lines().last(),
            String::from_utf8_lossy(&output.stderr)
        );
        lines.lines().map(Change::from_line).collect()
    }
}
