//! Batches that were given and not acknowledged, and their ids.
//!
//! Ids are `(generation << 32) | counter` (`design.md` §4): the counter runs from 1 per client and is
//! never set back within a generation, neither by rollback nor by unsubscribing, so a late ack cannot
//! hit another batch. Whatever a request names is checked here, whole, before anything moves: ledger,
//! ring and cursor then follow in one step.
//!
//! Bounds: [`OPEN_BATCHES_MAX`] per client; at the bound a get finds nothing until the client acks or
//! rolls back. A counter that runs out needs a new generation, which [`Ledger::wants_generation`] asks
//! for long before.

use alloc::collections::{BTreeMap, VecDeque};

use thiserror::Error;

use crate::meta::identity::ClientId;
use crate::request::{BatchId, Refusal};
use crate::store::batch::{Place, Taken};
use crate::store::ring::Sequence;
use crate::time::Instant;

/// The most batches that a client may hold unacknowledged. A ring of the default size holds four times
/// as many entries.
pub const OPEN_BATCHES_MAX: usize = 4096;

/// The counter at which a new generation is asked for: a quarter of all ids is left for the time that
/// storing it takes.
const COUNTER_HIGH: u32 = u32::MAX / 4 * 3;

/// Which of the tenures of a destination a batch belongs to: it starts at 1 and strictly grows over
/// owners and restarts. Durable before the first batch that carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(u32);

impl Generation {
    /// The last there is: ids are positive 64-bit numbers.
    pub const MAX: u32 = i32::MAX as u32;

    /// No tenure so far.
    pub const NONE: Self = Self(0);

    /// Generation `n`; none if it is beyond the last.
    #[must_use]
    pub const fn new(n: u32) -> Option<Self> {
        if n <= Self::MAX { Some(Self(n)) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The one after it; none after the last, which a tenure a second reaches in 68 years.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    const fn batch(self, counter: u32) -> BatchId {
        BatchId(((self.0 as i64) << 32) | counter as i64)
    }
}

/// Why no batch can be opened now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CannotOpen {
    /// The client must ack or roll back first.
    #[error("{OPEN_BATCHES_MAX} batches are open: acknowledge or roll back first")]
    TooManyOpen,
    /// Every id of the generation is used.
    #[error("the batch ids of this generation are used up: a new generation must be stored first")]
    IdsUsedUp,
}

/// A batch that was given and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenBatch {
    /// Its id.
    pub id: BatchId,
    /// Its first entry in the ring: where a rollback goes.
    pub first: Sequence,
    /// One past its last: what its ack frees.
    pub end: Sequence,
    /// How many entries.
    pub entries: u32,
    /// Canal's ackable position in it, if there is one.
    pub ack_at: Option<Place>,
    /// Its last entry.
    pub last: Place,
    /// When it was given.
    pub given_at: Instant,
}

/// One client's batches.
#[derive(Clone, Debug, Default)]
struct Account {
    counter: u32,
    open: VecDeque<OpenBatch>,
}

/// The open batches of all clients of a destination.
#[derive(Clone, Debug)]
pub struct Ledger {
    generation: Generation,
    accounts: BTreeMap<ClientId, Account>,
}

impl Ledger {
    /// A ledger whose ids carry `generation`.
    ///
    /// # Panics
    /// If it is [`Generation::NONE`]: ids begin with the first tenure.
    #[must_use]
    pub fn new(generation: Generation) -> Self {
        assert!(
            generation > Generation::NONE,
            "a ledger needs a generation that is stored"
        );
        Self {
            generation,
            accounts: BTreeMap::new(),
        }
    }

    /// The generation of the next batch.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether a new generation should be stored and given to [`Self::renew`].
    #[must_use]
    pub fn wants_generation(&self) -> bool {
        self.accounts
            .values()
            .any(|account| account.counter >= COUNTER_HIGH)
    }

    /// Goes on in a new generation; open batches keep their ids.
    ///
    /// # Panics
    /// If it is not above the present one.
    pub fn renew(&mut self, generation: Generation) {
        assert!(
            generation > self.generation,
            "a generation must grow: {generation:?}"
        );
        self.generation = generation;
        for account in self.accounts.values_mut() {
            account.counter = 0;
        }
    }

    /// Whether the client may be given a batch now; asked before the ring is.
    ///
    /// # Errors
    /// It has too many open, or no id is left.
    pub fn check_open(&self, client: ClientId) -> Result<(), CannotOpen> {
        match self.accounts.get(&client) {
            Some(account) if account.open.len() >= OPEN_BATCHES_MAX => Err(CannotOpen::TooManyOpen),
            Some(account) if account.counter == u32::MAX => Err(CannotOpen::IdsUsedUp),
            _ => Ok(()),
        }
    }

