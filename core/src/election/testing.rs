//! ZooKeeper, as naively as can be: nodes, sessions and watches, one request after the other.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::coordination::{
    Effect, NodeLife, NodePath, NodeRead, NodeStat, NodeVersion, Outcome, Refusal, Step,
    StepRefusal, Ticket, Value, ZkSessionId, Zxid,
};
use crate::time::{Duration, Instant};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(6);

#[derive(Debug, Default)]
pub(crate) struct Model {
    nodes: BTreeMap<String, NodeRead>,
    last: i64,
    /// When the leader last heard of each session that lives.
    sessions: BTreeMap<ZkSessionId, Instant>,
    watches: BTreeMap<String, BTreeSet<(ZkSessionId, Ticket)>>,
    /// Watches that fired, to be delivered.
    pub(crate) fired: Vec<(ZkSessionId, Ticket)>,
}

impl Model {
    pub(crate) fn open(&mut self, now: Instant) -> ZkSessionId {
        self.last += 1;
        let id = ZkSessionId(self.last);
        self.sessions.insert(id, now);
        id
    }

    pub(crate) fn lives(&self, session: ZkSessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Ends every session that was not heard of for too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        let is_over = |heard: &Instant| now.since(*heard) > TIMEOUT;
        let over: Vec<ZkSessionId> = self
            .sessions
            .iter()
            .filter(|(_, heard)| is_over(heard))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.sessions.remove(&id);
            let of = |read: &NodeRead| read.stat.owner == Some(id);
            let gone: Vec<String> = self
                .nodes
                .iter()
                .filter(|(_, read)| of(read))
                .map(|(path, _)| path.clone())
                .collect();
            for path in gone {
                self.remove(&path);
            }
        }
    }

    pub(crate) fn node(&self, path: &NodePath) -> Option<&NodeRead> {
        self.nodes.get(path.as_str())
    }

    /// An operator deletes a node.
    pub(crate) fn remove(&mut self, path: &str) {
        if self.nodes.remove(path).is_some() {
            self.fire(path);
        }
    }

    /// An operator writes a node.
    pub(crate) fn rewrite(&mut self, path: &NodePath, data: &'static [u8]) {
        if let Some(read) = self.nodes.get_mut(path.as_str()) {
            read.data = Bytes::from_static(data);
            read.stat.version = read.stat.version.next();
            self.fire(path.as_str());
        }
    }

    pub(crate) fn perform(
        &mut self,
        now: Instant,
        session: ZkSessionId,
        ticket: Ticket,
        effect: Effect,
    ) -> Outcome {
        let Some(heard) = self.sessions.get_mut(&session) else {
            return Outcome::Unknown("the session is over".into());
        };
        // Whatever arrives keeps a session alive; only what the leader answers proves it.
        *heard = now;
        match self.apply(session, ticket, effect) {
            Ok(value) => Outcome::Done(value),
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn apply(
        &mut self,
        session: ZkSessionId,
        ticket: Ticket,
        effect: Effect,
    ) -> Result<Value, Refusal> {
        let plain = |refusal| match refusal {
            StepRefusal::NoNode => Refusal::NoNode,
            StepRefusal::NodeExists => Refusal::NodeExists,
            StepRefusal::BadVersion => Refusal::BadVersion,
            StepRefusal::NotEmpty => Refusal::NotEmpty,
        };
        match effect {
            Effect::Sync => Ok(Value::Done),
            Effect::Read(path) => Ok(Value::Node(self.nodes.get(path.as_str()).cloned())),
            Effect::ReadAndWatch(path) => {
                let watches = self.watches.entry(path.as_str().into()).or_default();
                watches.insert((session, ticket));
                Ok(Value::Node(self.nodes.get(path.as_str()).cloned()))
            }
            Effect::ReadChildren(path) => Ok(Value::Children(self.children(&path))),
            Effect::Create(path, data, life) => {
                let owner = matches!(life, NodeLife::Ephemeral).then_some(session);
                self.create(&path, data, owner).map_err(plain)?;
                Ok(Value::Done)
            }
            Effect::CreateAll(path) => {
                let parts = path.as_str().match_indices('/').skip(1).map(|(at, _)| at);
                let ends: Vec<usize> = parts.chain([path.as_str().len()]).collect();
                for end in ends {
                    let part = NodePath::new(path.as_str()[..end].into());
                    let _ = self.create(&part, Bytes::new(), None);
                }
                Ok(Value::Done)
            }
            Effect::Write(path, data, version) => {
                self.write(&path, data, version).map_err(plain)?;
                Ok(Value::Stat(self.nodes[path.as_str()].stat))
            }
            Effect::Delete(path, version) => {
                self.delete(&path, version).map_err(plain)?;
                Ok(Value::Done)
            }
            Effect::All(steps) => self.all(session, steps),
        }
    }

    fn all(&mut self, session: ZkSessionId, steps: Vec<Step>) -> Result<Value, Refusal> {
        let (nodes, last) = (self.nodes.clone(), self.last);
        for (nth, step) in steps.into_iter().enumerate() {
            let done = match step {
                Step::Check(path, version) => self.at(&path, version),
                Step::Create(path, data, life) => {
                    let owner = matches!(life, NodeLife::Ephemeral).then_some(session);
                    self.create(&path, data, owner)
                }
                Step::Write(path, data, version) => self.write(&path, data, version),
                Step::Delete(path, version) => self.delete(&path, version),
            };
            if let Err(refusal) = done {
                (self.nodes, self.last) = (nodes, last);
                return Err(Refusal::Step(nth, refusal));
            }
        }
        Ok(Value::Done)
    }

    fn at(&self, path: &NodePath, version: NodeVersion) -> Result<(), StepRefusal> {
        let read = self.nodes.get(path.as_str()).ok_or(StepRefusal::NoNode)?;
        if read.stat.version == version {
            Ok(())
        } else {
            Err(StepRefusal::BadVersion)
        }
    }

    fn create(
        &mut self,
        path: &NodePath,
        data: Bytes,
        owner: Option<ZkSessionId>,
    ) -> Result<(), StepRefusal> {
        let (parent, _) = path.as_str().rsplit_once('/').unwrap();
        if !parent.is_empty() && !self.nodes.contains_key(parent) {
            return Err(StepRefusal::NoNode);
        }
        if self.nodes.contains_key(path.as_str()) {
            return Err(StepRefusal::NodeExists);
        }
        self.last += 1;
        let stat = NodeStat {
            created: Zxid(self.last),
            version: NodeVersion(0),
            owner,
        };
        self.nodes
            .insert(path.as_str().into(), NodeRead { data, stat });
        self.fire(path.as_str());
        Ok(())
    }

    fn write(
        &mut self,
        path: &NodePath,
        data: Bytes,
        version: NodeVersion,
    ) -> Result<(), StepRefusal> {
        self.at(path, version)?;
        let read = self.nodes.get_mut(path.as_str()).unwrap();
        read.data = data;
        read.stat.version = version.next();
        self.fire(path.as_str());
        Ok(())
    }

    fn delete(&mut self, path: &NodePath, version: NodeVersion) -> Result<(), StepRefusal> {
        self.at(path, version)?;
        let prefix = alloc::format!("{path}/");
        if self.nodes.keys().any(|path| path.starts_with(&prefix)) {
            return Err(StepRefusal::NotEmpty);
        }
        self.remove(path.as_str());
        Ok(())
    }

    fn children(&self, path: &NodePath) -> Option<Vec<(String, NodeRead)>> {
        self.nodes.get(path.as_str())?;
        let prefix = alloc::format!("{path}/");
        let children = self.nodes.iter().filter_map(|(path, read)| {
            let name = path.strip_prefix(&prefix)?;
            (!name.contains('/')).then(|| (name.into(), read.clone()))
        });
        Some(children.collect())
    }

    fn fire(&mut self, path: &str) {
        self.fired
            .extend(self.watches.remove(path).unwrap_or_default());
    }
}
