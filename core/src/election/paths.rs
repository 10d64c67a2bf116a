//! Where canal keeps what in ZooKeeper (ha-meta-store reference §1.2), and what canald adds.
//!
//! canald's own nodes lie under `…/D/canald`, which Java servers pass over: of the children of a
//! destination they take those whose names are numbers for clients (M9).

use alloc::string::String;

use crate::coordination::NodePath;
use crate::identity::{ClientId, Destination};

/// Under which everything lies.
const ROOT: &str = "/otter/canal";

/// The servers of the cluster: persistent.
#[must_use]
pub fn servers() -> NodePath {
    NodePath::new(String::from(ROOT)).child("cluster")
}

/// The nodes of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationPaths {
    root: NodePath,
}

impl DestinationPaths {
    /// The nodes of `destination`.
    #[must_use]
    pub fn new(destination: &Destination) -> Self {
        let destinations = NodePath::new(String::from(ROOT)).child("destinations");
        Self {
            root: destinations.child(destination),
        }
    }

    /// What holds all the others.
    #[must_use]
    pub const fn root(&self) -> &NodePath {
        &self.root
    }

    /// RUN: who owns the destination. Ephemeral.
    #[must_use]
    pub fn running(&self) -> NodePath {
        self.root.child("running")
    }

    /// The candidates of the destination; it must be there before a Java client is built (M3).
    #[must_use]
    pub fn cluster(&self) -> NodePath {
        self.root.child("cluster")
    }

    /// A candidate: ephemeral, called by its address.
    #[must_use]
    pub fn candidate(&self, address: &str) -> NodePath {
        self.cluster().child(address)
    }

    /// Where a destination starts that has no cursor: a log position (§1.5).
    #[must_use]
    pub fn parse(&self) -> NodePath {
        self.root.child("parse")
    }

    /// A client: its presence is its subscription.
    #[must_use]
    pub fn client(&self, client: ClientId) -> NodePath {
        self.root.child(client)
    }

    /// The filter of a client: plain text.
    #[must_use]
    pub fn filter(&self, client: ClientId) -> NodePath {
        self.client(client).child("filter")
    }

    /// The cursor of a client: a log position.
    #[must_use]
    pub fn cursor(&self, client: ClientId) -> NodePath {
        self.client(client).child("cursor")
    }

    /// Which of several processes with one client id is at work. Ephemeral.
    #[must_use]
    pub fn client_running(&self, client: ClientId) -> NodePath {
        self.client(client).child("running")
    }

    /// What only canald keeps.
    #[must_use]
    pub fn own(&self) -> NodePath {
        self.root.child("canald")
    }

    /// The generation of batch ids, which each tenure of a canald raises: its version is that tenure's fence
    /// (`design.md` §6).
    #[must_use]
    pub fn generation(&self) -> NodePath {
        self.own().child("gen")
    }

    /// What was withheld and what was lost.
    #[must_use]
    pub fn record(&self) -> NodePath {
        self.own().child("record")
    }
}

/// The client whose node is called `name`; none if it is no client's (M9).
#[must_use]
pub fn client_of(name: &str) -> Option<ClientId> {
    let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| name.parse().ok().map(ClientId)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_canals() {
        let paths = DestinationPaths::new(&Destination::new("example"));
        let root = "/otter/canal/destinations/example";
        let at = |path: NodePath| String::from(path.as_str().strip_prefix(root).unwrap());
        assert_eq!(at(paths.running()), "/running");
        assert_eq!(
            at(paths.candidate("10.0.0.1:11111")),
            "/cluster/10.0.0.1:11111"
        );
        assert_eq!(at(paths.cursor(ClientId(1001))), "/1001/cursor");
        assert_eq!(at(paths.filter(ClientId(7))), "/7/filter");
        assert_eq!(at(paths.client_running(ClientId(7))), "/7/running");
        assert_eq!(at(paths.generation()), "/canald/gen");
        assert_eq!(servers().as_str(), "/otter/canal/cluster");
    }

    #[test]
    fn a_client_is_a_number_of_its_range() {
        assert_eq!(client_of("1001"), Some(ClientId(1001)));
        assert_eq!(client_of("32767"), Some(ClientId(i16::MAX)));
        for name in ["", "-1", "32768", "running", "1001 ", "cluster", "+5"] {
            assert_eq!(client_of(name), None, "{name}");
        }
    }
}
