//! A journal, for people: one line a record, in lanes.
//!
//! Lanes from left to right: the source and ZooKeeper, the network, canald and its disk, the clients. The
//! network's lane is left out: what arrives is told by whoever takes it.

use std::time::Duration;

use crate::host::Host;
use crate::journal::{
    ClientRecord, DaemonRecord, DiskRecord, Record, SourceRecord, ZkChange, ZkRecord,
};
use crate::model::history::{Body, Committed};

/// How far each lane stands to the right.
const CANALD_LANE: usize = 8;
const DISK_LANE: usize = 16;
const CLIENT_LANE: usize = 24;

/// The line of a record; none if it says nothing that another does not.
#[must_use]
pub fn line(at: Duration, record: &Record) -> Option<String> {
    let (lane, text) = match record {
        Record::Source(record) => (0, format!("source: {}", source(record))),
        Record::Client(place, record) => {
            (CLIENT_LANE, format!("client-{place}: {}", client(record)))
        }
        Record::Daemon(record) => (CANALD_LANE, format!("canald: {}", daemon(record))),
        Record::Disk(record) => (DISK_LANE, format!("disk: {}", disk(record))),
        Record::Network(_) => return None,
        Record::ZooKeeper(record) => (0, format!("zookeeper: {}", zookeeper(record))),
        Record::Fault(text) => (0, format!("==== {text}")),
        Record::Healed => (0, "==== all is well from here on".to_owned()),
    };
    Some(format!("{:>12.6} {:lane$}{text}", at.as_secs_f64(), ""))
}

fn source(record: &SourceRecord) -> String {
    match record {
        SourceRecord::Committed(committed) => format!("commits {}", transaction(committed)),
        SourceRecord::Up => "up".to_owned(),
        SourceRecord::Down => "down".to_owned(),
        SourceRecord::Dump {
            connection,
            file,
            offset,
        } => format!("connection {connection} reads from {file}:{offset}"),
        SourceRecord::Sent {
            connection,
            file,
            offset,
        } => format!("connection {connection} has all before {file}:{offset}"),
        SourceRecord::Refused { connection, why } => {
            format!("connection {connection} is refused: {why}")
        }
    }
}

fn zookeeper(record: &ZkRecord) -> String {
    let whose = |by: &Option<Host>| by.map_or_else(|| "nobody".to_owned(), |by| by.to_string());
    match record {
        ZkRecord::SessionBegun {
            zxid,
            session,
            timeout,
            by,
        } => {
            let (by, zxid) = (whose(by), zxid.0);
            format!("[{zxid:#x}] session {session} of {by} begins, for {timeout:?}")
        }
        ZkRecord::SessionResumed {
            session,
            server,
            by,
        } => format!("session {session} of {} goes on at {server}", whose(by)),
        ZkRecord::SessionEnded {
            zxid,
            session,
            expired,
        } => {
            let how = if *expired { "expires" } else { "is closed" };
            format!("[{:#x}] session {session} {how}", zxid.0)
        }
        ZkRecord::Applied {
            zxid,
            session,
            change,
        } => {
            let by = session.map_or_else(|| "by hand".to_owned(), |session| session.to_string());
            format!("[{:#x}] {by}: {}", zxid.0, zookeeper_change(change))
        }
        ZkRecord::AnswerLost { zxid, .. } => format!("[{:#x}] is not answered", zxid.0),
        ZkRecord::Leader(Some(server)) => format!("{server} leads"),
        ZkRecord::Leader(None) => "nobody leads".to_owned(),
        ZkRecord::Up(server) => format!("{server} is up"),
        ZkRecord::Down(server) => format!("{server} is down"),
        ZkRecord::Wiped => "all is forgotten".to_owned(),
    }
}

