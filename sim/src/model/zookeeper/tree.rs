//! What one server knows: nodes and sessions, as of one transaction.
//!
//! A change is applied whole or refused whole, and always the same way: servers that apply the same changes
//! in the same order know the same. Time and transaction numbers are arguments. Bounds: memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use canald_core::coordination::{ZkSessionId, Zxid};

use crate::journal::ZkChange;

/// Bytes of a session's password.
pub(super) const PASSWORD_BYTES: usize = 16;

/// The version that matches any.
const ANY_VERSION: i32 = -1;

/// What ZooKeeper says of a node beside its data, by the names of its manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The transaction that made it.
    pub czxid: Zxid,
    /// The last one that changed its data.
    pub mzxid: Zxid,
    /// The last one that changed which children it has.
    pub pzxid: Zxid,
    /// When it was made, in milliseconds since 1970.
    pub ctime: i64,
    /// When its data was changed last.
    pub mtime: i64,
    /// How often its data was changed.
    pub version: i32,
    /// How often its children were changed.
    pub cversion: i32,
    /// The session that it lives and dies with.
    pub owner: Option<ZkSessionId>,
    /// Bytes of its data.
    pub data_length: usize,
    /// How many children it has.
    pub children: usize,
}

/// A node.
#[derive(Clone, Debug)]
struct Node {
    data: Bytes,
    czxid: Zxid,
    mzxid: Zxid,
    pzxid: Zxid,
    ctime: i64,
    mtime: i64,
    version: i32,
    cversion: i32,
    owner: Option<ZkSessionId>,
    children: BTreeSet<String>,
}

impl Node {
    const fn new(data: Bytes, owner: Option<ZkSessionId>, stamp: Stamp) -> Self {
        Self {
            data,
            czxid: stamp.zxid,
            mzxid: stamp.zxid,
            pzxid: stamp.zxid,
            ctime: stamp.millis,
            mtime: stamp.millis,
            version: 0,
            cversion: 0,
            owner,
            children: BTreeSet::new(),
        }
    }

    fn stat(&self) -> Stat {
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            pzxid: self.pzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion,
            owner: self.owner,
            data_length: self.data.len(),
            children: self.children.len(),
        }
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// How long it outlives the last word of its client.
    pub(super) timeout: Duration,
    /// What its client must know to go on with it.
    pub(super) password: [u8; PASSWORD_BYTES],
}

/// Number and time of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) zxid: Zxid,
    /// Since 1970.
    pub(super) millis: i64,
}

/// One step of a change of nodes. A version of -1 is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The node exists, at this version.
    Check { path: String, version: i32 },
    /// Makes a node.
    Create {
        path: String,
        data: Bytes,
        ephemeral: bool,
    },
    /// Replaces its data.
    Write {
        path: String,
        data: Bytes,
        version: i32,
    },
    /// Deletes it.
    Delete { path: String, version: i32 },
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// One step.
    One(Step),
    /// All steps or none.
    All(Vec<Step>),
    /// Begins the session.
    Open(Session),
    /// Ends the session, and its ephemeral nodes.
    Close {
        /// Not by its own client, but because nothing was heard of it, or by hand.
        expired: bool,
    },
}

/// Why a step was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The node, or its parent, is absent.
    NoNode,
    /// It is at another version.
    BadVersion,
    /// Its parent is ephemeral.
    NoChildrenForEphemerals,
    /// It is there already.
    NodeExists,
    /// It has children.
    NotEmpty,
    /// The root cannot be made or deleted.
    BadArguments,
    /// The session that asks is over.
    SessionExpired,
}

/// What a step brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Checked,
    Created(String, Stat),
    Written(Stat),
    Deleted,
}

/// What a change brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// [`Change::One`].
    One(Done),
    /// [`Change::All`].
    All(Vec<Done>),
    /// A session began or ended.
    Session,
    /// [`Change::One`] was refused.
    Refused(Refusal),
    /// [`Change::All`] was refused, for this step, counted from 0.
    StepRefused(usize, Refusal),
}

/// What one server knows.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    sessions: BTreeMap<ZkSessionId, Session>,
    /// The last transaction that was applied.
    zxid: Zxid,
}

impl Tree {
    /// A root, and nothing else.
    pub(super) fn new() -> Self {
        let before_all = Stamp {
            zxid: Zxid(0),
            millis: 0,
        };
        let root = Node::new(Bytes::new(), None, before_all);
        Self {
            nodes: BTreeMap::from([("/".to_owned(), root)]),
            sessions: BTreeMap::new(),
            zxid: before_all.zxid,
        }
    }

