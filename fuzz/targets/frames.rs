//! What a client says to a server.

use bytes::{Buf, Bytes, BytesMut};
use canald_core::config::Credentials;
use canald_core::request::{Ask, Batch, BatchId, Refusal, Reply, Request, RequestId, SessionId};
use canald_core::rng::Seed;
use canald_core::session::frame::{FRAME_BYTES_MAX, HEADER_BYTES, PACKET_BYTES_MAX, take};
use canald_core::session::packet::Packet;
use canald_core::session::{
    AUTH_TIMEOUT_DEFAULT, CloseReason, Session, SessionConfig, SessionOutput, auth,
};
use canald_core::time::{Duration, Instant};
use prost::Message;

use crate::Script;

/// Feeds a session with the input, a piece at a time and never more than it wants, and answers its
/// requests as the script says: at once, late, or not at all.
///
/// Requests are numbered in order, one at a time; each frame is one whole packet; an open session with
/// nothing to do wants to read; a closed one says nothing more.
///
/// # Panics
/// On a finding.
pub fn frames(data: &[u8]) {
    let Some((mut script, bytes)) = Script::split(data) else {
        return;
    };
    let mut flags = script.flags();
    let mut credentials = Credentials::default();
    if flags.next() {
        credentials = Credentials {
            user: "canal".into(),
            stored: Some(auth::stored(b"canal")),
        };
    }
    let config = SessionConfig {
        id: SessionId(3),
        credentials,
        auth_timeout: AUTH_TIMEOUT_DEFAULT,
    };
    let mut rig = Rig {
        session: Session::new(config, Seed(1), Instant::ZERO),
        outstanding: None,
        requests: 0,
        batches: 0,
        is_closed: false,
        now: Instant::ZERO,
        script,
    };
    rig.drain();
    let mut inbound = bytes;
    while !rig.is_closed && (!inbound.is_empty() || rig.outstanding.is_some()) {
        rig.turn(&mut inbound);
    }
    rig.session.handle_disconnect();
    rig.drain();
}

struct Rig<'a> {
    session: Session,
    outstanding: Option<(RequestId, Request)>,
    requests: u64,
    batches: i64,
    is_closed: bool,
    now: Instant,
    script: Script<'a>,
}

impl Rig<'_> {
    /// One thing that happens.
    fn turn(&mut self, inbound: &mut &[u8]) {
        match self.script.byte() {
            250 => self.session.handle_disconnect(),
            251 => self.session.handle_close(CloseReason::Disconnected),
            252 => {
                self.now = self.now + Duration::from_secs(61);
                self.session.handle_timeout(self.now);
            }
            253 => self.answer_late(),
            choice => {
                let budget = self.session.read_budget();
                assert!(budget <= HEADER_BYTES + FRAME_BYTES_MAX);
                let is_stuck = budget == 0 && self.outstanding.is_none();
                assert!(
                    !is_stuck || self.session.poll_timeout().is_none(),
                    "it wants nothing"
                );
                let piece = inbound.len().min(budget).min(1 + usize::from(choice) * 4);
                if piece > 0 && choice % 2 == 0 {
                    self.session
                        .handle_bytes(self.now, &mut BytesMut::from(&inbound[..piece]));
                    inbound.advance(piece);
                } else if self.outstanding.is_some() {
                    self.answer(choice);
                } else if piece == 0 {
                    self.session.handle_disconnect();
                }
            }
        }
        self.drain();
    }

    fn answer(&mut self, choice: u8) {
        let Some((id, request)) = self.outstanding.take() else {
            return;
        };
        let reply = if choice % 8 == 7 {
            Reply::Refused(refusal(choice / 8, &request))
        } else if matches!(request.ask, Ask::Get { .. }) {
            self.batches += 1;
            let chunks = vec![Bytes::from_static(&[0x12, 0]); usize::from(choice % 4)];
            match choice % 4 {
                0 => Reply::NoData,
                entries => Reply::Batch(Batch {
                    id: BatchId(self.batches),
                    entries: entries.into(),
                    rows: 0,
                    chunks,
                }),
            }
        } else {
            Reply::Done
        };
        self.session.handle_reply(self.now, id, reply);
    }

    /// An answer to a request that was withdrawn, or never made.
    fn answer_late(&mut self) {
        let number = self.requests + 1;
        let id = RequestId {
            session: SessionId(3),
            number,
        };
        self.session.handle_reply(self.now, id, Reply::Done);
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            assert!(!self.is_closed, "a closed session speaks: {output:?}");
            match output {
                SessionOutput::Forward(id, request) => {
                    assert!(self.outstanding.is_none(), "two requests at a time");
                    self.requests += 1;
                    assert_eq!(
                        id,
                        RequestId {
                            session: SessionId(3),
                            number: self.requests
                        }
                    );
                    self.outstanding = Some((id, request));
                }
                SessionOutput::Withdraw(id) => {
                    let withdrawn = self.outstanding.take().map(|(id, _)| id);
                    assert_eq!(withdrawn, Some(id), "withdrawn, and not outstanding");
                }
                SessionOutput::Transmit(chunks) => {
                    let mut frame = BytesMut::from(&chunks.concat()[..]);
                    let packet = take(&mut frame, PACKET_BYTES_MAX).expect("its length is right");
                    assert!(frame.is_empty(), "more than one frame");
                    Packet::decode(packet.expect("it is whole")).expect("it is a packet");
                }
                SessionOutput::Close(reason) => {
                    assert!(!reason.to_string().is_empty());
                    self.is_closed = true;
                }
            }
        }
        if self.is_closed {
            assert_eq!(self.session.read_budget(), 0, "a closed session reads");
        }
    }
}

fn refusal(which: u8, request: &Request) -> Refusal {
    let (destination, client) = (request.destination.clone(), request.client);
    let batch = BatchId(1);
    match which % 6 {
        0 => Refusal::NotRunning {
            destination,
            why: "unknown".into(),
        },
        1 => Refusal::NotSubscribed {
            destination,
            client,
        },
        2 => Refusal::UnknownBatch {
            verb: "ack",
            client,
            batch,
        },
        3 => Refusal::NotOldest {
            batch,
            oldest: BatchId(2),
        },
        4 => Refusal::BadFilter {
            filter: "(".into(),
            why: "open".into(),
        },
        _ => Refusal::Superseded {
            destination,
            client,
        },
    }
}
