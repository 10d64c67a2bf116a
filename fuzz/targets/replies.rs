//! What a server says to a client.

use bytes::{Buf, BytesMut};
use canald_core::client::{Client, ClientConfig, ClientOutput};
use canald_core::meta::identity::{ClientId, Destination};
use canald_core::request::{BatchId, Wait};
use canald_core::session::frame::{PACKET_BYTES_MAX, take};
use canald_core::session::packet::Packet;
use canald_core::time::{Duration, Instant};
use prost::Message;

use crate::Script;

/// Feeds a client with the input, a piece at a time; the script says what its owner asks.
///
/// What it sends are whole packets; a batch comes only when one was asked for; a closed client says
/// nothing more.
///
/// # Panics
/// On a finding.
pub fn replies(data: &[u8]) {
    let Some((mut script, bytes)) = Script::split(data) else {
        return;
    };
    let mut config = ClientConfig::new(Destination::new("example"), ClientId(1001));
    let mut flags = script.flags();
    if flags.next() {
        config.username = "canal".into();
        config.password = Some("canal".into());
    }
    let mut rig = Rig {
        client: Client::new(config, Instant::ZERO),
        phase: Phase::Joining,
        last: None,
        now: Instant::ZERO,
        script,
    };
    let mut inbound = bytes;
    while !inbound.is_empty() && rig.phase != Phase::Closed {
        let piece = rig.client.read_budget().min(inbound.len());
        let piece = piece.min(1 + usize::from(rig.script.byte()) * 4);
        assert!(piece > 0, "an open client reads");
        rig.client
            .handle_bytes(rig.now, &mut BytesMut::from(&inbound[..piece]));
        inbound.advance(piece);
        rig.drain();
        rig.act();
        rig.drain();
    }
    rig.client.handle_disconnect();
    rig.drain();
    assert_eq!(rig.phase, Phase::Closed);
    assert_eq!(rig.client.read_budget(), 0, "a closed client reads");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Joining,
    Ready,
    Asked,
    Closed,
}

struct Rig<'a> {
    client: Client,
    phase: Phase,
    last: Option<BatchId>,
    now: Instant,
    script: Script<'a>,
}

impl Rig<'_> {
    /// What the owner does.
    fn act(&mut self) {
        let choice = self.script.byte();
        match (choice % 8, self.phase) {
            (0..3, Phase::Ready) => {
                let wait = match choice % 8 {
                    0 => Wait::No,
                    1 => Wait::AtMost(Duration::from_secs(5)),
                    _ => Wait::Unbounded,
                };
                self.client.get(self.now, choice.into(), wait);
                self.phase = Phase::Asked;
            }
            (3, Phase::Ready | Phase::Asked) => {
                if let Some(batch) = self.last.take() {
                    self.client.ack(batch);
                }
            }
            (4, Phase::Ready | Phase::Asked) => self.client.rollback(self.last),
            (5, _) if choice >= 0xf0 => {
                self.now = self.now + Duration::from_secs(100);
                self.client.handle_timeout(self.now);
            }
            _ => {}
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            assert_ne!(
                self.phase,
                Phase::Closed,
                "a closed client speaks: {output:?}"
            );
            match output {
                ClientOutput::Transmit(bytes) => {
                    let mut frame = BytesMut::from(&bytes[..]);
                    let packet = take(&mut frame, PACKET_BYTES_MAX).expect("its length is right");
                    Packet::decode(packet.expect("it is whole")).expect("it is a packet");
                }
                ClientOutput::Ready => {
                    assert_eq!(self.phase, Phase::Joining);
                    self.phase = Phase::Ready;
                }
                ClientOutput::Message { batch_id, .. } => {
                    assert_eq!(self.phase, Phase::Asked);
                    self.phase = Phase::Ready;
                    self.last = Some(batch_id);
                }
                ClientOutput::NoData => {
                    assert_eq!(self.phase, Phase::Asked);
                    self.phase = Phase::Ready;
                }
                ClientOutput::Closed(fault) => {
                    assert!(!fault.to_string().is_empty());
                    self.phase = Phase::Closed;
                }
            }
        }
    }
}
