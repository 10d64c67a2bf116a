//! The file of what a destination must not forget: where it lies, and how it is read at start.

use std::path::{Path, PathBuf};

use canald_core::meta::java::decode_meta_dat;
use canald_core::meta::json::JsonFault;
use canald_core::meta::record::{MetaFault, MetaRecord, Origin, choose};
use thiserror::Error;

use crate::files::{FileFault, Files, previous};

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
