//! Learning: from the versions that a recording went through to what a crash may leave.

mod history;
mod killed;
mod leads;
mod stretches;

use super::cache::Cache;
use super::documents::{self, DOCUMENT_BYTES_MAX, Format};
use super::follower::Completion;
use super::pointers::{Candidate, POINTER_BYTES_MAX, pointers};
use super::sqlite::{self, Reading};
use super::state::{CrashState, Digest};
use super::subject::{Entry, Kind, Subject, What};
use super::switches::Switch;
use super::turns::{NumbersByDigest, turns};
use super::{Moved, Oracle};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use killed::Guide;

pub(in crate::asserter) use history::LOCK_BYTES_MAX;
use history::{History, Seen};
use leads::leads;

/// Bytes of versions that are kept to compare with. Beyond, versions are known by digest only: what
/// was cut off may then be `unknown` where it would have been `torn`.
const KEPT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// When a file was complete in the program's own eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the first operation.
    Begin,
    /// The last descriptor that could write to it was closed.
    Closed,
    /// It was renamed or linked to this path.
    Placed,
    /// It was exchanged with a file that was written for that, and so pushed to this path.
    Displaced,
    /// A symbolic link was moved to its place that leads to this path, or to a directory above it.
    Published,
    /// It was synced.
    Synced,
    /// The program began to write it anew from its start, removed it or moved it away. Counts for
    /// documents that can be read, and for append-only files; of a log that is emptied it is what
    /// it had grown to.
    Superseded,
    /// Everything that was written by then was promised. Counts where a document can be read, and for files
    /// of unknown formats.
    Acknowledged,
    /// After the last operation.
    End,
    /// After the last operation of a run that was killed, while the program was in the middle of changing it.
    Left,
}

impl Moment {
    /// The end of a recording, for a file whose last change completed it so.
    pub(super) fn of_end(completion: Completion) -> Moment {
        match completion {
            Completion::Yes => Moment::End,
            Completion::Superseded => Moment::Superseded,
            Completion::No => Moment::Left,
        }
    }

    /// What a file was completed by that was told of at such a moment.
    pub(super) fn completion(self) -> Completion {
        match self {
            Moment::Left => Completion::No,
            Moment::Superseded => Completion::Superseded,
            _ => Completion::Yes,
        }
    }
}

/// A file at a moment.
#[derive(Clone, Debug)]
pub struct Version {
    /// Relative to the state directory.
    pub path: PathBuf,
    /// The operation after which it stood so; 0 is the beginning.
    pub at: u64,
    /// Why it counts.
    pub moment: Moment,
    /// All of its bytes, of a symbolic link its target; none where it is oversized.
    pub contents: Arc<[u8]>,
    /// Whether it is a symbolic link.
    pub is_link: bool,
    /// Of a file that is too large to be held in memory, its digest and its size in bytes.
    pub oversized: Option<(Digest, u64)>,
    /// Whether since the beginning, or since its creation, bytes were only ever appended to this
    /// inode: nothing overwritten, cut off, preallocated or changed through a mapping.
    pub appended: bool,
    /// Whether this is so since the version of this inode that was told before.
    pub is_continued: bool,
    /// Whether this inode was ever changed otherwise than by being appended to or emptied.
    pub is_changed_within: bool,
    /// The operation that emptied this inode, if it was only appended to since.
    pub emptied_at: Option<u64>,
}

/// Gathers versions. Tell it everything in the order of the recording, then `finish`.
#[derive(Default)]
pub struct Learner {
    histories: BTreeMap<PathBuf, History>,
    acknowledged: Vec<u64>,
    acknowledgements: u64,
    /// Databases of which a committed state could not be read, and why.
    not_understood: BTreeMap<PathBuf, String>,
    /// Databases of which the last committed state was not intact, and why.
    broken: BTreeMap<PathBuf, String>,
    kept_bytes: u64,
    numbers: NumbersByDigest,
    cache: Cache,
    /// By the paths at which files were removed: what was made right after that of their bytes.
    moves: HashMap<PathBuf, Moved>,
}

impl Learner {
    /// Nothing learnt yet.
    pub fn new() -> Learner {
        Learner::default()
    }

