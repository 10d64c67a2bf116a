//! Plans drawn from a seed.
//!
//! Swarm: each seed switches whole kinds of fault, of work and of clients off, so that what is left comes
//! often enough to meet itself. Each part draws from its own stream: one more option does not change the
//! workload.

use std::time::Duration;

use canald_core::rng::{Rng, Seed};

use crate::host::Host;
use crate::plan::{
    Act, Change, ClientPlan, DdlAct, Fault, Flavor, Options, Plan, PlannedFault, Step, Temper,
};

/// How much is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// Small worlds, for many seeds: [`LITE_TRANSACTIONS`] transactions at least, [`LITE_FAULTS`] faults at
    /// least.
    Lite,
    /// Everything, and larger.
    Swarm,
}

/// Transactions of a lite plan, at least.
pub const LITE_TRANSACTIONS: u32 = 200;

/// Faults of a lite plan, at least.
pub const LITE_FAULTS: u32 = 10;

/// The plan of `seed`.
#[must_use]
pub fn draw(seed: u64, size: Size) -> Plan {
    let root = Rng::new(Seed(seed));
    let stream = |label: &str| Draw(Rng::new(root.split(label)));
    let options = options(&mut stream("plan/options"), size);
    let workload = workload(&mut stream("plan/workload"), &options, size);
    let spread = workload.last().map_or(Duration::ZERO, |step| step.at);
    let faults = faults(&mut stream("plan/faults"), &options, size, spread);
    Plan {
        seed,
        options,
        workload,
        faults,
    }
}

/// A stream of draws.
struct Draw(Rng);

impl Draw {
    /// A number from `least` to `most`, both included.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.0.below(most - least + 1)
    }

    /// As [`Self::between`], small ones more often.
    fn skewed(&mut self, least: u64, most: u64) -> u64 {
        let cap = self.between(least, most);
        self.between(least, cap)
    }

    /// True once in `n` times.
    fn one_in(&mut self, n: u64) -> bool {
        self.0.below(n) == 0
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.below(all.len() as u64) as usize]
    }

    /// Milliseconds from `least` to `most`.
    fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }

    /// Some of `all`, and at least one.
    fn some_of<T: Copy>(&mut self, all: &[T]) -> Vec<T> {
        let some: Vec<T> = all.iter().copied().filter(|_| !self.one_in(3)).collect();
        if some.is_empty() {
            return vec![self.one_of(all)];
        }
        some
    }
}

fn options(draw: &mut Draw, size: Size) -> Options {
    let ring_bits = draw.between(4, if size == Size::Lite { 8 } else { 12 });
    let latency_most = draw.one_of(&[1, 2, 5, 30]);
    let disk_latency = draw.one_of(&[1, 5, 20]);
    Options {
        flavor: draw.one_of(&[Flavor::Mysql, Flavor::Mariadb]),
        gtid: draw.one_in(2),
        full_metadata: !draw.one_in(4),
        checksum: !draw.one_in(4),
        rows_per_event: draw.skewed(1, 20) as u32,
        ring_entries: 1 << ring_bits,
        ring_unit: draw.one_of(&[64, 256, 1024]),
        count_entries: draw.one_in(2),
        transaction_entries: 1 << draw.between(0, ring_bits),
        ddl_isolation: draw.one_in(2),
        window: draw.one_of(&[1024, 4096, 16 << 10, 64 << 10]),
        segment: draw.one_of(&[64, 536, 1448, 16 << 10]),
        latency: (
            Duration::from_micros(100),
            Duration::from_millis(latency_most),
        ),
        disk_latency: Duration::from_millis(disk_latency),
        clients: clients(draw, size),
        // Shorter than some silences of clients, or longer than all.
        reader_idle: Duration::from_secs(draw.one_of(&[2, 10, 60, 60])),
    }
}

/// The first id of clients; it is the one that canal's own use.
const CLIENT_ID: i16 = 1001;

