//! What can be wrong with a client, and the one map from that to error packets
//! (wire-protocol reference §9).
//!
//! Two grades: a [`ClientMisbehaved`] is answered and the connection goes on; a [`CloseReason`] ends it.

use alloc::string::{String, ToString};
use core::fmt;

use bytes::Bytes;
use thiserror::Error;

use crate::meta::identity::{ClientId, Destination};
use crate::request::{BatchId, Refusal, SUPERSEDED};
use crate::session::frame::{FrameError, PACKET_BYTES_MAX};
use crate::session::packet::{Ack, PacketType, server_frame};
use crate::time::Duration;

/// Characters of a client's own text that an error shows back to it.
const ECHO_CHARS_MAX: usize = 256;

/// Canal's error codes on the data port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ErrorCode {
    /// The request was not carried out.
    Failed = 400,
    /// Destination or client id is missing.
    NoIdentity = 401,
    /// An acknowledgement names no batch.
    NoBatch = 402,
}

/// A client's fault that ends one request and not the connection.
///
/// The texts begin as canal's do, because people and scripts look for them; each is one line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClientMisbehaved {
    /// The user name or the token is wrong.
    #[error("auth failed for user:{}", Echo(.username))]
    AuthFailed {
        /// The name given.
        username: String,
    },
    /// A request came before the authentication.
    #[error("auth failed: {kind} came before CLIENTAUTHENTICATION, which must be the first packet")]
    NotAuthenticated {
        /// Canal's name of the packet.
        kind: &'static str,
    },
    /// A packet that a server does not take.
    #[error("packet type: {kind} is NOT supported!")]
    Unsupported {
        /// Canal's name of the packet.
        kind: &'static str,
    },
    /// The packet's body is not the message that its type says.
    #[error("the body of {kind} is not a valid message: {why}")]
    MalformedBody {
        /// Canal's name of the packet.
        kind: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A request without a destination or a client id.
    #[error(
        "destination or clientId is null. {message}: destination: \"{}\" client_id: \"{}\"",
        Echo(.destination), Echo(.client_id)
    )]
    NoIdentity {
        /// Canal's name of the message.
        message: &'static str,
        /// The destination given.
        destination: String,
        /// The client id given.
        client_id: String,
    },
    /// An acknowledgement without a batch id.
    #[error(
        "batchId should assign value. Ack: destination: \"{}\" client_id: \"{}\"",
        Echo(.destination), Echo(.client_id)
    )]
    NoBatch {
        /// The destination given.
        destination: String,
        /// The client id given.
        client_id: String,
    },
    /// A client id that is no 16-bit number.
    #[error("clientId must be a number from -32768 to 32767. For input string: \"{}\"", Echo(.given))]
    BadClientId {
        /// What was given.
        given: String,
    },
}

impl ClientMisbehaved {
    /// The code that goes with it.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NoIdentity { .. } => ErrorCode::NoIdentity,
            Self::NoBatch { .. } => ErrorCode::NoBatch,
            Self::AuthFailed { .. }
            | Self::NotAuthenticated { .. }
            | Self::Unsupported { .. }
            | Self::MalformedBody { .. }
            | Self::BadClientId { .. } => ErrorCode::Failed,
        }
    }
}

/// Why a request got an error packet.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// The request itself is wrong.
    #[error(transparent)]
    Misbehaved(#[from] ClientMisbehaved),
    /// The instance refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The batch is there, and no frame can carry it.
    #[error(
        "batchId:{batch} holds {bytes} bytes, and a frame carries {PACKET_BYTES_MAX}: roll it back and get with a smaller fetch size"
    )]
    BatchTooLarge {
        /// The batch.
        batch: BatchId,
        /// Bytes of its entries.
        bytes: usize,
    },
    /// The connection ends instead.
    #[error(transparent)]
    Closing(#[from] CloseReason),
}

