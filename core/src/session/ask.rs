//! From a packet to a question for the instance (wire-protocol reference §7): pure rules, no state.

use alloc::string::{String, ToString};

use prost::Message;

use crate::meta::identity::{ClientId, Destination};
use crate::request::{Ask, BatchId, Refusal, Request, Wait};
use crate::session::fault::{ClientMisbehaved, Failure};
use crate::session::packet::{
    ClientAck, ClientAuth, ClientRollback, Get, NO_BATCH, Packet, PacketType, Sub, Unsub,
};
use crate::time::Duration;

/// What a get asks for if its fetch size is absent or not above zero: what stock clients put there.
pub(super) const FETCH_SIZE_DEFAULT: u64 = 1000;

/// What the client waits for, and so what a reply becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// An `ACK`, good or bad.
    Ack,
    /// A `MESSAGES`, or a bad `ACK` in its place.
    Messages,
    /// Nothing; a bad `ACK` comes unasked if a batch could not be confirmed.
    SilenceAfterAck,
    /// Nothing; a bad `ACK` comes unasked if one batch could not be taken back.
    SilenceAfterRollback,
    /// Nothing; a bad `ACK` comes unasked if batches could not be taken back, except where there was
    /// nothing to take back.
    SilenceAfterRollbackAll,
}

impl Expect {
    /// Whether the client gets a packet, whatever happens.
    pub(super) const fn is_packet(self) -> bool {
        matches!(self, Self::Ack | Self::Messages)
    }

    /// Whether a refusal is kept from the client.
    ///
    /// Stock clients roll back right after connecting, before any subscription, and some take an error
    /// for the answer to the subscription that follows (wire-protocol reference §7.5).
    pub(super) const fn hides(self, refusal: &Refusal) -> bool {
        match refusal {
            Refusal::NotSubscribed { .. } => {
                matches!(
                    self,
                    Self::SilenceAfterRollback | Self::SilenceAfterRollbackAll
                )
            }
            Refusal::NotRunning { .. } => matches!(self, Self::SilenceAfterRollbackAll),
            Refusal::UnknownBatch { .. }
            | Refusal::NotOldest { .. }
            | Refusal::BadFilter { .. }
            | Refusal::Superseded { .. } => false,
        }
    }
}

/// What to do about a packet of an authenticated client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Ask the instance.
    Forward(Request, Expect),
    /// Nothing at all.
    Nothing,
}

/// Reads a packet of an authenticated client.
pub(super) fn read(packet: &Packet) -> Result<Asked, Failure> {
    match PacketType::from_number(packet.kind) {
        Some(PacketType::Subscription) => {
            let Sub {
                destination,
                client_id,
                filter,
            } = body(packet)?;
            let id = Identity {
                message: "Sub",
                destination,
                client_id,
            }
            .given()?;
            Ok(Asked::Forward(
                id.asks(Ask::Subscribe { filter })?,
                Expect::Ack,
            ))
        }
        Some(PacketType::Unsubscription) => {
            let Unsub {
                destination,
                client_id,
                ..
            } = body(packet)?;
            let id = Identity {
                message: "Unsub",
                destination,
                client_id,
            }
            .given()?;
            Ok(Asked::Forward(id.asks(Ask::Unsubscribe)?, Expect::Ack))
        }
        Some(PacketType::Get) => {
            let get: Get = body(packet)?;
            let ask = Ask::Get {
                size: size(&get),
                wait: wait(&get),
            };
            let Get {
                destination,
                client_id,
                ..
            } = get;
            let id = Identity {
                message: "Get",
                destination,
                client_id,
            }
            .given()?;
            Ok(Asked::Forward(id.asks(ask)?, Expect::Messages))
        }
        Some(PacketType::ClientAck) => read_ack(body(packet)?),
        Some(PacketType::ClientRollback) => read_rollback(body(packet)?),
        None
        | Some(
            PacketType::Handshake
            | PacketType::ClientAuthentication
            | PacketType::Ack
            | PacketType::Messages
            | PacketType::Shutdown
            | PacketType::Dump
            | PacketType::Heartbeat,
        ) => Err(ClientMisbehaved::Unsupported {
            kind: PacketType::name_of(packet.kind),
        }
        .into()),
    }
}

/// The subscription that an authentication carries, if it carries one.
pub(super) fn read_subscription(auth: ClientAuth) -> Result<Option<Request>, Failure> {
    let ClientAuth {
        destination,
        client_id,
        filter,
        ..
    } = auth;
    if destination.is_empty() || client_id.is_empty() {
        return Ok(None);
    }
    Identity {
        message: "ClientAuth",
        destination,
        client_id,
    }
    .asks(Ask::Subscribe { filter })
    .map(Some)
}

