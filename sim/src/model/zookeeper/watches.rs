//! Who waits for what: the watches of one connection. Each fires once.

use std::collections::BTreeSet;

use canald_core::coordination::Zxid;

use super::tree::{Tree, split};
use crate::journal::ZkChange;

/// What a watch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EventKind {
    NodeCreated,
    NodeDeleted,
    DataChanged,
    ChildrenChanged,
}

/// What a watch says, and of which node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: EventKind,
    pub(super) path: String,
}

impl Event {
    fn new(kind: EventKind, path: &str) -> Self {
        Self {
            kind,
            path: path.to_owned(),
        }
    }

    /// What watches may say of a change, in the order in which they say it.
    pub(super) fn of(change: &ZkChange) -> Vec<Self> {
        let of_parent = |path: &str| {
            split(path).map(|(parent, _)| Self::new(EventKind::ChildrenChanged, parent))
        };
        match change {
            ZkChange::Created { path, .. } => [Self::new(EventKind::NodeCreated, path)]
                .into_iter()
                .chain(of_parent(path))
                .collect(),
            ZkChange::Deleted { path } => [Self::new(EventKind::NodeDeleted, path)]
                .into_iter()
                .chain(of_parent(path))
                .collect(),
            ZkChange::Written { path, .. } => vec![Self::new(EventKind::DataChanged, path)],
        }
    }
}

/// Which watches of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchKind {
    /// Of its children.
    Children,
    /// Of its data, or of its being there.
    Data,
    /// Both.
    Any,
}

/// The watches that a client sets again on a new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rearmed {
    /// What happened after it, the client has not seen.
    pub(super) seen: Zxid,
    /// Of data.
    pub(super) data: Vec<String>,
    /// Of nodes that were absent.
    pub(super) absent: Vec<String>,
    /// Of children.
    pub(super) children: Vec<String>,
}

/// The watches of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    /// Of data, and of nodes that are absent.
    data: BTreeSet<String>,
    children: BTreeSet<String>,
}

impl Watches {
    /// Watches a node's data, or for its being made.
    pub(super) fn watch_data(&mut self, path: &str) {
        self.data.insert(path.to_owned());
    }

    /// Watches which children a node has.
    pub(super) fn watch_children(&mut self, path: &str) {
        self.children.insert(path.to_owned());
    }

    /// Whether the connection is told of an event, which ends the watches that it is told by.
    pub(super) fn fire(&mut self, event: &Event) -> bool {
        match event.kind {
            EventKind::NodeCreated | EventKind::DataChanged => self.data.remove(&event.path),
            EventKind::ChildrenChanged => self.children.remove(&event.path),
            EventKind::NodeDeleted => {
                let data = self.data.remove(&event.path);
                self.children.remove(&event.path) || data
            }
        }
    }

    /// Forgets watches of a node. False if there are none.
    pub(super) fn forget(&mut self, path: &str, kind: WatchKind) -> bool {
        let data = kind != WatchKind::Children && self.data.remove(path);
        let children = kind != WatchKind::Data && self.children.remove(path);
        data || children
    }