impl Failure {
    /// The code that goes with it.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Misbehaved(fault) => fault.code(),
            Self::Refused(_) | Self::BatchTooLarge { .. } | Self::Closing(_) => ErrorCode::Failed,
        }
    }

    /// The frame that tells the client.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        let ack = Ack {
            error_code: Some(self.code() as i32),
            error_message: one_line(self.to_string()),
        };
        server_frame(PacketType::Ack, &ack)
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CloseReason {
    /// The client closed it, or the network did.
    #[error("the client closed the connection")]
    Disconnected,
    /// A frame with an impossible length.
    #[error("the connection cannot be followed: {0}")]
    Frame(#[from] FrameError),
    /// A frame that holds no packet.
    #[error("a frame held no valid packet: {why}")]
    MalformedPacket {
        /// What is wrong.
        why: String,
    },
    /// Too many failed attempts to authenticate.
    #[error("{0} attempts to authenticate failed")]
    AuthFailures(u32),
    /// No successful authentication in time.
    #[error("the client did not authenticate within {0:?}")]
    AuthTimeout(Duration),
    /// Nothing sent or received for as long as the client itself allowed.
    #[error("nothing came from or went to the client for {0:?}, the timeout that it asked for")]
    Idle(Duration),
    /// The same client came again on another connection.
    #[error("clientId:{client} of destination:{destination} {SUPERSEDED}")]
    Superseded {
        /// The destination.
        destination: Destination,
        /// The client.
        client: ClientId,
    },
    /// Another server owns the destination now, or none does yet.
    #[error(
        "destination:{destination} is no longer served here: connect to the server that owns it"
    )]
    OwnershipLost {
        /// The destination.
        destination: Destination,
    },
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// A client's text as an error shows it back: one line, and not endless.
struct Echo<'a>(&'a str);

impl fmt::Display for Echo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(ECHO_CHARS_MAX) {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        if chars.next().is_some() {
            f.write_str("…")
        } else {
            Ok(())
        }
    }
}

/// Error texts are one line for the sake of logs, whatever a source or a client put into them.
fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::frame;
    use crate::session::packet::Packet;
    use bytes::BytesMut;
    use prost::Message;

    fn told(failure: &Failure) -> Ack {
        let mut buf = BytesMut::from(failure.frame());
        let packet = frame::take(&mut buf, PACKET_BYTES_MAX).unwrap().unwrap();
        Ack::decode(Packet::decode(packet).unwrap().body).unwrap()
    }

    #[test]
    fn texts_and_codes_are_canals() {
        let cases: [(ClientMisbehaved, i32, &str); 5] = [
            (
                ClientMisbehaved::AuthFailed {
                    username: "canal".into(),
                },
                400,
                "auth failed for user:canal",
            ),
            (
                ClientMisbehaved::Unsupported { kind: "HEARTBEAT" },
                400,
                "packet type: HEARTBEAT is NOT supported!",
            ),
            (
                ClientMisbehaved::NoIdentity {
                    message: "Get",
                    destination: "".into(),
                    client_id: "1001".into(),
                },
                401,
                "destination or clientId is null. Get: destination: \"\" client_id: \"1001\"",
            ),
            (
                ClientMisbehaved::NoBatch {
                    destination: "example".into(),
                    client_id: "1001".into(),
                },
                402,
                "batchId should assign value. Ack: destination: \"example\" client_id: \"1001\"",
            ),
            (
                ClientMisbehaved::BadClientId {
                    given: "x\ny".into(),
                },
                400,
                "clientId must be a number from -32768 to 32767. For input string: \"x\\ny\"",
            ),
        ];
        for (fault, code, text) in cases {
            let ack = told(&fault.into());
            assert_eq!(ack.error_code, Some(code));
            assert_eq!(ack.error_message, text);
        }
    }

    #[test]
    fn a_text_is_one_line_and_shows_only_so_much_of_a_clients_own() {
        let username = "x".repeat(10 * ECHO_CHARS_MAX);
        let ack = told(&ClientMisbehaved::AuthFailed { username }.into());
        assert!(ack.error_message.len() < 2 * ECHO_CHARS_MAX);
        assert!(ack.error_message.ends_with("x…"));

        let why = "first\nsecond\tthird".into();
        let refusal = Refusal::NotRunning {
            destination: Destination::new("d"),
            why,
        };
        let ack = told(&refusal.into());
        assert_eq!(
            ack.error_message,
            "destination:d should start first (first second third)"
        );
    }
}
