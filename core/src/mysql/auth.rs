//! How we prove who we are: the client's half of MySQL's and MariaDB's authentication plugins
//! (binlog-parser reference §1.4).
//!
//! An [`AuthExchange`] is one plugin at work; an authentication switch begins another. It never sends
//! a password that can be read on its way: in clear only through TLS, else hashed, signed or sealed.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use mysql_common::auth::plugins::caching_sha2_password::scramble_sha256;
use mysql_common::auth::plugins::mysql_native_password::scramble_native;
use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin, Context};
use mysql_common::packets::AuthPlugin;
use thiserror::Error;

use super::handshake::{Capabilities, Greeting, SCRAMBLE_BYTES, Transport};
use super::rsa::{self, RsaFault};
use crate::read::ReadError;
use crate::rng::Rng;

/// Bytes of the nonce of the MariaDB plugins.
const LONG_SCRAMBLE_BYTES: usize = 32;

/// The server wants something that we cannot or must not do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuthFault {
    /// A plugin that canald does not have.
    #[error(
        "the account uses the authentication plugin {name:?}, which canald does not have: \
         ALTER USER … IDENTIFIED WITH caching_sha2_password (MySQL) or ed25519 (MariaDB) BY '…'"
    )]
    UnknownPlugin {
        /// The server's name of it.
        name: String,
    },
    /// A plugin that would send the password readable.
    #[error(
        "the server asks for the password in clear ({name}) on a connection without TLS: \
         set canal.instance.master.sslMode=REQUIRED"
    )]
    NeedsTls {
        /// The plugin.
        name: &'static str,
    },
    /// The password does not fit into the server's key.
    #[error(
        "the password is longer than the {max} bytes that fit the server's RSA key: use TLS or a shorter one"
    )]
    PasswordTooLong {
        /// Bytes that fit.
        max: usize,
    },
    /// A message that the plugin does not know.
    #[error("{plugin}: the server's message {what} makes no sense")]
    Challenge {
        /// The plugin.
        plugin: &'static str,
        /// Which message.
        what: &'static str,
    },
    /// The server's public key makes no sense.
    #[error("{plugin}: the server's public key cannot be used: {fault}")]
    PublicKey {
        /// The plugin.
        plugin: &'static str,
        /// What is wrong with it.
        fault: ReadError,
    },
}

/// The plugins that canald has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plugin {
    Native,
    CachingSha2,
    Sha256,
    Clear,
    Ed25519,
    Parsec,
}

impl Plugin {
    const ALL: [Self; 6] = [
        Self::Native,
        Self::CachingSha2,
        Self::Sha256,
        Self::Clear,
        Self::Ed25519,
        Self::Parsec,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
            Self::Clear => "mysql_clear_password",
            Self::Ed25519 => "client_ed25519",
            Self::Parsec => "parsec",
        }
    }

    fn named(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|plugin| plugin.name().as_bytes() == name)
    }
}

/// What a plugin's conversation waits for.
#[derive(Debug)]
enum Step {
    /// Nothing more to say; the server's verdict is due.
    Verdict,
    /// caching_sha2_password: whether the server has our hash in its cache.
    CacheState,
    /// The server's RSA key.
    PublicKey,
    /// A plugin of `mysql_common` that has another message to answer.
    Challenge(AuthProc),
}

/// One plugin at work.
#[derive(Debug)]
pub struct AuthExchange {
    plugin: Plugin,
    scramble: [u8; SCRAMBLE_BYTES],
    transport: Transport,
    step: Step,
}

impl AuthExchange {
    /// The exchange that goes with the response to `greeting`, and its first message.
    ///
    /// A plugin that the greeting names and we lack is no fault: the account may use another one, and
    /// the server then asks for it.
    #[must_use]
    pub fn greet(greeting: &Greeting, password: &str, transport: Transport) -> (Self, Vec<u8>) {
        // A server without this flag takes a first message of at most 255 bytes: only hashes then.
        let takes_long = greeting.capabilities.has(Capabilities::PLUGIN_AUTH_LENENC);
        let plugin = match Plugin::named(&greeting.plugin) {
            Some(Plugin::CachingSha2) => Plugin::CachingSha2,
            Some(Plugin::Sha256) if takes_long => Plugin::Sha256,
            Some(Plugin::Clear) if takes_long && transport == Transport::Tls => Plugin::Clear,
            Some(_) | None => Plugin::Native,
        };
        Self::begin(plugin, &greeting.scramble, password, transport)
            .expect("a greeting's nonce suits every plugin that starts here")
    }

