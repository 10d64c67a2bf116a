//! What is asked of ZooKeeper, and what it answers, as values.
//!
//! Whoever decides (the election, the cluster's membership, the record of cursors) hands out an
//! [`Effect`] under a [`Ticket`] and gets one [`Outcome`] back. [`Outcome::Unknown`] is a result like any
//! other: the effect may have happened, or may never. Nothing here is tried again by itself; a lost
//! session takes everything asked in it along, and nothing of it is ever asked in another session
//! (ha-meta-store reference §2.9).
//!
//! Bounds: data of a node at most [`NODE_BYTES_MAX`] (ZooKeeper's own `jute.maxbuffer`).

pub mod ask;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::time::Duration;

/// Bytes of data that a node may hold: more is refused by ZooKeeper, which then drops the connection.
pub const NODE_BYTES_MAX: usize = 1 << 20;

/// An effect under way; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A session with ZooKeeper, as it numbers them; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZkSessionId(pub i64);

impl fmt::Display for ZkSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A transaction of ZooKeeper: they grow over all of its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zxid(pub i64);

/// How often the data of a node was changed since the node was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeVersion(pub i32);

impl NodeVersion {
    /// The version after one more change.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// The path of a node, from the root of the configured chroot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodePath(String);

impl NodePath {
    /// A path; it begins with `/` and does not end with one.
    ///
    /// # Panics
    /// If it does not: paths are made by [`crate::election::paths`], from names that were checked.
    #[must_use]
    pub fn new(path: String) -> Self {
        assert!(
            path.starts_with('/') && !path.ends_with('/'),
            "{path} is no path of a node"
        );
        Self(path)
    }

    /// The node called `name` under this one.
    #[must_use]
    pub fn child(&self, name: impl fmt::Display) -> Self {
        Self::new(alloc::format!("{}/{name}", self.0))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What ZooKeeper says of a node beside its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeStat {
    /// The transaction that made it: two nodes of one path are told apart by it.
    pub created: Zxid,
    /// Its data's version.
    pub version: NodeVersion,
    /// The session that it lives and dies with; none if it is persistent.
    pub owner: Option<ZkSessionId>,
}

/// A node as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRead {
    /// Its data; empty also where it has none.
    pub data: Bytes,
    /// The rest.
    pub stat: NodeStat,
}

/// How long a node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeLife {
    /// Until it is deleted.
    Persistent,
    /// As long as the session that makes it.
    Ephemeral,
}

/// One step of an [`Effect::All`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The node exists, at this version.
    Check(NodePath, NodeVersion),
    /// Makes a node whose parent exists.
    Create(NodePath, Bytes, NodeLife),
    /// Replaces the data of a node that is at this version.
    Write(NodePath, Bytes, NodeVersion),
    /// Deletes a node that is at this version.
    Delete(NodePath, NodeVersion),
}

/// Something to be done by ZooKeeper. Every node is open to all, as canal's are (M14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Reads a node, or that it is absent, and says once when that changes. Answered by [`Value::Node`].
    ReadAndWatch(NodePath),
    /// Reads a node, or that it is absent. Answered by [`Value::Node`].
    Read(NodePath),
    /// Lists the children of a node and reads each; none if the node is absent. What vanishes in between
    /// is left out. Answered by [`Value::Children`].
    ReadChildren(NodePath),
    /// Makes a node whose parent exists. Answered by [`Value::Done`].
    Create(NodePath, Bytes, NodeLife),
    /// Makes a persistent node without data, and those that hold it, where they are absent. Answered by
    /// [`Value::Done`].
    CreateAll(NodePath),
    /// Replaces the data of a node that is at this version. Answered by [`Value::Stat`].
    Write(NodePath, Bytes, NodeVersion),
    /// Deletes a node that is at this version. Answered by [`Value::Done`].
    Delete(NodePath, NodeVersion),
    /// All steps or none. Answered by [`Value::Done`].
    All(Vec<Step>),
    /// Nothing, but the leader has seen it: only that, and writes, prove that a session lives (`design.md` §6).
    /// Answered by [`Value::Done`].
    Sync,
}

/// What an effect brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// It is done.
    Done,
    /// The node, if there is one.
    Node(Option<NodeRead>),
    /// Names and nodes, in the order of the names; none if the node that holds them is absent.
    Children(Option<Vec<(String, NodeRead)>>),
    /// What the node is now.
    Stat(NodeStat),
}

/// Why ZooKeeper did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The node, or one that holds it, is absent.
    NoNode,
    /// The node is there already.
    NodeExists,
    /// The node is at another version.
    BadVersion,
    /// The node has children.
    NotEmpty,
    /// A step of [`Effect::All`], counted from 0, for one of these reasons.
    Step(usize, StepRefusal),
    /// The server does not write (it has lost its quorum), or this node may not be written.
    Forbidden(String),
}

/// Why a step was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepRefusal {
    /// The node, or one that holds it, is absent.
    NoNode,
    /// The node is there already.
    NodeExists,
    /// The node is at another version.
    BadVersion,
    /// The node has children.
    NotEmpty,
}

/// How an effect ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It happened.
    Done(Value),
    /// It did not, and never will.
    Refused(Refusal),
    /// Nobody knows: the connection or the session ended before the answer. The text says how.
    Unknown(String),
}

/// What the connection to ZooKeeper says by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A session has begun, or its connection is back.
    Connected {
        /// Which.
        session: ZkSessionId,
        /// The timeout that the server granted.
        timeout: Duration,
    },
    /// The connection is gone; the session may live on.
    Disconnected,
    /// The session is over, and all that was asked in it.
    Expired,
    /// What [`Effect::ReadAndWatch`] read under this ticket has changed since, or nobody can tell any more.
    Fired(Ticket),
}
