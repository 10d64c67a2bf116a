//! The daemon's process: the real server and its drivers, started, killed, stopped and held still.
//!
//! One life follows another on the same disk. A kill drops what runs; what is on the network and on the
//! disk is theirs to keep or to lose.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use canald::config::{Environment, Overrides, ServerConfig, SourceUrl, from_source};
use canald::driver::instance::Standing;
use canald::driver::server::Server;
use canald::watch;
use madsim::runtime::Handle;
use madsim::task::NodeId;
use madsim::time::sleep;

use crate::host::{CANALD_PORT, Host, SOURCE_PORT};
use crate::journal::{DaemonRecord, Journal, Record};
use crate::model::client::DESTINATION;
use crate::plan::Options;
use crate::world::clock::SimClock;
use crate::world::disk::{SimDisk, SimFiles};
use crate::world::net::Network;
use crate::world::{Seeds, SimWorld};

/// The data folder on the daemon's disk.
const DATA: &str = "/data";

/// How long whatever supervises the daemon waits before it starts it again, if it ended by itself.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The daemon and its machine; cheap to clone.
#[derive(Clone)]
pub struct Daemon(Arc<Machine>);

struct Machine {
    node: NodeId,
    network: Network,
    disk: SimDisk,
    clock: SimClock,
    seeds: Seeds,
    config: ServerConfig,
    journal: Journal,
    /// Which life runs; none between two.
    life: watch::Sender<Life>,
}

/// What the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life {
    number: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs,
    /// It was asked to stop.
    Stopping,
    /// It is gone, and whoever sent it away brings it back.
    Gone,
    /// It ended by itself: its supervisor brings it back.
    Failed,
    /// Its machine has no power, and nothing starts.
    Dark,
}

impl State {
    const fn is_over(self) -> bool {
        match self {
            Self::Gone | Self::Failed | Self::Dark => true,
            Self::Runs | Self::Stopping => false,
        }
    }
}

impl Daemon {
    /// The daemon on its machine, not started yet.
    ///
    /// # Panics
    /// If canald does not take the options of a plan: the plan is at fault.
    #[must_use]
    pub fn new(
        seed: u64,
        options: &Options,
        network: Network,
        disk: SimDisk,
        clock: SimClock,
        journal: Journal,
    ) -> Self {
        let node = Handle::current().create_node().name("canald").build();
        let config = config(options).expect("a plan's options are valid for canald");
        let life = Life {
            number: 0,
            state: State::Gone,
        };
        Self(Arc::new(Machine {
            node: node.id(),
            network,
            disk,
            clock,
            seeds: Seeds::new(seed, Host::Canald),
            config,
            journal,
            life: watch::Sender::new(life),
        }))
    }

    /// Starts the next life; nothing if one runs, or without power.
    pub fn start(&self) {
        let machine = &self.0;
        let Life { number, state } = *machine.life.borrow();
        if !state.is_over() || state == State::Dark {
            return;
        }
        machine.record(DaemonRecord::Started(number));
        machine.life.send_replace(Life {
            number,
            state: State::Runs,
        });
        let handle = Handle::current();
        handle.restart(machine.node);
        let node = handle.get_node(machine.node);
        let node = node.expect("the node was made with the machine");
        node.spawn(live(self.clone(), machine.disk.restart()));
    }

    /// Kills the process; its machine lives. Nothing if none runs.
    pub fn kill(&self) {
        if self.is_gone() {
            return;
        }
        Handle::current().kill(self.0.node);
        self.0.disk.crash();
        self.gone(DaemonRecord::Crashed);
    }

    /// The power of its machine goes: the disk has decided what is left.
    pub fn power_off(&self) {
        self.0.network.power_off(Host::Canald);
        if !self.is_gone() {
            Handle::current().kill(self.0.node);
            self.gone(DaemonRecord::Crashed);
        }
        self.0.life.send_modify(|life| life.state = State::Dark);
    }

    /// The power is back, and the process starts.
    pub fn power_on(&self) {
        self.0.network.power_on(Host::Canald);
        self.0.life.send_if_modified(|life| {
            let is_dark = life.state == State::Dark;
            if is_dark {
                life.state = State::Gone;
            }
            is_dark
        });
        self.start();
    }

    /// Asks the process to stop, and waits until it has.
    pub async fn stop(&self) {
        let mut life = self.0.life.subscribe();
        self.0.life.send_if_modified(|life| {
            let runs = life.state == State::Runs;
            if runs {
                life.state = State::Stopping;
            }
            runs
        });
        let gone = life.wait_for(|life| life.state.is_over()).await;
        gone.expect("the machine holds the sender");
    }

