//! The disk of the daemon's machine. It outlives the daemon, whose every life sees it through a
//! [`SimFiles`] of its own.
//!
//! A call waits for a drawn while and then does its steps at once, so a killed process has done all of a
//! call or nothing; a loss of power comes at any step. `volume` says what then is left.

#[cfg(test)]
mod tests;
mod volume;

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use canald::files::{Disk, FileFault, Files, LockFault};
use canald::watch;
use canald_core::rng::{Rng, Seed};
use madsim::time::sleep;

use self::volume::{Volume, shown};
use crate::journal::{DiskRecord, Journal, Record};
use crate::plan::Options;

/// Linux's number for an input or output error.
const EIO: i32 = 5;

/// A disk; cheap to clone.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

struct State {
    volume: Volume,
    journal: Journal,
    latency_most: Duration,
    latencies: Rng,
    /// Where what is left by a fault is drawn from.
    remains: Rng,
    /// The process that may use the disk: each has a higher number.
    life: u64,
    powered: watch::Sender<bool>,
    locks: BTreeMap<PathBuf, u64>,
    fails: bool,
    full: bool,
    /// The power goes after so many more steps, for that long.
    loss: Option<PowerLoss>,
    /// How long the power is away that went last.
    dark: Duration,
}

/// A loss of power that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PowerLoss {
    steps_left: u32,
    lasts: Duration,
}

impl SimDisk {
    /// An empty disk without faults, all of whose randomness comes from `seed`.
    #[must_use]
    pub fn new(seed: u64, options: &Options, journal: Journal) -> Self {
        let rng = Rng::new(Seed(seed));
        Self(Arc::new(Mutex::new(State {
            volume: Volume::default(),
            journal,
            latency_most: options.disk_latency,
            latencies: Rng::new(rng.split("disk/latency")),
            remains: Rng::new(rng.split("disk/remains")),
            life: 0,
            powered: watch::Sender::new(true),
            locks: BTreeMap::new(),
            fails: false,
            full: false,
            loss: None,
            dark: Duration::ZERO,
        })))
    }

    /// The disk as the next process sees it, with the power on. Nothing is locked, and the process before
    /// it, if there was one, can do nothing any more.
    #[must_use]
    pub fn restart(&self) -> SimFiles {
        let mut state = self.lock();
        state.end_life();
        state.powered.send_replace(true);
        SimFiles {
            disk: self.clone(),
            life: state.life,
        }
    }

    /// The process is killed, and the machine lives: all that was written is there, and nothing is locked.
    pub fn crash(&self) {
        self.lock().end_life();
    }

    /// The power goes, now. What is not safe is kept, lost or torn.
    pub fn lose_power(&self) {
        self.lock().lose_power();
    }

    /// The power goes after so many more steps, in the middle of the one that follows them, and stays away
    /// for `lasts`.
    pub fn power_loss_after(&self, steps: u32, lasts: Duration) {
        let loss = PowerLoss {
            steps_left: steps,
            lasts,
        };
        self.lock().loss = Some(loss);
    }

    /// Waits until the power is gone; how long it stays away. The process should be killed then: its calls
    /// never end.
    pub async fn power_lost(&self) -> Duration {
        let mut powered = self.lock().powered.subscribe();
        let gone = powered.wait_for(|powered| !powered).await;
        gone.expect("the disk holds the sender");
        self.lock().dark
    }

    /// Whether all steps fail, with an input or output error.
    pub fn fail(&self, fails: bool) {
        self.lock().fails = fails;
    }

