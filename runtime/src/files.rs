//! The disk: small records that are there whole or not at all.
//!
//! A record is saved by writing beside it, syncing, and renaming over it, so a crash leaves the old one or
//! the new one. The one before it stays under the same name with `.1` appended, for the reader to fall
//! back on if the disk lied. One canald at a time owns a data folder ([`Files::lock`]).
//!
//! The seam lies below that order, at the single steps of a [`Disk`]: the simulator cuts the power between
//! any two of them.

#[cfg(feature = "daemon")]
mod os;

use core::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;

#[cfg(feature = "daemon")]
pub use self::os::{OsDisk, OsFiles};

/// The largest record that is read: cursors are far smaller.
pub const RECORD_BYTES_MAX: u64 = 256 << 20;

/// The file in a data folder that its owner holds locked.
pub const LOCK_FILE: &str = "canald.lock";

/// Something on the disk did not work.
#[derive(Debug, Error)]
#[error("cannot {action} {path}: {cause}")]
pub struct FileFault {
    /// What was tried.
    pub action: &'static str,
    /// With which file or folder.
    pub path: String,
    /// What the system says.
    #[source]
    pub cause: io::Error,
}

impl FileFault {
    /// A failure of `action` on `path`.
    #[must_use]
    pub fn new(action: &'static str, path: &Path, cause: io::Error) -> Self {
        Self {
            action,
            path: path.display().to_string(),
            cause,
        }
    }
}

/// Why a data folder is not ours.
#[derive(Debug, Error)]
pub enum LockFault {
    /// Another canald has it.
    #[error(
        "the data folder {folder} belongs to a running canald (process {holder}): stop it, or give \
         this one a folder of its own with --data or canal.file.data.dir"
    )]
    Held {
        /// Which folder.
        folder: String,
        /// What the owner wrote about itself.
        holder: String,
    },
    /// It cannot be used.
    #[error("{0}: give a folder that canald may write to with --data or canal.file.data.dir")]
    Unusable(#[source] FileFault),
}

/// The record before the one at `path`.
#[must_use]
pub fn previous(path: &Path) -> PathBuf {
    with_suffix(path, ".1")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The single steps, each done at once or failed. What a step changed is safe from a crash only where it
/// says so.
pub trait Disk {
    /// The first `limit` bytes of the file at `path`; none if there is no such file.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>>;

    /// Makes `folder` and those that hold it, unless they are there; all that were made are safe.
    ///
    /// # Errors
    /// It cannot be made.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;

    /// Makes `bytes` all that the file at `path` holds. They are safe after [`Self::sync`].
    ///
    /// # Errors
    /// The file may hold anything.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// What the file at `path` holds is safe from here on.
    ///
    /// # Errors
    /// It may be safe or not.
    fn sync(&self, path: &Path) -> io::Result<()>;

    /// Gives the file at `path` the name `also` too. False if there is no such file.
    ///
    /// # Errors
    /// It has its one name; a file that was called `also` may be gone.
    fn link(&self, path: &Path, also: &Path) -> io::Result<bool>;

    /// Calls the file at `from` `to`, in place of whatever was called so, in one step. A crash leaves
    /// either state until [`Self::sync_folder`].
    ///
    /// # Errors
    /// Nothing has changed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// The names in `folder` are safe from here on.
    ///
    /// # Errors
    /// They may be safe or not.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A disk as drivers use it, who must not wait for it in place; cheap to clone.
pub trait Files: Clone + Send + Sync + 'static {
    /// Holds a data folder until it is dropped.
    type Lock: Send + Sync + 'static;
    /// The disk itself.
    type Disk: Disk;

    /// Makes the folder if there is none, and takes it for this process.
    ///
    /// # Errors
    /// [`LockFault`]
    fn lock(&self, folder: &Path) -> impl Future<Output = Result<Self::Lock, LockFault>> + Send;

    /// Has `work` done on the disk while others go on.
    fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self::Disk) -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;

    /// The record at `path`, or none if there is none.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn load(&self, path: &Path) -> impl Future<Output = Result<Option<Bytes>, FileFault>> + Send {
        let path = path.to_owned();
        self.aside(move |disk| load(disk, &path))
    }

    /// Puts `record` at `path`, making its folder; when this returns it is on the disk. The record
    /// that was there is now at [`previous`].
    ///
    /// # Errors
    /// It may or may not have been saved; what was there before is still there, at `path` or as the
    /// previous one.
    fn save(
        &self,
        path: &Path,
        record: Bytes,
    ) -> impl Future<Output = Result<(), FileFault>> + Send {
        let path = path.to_owned();
        self.aside(move |disk| save(disk, &path, &record))
    }
}

