//! Reads the cause of a violation, and what to do about it, off the operation log.
//!
//! Pure. A crash state that failed is put beside what the recording shows around its point: a file
//! that has been emptied and not yet filled, a name that stands for nothing, a write that no sync
//! follows. Nothing is claimed that the log does not show; where nothing known is seen, the two
//! operations around the point are named and no more.
//!
//! Crash states of one defect have the same class, [`Diagnosis::cause`] and [`Diagnosis::group`],
//! so that neighbouring points of one idiom become one finding.

mod advice;
mod apart;
mod history;
mod journal;
mod kill;
mod paths;
mod power_loss;
mod scene;
mod span;
mod stores;
#[cfg(test)]
mod tests;
mod turn;

pub use history::History;

use killpoint_engine::states::Variant;
use killpoint_model::operation::FileId;
use killpoint_model::{Class, CrashModel};
use scene::Scene;
use std::fmt;

/// A crash state that was judged and violates a promise.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// The position of the operation at whose entry the crash is; operations + 1 is the end.
    pub point: u64,
    /// The crash model.
    pub model: CrashModel,
    /// Which of the model's states.
    pub variant: &'a Variant,
    /// How the promise is broken.
    pub class: Class,
    /// What is known of the points around it.
    pub around: Around,
    /// What was said of it by a judge who names files, at the beginning of each sentence; empty where nobody did.
    pub said: &'a str,
}

/// What the verdicts at the points around a failure tell, under the same model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around {
    /// The nearest earlier point that holds: what was changed since goes first where several files
    /// could be the cause.
    pub held: Option<u64>,
    /// That point and the first that fails after it, if all in between that were judged fail alike: what
    /// made the state bad is done between the two.
    pub broke: Option<(u64, u64)>,
    /// The last point that fails and the next one that holds: what makes the state whole again is done
    /// between the two.
    pub mended: Option<(u64, u64)>,
    /// The only file whose loss alone breaks the promise so at the point: where all that was not synced is
    /// lost, it is the one that is missed.
    pub lost_alone: Option<FileId>,
}

/// Why a crash state violates a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// A file is emptied and then written again.
    TruncatedInPlace,
    /// A file is written from its start and cut to its new, smaller size afterwards.
    ShrunkAfterWrite,
    /// Old bytes are overwritten by several writes.
    OverwrittenInPlace,
    /// A write straddles a block and only its first part is there.
    TornRecord,
    /// Files that belong together change one after another.
    FilesChangeApart,
    /// A file for the time being is left, and taken for more than that.
    TemporaryFileLeft,
    /// The old file is gone before the new one is in place.
    OldRemovedFirst,
    /// A new file has its final name before it has its contents.
    CreatedInPlace,
    /// Acknowledged before the program had written it.
    AcknowledgedBeforeWritten,
    /// Done, but not yet marked as done, and done once more.
    ReplayedTwice,
    /// Run again on what a crash left, the command comes to another end.
    NotRepeatable,
    /// A lock or pid file is left.
    LockFileLeft,
    /// Acknowledged before the written file was synced.
    AcknowledgedBeforeFsync,
    /// Written and not synced before the program went on.
    WrittenWithoutFsync,
    /// A file was put under its name before its contents were written.
    RenamedBeforeWritten,
    /// A file was put under its name before its contents were synced.
    RenamedBeforeFsync,
    /// A name was made, moved or removed, and its directory not synced.
    DirectoryNotSynced,
    /// The removal or truncation of a journal was not durable, so that it is replayed.
    JournalEndNotDurable,
    /// A journal was removed or emptied before what it protects was synced.
    JournalEndedEarly,
    /// A file was synced that did not need it, and the written one was not.
    OtherFileSynced,
    /// A database was written before its journal was synced.
    DataBeforeJournal,
    /// A write that was not synced reached the disk in part.
    UnsyncedWriteTorn,
    /// A file grew and its new bytes were not synced.
    ExtendedWithoutSync,
    /// Writes between two syncs reached the disk in another order.
    UnsyncedWritesReordered,
    /// A database is opened without its rollback journal.
    JournalNotApplied,
    /// A process was killed, and another one acknowledged what it had not done.
    AcknowledgedByOthers,
    /// What a recovery found is shown and not kept: the next one does not find it.
    RecoveryNotKept,
    /// Nothing known: the crash is between two operations.
    BetweenOperations,
}