    /// The exchange that an AuthSwitchRequest asks for, and its first message. `request` is the packet
    /// after its `fe`: a plugin's name, NUL, its nonce.
    ///
    /// # Errors
    /// We lack the plugin, must not use it here, or its nonce has another length.
    pub fn switch(
        request: &[u8],
        password: &str,
        transport: Transport,
    ) -> Result<(Self, Vec<u8>), AuthFault> {
        // The bare `fe` of servers before 4.1 asks for their hash, which proves nothing today.
        const BEFORE_4_1: &[u8] = b"mysql_old_password";
        let (name, nonce) = match memchr::memchr(0, request) {
            Some(end) => (&request[..end], &request[end + 1..]),
            None if request.is_empty() => (BEFORE_4_1, request),
            None => (request, &[][..]),
        };
        let Some(plugin) = Plugin::named(name) else {
            return Err(AuthFault::UnknownPlugin {
                name: String::from_utf8_lossy(name).to_string(),
            });
        };
        Self::begin(plugin, nonce, password, transport)
    }

    /// The name of the plugin.
    #[must_use]
    pub const fn plugin(&self) -> &'static str {
        self.plugin.name()
    }

    /// Answers AuthMoreData, `data` being the packet after its `01`. `None`: nothing is to be sent.
    ///
    /// # Errors
    /// The message is none that is due.
    pub fn more(
        &mut self,
        data: &[u8],
        password: &str,
        rng: &mut Rng,
    ) -> Result<Option<Vec<u8>>, AuthFault> {
        match core::mem::replace(&mut self.step, Step::Verdict) {
            Step::CacheState => self.cache_state(data, password),
            Step::PublicKey => self.seal(data, password, rng).map(Some),
            Step::Challenge(process) => self.run(process, data, password).map(Some),
            Step::Verdict => Err(self.nonsense("after the last one")),
        }
    }

    fn begin(
        plugin: Plugin,
        nonce: &[u8],
        password: &str,
        transport: Transport,
    ) -> Result<(Self, Vec<u8>), AuthFault> {
        let mut exchange = Self {
            plugin,
            scramble: [0; SCRAMBLE_BYTES],
            transport,
            step: Step::Verdict,
        };
        let first = match plugin {
            Plugin::Native => {
                exchange.take_scramble(nonce)?;
                let hash = scramble_native(&exchange.scramble, password.as_bytes());
                hash.map(|hash| hash.to_vec()).unwrap_or_default()
            }
            Plugin::CachingSha2 => {
                exchange.take_scramble(nonce)?;
                exchange.begin_caching_sha2(password)
            }
            Plugin::Sha256 => {
                exchange.take_scramble(nonce)?;
                exchange.begin_sha256(password)
            }
            Plugin::Clear if transport == Transport::Plain => {
                return Err(AuthFault::NeedsTls {
                    name: plugin.name(),
                });
            }
            Plugin::Clear => with_nul(password),
            Plugin::Ed25519 => exchange.begin_long(AuthPlugin::Ed25519, nonce, password)?,
            Plugin::Parsec => exchange.begin_long(AuthPlugin::Parsec, nonce, password)?,
        };
        Ok((exchange, first))
    }

    /// Keeps the nonce; the NUL that usually ends it is no part of it.
    fn take_scramble(&mut self, nonce: &[u8]) -> Result<(), AuthFault> {
        let Some((scramble, [] | [0])) = nonce.split_first_chunk() else {
            return Err(self.nonsense("with the nonce"));
        };
        self.scramble = *scramble;
        Ok(())
    }

    fn begin_caching_sha2(&mut self, password: &str) -> Vec<u8> {
        match scramble_sha256(&self.scramble, password.as_bytes()) {
            Some(hash) => {
                self.step = Step::CacheState;
                hash.to_vec()
            }
            None => Vec::new(),
        }
    }

    fn begin_sha256(&mut self, password: &str) -> Vec<u8> {
        const REQUEST_KEY: u8 = 1;
        match self.transport {
            _ if password.is_empty() => Vec::new(),
            Transport::Tls => with_nul(password),
            Transport::Plain => {
                self.step = Step::PublicKey;
                alloc::vec![REQUEST_KEY]
            }
        }
    }

    fn begin_long(
        &mut self,
        plugin: AuthPlugin<'_>,
        nonce: &[u8],
        password: &str,
    ) -> Result<Vec<u8>, AuthFault> {
        let Some((nonce, [] | [0])) = nonce.split_first_chunk::<LONG_SCRAMBLE_BYTES>() else {
            return Err(self.nonsense("with the nonce"));
        };
        let process = plugin
            .init()
            .expect("mysql_common has the plugins that its features name");
        self.run(process, nonce, password)
    }

    fn run(
        &mut self,
        mut process: AuthProc,
        challenge: &[u8],
        password: &str,
    ) -> Result<Vec<u8>, AuthFault> {
        use mysql_common::auth::plugins::Response;
        let answer = process
            .run(Password(password.as_bytes()), challenge)
            .map_err(|_| self.nonsense("with the challenge"))?;
        match answer {
            Response::Next { packet } => {
                self.step = Step::Challenge(process);
                Ok(packet.unwrap_or_default())
            }
            Response::Last { packet } => Ok(packet.unwrap_or_default()),
        }
    }

    fn cache_state(&mut self, data: &[u8], password: &str) -> Result<Option<Vec<u8>>, AuthFault> {
        const FAST_AUTH_SUCCESS: u8 = 3;
        const PERFORM_FULL_AUTHENTICATION: u8 = 4;
        const REQUEST_KEY: u8 = 2;
        match (data, self.transport) {
            ([FAST_AUTH_SUCCESS], _) => Ok(None),
            ([PERFORM_FULL_AUTHENTICATION], Transport::Tls) => Ok(Some(with_nul(password))),
            ([PERFORM_FULL_AUTHENTICATION], Transport::Plain) => {
                self.step = Step::PublicKey;
                Ok(Some(alloc::vec![REQUEST_KEY]))
            }
            _ => Err(self.nonsense("about its cache")),
        }
    }

    fn seal(&self, pem: &[u8], password: &str, rng: &mut Rng) -> Result<Vec<u8>, AuthFault> {
        let plugin = self.plugin.name();
        rsa::encrypt(password.as_bytes(), &self.scramble, pem, rng).map_err(|fault| match fault {
            RsaFault::Key(fault) => AuthFault::PublicKey { plugin, fault },
            RsaFault::TooLong { max } => AuthFault::PasswordTooLong { max },
        })
    }

    const fn nonsense(&self, what: &'static str) -> AuthFault {
        AuthFault::Challenge {
            plugin: self.plugin.name(),
            what,
        }
    }
}

