//! A relay in front of a real server, which does to connections what networks do.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};

const CHUNK_BYTES: usize = 16 << 10;

/// What the relay does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Carries bytes both ways.
    Open,
    /// Carries requests, and loses what the server says.
    Mute,
    /// Loses everything; connections stay, and new ones are accepted.
    Silent,
    /// Has closed every connection, and closes new ones at once.
    Cut,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    streams: Vec<TcpStream>,
    is_over: bool,
}

#[derive(Clone, Copy)]
enum Direction {
    ToServer,
    ToClient,
}

/// The relay; it ends with its value.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Relay {
    /// Starts a relay to a port of this machine.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn to(port: u16) -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a relay")?;
        let relay = Self {
            address: listener.local_addr()?,
            state: Arc::new(Mutex::new(State {
                mode: Mode::Open,
                streams: Vec::new(),
                is_over: false,
            })),
        };
        let state = Arc::clone(&relay.state);
        thread::spawn(move || accept(&listener, port, &state));
        Ok(relay)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From here on loses what the server says, and carries what it is told.
    pub fn mute(&self) {
        locked(&self.state, |state| state.mode = Mode::Mute);
    }

    /// From here on loses everything, while connections seem to stand.
    pub fn silence(&self) {
        locked(&self.state, |state| state.mode = Mode::Silent);
    }

    /// Closes all connections, and lets no new one through.
    pub fn cut(&self) {
        locked(&self.state, |state| state.turn(Mode::Cut));
    }

    /// Carries new connections. The old ones are closed: they may have lost bytes.
    pub fn heal(&self) {
        locked(&self.state, |state| state.turn(Mode::Open));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        locked(&self.state, |state| {
            state.is_over = true;
            state.turn(Mode::Cut);
        });
        // Wakes the thread that accepts; should that fail, it ends with the process.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn turn(&mut self, mode: Mode) {
        self.mode = mode;
        for stream in self.streams.drain(..) {
            // One that is closed already is what we want.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn locked<T>(state: &Mutex<State>, look: impl FnOnce(&mut State) -> T) -> T {
    look(&mut state.lock().unwrap_or_else(PoisonError::into_inner))
}

fn accept(listener: &TcpListener, port: u16, state: &Arc<Mutex<State>>) {
    while let Ok((client, _)) = listener.accept() {
        if locked(state, |state| state.is_over) {
            return;
        }
        // A client whose connection fails comes again, or its test fails.
        let _ = carry(client, port, state);
    }
}

fn carry(client: TcpStream, port: u16, state: &Arc<Mutex<State>>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let ours = [client.try_clone()?, server.try_clone()?];
    let is_cut = locked(state, |state| {
        let is_cut = state.mode == Mode::Cut;
        if !is_cut {
            state.streams.extend(ours);
        }
        is_cut
    });
    if is_cut {
        return Ok(());
    }
    let (from_client, from_server) = (client.try_clone()?, server.try_clone()?);
    let theirs = Arc::clone(state);
    thread::spawn(move || pump(from_client, server, Direction::ToServer, &theirs));
    let theirs = Arc::clone(state);
    thread::spawn(move || pump(from_server, client, Direction::ToClient, &theirs));
    Ok(())
}

/// Carries one direction until either end closes; a silent relay hides even that.
fn pump(mut from: TcpStream, mut to: TcpStream, direction: Direction, state: &Mutex<State>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut chunk).unwrap_or(0);
        let is_lost = match (locked(state, |state| state.mode), direction) {
            (Mode::Open | Mode::Cut, _) | (Mode::Mute, Direction::ToServer) => false,
            (Mode::Mute, Direction::ToClient) | (Mode::Silent, _) => true,
        };
        if read == 0 && !is_lost {
            let _ = to.shutdown(Shutdown::Both);
        }
        if read == 0 || (!is_lost && to.write_all(&chunk[..read]).is_err()) {
            return;
        }
    }
}
