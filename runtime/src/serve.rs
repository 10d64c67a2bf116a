//! `canald serve`

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::config::ServerConfig;
use crate::driver::server::Server;
use crate::env::OsWorld;

/// Threads that drive destinations and connections: the work between them is done by the decode threads.
const DRIVER_THREADS: usize = 2;

/// Serves until it is told to stop.
///
/// # Errors
/// What ends it.
pub fn run(config: ServerConfig) -> anyhow::Result<()> {
    for note in &config.notes {
        info!("{note}");
    }
    let world = OsWorld::new(config.decode_threads).context("no thread to decode with")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(DRIVER_THREADS)
        .enable_all()
        .build()
        .context("no threads to serve with")?;
    runtime.block_on(serve(world, config))
}

async fn serve(world: OsWorld, config: ServerConfig) -> anyhow::Result<()> {
    // Before anything else: a signal during the start must not be missed.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let names = config.destinations.iter();
    let names = names.map(|d| d.instance.destination.as_str());
    let names = names.collect::<Vec<_>>().join(", ");
    let server = Server::start(world, config).await?;
    info!("ready on {} with {names}", server.address());
    let stop = async {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!("{name} came");
    };
    server.run(stop).await?;
    info!("stopped");
    Ok(())
}
