//! One effect against one session: what is sent, and what the answer means.
//!
//! Bounds: a request holds at most [`REQUEST_BYTES_MAX`] bytes, or it is refused before it is sent, because a
//! server drops the whole connection over it; of the children of a node, [`READS_AT_ONCE`] are asked for at
//! once. Nothing is tried again.

use bytes::Bytes;
use canald_core::coordination::{
    Effect, NODE_BYTES_MAX, NodeLife, NodePath, NodeRead, NodeStat, NodeVersion, Outcome, Refusal,
    Step, StepRefusal, Value, ZkSessionId, Zxid,
};
use zookeeper_client::{
    Acls, Client, CreateMode, Error, MultiWriteError, MultiWriter, OneshotWatcher, Stat,
};

/// Bytes of a request: what a server takes by default (`jute.maxbuffer`), one less than data could have.
pub(super) const REQUEST_BYTES_MAX: usize = NODE_BYTES_MAX - 1;
/// Bytes of a request beside its steps: two numbers before them, and the end of a transaction.
const HEAD_BYTES: usize = 32;
/// Bytes of a step beside its path and data: kind, lengths, flags, version, and the ACL "anyone all".
const STEP_BYTES: usize = 64;
/// What stands for the owner of a container, which lives until its last child is gone.
const CONTAINER_OWNER: i64 = i64::MIN;
/// Children whose reads are on their way at once.
const READS_AT_ONCE: usize = 64;

/// How an effect ended, and for [`Effect::ReadAndWatch`] who tells of a change.
pub(super) type Performed = (Outcome, Option<OneshotWatcher>);

/// Why an effect did not end as it should.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Refused(Refusal),
    Unknown(String),
}

impl From<Error> for Fault {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library may add errors; what one that is not known here means, nobody knows"
    )]
    fn from(error: Error) -> Self {
        match error {
            Error::NoNode => Self::Refused(Refusal::NoNode),
            Error::NodeExists => Self::Refused(Refusal::NodeExists),
            Error::BadVersion => Self::Refused(Refusal::BadVersion),
            Error::NotEmpty => Self::Refused(Refusal::NotEmpty),
            Error::NoAuth
            | Error::NotReadOnly
            | Error::NoChildrenForEphemerals
            | Error::InvalidAcl
            | Error::QuotaExceeded
            | Error::Throttled
            | Error::Unimplemented
            | Error::BadArguments(_) => Self::Refused(Refusal::Forbidden(error.to_string())),
            _ => Self::Unknown(error.to_string()),
        }
    }
}

impl From<MultiWriteError> for Fault {
    fn from(error: MultiWriteError) -> Self {
        match error {
            MultiWriteError::RequestFailed { source } => source.into(),
            MultiWriteError::OperationFailed { index, source } => step_fault(index, source),
        }
    }
}

/// A transaction was answered with the fault of one of its steps, so none of it happened, whatever that fault is.
fn step_fault(index: usize, error: Error) -> Fault {
    let refusal = match Fault::from(error) {
        Fault::Refused(Refusal::NoNode) => StepRefusal::NoNode,
        Fault::Refused(Refusal::NodeExists) => StepRefusal::NodeExists,
        Fault::Refused(Refusal::BadVersion) => StepRefusal::BadVersion,
        Fault::Refused(Refusal::NotEmpty) => StepRefusal::NotEmpty,
        Fault::Refused(Refusal::Forbidden(why)) | Fault::Unknown(why) => {
            return Fault::Refused(Refusal::Forbidden(format!("step {index}: {why}")));
        }
        refused @ Fault::Refused(Refusal::Step(..)) => return refused,
    };
    Fault::Refused(Refusal::Step(index, refusal))
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(refusal) => Self::Refused(refusal),
            Fault::Unknown(how) => Self::Unknown(how),
        }
    }
}

/// Asks for `effect` in the session of `client`. The first poll sends what can be sent without an answer; a
/// future that is dropped afterwards takes nothing back.
pub(super) async fn perform(client: &Client, effect: Effect) -> Performed {
    if let Err(fault) = check_size(&effect, client.path().len()) {
        return (fault.into(), None);
    }
    let result = match effect {
        Effect::ReadAndWatch(path) => match read_and_watch(client, path.as_str()).await {
            Ok((node, watcher)) => return (Outcome::Done(Value::Node(node)), Some(watcher)),
            Err(fault) => Err(fault),
        },
        Effect::Read(path) => read(client, path.as_str()).await.map(Value::Node),
        Effect::ReadChildren(path) => read_children(client, &path).await.map(Value::Children),
        Effect::Create(path, data, life) => create(client, path.as_str(), &data, life).await,
        Effect::CreateAll(path) => create_all(client, path.as_str()).await,
        Effect::Write(path, data, version) => write(client, path.as_str(), &data, version).await,
        Effect::Delete(path, version) => delete(client, path.as_str(), version).await,
        Effect::All(steps) => all(client, &steps).await,
        Effect::Sync => sync(client).await,
    };
    (result.map_or_else(Outcome::from, Outcome::Done), None)
}