    /// Records a batch and gives it its id.
    ///
    /// # Panics
    /// If [`Self::check_open`] says no.
    pub fn open(&mut self, client: ClientId, taken: &Taken, now: Instant) -> BatchId {
        if let Err(fault) = self.check_open(client) {
            panic!("client {client} was given a batch that cannot be recorded: {fault}");
        }
        let account = self.accounts.entry(client).or_default();
        account.counter += 1;
        let id = self.generation.batch(account.counter);
        account.open.push_back(OpenBatch {
            id,
            first: taken.first,
            end: taken.end,
            entries: taken.entries,
            ack_at: taken.ack_at.clone(),
            last: taken.last.clone(),
            given_at: now,
        });
        id
    }

    /// Checks an ack; nothing moves. Close the batch with [`Self::close`] when the ring and the cursor
    /// have moved.
    ///
    /// # Errors
    /// The batch is not open (never was, not any more, or of another generation), or an older one is.
    pub fn check_ack(&self, client: ClientId, batch: BatchId) -> Result<&OpenBatch, Refusal> {
        let verb = "ack";
        let unknown = Refusal::UnknownBatch {
            verb,
            client,
            batch,
        };
        let open = self.batches(client);
        let Some(oldest) = open.clone().next() else {
            return Err(unknown);
        };
        if oldest.id == batch {
            Ok(oldest)
        } else if open.clone().any(|other| other.id == batch) {
            Err(Refusal::NotOldest {
                batch,
                oldest: oldest.id,
            })
        } else {
            Err(unknown)
        }
    }

    /// Closes the client's oldest batch.
    ///
    /// # Panics
    /// If `batch` is not the oldest: [`Self::check_ack`] comes first.
    pub fn close(&mut self, client: ClientId, batch: BatchId) {
        let account = self.accounts.get_mut(&client);
        let closed = account.and_then(|account| account.open.pop_front());
        assert!(
            closed.is_some_and(|closed| closed.id == batch),
            "batch {batch} of client {client} was closed unchecked"
        );
    }

    /// Takes back a batch and every younger one, or all if none is named: the sequence at which the
    /// oldest of them begins, for the ring. None if nothing is open, which is no fault when none is named.
    ///
    /// # Errors
    /// The batch named is not open; nothing moved.
    pub fn rollback(
        &mut self,
        client: ClientId,
        batch: Option<BatchId>,
    ) -> Result<Option<Sequence>, Refusal> {
        let open = self
            .accounts
            .get_mut(&client)
            .map(|account| &mut account.open);
        let Some(batch) = batch else {
            let Some(open) = open else { return Ok(None) };
            let first = open.front().map(|oldest| oldest.first);
            open.clear();
            return Ok(first);
        };
        let found = open.and_then(|open| {
            let at = open.iter().position(|other| other.id == batch)?;
            open.drain(at..).next()
        });
        match found {
            Some(oldest) => Ok(Some(oldest.first)),
            None => Err(Refusal::UnknownBatch {
                verb: "rollback",
                client,
                batch,
            }),
        }
    }

    /// Forgets the batches of a client that is gone. Its counter stays: should the client come back, a
    /// late ack of before finds nothing.
    pub fn forget(&mut self, client: ClientId) {
        if let Some(account) = self.accounts.get_mut(&client) {
            account.open.clear();
        }
    }

