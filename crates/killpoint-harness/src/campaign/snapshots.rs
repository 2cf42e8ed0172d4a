//! Copies of the state around each strike, bounded; kept where the trial did not hold. What every trial
//! begins with is kept once, for the run. A copy of a target that runs is not of one moment: what it writes meanwhile may be in it.

use super::world::copy;
use crate::difference;
use killpoint_engine::image::Content;
use killpoint_model::report::FileChange;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Largest state that is copied, in bytes.
const BYTES_MAX: u64 = 64 << 20;
/// Most files and directories of a state that is copied.
const ENTRIES_MAX: usize = 10_000;
/// Strikes of one trial around which it is copied.
const STRIKES_MAX: u64 = 20;
/// Changed files of one strike that are told.
const CHANGES_MAX: usize = 20;

/// The copies of one trial.
#[derive(Debug)]
pub(super) struct Snapshots {
    /// None where none are wanted.
    folder: Option<PathBuf>,
    /// Why some are missing.
    gaps: Vec<String>,
    /// Strikes of which there is a copy from before.
    strikes: Vec<u64>,
}

impl Snapshots {
    /// Those of the trial in this folder.
    pub(super) fn new(trial: &Path, are_wanted: bool) -> Self {
        let folder = are_wanted.then(|| trial.join("snapshots"));
        Snapshots { folder, gaps: Vec::new(), strikes: Vec::new() }
    }

    /// Copies the state right before a strike.
    pub(super) fn before(&mut self, strike: u64, states: &[PathBuf]) {
        if strike > STRIKES_MAX {
            self.gap(format!(
                "the state was copied around the first {STRIKES_MAX} strikes of a trial only"
            ));
        } else if self.take(&format!("strike-{strike}-before"), states) {
            self.strikes.push(strike);
        }
    }

    /// Copies what a strike left, once for each.
    pub(super) fn after(&mut self, strike: u64, states: &[PathBuf]) {
        let name = format!("strike-{strike}-after");
        let is_there = self.folder.as_ref().is_some_and(|folder| folder.join(&name).exists());
        if strike <= STRIKES_MAX && !is_there {
            self.take(&name, states);
        }
    }

    fn take(&mut self, name: &str, states: &[PathBuf]) -> bool {
        let Some(folder) = &self.folder else { return false };
        let to = folder.join(name);
        let copied = states.iter().enumerate().try_for_each(|(index, state)| {
            check_size(state)?;
            copy(state, &to.join(format!("state-{}", index + 1)))
        });
        if let Err(error) = copied {
            let _ = fs::remove_dir_all(&to);
            self.gap(format!("the state was not copied at each strike: {error}"));
            return false;
        }
        true
    }

    fn gap(&mut self, gap: String) {
        if !self.gaps.contains(&gap) {
            self.gaps.push(gap);
        }
    }

    /// What is missing, in words.
    pub(super) fn gaps(&self) -> &[String] {
        &self.gaps
    }

    /// How the state changed at each strike: the files that differ, and how many more.
    pub(super) fn changes(&self) -> Vec<(u64, Vec<FileChange>, u64)> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let of = |strike: &u64| {
            let before = files(&folder.join(format!("strike-{strike}-before"))).ok()?;
            let after = files(&folder.join(format!("strike-{strike}-after"))).ok()?;
            let (changes, omitted) = differing(&before, &after);
            Some((*strike, changes, omitted))
        };
        self.strikes.iter().filter_map(of).filter(|(_, changes, _)| !changes.is_empty()).collect()
    }

    /// Throws them away: a trial that held needs none.
    pub(super) fn remove(&self) {
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// The paths of all files below a directory.
fn files(directory: &Path) -> io::Result<BTreeMap<PathBuf, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let below = path.strip_prefix(directory).unwrap_or(&path).to_owned();
                found.insert(below, path);
            }
        }
    }
    Ok(found)
}

