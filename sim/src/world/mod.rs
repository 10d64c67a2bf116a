//! The simulated side of canald's seams: a network with windows and faults, a disk that forgets what was not
//! synced, clocks that jump. Decoding is done in place.

pub mod clock;
pub mod disk;
pub mod net;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use canald::env::World;
use canald::pool::Inline;
use canald_core::rng::{Rng, Seed};

use self::clock::SimClock;
use self::disk::SimFiles;
use self::net::SimNet;
use crate::host::Host;

/// Where the machines of a host get their seeds from, over all lives of its process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Seeds {
    rng: Rng,
    host: Host,
    given: Arc<AtomicU64>,
}

impl Seeds {
    /// The seeds of a host in the run of `seed`.
    #[must_use]
    pub fn new(seed: u64, host: Host) -> Self {
        Self {
            rng: Rng::new(Seed(seed)),
            host,
            given: Arc::default(),
        }
    }

    /// One that was not given before.
    #[must_use]
    pub fn next(&self) -> Seed {
        let count = self.given.fetch_add(1, Ordering::Relaxed);
        self.rng.split(&format!("world/{}/{count}", self.host))
    }
}

/// The world as one life of a host's process sees it; cheap to clone.
#[derive(Clone)]
pub struct SimWorld {
    net: SimNet,
    files: SimFiles,
    clock: SimClock,
    pool: Inline,
    seeds: Seeds,
}

impl SimWorld {
    /// A world of these parts. The files are those of one life; everything else outlives it.
    #[must_use]
    pub const fn new(net: SimNet, files: SimFiles, clock: SimClock, seeds: Seeds) -> Self {
        Self {
            net,
            files,
            clock,
            pool: Inline,
            seeds,
        }
    }
}

impl World for SimWorld {
    type Net = SimNet;
    type Files = SimFiles;
    type Clock = SimClock;
    type Pool = Inline;

    fn net(&self) -> &SimNet {
        &self.net
    }

    fn files(&self) -> &SimFiles {
        &self.files
    }

    fn clock(&self) -> &SimClock {
        &self.clock
    }

    fn pool(&self) -> &Inline {
        &self.pool
    }

    fn seed(&self) -> Seed {
        self.seeds.next()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn seeds_never_repeat_and_are_the_same_in_each_run() {
        let given = |seed, host| {
            let seeds = Seeds::new(seed, host);
            let clone = seeds.clone();
            (0..500)
                .flat_map(|_| [seeds.next(), clone.next()])
                .collect::<Vec<_>>()
        };
        let first = given(7, Host::Canald);
        assert_eq!(first, given(7, Host::Canald));
        let others = [given(8, Host::Canald), given(7, Host::Source)];
        let all: BTreeSet<_> = others.concat().into_iter().chain(first).collect();
        assert_eq!(all.len(), 3000);
    }
}