fn clients(draw: &mut Draw, size: Size) -> Vec<ClientPlan> {
    let tempers = draw.some_of(&[
        Temper::Good,
        Temper::Ahead,
        Temper::Slow,
        Temper::Forgetful,
        Temper::Rude,
    ]);
    let count = draw.between(1, if size == Size::Lite { 3 } else { 5 });
    let twins = draw.one_in(5);
    let mut clients: Vec<ClientPlan> = (0..count)
        .map(|place| ClientPlan {
            id: CLIENT_ID + place as i16,
            batch: draw.skewed(1, 200) as u32,
            temper: draw.one_of(&tempers),
        })
        .collect();
    if twins && let Some(first) = clients.first().cloned() {
        clients.push(first);
    }
    clients
}

fn workload(draw: &mut Draw, options: &Options, size: Size) -> Vec<Step> {
    let transactions = match size {
        Size::Lite => draw.between(u64::from(LITE_TRANSACTIONS), 300),
        Size::Swarm => draw.between(100, 2000),
    };
    let (with_ddl, with_large, with_empty) = (
        // Without metadata in the log, rows before a DDL that canald has not passed stop it, rightly.
        options.full_metadata && !draw.one_in(3),
        draw.one_in(2),
        draw.one_in(2),
    );
    let rotations = draw.one_of(&[20, 60, 1000]);
    let pause_most = draw.one_of(&[10, 50, 200]);
    let mut at = Duration::ZERO;
    let mut steps = Vec::new();
    let mut committed = 0;
    while committed < transactions {
        at += draw.millis(0, pause_most);
        let act = if draw.one_in(rotations) {
            Act::Rotate
        } else if with_ddl && draw.one_in(15) {
            Act::Ddl {
                table: draw.between(0, 2) as u8,
                ddl: draw.one_of(&[DdlAct::Add, DdlAct::Add, DdlAct::Drop, DdlAct::Truncate]),
            }
        } else if with_empty && draw.one_in(20) {
            Act::Empty
        } else {
            committed += 1;
            let is_large = with_large && draw.one_in(40);
            commit(draw, options, is_large)
        };
        steps.push(Step { at, act });
    }
    steps
}

/// Most entries of a large transaction, in units of the ring: more than it holds.
const LARGE_RINGS: u64 = 3;

fn commit(draw: &mut Draw, options: &Options, is_large: bool) -> Act {
    let tables = draw.skewed(1, 3);
    let rows_most = if is_large {
        (LARGE_RINGS * u64::from(options.ring_entries)).min(600)
    } else {
        6
    };
    let text_most = if draw.one_in(10) { 4000 } else { 60 };
    let changes = (0..tables).map(|_| Change {
        table: draw.between(0, 2) as u8,
        // Every transaction changes something, whatever the tables hold.
        inserts: draw.skewed(1, rows_most) as u32,
        updates: draw.skewed(0, 4) as u32,
        deletes: draw.skewed(0, 3) as u32,
        text: draw.skewed(0, text_most) as u32,
    });
    Act::Commit {
        changes: changes.collect(),
    }
}

/// The kinds of fault that a seed switches on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cut,
    CutOneWay,
    Reset,
    HalfOpen,
    RestartSource,
    DropDump,
    Crash,
    PowerLoss,
    Stop,
    Pause,
    DiskFails,
    DiskFull,
    WallClock,
    CrashClient,
    Rollback,
}

const KINDS: [Kind; 15] = [
    Kind::Cut,
    Kind::CutOneWay,
    Kind::Reset,
    Kind::HalfOpen,
    Kind::RestartSource,
    Kind::DropDump,
    Kind::Crash,
    Kind::PowerLoss,
    Kind::Stop,
    Kind::Pause,
    Kind::DiskFails,
    Kind::DiskFull,
    Kind::WallClock,
    Kind::CrashClient,
    Kind::Rollback,
];

