//! The world, as the drivers see it: four seams, each with one real side and one simulated one.
//!
//! A driver is generic over its [`World`], so the simulator runs the very same drivers over a network
//! with faults, a disk that tears writes, a clock that jumps and a pool that answers in place. Dispatch is
//! static. Whatever is not behind a seam must exist, under the same name, with and without madsim.

use canald_core::rng::Seed;

use crate::clock::Clock;
use crate::files::Files;
use crate::net::Net;
use crate::pool::Pool;

/// Everything outside the process; cheap to clone.
pub trait World: Clone + Send + Sync + 'static {
    /// Connections.
    type Net: Net;
    /// The disk.
    type Files: Files;
    /// Time.
    type Clock: Clock;
    /// Processors.
    type Pool: Pool;

    /// Connections.
    fn net(&self) -> &Self::Net;
    /// The disk.
    fn files(&self) -> &Self::Files;
    /// Time.
    fn clock(&self) -> &Self::Clock;
    /// Processors.
    fn pool(&self) -> &Self::Pool;

    /// Where the randomness of a machine that is born now comes from; never the same twice.
    fn seed(&self) -> Seed;
}

#[cfg(feature = "daemon")]
pub use self::os::OsWorld;

#[cfg(feature = "daemon")]
mod os {
    use std::io;

    use canald_core::rng::Seed;
    use rustix::rand::{GetRandomFlags, getrandom};

    use super::World;
    use crate::clock::OsClock;
    use crate::files::OsFiles;
    use crate::net::OsNet;
    use crate::pool::Threads;

    /// The real world.
    #[derive(Clone, Debug)]
    pub struct OsWorld {
        net: OsNet,
        files: OsFiles,
        clock: OsClock,
        pool: Threads,
    }

    impl OsWorld {
        /// The world with `threads` threads that decode.
        ///
        /// # Errors
        /// The system gives no thread.
        pub fn new(threads: usize) -> io::Result<Self> {
            let pool = Threads::start(threads)?;
            Ok(Self {
                net: OsNet,
                files: OsFiles,
                clock: OsClock::start(),
                pool,
            })
        }
    }

    impl World for OsWorld {
        type Net = OsNet;
        type Files = OsFiles;
        type Clock = OsClock;
        type Pool = Threads;

        fn net(&self) -> &OsNet {
            &self.net
        }

        fn files(&self) -> &OsFiles {
            &self.files
        }

        fn clock(&self) -> &OsClock {
            &self.clock
        }

        fn pool(&self) -> &Threads {
            &self.pool
        }

        fn seed(&self) -> Seed {
            let mut bytes = [0; 8];
            // Linux answers requests of up to 256 bytes whole, once the pool is seeded at boot.
            let got = getrandom(&mut bytes, GetRandomFlags::empty());
            assert_eq!(got, Ok(bytes.len()), "the system's random numbers are gone");
            Seed(u64::from_ne_bytes(bytes))
        }
    }
}
