//! `canald serve`

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

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

async fn serve(world: OsWorld, mut config: ServerConfig) -> anyhow::Result<()> {
    // Before anything else: a signal during the start must not be missed.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let names = config.destinations.iter();
    let names = names.map(|d| d.instance.destination.as_str());
    let names = names.collect::<Vec<_>>().join(", ");
    if let Some(cluster) = &mut config.cluster
        && cluster.host.is_none()
        && config.listen.ip().is_unspecified()
    {
        cluster.host = Some(own_address().context(
            "this machine has no IPv4 address that others could reach: set canal.register.ip",
        )?);
    }
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

/// The address from which this machine speaks to others: no packet is sent to find out.
fn own_address() -> io::Result<String> {
    /// Kept for documentation (RFC 5737): it is reached by the default route, where there is one.
    const FAR_AWAY: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(FAR_AWAY)?;
    Ok(socket.local_addr()?.ip().to_string())
}