fn with_nul(password: &str) -> Vec<u8> {
    let mut out = password.as_bytes().to_vec();
    out.push(0);
    out
}

/// What the plugins of `mysql_common` that we use want to know: the password alone.
struct Password<'a>(&'a [u8]);

impl Context for Password<'_> {
    fn pass(&self) -> &[u8] {
        self.0
    }

    fn is_ipc_transport(&self) -> bool {
        false
    }

    fn is_tls_transport(&self) -> bool {
        false
    }

    fn scramble(&self) -> &[u8] {
        &[]
    }

    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::handshake::{ConnectionId, ServerVersion};
    use crate::rng::Seed;

    const NONCE: &[u8; 20] = b"abcdefghijklmnopqrst";

    fn greeting(plugin: &str, capabilities: u32) -> Greeting {
        Greeting {
            version: ServerVersion::parse("8.0.46"),
            connection: ConnectionId(1),
            capabilities: Capabilities(capabilities),
            scramble: *NONCE,
            plugin: plugin.into(),
        }
    }

    fn request(plugin: &str, nonce: &[u8]) -> Vec<u8> {
        [plugin.as_bytes(), &[0], nonce].concat()
    }

    #[test]
    fn native_hashes_as_every_server_since_4_1_expects() {
        let nonce = [
            0x4e, 0x52, 0x33, 0x48, 0x50, 0x3a, 0x71, 0x49, 0x59, 0x61, 0x5f, 0x39, 0x3d, 0x64,
            0x62, 0x3f, 0x53, 0x64, 0x7b, 0x60, 0,
        ];
        let request = request("mysql_native_password", &nonce);
        let (exchange, first) =
            AuthExchange::switch(&request, "G!der27", Transport::Plain).unwrap();
        assert_eq!(exchange.plugin(), "mysql_native_password");
        assert_eq!(first.len(), 20);
        let (_, empty) = AuthExchange::switch(&request, "", Transport::Plain).unwrap();
        assert!(empty.is_empty());
    }

    #[test]
    fn caching_sha2_in_full_sends_the_password_through_tls_and_seals_it_without() {
        let mut rng = Rng::new(Seed(1));
        let greeting = greeting("caching_sha2_password", 0xffff_ffff);
        let (mut tls, first) = AuthExchange::greet(&greeting, "pw", Transport::Tls);
        assert_eq!(first.len(), 32);
        assert_eq!(tls.more(&[4], "pw", &mut rng), Ok(Some(b"pw\0".to_vec())));

        let (mut plain, _) = AuthExchange::greet(&greeting, "pw", Transport::Plain);
        assert_eq!(plain.more(&[4], "pw", &mut rng), Ok(Some(alloc::vec![2])));
        let sealed = plain.more(include_bytes!("rsa_test_key.pem"), "pw", &mut rng);
        assert_eq!(sealed.unwrap().unwrap().len(), 256);
        assert!(
            plain.more(&[3], "pw", &mut rng).is_err(),
            "nothing is due any more"
        );

        let (mut cached, _) = AuthExchange::greet(&greeting, "pw", Transport::Plain);
        assert_eq!(cached.more(&[3], "pw", &mut rng), Ok(None));
    }

    #[test]
    fn a_password_is_never_sent_readable() {
        let clear = request("mysql_clear_password", b"");
        let fault = AuthExchange::switch(&clear, "pw", Transport::Plain).unwrap_err();
        assert_eq!(
            fault,
            AuthFault::NeedsTls {
                name: "mysql_clear_password"
            }
        );
        let (_, first) = AuthExchange::switch(&clear, "pw", Transport::Tls).unwrap();
        assert_eq!(first, b"pw\0");
        let greeting = greeting("mysql_clear_password", 0xffff_ffff);
        let (exchange, _) = AuthExchange::greet(&greeting, "pw", Transport::Plain);
        assert_eq!(exchange.plugin(), "mysql_native_password");
    }

    #[test]
    fn sha256_asks_for_the_key_at_once() {
        let request = request("sha256_password", &[NONCE, &[0][..]].concat());
        let (mut exchange, first) = AuthExchange::switch(&request, "pw", Transport::Plain).unwrap();
        assert_eq!(first, [1]);
        let key = include_bytes!("rsa_test_key.pem");
        let sealed = exchange
            .more(key, "pw", &mut Rng::new(Seed(1)))
            .unwrap()
            .unwrap();
        assert_eq!(sealed.len(), 256);
    }

    #[test]
    fn ed25519_signs_the_nonce() {
        let request = request("client_ed25519", &[7; 32]);
        let (_, first) = AuthExchange::switch(&request, "foobar", Transport::Plain).unwrap();
        assert_eq!(first.len(), 64);
        let short = self::request("client_ed25519", &[7; 20]);
        assert!(AuthExchange::switch(&short, "foobar", Transport::Plain).is_err());
    }

    #[test]
    fn parsec_asks_for_the_salt_and_then_signs_with_a_nonce_of_its_own() {
        let mut rng = Rng::new(Seed(1));
        let request = request("parsec", &[7; 32]);
        let (mut exchange, first) = AuthExchange::switch(&request, "pw", Transport::Plain).unwrap();
        assert!(first.is_empty());
        let salt = [b"P\x00".as_slice(), &[5; 18]].concat();
        assert_eq!(
            exchange.more(&salt, "pw", &mut rng).unwrap().unwrap().len(),
            96
        );
    }

    #[test]
    fn a_plugin_that_we_lack_is_named_and_what_makes_no_sense_is_refused() {
        for (bytes, name) in [
            (&b"dialog\0x"[..], "dialog"),
            (&[], "mysql_old_password"),
            (b"x", "x"),
        ] {
            let fault = AuthExchange::switch(bytes, "pw", Transport::Tls).unwrap_err();
            assert_eq!(fault, AuthFault::UnknownPlugin { name: name.into() });
        }
        let greeting = greeting("caching_sha2_password", 0xffff_ffff);
        let (mut exchange, _) = AuthExchange::greet(&greeting, "pw", Transport::Plain);
        assert!(exchange.more(&[9], "pw", &mut Rng::new(Seed(1))).is_err());
    }
}
