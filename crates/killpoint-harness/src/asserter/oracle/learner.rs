//! Learning: from the versions that a recording went through to what a crash may leave.

use super::Oracle;
use super::cache::Cache;
use super::documents::{DOCUMENT_BYTES_MAX, Format};
use super::sqlite::{self, Reading};
use super::state::{CrashState, Digest};
use super::subject::{Entry, Kind, Subject, What};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of versions that are kept to compare with. Beyond, versions are known by digest only: what
/// was cut off may then be `unknown` where it would have been `torn`.
const KEPT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The unit in which two versions of a file that nothing here understands are compared.
const PIECE_BYTES: usize = 16;

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
    /// It was synced.
    Synced,
    /// The program began to write it anew from its start, removed it or moved it away. Counts for
    /// documents that can be read, and for append-only files.
    Superseded,
    /// Everything that was written by then was promised. Counts where a document can be read, and for files
    /// of unknown formats.
    Acknowledged,
    /// After the last operation.
    End,
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
    /// All of its bytes; none where it is oversized.
    pub contents: Arc<[u8]>,
    /// Of a file that is too large to be held in memory, its digest and its size in bytes.
    pub oversized: Option<(Digest, u64)>,
    /// Whether since the beginning, or since its creation, bytes were only ever appended to this
    /// inode: nothing overwritten, cut off, preallocated or changed through a mapping.
    pub appended: bool,
}

struct Seen {
    at: u64,
    moment: Moment,
    digest: Digest,
    length: u64,
    appended: bool,
    document: Option<(Format, Option<Digest>)>,
    contents: Option<Arc<[u8]>>,
}

#[derive(Default)]
struct History {
    /// In the order in which they were told; none where it was removed.
    seen: Vec<(u64, Option<Seen>)>,
    dumps: Vec<Entry>,
    is_database: bool,
    /// The beginning of the last version that had any bytes.
    last: Vec<u8>,
    /// Whether each version after the first has kept less than half of the one before; none while
    /// there was only one.
    is_given_up: Option<bool>,
    /// How long it was at acknowledgements, while it only ever grew; 0 where it was changed otherwise,
    /// removed or replaced.
    grown: Vec<(u64, u64)>,
    /// Whether each file that was moved from here to another path was only made here; none while none was.
    is_staged: Option<bool>,
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
    cache: Cache,
}

impl Learner {
    /// Nothing learnt yet.
    pub fn new() -> Learner {
        Learner::default()
    }