    /// Whether there is no room: a write fails in the middle.
    pub fn full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Nothing fails any more, and no loss of power is to come.
    pub fn heal(&self) {
        let mut state = self.lock();
        (state.fails, state.full, state.loss) = (false, false, None);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a step goes.
enum Fate {
    Works,
    Fails,
    PowerGoes,
}

impl State {
    fn end_life(&mut self) {
        self.life += 1;
        self.locks.clear();
    }

    fn lives(&self, life: u64) -> bool {
        self.life == life && *self.powered.borrow()
    }

    fn lose_power(&mut self) {
        self.volume.lose_power(&mut self.remains);
        self.dark = self.loss.take().map_or(Duration::ZERO, |loss| loss.lasts);
        self.end_life();
        self.powered.send_replace(false);
        let holds = self.volume.all();
        self.record(DiskRecord::PowerLost { holds });
    }

    fn record(&self, record: DiskRecord) {
        self.journal.record(Record::Disk(record));
    }

    fn latency(&mut self) -> Duration {
        let most = u64::try_from(self.latency_most.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.latencies.below(most + 1))
    }

    fn fate(&mut self) -> Fate {
        match &mut self.loss {
            Some(PowerLoss { steps_left: 0, .. }) => return Fate::PowerGoes,
            Some(loss) => loss.steps_left -= 1,
            None => {}
        }
        if self.fails { Fate::Fails } else { Fate::Works }
    }

    /// One step of a process: all of `whole`; or, if it fails, `part` of it or nothing.
    fn step<T>(
        &mut self,
        (life, step, path): (u64, &'static str, &Path),
        whole: impl FnOnce(&mut Self) -> io::Result<T>,
        part: impl FnOnce(&mut Self),
    ) -> io::Result<T> {
        if !self.lives(life) {
            return Err(gone());
        }
        let fate = self.fate();
        let outcome = match fate {
            Fate::Works => whole(self),
            Fate::Fails | Fate::PowerGoes => {
                if self.remains.below(2) == 0 {
                    part(self);
                }
                Err(io::Error::from_raw_os_error(EIO))
            }
        };
        if matches!(fate, Fate::PowerGoes) {
            self.lose_power();
            return Err(gone());
        }
        if let Err(error) = &outcome {
            self.record(DiskRecord::Failed {
                step,
                path: shown(path),
                why: error.to_string(),
            });
        }
        outcome
    }

    /// Writes a beginning of `bytes` that is not all of it.
    fn write_part(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let most = (bytes.len() as u64).max(1);
        let part = usize::try_from(self.remains.below(most)).expect("it is below a length");
        self.volume.write(path, &bytes[..part])
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.full && !bytes.is_empty() {
            self.write_part(path, bytes)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.volume.write(path, bytes)?;
        self.record(DiskRecord::Wrote {
            path: shown(path),
            bytes: bytes.len(),
        });
        Ok(())
    }
}

/// What a step of a process that is gone says; nobody hears it.
fn gone() -> io::Error {
    io::Error::other("the process is gone")
}

/// The disk as one life of the daemon sees it; cheap to clone.
#[derive(Clone)]
pub struct SimFiles {
    disk: SimDisk,
    life: u64,
}

impl SimFiles {
    /// Never ends if the process is gone.
    async fn live(&self) {
        let lives = self.disk.lock().lives(self.life);
        if !lives {
            pending::<()>().await;
        }
    }

    fn take(&self, folder: &Path) -> Result<SimLock, LockFault> {
        let made = self.make_folder(folder);
        made.map_err(|e| LockFault::Unusable(FileFault::new("make", folder, e)))?;
        let mut state = self.disk.lock();
        if let Some(holder) = state.locks.get(folder) {
            return Err(LockFault::Held {
                folder: shown(folder),
                holder: holder.to_string(),
            });
        }
        state.locks.insert(folder.into(), self.life);
        Ok(SimLock {
            disk: self.disk.clone(),
            folder: folder.into(),
            life: self.life,
        })
    }
}

/// Holds a data folder until it is dropped or its process is gone.
pub struct SimLock {
    disk: SimDisk,
    folder: PathBuf,
    life: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        if state.locks.get(&self.folder) == Some(&self.life) {
            state.locks.remove(&self.folder);
        }
    }
}

impl Files for SimFiles {
    type Lock = SimLock;
    type Disk = Self;

    async fn lock(&self, folder: &Path) -> Result<SimLock, LockFault> {
        let folder = folder.to_owned();
        self.aside(move |files| files.take(&folder)).await
    }

    /// Waits for a drawn while, then does all of the work.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> T {
        let latency = self.disk.lock().latency();
        sleep(latency).await;
        self.live().await;
        let out = work(self);
        self.live().await;
        out
    }
}

impl Disk for SimFiles {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let whole = |state: &mut State| {
            let content = state.volume.read(path)?;
            state.record(DiskRecord::Loaded {
                path: shown(path),
                found: content.is_some(),
            });
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            Ok(content.map(|bytes| bytes[..bytes.len().min(limit)].to_vec()))
        };
        let mut state = self.disk.lock();
        state.step((self.life, "read", path), whole, |_| {})
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let whole = |state: &mut State| state.volume.make_folder(folder);
        let mut state = self.disk.lock();
        state.step((self.life, "make", folder), whole, |_| {})
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let whole = |state: &mut State| state.write(path, bytes);
        let part = |state: &mut State| {
            // What cannot be written leaves nothing.
            let _ = state.write_part(path, bytes);
        };
        let mut state = self.disk.lock();
        state.step((self.life, "write", path), whole, part)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let whole = |state: &mut State| {
            state.volume.sync(path)?;
            state.record(DiskRecord::Synced { path: shown(path) });
            Ok(())
        };
        let part = |state: &mut State| {
            // It is safe, though nobody is told.
            let _ = state.volume.sync(path);
        };
        let mut state = self.disk.lock();
        state.step((self.life, "sync", path), whole, part)
    }

    fn link(&self, path: &Path, also: &Path) -> io::Result<bool> {
        let whole = |state: &mut State| Ok(state.volume.link(path, also));
        let part = |state: &mut State| state.volume.remove(also);
        let mut state = self.disk.lock();
        state.step((self.life, "link", path), whole, part)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let whole = |state: &mut State| {
            state.volume.rename(from, to)?;
            state.record(DiskRecord::Renamed {
                from: shown(from),
                to: shown(to),
            });
            Ok(())
        };
        let mut state = self.disk.lock();
        state.step((self.life, "rename", from), whole, |_| {})
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let whole = |state: &mut State| {
            state.volume.sync_folder(folder)?;
            state.record(DiskRecord::FolderSynced {
                folder: shown(folder),
                holds: state.volume.safe_in(folder),
            });
            Ok(())
        };
        let part = |state: &mut State| {
            // The names are safe, though nobody is told.
            let _ = state.volume.sync_folder(folder);
        };
        let mut state = self.disk.lock();
        state.step((self.life, "sync the folder", folder), whole, part)
    }
}
