//! TLS towards a source: what is wanted, as data, and how rustls does it.
//!
//! Canal's sslMode decides what is checked: DISABLED and PREFERRED and REQUIRED check nothing about the
//! certificate, VERIFY_CA its chain, VERIFY_IDENTITY its chain and name. A signature over the handshake
//! is always checked, so the peer at least holds the key that it shows.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use canald_core::config::SslMode;
use thiserror::Error;

/// A PEM file that was read at start.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// Where it was.
    pub path: PathBuf,
    /// What was in it.
    pub text: Arc<[u8]>,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({})", self.path.display())
    }
}

impl Pem {
    /// Reads a file that must hold a certificate.
    ///
    /// # Errors
    /// What is wrong with it, for an operator.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let pem = Self {
            path: path.into(),
            text: text.into(),
        };
        if !pem.has("-----BEGIN CERTIFICATE-----") {
            return Err(format!("{} holds no certificate", path.display()));
        }
        Ok(pem)
    }

    /// Whether there is a private key that needs no password.
    ///
    /// # Errors
    /// What should be there.
    pub fn check_private_key(&self) -> Result<(), &'static str> {
        if self.has("ENCRYPTED") {
            return Err(
                "a PEM file with an unencrypted private key (openssl pkey removes a \
                        password)",
            );
        }
        if !self.has("PRIVATE KEY-----") {
            return Err("a PEM file with the certificate and its private key");
        }
        Ok(())
    }

    fn has(&self, part: &str) -> bool {
        self.text
            .windows(part.len())
            .any(|window| window == part.as_bytes())
    }
}

/// Which versions of TLS may be spoken; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsVersions {
    /// TLS 1.2
    pub tls12: bool,
    /// TLS 1.3
    pub tls13: bool,
}

/// How the link to one source is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPlan {
    /// What is checked.
    pub mode: SslMode,
    /// The name that a certificate must bear under VERIFY_IDENTITY.
    pub server_name: String,
    /// Trusted authorities; those of the machine if none.
    pub authorities: Option<Pem>,
    /// Our own certificate and key, for a source that asks (`REQUIRE X509`).
    pub identity: Option<Pem>,
    /// Versions.
    pub versions: TlsVersions,
}

/// Why a link is not secure.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsFault {
    /// What was configured cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
    /// The peer did not agree, or is not who it should be.
    #[error("TLS with {server} failed: {reason}")]
    Handshake {
        /// The name that was connected to.
        server: String,
        /// What rustls says, and what helps.
        reason: String,
    },
    /// The peer fell silent.
    #[error("TLS with {server} failed: no answer within {seconds} s")]
    TimedOut {
        /// The name that was connected to.
        server: String,
        /// How long it was waited for.
        seconds: u64,
    },
}

#[cfg(feature = "daemon")]
mod connector;
#[cfg(feature = "daemon")]
pub use self::connector::{HANDSHAKE_TIMEOUT, secure};
