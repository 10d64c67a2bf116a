//! Where ZooKeeper is, from canal's `canal.zkServers`, and how long it may be silent.
//!
//! The text is `host:port,host:port/chroot`, several such clusters with `;` between them. As in canal, the
//! first cluster names the chroot, and the addresses of the others are only more places to connect to. The
//! library tries addresses in random order, so unlike in canal the first cluster is not preferred.

use core::fmt;

use canald_core::time::Duration;
use thiserror::Error;

/// The port of an address that names none.
pub const PORT_DEFAULT: u16 = 2181;
/// The session timeout that is asked for. Canal asks for 90 seconds; another server takes over only after
/// this time, so canald asks for less. The server answers with what it allows.
pub const SESSION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// How to reach ZooKeeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZooKeeperConfig {
    /// Where its servers are; at least one.
    pub servers: Vec<ServerAddress>,
    /// The node under which everything is, which must exist: `/a/b`. None for the root.
    pub chroot: Option<String>,
    /// The session timeout to ask for.
    pub session_timeout: Duration,
    /// How long a server may be silent before another is tried; none for two fifths of the session timeout
    /// that was granted. What is above three fifths of that is not followed.
    pub connection_timeout: Option<Duration>,
    /// Who we are, if nodes are closed to others. Our own are open to all, as canal's are.
    pub auth: Option<DigestAuth>,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// A user of ZooKeeper's scheme `digest`.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestAuth {
    /// The name, which holds no colon.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Why a text is no `canal.zkServers`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ServersFault {
    /// Nothing between two separators, or nothing at all.
    #[error("an address is missing: write host:port, with commas between")]
    NoAddress,
    /// A port is no number from 1 to 65535.
    #[error("{address}: the port must be a number from 1 to 65535")]
    BadPort {
        /// The address as it was written.
        address: String,
    },
    /// A host is empty, or holds what no host does.
    #[error("{address}: not a host; write host:port, or [address]:port for IPv6")]
    BadHost {
        /// The address as it was written.
        address: String,
    },
    /// A chroot is no path.
    #[error(
        "{chroot}: not a path of ZooKeeper; it stands once behind the last address, as in /canal/prod"
    )]
    BadChroot {
        /// The chroot as it was written.
        chroot: String,
    },
    /// Two clusters name different chroots; canal would use the first for both.
    #[error(
        "the chroot {other} differs from that of the first cluster, which is used for all of them"
    )]
    OtherChroot {
        /// The later one.
        other: String,
    },
}

impl ZooKeeperConfig {
    /// Reads `canal.zkServers`; the rest is as by default.
    ///
    /// # Errors
    /// [`ServersFault`]
    pub fn parse(text: &str) -> Result<Self, ServersFault> {
        let mut clusters = text.split(';').map(parse_cluster);
        // A split text has a first part, even an empty one.
        let (mut servers, chroot) = clusters.next().unwrap_or(Err(ServersFault::NoAddress))?;
        for cluster in clusters {
            let (more, other) = cluster?;
            if let Some(other) = other
                && chroot.as_ref() != Some(&other)
            {
                return Err(ServersFault::OtherChroot { other });
            }
            servers.extend(more);
        }
        Ok(Self {
            servers,
            chroot,
            session_timeout: SESSION_TIMEOUT_DEFAULT,
            connection_timeout: None,
            auth: None,
        })
    }

    /// The form in which ZooKeeper's own clients take it.
    #[must_use]
    pub fn connect_string(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(ToString::to_string).collect();
        servers.join(",") + self.chroot.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl fmt::Debug for DigestAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DigestAuth({}, password hidden)", self.user)
    }
}

fn parse_cluster(text: &str) -> Result<(Vec<ServerAddress>, Option<String>), ServersFault> {
    let text = text.trim();
    let (addresses, chroot) = match text.find('/') {
        Some(at) => (&text[..at], parse_chroot(&text[at..])?),
        None => (text, None),
    };
    let servers: Result<Vec<_>, _> = addresses.split(',').map(parse_address).collect();
    Ok((servers?, chroot))
}

