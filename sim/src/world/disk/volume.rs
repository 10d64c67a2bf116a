//! What a disk holds, twice: as a process sees it, and what of it would survive the loss of power.
//!
//! What a file holds is safe once the file is synced, its name once the folder is. When the power goes,
//! each content that is not safe becomes the old one, the new one, or a torn one; each change of a name
//! that is not safe is kept or not, by itself, in order of time. A rename is kept whole or not at all.
//! Folders are safe as soon as they are made.
//!
//! This is worse than any one file system: what survives here survives anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use canald_core::rng::Rng;

/// A file, whatever names it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FileId(u64);

/// What a file holds.
#[derive(Clone, Debug)]
struct Content {
    now: Arc<[u8]>,
    safe: Arc<[u8]>,
    /// It was written and not synced since.
    dirty: bool,
}

/// A change of names that is not safe yet.
#[derive(Clone, Debug)]
enum NameChange {
    Added {
        path: PathBuf,
        file: FileId,
    },
    Removed {
        path: PathBuf,
    },
    Renamed {
        from: PathBuf,
        to: PathBuf,
        file: FileId,
    },
}

type Names = BTreeMap<PathBuf, FileId>;

impl NameChange {
    fn folder(&self) -> &Path {
        match self {
            Self::Added { path, .. } | Self::Removed { path } => folder_of(path),
            Self::Renamed { to, .. } => folder_of(to),
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Added { path, file } => {
                names.insert(path.clone(), *file);
            }
            Self::Removed { path } => {
                names.remove(path);
            }
            Self::Renamed { from, to, file } => {
                // An earlier change that was lost may have left another file, or none, by this name.
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
        }
    }
}

/// What a disk holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Volume {
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<FileId, Content>,
    next_file: u64,
    names: Names,
    safe_names: Names,
    changes: Vec<NameChange>,
}

