//! One run of one plan: the world is built, the source works, things break, everything heals, and all that
//! was committed must have come.
//!
//! Phases: the source creates its first changes and canald starts; workload and faults go on as planned;
//! when both are over everything is healed and the clients behave; then, within [`STANDSTILL_MAX`], something more
//! must have come, until nothing is missing. A run ends at its first violation.
//!
//! Everything happens inside one madsim runtime on one thread. The same plan gives the same journal, to the
//! byte.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use canald::net::Net as _;
use canald_core::time::WallMillis;
use madsim::Config;
use madsim::runtime::{Handle, Runtime};
use madsim::task::JoinHandle;
use madsim::time::{Instant, sleep, sleep_until};
use tracing::Level;

use crate::host::{Host, SOURCE_PORT};
use crate::journal::{Journal, Record, Violation, Watcher};
use crate::log;
use crate::model::client::{Orders, run_client};
use crate::model::daemon::Daemon;
use crate::model::source::Source;
use crate::oracle;
use crate::plan::{Fault, Plan, PlannedFault, Step};
use crate::world::clock::SimClock;
use crate::world::disk::SimDisk;
use crate::world::net::Network;

/// Wall time at the beginning of every run: 2026-01-01 in UTC, in seconds.
const BASE_SECONDS: u32 = 1_767_225_600;

/// Virtual time in which something more must have come once all is well, until nothing is missing: the
/// longest back-off of canald and of its clients, a dead link's detection and the slowest client's work,
/// several times over. A client that gets one entry at a time over a slow network may take as long as it
/// takes.
const STANDSTILL_MAX: Duration = Duration::from_secs(180);

/// How often it is looked whether a run is over.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// After which tasks that were killed have been dropped.
const TAKEN_DOWN: Duration = Duration::from_millis(1);

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was broken, nothing is missing.
    Passed,
    /// Something came wrong.
    Broken(Duration, Violation),
    /// Something never came.
    Missing(Vec<String>),
    /// Something panicked.
    Panicked(String),
    /// Something is always ready to go on and never lets time pass.
    Spinning,
}

/// What a run was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// Virtual time that it took.
    pub virtual_time: Duration,
    /// Records in its journal.
    pub records: u64,
    /// Their hash.
    pub hash: u64,
    /// Transactions that the source committed.
    pub transactions: u64,
}

/// What else is wanted of a run.
#[derive(Default)]
pub struct Extras {
    /// Who is shown every record.
    pub watchers: Vec<Watcher>,
    /// Whether the journal holds all that canald's drivers can tell: each input and output of its machines.
    /// It is then another journal, with another hash.
    pub is_traced: bool,
    /// The folder that the source's binlog files are written into at the end.
    pub files: Option<PathBuf>,
}

/// How long, in real time, a run may go on without a record in its journal before it counts as spinning:
/// whatever lets virtual time pass leaves one within a blink.
const SPIN_MAX: Duration = Duration::from_secs(20);

/// Runs `plan`, on a thread of its own: the randomness that libraries keep for a thread (tokio's, std's) is
/// then drawn inside the simulation, and nothing of another run is left in it.
///
/// # Panics
/// The machine gives no thread.
#[must_use]
pub fn run(plan: &Plan, extras: Extras) -> Outcome {
    let seen: Seen = Arc::default();
    let (ended, end) = std::sync::mpsc::channel();
    let (plan, journal) = (plan.clone(), Arc::clone(&seen));
    // It is not joined: nothing can end a thread that spins.
    std::thread::spawn(move || ended.send(run_here(&plan, extras, &journal)));
    let mut before = None;
    loop {
        match end.recv_timeout(SPIN_MAX) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => unreachable!("panics are caught inside"),
            Err(RecvTimeoutError::Timeout) => {
                let now = digest(&seen);
                if before == Some(now) {
                    return broken_off(Verdict::Spinning, now);
                }
                before = Some(now);
            }
        }
    }
}

/// The journal of a run that goes on, for whoever looks at it from outside.
type Seen = Arc<Mutex<Option<Journal>>>;

fn digest(seen: &Seen) -> (u64, u64) {
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.as_ref().map_or((0, 0), Journal::digest)
}

fn broken_off(verdict: Verdict, (records, hash): (u64, u64)) -> Outcome {
    Outcome {
        verdict,
        virtual_time: Duration::ZERO,
        records,
        hash,
        transactions: 0,
    }
}

fn run_here(plan: &Plan, extras: Extras, seen: &Seen) -> Outcome {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let runtime = Runtime::with_seed_and_config(plan.seed, Config::default());
        runtime.block_on(live(plan.clone(), extras, Arc::clone(seen)))
    }));
    ended.unwrap_or_else(|panic| broken_off(Verdict::Panicked(panic_text(&*panic)), digest(seen)))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_owned()
}

