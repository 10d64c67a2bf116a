//! What the machines of one destination ask of ZooKeeper: numbered, in the order in which it was asked.

use alloc::collections::VecDeque;

use crate::coordination::{Effect, Ticket};

/// Effects that nobody has taken yet. Each machine has one under way at a time, so they are few.
#[derive(Debug, Default)]
pub struct Asks {
    last: u64,
    queue: VecDeque<(Ticket, Effect)>,
}

impl Asks {
    /// Asks for `effect`.
    pub(crate) fn ask(&mut self, effect: Effect) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.queue.push_back((ticket, effect));
        ticket
    }

    /// The session is over: what nobody has taken is never asked.
    pub(crate) fn forget(&mut self) {
        self.queue.clear();
    }

    /// The oldest that was not taken.
    pub fn poll(&mut self) -> Option<(Ticket, Effect)> {
        self.queue.pop_front()
    }
}