impl Volume {
    /// What the file at `path` holds.
    pub(super) fn read(&self, path: &Path) -> io::Result<Option<Arc<[u8]>>> {
        if self.is_folder(path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let file = self.names.get(path);
        Ok(file.map(|file| Arc::clone(&self.files[file].now)))
    }

    /// Makes a folder and those that hold it.
    pub(super) fn make_folder(&mut self, folder: &Path) -> io::Result<()> {
        for folder in folder.ancestors() {
            if self.names.contains_key(folder) {
                return Err(io::ErrorKind::NotADirectory.into());
            }
        }
        let all = folder.ancestors().map(Path::to_owned);
        self.folders.extend(all);
        Ok(())
    }

    /// Makes `bytes` all that the file at `path` holds.
    pub(super) fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.is_folder(path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !self.is_folder(folder_of(path)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = match self.names.get(path) {
            Some(file) => *file,
            None => self.create(path),
        };
        let content = self.files.get_mut(&file).expect("a named file is there");
        content.now = bytes.into();
        content.dirty = true;
        Ok(())
    }

    /// What the file at `path` holds is safe.
    pub(super) fn sync(&mut self, path: &Path) -> io::Result<()> {
        let file = self.file(path)?;
        let content = self.files.get_mut(&file).expect("a named file is there");
        content.safe = Arc::clone(&content.now);
        content.dirty = false;
        Ok(())
    }

    /// Takes a name away, if it is there.
    pub(super) fn remove(&mut self, path: &Path) {
        if self.names.contains_key(path) {
            self.change(NameChange::Removed { path: path.into() });
        }
    }

    /// Gives a file another name, which is taken from whatever had it. False if there is no file.
    pub(super) fn link(&mut self, path: &Path, also: &Path) -> bool {
        self.remove(also);
        let file = self.names.get(path).copied();
        if let Some(file) = file {
            self.change(NameChange::Added {
                path: also.into(),
                file,
            });
        }
        file.is_some()
    }

    /// Calls a file otherwise, within its folder.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from)?;
        if folder_of(from) != folder_of(to) {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        // As POSIX has it: two names of one file stay as they are.
        if self.names.get(to) != Some(&file) {
            self.change(NameChange::Renamed {
                from: from.into(),
                to: to.into(),
                file,
            });
        }
        Ok(())
    }

    /// The names in a folder are safe.
    pub(super) fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        if !self.is_folder(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let here = self
            .changes
            .extract_if(.., |change| change.folder() == folder);
        for change in here {
            change.apply(&mut self.safe_names);
        }
        self.forget_nameless();
        Ok(())
    }

    /// The files of a folder whose name and content are both safe.
    pub(super) fn safe_in(&self, folder: &Path) -> Vec<(String, Arc<[u8]>)> {
        let named = self
            .safe_names
            .iter()
            .map(|(path, file)| (path, &self.files[file]));
        let safe = named.filter(|(path, content)| folder_of(path) == folder && !content.dirty);
        let safe = safe.map(|(path, content)| (shown(path), Arc::clone(&content.safe)));
        safe.collect()
    }

    /// All files.
    pub(super) fn all(&self) -> Vec<(String, Arc<[u8]>)> {
        let named = self.names.iter();
        let all = named.map(|(path, file)| (shown(path), Arc::clone(&self.files[file].now)));
        all.collect()
    }

    /// The power goes: what was not safe is kept, lost or torn, as is drawn. What is left is safe.
    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        for change in std::mem::take(&mut self.changes) {
            if rng.below(2) == 0 {
                change.apply(&mut self.safe_names);
            }
        }
        self.names = self.safe_names.clone();
        self.forget_nameless();
        for content in self.files.values_mut().filter(|content| content.dirty) {
            content.now = torn(&content.safe, &content.now, rng);
            content.safe = Arc::clone(&content.now);
            content.dirty = false;
        }
    }

    fn create(&mut self, path: &Path) -> FileId {
        let file = FileId(self.next_file);
        self.next_file += 1;
        let empty: Arc<[u8]> = Arc::default();
        let content = Content {
            now: Arc::clone(&empty),
            safe: empty,
            dirty: true,
        };
        self.files.insert(file, content);
        self.change(NameChange::Added {
            path: path.into(),
            file,
        });
        file
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn file(&self, path: &Path) -> io::Result<FileId> {
        let file = self.names.get(path).copied();
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.folders.contains(path) || path == Path::new(".") || path == Path::new("/")
    }

    fn forget_nameless(&mut self) {
        let pending = self.changes.iter().filter_map(|change| match change {
            NameChange::Added { file, .. } | NameChange::Renamed { file, .. } => Some(file),
            NameChange::Removed { .. } => None,
        });
        let named = self.names.values().chain(self.safe_names.values());
        let used: BTreeSet<_> = named.chain(pending).copied().collect();
        self.files.retain(|file, _| used.contains(file));
    }
}

/// What becomes of a content that was not safe: the old one, the new one, nothing, or the beginning of the
/// new one with nothing, zeros, garbage or the old one behind it.
fn torn(old: &Arc<[u8]>, new: &Arc<[u8]>, rng: &mut Rng) -> Arc<[u8]> {
    match rng.below(4) {
        0 => return Arc::clone(old),
        1 => return Arc::clone(new),
        2 => return Arc::default(),
        _ => {}
    }
    let kept = usize::try_from(rng.below(new.len() as u64 + 1)).expect("it is below a length");
    let (head, lost) = new.split_at(kept);
    let tail = match rng.below(4) {
        0 => Vec::new(),
        1 => vec![0; lost.len()],
        2 => {
            let mut garbage = vec![0; lost.len()];
            rng.fill(&mut garbage);
            garbage
        }
        _ => old.get(kept..).unwrap_or_default().to_vec(),
    };
    [head, &tail].concat().into()
}

/// The folder that holds a path.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    }
}

/// A path as records show it.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use canald_core::rng::Seed;

    use super::*;

    const SEEDS: u64 = 200;

    /// A folder with a safe file `a`.
    fn volume() -> Volume {
        let mut volume = Volume::default();
        volume.make_folder(Path::new("d")).unwrap();
        volume.write(Path::new("d/a"), b"old content").unwrap();
        volume.sync(Path::new("d/a")).unwrap();
        volume.sync_folder(Path::new("d")).unwrap();
        volume
    }

    /// What all seeds make of a volume.
    fn outcomes(volume: &Volume) -> BTreeSet<Vec<(String, Arc<[u8]>)>> {
        let lost = |seed| {
            let mut volume = volume.clone();
            volume.lose_power(&mut Rng::new(Seed(seed)));
            volume.all()
        };
        (0..SEEDS).map(lost).collect()
    }

