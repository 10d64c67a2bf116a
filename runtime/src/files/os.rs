//! The machine's disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use super::{Disk, FileFault, Files, LOCK_FILE, LockFault};

/// The machine's disk, to be used aside.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFiles;

/// The machine's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Files for OsFiles {
    type Lock = File;
    type Disk = OsDisk;

    async fn lock(&self, folder: &Path) -> Result<File, LockFault> {
        let folder = folder.to_owned();
        self.aside(move |_| lock(&folder)).await
    }

    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&OsDisk) -> T + Send + 'static,
    ) -> T {
        match tokio::task::spawn_blocking(|| work(&OsDisk)).await {
            Ok(out) => out,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

fn lock(folder: &Path) -> Result<File, LockFault> {
    let path = folder.join(LOCK_FILE);
    let fault = |action, path, cause| LockFault::Unusable(FileFault::new(action, path, cause));
    let made = OsDisk.make_folder(folder);
    made.map_err(|e| fault("make", folder, e))?;
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

impl Disk for OsDisk {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let holder = match folder.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        self.make_folder(holder)?;
        match fs::create_dir(folder) {
            // Somebody else was faster.
            Err(_) if folder.is_dir() => {}
            made => made?,
        }
        // A new folder is on the disk only once the one that holds it is synced.
        self.sync_folder(holder)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        File::create(path)?.write_all(bytes)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn link(&self, path: &Path, also: &Path) -> io::Result<bool> {
        match fs::remove_file(also) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Ok(()) | Err(_) => {}
        }
        if !path.exists() {
            return Ok(false);
        }
        // Some network and user-space file systems have no hard links.
        if fs::hard_link(path, also).is_err() {
            fs::copy(path, also)?;
            self.sync(also)?;
        }
        Ok(true)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}
