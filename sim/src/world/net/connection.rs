//! One connection: two ends, and a lane from each to the other.
//!
//! An end is opening, then open, then over in one of five ways: its dial failed, it was told of a reset,
//! its process closed it, or its host forgot it. What arrives at an end that is over is answered with a
//! reset, except what a closed end must still expect.

use std::task::Waker;

use bytes::{Buf as _, BytesMut};
use canald_core::rng::{Rng, Seed};
use tokio::io::ReadBuf;

use super::lane::{Lane, Terms, up_to};
use crate::host::Host;

/// One read in so many gives only a part of what has arrived.
const PARTIAL_READ_ONE_IN: u64 = 2;

/// Which end of a connection, and the lane that begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// The one who dialed.
    Dialer,
    /// The one who listened.
    Taker,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Dialer, Self::Taker];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Taker,
            Self::Taker => Self::Dialer,
        }
    }
}

/// Why a dial failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DialFailure {
    /// Nobody listens there, or the connection was reset before it was made.
    Refused,
    /// Nothing was heard in time.
    TimedOut,
}

/// Where an end is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndState {
    /// Nothing was heard from the other end.
    Opening,
    /// Bytes may come and go.
    Open,
    /// It never opened.
    Failed(DialFailure),
    /// It was told of a reset.
    Reset,
    /// Its process let go of it.
    Closed,
    /// Its host does not know it any more.
    Forgotten,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) host: Host,
    pub(super) state: EndState,
    /// Somebody has it, or can still accept it.
    pub(super) held: bool,
    /// What has arrived and was not read.
    pub(super) inbox: BytesMut,
    /// The other end's FIN has arrived, behind all that is in the inbox.
    pub(super) eof: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    rng: Rng,
}

impl End {
    fn new(host: Host, held: bool, rng: Rng) -> Self {
        Self {
            host,
            state: EndState::Opening,
            held,
            inbox: BytesMut::new(),
            eof: false,
            reader: None,
            writer: None,
            rng,
        }
    }

    /// Whether anything that arrives can still be taken.
    pub(super) const fn hears(&self) -> bool {
        matches!(self.state, EndState::Opening | EndState::Open)
    }

    /// Wakes whoever waits for bytes, or for the connection.
    pub(super) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// Wakes whoever waits for room.
    pub(super) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    /// Is over in this way, which whoever has it sees at once.
    pub(super) fn end(&mut self, state: EndState) {
        self.state = state;
        self.wake_reader();
        self.wake_writer();
    }

    /// Gives what has arrived, or a part of it. How many bytes.
    pub(super) fn read(&mut self, into: &mut ReadBuf<'_>) -> usize {
        let most = self.inbox.len().min(into.remaining());
        if most == 0 {
            return 0;
        }
        let bytes = match self.rng.below(PARTIAL_READ_ONE_IN) {
            0 => up_to(&mut self.rng, most),
            _ => most,
        };
        into.put_slice(&self.inbox[..bytes]);
        self.inbox.advance(bytes);
        bytes
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    ends: [End; 2],
    lanes: [Lane; 2],
    /// The port that was dialed.
    pub(super) port: u16,
}

impl Connection {
    /// A connection that is dialed now, all of whose randomness comes from `seed`.
    pub(super) fn new(dialer: Host, (taker, port): (Host, u16), terms: Terms, seed: Seed) -> Self {
        let rng = Rng::new(seed);
        let stream = |label| Rng::new(rng.split(label));
        Self {
            ends: [
                End::new(dialer, true, stream("read by dialer")),
                End::new(taker, false, stream("read by taker")),
            ],
            lanes: [
                Lane::new(dialer, taker, terms, stream("sent by dialer")),
                Lane::new(taker, dialer, terms, stream("sent by taker")),
            ],
            port,
        }
    }

    /// The end on this side.
    pub(super) const fn end(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }

    /// The lane that begins on this side.
    pub(super) const fn lane(&mut self, side: Side) -> &mut Lane {
        &mut self.lanes[side as usize]
    }

    /// Whether it goes from one of these hosts to the other.
    pub(super) fn is_between(&self, a: Host, b: Host) -> bool {
        let hosts = [self.ends[0].host, self.ends[1].host];
        hosts == [a, b] || hosts == [b, a]
    }

    /// Whether anybody has an end of it.
    pub(super) fn is_held(&self) -> bool {
        self.ends.iter().any(|end| end.held)
    }
}
