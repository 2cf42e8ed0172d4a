//! Files from which a program, or a person, may restore a damaged one.

use super::Case;
use crate::asserter::oracle::documents::Format;
use crate::asserter::oracle::state::{CrashState, Digest, HELD_BYTES_MAX, Present};
use crate::asserter::oracle::subject::{Entry, Kind, What};
use crate::asserter::oracle::{Oracle, is_called_after, shown, sqlite};
use killpoint_model::{Judgement, Reason, Verdict};
use std::cell::{Cell, OnceCell};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// Shorter versions may stand in another file by chance.
const CONTAINED_BYTES_MIN: u64 = 6;

/// How compressed files begin: gzip, bzip2, xz, zstd, zip.
const PACKED: [&[u8]; 5] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"];

/// So much is digested in the search for a version within other files.
const DIGESTED_BYTES_MAX: u64 = 4 << 20;

/// Whether the bytes of a version stand whole within another file.
enum Within<'a> {
    Nowhere,
    File(&'a Path),
    /// There was too much to look at.
    Unsure,
}

/// The files of a state; each list is made once it is asked for, since most states hold.
#[derive(Default)]
pub(in super::super) struct Holders<'a> {
    by_digest: OnceCell<HashMap<Digest, Vec<&'a Path>>>,
    temporary: OnceCell<Vec<(&'a Path, Present)>>,
    /// How much was digested in the search for versions within other files.
    digested: Cell<u64>,
}

impl<'a> Holders<'a> {
    /// By what they hold.
    fn by_digest(&self, state: &'a dyn CrashState) -> &HashMap<Digest, Vec<&'a Path>> {
        self.by_digest.get_or_init(|| {
            let mut paths: HashMap<Digest, Vec<&Path>> = HashMap::new();
            for (path, present) in state.files() {
                paths.entry(present.digest).or_default().push(path);
            }
            paths
        })
    }

    /// Those that do not last, or are empty at the end, and belong to no database.
    fn temporary(&self, oracle: &Oracle, state: &'a dyn CrashState) -> &[(&'a Path, Present)] {
        self.temporary.get_or_init(|| {
            let files = state.files().iter().map(|(path, present)| (path.as_path(), *present));
            let is_database = |path: &Path| {
                oracle.subject(path).is_some_and(|subject| subject.kind == Kind::Database)
            };
            let is_temporary = |path: &Path| match oracle.subject(path) {
                None => !sqlite::owner(path).is_some_and(|owner| is_database(&owner)),
                Some(subject) => {
                    let may_hold = !matches!(subject.kind, Kind::Database | Kind::Link);
                    may_hold && subject.is_empty_at_the_end()
                }
            };
            files.filter(|(path, _)| is_temporary(path)).collect()
        })
    }

    /// Whether so much more may be digested.
    fn affords(&self, bytes: u64) -> bool {
        let digested = self.digested.get().saturating_add(bytes);
        self.digested.set(digested);
        digested <= DIGESTED_BYTES_MAX
    }
}