    /// Sets watches again. What happened in between fires at once, and its watch is not set.
    pub(super) fn set_again(&mut self, tree: &Tree, again: &Rearmed) -> Vec<Event> {
        let mut events = Vec::new();
        for path in &again.data {
            match tree.stat(path) {
                None => events.push(Event::new(EventKind::NodeDeleted, path)),
                Some(stat) if stat.mzxid > again.seen => {
                    events.push(Event::new(EventKind::DataChanged, path));
                }
                Some(_) => self.watch_data(path),
            }
        }
        for path in &again.absent {
            match tree.stat(path) {
                None => self.watch_data(path),
                Some(_) => events.push(Event::new(EventKind::NodeCreated, path)),
            }
        }
        for path in &again.children {
            match tree.stat(path) {
                None => events.push(Event::new(EventKind::NodeDeleted, path)),
                Some(stat) if stat.pzxid > again.seen => {
                    events.push(Event::new(EventKind::ChildrenChanged, path));
                }
                Some(_) => self.watch_children(path),
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::tree::{Change, Stamp, Step};
    use super::*;

    fn told(watches: &mut Watches, change: &ZkChange) -> Vec<(EventKind, String)> {
        let events = Event::of(change).into_iter();
        let told = events.filter(|event| watches.fire(event));
        told.map(|event| (event.kind, event.path)).collect()
    }

    fn deleted(path: &str) -> ZkChange {
        ZkChange::Deleted { path: path.into() }
    }

    #[test]
    fn a_watch_fires_once_and_only_for_what_it_watches() {
        let mut watches = Watches::default();
        watches.watch_data("/a/b");
        watches.watch_children("/a");
        let written = ZkChange::Written {
            path: "/a/b".into(),
            data: Bytes::new(),
            version: 1,
        };
        assert_eq!(
            told(&mut watches, &written),
            [(EventKind::DataChanged, "/a/b".to_owned())]
        );
        assert_eq!(told(&mut watches, &written), []);
        assert_eq!(told(&mut watches, &deleted("/x")), []);
        let parent = (EventKind::ChildrenChanged, "/a".to_owned());
        assert_eq!(told(&mut watches, &deleted("/a/b")), [parent]);
        assert_eq!(told(&mut watches, &deleted("/a/c")), []);
    }

    #[test]
    fn a_deletion_is_told_once_to_who_watches_data_and_children() {
        let mut watches = Watches::default();
        watches.watch_data("/a");
        watches.watch_children("/a");
        let event = (EventKind::NodeDeleted, "/a".to_owned());
        assert_eq!(told(&mut watches, &deleted("/a")), [event]);
        assert!(!watches.forget("/a", WatchKind::Any));
    }

    #[test]
    fn forgetting_is_by_kind() {
        let mut watches = Watches::default();
        watches.watch_data("/a");
        assert!(!watches.forget("/a", WatchKind::Children));
        assert!(watches.forget("/a", WatchKind::Data));
        watches.watch_children("/a");
        assert!(watches.forget("/a", WatchKind::Any));
        assert!(told(&mut watches, &deleted("/a")).is_empty());
    }

    #[test]
    fn what_happened_meanwhile_fires_when_watches_are_set_again() {
        let mut tree = Tree::new();
        let mut at = 0;
        let mut run = |step| {
            at += 1;
            let stamp = Stamp {
                zxid: Zxid(at),
                millis: 0,
            };
            tree.apply(stamp, None, &Change::One(step));
        };
        for path in ["/same", "/written", "/parent", "/parent/child"] {
            run(Step::Create {
                path: path.into(),
                data: Bytes::new(),
                ephemeral: false,
            });
        }
        run(Step::Write {
            path: "/written".into(),
            data: Bytes::new(),
            version: -1,
        });
        let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let again = Rearmed {
            seen: Zxid(3),
            data: paths(&["/same", "/written", "/gone"]),
            absent: paths(&["/parent", "/absent"]),
            children: paths(&["/same", "/parent"]),
        };
        let mut watches = Watches::default();
        let events = watches.set_again(&tree, &again);
        let expected = [
            (EventKind::DataChanged, "/written"),
            (EventKind::NodeDeleted, "/gone"),
            (EventKind::NodeCreated, "/parent"),
            (EventKind::ChildrenChanged, "/parent"),
        ];
        assert_eq!(
            events,
            expected.map(|(kind, path)| Event::new(kind, path)).to_vec()
        );
        assert!(watches.forget("/same", WatchKind::Data));
        assert!(watches.forget("/same", WatchKind::Children));
        assert!(watches.forget("/absent", WatchKind::Data));
        assert!(!watches.forget("/parent", WatchKind::Any));
    }
}
