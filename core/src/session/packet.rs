//! `Packet` and the messages it carries, with canal's field numbers (wire-protocol reference §3).
//!
//! `Option` where canal's schema keeps presence: such a field is written even when it holds zero, and
//! an absent one is told from zero when read. Other fields follow proto3: zero is not written.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message;

use crate::request::BatchId;
use crate::session::frame;

/// The only version of the protocol. Clients refuse a handshake whose version reads as anything else.
pub const VERSION: i32 = 1;

/// What a [`Messages`] without data carries as its id.
pub const NO_BATCH: i64 = -1;

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum PacketType {
    /// Server to client, first of all: [`Handshake`].
    Handshake = 1,
    /// Client to server: [`ClientAuth`].
    ClientAuthentication = 2,
    /// Server to client: [`Ack`].
    Ack = 3,
    /// Client to server: [`Sub`].
    Subscription = 4,
    /// Client to server: [`Unsub`].
    Unsubscription = 5,
    /// Client to server: [`Get`].
    Get = 6,
    /// Server to client: [`Messages`].
    Messages = 7,
    /// Client to server: [`ClientAck`].
    ClientAck = 8,
    /// In the schema only.
    Shutdown = 9,
    /// In the schema only.
    Dump = 10,
    /// In the schema only.
    Heartbeat = 11,
    /// Client to server: [`ClientRollback`].
    ClientRollback = 12,
}

impl PacketType {
    /// The type with canal's number `n`.
    #[must_use]
    pub const fn from_number(n: i32) -> Option<Self> {
        Some(match n {
            1 => Self::Handshake,
            2 => Self::ClientAuthentication,
            3 => Self::Ack,
            4 => Self::Subscription,
            5 => Self::Unsubscription,
            6 => Self::Get,
            7 => Self::Messages,
            8 => Self::ClientAck,
            9 => Self::Shutdown,
            10 => Self::Dump,
            11 => Self::Heartbeat,
            12 => Self::ClientRollback,
            _ => return None,
        })
    }

    /// Canal's name for the number `n`, as its error texts show it.
    #[must_use]
    pub const fn name_of(n: i32) -> &'static str {
        match Self::from_number(n) {
            None if n == 0 => "PACKAGETYPECOMPATIBLEPROTO2",
            None => "UNRECOGNIZED",
            Some(Self::Handshake) => "HANDSHAKE",
            Some(Self::ClientAuthentication) => "CLIENTAUTHENTICATION",
            Some(Self::Ack) => "ACK",
            Some(Self::Subscription) => "SUBSCRIPTION",
            Some(Self::Unsubscription) => "UNSUBSCRIPTION",
            Some(Self::Get) => "GET",
            Some(Self::Messages) => "MESSAGES",
            Some(Self::ClientAck) => "CLIENTACK",
            Some(Self::Shutdown) => "SHUTDOWN",
            Some(Self::Dump) => "DUMP",
            Some(Self::Heartbeat) => "HEARTBEAT",
            Some(Self::ClientRollback) => "CLIENTROLLBACK",
        }
    }
}

/// What every frame holds.
#[derive(Clone, PartialEq, Message)]
pub struct Packet {
    /// Never set, never looked at.
    #[prost(int32, optional, tag = "1")]
    pub magic_number: Option<i32>,
    /// [`VERSION`] from a server; a client's is not looked at.
    #[prost(int32, optional, tag = "2")]
    pub version: Option<i32>,
    /// A number of [`PacketType`].
    #[prost(int32, tag = "3")]
    pub kind: i32,
    /// Never set; 0 and 1 both say that the body is not compressed.
    #[prost(int32, optional, tag = "4")]
    pub compression: Option<i32>,
    /// The message that `kind` names; empty is a message without fields.
    #[prost(bytes = "bytes", tag = "5")]
    pub body: Bytes,
}

/// What a server says first.
#[derive(Clone, PartialEq, Message)]
pub struct Handshake {
    /// Never set.
    #[prost(string, optional, tag = "1")]
    pub communication_encoding: Option<String>,
    /// Eight random bytes, the salt of the token.
    #[prost(bytes = "bytes", tag = "2")]
    pub seeds: Bytes,
}

