//! Why a link to a source ended, and whose fault it was.

use alloc::string::String;

use thiserror::Error;

use super::auth::AuthFault;
use super::packet::PacketFault;
use super::query::ServerError;
use crate::read::ReadError;
use crate::time::Duration;

/// Why a link ended. One line each, with the cure where a person can do something.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LinkFault {
    /// No connection came about. Said by the driver.
    #[error("cannot connect: {why}")]
    Unreachable {
        /// The operating system's words.
        why: String,
    },
    /// The connection broke, before, during or after TLS. Said by the driver.
    #[error("the connection broke: {why}")]
    Disconnected {
        /// The operating system's words.
        why: String,
    },
    /// The operator demands TLS and the server does not offer it.
    #[error(
        "the server offers no TLS, and canal.instance.master.sslMode demands it: \
         configure ssl_cert and ssl_key on the server, or set PREFERRED or DISABLED"
    )]
    TlsUnavailable,
    /// The TLS handshake failed for a reason that stays: certificate, name, version. Said by the driver.
    #[error("TLS failed: {why}: check canal.instance.master.sslMode and the trusted certificates")]
    TlsRefused {
        /// The TLS library's words.
        why: String,
    },
    /// The server does not let this user in.
    #[error(
        "user {user:?} is refused: {error}: check canal.instance.dbUsername and dbPassword, \
         and that the account exists for the host canald connects from"
    )]
    AuthRefused {
        /// `canal.instance.dbUsername`
        user: String,
        /// The server's words.
        error: ServerError,
    },
    /// The authentication cannot be carried out.
    #[error(transparent)]
    Auth(#[from] AuthFault),
    /// The server does not take the connection now: too many connections, shutting down.
    #[error("the server refused the connection: {0}")]
    ServerRefused(ServerError),
    /// The server refused the dump or ended it; [`crate::source::fault::DumpFault::classify`] says what it means.
    #[error("the server ended the dump: {0}")]
    DumpRefused(ServerError),
    /// The server ended the stream: it is shutting down, or the dump was killed.
    #[error("the server ended the stream: it is shutting down, or KILL ended this connection")]
    End,
    /// The place cannot be named in the dump command.
    #[error(
        "offset {offset} is beyond the 4 GiB that the dump command can name: \
         set canal.instance.gtidon=true, or start at the next binlog file"
    )]
    OffsetTooLarge {
        /// The offset.
        offset: u64,
    },
    /// Nothing came for too long, not even a heartbeat.
    #[error("nothing came from the server for {} s, not even a heartbeat", .0.as_secs())]
    Silent(Duration),
    /// An answer did not come in time.
    #[error("no {what} within {} s", .after.as_secs())]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        after: Duration,
    },
    /// The bytes are no packets.
    #[error(transparent)]
    Framing(#[from] PacketFault),
    /// A packet whose contents make no sense.
    #[error("the server sent what MySQL's protocol does not know: {0}")]
    Malformed(#[from] ReadError),
    /// A packet that is not due.
    #[error("the server sent a packet that begins with {first:#04x} where {due} was due")]
    Unexpected {
        /// What was due.
        due: &'static str,
        /// The first byte of what came.
        first: u8,
    },
    /// Readable bytes after the server was asked for TLS: someone between us may have put them there.
    #[error(
        "the server sent bytes in clear after TLS was asked for: the connection is not trusted"
    )]
    ClearBytesBeforeTls,
}

impl LinkFault {
    /// Whether trying again cannot help until a person changes something. A process that meets such a
    /// fault at its very first connection says so and ends; later it keeps trying.
    #[must_use]
    pub const fn is_permanent_at_start(&self) -> bool {
        match self {
            Self::TlsUnavailable
            | Self::TlsRefused { .. }
            | Self::AuthRefused { .. }
            | Self::Auth(_)
            | Self::OffsetTooLarge { .. } => true,
            Self::Unreachable { .. }
            | Self::Disconnected { .. }
            | Self::ServerRefused(_)
            | Self::DumpRefused(_)
            | Self::End
            | Self::Silent(_)
            | Self::TimedOut { .. }
            | Self::Framing(_)
            | Self::Malformed(_)
            | Self::Unexpected { .. }
            | Self::ClearBytesBeforeTls => false,
        }
    }

    /// The fault that a refusal during login is: one of the account, or one of the moment.
    pub(super) fn refused_at_login(user: &str, error: ServerError) -> Self {
        const CON_COUNT: u16 = 1040;
        const SERVER_SHUTDOWN: u16 = 1053;
        const HOST_IS_BLOCKED: u16 = 1129;
        const TOO_MANY_USER_CONNECTIONS: u16 = 1203;
        const USER_LIMIT_REACHED: u16 = 1226;
        const SERVER_OFFLINE_MODE: u16 = 3032;
        match error.code {
            CON_COUNT
            | SERVER_SHUTDOWN
            | HOST_IS_BLOCKED
            | TOO_MANY_USER_CONNECTIONS
            | USER_LIMIT_REACHED
            | SERVER_OFFLINE_MODE => Self::ServerRefused(error),
            _ => Self::AuthRefused {
                user: user.into(),
                error,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::query::tests::refusal;
    use alloc::string::ToString;

    #[test]
    fn a_wrong_password_stays_and_a_full_server_passes() {
        let wrong = LinkFault::refused_at_login("canal", refusal(1045, "Access denied"));
        assert!(wrong.is_permanent_at_start());
        let text = wrong.to_string();
        assert!(
            text.contains("dbPassword") && text.contains("1045"),
            "{text}"
        );
        assert!(!text.contains('\n'));
        let full = LinkFault::refused_at_login("canal", refusal(1040, "Too many connections"));
        assert!(!full.is_permanent_at_start());
    }
}