fn faults(draw: &mut Draw, options: &Options, size: Size, spread: Duration) -> Vec<PlannedFault> {
    let kinds = draw.some_of(&KINDS);
    let count = match size {
        Size::Lite => draw.between(u64::from(LITE_FAULTS), 16),
        Size::Swarm => draw.between(0, 60),
    };
    let spread = spread.as_millis() as u64;
    let mut times: Vec<Duration> = (0..count).map(|_| draw.millis(0, spread)).collect();
    times.sort_unstable();
    times
        .into_iter()
        .map(|at| PlannedFault {
            at,
            fault: fault(draw, options, kinds.as_slice()),
        })
        .collect()
}

fn fault(draw: &mut Draw, options: &Options, kinds: &[Kind]) -> Fault {
    let client = draw.between(0, options.clients.len() as u64 - 1) as u8;
    let host = draw.one_of(&[Host::Source, Host::Client(client)]);
    let lasts = if draw.one_in(5) {
        draw.millis(1_000, 40_000)
    } else {
        draw.millis(10, 3_000)
    };
    match draw.one_of(kinds) {
        Kind::Cut => Fault::Cut { host, lasts },
        Kind::CutOneWay if draw.one_in(2) => Fault::CutOneWay {
            from: Host::Canald,
            to: host,
            lasts,
        },
        Kind::CutOneWay => Fault::CutOneWay {
            from: host,
            to: Host::Canald,
            lasts,
        },
        Kind::Reset => Fault::Reset { host },
        Kind::HalfOpen => Fault::HalfOpen { host, lasts },
        Kind::RestartSource => Fault::RestartSource { lasts },
        Kind::DropDump => Fault::DropDump,
        Kind::Crash => Fault::Crash { lasts },
        Kind::PowerLoss => Fault::PowerLoss {
            steps: draw.between(0, 12) as u32,
            lasts,
        },
        Kind::Stop => Fault::Stop { lasts },
        Kind::Pause => Fault::Pause { lasts },
        Kind::DiskFails => Fault::DiskFails { lasts },
        Kind::DiskFull => Fault::DiskFull { lasts },
        Kind::WallClock => Fault::WallClock {
            seconds: draw.one_of(&[-86_400, -120, -3, 3, 120, 86_400]),
        },
        Kind::CrashClient => Fault::CrashClient { client, lasts },
        Kind::Rollback => Fault::Rollback { client },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_plan_and_a_lite_one_has_what_it_promises() {
        for seed in 0..500 {
            let plan = draw(seed, Size::Lite);
            assert_eq!(plan, draw(seed, Size::Lite));
            assert_ne!(plan.workload, draw(seed + 1, Size::Lite).workload);
            let is_commit = |step: &&Step| matches!(step.act, Act::Commit { .. });
            let commits = plan.workload.iter().filter(is_commit).count();
            assert!(commits >= LITE_TRANSACTIONS as usize);
            assert!(plan.faults.len() >= LITE_FAULTS as usize);
            assert!(plan.options.transaction_entries <= plan.options.ring_entries);
            assert!(plan.options.transaction_entries.is_power_of_two());
        }
    }

    #[test]
    fn every_kind_of_fault_and_of_work_is_drawn() {
        let plans: Vec<Plan> = (0..200).map(|seed| draw(seed, Size::Swarm)).collect();
        let mut kinds: Vec<_> = plans
            .iter()
            .flat_map(|plan| &plan.faults)
            .map(|planned| std::mem::discriminant(&planned.fault))
            .collect();
        kinds.dedup();
        let distinct: std::collections::HashSet<_> = kinds.into_iter().collect();
        assert_eq!(distinct.len(), KINDS.len());
        let acts: std::collections::HashSet<_> = plans
            .iter()
            .flat_map(|plan| &plan.workload)
            .map(|step| std::mem::discriminant(&step.act))
            .collect();
        assert_eq!(acts.len(), 4);
    }
}
