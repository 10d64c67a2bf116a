//! What breaks in the network, and how it heals.

use super::Fabric;
use crate::host::Host;
use crate::world::net::connection::{DialFailure, EndState, Side};

impl Fabric {
    /// Nothing gets from one host to another from here on, until as many [`Self::heal_one_way`]. What is
    /// on its way waits.
    pub(in crate::world::net) fn cut_one_way(&mut self, from: Host, to: Host) {
        *self.cuts.entry((from, to)).or_default() += 1;
    }

    /// Takes back one [`Self::cut_one_way`], if there is any.
    pub(in crate::world::net) fn heal_one_way(&mut self, from: Host, to: Host) {
        let Some(count) = self.cuts.get_mut(&(from, to)) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.cuts.remove(&(from, to));
            self.resume();
        }
    }

    /// Nothing is cut and nobody is off any more.
    pub(in crate::world::net) fn heal_all(&mut self) {
        self.cuts.clear();
        self.off.clear();
        self.resume();
    }

    /// All connections between two hosts are reset, and what is on its way is lost. Each end can still
    /// read what had arrived.
    pub(in crate::world::net) fn reset(&mut self, a: Host, b: Host) {
        for id in self.ids(|connection| connection.is_between(a, b)) {
            for side in Side::BOTH {
                let connection = self.connection(id);
                connection.lane(side).clear();
                let end = connection.end(side);
                let host = end.host;
                match end.state {
                    EndState::Opening => end.end(EndState::Failed(DialFailure::Refused)),
                    EndState::Open => {
                        end.end(EndState::Reset);
                        self.tell_end(id, host, true);
                    }
                    EndState::Failed(_)
                    | EndState::Reset
                    | EndState::Closed
                    | EndState::Forgotten => {}
                }
            }
        }
    }

    /// One host forgets its open connections with another, who is not told: whatever it sends vanishes
    /// until the way is healed.
    pub(in crate::world::net) fn half_open(&mut self, ignorant: Host, forgetful: Host) {
        for id in self.ids(|connection| connection.is_between(ignorant, forgetful)) {
            for side in Side::BOTH {
                let end = self.connection(id).end(side);
                if end.host == forgetful && end.state == EndState::Open {
                    self.forget(id, side);
                    self.tell_end(id, forgetful, true);
                }
            }
        }
        self.cut_one_way(ignorant, forgetful);
        self.cut_one_way(forgetful, ignorant);
    }

    /// A host is off: it forgets everything, and nothing gets to it.
    pub(in crate::world::net) fn power_off(&mut self, host: Host) {
        self.off.insert(host);
        for id in self.ids(|_| true) {
            for side in Side::BOTH {
                let end = self.connection(id).end(side);
                let known = end.held || end.state != EndState::Opening;
                if end.host == host && known {
                    self.forget(id, side);
                }
            }
        }
        let ports: Vec<_> = self.listeners.keys().copied().collect();
        for key in ports.into_iter().filter(|(at, _)| *at == host) {
            let gone = self.listeners.remove(&key);
            for waiting in gone.into_iter().flat_map(|l| l.backlog) {
                self.connection(waiting).end(Side::Taker).held = false;
                self.tidy(waiting);
            }
        }
    }

    /// A host is on again. What still comes for connections that it had is answered with a reset.
    pub(in crate::world::net) fn power_on(&mut self, host: Host) {
        self.off.remove(&host);
        self.resume();
    }

    fn forget(&mut self, id: u64, side: Side) {
        let connection = self.connection(id);
        connection.lane(side).clear();
        let end = connection.end(side);
        end.inbox.clear();
        end.eof = false;
        end.end(EndState::Forgotten);
    }

    /// Lets go on whatever waited for a way that is open now: parcels, and the news of what was read.
    fn resume(&mut self) {
        for id in self.ids(|_| true) {
            for side in Side::BOTH {
                let lane = self.connection(id).lane(side);
                let (from, to) = (lane.from, lane.to);
                if self.passes(from, to) {
                    self.connection(id).lane(side).stalled = false;
                    self.set_alarm(id, side);
                }
                let connection = self.connections.get_mut(&id);
                if self.cuts.contains_key(&(to, from)) {
                    continue;
                }
                if let Some(connection) = connection
                    && connection.lane(side).hear()
                {
                    connection.end(side).wake_writer();
                }
            }
        }
    }

    fn ids(&self, of: impl Fn(&super::Connection) -> bool) -> Vec<u64> {
        let chosen = self.connections.iter().filter(|(_, c)| of(c));
        chosen.map(|(id, _)| *id).collect()
    }
}