/// The chroot `/` is none.
fn parse_chroot(text: &str) -> Result<Option<String>, ServersFault> {
    if text == "/" {
        return Ok(None);
    }
    let names = text.trim_start_matches('/').split('/');
    let is_name = |name: &str| {
        !matches!(name, "" | "." | "..")
            && !name.contains(|c: char| c == ',' || c.is_whitespace() || c.is_control())
    };
    if text.starts_with("//") || !names.clone().all(is_name) {
        return Err(ServersFault::BadChroot {
            chroot: text.to_owned(),
        });
    }
    Ok(Some(text.to_owned()))
}

fn parse_address(text: &str) -> Result<ServerAddress, ServersFault> {
    let address = text.trim();
    if address.is_empty() {
        return Err(ServersFault::NoAddress);
    }
    let bad_host = || ServersFault::BadHost {
        address: address.to_owned(),
    };
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(bad_host)?;
        let port = match rest {
            "" => None,
            _ => Some(rest.strip_prefix(':').ok_or_else(bad_host)?),
        };
        (host, port)
    } else {
        match address.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(bad_host()),
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "[]@?#".contains(c)) {
        return Err(bad_host());
    }
    let port = match port.map(str::parse) {
        None => PORT_DEFAULT,
        Some(Ok(port)) if port != 0 => port,
        Some(_) => {
            return Err(ServersFault::BadPort {
                address: address.to_owned(),
            });
        }
    };
    Ok(ServerAddress {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect_string(text: &str) -> String {
        ZooKeeperConfig::parse(text).unwrap().connect_string()
    }

    fn fault(text: &str) -> String {
        ZooKeeperConfig::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn addresses_without_a_port_get_the_default_one() {
        assert_eq!(connect_string("zk1"), "zk1:2181");
        assert_eq!(
            connect_string(" zk1:2182 , 10.0.0.2 "),
            "zk1:2182,10.0.0.2:2181"
        );
        assert_eq!(
            connect_string("[::1],[fe80::2]:99"),
            "[::1]:2181,[fe80::2]:99"
        );
    }

    #[test]
    fn the_chroot_stands_behind_the_last_address() {
        let config = ZooKeeperConfig::parse("zk1:1,zk2:2/canal/prod").unwrap();
        assert_eq!(config.chroot.as_deref(), Some("/canal/prod"));
        assert_eq!(config.connect_string(), "zk1:1,zk2:2/canal/prod");
        assert_eq!(ZooKeeperConfig::parse("zk1:1/").unwrap().chroot, None);
    }

    #[test]
    fn further_clusters_give_their_addresses_only() {
        assert_eq!(connect_string("a:1,b:2/c;d:3;e/c"), "a:1,b:2,d:3,e:2181/c");
        assert_eq!(
            fault("a:1;b:2/c"),
            "the chroot /c differs from that of the first cluster, which is used for all of them"
        );
        assert!(fault("a:1/d;b:2/c").starts_with("the chroot /c differs"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let missing = "an address is missing: write host:port, with commas between";
        for text in ["", " ", ";a:1", "a:1;", "a:1,", "a:1,,b:2", "/canal"] {
            assert_eq!(fault(text), missing, "{text:?}");
        }
        for port in ["zk:", "zk:0", "zk:65536", "zk:x", "[::1]:x"] {
            assert_eq!(
                fault(port),
                format!("{port}: the port must be a number from 1 to 65535")
            );
        }
        for host in [
            ":2181",
            "[::1",
            "[::1]2181",
            "a b:1",
            "u@h:1",
            "[]:1",
            "::1",
            "fe80::1:2181",
        ] {
            let expected = format!("{host}: not a host;");
            assert!(
                fault(host).starts_with(&expected),
                "{host}: {}",
                fault(host)
            );
        }
        for chroot in [
            "/a/",
            "//a",
            "/a//b",
            "/a/../b",
            "/./b",
            "/a,zk2:2181",
            "/a b",
        ] {
            let expected = format!("{chroot}: not a path of ZooKeeper;");
            let fault = fault(&format!("zk1:2181{chroot}"));
            assert!(fault.starts_with(&expected), "{chroot}: {fault}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let auth = DigestAuth {
            user: "canal".to_owned(),
            password: "s3cret".to_owned(),
        };
        assert_eq!(format!("{auth:?}"), "DigestAuth(canal, password hidden)");
    }
}