    /// A file was complete.
    pub fn version(&mut self, version: Version) {
        let Version { path, at, moment, contents, oversized, appended } = version;
        let (digest, length) =
            oversized.unwrap_or_else(|| (Digest::of(&contents), contents.len() as u64));
        let is_database = contents.starts_with(sqlite::MAGIC);
        let document = match oversized {
            Some(_) => None,
            None => self.read_document(&path, digest, &contents),
        };
        let is_compared = appended || document.is_some_and(|(format, _)| !format.shows_its_end());
        let history = self.histories.entry(path).or_default();
        if matches!(moment, Moment::Placed | Moment::Displaced) {
            history.grow(at, 0);
        }
        history.is_database |= is_database;
        if document.is_none() && !is_database && length > 0 {
            history.carry(&contents, appended);
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
        let seen = Seen { at, moment, digest, length, appended, document, contents };
        history.seen.push((at, Some(seen)));
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

    /// What was learnt, ready to judge.
    pub fn finish(mut self) -> Oracle {
        // Even undisturbed the database ended like this: not ours to judge.
        self.not_understood.append(&mut self.broken);
        let databases = self.databases();
        let places = |history: &History| {
            history.versions().any(|seen| seen.moment == Moment::Placed && seen.at > 0)
        };
        // Who renames new files into place elsewhere may mean what it writes over here.
        let is_careful = self.histories.values().any(places);
        let belongs = |path: &Path| sqlite::owner(path).is_some_and(|it| databases.contains(&it));
        let mut known = BTreeSet::new();
        let mut subjects = Vec::new();
        for (path, history) in self.histories {
            let is_companion = belongs(&path);
            if is_companion || !history.is_temporary() {
                known.insert(path.clone());
            }
            if !is_companion && history.is_lasting() {
                subjects.push(history.into_subject(path, is_careful));
            }
        }
        Oracle {
            subjects,
            known,
            databases,
            not_understood: self.not_understood,
            acknowledged: self.acknowledged,
            cache: self.cache,
        }
    }
}

impl History {
    fn versions(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter_map(|(_, seen)| seen.as_ref())
    }

    fn grow(&mut self, at: u64, length: u64) {
        if self.grown.last().map_or(0, |(_, last)| *last) != length {
            self.grown.push((at, length));
        }
    }

    /// Notes how much of the last version is in the next.
    fn carry(&mut self, contents: &[u8], appended: bool) {
        const COMPARED_BYTES_MAX: usize = 1 << 20;
        let contents = &contents[..contents.len().min(COMPARED_BYTES_MAX)];
        if !self.last.is_empty() && contents != self.last {
            let is_given_up = !appended && !keeps_half(&self.last, contents);
            self.is_given_up = Some(is_given_up && self.is_given_up.unwrap_or(true));
        }
        self.last = contents.to_vec();
    }

    /// Whether what stands here at last was pushed here by an exchange of names: the version before
    /// the one that counts, kept as a spare and written over for the next exchange.
    fn is_spare(&self) -> bool {
        let arrival = |seen: &&Seen| matches!(seen.moment, Moment::Placed | Moment::Displaced);
        let last = self.versions().filter(arrival).last();
        last.is_some_and(|seen| seen.moment == Moment::Displaced)
    }

    /// Whether new versions of other files are made here, and what was here at the beginning is what an
    /// earlier crash has left of one: the program writes it anew, moves it into place, and has nothing
    /// here at the end. What was acknowledged here is data all the same.
    fn is_staging(&self) -> bool {
        let has = |moment: Moment| self.versions().any(|seen| seen.moment == moment);
        let is_gone = self.seen.last().is_some_and(|(_, seen)| seen.is_none());
        let is_acknowledged =
            has(Moment::Acknowledged) || self.grown.iter().any(|(_, length)| *length > 0);
        self.is_staged == Some(true) && is_gone && !has(Moment::Placed) && !is_acknowledged
    }

    /// Whether nothing stood here before the program began, and nobody reads what it makes here.
    fn is_temporary(&self) -> bool {
        let stays = |seen: &Seen| {
            matches!(seen.moment, Moment::Begin | Moment::Placed | Moment::Displaced | Moment::End)
        };
        !self.versions().any(stays)
    }

    /// Whether anybody reads this path: it was there at the beginning or at the end, or was put in
    /// place whole. All else are temporary files, those that are made to be moved, and spares.
    fn is_lasting(&self) -> bool {
        !self.is_temporary() && !self.is_spare() && !self.is_staging()
    }

    fn into_subject(self, path: PathBuf, is_careful: bool) -> Subject {
        let kind = self.kind(&path);
        let is_given_up = is_careful && self.is_given_up == Some(true);
        let appended = self.versions().all(|seen| seen.appended);
        let placed = match kind {
            Kind::Document(format) => {
                let unread = self.versions().filter(|seen| seen.is_placed_unread(format));
                unread.map(|seen| seen.digest).collect()
            }
            Kind::Database => {
                let placed = self.versions().filter(|seen| seen.moment == Moment::Placed);
                placed.map(|seen| seen.digest).collect()
            }
            _ => Vec::new(),
        };
        let mut entries = Vec::new();
        if self.versions().next().is_none_or(|seen| seen.moment != Moment::Begin) {
            entries.push(Entry { at: 0, what: What::Absent });
        }
        let mut wholes: Vec<Arc<[u8]>> = Vec::new();
        let mut is_begun = false;
        for (at, seen) in self.seen {
            let Some(seen) = seen else {
                entries.push(Entry { at, what: What::Absent });
                is_begun = false;
                continue;
            };
            if kind == Kind::Database || !seen.counts(kind) {
                continue;
            }
            is_begun &= seen.moment != Moment::Placed;
            keep_whole(kind, &seen, is_begun, &mut wholes);
            is_begun = true;
            let value = seen.document.and_then(|(_, value)| value);
            let whole = wholes.len().saturating_sub(1);
            let what = What::File { digest: seen.digest, length: seen.length, value, whole };
            entries.push(Entry { at: seen.at, what });
        }
        entries.extend(self.dumps);
        entries.sort_by_key(|entry| entry.at);
        let grown = self.grown;
        Subject { path, kind, entries, wholes, appended, placed, is_given_up, grown }
    }

    fn kind(&self, path: &Path) -> Kind {
        if self.is_database {
            return Kind::Database;
        }
        let document = self.document_format();
        if let Some(format) = document.filter(|format| *format != Format::JsonLines) {
            return Kind::Document(format);
        }
        if self.is_append_only(path) {
            return Kind::AppendOnly;
        }
        document.map_or(Kind::Opaque, Kind::Document)
    }

    /// A document is whole at the beginning and at the end, or where it was put in place if it was
    /// at neither.
    fn document_format(&self) -> Option<Format> {
        let is_at = |moments: &'static [Moment]| {
            move |seen: &&Seen| seen.length > 0 && moments.contains(&seen.moment)
        };
        let mut deciding: Vec<_> =
            self.versions().filter(is_at(&[Moment::Begin, Moment::End])).collect();
        if deciding.is_empty() {
            deciding = self.versions().filter(is_at(&[Moment::Placed])).collect();
        }
        let (format, _) = deciding.first()?.document?;
        let is_whole = |seen: &&Seen| {
            seen.document.is_some_and(|(its, value)| its == format && value.is_some())
        };
        deciding.iter().all(is_whole).then_some(format)
    }

    /// Appended to by every call, and seen to grow: a file that was written once, from its start to
    /// its end, is no log.
    fn is_append_only(&self, path: &Path) -> bool {
        let is_log = path.extension().is_some_and(|extension| {
            ["log", "jsonl", "ndjson"].iter().any(|name| extension.eq_ignore_ascii_case(name))
        });
        let mut last: Option<&Seen> = None;
        let mut grew = false;
        for (_, seen) in &self.seen {
            let Some(seen) = seen else {
                last = None;
                continue;
            };
            let Some(contents) = seen.contents.as_ref().filter(|_| seen.appended) else {
                return false;
            };
            // Another file came to stand here: a log that was written anew.
            if seen.moment == Moment::Placed {
                last = None;
            }
            if let Some(last) = last {
                if !last.contents.as_ref().is_some_and(|last| contents.starts_with(last)) {
                    return false;
                }
                grew |= last.length > 0
                    && seen.length > last.length
                    && matches!(last.moment, Moment::Begin | Moment::Closed);
            }
            last = Some(seen);
        }
        grew || is_log
    }
}

impl Seen {
    /// Whether it was put in place with contents that are no document of this format.
    fn is_placed_unread(&self, format: Format) -> bool {
        self.moment == Moment::Placed && self.length > 0 && !self.counts(Kind::Document(format))
    }