    /// A file was complete.
    pub fn version(&mut self, version: Version) {
        if version.is_link {
            return self.link(version);
        }
        let Version { is_changed_within, emptied_at, .. } = version;
        let Version { path, at, moment, contents, oversized, appended, is_continued, .. } = version;
        let (digest, length) =
            oversized.unwrap_or_else(|| (Digest::of(&contents), contents.len() as u64));
        let is_database = contents.starts_with(sqlite::MAGIC);
        let document = match oversized {
            Some(_) => None,
            None => self.read_document(&path, digest, &contents),
        };
        // Of what only grows nothing is written in turn.
        let grew = appended && is_continued && self.knows(&path);
        let is_unknown = document.is_none() && !is_database && oversized.is_none();
        if let Some((format, Some(_))) = document {
            let numbers = || Arc::new(documents::numbers(format, &contents));
            self.numbers.entry(digest).or_insert_with(numbers);
        } else if is_unknown && moment != Moment::Left && !grew {
            let numbers = || Arc::new(documents::numbers_of_unknown(&contents));
            self.numbers.entry(digest).or_insert_with(numbers);
        }
        let may_be_row =
            document.is_none() && moment != Moment::Left && Format::of_name(&path).is_none();
        let shows_its_end = document.is_none_or(|(format, _)| format.shows_its_end());
        let may_be_log = document.is_none() && !is_changed_within;
        let is_compared = appended || may_be_log || !shows_its_end || length <= POINTER_BYTES_MAX;
        let history = self.histories.entry(path).or_default();
        if matches!(moment, Moment::Placed | Moment::Displaced) {
            history.grow(at, 0);
        }
        history.is_database |= is_database;
        if may_be_row && !history.has_rows {
            history.has_rows = documents::is_row_of_values(&contents);
        }
        if document.is_none() && !is_database && length > 0 {
            history.carry(&contents, appended, is_continued);
            if moment == Moment::Acknowledged {
                history.owes_nothing();
            }
        }
        let last = history.seen.last().and_then(|(_, seen)| seen.as_ref());
        let contents = match last.filter(|last| last.digest == digest) {
            Some(last) => last.contents.clone(),
            None if is_compared
                && !is_database
                && oversized.is_none()
                && self.kept_bytes + length <= KEPT_BYTES_MAX =>
            {
                self.kept_bytes += length;
                Some(contents)
            }
            None => None,
        };
        let is_link = false;
        let seen = Seen {
            at,
            moment,
            digest,
            length,
            is_link,
            appended,
            is_continued,
            is_changed_within,
            emptied_at,
            document,
            contents,
        };
        history.seen.push((at, Some(seen)));
    }

    fn link(&mut self, version: Version) {
        let Version { path, at, moment, contents: target, .. } = version;
        let seen = Seen {
            at,
            moment,
            digest: Digest::of(&target),
            length: target.len() as u64,
            is_link: true,
            appended: false,
            is_continued: false,
            is_changed_within: false,
            emptied_at: None,
            document: None,
            contents: Some(target),
        };
        self.histories.entry(path).or_default().seen.push((at, Some(seen)));
    }

    fn read_document(
        &self,
        path: &Path,
        digest: Digest,
        contents: &[u8],
    ) -> Option<(Format, Option<Digest>)> {
        if contents.len() as u64 > DOCUMENT_BYTES_MAX {
            return None;
        }
        let format = Format::recognise(path, contents)?;
        let read = self.cache.document(digest, format, || Ok(contents.to_vec()));
        Some((format, read.ok().and_then(Result::ok)))
    }

    /// After operation `at` nothing stood at `path` any more.
    pub fn removed(&mut self, path: impl Into<PathBuf>, at: u64) {
        let history = self.histories.entry(path.into()).or_default();
        history.seen.push((at, None));
        history.grow(at, 0);
    }

    /// Whether a file stood at this path at some time.
    pub fn knows(&self, path: &Path) -> bool {
        self.histories.get(path).is_some_and(|history| history.versions().next().is_some())
    }

    /// The file at `path` was moved to another path. `is_staged` says whether it was only made here: written
    /// anew, to take the place of another file.
    pub fn moved(&mut self, path: PathBuf, is_staged: bool) {
        let history = self.histories.entry(path).or_default();
        history.is_staged = Some(is_staged && history.is_staged.unwrap_or(true));
    }

    /// The file at `from` was removed, and right after that one made that holds its bytes, or most of them.
    pub(super) fn moved_by_hand(&mut self, from: PathBuf, moved: Moved) {
        self.moves.insert(from, moved);
    }

    /// When everything up to operation `at` was promised, a file was so long that had only grown since its
    /// last other change; 0 if it did anything else with operation `at`.
    pub fn grown(&mut self, path: PathBuf, at: u64, length: u64) {
        self.histories.entry(path).or_default().grow(at, length);
    }

    /// At the entry of operation `at` the ack journal held `count` acknowledgements. The number of
    /// operations and one more stands for the end.
    pub fn acknowledgements(&mut self, at: u64, count: u64) {
        if count > self.acknowledgements {
            self.acknowledgements = count;
            self.acknowledged.push(at);
        }
    }

    /// The databases met so far. A recording with databases is replayed a second time, to offer
    /// its states to [`Learner::committed`].
    pub fn databases(&self) -> BTreeSet<PathBuf> {
        let databases = self.histories.iter().filter(|(_, history)| history.is_database);
        databases.map(|(path, _)| path.clone()).collect()
    }

