//! What a client does next, by its temper: pure choices, drawn from the randomness of its connection.

use canald_core::rng::Rng;
use canald_core::time::Duration;

use crate::plan::Temper;

/// The most batches that a client gets before it acknowledges one.
pub(super) const OPEN_MAX: usize = 4;

/// How long a slow client thinks about a batch, at most.
const THINKS_MAX: Duration = Duration::from_secs(3);

/// Of a hundred moves of a rude client, how many are rude.
const RUDE_PERCENT: u64 = 15;

/// Of a hundred moves of a client that gets ahead, and may, how many do.
const AHEAD_PERCENT: u64 = 65;

/// What a client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Asks for a batch.
    Get,
    /// Asks for a batch of a size that makes no sense.
    GetOddly {
        /// The size.
        size: u32,
    },
    /// Acknowledges the oldest open batch.
    Ack,
    /// Acknowledges what it must not.
    AckWrongly(Wrong),
    /// Takes back all open batches.
    TakeBackAll,
    /// Takes back an open batch and all younger ones.
    TakeBack {
        /// Which, from the oldest.
        nth: usize,
    },
    /// Takes back a batch that was never given.
    TakeBackUnknown,
    /// Ends the connection without a word.
    Drop,
    /// Ends the connection, and says nonsense on another one.
    TalkNonsense,
}

/// A batch that must not be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Open, with an older one open.
    NotSmallest,
    /// Acknowledged, taken back, or of another life.
    Gone,
    /// Not given yet.
    NotYet,
    /// Below zero, as no id is.
    Impossible,
    /// No batch at all.
    Zero,
}

/// What a client with so many open batches does next; `dry` says that its last get found nothing.
pub(super) fn next(temper: Temper, rng: &mut Rng, open: usize, dry: bool) -> Move {
    match temper {
        Temper::Good | Temper::Slow => patient(open),
        Temper::Ahead => ahead(rng, open, dry),
        Temper::Forgetful => forgetful(rng, open, dry),
        Temper::Rude if rng.below(100) < RUDE_PERCENT => rude(rng, open),
        Temper::Rude => ahead(rng, open, dry),
    }
}

/// How long a client thinks about a batch before it acknowledges it.
pub(super) fn thinks(temper: Temper, rng: &mut Rng) -> Duration {
    match temper {
        Temper::Slow => super::drawn(rng, Duration::ZERO, THINKS_MAX),
        Temper::Good | Temper::Ahead | Temper::Forgetful | Temper::Rude => Duration::ZERO,
    }
}

const fn patient(open: usize) -> Move {
    if open == 0 { Move::Get } else { Move::Ack }
}

fn ahead(rng: &mut Rng, open: usize, dry: bool) -> Move {
    let may = open < OPEN_MAX && !dry;
    if open == 0 || may && rng.below(100) < AHEAD_PERCENT {
        Move::Get
    } else {
        Move::Ack
    }
}

fn forgetful(rng: &mut Rng, open: usize, dry: bool) -> Move {
    if open == 0 {
        return Move::Get;
    }
    match rng.below(100) {
        0..6 => Move::Drop,
        6..11 => Move::TakeBackAll,
        11..20 => Move::TakeBack {
            nth: rng.below(open as u64) as usize,
        },
        20..45 if open < OPEN_MAX && !dry => Move::Get,
        _ => Move::Ack,
    }
}

fn rude(rng: &mut Rng, open: usize) -> Move {
    match rng.below(8) {
        0 if open > 1 => Move::AckWrongly(Wrong::NotSmallest),
        0 | 1 => Move::AckWrongly(Wrong::NotYet),
        2 => Move::AckWrongly(Wrong::Gone),
        3 => Move::AckWrongly(Wrong::Impossible),
        4 => Move::AckWrongly(Wrong::Zero),
        5 => Move::TakeBackUnknown,
        6 => Move::TalkNonsense,
        _ => Move::GetOddly {
            size: if rng.below(2) == 0 { 0 } else { u32::MAX },
        },
    }
}

#[cfg(test)]
mod tests {
    use canald_core::rng::Seed;

    use super::*;

    /// All moves of a client with so many open batches, in a long life.
    fn moves(temper: Temper, open: usize, dry: bool) -> Vec<Move> {
        let mut rng = Rng::new(Seed(7));
        let moves = (0..2_000).map(|_| next(temper, &mut rng, open, dry));
        moves.collect()
    }

    #[test]
    fn a_good_client_gets_when_it_holds_nothing_and_acknowledges_otherwise() {
        for temper in [Temper::Good, Temper::Slow] {
            assert!(moves(temper, 0, false).iter().all(|m| *m == Move::Get));
            assert!(moves(temper, 1, false).iter().all(|m| *m == Move::Ack));
        }
    }

    #[test]
    fn nobody_gets_beyond_the_bound_and_whoever_found_nothing_acknowledges() {
        for temper in [Temper::Ahead, Temper::Forgetful] {
            assert!(!moves(temper, OPEN_MAX, false).contains(&Move::Get));
            assert!(!moves(temper, 1, true).contains(&Move::Get));
            assert!(moves(temper, 1, false).contains(&Move::Get));
        }
    }

    #[test]
    fn a_forgetful_client_does_all_that_it_may_and_mostly_acknowledges() {
        let moves = moves(Temper::Forgetful, 3, false);
        for wanted in [Move::Drop, Move::TakeBackAll, Move::TakeBack { nth: 2 }] {
            assert!(moves.contains(&wanted), "{wanted:?}");
        }
        let acks = moves.iter().filter(|m| **m == Move::Ack).count();
        assert!(acks > moves.len() / 2);
    }

    #[test]
    fn a_rude_client_names_no_younger_batch_unless_there_is_one() {
        let younger = Move::AckWrongly(Wrong::NotSmallest);
        assert!(!moves(Temper::Rude, 1, false).contains(&younger));
        let moves = moves(Temper::Rude, 2, false);
        for wanted in [
            younger,
            Move::AckWrongly(Wrong::Zero),
            Move::TakeBackUnknown,
            Move::TalkNonsense,
            Move::GetOddly { size: 0 },
            Move::GetOddly { size: u32::MAX },
        ] {
            assert!(moves.contains(&wanted), "{wanted:?}");
        }
    }

    #[test]
    fn only_a_slow_client_thinks() {
        let mut rng = Rng::new(Seed(1));
        assert!(thinks(Temper::Slow, &mut rng) > Duration::ZERO);
        assert_eq!(thinks(Temper::Good, &mut rng), Duration::ZERO);
    }
}