    fn holds(path: &str, content: &[u8]) -> (String, Arc<[u8]>) {
        (path.into(), content.into())
    }

    #[test]
    fn what_is_synced_survives() {
        let volume = volume();
        let held = vec![holds("d/a", b"old content")];
        assert_eq!(volume.safe_in(Path::new("d")), held);
        assert_eq!(outcomes(&volume), BTreeSet::from([held]));
    }

    #[test]
    fn what_is_written_in_place_may_be_old_or_new_or_torn() {
        let mut volume = volume();
        volume.write(Path::new("d/a"), b"new content").unwrap();
        assert_eq!(volume.safe_in(Path::new("d")), []);
        let outcomes = outcomes(&volume);
        for content in [&b"old content"[..], b"new content", b""] {
            assert!(
                outcomes.contains(&vec![holds("d/a", content)]),
                "{content:?}"
            );
        }
        assert!(outcomes.len() > 10, "torn");
        volume.sync(Path::new("d/a")).unwrap();
        assert_eq!(
            volume.safe_in(Path::new("d")),
            [holds("d/a", b"new content")]
        );
    }

    #[test]
    fn a_name_is_not_safe_before_its_folder_is_synced() {
        let mut volume = volume();
        volume.write(Path::new("d/b"), b"b").unwrap();
        volume.sync(Path::new("d/b")).unwrap();
        let old = holds("d/a", b"old content");
        let both = vec![old.clone(), holds("d/b", b"b")];
        assert_eq!(outcomes(&volume), BTreeSet::from([vec![old], both]));
    }

    #[test]
    fn a_rename_of_what_is_synced_is_kept_whole_or_not_at_all() {
        let mut volume = volume();
        volume.write(Path::new("d/b"), b"b").unwrap();
        volume.sync(Path::new("d/b")).unwrap();
        volume.sync_folder(Path::new("d")).unwrap();
        volume.rename(Path::new("d/b"), Path::new("d/a")).unwrap();
        let before = vec![holds("d/a", b"old content"), holds("d/b", b"b")];
        let after = vec![holds("d/a", b"b")];
        assert_eq!(outcomes(&volume), BTreeSet::from([before, after.clone()]));
        volume.sync_folder(Path::new("d")).unwrap();
        assert_eq!(outcomes(&volume), BTreeSet::from([after]));
        assert_eq!(volume.files.len(), 1, "the nameless one is gone");
    }

    #[test]
    fn a_rename_before_the_sync_shows_torn_content_under_some_seed() {
        let mut volume = volume();
        volume.write(Path::new("d/b"), b"new content").unwrap();
        volume.rename(Path::new("d/b"), Path::new("d/a")).unwrap();
        volume.sync_folder(Path::new("d")).unwrap();
        let whole = [b"old content".as_slice(), b"new content"];
        let torn = outcomes(&volume).into_iter();
        let torn = torn.filter(|held| !whole.contains(&held[0].1.as_ref()));
        assert!(torn.count() > 10);
    }

    #[test]
    fn two_names_of_one_file_share_its_content() {
        let mut volume = volume();
        assert!(!volume.link(Path::new("d/none"), Path::new("d/b")));
        assert!(volume.link(Path::new("d/a"), Path::new("d/b")));
        volume.rename(Path::new("d/a"), Path::new("d/b")).unwrap();
        volume.write(Path::new("d/b"), b"both").unwrap();
        let both = [holds("d/a", b"both"), holds("d/b", b"both")];
        assert_eq!(volume.all(), both);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut volume = volume();
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        let (a, d) = (Path::new("d/a"), Path::new("d"));
        assert_eq!(kind(volume.write(d, b"")), io::ErrorKind::IsADirectory);
        assert_eq!(
            kind(volume.write(Path::new("e/x"), b"")),
            io::ErrorKind::NotFound
        );
        assert_eq!(
            kind(volume.make_folder(&a.join("x"))),
            io::ErrorKind::NotADirectory
        );
        assert_eq!(kind(volume.sync(Path::new("d/x"))), io::ErrorKind::NotFound);
        assert_eq!(
            kind(volume.rename(a, Path::new("x"))),
            io::ErrorKind::CrossesDevices
        );
        assert_eq!(kind(volume.read(d).map(drop)), io::ErrorKind::IsADirectory);
        assert_eq!(volume.read(Path::new("d/x")).unwrap(), None);
    }
}