/// Who a client claims to be.
#[derive(Clone, PartialEq, Message)]
pub struct ClientAuth {
    /// User name.
    #[prost(string, tag = "1")]
    pub username: String,
    /// The token, as hexadecimal digits.
    #[prost(bytes = "bytes", tag = "2")]
    pub password: Bytes,
    /// Milliseconds without a byte received after which the server closes; an hour if not above zero.
    #[prost(int32, optional, tag = "3")]
    pub net_read_timeout: Option<i32>,
    /// Milliseconds without a byte sent after which the server closes; an hour if not above zero.
    #[prost(int32, optional, tag = "4")]
    pub net_write_timeout: Option<i32>,
    /// With `client_id`: subscribe at once.
    #[prost(string, tag = "5")]
    pub destination: String,
    /// With `destination`: subscribe at once.
    #[prost(string, tag = "6")]
    pub client_id: String,
    /// The filter of that subscription.
    #[prost(string, tag = "7")]
    pub filter: String,
}

/// Success without a word, or a failure.
#[derive(Clone, PartialEq, Message)]
pub struct Ack {
    /// Above zero for a failure.
    #[prost(int32, optional, tag = "1")]
    pub error_code: Option<i32>,
    /// What went wrong, in one line.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// Confirms a batch.
#[derive(Clone, PartialEq, Message)]
pub struct ClientAck {
    /// The destination.
    #[prost(string, tag = "1")]
    pub destination: String,
    /// The client id in decimal.
    #[prost(string, tag = "2")]
    pub client_id: String,
    /// The batch; -1 confirms that there was no data.
    #[prost(int64, tag = "3")]
    pub batch_id: i64,
}

/// Subscribes.
#[derive(Clone, PartialEq, Message)]
pub struct Sub {
    /// The destination.
    #[prost(string, tag = "1")]
    pub destination: String,
    /// The client id in decimal.
    #[prost(string, tag = "2")]
    pub client_id: String,
    /// The filter; empty keeps the one in force.
    #[prost(string, tag = "7")]
    pub filter: String,
}

/// Ends a subscription.
#[derive(Clone, PartialEq, Message)]
pub struct Unsub {
    /// The destination.
    #[prost(string, tag = "1")]
    pub destination: String,
    /// The client id in decimal.
    #[prost(string, tag = "2")]
    pub client_id: String,
    /// Not looked at.
    #[prost(string, tag = "7")]
    pub filter: String,
}

/// Asks for a batch.
#[derive(Clone, PartialEq, Message)]
pub struct Get {
    /// The destination.
    #[prost(string, tag = "1")]
    pub destination: String,
    /// The client id in decimal.
    #[prost(string, tag = "2")]
    pub client_id: String,
    /// KiB in MEMSIZE mode, entries in ITEMSIZE mode.
    #[prost(int32, tag = "3")]
    pub fetch_size: i32,
    /// In `unit`: -1 does not wait, above zero waits that long, anything else waits without limit.
    #[prost(int64, optional, tag = "4")]
    pub timeout: Option<i64>,
    /// 0 ns, 1 µs, 2 ms, 3 s, 4 min, 5 h, 6 d; anything else is ms.
    #[prost(int32, optional, tag = "5")]
    pub unit: Option<i32>,
    /// Not looked at: a server never acknowledges on its own.
    #[prost(bool, optional, tag = "6")]
    pub auto_ack: Option<bool>,
}

/// A batch.
#[derive(Clone, PartialEq, Message)]
pub struct Messages {
    /// The id to acknowledge; [`NO_BATCH`] if there is no data.
    #[prost(int64, tag = "1")]
    pub batch_id: i64,
    /// Serialised entries.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub messages: Vec<Bytes>,
}

/// Takes batches back.
#[derive(Clone, PartialEq, Message)]
pub struct ClientRollback {
    /// The destination.
    #[prost(string, tag = "1")]
    pub destination: String,
    /// The client id in decimal.
    #[prost(string, tag = "2")]
    pub client_id: String,
    /// The batch; 0 for all.
    #[prost(int64, tag = "3")]
    pub batch_id: i64,
}

/// The frame of a packet that a server sends.
#[must_use]
pub fn server_frame(kind: PacketType, body: &impl Message) -> Bytes {
    frame_of(kind, Some(VERSION), body)
}

/// The frame of a packet that a client sends: as stock clients do, without a version.
#[must_use]
pub fn client_frame(kind: PacketType, body: &impl Message) -> Bytes {
    frame_of(kind, None, body)
}

fn frame_of(kind: PacketType, version: Option<i32>, body: &impl Message) -> Bytes {
    let body = Bytes::from(body.encode_to_vec());
    let packet = Packet {
        version,
        kind: kind as i32,
        body,
        ..Packet::default()
    };
    let length = packet.encoded_len();
    let mut out = Vec::with_capacity(frame::HEADER_BYTES + length);
    out.extend_from_slice(&frame::header(length));
    packet.encode(&mut out).expect("a vector has room");
    Bytes::from(out)
}

/// What precedes the entries of a batch on the wire: frame length, packet type, body length, batch id.
/// The entries follow as the batch's chunks hold them. None if frame lengths cannot tell the size.
///
/// Canal writes no version here (wire-protocol reference §3.3), so neither does this.
#[must_use]
pub fn messages_head(batch: BatchId, entry_bytes: usize) -> Option<Bytes> {
    /// Type `MESSAGES` in field 3, then the tag of field 5.
    const PREFIX: [u8; 3] = [0x18, PacketType::Messages as u8, 0x2a];
    const BATCH_ID_TAG: u8 = 0x08;

    let id = batch.0 as u64;
    let body = (1 + prost::encoding::encoded_len_varint(id)).checked_add(entry_bytes)?;
    let length =
        body.checked_add(PREFIX.len() + prost::encoding::encoded_len_varint(body as u64))?;
    if length > frame::PACKET_BYTES_MAX {
        return None;
    }
    let mut out = Vec::with_capacity(frame::HEADER_BYTES + length - entry_bytes);
    out.extend_from_slice(&frame::header(length));
    out.extend_from_slice(&PREFIX);
    prost::encoding::encode_varint(body as u64, &mut out);
    out.push(BATCH_ID_TAG);
    prost::encoding::encode_varint(id, &mut out);
    Some(Bytes::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_canals_number_and_name() {
        for n in -1..20 {
            if let Some(kind) = PacketType::from_number(n) {
                assert_eq!(kind as i32, n);
            }
        }
        assert_eq!(PacketType::name_of(0), "PACKAGETYPECOMPATIBLEPROTO2");
        assert_eq!(PacketType::name_of(11), "HEARTBEAT");
        assert_eq!(PacketType::name_of(13), "UNRECOGNIZED");
        assert_eq!(PacketType::name_of(-1), "UNRECOGNIZED");
    }

    #[test]
    fn a_field_with_presence_is_written_at_zero_and_one_without_is_not() {
        let get = Get {
            timeout: Some(0),
            auto_ack: Some(false),
            ..Get::default()
        };
        assert_eq!(get.encode_to_vec(), [0x20, 0, 0x30, 0]);
        let ack = Ack {
            error_code: Some(0),
            error_message: String::new(),
        };
        assert_eq!(ack.encode_to_vec(), [0x08, 0]);
    }

    #[test]
    fn the_head_of_a_batch_says_what_prost_would() {
        for (id, sizes) in [
            (1, [1, 100].as_slice()),
            (1 << 32, &[]),
            ((7 << 32) | 9, &[20_000, 3, 1]),
        ] {
            let messages: Vec<Bytes> = sizes
                .iter()
                .map(|n| Bytes::from(alloc::vec![7; *n]))
                .collect();
            let whole = Messages {
                batch_id: id,
                messages,
            };
            let entries = Messages {
                batch_id: 0,
                ..whole.clone()
            }
            .encode_to_vec();
            let expected = frame_of(PacketType::Messages, None, &whole);
            let head = messages_head(BatchId(id), entries.len()).unwrap();
            assert_eq!(expected, [&head[..], &entries[..]].concat(), "batch {id}");
        }
    }

    #[test]
    fn a_batch_beyond_what_a_frame_can_tell_has_no_head() {
        assert!(messages_head(BatchId(1), frame::PACKET_BYTES_MAX - 100).is_some());
        assert_eq!(messages_head(BatchId(1), frame::PACKET_BYTES_MAX), None);
        assert_eq!(messages_head(BatchId(1), usize::MAX), None);
    }
}