/// The world of a run.
#[derive(Clone)]
struct Stage {
    plan: Arc<Plan>,
    journal: Journal,
    network: Network,
    disk: SimDisk,
    clock: SimClock,
    source: Source,
    daemon: Daemon,
    orders: Vec<Orders>,
    began: Instant,
}

async fn live(plan: Plan, extras: Extras, seen: Arc<Mutex<Option<Journal>>>) -> Outcome {
    let Extras {
        watchers,
        is_traced,
        files,
    } = extras;
    let began = Instant::now();
    let journal = Journal::new(oracle::all(&plan.options), watchers);
    *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(journal.clone());
    let level = if is_traced { Level::TRACE } else { Level::INFO };
    let _log = log::to_journal(&journal, level);
    let stage = Stage::new(plan, journal.clone(), began);
    let background = stage.begin();
    let verdict = stage.play().await;
    if let Some(folder) = files
        && let Err(cause) = stage.source.write_files(&folder)
    {
        panic!("the binlog files cannot be written: {cause}");
    }
    let (records, hash) = journal.digest();
    let outcome = Outcome {
        verdict,
        virtual_time: began.elapsed(),
        records,
        hash,
        transactions: stage.source.history().len() as u64,
    };
    stage.take_down(background).await;
    outcome
}

impl Stage {
    fn new(plan: Plan, journal: Journal, began: Instant) -> Self {
        let (seed, options) = (plan.seed, &plan.options);
        let network = Network::new(seed, options, journal.clone());
        let disk = SimDisk::new(seed, options, journal.clone());
        let clock = SimClock::new(WallMillis(i64::from(BASE_SECONDS) * 1000));
        let source = Source::new(options, seed, journal.clone(), BASE_SECONDS);
        let daemon = Daemon::new(
            seed,
            options,
            network.clone(),
            disk.clone(),
            clock.clone(),
            journal.clone(),
        );
        let orders = options.clients.iter().map(|_| Orders::new()).collect();
        Self {
            plan: Arc::new(plan),
            journal,
            network,
            disk,
            clock,
            source,
            daemon,
            orders,
            began,
        }
    }

    /// Everything is switched on; what goes on beside it is returned.
    fn begin(&self) -> Vec<JoinHandle<()>> {
        let handle = Handle::current();
        let node = handle.create_node().name("source").build();
        node.spawn(serve_source(self.network.clone(), self.source.clone()));
        self.daemon.start();
        for place in 0..self.plan.options.clients.len() as u8 {
            handle.create_node().name(client_node(place)).build();
            self.start_client(place);
        }
        vec![
            madsim::task::spawn(self.daemon.clone().supervise()),
            madsim::task::spawn(watch_power(self.clone())),
        ]
    }

    /// Ends all that runs: tasks and what they wait for hold each other, and would outlive the run.
    async fn take_down(self, background: Vec<JoinHandle<()>>) {
        for task in background {
            task.abort();
        }
        let handle = Handle::current();
        handle.kill("source");
        handle.kill("canald");
        for place in 0..self.plan.options.clients.len() as u8 {
            handle.kill(client_node(place));
        }
        sleep(TAKEN_DOWN).await;
        handle.kill("net");
        sleep(TAKEN_DOWN).await;
    }

    fn start_client(&self, place: u8) {
        let handle = Handle::current();
        handle.restart(client_node(place));
        let node = handle.get_node(client_node(place));
        let node = node.expect("every client has a node from the beginning");
        node.spawn(run_client(
            self.network.host(Host::Client(place)),
            SimClock::new(WallMillis(i64::from(BASE_SECONDS) * 1000)),
            place,
            self.plan.options.clients[place as usize].clone(),
            self.plan.seed,
            self.journal.clone(),
            self.orders[place as usize].clone(),
        ));
    }

