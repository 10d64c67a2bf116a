//! The disk: small records that are there whole or not at all.
//!
//! A record is saved by writing beside it, syncing, and renaming over it, so a crash leaves the old one or
//! the new one. The one before it stays under the same name with `.1` appended, for the reader to fall
//! back on if the disk lied. One canald at a time owns a data folder ([`Files::lock`]).

use core::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;

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

/// A disk; cheap to clone.
pub trait Files: Clone + Send + Sync + 'static {
    /// Holds a data folder until it is dropped.
    type Lock: Send + Sync + 'static;

    /// Makes the folder if there is none, and takes it for this process.
    ///
    /// # Errors
    /// [`LockFault`]
    fn lock(&self, folder: &Path) -> impl Future<Output = Result<Self::Lock, LockFault>> + Send;

    /// The record at `path`, or none if there is none.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn load(&self, path: &Path) -> impl Future<Output = Result<Option<Bytes>, FileFault>> + Send;

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
    ) -> impl Future<Output = Result<(), FileFault>> + Send;
}

#[cfg(feature = "daemon")]
pub use self::os::OsFiles;

#[cfg(feature = "daemon")]
mod os {
    use std::fs::{self, File, OpenOptions, TryLockError};
    use std::io::{self, Read as _, Seek as _, Write as _};
    use std::path::{Path, PathBuf};

    use bytes::Bytes;

    use super::{FileFault, Files, LOCK_FILE, LockFault, RECORD_BYTES_MAX, previous, with_suffix};

    /// The machine's disk.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct OsFiles;

    impl Files for OsFiles {
        type Lock = File;

        async fn lock(&self, folder: &Path) -> Result<File, LockFault> {
            let folder = folder.to_owned();
            aside(move || lock(&folder)).await
        }

        async fn load(&self, path: &Path) -> Result<Option<Bytes>, FileFault> {
            let path = path.to_owned();
            aside(move || load(&path)).await
        }

        async fn save(&self, path: &Path, record: Bytes) -> Result<(), FileFault> {
            let path = path.to_owned();
            aside(move || save(&path, &record)).await
        }
    }

    /// Disks block, drivers must not.
    async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        match tokio::task::spawn_blocking(work).await {
            Ok(out) => out,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn lock(folder: &Path) -> Result<File, LockFault> {
        let path = folder.join(LOCK_FILE);
        let fault = |action, path, cause| LockFault::Unusable(FileFault::new(action, path, cause));
        fs::create_dir_all(folder).map_err(|e| fault("make", folder, e))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(|e| fault("open", &path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message.
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "unknown".into(),
                    id => id.into(),
                };
                return Err(LockFault::Held {
                    folder: folder.display().to_string(),
                    holder,
                });
            }
            Err(TryLockError::Error(e)) => return Err(fault("lock", &path, e)),
        }
        let mut sign = || {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        sign().map_err(|e| fault("write", &path, e))?;
        Ok(file)
    }

    fn load(path: &Path) -> Result<Option<Bytes>, FileFault> {
        let fault = |cause| FileFault::new("read", path, cause);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fault(e)),
        };
        let mut record = Vec::new();
        file.take(RECORD_BYTES_MAX + 1)
            .read_to_end(&mut record)
            .map_err(fault)?;
        if record.len() as u64 > RECORD_BYTES_MAX {
            let text = format!("it is larger than {RECORD_BYTES_MAX} bytes, so it is not canald's");
            return Err(fault(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        Ok(Some(record.into()))
    }

    fn save(path: &Path, record: &[u8]) -> Result<(), FileFault> {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let written = with_suffix(path, ".tmp");
        make_folder(folder).map_err(|e| FileFault::new("make", folder, e))?;
        write_synced(&written, record).map_err(|e| FileFault::new("write", &written, e))?;
        keep_previous(path).map_err(|e| FileFault::new("keep a copy of", path, e))?;
        fs::rename(&written, path).map_err(|e| FileFault::new("replace", path, e))?;
        sync_folder(folder).map_err(|e| FileFault::new("sync", folder, e))
    }

    /// A new folder is on the disk only once the one that holds it is synced.
    fn make_folder(folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(folder)?;
        match folder.parent() {
            Some(parent) if parent != Path::new("") => sync_folder(parent),
            _ => Ok(()),
        }
    }

    fn write_synced(path: &Path, record: &[u8]) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(record)?;
        file.sync_all()
    }

    /// Gives the record at `path` a second name, so that `path` itself is never absent.
    fn keep_previous(path: &Path) -> io::Result<()> {
        if !path.exists() {
            return Ok(());
        }
        let link: PathBuf = with_suffix(path, ".1.tmp");
        match fs::remove_file(&link) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Ok(()) | Err(_) => {}
        }
        // Some network and user-space file systems have no hard links.
        if fs::hard_link(path, &link).is_err() {
            fs::copy(path, &link)?;
            File::open(&link)?.sync_all()?;
        }
        fs::rename(&link, previous(path))
    }

    fn sync_folder(folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
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