    /// The open batches of a client, the oldest first.
    pub fn batches(&self, client: ClientId) -> impl Iterator<Item = &OpenBatch> + Clone {
        self.accounts
            .get(&client)
            .into_iter()
            .flat_map(|account| account.open.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::testing::place;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const CLIENT: ClientId = ClientId(1001);

    fn ledger() -> Ledger {
        Ledger::new(Generation::new(3).unwrap())
    }

    fn taken(first: u64, end: u64) -> Taken {
        Taken {
            first: Sequence(first),
            end: Sequence(end),
            chunks: Vec::new(),
            entries: (end - first) as u32,
            rows: 0,
            bytes: 0,
            ack_at: None,
            last: place("bin.000001", end),
        }
    }

    fn open(ledger: &mut Ledger, first: u64, end: u64) -> BatchId {
        ledger.open(CLIENT, &taken(first, end), Instant::ZERO)
    }

    #[test]
    fn ids_carry_generation_and_counter_and_fit_a_double() {
        let mut ledger = ledger();
        assert_eq!(open(&mut ledger, 0, 5).0, (3 << 32) | 1);
        assert_eq!(open(&mut ledger, 5, 6).0, (3 << 32) | 2);
        let other = ledger.open(ClientId(7), &taken(0, 1), Instant::ZERO);
        assert_eq!(other.0, (3 << 32) | 1);
        assert!(Generation::new((1 << 21) - 1).unwrap().batch(u32::MAX).0 < 1 << 53);
        assert!(Generation::new(Generation::MAX).unwrap().batch(u32::MAX).0 > 0);
        assert_eq!(Generation::new(Generation::MAX).unwrap().next(), None);
    }

    #[test]
    fn only_the_oldest_batch_may_be_acknowledged_and_a_refused_ack_moves_nothing() {
        let mut ledger = ledger();
        let (a, b) = (open(&mut ledger, 0, 5), open(&mut ledger, 5, 9));
        let refused = ledger.check_ack(CLIENT, b).unwrap_err();
        assert_eq!(
            refused,
            Refusal::NotOldest {
                batch: b,
                oldest: a
            }
        );
        for foreign in [BatchId(1), BatchId(a.0 + (1 << 32)), BatchId(b.0 + 1)] {
            let unknown = Refusal::UnknownBatch {
                verb: "ack",
                client: CLIENT,
                batch: foreign,
            };
            assert_eq!(ledger.check_ack(CLIENT, foreign).unwrap_err(), unknown);
            assert!(ledger.check_ack(ClientId(1), a).is_err());
        }
        assert_eq!(ledger.check_ack(CLIENT, a).unwrap().end, Sequence(5));
        ledger.close(CLIENT, a);
        assert!(ledger.check_ack(CLIENT, a).is_err());
        assert_eq!(ledger.check_ack(CLIENT, b).unwrap().end, Sequence(9));
    }

    #[test]
    fn a_rollback_drops_the_batch_and_every_younger_one() {
        let mut ledger = ledger();
        let ids: Vec<BatchId> = (0..4).map(|n| open(&mut ledger, n, n + 1)).collect();
        assert_eq!(ledger.rollback(CLIENT, Some(ids[1])), Ok(Some(Sequence(1))));
        assert!(ledger.batches(CLIENT).map(|batch| batch.id).eq([ids[0]]));
        let unknown = Refusal::UnknownBatch {
            verb: "rollback",
            client: CLIENT,
            batch: ids[2],
        };
        assert_eq!(ledger.rollback(CLIENT, Some(ids[2])), Err(unknown));
        assert_eq!(open(&mut ledger, 1, 4).0, ids[3].0 + 1);
        assert_eq!(ledger.rollback(CLIENT, None), Ok(Some(Sequence(0))));
        assert_eq!(ledger.rollback(CLIENT, None), Ok(None));
        assert_eq!(ledger.rollback(ClientId(5), None), Ok(None));
    }

    #[test]
    fn a_client_that_comes_back_never_sees_an_old_id_again() {
        let mut ledger = ledger();
        let old = open(&mut ledger, 0, 5);
        ledger.forget(CLIENT);
        assert!(open(&mut ledger, 0, 5) > old);
        assert!(ledger.check_ack(CLIENT, old).is_err());
    }

    #[test]
    fn a_client_that_never_acknowledges_is_stopped_at_the_bound() {
        let mut ledger = ledger();
        for n in 0..OPEN_BATCHES_MAX as u64 {
            assert_eq!(ledger.check_open(CLIENT), Ok(()));
            open(&mut ledger, n, n + 1);
        }
        assert_eq!(ledger.check_open(CLIENT), Err(CannotOpen::TooManyOpen));
        assert_eq!(ledger.check_open(ClientId(1)), Ok(()));
    }

    #[test]
    fn a_counter_near_its_end_asks_for_a_generation_and_old_batches_stay_open() {
        let mut ledger = ledger();
        let old = open(&mut ledger, 0, 1);
        assert!(!ledger.wants_generation());
        ledger.accounts.get_mut(&CLIENT).unwrap().counter = u32::MAX;
        assert!(ledger.wants_generation());
        assert_eq!(ledger.check_open(CLIENT), Err(CannotOpen::IdsUsedUp));
        ledger.renew(Generation::new(4).unwrap());
        assert_eq!(open(&mut ledger, 1, 2), BatchId((4 << 32) | 1));
        assert_eq!(ledger.check_ack(CLIENT, old).unwrap().id, old);
    }

    proptest! {
        /// Invariants I8 and I16 of the ha-meta-store reference.
        #[test]
        fn ids_strictly_grow_and_open_batches_are_contiguous(
            ops in prop::collection::vec((0_u8..4, 0_usize..4, 1_u64..4), 1..80),
        ) {
            let mut ledger = ledger();
            let (mut get, mut ack, mut newest) = (0, 0, BatchId(0));
            for (op, which, size) in ops {
                let ids: Vec<BatchId> = ledger.batches(CLIENT).map(|batch| batch.id).collect();
                match (op, ids.get(which)) {
                    (0 | 1, _) => {
                        let id = open(&mut ledger, get, get + size);
                        prop_assert!(id > newest);
                        newest = id;
                        get += size;
                    }
                    (2, Some(id)) => {
                        let checked = ledger.check_ack(CLIENT, *id).map(|batch| batch.end.0);
                        prop_assert_eq!(checked.is_ok(), which == 0);
                        if let Ok(end) = checked {
                            ledger.close(CLIENT, *id);
                            ack = end;
                        }
                    }
                    (3, id) => {
                        let to = ledger.rollback(CLIENT, id.copied()).unwrap();
                        get = to.map_or(get, |to| to.0);
                    }
                    _ => {}
                }
                let mut at = ack;
                for batch in ledger.batches(CLIENT) {
                    prop_assert_eq!(batch.first.0, at);
                    at = batch.end.0;
                }
                prop_assert_eq!(at, get);
            }
        }
    }
}