    /// Work and faults, then peace, then the end.
    async fn play(&self) -> Verdict {
        let work = madsim::task::spawn(work(self.clone()));
        let faults = madsim::task::spawn(break_things(self.clone()));
        let last = self.planned_end();
        loop {
            if let Some((at, violation)) = self.journal.violation() {
                return Verdict::Broken(at, violation);
            }
            if self.began.elapsed() >= last && work.is_finished() && faults.is_finished() {
                break;
            }
            sleep(LOOK_EVERY).await;
        }
        self.journal.record(Record::Healed);
        for orders in &self.orders {
            orders.behave();
        }
        self.part_twins();
        let (mut before, mut moved) = (Vec::new(), Instant::now());
        loop {
            if let Some((at, violation)) = self.journal.violation() {
                return Verdict::Broken(at, violation);
            }
            let missing = self.journal.missing();
            if missing.is_empty() {
                return Verdict::Passed;
            }
            if missing != before {
                (before, moved) = (missing, Instant::now());
            } else if moved.elapsed() >= STANDSTILL_MAX {
                return Verdict::Missing(missing);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Of several clients with one id the first remains: they take the connection from each other for ever.
    fn part_twins(&self) {
        let clients = &self.plan.options.clients;
        for (place, client) in clients.iter().enumerate() {
            if clients[..place].iter().any(|other| other.id == client.id) {
                Handle::current().kill(client_node(place as u8));
            }
        }
    }

    fn planned_end(&self) -> Duration {
        let work = self.plan.workload.iter().map(|step| step.at);
        let faults = self.plan.faults.iter().map(|planned| planned.at);
        work.chain(faults).max().unwrap_or_default()
    }

    /// A fault, from its beginning to its end.
    async fn suffer(self, fault: Fault) {
        let text = fault.to_string();
        self.journal.record(Record::Fault(text.clone()));
        match fault {
            Fault::Cut { host, lasts } => {
                self.network.cut(Host::Canald, host);
                sleep(lasts).await;
                self.network.heal(Host::Canald, host);
            }
            Fault::CutOneWay { from, to, lasts } => {
                self.network.cut_one_way(from, to);
                sleep(lasts).await;
                self.network.heal_one_way(from, to);
            }
            Fault::Reset { host } => self.network.reset(Host::Canald, host),
            Fault::HalfOpen { host, lasts } => {
                self.network.half_open(Host::Canald, host);
                sleep(lasts).await;
                self.network.heal(Host::Canald, host);
            }
            Fault::RestartSource { lasts } => {
                self.source.stop();
                sleep(lasts).await;
                self.source.start();
            }
            Fault::DropDump => self.source.drop_dumps(),
            Fault::Crash { lasts } => {
                self.daemon.kill();
                sleep(lasts).await;
                self.daemon.start();
            }
            // When it goes is the disk's to say: `watch_power` sees to the rest.
            Fault::PowerLoss { steps, lasts } => self.disk.power_loss_after(steps, lasts),
            Fault::Stop { lasts } => {
                self.daemon.stop().await;
                sleep(lasts).await;
                self.daemon.start();
            }
            Fault::Pause { lasts } => self.daemon.pause(lasts).await,
            Fault::DiskFails { lasts } => {
                self.disk.fail(true);
                sleep(lasts).await;
                self.disk.fail(false);
            }
            Fault::DiskFull { lasts } => {
                self.disk.full(true);
                sleep(lasts).await;
                self.disk.full(false);
            }
            Fault::WallClock { seconds } => self.clock.jump(seconds),
            Fault::CrashClient { client, lasts } => {
                Handle::current().kill(client_node(client));
                sleep(lasts).await;
                self.start_client(client);
            }
            Fault::Rollback { client } => self.orders[client as usize].roll_back(),
        }
        self.journal.record(Record::Fault(format!("over: {text}")));
    }
}

fn client_node(place: u8) -> String {
    Host::Client(place).to_string()
}

async fn serve_source(network: Network, source: Source) {
    let net = network.host(Host::Source);
    let listener = net.listen(([0, 0, 0, 0], SOURCE_PORT).into()).await;
    let mut listener = listener.expect("nobody else listens on this machine");
    let mut connection = 0;
    while let Ok((stream, _)) = net.accept(&mut listener).await {
        tokio::spawn(source.clone().serve_connection(stream, connection));
        connection += 1;
    }
}

/// How long an application waits before it tries a source again that was down.
const APPLICATION_PAUSE: Duration = Duration::from_millis(50);

/// What the plan asks of the source, at its time, or once it is up again.
async fn work(stage: Stage) {
    for Step { at, act } in &stage.plan.workload {
        sleep_until(stage.began + *at).await;
        while !stage.source.is_up() {
            sleep(APPLICATION_PAUSE).await;
        }
        stage.source.apply(act);
    }
}

/// What the plan breaks, at its time. Faults overlap.
async fn break_things(stage: Stage) {
    let mut running = Vec::new();
    for PlannedFault { at, fault } in &stage.plan.faults {
        sleep_until(stage.began + *at).await;
        running.push(madsim::task::spawn(stage.clone().suffer(fault.clone())));
    }
    for fault in running {
        fault.await.expect("a fault's task ends");
    }
    // A loss of power may still wait for its step.
    stage.disk.heal();
    stage.network.heal_all();
    stage.daemon.power_on();
    stage.source.start();
}

/// The disk decides in which of its steps the power goes; the machine goes with it.
async fn watch_power(stage: Stage) {
    loop {
        let dark = stage.disk.power_lost().await;
        stage.daemon.power_off();
        sleep(dark).await;
        stage.daemon.power_on();
    }
}