    /// The last transaction that was applied.
    pub(super) const fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// A session that is not over.
    pub(super) fn session(&self, id: ZkSessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// All sessions that are not over.
    pub(super) fn sessions(&self) -> impl Iterator<Item = (ZkSessionId, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session))
    }

    /// What is said of a node, if it is there.
    pub(super) fn stat(&self, path: &str) -> Option<Stat> {
        self.nodes.get(path).map(Node::stat)
    }

    /// A node's data.
    pub(super) fn data(&self, path: &str) -> Option<(Bytes, Stat)> {
        let node = self.nodes.get(path)?;
        Some((node.data.clone(), node.stat()))
    }

    /// The names of a node's children, in order.
    pub(super) fn children(&self, path: &str) -> Option<(Vec<String>, Stat)> {
        let node = self.nodes.get(path)?;
        Some((node.children.iter().cloned().collect(), node.stat()))
    }

    /// Applies a change that a session asked for; what it brought, and what is different now, in order.
    pub(super) fn apply(
        &mut self,
        stamp: Stamp,
        session: Option<ZkSessionId>,
        change: &Change,
    ) -> (Outcome, Vec<ZkChange>) {
        self.zxid = stamp.zxid;
        let alive = session.is_none_or(|id| self.sessions.contains_key(&id));
        let mut changes = Vec::new();
        let outcome = match (change, session) {
            (Change::Open(new), Some(id)) => {
                self.sessions.insert(id, new.clone());
                Outcome::Session
            }
            (Change::Close { .. }, Some(id)) => {
                self.close(stamp, id, &mut changes);
                Outcome::Session
            }
            (Change::Open(_) | Change::Close { .. }, None) => {
                unreachable!("sessions are opened and closed by their id")
            }
            (Change::One(_) | Change::All(_), _) if !alive => {
                Outcome::Refused(Refusal::SessionExpired)
            }
            (Change::One(step), _) => match self.step(stamp, session, step, &mut changes) {
                Ok(done) => Outcome::One(done),
                Err(refusal) => Outcome::Refused(refusal),
            },
            (Change::All(steps), _) => self.all(stamp, session, steps, &mut changes),
        };
        (outcome, changes)
    }

    /// All steps or none: they are tried on a copy, which replaces the original when all went well.
    fn all(
        &mut self,
        stamp: Stamp,
        session: Option<ZkSessionId>,
        steps: &[Step],
        changes: &mut Vec<ZkChange>,
    ) -> Outcome {
        let mut trial = self.clone();
        let mut done = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            match trial.step(stamp, session, step, changes) {
                Ok(one) => done.push(one),
                Err(refusal) => {
                    changes.clear();
                    return Outcome::StepRefused(index, refusal);
                }
            }
        }
        *self = trial;
        Outcome::All(done)
    }

    fn step(
        &mut self,
        stamp: Stamp,
        session: Option<ZkSessionId>,
        step: &Step,
        changes: &mut Vec<ZkChange>,
    ) -> Result<Done, Refusal> {
        match step {
            Step::Check { path, version } => {
                self.at_version(path, *version)?;
                Ok(Done::Checked)
            }
            Step::Create {
                path,
                data,
                ephemeral,
            } => {
                let owner = session.filter(|_| *ephemeral);
                let stat = self.create(stamp, path, data, owner)?;
                changes.push(ZkChange::Created {
                    path: path.as_str().into(),
                    data: data.clone(),
                    owner,
                });
                Ok(Done::Created(path.clone(), stat))
            }
            Step::Write {
                path,
                data,
                version,
            } => {
                let node = self.at_version(path, *version)?;
                node.data = data.clone();
                node.version = node.version.wrapping_add(1);
                (node.mzxid, node.mtime) = (stamp.zxid, stamp.millis);
                changes.push(ZkChange::Written {
                    path: path.as_str().into(),
                    data: data.clone(),
                    version: node.version,
                });
                Ok(Done::Written(node.stat()))
            }
            Step::Delete { path, version } => {
                let node = self.at_version(path, *version)?;
                if !node.children.is_empty() {
                    return Err(Refusal::NotEmpty);
                }
                self.delete(stamp, path)?;
                changes.push(ZkChange::Deleted {
                    path: path.as_str().into(),
                });
                Ok(Done::Deleted)
            }
        }
    }

    fn create(
        &mut self,
        stamp: Stamp,
        path: &str,
        data: &Bytes,
        owner: Option<ZkSessionId>,
    ) -> Result<Stat, Refusal> {
        let (parent, name) = split(path).ok_or(Refusal::BadArguments)?;
        let exists = self.nodes.contains_key(path);
        let parent = self.nodes.get_mut(parent).ok_or(Refusal::NoNode)?;
        if parent.owner.is_some() {
            return Err(Refusal::NoChildrenForEphemerals);
        }
        if exists {
            return Err(Refusal::NodeExists);
        }
        parent.children.insert(name.to_owned());
        parent.cversion = parent.cversion.wrapping_add(1);
        parent.pzxid = stamp.zxid;
        let node = Node::new(data.clone(), owner, stamp);
        let stat = node.stat();
        self.nodes.insert(path.to_owned(), node);
        Ok(stat)
    }

    /// Deletes a node that is there and has no children.
    fn delete(&mut self, stamp: Stamp, path: &str) -> Result<(), Refusal> {
        let (parent, name) = split(path).ok_or(Refusal::BadArguments)?;
        self.nodes.remove(path);
        let parent = self.nodes.get_mut(parent);
        let parent = parent.expect("every node but the root has a parent");
        parent.children.remove(name);
        parent.cversion = parent.cversion.wrapping_add(1);
        parent.pzxid = stamp.zxid;
        Ok(())
    }

    fn at_version(&mut self, path: &str, version: i32) -> Result<&mut Node, Refusal> {
        let node = self.nodes.get_mut(path).ok_or(Refusal::NoNode)?;
        if version != ANY_VERSION && version != node.version {
            return Err(Refusal::BadVersion);
        }
        Ok(node)
    }

    fn close(&mut self, stamp: Stamp, session: ZkSessionId, changes: &mut Vec<ZkChange>) {
        if self.sessions.remove(&session).is_none() {
            return;
        }
        let is_owned = |(path, node): (&String, &Node)| {
            let owned = node.owner == Some(session);
            owned.then(|| path.clone())
        };
        let owned: Vec<String> = self.nodes.iter().filter_map(is_owned).collect();
        for path in owned {
            self.delete(stamp, &path)
                .expect("the root is owned by nobody");
            changes.push(ZkChange::Deleted {
                path: Arc::from(path),
            });
        }
    }
}

