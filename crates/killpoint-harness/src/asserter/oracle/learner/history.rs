//! What stood at one path in the course of a recording, and what that makes of it.

use super::Moment;
use crate::asserter::oracle::documents::Format;
use crate::asserter::oracle::judging::{is_lock, is_scratch};
use crate::asserter::oracle::pieces::{COMPARED_BYTES_MAX, comes_back, keeps_half};
use crate::asserter::oracle::pointers::{POINTER_BYTES_MAX, is_called_pointer};
use crate::asserter::oracle::state::Digest;
use crate::asserter::oracle::subject::{Entry, Kind, Stretch, Subject, What};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A lock or a process id is no longer than this.
pub(in crate::asserter) const LOCK_BYTES_MAX: u64 = 256;

/// A version as it is kept.
pub(super) struct Seen {
    pub(super) at: u64,
    pub(super) moment: Moment,
    pub(super) digest: Digest,
    pub(super) length: u64,
    pub(super) is_link: bool,
    pub(super) appended: bool,
    pub(super) is_continued: bool,
    pub(super) is_changed_within: bool,
    pub(super) emptied_at: Option<u64>,
    pub(super) document: Option<(Format, Option<Digest>)>,
    pub(super) contents: Option<Arc<[u8]>>,
}

/// So much is compared with what stood in a file before it was begun anew.
const COMPARED_IN_ALL_BYTES_MAX: usize = 16 << 20;

/// What stood at a path in the course of the recording.
#[derive(Default)]
pub(super) struct History {
    /// In the order in which they were told; none where it was removed.
    pub(super) seen: Vec<(u64, Option<Seen>)>,
    pub(super) dumps: Vec<Entry>,
    pub(super) is_database: bool,
    /// Whether it held several JSON values, one after the other, when it was complete, and its name tells of no
    /// format.
    pub(super) has_rows: bool,
    /// The beginning of the last version that had any bytes.
    pub(super) last: Vec<u8>,
    /// The beginning of what stood here before it was changed otherwise than at its end, or removed, the last time.
    before: Vec<u8>,
    /// How many bytes were compared with that so far.
    compared: usize,
    /// Whether each version after the first has kept less than half of the one before; none while
    /// there was only one.
    pub(super) is_given_up: Option<bool>,
    /// Whether it was changed otherwise than at its end, or removed, and at least half of what stood here came back.
    pub(super) is_taken_up: bool,
    /// How long it was at acknowledgements, while it only ever grew; 0 where it was changed otherwise,
    /// removed or replaced.
    pub(super) grown: Vec<(u64, u64)>,
    /// Whether each file that was moved from here to another path was only made here; none while none was.
    pub(super) is_staged: Option<bool>,
}

impl History {
    pub(super) fn versions(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter_map(|(_, seen)| seen.as_ref())
    }

    pub(super) fn grow(&mut self, at: u64, length: u64) {
        if self.grown.last().map_or(0, |(_, last)| *last) != length {
            self.grown.push((at, length));
        }
    }

    /// Notes how much of the last version is in the next, which was only `appended` to since it was made, and
    /// `is_continued` if so since the last version. A file that was begun anew may be complete several times before it
    /// has taken up what stood there.
    pub(super) fn carry(&mut self, contents: &[u8], appended: bool, is_continued: bool) {
        let contents = &contents[..contents.len().min(COMPARED_BYTES_MAX)];
        let is_removed = self.seen.last().is_some_and(|(_, seen)| seen.is_none());
        if is_removed || !is_continued {
            (self.before, self.compared) = (self.last.clone(), 0);
        }
        if !self.is_taken_up && self.compared <= COMPARED_IN_ALL_BYTES_MAX {
            self.compared += contents.len();
            self.is_taken_up = comes_back(&self.before, contents).is_some();
        }
        if !self.last.is_empty() && contents != self.last {
            let is_given_up = (!appended || is_removed) && !keeps_half(&self.last, contents);
            self.is_given_up = Some(is_given_up && self.is_given_up.unwrap_or(true));
        }
        self.last = contents.to_vec();
    }

    /// Something is acknowledged: what stood here before it was begun anew is not owed any more.
    pub(super) fn owes_nothing(&mut self) {
        self.before = Vec::new();
    }

    /// What a symbolic link led to, if nothing else stood here and it was moved to its place, or led to one
    /// target after another.
    pub(super) fn targets_in_turn(&self) -> Option<BTreeSet<Vec<u8>>> {
        let is_moved = self.is_placed();
        let targets: BTreeSet<Vec<u8>> = self
            .versions()
            .filter_map(|seen| seen.contents.as_deref().filter(|_| seen.is_link))
            .map(<[u8]>::to_vec)
            .collect();
        let is_all = self.versions().all(|seen| seen.is_link);
        (is_all && !targets.is_empty() && (is_moved || targets.len() > 1)).then_some(targets)
    }