impl Cause {
    /// The name used in files and in the keys of findings.
    pub fn name(self) -> &'static str {
        match self {
            Cause::TruncatedInPlace => "truncated-in-place",
            Cause::ShrunkAfterWrite => "shrunk-after-write",
            Cause::OverwrittenInPlace => "overwritten-in-place",
            Cause::TornRecord => "torn-record",
            Cause::FilesChangeApart => "files-change-apart",
            Cause::TemporaryFileLeft => "temporary-file-left",
            Cause::OldRemovedFirst => "old-removed-first",
            Cause::CreatedInPlace => "created-in-place",
            Cause::AcknowledgedBeforeWritten => "acknowledged-before-written",
            Cause::ReplayedTwice => "replayed-twice",
            Cause::NotRepeatable => "not-repeatable",
            Cause::LockFileLeft => "lock-file-left",
            Cause::AcknowledgedBeforeFsync => "acknowledged-before-fsync",
            Cause::WrittenWithoutFsync => "written-without-fsync",
            Cause::RenamedBeforeWritten => "renamed-before-written",
            Cause::RenamedBeforeFsync => "renamed-before-fsync",
            Cause::DirectoryNotSynced => "directory-not-synced",
            Cause::JournalEndNotDurable => "journal-end-not-durable",
            Cause::JournalEndedEarly => "journal-ended-early",
            Cause::OtherFileSynced => "other-file-synced",
            Cause::DataBeforeJournal => "data-before-journal",
            Cause::UnsyncedWriteTorn => "unsynced-write-torn",
            Cause::ExtendedWithoutSync => "extended-without-sync",
            Cause::UnsyncedWritesReordered => "unsynced-writes-reordered",
            Cause::JournalNotApplied => "journal-not-applied",
            Cause::AcknowledgedByOthers => "acknowledged-by-others",
            Cause::RecoveryNotKept => "recovery-not-kept",
            Cause::BetweenOperations => "between-operations",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The cause of a violation and its fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The defect.
    pub cause: Cause,
    /// The file that it is about, as shown.
    pub file: Option<String>,
    /// That file with the parts of its name that differ from one save to the next written as `*`:
    /// what findings are grouped by, together with class and cause.
    pub group: String,
    /// What the log shows, in a sentence or two.
    pub sentence: String,
    /// What to do, naming the files.
    pub fix: String,
}

/// Says why a crash state violates a promise. Looks at a bounded number of operations.
pub fn diagnose(history: &History, failure: &Failure<'_>) -> Diagnosis {
    let scene = Scene::new(history, failure);
    let known = match failure.model.is_power_loss() {
        true => {
            power_loss::diagnose(&scene).or_else(|| kill::acknowledged_early(&scene, failure.point))
        }
        false => kill::diagnose(&scene),
    };
    known.or_else(|| turn::between(&scene)).unwrap_or_else(|| between_operations(&scene))
}

/// Says why the state that the kill of some processes leaves breaks a promise, where others went on.
pub fn diagnose_survivors(history: &History, failure: &Failure<'_>) -> Diagnosis {
    let others = kill::acknowledged_by_others(&Scene::new(history, failure));
    others.unwrap_or_else(|| diagnose(history, failure))
}

/// Says why a crash state that held comes to another end than an undisturbed run when the command is
/// run again on it.
pub fn diagnose_rerun(history: &History, failure: &Failure<'_>) -> Diagnosis {
    kill::run_again(&Scene::new(history, failure))
}

/// Says why a crash state whose first opening showed what it should breaks a promise at the second.
pub fn diagnose_second(history: &History, failure: &Failure<'_>) -> Diagnosis {
    let scene = Scene::new(history, failure);
    let at = history.text(failure.point);
    let sentence = format!(
        "After a crash before {at} the first opening of the store shows what it should, and the second \
         does not: the recovery throws away what it shows."
    );
    let fix = "let the recovery save what it has found, and only then remove what it found it in";
    scene.diagnosis(Cause::RecoveryNotKept, None, sentence, fix.to_owned())
}

/// Nothing known is seen: names the operations on either side.
fn between_operations(scene: &Scene<'_>) -> Diagnosis {
    let (history, point) = (scene.history, scene.failure.point);
    let at = history.text(point);
    let sentence = match point.checked_sub(1).filter(|before| history.entry(*before).is_some()) {
        Some(before) => format!("The crash comes after {} and before {at}.", history.text(before)),
        None => format!("The crash comes before {at}."),
    };
    let first = scene.files().next();
    let file = first.and_then(|file| scene.path(file)).map(str::to_owned);
    // What replaces another file by a rename is written as it should be.
    let passing =
        |file| [point, point.saturating_add(1)].iter().any(|at| history.is_passing(file, *at));
    let in_place = first.is_none_or(|file| !passing(file));
    let fix = match &file {
        Some(file) if in_place => advice::one_step(history, file),
        _ => advice::ANY_ORDER.to_owned(),
    };
    scene.diagnosis(Cause::BetweenOperations, file, sentence, fix)
}