    /// Whether a file of this kind was complete here. What the program synced or closed half-way
    /// through a document was not.
    fn counts(&self, kind: Kind) -> bool {
        let is_edge = matches!(self.moment, Moment::Begin | Moment::End);
        match kind {
            Kind::Document(format) => {
                let is_whole =
                    self.document.is_some_and(|(its, value)| its == format && value.is_some());
                let is_emptied = self.length == 0
                    && matches!(self.moment, Moment::Superseded | Moment::Acknowledged);
                is_edge || (is_whole && !is_emptied)
            }
            Kind::AppendOnly => true,
            Kind::Database | Kind::Opaque => is_edge || self.moment != Moment::Superseded,
        }
    }
}

/// Whether at least half of the bytes of one version stand in another, wherever there, in pieces of
/// [`PIECE_BYTES`].
fn keeps_half(old: &[u8], new: &[u8]) -> bool {
    let length = PIECE_BYTES.min(old.len());
    let pieces: Vec<&[u8]> = old.chunks_exact(length).collect();
    let mut missing: BTreeSet<&[u8]> = pieces.iter().copied().collect();
    for window in new.windows(length) {
        missing.remove(window);
    }
    let kept = pieces.iter().filter(|piece| !missing.contains(*piece)).count();
    2 * kept >= pieces.len()
}

/// Keeps the bytes that crash states will be compared with.
fn keep_whole(kind: Kind, seen: &Seen, is_begun: bool, wholes: &mut Vec<Arc<[u8]>>) {
    let Some(contents) = &seen.contents else { return };
    match kind {
        Kind::AppendOnly => match wholes.last_mut().filter(|_| is_begun) {
            Some(last) => *last = Arc::clone(contents),
            None => wholes.push(Arc::clone(contents)),
        },
        Kind::Document(format) if !format.shows_its_end() && !wholes.contains(contents) => {
            wholes.push(Arc::clone(contents));
        }
        _ => {}
    }
}