    /// Whether a file was renamed to its place in the course of the recording.
    pub(super) fn is_placed(&self) -> bool {
        self.versions().any(|seen| seen.moment == Moment::Placed && seen.at > 0)
    }

    /// What stood in a small file with text, if it was replaced as a whole: by more than one text, or as a file that is
    /// called after what it does. Such a one may be written over in its place, too, by more than one text.
    pub(super) fn texts_in_turn(&self, path: &Path) -> Option<BTreeSet<Vec<u8>>> {
        let (is_placed, is_called_pointer) = (self.is_placed(), is_called_pointer(path));
        let is_small = |seen: &Seen| !seen.is_link && seen.length <= POINTER_BYTES_MAX;
        if !(is_placed || is_called_pointer) || self.is_database || !self.versions().all(is_small) {
            return None;
        }
        let texts: BTreeSet<Vec<u8>> = self
            .versions()
            .filter_map(|seen| seen.contents.as_deref())
            .filter(|text| !text.is_empty())
            .map(<[u8]>::to_vec)
            .collect();
        (texts.len() > usize::from(!(is_placed && is_called_pointer))).then_some(texts)
    }

    /// Forgets symbolic links that are not judged. Whether anything else stood here.
    pub(super) fn forget_links(&mut self) -> bool {
        let had_links = self.versions().any(|seen| seen.is_link);
        self.seen.retain(|(_, seen)| seen.as_ref().is_none_or(|seen| !seen.is_link));
        !had_links || self.versions().next().is_some()
    }