impl Case<'_> {
    /// A program may restore a damaged document from a copy that it keeps.
    pub(super) fn spared_by_copy(&self, judgement: Judgement) -> Judgement {
        if !matches!(judgement.verdict, Verdict::Violated(_)) {
            return judgement;
        }
        let spared = |copy: &Path, holds: &str| {
            let detail = format!(
                "{} {} {holds}: whether the next start takes that one only a checker can say.",
                judgement.detail,
                shown(copy)
            );
            Judgement::unknown(Reason::NoOracle, detail)
        };
        let other_form = || self.swap_file().or_else(|| self.packed_copy());
        match self.whole_copy().or_else(|| self.redo_log()) {
            Some(copy) => spared(copy, "holds a version of it"),
            None => match other_form() {
                Some(copy) => spared(copy, "may hold it, in a form of its own"),
                None => judgement,
            },
        }
    }

    /// Of a log that is empty a compressed copy, called after it, that the run has made since what had to stay stood.
    fn packed_copy(&self) -> Option<&Path> {
        let path = &self.subject.path;
        let is_log = matches!(self.subject.kind, Kind::Opaque | Kind::Document(Format::JsonLines));
        if !is_log || self.state.files().get(path).is_none_or(|present| present.length > 0) {
            return None;
        }
        let is_new = |other: &Path| {
            let subject = self.oracle.subject(other);
            subject.is_none_or(|it| it.entries[it.floor(self.through)].what.is_blank())
        };
        let is_packed = |other: &Path| {
            let contents = self.state.read(other).unwrap_or_default();
            PACKED.iter().any(|magic| contents.starts_with(magic))
        };
        let holds = |present: &Present| (1..=HELD_BYTES_MAX).contains(&present.length);
        let mut files = self.state.files().iter();
        let packed = files.find(|(other, present)| {
            holds(present) && is_called_after(other, path) && is_new(other) && is_packed(other)
        });
        packed.map(|(other, _)| other.as_path())
    }

    /// The swap file of an editor such as vim, which keeps the text in blocks of its own: `.notes.txt.swp`. One that is
    /// shorter than the text does not hold it.
    fn swap_file(&self) -> Option<&Path> {
        let path = &self.subject.path;
        if !matches!(self.subject.kind, Kind::Document(_) | Kind::Opaque) {
            return None;
        }
        let needed =
            self.subject.entries[self.floor..].iter().filter_map(|entry| match entry.what {
                What::File { length: length @ 1.., .. } => Some(length),
                _ => None,
            });
        let needed = needed.min()?;
        let files = self.holders.temporary(self.oracle, self.state).iter();
        let swap = files
            .copied()
            .find(|(other, present)| is_swap_file_of(other, path) && present.length >= needed);
        swap.map(|(other, _)| other)
    }

    /// Another file that holds a version of this one, as a backup or as one not yet moved into place.
    /// Equal bytes alone are no backup: many files may hold the same. It is called after this file, or,
    /// where the format is unknown, the program made it in this run.
    pub(super) fn whole_copy(&self) -> Option<&Path> {
        let path = &self.subject.path;
        let made_counts = match self.subject.kind {
            Kind::Document(_) => false,
            Kind::Opaque => true,
            Kind::Database | Kind::AppendOnly | Kind::Link => return None,
        };
        let mut copies: BTreeSet<&Path> = BTreeSet::new();
        let is_copy = |other: &Path, entry: &Entry| {
            other != path
                && (is_called_after(other, path) || (made_counts && self.is_made(other, entry)))
        };
        let versions = &self.subject.entries[self.floor..];
        for entry in versions.iter().cloned().chain(self.begun_anew()) {
            copies.extend(self.holders(&entry.what).filter(|other| is_copy(other, &entry)));
        }
        copies.into_iter().next()
    }

    /// What a file of unknown format held when the program began to write it anew, since what had to stay stood.
    fn begun_anew(&self) -> impl Iterator<Item = Entry> {
        let floor = self.subject.entries[self.floor].at;
        let begun = self.subject.begun_anew.iter();
        let since = begun.filter(move |(at, ..)| (floor..self.crash.at).contains(at));
        since.map(|&(at, digest, length)| Entry {
            at,
            what: What::File { digest, length, value: None, whole: 0 },
        })
    }

    /// A file that is removed or emptied later, and has a version of this document within it, or is one: a log of what
    /// is to be done again after a crash, or undone.
    fn redo_log(&self) -> Option<&Path> {
        let Kind::Document(_) = self.subject.kind else { return None };
        let files = self.holders.temporary(self.oracle, self.state);
        let versions: BTreeSet<(u64, Digest)> = self.subject.entries[self.floor..]
            .iter()
            .filter_map(|entry| match entry.what {
                What::File { digest, length: length @ CONTAINED_BYTES_MIN.., .. } => {
                    Some((length, digest))
                }
                _ => None,
            })
            .collect();
        let others = || files.iter().copied().filter(|(path, _)| *path != self.subject.path);
        let is_damaged = self.is_damaged();
        versions.iter().find_map(|version| {
            let equal =
                |(_, present): &(&Path, Present)| (present.length, present.digest) == *version;
            let whole = others().find(|it| is_damaged && equal(it)).map(|(path, _)| path);
            whole.or_else(|| match self.within(*version, others()) {
                Within::File(path) => Some(path),
                Within::Nowhere | Within::Unsure => None,
            })
        })
    }

    /// Whether something stands at its path that it never was. A whole version that is too old, or nothing, is what is
    /// left where a new one was not moved into its place.
    fn is_damaged(&self) -> bool {
        let present = self.state.files().get(&self.subject.path);
        present.is_some_and(|present| {
            let is_it = |entry: &Entry| !entry.what.is_blank() && entry.what.holds(present);
            !self.subject.entries.iter().any(is_it)
        })
    }

    /// Whether bytes stand in any file of the state, alone or among others; also where that is not certain.
    pub(super) fn stands_somewhere(&self, digest: &Digest, length: u64) -> bool {
        if self.holders.by_digest(self.state).contains_key(digest)
            || !self.oracle.databases.is_empty()
            || !self.holders.affords(self.state.files().len() as u64)
        {
            return true;
        }
        let files = self.state.files().iter().map(|(path, present)| (path.as_path(), *present));
        !matches!(self.within((length, *digest), files), Within::Nowhere)
    }

    /// Looks for bytes of this length and digest among those of larger files.
    fn within<'a>(
        &self,
        (length, digest): (u64, Digest),
        files: impl Iterator<Item = (&'a Path, Present)>,
    ) -> Within<'a> {
        for (path, present) in files.filter(|(_, present)| present.length > length) {
            let needed = (present.length - length + 1).saturating_mul(length);
            if !self.holders.affords(needed) {
                return Within::Unsure;
            }
            let Ok(contents) = self.state.read(path) else { return Within::Unsure };
            let mut windows = contents.windows(usize::try_from(length).unwrap_or(usize::MAX));
            if windows.any(|bytes| Digest::of(bytes) == digest) {
                return Within::File(path);
            }
        }
        Within::Nowhere
    }

    /// The files of the state that hold a version, unless that is empty.
    pub(super) fn holders(&self, version: &What) -> impl Iterator<Item = &Path> {
        let paths = match version {
            What::File { digest, length: 1.., .. } => {
                self.holders.by_digest(self.state).get(digest)
            }
            _ => None,
        };
        paths.into_iter().flatten().copied()
    }

    /// Whether the program has made a file in this run out of a version, or for it. A file that it keeps
    /// is made out of one only if the version was there before; what comes to hold the same bytes as
    /// this file later does is no copy of it.
    fn is_made(&self, other: &Path, version: &Entry) -> bool {
        let kept = self.oracle.subject(other).filter(|other| !other.is_passing);
        kept.is_none_or(|other| {
            version.at < self.crash.at && !other.entries[0].what.equals(&version.what)
        })
    }
}

/// Whether a name is that of the swap file of another one.
fn is_swap_file_of(other: &Path, path: &Path) -> bool {
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    let (Some(other_name), Some(name)) = (name(other), name(path)) else { return false };
    let rest = other_name.strip_prefix('.').unwrap_or(&other_name).strip_prefix(&*name);
    other.parent() == path.parent()
        && rest.is_some_and(|rest| matches!(rest.as_bytes(), [b'.', b's', b'w', b'a'..=b'p']))
}
