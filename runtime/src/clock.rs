//! Time: the only caller of the machine's clocks.

use core::future::Future;

use canald_core::time::{Instant, WallMillis};

/// A clock; cheap to clone.
pub trait Clock: Clone + Send + Sync + 'static {
    /// Now, on a clock that never goes back and that goes on while the machine is suspended.
    fn now(&self) -> Instant;

    /// Now, as people and binlogs tell time; it may jump either way.
    fn wall(&self) -> WallMillis;

    /// Waits until `at` or a little later; not at all if it is past.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        let clock = self.clone();
        async move {
            // The timer counts on another clock than `now` and may fire early by its measure.
            while let left = at.since(clock.now())
                && !left.is_zero()
            {
                tokio::time::sleep(left).await;
            }
        }
    }
}

#[cfg(feature = "daemon")]
pub use self::os::OsClock;

#[cfg(feature = "daemon")]
mod os {
    use std::time::SystemTime;

    use canald_core::time::{Duration, Instant, WallMillis};
    use rustix::time::{ClockId, clock_gettime};

    use super::Clock;

    /// The machine's clocks: `CLOCK_BOOTTIME`, counted from the start of the process, and wall time.
    #[derive(Clone, Copy, Debug)]
    pub struct OsClock {
        start: Duration,
    }

    impl OsClock {
        /// A clock that starts now.
        #[must_use]
        pub fn start() -> Self {
            Self {
                start: since_boot(),
            }
        }
    }

    impl Clock for OsClock {
        fn now(&self) -> Instant {
            Instant::ZERO + since_boot().saturating_sub(self.start)
        }

        fn wall(&self) -> WallMillis {
            let millis = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
                // A clock before 1970 is not set at all.
                Err(_) => 0,
            };
            WallMillis(millis)
        }
    }

    /// Unlike `CLOCK_MONOTONIC` it counts the time in suspension: a lease runs out meanwhile.
    fn since_boot() -> Duration {
        let at = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(at.tv_nsec).unwrap_or(0);
        Duration::new(seconds, nanos)
    }
}

#[cfg(all(test, feature = "daemon"))]
mod tests {
    use canald_core::time::Duration;

    use super::*;

    #[tokio::test]
    async fn sleeping_ends_at_or_after_the_moment_and_at_once_in_the_past() {
        let clock = OsClock::start();
        let at = clock.now() + Duration::from_millis(5);
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
        clock.sleep_until(Instant::ZERO).await;
    }

    #[test]
    fn wall_time_is_after_this_was_written() {
        assert!(OsClock::start().wall() > WallMillis(1_760_000_000_000));
    }
}