fn differing(
    before: &BTreeMap<PathBuf, PathBuf>,
    after: &BTreeMap<PathBuf, PathBuf>,
) -> (Vec<FileChange>, u64) {
    let mut names: Vec<&PathBuf> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let (mut changes, mut omitted) = (Vec::new(), 0);
    for name in names {
        let read = |side: &BTreeMap<PathBuf, PathBuf>| {
            side.get(name).and_then(|path| fs::read(path).ok()).map(|it| Content::of_bytes(&it))
        };
        let (old, new) = (read(before), read(after));
        let is_same = match (&old, &new) {
            (Some(old), Some(new)) => old.digest() == new.digest(),
            (None, None) => true,
            _ => false,
        };
        if is_same {
            continue;
        }
        if changes.len() >= CHANGES_MAX {
            omitted += 1;
            continue;
        }
        changes.push(FileChange {
            // Below `state-1`, which names nothing where there is only one.
            path: name.strip_prefix("state-1").unwrap_or(name).display().to_string(),
            size_before: old.as_ref().map(Content::size),
            size_after: new.as_ref().map(Content::size),
            difference: difference::lines(old.as_ref(), new.as_ref()),
        });
    }
    (changes, omitted)
}

fn check_size(state: &Path) -> io::Result<()> {
    let (mut entries, mut bytes) = (0, 0);
    let mut open = vec![state.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            // A file may be gone by now: the target is at work.
            let Ok(metadata) = entry.metadata() else { continue };
            entries += 1;
            bytes += if metadata.is_file() { metadata.len() } else { 0 };
            if metadata.is_dir() {
                open.push(entry.path());
            }
        }
        if entries > ENTRIES_MAX || bytes > BYTES_MAX {
            return Err(io::Error::other(format!(
                "it has more than {ENTRIES_MAX} files or {} MiB",
                BYTES_MAX >> 20
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(directory: &Path, notes: &str) -> Vec<PathBuf> {
        let state = directory.join("state");
        fs::create_dir_all(state.join("deep")).expect("made");
        fs::write(state.join("deep/notes.json"), notes).expect("written");
        vec![state]
    }

    #[test]
    fn what_a_strike_changed_is_told_and_what_it_did_not_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut snapshots = Snapshots::new(directory.path(), true);
        let states = state(directory.path(), "one\ntwo\n");
        fs::write(states[0].join("same"), "same").expect("written");
        snapshots.before(1, &states);
        fs::write(states[0].join("deep/notes.json"), "one\n").expect("written");
        snapshots.after(1, &states);
        let changes = snapshots.changes();
        let [(1, files, 0)] = changes.as_slice() else { panic!("{changes:?}") };
        let [file] = files.as_slice() else { panic!("{files:?}") };
        assert_eq!(file.path, "deep/notes.json");
        assert_eq!((file.size_before, file.size_after), (Some(8), Some(4)));
        assert!(file.difference.iter().any(|line| line == "-two"), "{file:?}");
        snapshots.remove();
        assert!(!directory.path().join("snapshots").exists());
    }

    #[test]
    fn a_state_that_is_too_large_is_left_out_and_that_is_said() {
        let directory = tempfile::tempdir().expect("a directory");
        let states = state(directory.path(), "");
        let file = fs::File::create(states[0].join("hole")).expect("made");
        file.set_len(BYTES_MAX + 1).expect("a hole costs nothing");
        let mut snapshots = Snapshots::new(directory.path(), true);
        snapshots.before(1, &states);
        assert!(snapshots.gaps()[0].contains("64 MiB"), "{:?}", snapshots.gaps());
        assert!(snapshots.changes().is_empty());
        let mut unwanted = Snapshots::new(directory.path(), false);
        unwanted.before(1, &states);
        assert!(
            unwanted.gaps().is_empty()
                && !directory.path().join("snapshots/strike-1-before").exists()
        );
    }
}
