//! The unmodified Java server, as the peer to be measured beside (`java/serve`).

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use canald_tests::harness::{EXIT_UNAVAILABLE, skipped};

/// User and password of the account that may read the log.
const ACCOUNT: &str = "canal";

/// Where the first event of a file is.
const FIRST_EVENT: &str = "4";

/// A running Java server; it is killed with its value.
#[derive(Debug)]
pub struct JavaServer {
    child: Child,
    address: SocketAddr,
}

impl JavaServer {
    /// Starts it to read `file` of the database on `port` from its first event on, and waits until it
    /// listens; none if it cannot be had here, which is said.
    ///
    /// # Errors
    /// When it ends before that.
    pub fn start(destination: &str, port: u16, file: &str) -> Result<Option<Self>> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("java/serve");
        let mut child = Command::new(script)
            .args([&address.port().to_string(), destination, &port.to_string()])
            .args([ACCOUNT, ACCOUNT, file, FIRST_EVENT])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run java/serve")?;
        let stdout = child.stdout.take().context("it has no standard output")?;
        let ready = BufReader::new(stdout)
            .lines()
            .map_while(std::result::Result::ok)
            .any(|line| line == "READY");
        if !ready {
            let status = child.wait()?;
            ensure!(
                status.code() == Some(EXIT_UNAVAILABLE),
                "the Java server ended with {status}"
            );
            skipped("the Java server", "see above");
            return Ok(None);
        }
        Ok(Some(Self { child, address }))
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for JavaServer {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