async fn read(client: &Client, path: &str) -> Result<Option<NodeRead>, Fault> {
    match client.get_data(path).await {
        Ok((data, stat)) => Ok(Some(node_read(data, &stat))),
        Err(Error::NoNode) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A node can appear and vanish between the requests. Then the watch is one set before the node was read, so it
/// may tell of a change that was read already, but it misses none.
async fn read_and_watch(
    client: &Client,
    path: &str,
) -> Result<(Option<NodeRead>, OneshotWatcher), Fault> {
    match client.get_and_watch_data(path).await {
        Ok((data, stat, watcher)) => return Ok((Some(node_read(data, &stat)), watcher)),
        Err(Error::NoNode) => {}
        Err(error) => return Err(error.into()),
    }
    let (stat, watcher) = client.check_and_watch_stat(path).await?;
    let node = match stat {
        None => None,
        Some(_) => read(client, path).await?,
    };
    Ok((node, watcher))
}

async fn read_children(
    client: &Client,
    parent: &NodePath,
) -> Result<Option<Vec<(String, NodeRead)>>, Fault> {
    let mut names = match client.list_children(parent.as_str()).await {
        Ok(names) => names,
        Err(Error::NoNode) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    names.sort_unstable();
    let mut children = Vec::with_capacity(names.len());
    for names in names.chunks(READS_AT_ONCE) {
        // Each is sent as soon as its future is made.
        let reads: Vec<_> = names
            .iter()
            .map(|name| client.get_data(parent.child(name).as_str()))
            .collect();
        for (name, read) in names.iter().zip(reads) {
            match read.await {
                Ok((data, stat)) => children.push((name.clone(), node_read(data, &stat))),
                Err(Error::NoNode) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(Some(children))
}

async fn create(client: &Client, path: &str, data: &[u8], life: NodeLife) -> Result<Value, Fault> {
    let mode = match life {
        NodeLife::Persistent => CreateMode::Persistent,
        NodeLife::Ephemeral => CreateMode::Ephemeral,
    };
    let options = mode.with_acls(Acls::anyone_all());
    client.create(path, data, &options).await?;
    Ok(Value::Done)
}

async fn create_all(client: &Client, path: &str) -> Result<Value, Fault> {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.mkdir(path, &options).await?;
    Ok(Value::Done)
}

async fn write(
    client: &Client,
    path: &str,
    data: &[u8],
    version: NodeVersion,
) -> Result<Value, Fault> {
    let stat = client.set_data(path, data, Some(version.0)).await?;
    Ok(Value::Stat(node_stat(&stat)))
}

async fn delete(client: &Client, path: &str, version: NodeVersion) -> Result<Value, Fault> {
    client.delete(path, Some(version.0)).await?;
    Ok(Value::Done)
}

/// Nothing is sent for no steps: all of them are done.
async fn all(client: &Client, steps: &[Step]) -> Result<Value, Fault> {
    let mut writer = client.new_multi_writer();
    for step in steps {
        add(&mut writer, step)?;
    }
    writer.commit().await?;
    Ok(Value::Done)
}

fn add(writer: &mut MultiWriter<'_>, step: &Step) -> Result<(), Error> {
    match step {
        Step::Check(path, version) => writer.add_check_version(path.as_str(), version.0),
        Step::Create(path, data) => {
            let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
            writer.add_create(path.as_str(), data, &options)
        }
        Step::Write(path, data, version) => {
            writer.add_set_data(path.as_str(), data, Some(version.0))
        }
        Step::Delete(path, version) => writer.add_delete(path.as_str(), Some(version.0)),
    }
}

/// The path matters to nobody: all of a server syncs with its leader.
async fn sync(client: &Client) -> Result<Value, Fault> {
    client.sync("/").await?;
    Ok(Value::Done)
}

fn check_size(effect: &Effect, chroot_bytes: usize) -> Result<(), Fault> {
    let step_bytes =
        |path: &NodePath, data: &[u8]| STEP_BYTES + chroot_bytes + path.as_str().len() + data.len();
    let steps: usize = match effect {
        Effect::ReadAndWatch(path)
        | Effect::Read(path)
        | Effect::ReadChildren(path)
        | Effect::CreateAll(path)
        | Effect::Delete(path, _) => step_bytes(path, &[]),
        Effect::Create(path, data, _) | Effect::Write(path, data, _) => step_bytes(path, data),
        Effect::All(steps) => steps
            .iter()
            .map(|step| match step {
                Step::Check(path, _) | Step::Delete(path, _) => step_bytes(path, &[]),
                Step::Create(path, data) | Step::Write(path, data, _) => step_bytes(path, data),
            })
            .sum(),
        Effect::Sync => 0,
    };
    let request = HEAD_BYTES + steps;
    if request <= REQUEST_BYTES_MAX {
        return Ok(());
    }
    Err(Fault::Refused(Refusal::Forbidden(format!(
        "the request has {request} bytes, and ZooKeeper takes at most {REQUEST_BYTES_MAX}"
    ))))
}

fn node_read(data: Vec<u8>, stat: &Stat) -> NodeRead {
    NodeRead {
        data: Bytes::from(data),
        stat: node_stat(stat),
    }
}

fn node_stat(stat: &Stat) -> NodeStat {
    let owner = stat.ephemeral_owner;
    NodeStat {
        created: Zxid(stat.czxid),
        version: NodeVersion(stat.version),
        owner: (owner != 0 && owner != CONTAINER_OWNER).then_some(ZkSessionId(owner)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(bytes: usize) -> NodePath {
        NodePath::new(format!("/{}", "x".repeat(bytes - 1)))
    }

    fn zeros(bytes: usize) -> Bytes {
        Bytes::from(vec![0; bytes])
    }

    #[test]
    fn what_was_not_done_is_refused() {
        for (error, refusal) in [
            (Error::NoNode, Refusal::NoNode),
            (Error::NodeExists, Refusal::NodeExists),
            (Error::BadVersion, Refusal::BadVersion),
            (Error::NotEmpty, Refusal::NotEmpty),
        ] {
            assert_eq!(Fault::from(error), Fault::Refused(refusal));
        }
        for error in [
            Error::NoAuth,
            Error::NotReadOnly,
            Error::NoChildrenForEphemerals,
            Error::InvalidAcl,
            Error::QuotaExceeded,
            Error::Throttled,
            Error::Unimplemented,
            Error::BadArguments(&"server error"),
        ] {
            let why = error.to_string();
            let refused = Fault::Refused(Refusal::Forbidden(why));
            assert_eq!(Fault::from(error), refused);
        }
    }

    #[test]
    fn what_may_have_been_done_is_unknown() {
        for error in [
            Error::ConnectionLoss,
            Error::SessionExpired,
            Error::SessionMoved,
            Error::ClientClosed,
            Error::AuthFailed,
            Error::Timeout,
            Error::MarshallingError,
            Error::UnexpectedErrorCode(-1),
        ] {
            let how = error.to_string();
            assert_eq!(Fault::from(error), Fault::Unknown(how));
        }
    }

    #[test]
    fn a_refused_step_is_named_in_whatever_way_it_is_refused() {
        let fault = |source| Fault::from(MultiWriteError::OperationFailed { index: 2, source });
        for (error, refusal) in [
            (Error::NoNode, StepRefusal::NoNode),
            (Error::NodeExists, StepRefusal::NodeExists),
            (Error::BadVersion, StepRefusal::BadVersion),
            (Error::NotEmpty, StepRefusal::NotEmpty),
        ] {
            assert_eq!(fault(error), Fault::Refused(Refusal::Step(2, refusal)));
        }
        for (error, why) in [
            (Error::NoAuth, "step 2: not authorized"),
            (
                Error::UnexpectedErrorCode(-9),
                "step 2: unexpected error code: -9",
            ),
        ] {
            assert_eq!(
                fault(error),
                Fault::Refused(Refusal::Forbidden(why.to_owned()))
            );
        }
        let lost = MultiWriteError::RequestFailed {
            source: Error::ConnectionLoss,
        };
        let how = "connection to server has lost".to_owned();
        assert_eq!(Fault::from(lost), Fault::Unknown(how));
    }

    #[test]
    fn a_request_is_measured_with_its_paths_and_below_its_chroot() {
        let room = REQUEST_BYTES_MAX - HEAD_BYTES - STEP_BYTES;
        let (path, chroot) = (path(100), 10);
        let write = |bytes| Effect::Write(path.clone(), zeros(bytes), NodeVersion(0));
        assert_eq!(check_size(&write(room - 110), chroot), Ok(()));
        assert!(check_size(&write(room - 109), chroot).is_err());
        assert!(check_size(&write(room - 110), chroot + 1).is_err());
        let check = || Step::Check(path.clone(), NodeVersion(0));
        let all = |bytes| Effect::All(vec![check(), Step::Create(path.clone(), zeros(bytes))]);
        assert_eq!(check_size(&all(room - STEP_BYTES - 220), chroot), Ok(()));
        assert!(check_size(&all(room - STEP_BYTES - 219), chroot).is_err());
    }
}
