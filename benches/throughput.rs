//! From a real server's log to a client on loopback.

use std::path::Path;

use anyhow::{Context as _, Result};
use canald_benches::workload::Workload;
use canald_tests::harness::server::{Kind, Server};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--record") {
        return record();
    }
    Ok(())
}

/// Writes the logs that the bench `decode` reads.
fn record() -> Result<()> {
    let server = Server::start(Kind::MySql97, &["--binlog-row-metadata=FULL"])?;
    let server = server.context("MySQL 9.7 cannot be had here")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    std::fs::create_dir_all(&folder)?;
    for (workload, rows) in [
        (Workload::Bulk, 4000),
        (Workload::Wide, 400),
        (Workload::Text, 200),
    ] {
        workload.write(&server, rows)?;
        server.sql("FLUSH BINARY LOGS")?;
        let log = Path::new(server.fact("data")?).join("binlog.000001");
        let recorded = std::fs::read(log)?;
        std::fs::write(folder.join(format!("{}.binlog", workload.name())), recorded)?;
    }
    Ok(())
}