/// The message in a packet's body.
pub(super) fn body<M: Message + Default>(packet: &Packet) -> Result<M, Failure> {
    M::decode(packet.body.clone()).map_err(|error| {
        let kind = PacketType::name_of(packet.kind);
        ClientMisbehaved::MalformedBody {
            kind,
            why: error.to_string(),
        }
        .into()
    })
}

fn read_ack(ack: ClientAck) -> Result<Asked, Failure> {
    let ClientAck {
        destination,
        client_id,
        batch_id,
    } = ack;
    let id = Identity {
        message: "Ack",
        destination,
        client_id,
    }
    .given()?;
    match batch_id {
        0 => {
            let Identity {
                destination,
                client_id,
                ..
            } = id;
            Err(ClientMisbehaved::NoBatch {
                destination,
                client_id,
            }
            .into())
        }
        NO_BATCH => Ok(Asked::Nothing),
        ..NO_BATCH => Err(id.never_given("ack", batch_id)?.into()),
        1.. => {
            let ask = Ask::Ack {
                batch: BatchId(batch_id),
            };
            Ok(Asked::Forward(id.asks(ask)?, Expect::SilenceAfterAck))
        }
    }
}

fn read_rollback(rollback: ClientRollback) -> Result<Asked, Failure> {
    let ClientRollback {
        destination,
        client_id,
        batch_id,
    } = rollback;
    let id = Identity {
        message: "Rollback",
        destination,
        client_id,
    }
    .given()?;
    let (batch, expect) = match batch_id {
        0 => (None, Expect::SilenceAfterRollbackAll),
        ..0 => return Err(id.never_given("rollback", batch_id)?.into()),
        1.. => (Some(BatchId(batch_id)), Expect::SilenceAfterRollback),
    };
    Ok(Asked::Forward(id.asks(Ask::Rollback { batch })?, expect))
}

fn size(get: &Get) -> u64 {
    match u64::try_from(get.fetch_size) {
        Ok(size) if size > 0 => size,
        _ => FETCH_SIZE_DEFAULT,
    }
}

/// An absent timeout reads as -1 and an absent unit as milliseconds, as the schema says; canal 1.1.4
/// and later read both as 0 (wire-protocol reference §5).
fn wait(get: &Get) -> Wait {
    let timeout = get.timeout.unwrap_or(-1);
    let Ok(count @ 1..) = u64::try_from(timeout) else {
        return if timeout == -1 {
            Wait::No
        } else {
            Wait::Unbounded
        };
    };
    let seconds = |each: u64| Duration::from_secs(count.saturating_mul(each));
    Wait::AtMost(match get.unit {
        Some(0) => Duration::from_nanos(count),
        Some(1) => Duration::from_micros(count),
        Some(3) => seconds(1),
        Some(4) => seconds(60),
        Some(5) => seconds(60 * 60),
        Some(6) => seconds(24 * 60 * 60),
        _ => Duration::from_millis(count),
    })
}

/// Destination and client id as a request carries them.
struct Identity {
    /// Canal's name of the message.
    message: &'static str,
    destination: String,
    client_id: String,
}

impl Identity {
    /// Itself, if both are there.
    fn given(self) -> Result<Self, Failure> {
        if self.destination.is_empty() || self.client_id.is_empty() {
            let Self {
                message,
                destination,
                client_id,
            } = self;
            return Err(ClientMisbehaved::NoIdentity {
                message,
                destination,
                client_id,
            }
            .into());
        }
        Ok(self)
    }

    fn client(&self) -> Result<ClientId, Failure> {
        let client = self.client_id.parse().map(ClientId);
        client.map_err(|_| {
            ClientMisbehaved::BadClientId {
                given: self.client_id.clone(),
            }
            .into()
        })
    }

    fn asks(&self, ask: Ask) -> Result<Request, Failure> {
        let destination = Destination::new(&self.destination);
        Ok(Request {
            destination,
            client: self.client()?,
            ask,
        })
    }

