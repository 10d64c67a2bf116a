//! Carries the core's effects to ZooKeeper and back: what all drivers of machines that ask it have in common.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use canald_core::coordination::{Effect, Outcome, Signal, Ticket};

use crate::zookeeper::{Signals, ZooKeeper};

type Performing = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What ZooKeeper says to one machine.
#[derive(Debug)]
pub(super) enum Said {
    /// An effect has ended.
    Outcome(Ticket, Outcome),
    /// Something happened to the session, or to what is watched.
    Signal(Signal),
}

/// The way of one machine to ZooKeeper and back. Each machine has a few effects under way at most.
pub(super) struct Line {
    zookeeper: ZooKeeper,
    signals: Signals,
    performing: Vec<(Ticket, Performing)>,
}

impl Line {
    pub(super) fn new((zookeeper, signals): (ZooKeeper, Signals)) -> Self {
        Self {
            zookeeper,
            signals,
            performing: Vec::new(),
        }
    }

    pub(super) fn perform(&mut self, ticket: Ticket, effect: Effect) {
        let outcome = self.zookeeper.perform(ticket, effect);
        self.performing.push((ticket, Box::pin(outcome)));
    }

    /// Asks nothing any more, and waits until the session is closed: nobody else may hold it.
    pub(super) async fn close(self) {
        let Self {
            zookeeper,
            mut signals,
            performing,
        } = self;
        drop((zookeeper, performing));
        while signals.next().await.is_some() {}
    }

    /// What is said next. Outcomes are looked at first: they are there before the signals that follow them.
    /// Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Said {
        let Self {
            signals,
            performing,
            ..
        } = self;
        tokio::select! {
            biased;
            (ticket, outcome) = core::future::poll_fn(|cx| poll(performing, cx)) => {
                Said::Outcome(ticket, outcome)
            }
            signal = signals.next() => match signal {
                Some(signal) => Said::Signal(signal),
                None => unreachable!("the session is not closed while there is a handle"),
            },
        }
    }
}

fn poll(
    performing: &mut Vec<(Ticket, Performing)>,
    cx: &mut Context<'_>,
) -> Poll<(Ticket, Outcome)> {
    for nth in 0..performing.len() {
        let (ticket, outcome) = &mut performing[nth];
        if let Poll::Ready(outcome) = outcome.as_mut().poll(cx) {
            let ticket = *ticket;
            drop(performing.remove(nth));
            return Poll::Ready((ticket, outcome));
        }
    }
    Poll::Pending
}
