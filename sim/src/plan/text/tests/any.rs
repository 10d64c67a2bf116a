//! Plans and damages, drawn.

use std::time::Duration;

use canald_core::rng::Rng;

use super::super::BYTES_MAX;
use super::super::item::{BATCH_MAX, FLAVORS, TEMPERS};
use super::super::words::TIME_MAX;
use crate::host::Host;
use crate::model::source::TABLES;
use crate::plan::{Act, Change, ClientPlan, DdlAct, Fault, Options, Plan, PlannedFault, Step};

/// Plans of whatever can be, the likely and the unlikely alike.
pub(super) struct Any(pub(super) Rng);

impl Any {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    fn is(&mut self) -> bool {
        self.below(2) == 0
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// A number from `least` to `most`, of any length.
    fn number(&mut self, least: u64, most: u64) -> u64 {
        let short = self.0.next_u64() >> self.below(64);
        match self.below(10) {
            0 => least,
            1 => most,
            _ => short.clamp(least, most),
        }
    }

    fn count(&mut self, least: u32, most: u32) -> u32 {
        self.number(u64::from(least), u64::from(most)) as u32
    }

    fn time(&mut self) -> Duration {
        let round = self.one_of(&[1, 1_000, 1_000_000, 1_000_000_000]);
        let nanos = self.number(0, TIME_MAX.as_nanos() as u64);
        Duration::from_nanos(nanos / round * round)
    }

    fn many<T>(&mut self, most: u64, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(most + 1);
        (0..count).map(|_| one(self)).collect()
    }

    pub(super) fn plan(&mut self) -> Plan {
        let options = self.options();
        let clients = options.clients.len() as u64;
        let mut workload = self.many(8, Self::step);
        let mut faults = self.many(8, |any| PlannedFault {
            at: any.time(),
            fault: any.fault(clients),
        });
        workload.sort_by_key(|step| step.at);
        faults.sort_by_key(|planned| planned.at);
        Plan {
            seed: self.number(0, u64::MAX),
            options,
            workload,
            faults,
        }
    }

    fn options(&mut self) -> Options {
        let ring = self.below(25);
        let (one, other) = (self.time(), self.time());
        let mut clients = self.many(5, Self::client);
        clients.push(self.client());
        Options {
            flavor: self.one_of(&FLAVORS),
            gtid: self.is(),
            full_metadata: self.is(),
            checksum: self.is(),
            rows_per_event: self.count(1, u32::MAX),
            ring_entries: 1 << ring,
            ring_unit: self.count(1, BYTES_MAX),
            count_entries: self.is(),
            transaction_entries: 1 << self.below(ring + 1),
            ddl_isolation: self.is(),
            window: self.count(1, BYTES_MAX) as usize,
            segment: self.count(1, BYTES_MAX) as usize,
            latency: (one.min(other), one.max(other)),
            disk_latency: self.time(),
            reader_idle: Duration::from_secs(self.number(1, 86_400)),
            clients,
        }
    }

    fn client(&mut self) -> ClientPlan {
        ClientPlan {
            id: self.number(0, 31_999) as i16,
            batch: self.count(1, BATCH_MAX),
            temper: self.one_of(&TEMPERS),
        }
    }

    fn step(&mut self) -> Step {
        let table = |any: &mut Self| any.below(u64::from(TABLES)) as u8;
        let act = match self.below(4) {
            0 => {
                let change = |any: &mut Self| Change {
                    table: table(any),
                    inserts: any.count(0, u32::MAX),
                    updates: any.count(0, u32::MAX),
                    deletes: any.count(0, u32::MAX),
                    text: any.count(0, u32::MAX),
                };
                let mut changes = self.many(4, change);
                changes.push(change(self));
                Act::Commit { changes }
            }
            1 => Act::Empty,
            2 => Act::Ddl {
                table: table(self),
                ddl: self.one_of(&[DdlAct::Add, DdlAct::Drop, DdlAct::Truncate]),
            },
            _ => Act::Rotate,
        };
        Step {
            at: self.time(),
            act,
        }
    }

    fn fault(&mut self, clients: u64) -> Fault {
        let client = self.below(clients) as u8;
        let host = self.one_of(&[Host::Source, Host::Client(client)]);
        let lasts = self.time();
        let all = [
            Fault::Cut { host, lasts },
            Fault::CutOneWay {
                from: Host::Canald,
                to: host,
                lasts,
            },
            Fault::CutOneWay {
                from: host,
                to: Host::Canald,
                lasts,
            },
            Fault::Reset { host },
            Fault::HalfOpen { host, lasts },
            Fault::RestartSource { lasts },
            Fault::DropDump,
            Fault::Crash { lasts },
            Fault::PowerLoss {
                steps: self.count(0, u32::MAX),
                lasts,
            },
            Fault::Stop { lasts },
            Fault::Pause { lasts },
            Fault::DiskFails { lasts },
            Fault::DiskFull { lasts },
            Fault::WallClock {
                seconds: self.number(0, u64::MAX) as i64,
            },
            Fault::CrashClient { client, lasts },
            Fault::Rollback { client },
        ];
        all[self.below(all.len() as u64) as usize].clone()
    }

    /// `text` with a few of its characters gone, doubled, or others.
    pub(super) fn damaged(&mut self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        for _ in 0..=self.below(2) {
            let at = self.below(chars.len() as u64) as usize;
            match self.below(4) {
                0 => drop(chars.remove(at)),
                1 => chars.insert(at, chars[at]),
                2 => chars.insert(at, self.one_of(&['0', '9', ',', '\n', '"', '-', '.', 'ü'])),
                _ => {
                    let other = self.below(chars.len() as u64) as usize;
                    chars[at] = chars[other];
                }
            }
        }
        chars.into_iter().collect()
    }
}
