//! Stands in for the crate of the same name: timers only, and they follow the simulator's time. A timer is
//! no finer than a millisecond there.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use madsim::time::{Sleep, sleep_until};

/// Fires once, or again and again, or never.
#[derive(Debug, Default)]
pub struct Timer {
    next: Option<(Instant, Pin<Box<Sleep>>)>,
    period: Option<Duration>,
}

impl Timer {
    /// A timer that never fires.
    #[must_use]
    pub fn never() -> Self {
        Self::default()
    }

    /// A timer that fires once, after `delay`.
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Instant::now()
            .checked_add(delay)
            .map_or_else(Self::never, Self::at)
    }

    /// A timer that fires once, at `at`.
    #[must_use]
    pub fn at(at: Instant) -> Self {
        Self {
            next: Some((at, Box::pin(sleep_until(at)))),
            period: None,
        }
    }

    /// A timer that fires every `period`, beginning one `period` from now.
    #[must_use]
    pub fn interval(period: Duration) -> Self {
        Self {
            period: Some(period),
            ..Self::after(period)
        }
    }
}

impl Future for Timer {
    type Output = Instant;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        let Some((at, sleep)) = &mut self.next else {
            return Poll::Pending;
        };
        let at = *at;
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let next = self.period.and_then(|period| at.checked_add(period));
        self.next = next.map(|next| (next, Box::pin(sleep_until(next))));
        Poll::Ready(at)
    }
}
