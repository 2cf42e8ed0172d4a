//! The built-in oracle: judges crash states of a program whose data it understands, without a
//! journal, a checker or a configuration.
//!
//! It learns the versions that the program's own files went through in a recording, and holds a
//! crash state against them. It reads documents, SQLite databases and append-only files; of any
//! other file it says `held` where the bytes are those of a version, and `unknown (no-oracle)`
//! where they are not. It never guesses: a violation is something that cannot be read, is gone, is
//! cut off, or is part of a transaction.
//!
//! One oracle judges one state directory. `Follower` makes the versions out of operations;
//! `Learner` takes them from anyone. Judging needs no lock on the caller's side: threads share an
//! oracle, and with it what was read before.

mod append_only;
mod backup;
mod cache;
pub mod documents;
pub mod follower;
mod judging;
pub mod learner;
mod pieces;
mod pointers;
mod spelling;
pub mod sqlite;
pub mod state;
mod subject;
mod switches;
mod turns;

#[cfg(test)]
mod tests;

pub use backup::is_called_after;
pub use follower::{Completing, Completion, Follower};
pub(super) use judging::{is_lock, is_scratch};
pub(super) use learner::LOCK_BYTES_MAX;
pub use learner::{Guide, Learner, Moment, Version};
pub use state::{CrashState, Digest, DirectoryState, Present};
pub use subject::Kind;

use cache::Cache;
use judging::{Case, Holders};
use killpoint_model::address::escape;
use killpoint_model::{Judgement, Verdict};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::Peekable;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subject::Subject;
use switches::{Leading, Led, leads_to};
use turns::Turn;

/// Beyond this many, litter is counted and no longer named.
pub const LITTER_NAMED_MAX: usize = 16;

/// Beyond this many files, their details are counted and no longer told.
const DETAILS_MAX: usize = 3;

/// Where and how a crash happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The operation at whose entry it happened: its effects and those of later ones are not there.
    /// The number of operations and one more stands for the end.
    pub at: u64,
    /// Whether the power was lost, so that no acknowledgement counts but `durable_from`.
    pub power_loss: bool,
    /// Declared by the user: once this operation has completed, everything up to it survives a loss
    /// of power. Exit status 0 alone declares nothing.
    pub durable_from: Option<u64>,
    /// Whether what was learnt goes on beyond the crash. A live kill's own log ends there, and a
    /// save that was complete but not yet closed is then in no version: a document that can be read
    /// holds.
    pub recorded_beyond: bool,
}

impl Crash {
    /// A kill at the entry of operation `at` of the recording that was learnt.
    pub fn kill(at: u64) -> Crash {
        Crash { at, power_loss: false, durable_from: None, recorded_beyond: true }
    }

    /// A loss of power there.
    pub fn power_loss(at: u64) -> Crash {
        Crash { power_loss: true, ..Crash::kill(at) }
    }
}

/// What a crash state shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The worst of all files, with the sum of what was lost.
    pub judgement: Judgement,
    /// Every file that did not hold, in the order of their paths.
    pub files: Vec<(PathBuf, Judgement)>,
    /// Files that were there neither at the beginning nor at the end and were never put in place:
    /// a note, never a violation by itself.
    pub litter: Litter,
}

/// Files that a crash left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Litter {
    /// How many.
    pub count: u64,
    /// The first of them, at most [`LITTER_NAMED_MAX`].
    pub named: Vec<PathBuf>,
}

/// A file that was removed, and came to stand in another place right after that: as it was, or with most of its bytes.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub(super) was: Present,
    pub(super) became: Present,
    pub(super) to: PathBuf,
}

/// What was learnt from a recording of one state directory.
pub struct Oracle {
    /// In the order of their paths.
    subjects: Vec<Subject>,
    /// By the paths at which files were removed.
    moves: Arc<HashMap<PathBuf, Moved>>,
    /// By the paths of links and pointers.
    leads: BTreeMap<PathBuf, Led>,
    /// Documents that the program writes in turn.
    turns: Vec<Turn>,
    /// Paths that are no litter.
    known: BTreeSet<PathBuf>,
    databases: BTreeSet<PathBuf>,
    /// Databases of which a committed state could not be read, and why.
    not_understood: BTreeMap<PathBuf, String>,
    /// Operations at whose entry there were more acknowledgements than before, ascending.
    acknowledged: Vec<u64>,
    cache: Cache,
}

impl Oracle {
    /// The files that are judged and how, in the order of their paths. Where all of them are
    /// [`Kind::Opaque`] the oracle can find nothing.
    pub fn subjects(&self) -> impl Iterator<Item = (&Path, Kind)> {
        self.subjects.iter().map(|subject| (subject.path.as_path(), subject.kind))
    }

