//! The clocks of a machine: one that never goes back, and wall time, which jumps when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use canald::clock::Clock;
use canald_core::time::{Instant, WallMillis};

/// A machine's clocks; cheap to clone, and all clones jump together. They outlive its processes.
#[derive(Clone, Debug)]
pub struct SimClock {
    began: madsim::time::Instant,
    base: WallMillis,
    offset_millis: Arc<AtomicI64>,
}

impl SimClock {
    /// Clocks of a world that begins now, when wall time is `base`.
    #[must_use]
    pub fn new(base: WallMillis) -> Self {
        Self {
            began: madsim::time::Instant::now(),
            base,
            offset_millis: Arc::default(),
        }
    }

    /// Wall time jumps by so many seconds, from where it is.
    pub fn jump(&self, seconds: i64) {
        let millis = seconds.saturating_mul(1000);
        self.offset_millis.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Instant {
        Instant::ZERO + self.began.elapsed()
    }

    fn wall(&self) -> WallMillis {
        let elapsed = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let offset = self.offset_millis.load(Ordering::Relaxed);
        WallMillis(self.base.0.saturating_add(elapsed).saturating_add(offset))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use madsim::runtime::Runtime;
    use madsim::time::sleep;

    use super::*;

    #[test]
    fn wall_time_jumps_and_the_other_clock_does_not() {
        Runtime::new().block_on(async {
            let clock = SimClock::new(WallMillis(1_000_000));
            let other = SimClock::new(WallMillis(1_000_000));
            sleep(Duration::from_secs(3)).await;
            assert_eq!(clock.wall(), WallMillis(1_003_000));
            clock.clone().jump(-500);
            assert_eq!(clock.wall(), WallMillis(503_000));
            assert_eq!(other.wall(), WallMillis(1_003_000));
            let now = clock.now();
            assert_eq!(now.since(Instant::ZERO).as_secs(), 3);
            clock.sleep_until(now + Duration::from_secs(7)).await;
            assert_eq!(clock.now().since(now).as_secs(), 7);
            clock.jump(i64::MAX);
            assert!(clock.wall() > other.wall(), "no jump overflows");
        });
    }
}
