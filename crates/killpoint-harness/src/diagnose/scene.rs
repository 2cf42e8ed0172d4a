//! A failure beside the history: which files could be its cause.

use super::history::{History, Stay};
use super::paths::{self, Role};
use super::stores::Store;
use super::{Around, Cause, Diagnosis, Failure};
use killpoint_model::Class;
use killpoint_model::operation::FileId;

/// Most operations since a point that held that tell which files differ.
const SINCE_MAX: u64 = 24;
/// How many operations before and after the point tell further files.
const NEIGHBOURS_MAX: u64 = 8;

/// A failure with the files around it.
pub(super) struct Scene<'a> {
    pub(super) history: &'a History,
    pub(super) failure: &'a Failure<'a>,
    /// Those that differ first, then those of the operations next to the point.
    files: Vec<FileId>,
    /// How many of them differ.
    different: usize,
    /// Those that the judge misses, data first. What SQLite does with its files is known, so they are left out.
    missed: Vec<FileId>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(history: &'a History, failure: &'a Failure<'a>) -> Self {
        let mut files: Vec<FileId> = Vec::new();
        let add = |files: &mut Vec<FileId>, file: Option<FileId>| {
            if let Some(file) = file.filter(|file| !files.contains(file)) {
                files.push(file);
            }
        };
        let changed = |position: u64| history.change(position)?.file;
        let point = failure.point.min(history.operations() + 1);
        let missed = missed(history, failure);
        missed.iter().for_each(|file| add(&mut files, Some(*file)));
        let held = failure.around.held.filter(|held| point.saturating_sub(*held) <= SINCE_MAX);
        for position in held.unwrap_or(point)..point {
            add(&mut files, changed(position));
        }
        let different = if missed.is_empty() { files.len() } else { missed.len() };
        for distance in 0..NEIGHBOURS_MAX {
            for position in [point.checked_add(distance), point.checked_sub(distance + 1)] {
                add(&mut files, position.and_then(changed));
            }
        }
        Scene { history, failure, files, different, missed }
    }

    /// The files that the judge misses, if it told.
    pub(super) fn missed(&self) -> &[FileId] {
        &self.missed
    }

    /// Whether the judge misses this file.
    pub(super) fn is_missed(&self, file: FileId) -> bool {
        self.missed.contains(&file)
    }

    /// Whether an operation is about the path of a file that the judge misses.
    pub(super) fn is_about_missed(&self, position: u64) -> bool {
        let Some(file) = self.history.entry(position).and_then(|entry| entry.file) else {
            return false;
        };
        let paths: Vec<&str> = self.missed.iter().filter_map(|file| self.path(*file)).collect();
        let is_path = |when| self.history.path_at(file, when).is_some_and(|it| paths.contains(&it));
        is_path(position) || is_path(position.saturating_add(1))
    }

    /// Whether a file stood under its path at a point around that holds: then it does no harm by being there.
    pub(super) fn is_harmless(&self, stay: &Stay) -> bool {
        let Around { held, mended, .. } = self.failure.around;
        let mended = mended.map(|(_, holds)| holds).filter(|at| *at <= self.history.operations());
        held.into_iter().chain(mended).any(|holds| stay.covers(holds))
    }

    /// The files in question, the likeliest first.
    pub(super) fn files(&self) -> impl Iterator<Item = FileId> {
        self.files.iter().copied()
    }

    /// Whether this file was changed since all was well; true of every file where that is not known.
    pub(super) fn differs(&self, file: FileId) -> bool {
        self.different == 0 || self.files[..self.different].contains(&file)
    }

    /// The path of a file at the point.
    pub(super) fn path(&self, file: FileId) -> Option<&'a str> {
        self.history.path_at(file, self.failure.point)
    }

    /// What the name of a file tells.
    pub(super) fn role(&self, file: FileId) -> Role {
        self.path(file).map_or(Role::Data, Role::of)
    }

    /// The one operation that made a whole state bad, if the points around tell it: nothing else was
    /// changed, and nothing more was promised.
    pub(super) fn broke(&self) -> Option<u64> {
        let (held, failing) = self.failure.around.broke.filter(|_| self.was_whole())?;
        only_change(self.history, held, failing)
    }

    /// The one operation after which the state is whole again, if the points around tell it.
    pub(super) fn mended(&self) -> Option<u64> {
        let (failing, holds) = self.failure.around.mended?;
        only_change(self.history, failing, holds).filter(|mended| *mended >= self.failure.point)
    }

    /// Whether what was promised when the state turned bad was kept at a point before: it cannot have been
    /// promised too early.
    pub(super) fn was_whole(&self) -> bool {
        self.failure.around.broke.is_some_and(|(held, failing)| {
            let (before, then) = (self.history.journal(held), self.history.journal(failing));
            before == then || self.history.acknowledged_between(before, then) == Some(0)
        })
    }

    /// Everything that the state should have was done by the operations before this one: where a
    /// promise is lost, those before the last acknowledgement.
    pub(super) fn promised_until(&self) -> u64 {
        let point = self.failure.point;
        let until = if self.is_loss() { self.history.acknowledged_until(point) } else { None };
        until.unwrap_or(point)
    }

    /// Whether what was acknowledged is gone.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self.failure.class, Class::Lost | Class::AckedNotDurable)
    }

    /// Puts a diagnosis together.
    pub(super) fn diagnosis(
        &self,
        cause: Cause,
        file: Option<String>,
        sentence: String,
        fix: String,
    ) -> Diagnosis {
        let group = match (&file, cause) {
            (Some(file), Cause::TemporaryFileLeft) => paths::temporary_pattern(file),
            // One missing sync of a directory concerns every name in it, and files that are made
            // and renamed into a directory are made by one piece of code.
            (
                Some(file),
                Cause::DirectoryNotSynced | Cause::RenamedBeforeFsync | Cause::RenamedBeforeWritten,
            ) => paths::join(&paths::generalised(paths::parent(file)), "*"),
            (Some(file), _) => paths::generalised(file),
            (None, _) => String::new(),
        };
        Diagnosis { cause, file, group, sentence, fix }
    }
}

/// The files that what was said of a failure is about.
fn missed(history: &History, failure: &Failure<'_>) -> Vec<FileId> {
    const WORDS_MAX: usize = 16;
    let later = failure.said.match_indices(". ").map(|(end, _)| end + 2);
    let sentences = std::iter::once(0).chain(later).map(|start| &failure.said[start..]);
    // A name may hold spaces itself.
    let named = |sentence: &'_ str| {
        let ends = sentence.match_indices(' ').take(WORDS_MAX).map(|(end, _)| end);
        ends.filter(|end| history.knows(&sentence[..*end])).last()
    };
    let paths = sentences.filter_map(|sentence| Some(&sentence[..named(sentence)?]));
    let mut paths: Vec<&str> = paths.filter(|path| !Store::of(history, path).is_sqlite()).collect();
    paths.sort_by_key(|path| Role::of(path) != Role::Data);
    paths.into_iter().filter_map(|path| history.file_under(path, failure.point)).collect()
}

/// The only operation from a point on and before another that changes what anybody reads.
fn only_change(history: &History, from: u64, to: u64) -> Option<u64> {
    if to.saturating_sub(from) > SINCE_MAX {
        return None;
    }
    let mut changes = (from..to).filter(|position| history.change(*position).is_some());
    changes.next().filter(|_| changes.next().is_none())
}
