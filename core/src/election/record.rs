//! RUN and the candidates' nodes: what they say, as canal writes it (ha-meta-store reference §1.3).
//!
//! Java's keys in Java's order, then a key `canald` of our own, which Java passes over and drops when it
//! rewrites a node (M8). What Java wrote has none; nothing is decided by an address alone.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use crate::meta::json::{JsonFault, Node, parse};

/// What the node of a canald candidate holds; a Java server's holds nothing.
pub const CANDIDATE: &[u8] = br#"{"canald":{}}"#;

/// What RUN says of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningData {
    /// Whether it means to go on; an operator who writes false asks it to hand over (§2.6).
    pub active: bool,
    /// Where clients reach it: a host or IPv4 address and a port, with one colon (M2).
    pub address: String,
    /// The canald that wrote it, by an id that it keeps on its disk; none if a Java server did.
    pub node: Option<String>,
}

#[derive(Debug, Serialize)]
struct RunningJson<'a> {
    active: bool,
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    canald: Option<OwnJson<'a>>,
}

#[derive(Debug, Serialize)]
struct OwnJson<'a> {
    node: &'a str,
}

impl RunningData {
    /// The JSON of the node.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let json = RunningJson {
            active: self.active,
            address: &self.address,
            canald: self.node.as_deref().map(|node| OwnJson { node }),
        };
        serde_json::to_vec(&json).expect("texts and truth values always serialise")
    }

    /// Reads the node as Java does: `active` is true where it is absent.
    ///
    /// # Errors
    /// It is not JSON, or names no address.
    pub fn decode(bytes: &[u8]) -> Result<Self, JsonFault> {
        let value = parse(bytes)?;
        let root = Node::root(&value, "running");
        let active = root.optional("active")?;
        let own = root.optional("canald")?;
        let node = own.map(|own| own.optional("node")).transpose()?.flatten();
        Ok(Self {
            active: active.map_or(Ok(true), |node| node.truth())?,
            address: root.member("address")?.text()?.into(),
            node: node.map(|node| node.text().map(Into::into)).transpose()?,
        })
    }
}

/// Whether the node of a candidate is a canald's.
#[must_use]
pub fn is_canald(candidate: &[u8]) -> bool {
    let Ok(value) = parse(candidate) else {
        return false;
    };
    let own = Node::root(&value, "candidate").optional("canald");
    matches!(own, Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(node: Option<&str>) -> RunningData {
        RunningData {
            active: true,
            address: "10.0.0.1:11111".into(),
            node: node.map(Into::into),
        }
    }

    #[test]
    fn what_is_written_is_javas_with_a_key_of_our_own() {
        let java = br#"{"active":true,"address":"10.0.0.1:11111"}"#;
        assert_eq!(data(None).encode(), java);
        assert_eq!(RunningData::decode(java), Ok(data(None)));
        let own = br#"{"active":true,"address":"10.0.0.1:11111","canald":{"node":"n1"}}"#;
        assert_eq!(data(Some("n1")).encode(), own);
        assert_eq!(RunningData::decode(own), Ok(data(Some("n1"))));
    }

    #[test]
    fn hands_and_older_servers_are_understood() {
        let by_hand = br#"{ "address" : "a:1", "cid": 3, "active": false, "canald": {} }"#;
        let read = RunningData::decode(by_hand).unwrap();
        assert_eq!(
            (read.active, &*read.address, read.node),
            (false, "a:1", None)
        );
        assert!(RunningData::decode(br#"{"address":"a:1"}"#).unwrap().active);
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (bytes, what) in [
            (&b""[..], "not JSON"),
            (b"{\"active\":tr", "not JSON"),
            (b"{}", "running.address is missing"),
            (b"[]", "running is []"),
            (br#"{"address":7}"#, "running.address is 7"),
            (
                br#"{"address":"a:1","active":"no"}"#,
                "running.active is \"no\"",
            ),
        ] {
            let why = alloc::string::ToString::to_string(&RunningData::decode(bytes).unwrap_err());
            assert!(why.starts_with(what), "{why}");
        }
    }

    #[test]
    fn a_candidate_of_java_holds_nothing() {
        assert!(is_canald(CANDIDATE));
        assert!(is_canald(br#"{"canald":{"version":"9"},"more":1}"#));
        for java in [&b""[..], b"null", b"{}", b"10.0.0.1", b"[]"] {
            assert!(!is_canald(java));
        }
    }
}