    /// The file that is judged at a path.
    fn subject(&self, path: &Path) -> Option<&Subject> {
        let index = self.subjects.binary_search_by(|it| it.path.as_path().cmp(path)).ok()?;
        Some(&self.subjects[index])
    }

    /// Judges every file of a crash state.
    pub fn judge(&self, state: &dyn CrashState, crash: &Crash) -> Judged {
        let through = self.through(crash);
        let holders = Holders::default();
        let mut files = Vec::new();
        let mut present = InTurn(state.files().iter().peekable());
        for subject in &self.subjects {
            let present = present.find(&subject.path).copied();
            let through = if subject.is_promised { through } else { 0 };
            let floor = self.floor(subject, through, state);
            let case =
                Case { oracle: self, subject, state, crash, holders: &holders, through, floor };
            let judgement = case.judge(present);
            if judgement.verdict != Verdict::Held {
                files.push((subject.path.clone(), judgement));
            }
        }
        Judged { judgement: worst(&files), files, litter: self.litter(state) }
    }

    /// The version of a file that had to stay: an index. What a link leads to has to be as it was when the link
    /// was moved there.
    fn floor(&self, subject: &Subject, through: u64, state: &dyn CrashState) -> usize {
        let leading = subject.switches.iter().filter_map(|Leading { path: link, .. }| {
            let target = state.links().get(link)?;
            let leads = leads_to(link, target, &subject.path);
            leads.then(|| self.switched_at(link, target, through)).flatten()
        });
        subject.floor(leading.max().unwrap_or(0).max(through))
    }

    /// The operation by which a link came to lead to this target.
    fn switched_at(&self, link: &Path, target: &[u8], through: u64) -> Option<u64> {
        let switch = self.subject(link)?;
        let present = Present::of(target);
        let mut entries = switch.entries[switch.floor(through)..].iter();
        entries.find(|entry| entry.what.holds(&present)).map(|entry| entry.at)
    }

    /// The operation up to which everything had to stay: 0 is the beginning.
    fn through(&self, crash: &Crash) -> u64 {
        if crash.power_loss {
            return crash.durable_from.filter(|ordinal| *ordinal < crash.at).unwrap_or(0);
        }
        let acknowledged = self.acknowledged.iter().rev().find(|ordinal| **ordinal <= crash.at);
        acknowledged.map_or(0, |ordinal| ordinal.saturating_sub(1))
    }

    fn litter(&self, state: &dyn CrashState) -> Litter {
        let mut litter = Litter::default();
        let mut known = InTurn(self.known.iter().map(|path| (path, ())).peekable());
        for path in state.files().keys() {
            if known.find(path).is_some() {
                continue;
            }
            if sqlite::owner(path).is_some_and(|owner| self.databases.contains(&owner)) {
                continue;
            }
            litter.count += 1;
            if litter.named.len() < LITTER_NAMED_MAX {
                litter.named.push(path.clone());
            }
        }
        litter
    }
}

/// Finds what is asked for in the order of its paths, without a search for each.
struct InTurn<I: Iterator>(Peekable<I>);

impl<'a, T, I: Iterator<Item = (&'a PathBuf, T)>> InTurn<I> {
    /// What stands at a path, which is behind all that were asked for before.
    fn find(&mut self, path: &Path) -> Option<T> {
        while let Some((next, _)) = self.0.peek() {
            match next.as_path().cmp(path) {
                Ordering::Less => self.0.next(),
                Ordering::Equal => return self.0.next().map(|(_, found)| found),
                Ordering::Greater => return None,
            };
        }
        None
    }
}

/// A path as sentences name it: like an address does.
pub(super) fn shown(path: &Path) -> String {
    escape(path.as_os_str().as_bytes())
}

/// The judgement of the state: the first of the worst files speaks for it.
fn worst(files: &[(PathBuf, Judgement)]) -> Judgement {
    let severity = |judgement: &Judgement| match judgement.verdict {
        Verdict::Held => 0,
        Verdict::Unknown(_) => 1,
        Verdict::Violated(_) => 2,
    };
    let Some(most) = files.iter().map(|(_, judgement)| severity(judgement)).max() else {
        return Judgement::held();
    };
    let alike: Vec<&Judgement> =
        files.iter().map(|(_, judgement)| judgement).filter(|it| severity(it) == most).collect();
    let details = alike.iter().take(DETAILS_MAX).map(|judgement| judgement.detail.as_str());
    let mut detail = details.collect::<Vec<_>>().join(" ");
    if alike.len() > DETAILS_MAX {
        detail.push_str(&format!(" And {} more files.", alike.len() - DETAILS_MAX));
    }
    Judgement {
        verdict: alike[0].verdict.clone(),
        detail,
        keys_lost: alike.iter().map(|judgement| judgement.keys_lost).sum(),
        bytes_lost: alike.iter().map(|judgement| judgement.bytes_lost).sum(),
        ..Judgement::held()
    }
}