    /// Whether what stands here at last was pushed here by an exchange of names: the version before
    /// the one that counts, kept as a spare and written over for the next exchange.
    pub(super) fn is_spare(&self) -> bool {
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
    pub(super) fn is_temporary(&self) -> bool {
        let stays = |seen: &Seen| {
            use Moment::{Begin, Displaced, End, Placed, Published};
            matches!(seen.moment, Begin | Placed | Displaced | Published | End)
        };
        !self.versions().any(stays)
    }

    /// Whether anybody reads this path: it was there at the beginning or at the end, or was put in
    /// place whole. All else are temporary files, those that are made to be moved, and spares.
    pub(super) fn is_lasting(&self) -> bool {
        !self.is_temporary() && !self.is_spare() && !self.is_staging()
    }

    /// Whether it was made and removed in this run, and stood here when something was acknowledged: that may be what was
    /// promised.
    pub(super) fn is_passing(&self, path: &Path) -> bool {
        let is_promised = |seen: &Seen| seen.moment == Moment::Acknowledged && seen.length > 0;
        let stood = self.versions().any(is_promised) || self.grown.iter().any(|it| it.1 > 0);
        let is_file = !self.is_database && !self.versions().any(|seen| seen.is_link);
        stood && is_file && self.is_temporary() && !is_scratch(path)
    }

    /// Whether this is a lock or the id of a process, which nobody misses after a crash.
    pub(super) fn is_lock(&self, path: &Path) -> bool {
        let is_small = |seen: &Seen| !seen.is_link && seen.length <= LOCK_BYTES_MAX;
        is_lock(path) && !self.is_database && self.versions().all(is_small)
    }

    pub(super) fn into_subject(self, path: PathBuf, is_careful: bool) -> Subject {
        let kind = self.kind(&path);
        let is_given_up = is_careful && self.is_given_up == Some(true);
        let mut subject = self.into_subject_of(path, kind, is_given_up);
        // Who puts no new file in place anywhere writes over what he empties.
        if !is_careful && matches!(kind, Kind::Document(_)) {
            subject.stretches.iter_mut().for_each(Stretch::forget_emptying);
            subject.stretches.retain(Stretch::grew);
        }
        subject
    }

    pub(super) fn into_subject_of(self, path: PathBuf, kind: Kind, is_given_up: bool) -> Subject {
        let appended = self.versions().all(|seen| seen.appended);
        let placed = match kind {
            Kind::Document(format) => {
                let unread = self.versions().filter(|seen| seen.is_placed_unread(format));
                unread.map(|seen| seen.digest).collect()
            }
            _ => {
                let placed = self.versions().filter(|seen| seen.moment == Moment::Placed);
                placed.map(|seen| seen.digest).collect()
            }
        };
        let begun_anew = match kind {
            Kind::Opaque => {
                let begun = self.versions().filter(|seen| seen.moment == Moment::Superseded);
                begun.map(|seen| (seen.at, seen.digest, seen.length)).collect()
            }
            _ => Vec::new(),
        };
        let stretches = match kind {
            Kind::Document(Format::JsonLines) => self.stretches(kind),
            Kind::Opaque if self.is_emptied_log(&path) => self.stretches(kind),
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
        let (grown, is_taken_up) = (self.grown, self.is_taken_up);
        let switches = Vec::new();
        let is_promised = !is_scratch(&path) || matches!(kind, Kind::Document(_) | Kind::Database);
        Subject {
            path,
            kind,
            is_promised,
            entries,
            wholes,
            stretches,
            begun_anew,
            appended,
            placed,
            is_given_up,
            is_taken_up,
            grown,
            switches,
            is_passing: false,
            is_left: false,
        }
    }

    pub(super) fn kind(&self, path: &Path) -> Kind {
        if self.is_database {
            return Kind::Database;
        }
        if self.versions().any(|seen| seen.is_link) {
            return Kind::Link;
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
    /// at neither, or else when something was acknowledged. One that only its contents tell is none if it ever held several values: a log may hold a single
    /// record at both.
    fn document_format(&self) -> Option<Format> {
        let is_at = |moments: &'static [Moment]| {
            move |seen: &&Seen| seen.length > 0 && moments.contains(&seen.moment)
        };
        let mut deciding: Vec<_> =
            self.versions().filter(is_at(&[Moment::Begin, Moment::End])).collect();
        if deciding.is_empty() {
            deciding = self.versions().filter(is_at(&[Moment::Placed])).collect();
        }
        if deciding.is_empty() {
            deciding = self.versions().filter(is_at(&[Moment::Acknowledged])).collect();
        }
        let (format, _) = deciding.first()?.document?;
        if format == Format::Json && self.has_rows {
            return None;
        }
        deciding.iter().all(|seen| seen.is_whole(format)).then_some(format)
    }

    /// Appended to by every call, and seen to grow: a file that was written once, from its start to
    /// its end, is no log.
    fn is_append_only(&self, path: &Path) -> bool {
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
                    && matches!(last.moment, Moment::Begin | Moment::Closed | Moment::Placed);
            }
            last = Some(seen);
        }
        grew || self.grew_acknowledged() || is_called_log(path)
    }

    /// Whether it is a log that was also emptied at times: changed in no other way, and called one, or seen to grow.
    fn is_emptied_log(&self, path: &Path) -> bool {
        let mut last: Option<&Seen> = None;
        let mut grew = self.grew_acknowledged() || is_called_log(path);
        for (_, seen) in &self.seen {
            if let (Some(last), Some(seen)) = (last, seen) {
                let was_whole =
                    matches!(last.moment, Moment::Begin | Moment::Closed | Moment::Placed);
                let is_same = seen.is_continued && seen.moment != Moment::Placed;
                grew |= is_same && was_whole && 0 < last.length && last.length < seen.length;
            }
            last = seen.as_ref();
        }
        grew && self.versions().all(|seen| !seen.is_changed_within)
    }

    /// Whether it is a file that stays, and grew from one acknowledgement to the next.
    fn grew_acknowledged(&self) -> bool {
        let grew = |pair: &[(u64, u64)]| 0 < pair[0].1 && pair[0].1 < pair[1].1;
        !self.is_temporary() && self.grown.windows(2).any(grew)
    }
}

fn is_called_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["log", "jsonl", "ndjson"].iter().any(|name| extension.eq_ignore_ascii_case(name))
    })
}

impl Seen {
    /// Whether it was put in place with contents that are no document of this format.
    fn is_placed_unread(&self, format: Format) -> bool {
        self.moment == Moment::Placed && self.length > 0 && !self.counts(Kind::Document(format))
    }

    /// Whether a file of this kind was complete here. What the program synced or closed half-way
    /// through a document was not.
    pub(super) fn counts(&self, kind: Kind) -> bool {
        let is_edge = matches!(self.moment, Moment::Begin | Moment::End);
        match kind {
            Kind::Document(format) => {
                let is_whole = self.is_whole(format) && self.moment != Moment::Left;
                let is_emptied = self.length == 0
                    && matches!(self.moment, Moment::Superseded | Moment::Acknowledged);
                is_edge || (is_whole && !is_emptied)
            }
            Kind::AppendOnly | Kind::Link => true,
            Kind::Database | Kind::Opaque => {
                !matches!(self.moment, Moment::Superseded | Moment::Left)
            }
        }
    }

    /// Whether it is a document of this format that can be read.
    pub(super) fn is_whole(&self, format: Format) -> bool {
        self.document.is_some_and(|(its, value)| its == format && value.is_some())
    }
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