    /// The state after operation `at`, in which `databases` hold whole transactions only: the
    /// beginning (0), the end, and each state that [`CommittedStates`] names. Offer no other: what
    /// these databases hold once recovered is what a crash may leave.
    ///
    /// [`CommittedStates`]: super::follower::CommittedStates
    ///
    /// # Errors
    /// When the state's directory cannot be made or read.
    pub fn committed(
        &mut self,
        at: u64,
        databases: &BTreeSet<PathBuf>,
        state: &dyn CrashState,
    ) -> io::Result<()> {
        for path in databases.iter().filter(|path| state.files().contains_key(*path)) {
            let reading = self.cache.database(path, state)?;
            self.broken.remove(path);
            match reading.as_ref() {
                Reading::Whole(dump) => {
                    let what = What::Database(*dump);
                    let history = self.histories.entry(path.clone()).or_default();
                    history.dumps.push(Entry { at, what });
                }
                Reading::Broken(_, why) if at > 0 => {
                    self.broken.insert(path.clone(), why.clone());
                }
                Reading::Broken(_, why) | Reading::NotUnderstood(why) => {
                    self.not_understood.entry(path.clone()).or_insert_with(|| why.clone());
                }
            }
        }
        Ok(())
    }

    /// The symbolic links that were moved from one target to the next, if they lead to a file; and files that do so by
    /// their texts.
    fn switches(&self) -> Vec<Switch> {
        let paths = || self.histories.keys();
        let links = self.histories.iter().filter_map(|(link, history)| {
            let targets = history.targets_in_turn()?;
            let switch = Switch::of_link(link.clone(), targets);
            paths().any(|path| switch.led_to(path)).then_some(switch)
        });
        let files = self.histories.iter();
        let texts = files.filter_map(|(path, history)| {
            let texts = history.texts_in_turn(path)?;
            Some(Candidate { path, texts, is_placed: history.is_placed() })
        });
        links.chain(pointers(texts.collect(), paths())).collect()
    }

    /// What was learnt, ready to judge.
    pub fn finish(self) -> Oracle {
        self.finish_guided(None)
    }

    /// What was learnt of a run that was killed, ready to judge what it left.
    pub fn finish_killed(self, guide: &Guide<'_>) -> Oracle {
        self.finish_guided(Some(guide))
    }

    fn finish_guided(mut self, guide: Option<&Guide<'_>>) -> Oracle {
        // Even undisturbed the database ended like this: not ours to judge.
        self.not_understood.append(&mut self.broken);
        let databases = self.databases();
        // Who renames new files into place elsewhere, or keeps a database, may mean what it writes over here.
        let is_careful = self.histories.values().any(|it| it.is_placed() || it.is_database);
        let switches = self.switches();
        let leads = leads(&self.histories, &switches, guide);
        let belongs = |path: &Path| sqlite::owner(path).is_some_and(|it| databases.contains(&it));
        let mut known = BTreeSet::new();
        let mut subjects = Vec::new();
        for (path, mut history) in self.histories {
            let by_guide = guide.and_then(|guide| guide.known(&path, &history));
            let was_switch = by_guide.as_ref().is_some_and(|it| it.subject.kind == Kind::Link);
            let is_link = |switch: &Switch| !switch.is_file && switch.link == path;
            let is_switch = was_switch || switches.iter().any(is_link);
            if !is_switch && !history.forget_links() {
                continue;
            }
            let is_companion = belongs(&path);
            if is_companion || !history.is_temporary() {
                known.insert(path.clone());
            }
            if is_companion {
                continue;
            }
            let mut subject = match by_guide {
                Some(by_guide) => history.into_known(path, &by_guide),
                None if history.is_left() || history.is_lock(&path) => continue,
                None => {
                    let is_passing = history.is_passing(&path);
                    if !is_passing && !history.is_lasting() {
                        continue;
                    }
                    Subject { is_passing, ..history.into_subject(path, is_careful) }
                }
            };
            for switch in switches.iter().filter(|switch| switch.led_to(&subject.path)) {
                if !subject.switches.iter().any(|leading| leading.path == switch.link) {
                    subject.switches.push(switch.leading(&subject.path));
                }
            }
            subjects.push(subject);
        }
        let moves = match guide {
            Some(guide) => Arc::clone(&guide.reference.moves),
            None => Arc::new(lasting(self.moves, &subjects)),
        };
        let turns = match guide {
            Some(guide) => guide.reference.turns.iter().map(|it| it.with(&self.numbers)).collect(),
            None => turns(&subjects, &self.numbers),
        };
        Oracle {
            subjects,
            moves,
            leads,
            turns,
            known,
            databases,
            not_understood: self.not_understood,
            acknowledged: self.acknowledged,
            cache: self.cache,
        }
    }
}

/// The moves to a place at which a file is judged, and is no database.
fn lasting(mut moves: HashMap<PathBuf, Moved>, subjects: &[Subject]) -> HashMap<PathBuf, Moved> {
    moves.retain(|_, moved| {
        let to = subjects.binary_search_by(|subject| subject.path.cmp(&moved.to));
        to.is_ok_and(|index| {
            matches!(subjects[index].entries.last(), Some(Entry { what: What::File { .. }, .. }))
        })
    });
    moves
}