/// The path of a node's parent, and its own name; none for the root and for what is no path.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    if name.is_empty() {
        return None;
    }
    Some((if parent.is_empty() { "/" } else { parent }, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ZkSessionId = ZkSessionId(1);
    const TWO: ZkSessionId = ZkSessionId(2);

    /// A tree, and the number of its last transaction.
    struct Rig(Tree, i64);

    impl Rig {
        fn new() -> Self {
            let mut rig = Self(Tree::new(), 0);
            for id in [ONE, TWO] {
                let session = Session {
                    timeout: Duration::from_secs(4),
                    password: [0; PASSWORD_BYTES],
                };
                rig.run(id, &Change::Open(session));
            }
            rig
        }

        fn run(&mut self, session: ZkSessionId, change: &Change) -> (Outcome, Vec<ZkChange>) {
            self.1 += 1;
            let stamp = Stamp {
                zxid: Zxid(self.1),
                millis: self.1 * 1000,
            };
            self.0.apply(stamp, Some(session), change)
        }

        fn one(&mut self, step: Step) -> Result<Done, Refusal> {
            match self.run(ONE, &Change::One(step)).0 {
                Outcome::One(done) => Ok(done),
                Outcome::Refused(refusal) => Err(refusal),
                other @ (Outcome::All(_) | Outcome::Session | Outcome::StepRefused(..)) => {
                    panic!("{other:?}")
                }
            }
        }
    }

    fn create(path: &str, ephemeral: bool) -> Step {
        Step::Create {
            path: path.into(),
            data: Bytes::from_static(b"data"),
            ephemeral,
        }
    }

    fn write(path: &str, version: i32) -> Step {
        Step::Write {
            path: path.into(),
            data: Bytes::from_static(b"more data"),
            version,
        }
    }

    fn delete(path: &str, version: i32) -> Step {
        Step::Delete {
            path: path.into(),
            version,
        }
    }

    fn check(path: &str, version: i32) -> Step {
        Step::Check {
            path: path.into(),
            version,
        }
    }

    #[test]
    fn each_refusal_has_its_reason_and_changes_nothing() {
        let mut rig = Rig::new();
        rig.one(create("/a", false)).unwrap();
        rig.one(create("/a/b", false)).unwrap();
        rig.one(create("/a/e", true)).unwrap();
        let before = format!("{:?}", rig.0.nodes);
        for (step, refusal) in [
            (create("/a", false), Refusal::NodeExists),
            (create("/x/y", false), Refusal::NoNode),
            (create("/", false), Refusal::BadArguments),
            (create("/a/e/f", false), Refusal::NoChildrenForEphemerals),
            (write("/x", -1), Refusal::NoNode),
            (write("/a", 1), Refusal::BadVersion),
            (check("/x", -1), Refusal::NoNode),
            (check("/a", 7), Refusal::BadVersion),
            (delete("/x", -1), Refusal::NoNode),
            (delete("/a", 3), Refusal::BadVersion),
            (delete("/a", 0), Refusal::NotEmpty),
        ] {
            assert_eq!(rig.one(step.clone()), Err(refusal), "{step:?}");
            assert_eq!(format!("{:?}", rig.0.nodes), before, "{step:?}");
        }
        let late = rig.run(ZkSessionId(3), &Change::One(write("/a", -1)));
        assert_eq!(
            late,
            (Outcome::Refused(Refusal::SessionExpired), Vec::new())
        );
        assert_eq!(
            rig.0.zxid(),
            Zxid(rig.1),
            "a refusal is a transaction as well"
        );
    }

    #[test]
    fn versions_and_transactions_are_counted_as_the_manual_says() {
        let mut rig = Rig::new();
        rig.one(create("/a", false)).unwrap();
        let made = Zxid(rig.1);
        rig.one(create("/a/b", true)).unwrap();
        let child = Zxid(rig.1);
        let stat = rig.0.stat("/a").unwrap();
        assert_eq!((stat.cversion, stat.pzxid, stat.children), (1, child, 1));
        let Ok(Done::Written(stat)) = rig.one(write("/a", 0)) else {
            panic!("it was at version 0");
        };
        assert_eq!(
            (stat.czxid, stat.mzxid, stat.pzxid),
            (made, Zxid(rig.1), child)
        );
        assert_eq!((stat.version, stat.data_length), (1, 9));
        assert_eq!(stat.mtime, rig.1 * 1000);
        assert_eq!(rig.0.stat("/a/b").unwrap().owner, Some(ONE));
        rig.one(delete("/a/b", 0)).unwrap();
        let stat = rig.0.stat("/a").unwrap();
        assert_eq!(
            (stat.cversion, stat.pzxid, stat.children),
            (2, Zxid(rig.1), 0)
        );
        assert_eq!(rig.0.children("/").unwrap().0, ["a"]);
    }

    #[test]
    fn a_multi_does_all_its_steps_or_none() {
        let mut rig = Rig::new();
        rig.one(create("/a", false)).unwrap();
        let before = format!("{:?}", rig.0.nodes);
        let steps = vec![write("/a", 0), create("/b", false), check("/a", 0)];
        let (outcome, changes) = rig.run(ONE, &Change::All(steps));
        assert_eq!(outcome, Outcome::StepRefused(2, Refusal::BadVersion));
        assert!(changes.is_empty());
        assert_eq!(format!("{:?}", rig.0.nodes), before);
        // Each step sees what those before it did.
        let steps = vec![
            check("/a", 0),
            write("/a", 0),
            check("/a", 1),
            create("/b", false),
            delete("/b", 0),
        ];
        let (outcome, changes) = rig.run(ONE, &Change::All(steps));
        let Outcome::All(done) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(done.len(), 5);
        assert_eq!(changes.len(), 3);
        assert_eq!(rig.0.stat("/a").unwrap().mzxid, Zxid(rig.1));
        assert!(rig.0.stat("/b").is_none());
    }

    #[test]
    fn ephemeral_nodes_end_with_their_session_and_no_other() {
        let mut rig = Rig::new();
        rig.one(create("/a", false)).unwrap();
        rig.one(create("/a/mine", true)).unwrap();
        rig.one(create("/mine", true)).unwrap();
        rig.run(TWO, &Change::One(create("/theirs", true)));
        let (outcome, changes) = rig.run(ONE, &Change::Close { expired: true });
        assert_eq!(outcome, Outcome::Session);
        let gone = ["/a/mine", "/mine"].map(|path| ZkChange::Deleted { path: path.into() });
        assert_eq!(changes, gone);
        assert_eq!(rig.0.stat("/theirs").unwrap().owner, Some(TWO));
        assert!(rig.0.session(ONE).is_none());
        let again = rig.run(ONE, &Change::Close { expired: false });
        assert!(again.1.is_empty());
    }
}