    /// The refusal of a batch id below zero, which no server gives.
    fn never_given(&self, verb: &'static str, batch_id: i64) -> Result<Refusal, Failure> {
        Ok(Refusal::UnknownBatch {
            verb,
            client: self.client()?,
            batch: BatchId(batch_id),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: PacketType, body: &impl Message) -> Packet {
        Packet {
            kind: kind as i32,
            body: body.encode_to_vec().into(),
            ..Packet::default()
        }
    }

    fn get(timeout: Option<i64>, unit: Option<i32>) -> Wait {
        wait(&Get {
            timeout,
            unit,
            ..Get::default()
        })
    }

    #[test]
    fn waits_follow_the_table_of_timeouts() {
        assert_eq!(get(None, None), Wait::No);
        assert_eq!(get(Some(-1), Some(-1)), Wait::No);
        assert_eq!(get(Some(0), Some(2)), Wait::Unbounded);
        assert_eq!(get(Some(-2), Some(2)), Wait::Unbounded);
        assert_eq!(get(Some(i64::MIN), None), Wait::Unbounded);
        let units = [
            (Some(0), Duration::from_nanos(3)),
            (Some(1), Duration::from_micros(3)),
            (Some(2), Duration::from_millis(3)),
            (Some(3), Duration::from_secs(3)),
            (Some(4), Duration::from_secs(180)),
            (Some(5), Duration::from_secs(3 * 3600)),
            (Some(6), Duration::from_secs(3 * 86_400)),
            (Some(7), Duration::from_millis(3)),
            (Some(-1), Duration::from_millis(3)),
            (None, Duration::from_millis(3)),
        ];
        for (unit, expected) in units {
            assert_eq!(get(Some(3), unit), Wait::AtMost(expected));
        }
        assert_eq!(
            get(Some(i64::MAX), Some(6)),
            Wait::AtMost(Duration::from_secs(u64::MAX))
        );
    }

    #[test]
    fn a_fetch_size_that_is_no_size_is_a_thousand() {
        for (given, expected) in [(0, 1000), (-5, 1000), (1, 1), (i32::MAX, 2_147_483_647)] {
            assert_eq!(
                size(&Get {
                    fetch_size: given,
                    ..Get::default()
                }),
                expected
            );
        }
    }

    #[test]
    fn client_ids_are_sixteen_bit_numbers() {
        for (given, expected) in [
            ("1001", Some(1001)),
            ("-32768", Some(-32768)),
            ("32767", Some(32767)),
        ]
        .into_iter()
        .chain(["32768", "-32769", "x", " 1", "1.0", "99999999999"].map(|bad| (bad, None)))
        {
            let unsub = Unsub {
                destination: "d".into(),
                client_id: given.into(),
                filter: String::new(),
            };
            match (read(&packet(PacketType::Unsubscription, &unsub)), expected) {
                (Ok(Asked::Forward(request, Expect::Ack)), Some(n)) => {
                    assert_eq!(request.client, ClientId(n));
                }
                (Err(Failure::Misbehaved(ClientMisbehaved::BadClientId { given: g })), None) => {
                    assert_eq!(g, given);
                }
                (other, _) => panic!("{given}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_ack_is_judged_by_its_batch_before_its_client_id() {
        let ack = |client_id: &str, batch_id| {
            let (destination, client_id) = ("d".into(), client_id.into());
            read(&packet(
                PacketType::ClientAck,
                &ClientAck {
                    destination,
                    client_id,
                    batch_id,
                },
            ))
        };
        assert!(matches!(
            ack("", 7),
            Err(Failure::Misbehaved(ClientMisbehaved::NoIdentity {
                message: "Ack",
                ..
            }))
        ));
        assert!(matches!(
            ack("x", 0),
            Err(Failure::Misbehaved(ClientMisbehaved::NoBatch { .. }))
        ));
        assert_eq!(ack("x", -1), Ok(Asked::Nothing));
        assert!(matches!(
            ack("x", 7),
            Err(Failure::Misbehaved(ClientMisbehaved::BadClientId { .. }))
        ));
        assert!(matches!(
            ack("5", -2),
            Err(Failure::Refused(Refusal::UnknownBatch { .. }))
        ));
        let Ok(Asked::Forward(request, Expect::SilenceAfterAck)) = ack("5", 7) else {
            panic!("an ack of a batch is forwarded");
        };
        assert_eq!(request.ask, Ask::Ack { batch: BatchId(7) });
    }

    #[test]
    fn rollbacks_name_one_batch_or_all() {
        let rollback = |batch_id| {
            let (destination, client_id) = ("d".into(), "5".into());
            let body = ClientRollback {
                destination,
                client_id,
                batch_id,
            };
            read(&packet(PacketType::ClientRollback, &body))
        };
        for (id, batch, expect) in [
            (0, None, Expect::SilenceAfterRollbackAll),
            (9, Some(BatchId(9)), Expect::SilenceAfterRollback),
        ] {
            let Ok(Asked::Forward(request, e)) = rollback(id) else {
                panic!("it is forwarded")
            };
            assert_eq!((request.ask, e), (Ask::Rollback { batch }, expect));
        }
        assert!(matches!(
            rollback(-1),
            Err(Failure::Refused(Refusal::UnknownBatch {
                verb: "rollback",
                ..
            }))
        ));
    }
}