fn load(disk: &impl Disk, path: &Path) -> Result<Option<Bytes>, FileFault> {
    let fault = |cause| FileFault::new("read", path, cause);
    let record = disk.read(path, RECORD_BYTES_MAX + 1).map_err(fault)?;
    let Some(record) = record else {
        return Ok(None);
    };
    if record.len() as u64 > RECORD_BYTES_MAX {
        let text = format!("it is larger than {RECORD_BYTES_MAX} bytes, so it is not canald's");
        return Err(fault(io::Error::new(io::ErrorKind::InvalidData, text)));
    }
    Ok(Some(record.into()))
}

fn save(disk: &impl Disk, path: &Path, record: &[u8]) -> Result<(), FileFault> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let written = with_suffix(path, ".tmp");
    let made = disk.make_folder(folder);
    made.map_err(|e| FileFault::new("make", folder, e))?;
    let on_disk = disk.write(&written, record);
    let on_disk = on_disk.and_then(|()| disk.sync(&written));
    on_disk.map_err(|e| FileFault::new("write", &written, e))?;
    let kept = keep_previous(disk, path);
    kept.map_err(|e| FileFault::new("keep a copy of", path, e))?;
    let replaced = disk.rename(&written, path);
    replaced.map_err(|e| FileFault::new("replace", path, e))?;
    let safe = disk.sync_folder(folder);
    safe.map_err(|e| FileFault::new("sync", folder, e))
}

/// Gives the record at `path` a second name, so that `path` itself is never absent.
fn keep_previous(disk: &impl Disk, path: &Path) -> io::Result<()> {
    let link = with_suffix(path, ".1.tmp");
    if disk.link(path, &link)? {
        disk.rename(&link, &previous(path))?;
    }
    Ok(())
}

#[cfg(all(test, feature = "daemon"))]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("canald-files-{}-{name}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn a_record_and_the_one_before_it_are_kept() {
        let folder = Folder::new("save");
        let path = folder.0.join("a/b/meta");
        assert_eq!(OsFiles.load(&path).await.unwrap(), None);
        for (record, before) in [("1", None), ("2", Some("1")), ("3", Some("2"))] {
            OsFiles.save(&path, record.into()).await.unwrap();
            assert_eq!(OsFiles.load(&path).await.unwrap(), Some(record.into()));
            let kept = OsFiles.load(&previous(&path)).await.unwrap();
            assert_eq!(kept, before.map(Bytes::from));
        }
        let left = std::fs::read_dir(path.parent().unwrap()).unwrap();
        let mut left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["meta", "meta.1"], "no half-written file is left");
    }

    #[tokio::test]
    async fn what_a_crash_left_behind_does_not_disturb() {
        let folder = Folder::new("crash");
        let path = folder.0.join("meta");
        OsFiles.save(&path, "1".into()).await.unwrap();
        std::fs::write(with_suffix(&path, ".tmp"), "torn").unwrap();
        std::fs::hard_link(&path, with_suffix(&path, ".1.tmp")).unwrap();
        OsFiles.save(&path, "2".into()).await.unwrap();
        assert_eq!(OsFiles.load(&path).await.unwrap(), Some("2".into()));
        assert_eq!(
            OsFiles.load(&previous(&path)).await.unwrap(),
            Some("1".into())
        );
    }

    #[tokio::test]
    async fn a_data_folder_has_one_owner() {
        let folder = Folder::new("lock");
        let lock = OsFiles.lock(&folder.0).await.unwrap();
        let Err(LockFault::Held { holder, .. }) = OsFiles.lock(&folder.0).await else {
            panic!("two owners");
        };
        assert_eq!(holder, std::process::id().to_string());
        drop(lock);
        OsFiles.lock(&folder.0).await.unwrap();
    }

    #[tokio::test]
    async fn faults_name_the_path() {
        let folder = Folder::new("fault");
        std::fs::create_dir_all(folder.0.join("meta")).unwrap();
        std::fs::write(folder.0.join("file"), "").unwrap();
        let fault = OsFiles
            .load(&folder.0.join("meta"))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            fault.starts_with("cannot read ") && fault.contains("/meta: "),
            "{fault}"
        );
        let fault = OsFiles
            .save(&folder.0.join("file/x"), "1".into())
            .await
            .unwrap_err();
        assert!(fault.to_string().starts_with("cannot make "), "{fault}");
        let Err(fault) = OsFiles.lock(&folder.0.join("file")).await else {
            panic!("a file")
        };
        assert!(fault.to_string().contains("with --data"), "{fault}");
    }
}
