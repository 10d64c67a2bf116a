//! What a destination must not forget: its file, how it is read at start, and how it is kept.

use core::future::Future;
use core::pin::Pin;
use std::path::{Path, PathBuf};

use canald_core::meta::java::decode_meta_dat;
use canald_core::meta::json::JsonFault;
use canald_core::meta::record::{MetaFault, MetaRecord, Origin, choose};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::files::{FileFault, Files, previous};
use crate::net::Net;

/// The file in a destination's folder.
pub const RECORD_FILE: &str = "canald.meta";

/// What a Java server leaves there; it is read once, when there is no [`RECORD_FILE`] yet.
pub const JAVA_FILE: &str = "meta.dat";

/// Why a destination has no record to go on from. It must not start: what clients acknowledged is not
/// known.
#[derive(Debug, Error)]
pub enum RecordFault {
    /// The disk does not give it.
    #[error(transparent)]
    File(#[from] FileFault),
    /// Neither it nor the one before is good.
    #[error("{path} and the one before it cannot be used: {fault}")]
    Damaged {
        /// Where it is.
        path: String,
        /// What is wrong.
        fault: MetaFault,
    },
    /// The file of a Java server is damaged.
    #[error(
        "{path}, written by a Java canal server, cannot be read: {fault}; restore it, or remove it to \
         start anew without cursors"
    )]
    Java {
        /// Where it is.
        path: String,
        /// What is wrong.
        fault: JsonFault,
    },
}

/// A write of the record that is under way; the text says why it failed.
pub type Saving = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A record that is to be stored by the owner's driver, and who is told when it is.
pub type Order = (Box<MetaRecord>, oneshot::Sender<()>);

/// Where the record of a destination is kept.
#[derive(Debug)]
pub enum Keeper<F> {
    /// On the disk, in this file.
    File(F, PathBuf),
    /// In ZooKeeper, by the driver of the candidacy.
    Owner(mpsc::UnboundedSender<Order>),
}

impl<F: Files> Keeper<F> {
    /// Stores `record`.
    pub fn save(&self, record: Box<MetaRecord>) -> Saving {
        match self {
            Self::File(files, path) => {
                let (files, path) = (files.clone(), path.clone());
                let bytes = record.encode().into();
                Box::pin(async move {
                    let saved = files.save(&path, bytes).await;
                    saved.map_err(|fault| fault.to_string())
                })
            }
            Self::Owner(orders) => {
                let (done, stored) = oneshot::channel();
                let sent = orders.send((record, done));
                Box::pin(async move {
                    let over = || "the destination is not owned here any more".to_owned();
                    sent.map_err(|_| over())?;
                    stored.await.map_err(|_| over())
                })
            }
        }
    }
}

/// What was read at start.
#[derive(Debug)]
pub struct Loaded {
    /// It.
    pub record: MetaRecord,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// Where the record of the destination in `folder` is.
#[must_use]
pub fn path(folder: &Path) -> PathBuf {
    folder.join(RECORD_FILE)
}

/// Cursors that a Java server wrote name their source as the resolver named it there (`localhost` for
/// `127.0.0.1`): where that is the source `host` of ours, they say so from here on (ha-meta-store reference §1.3).
pub async fn localise<N: Net>(net: &N, record: &mut MetaRecord, host: &str) {
    let mut foreign = record.foreign_hosts();
    foreign.remove(host);
    if foreign.is_empty() {
        return;
    }
    let ours = net.resolve(host).await;
    for name in foreign {
        let theirs = net.resolve(&name).await;
        if theirs.iter().any(|address| ours.contains(address)) {
            record.rename_host(&name, host);
        }
    }
}

/// Reads the record of the destination in `folder`.
///
/// # Errors
/// [`RecordFault`]
pub async fn load<F: Files>(files: &F, folder: &Path) -> Result<Loaded, RecordFault> {
    let path = path(folder);
    let current = files.load(&path).await?;
    let before = files.load(&previous(&path)).await?;
    let chosen = choose(current.as_deref(), before.as_deref());
    let mut chosen = chosen.map_err(|fault| RecordFault::Damaged {
        path: path.display().to_string(),
        fault,
    })?;
    if chosen.origin == Origin::Fresh {
        let java = folder.join(JAVA_FILE);
        if let Some(text) = files.load(&java).await? {
            let clients = decode_meta_dat(&text).map_err(|fault| RecordFault::Java {
                path: java.display().to_string(),
                fault,
            })?;
            chosen.notes.push(format!(
                "{} clients are taken over from {}",
                clients.len(),
                java.display()
            ));
            chosen.record.clients = clients;
        }
    }
    Ok(Loaded {
        record: chosen.record,
        notes: chosen.notes,
    })
}
