//! One connection to a source, from dialing to its end, as a machine of polls.
//!
//! States: dialing, open, securing, and gone (it is dropped). It reads at most what it is asked for, and
//! writes what it was given in order; what is to be written is a handful of statements.

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use canald_core::mysql::fault::LinkFault;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use crate::net::{DialFault, Net};
use crate::tls::{TlsFault, TlsPlan};

/// With less room than this in the buffer, more is made before it is read into.
const ROOM_BYTES_MIN: usize = 32 << 10;

/// Room that is made: a busy dump is read in few calls.
const ROOM_BYTES: usize = 256 << 10;

/// What happened on a link.
#[derive(Debug)]
pub enum LinkEvent {
    /// It is connected.
    Up,
    /// It is secured.
    Secured,
    /// There are new bytes in [`Link::inbound`].
    Bytes,
    /// It is gone, or never was.
    Down(LinkFault),
}

type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

enum State<S> {
    Dialing(Connecting<S, DialFault>),
    Securing(Connecting<S, TlsFault>),
    Open(S),
    /// It ended and its end was told.
    Gone,
}

/// A connection to a source.
pub struct Link<N: Net> {
    state: State<N::Stream>,
    /// Bytes that were read and not taken yet.
    pub inbound: BytesMut,
    outbound: BytesMut,
}

impl<N: Net> Link<N> {
    /// Begins to connect.
    pub fn dial(net: &N, host: &str, port: u16) -> Self {
        let (net, host) = (net.clone(), host.to_owned());
        let dialing = async move { net.dial(&host, port).await };
        Self {
            state: State::Dialing(Box::pin(dialing)),
            inbound: BytesMut::new(),
            outbound: BytesMut::new(),
        }
    }

    /// Begins TLS on an open link.
    pub fn secure(&mut self, net: &N, plan: &TlsPlan) {
        let State::Open(stream) = core::mem::replace(&mut self.state, State::Gone) else {
            panic!("only an open link is secured");
        };
        let (net, plan, mut rest) = (net.clone(), plan.clone(), self.outbound.split());
        let securing = async move {
            let mut stream = stream;
            // The request for TLS itself goes in clear.
            poll_fn(|cx| poll_flush(&mut stream, &mut rest, cx))
                .await
                .map_err(|error| TlsFault::Handshake {
                    server: plan.server_name.clone(),
                    reason: error.to_string(),
                })?;
            net.secure(stream, &plan).await
        };
        self.state = State::Securing(Box::pin(securing));
    }

    /// Gives bytes to be written.
    pub fn send(&mut self, bytes: &Bytes) {
        self.outbound.extend_from_slice(bytes);
    }

    /// The next thing that happens; bytes are read only into `budget`.
    pub fn poll_event(&mut self, cx: &mut Context<'_>, budget: usize) -> Poll<LinkEvent> {
        let event = match &mut self.state {
            State::Dialing(dialing) => match ready!(dialing.as_mut().poll(cx)) {
                Ok(stream) => {
                    self.state = State::Open(stream);
                    return Poll::Ready(LinkEvent::Up);
                }
                Err(fault) => LinkFault::Unreachable {
                    why: fault.to_string(),
                },
            },
            State::Securing(securing) => match ready!(securing.as_mut().poll(cx)) {
                Ok(stream) => {
                    self.state = State::Open(stream);
                    return Poll::Ready(LinkEvent::Secured);
                }
                Err(fault) => tls_fault(&fault),
            },
            State::Open(stream) => {
                if let Poll::Ready(Err(error)) = poll_flush(stream, &mut self.outbound, cx) {
                    broken(&error)
                } else {
                    match ready!(poll_read(stream, &mut self.inbound, budget, cx)) {
                        Ok(0) => LinkFault::Disconnected {
                            why: "the server closed it".into(),
                        },
                        Ok(_) => return Poll::Ready(LinkEvent::Bytes),
                        Err(error) => broken(&error),
                    }
                }
            }
            State::Gone => return Poll::Pending,
        };
        self.state = State::Gone;
        Poll::Ready(LinkEvent::Down(event))
    }
}

fn broken(error: &io::Error) -> LinkFault {
    LinkFault::Disconnected {
        why: error.to_string(),
    }
}

fn tls_fault(fault: &TlsFault) -> LinkFault {
    match fault {
        TlsFault::Setup(_) | TlsFault::Handshake { .. } => LinkFault::TlsRefused {
            why: fault.to_string(),
        },
        TlsFault::TimedOut { .. } => LinkFault::Disconnected {
            why: fault.to_string(),
        },
    }
}

/// Writes all of `bytes`.
fn poll_flush<S: AsyncWrite + Unpin>(
    stream: &mut S,
    bytes: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !bytes.is_empty() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, bytes))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => bytes.advance(written),
        }
    }
    Pin::new(stream).poll_flush(cx)
}

fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    into: &mut BytesMut,
    budget: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    use bytes::BufMut as _;
    if budget == 0 {
        return Poll::Pending;
    }
    if into.capacity() - into.len() < ROOM_BYTES_MIN.min(budget) {
        into.reserve(ROOM_BYTES.min(budget));
    }
    let mut room = into.limit(budget);
    // Dropping this future between polls loses nothing: bytes are in the buffer, or still to be read.
    pin!(stream.read_buf(&mut room)).poll(cx)
}