fn zookeeper_change(change: &ZkChange) -> String {
    match change {
        ZkChange::Created {
            path,
            data,
            owner: Some(_),
        } => format!("{path} is made, ephemeral: {data:?}"),
        ZkChange::Created {
            path,
            data,
            owner: None,
        } => format!("{path} is made: {data:?}"),
        ZkChange::Written {
            path,
            data,
            version,
        } => format!("{path} is now, at version {version}: {data:?}"),
        ZkChange::Deleted { path } => format!("{path} is deleted"),
    }
}

fn transaction(committed: &Committed) -> String {
    let Committed {
        number,
        file,
        start,
        body,
        ..
    } = committed;
    let what = match body {
        Body::Ddl(ddl) => ddl.sql.clone(),
        Body::Rows(events) => {
            let events: Vec<String> = events
                .iter()
                .map(|event| format!("{:?} {} {}", event.kind, event.rows.len(), event.table.name))
                .collect();
            events.join(", ")
        }
    };
    format!("transaction {number} at {file}:{start}: {what}")
}

fn client(record: &ClientRecord) -> String {
    match record {
        ClientRecord::Subscribed { connection } => format!("[{connection}] subscribed"),
        ClientRecord::Got {
            connection,
            batch,
            entries,
        } => {
            let place = |entry: &canald_core::entry::proto::Entry| {
                let header = entry.header.as_ref();
                let file = header
                    .and_then(|h| h.logfile_name.clone())
                    .unwrap_or_default();
                let offset = header.and_then(|h| h.logfile_offset).unwrap_or_default();
                format!("{file}:{offset}")
            };
            let first = entries.first().map(place).unwrap_or_default();
            let last = entries.last().map(place).unwrap_or_default();
            let count = entries.len();
            format!("[{connection}] got batch {batch}, {count} entries, {first} to {last}")
        }
        ClientRecord::Nothing { connection } => format!("[{connection}] got nothing"),
        ClientRecord::Acked { connection, batch } => format!("[{connection}] acks {batch}"),
        ClientRecord::AckedWrongly { connection, batch } => {
            format!("[{connection}] acks {batch}, which it must not")
        }
        ClientRecord::RolledBack {
            connection,
            from: Some(from),
        } => format!("[{connection}] takes back {from} and later ones"),
        ClientRecord::RolledBack {
            connection,
            from: None,
        } => format!("[{connection}] takes back all"),
        ClientRecord::Refused { connection, why } => format!("[{connection}] is refused: {why}"),
        ClientRecord::Ended { connection, why } => format!("[{connection}] ended: {why}"),
    }
}

fn daemon(record: &DaemonRecord) -> String {
    match record {
        DaemonRecord::Started(life) => format!("life {life} begins"),
        DaemonRecord::Ready => "takes connections".to_owned(),
        DaemonRecord::Crashed => "is gone".to_owned(),
        DaemonRecord::Stopped => "has stopped".to_owned(),
        DaemonRecord::Failed(why) => format!("failed: {why}"),
        DaemonRecord::Paused => "stands still".to_owned(),
        DaemonRecord::Resumed => "goes on".to_owned(),
        DaemonRecord::Standing { stage, reason } => format!("is {stage}: {reason}"),
        DaemonRecord::Log { level, text } => format!("{level} {text}"),
    }
}

fn disk(record: &DiskRecord) -> String {
    match record {
        DiskRecord::Wrote { path, bytes } => format!("{bytes} bytes to {path}"),
        DiskRecord::Synced { path } => format!("{path} is safe"),
        DiskRecord::Renamed { from, to } => format!("{from} is now {to}"),
        DiskRecord::FolderSynced { folder, .. } => format!("the names in {folder} are safe"),
        DiskRecord::Failed { step, path, why } => format!("{step} of {path} fails: {why}"),
        DiskRecord::PowerLost { holds } => {
            format!("the power goes; {} files are left", holds.len())
        }
        DiskRecord::Loaded { path, found: true } => format!("{path} is read"),
        DiskRecord::Loaded { path, found: false } => format!("{path} is not there"),
    }
}