    /// The process stands still for that long; it has no say in it. Killed meanwhile, it stays so.
    pub async fn pause(&self, lasts: Duration) {
        if self.is_gone() {
            return;
        }
        let handle = Handle::current();
        handle.pause(self.0.node);
        self.0.record(DaemonRecord::Paused);
        sleep(lasts).await;
        handle.resume(self.0.node);
        self.0.record(DaemonRecord::Resumed);
    }

    /// Starts the process again, a little later, whenever it ended by itself; for ever.
    pub async fn supervise(self) {
        let mut life = self.0.life.subscribe();
        loop {
            let failed = life.wait_for(|life| life.state == State::Failed).await;
            failed.expect("the machine holds the sender");
            sleep(RESTART_PAUSE).await;
            if self.0.life.borrow().state == State::Failed {
                self.start();
            }
        }
    }

    fn is_gone(&self) -> bool {
        self.0.life.borrow().state.is_over()
    }

    fn gone(&self, how: DaemonRecord) {
        let state = match how {
            DaemonRecord::Failed(_) => State::Failed,
            DaemonRecord::Started(_)
            | DaemonRecord::Ready
            | DaemonRecord::Crashed
            | DaemonRecord::Stopped
            | DaemonRecord::Paused
            | DaemonRecord::Resumed
            | DaemonRecord::Standing { .. }
            | DaemonRecord::Log { .. } => State::Gone,
        };
        self.0.record(how);
        self.0.life.send_modify(|life| {
            life.number += 1;
            life.state = state;
        });
    }
}

impl Machine {
    fn record(&self, record: DaemonRecord) {
        self.journal.record(Record::Daemon(record));
    }
}

/// One life, from start to end.
async fn live(daemon: Daemon, files: SimFiles) {
    let machine = &daemon.0;
    let how = match serve(machine, files).await {
        Ok(()) => DaemonRecord::Stopped,
        Err(why) => DaemonRecord::Failed(why),
    };
    // The rest of the process ends with it.
    Handle::current().kill(machine.node);
    machine.disk.crash();
    daemon.gone(how);
}

async fn serve(machine: &Machine, files: SimFiles) -> Result<(), String> {
    let world = SimWorld::new(
        machine.network.host(Host::Canald),
        files,
        machine.clock.clone(),
        machine.seeds.clone(),
    );
    let server = Server::start(world, machine.config.clone()).await;
    let server = server.map_err(|fault| fault.to_string())?;
    machine.record(DaemonRecord::Ready);
    for (_, standing) in server.standings() {
        tokio::spawn(follow(standing, machine.journal.clone()));
    }
    let mut life = machine.life.subscribe();
    let stop = async move {
        let stopping = life.wait_for(|life| life.state != State::Runs).await;
        stopping.expect("the machine holds the sender");
    };
    server.run(stop).await.map_err(|fault| fault.to_string())
}

async fn follow(mut standing: watch::Receiver<Standing>, journal: Journal) {
    loop {
        let Standing { stage, reason, .. } = Standing::clone(&standing.borrow_and_update());
        let stage = stage.name();
        journal.record(Record::Daemon(DaemonRecord::Standing { stage, reason }));
        if standing.changed().await.is_err() {
            return;
        }
    }
}

/// What an operator would have configured, by the same names.
fn config(options: &Options) -> Result<ServerConfig, String> {
    let source = SourceUrl {
        host: Host::Source.to_string(),
        port: SOURCE_PORT,
        user: "canal".into(),
        password: Some("canal".into()),
        database: String::new(),
    };
    let overrides = Overrides {
        destination: Some(DESTINATION.into()),
        listen: Some(([0, 0, 0, 0], CANALD_PORT).into()),
        data: Some(DATA.into()),
        start: Some("earliest".into()),
        ssl: None,
    };
    let batch_mode = if options.count_entries {
        "ITEMSIZE"
    } else {
        "MEMSIZE"
    };
    let keys = [
        ("canal.instance.gtidon", options.gtid.to_string()),
        (
            "canal.instance.memory.buffer.size",
            options.ring_entries.to_string(),
        ),
        (
            "canal.instance.memory.buffer.memunit",
            options.ring_unit.to_string(),
        ),
        ("canal.instance.memory.batch.mode", batch_mode.to_owned()),
        (
            "canal.instance.transaction.size",
            options.transaction_entries.to_string(),
        ),
        (
            "canal.instance.get.ddl.isolation",
            options.ddl_isolation.to_string(),
        ),
        (
            "canald.reader.idle.seconds",
            options.reader_idle.as_secs().to_string(),
        ),
        ("canald.timezone", "UTC".to_owned()),
    ];
    let environment: BTreeMap<String, String> =
        keys.map(|(key, value)| (key.to_owned(), value)).into();
    from_source(
        &source,
        Path::new(DATA),
        &overrides,
        &Environment(environment),
    )
    .map_err(|problems| problems.to_string())
}
