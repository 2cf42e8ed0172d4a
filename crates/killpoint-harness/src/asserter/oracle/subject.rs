//! Subjects: the files that are judged, and what each was in the course of the recording.

use super::documents::Format;
use super::sqlite;
use super::state::{Digest, Present};
use super::switches::Leading;
use std::path::PathBuf;
use std::sync::Arc;

/// How a file is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A document of a format that the oracle reads.
    Document(Format),
    /// A SQLite database.
    Database,
    /// A file that grew, and only ever at its end.
    AppendOnly,
    /// A symbolic link that the program moves from one target to the next.
    Link,
    /// Anything else: it holds while it equals a version, and cannot be judged otherwise.
    Opaque,
}

impl Kind {
    /// The name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Document(format) => format.name(),
            Kind::Database => "SQLite",
            Kind::AppendOnly => "append-only",
            Kind::Link => "symbolic link",
            Kind::Opaque => "not understood",
        }
    }
}

/// What a file was at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It was not there.
    Absent,
    /// These bytes.
    File {
        digest: Digest,
        length: u64,
        /// The value of a document that was whole.
        value: Option<Digest>,
        /// For an append-only file, which of the subject's `wholes` it is the beginning of.
        whole: usize,
    },
    /// This database.
    Database(sqlite::Dump),
}

impl What {
    /// Whether nothing is there that could be lost.
    pub(super) fn is_blank(&self) -> bool {
        match self {
            What::Absent => true,
            What::File { length, .. } => *length == 0,
            What::Database(dump) => *dump == sqlite::empty_dump(),
        }
    }

    /// Whether both were the same bytes.
    pub(super) fn equals(&self, other: &What) -> bool {
        match (self, other) {
            (What::File { digest: one, .. }, What::File { digest: other, .. }) => one == other,
            _ => false,
        }
    }

    /// Whether it was these very bytes.
    pub(super) fn holds(&self, present: &Present) -> bool {
        matches!(self, What::File { digest, .. } if *digest == present.digest)
    }
}

/// A version: complete at a moment, in the program's own eyes.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The operation after which it stood; 0 is the beginning.
    pub(super) at: u64,
    pub(super) what: What,
}

/// A part of the recording in which a file only grew.
#[derive(Debug)]
pub(super) struct Stretch {
    /// How long each version was, and the operation after which it stood; the first is what was appended to.
    pub(super) lengths: Vec<(u64, u64)>,
    /// All that it came to hold.
    pub(super) whole: Arc<[u8]>,
    /// Where it begins with a file that the program had emptied, and of which it left no version then: what stood there
    /// before.
    pub(super) emptied: Option<Arc<[u8]>>,
}

impl Stretch {
    /// Begins with a version.
    pub(super) fn from(at: u64, whole: Arc<[u8]>) -> Stretch {
        Stretch { lengths: vec![(at, whole.len() as u64)], whole, emptied: None }
    }

    /// Begins it with the first version that was left after the emptying.
    pub(super) fn forget_emptying(&mut self) {
        if self.emptied.take().is_some() {
            self.lengths.remove(0);
        }
    }

    /// Whether it had begun before a crash at the entry of operation `crash_at`, if that is when the program emptied
    /// the file.
    pub(super) fn had_begun(&self, crash_at: u64) -> bool {
        let begun = self.lengths.first().map(|(at, _)| *at);
        self.emptied.is_none() || begun.is_some_and(|at| at < crash_at)
    }

    /// Whether anything was appended.
    pub(super) fn grew(&self) -> bool {
        self.lengths.first().is_some_and(|(_, first)| self.whole.len() as u64 > *first)
    }

    /// How many of its bytes had to stay if what stood after operation `floor` had to: none if it was over by then.
    pub(super) fn kept(&self, floor: u64) -> Option<u64> {
        let (last, _) = self.lengths.last()?;
        let before = self.lengths.iter().rev().find(|(at, _)| *at <= floor);
        before.or(self.lengths.first()).filter(|_| floor <= *last).map(|(_, kept)| *kept)
    }
}

/// A file that is judged.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// Whether it is anything that can be promised: nobody is promised a lock or a process id.
    pub(super) is_promised: bool,
    /// In the order of the recording; the first is the beginning, and is always there.
    pub(super) entries: Vec<Entry>,
    /// Bytes kept to compare with: of an append-only file all that it came to hold, once for each
    /// time it was begun anew; of a document that does not show its end every version.
    pub(super) wholes: Vec<Arc<[u8]>>,
    /// Of a log that can be read as JSON Lines, and was not only appended to: where it was.
    pub(super) stretches: Vec<Stretch>,
    /// Of a file of unknown format, what it held when the program began to write it anew: no versions, but perhaps saves.
    pub(super) begun_anew: Vec<(u64, Digest, u64)>,
    /// Whether its bytes were only ever appended to.
    pub(super) appended: bool,
    /// Whether the program keeps less than half of each version in the next, and renames new versions
    /// of other files into place: what it empties it was about to throw away, perhaps knowingly.
    pub(super) is_given_up: bool,
    /// Whether the program removed it, or changed it otherwise than at its end, and at least half of what stood in it
    /// came back then.
    pub(super) is_taken_up: bool,
    /// Contents that were put in place whole: of a document those that cannot be read, of anything else
    /// all.
    pub(super) placed: Vec<Digest>,
    /// How long it was at acknowledgements, after which operations, while it only ever grew; 0 where it
    /// was changed otherwise, removed or replaced.
    pub(super) grown: Vec<(u64, u64)>,
    /// The links that led to it or to a directory above it at some time, while the program moved them from one target to the
    /// next.
    pub(super) switches: Vec<Leading>,
    /// Whether it is made and removed in the run, and stood when something was acknowledged.
    pub(super) is_passing: bool,
    /// Whether the recording ends in the middle of a change of it: that of a run that was killed.
    pub(super) is_left: bool,
}

/// How a crash state's file compares with the versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// It is a version that may stand here.
    Legal,
    /// It is as the program left it for a while, with data before and after and nothing
    /// acknowledged meanwhile: meant so, or a gap into which the crash fell.
    Gap {
        /// The operation after which it stood so.
        at: u64,
    },
    /// It is a version older than one that had to stay.
    Stale {
        /// The operation after which it stood so.
        at: u64,
    },
    /// It is no version.
    Never,
}

impl Subject {
    /// The version that had to stay if everything up to operation `through` had to: an index.
    pub(super) fn floor(&self, through: u64) -> usize {
        self.entries.partition_point(|entry| entry.at <= through).saturating_sub(1)
    }

    /// Whether the program leaves nothing in it.
    pub(super) fn is_empty_at_the_end(&self) -> bool {
        self.entries.last().is_some_and(|entry| entry.what.is_blank())
    }

    /// How long a file had to stay that only ever grew: as long as it was when everything up to operation
    /// `through` had to, unless before the crash at `crash_at` it was changed otherwise, removed or replaced.
    pub(super) fn kept_bytes(&self, through: u64, crash_at: u64) -> u64 {
        let before = self.grown.partition_point(|(at, _)| *at < crash_at);
        let grown = self.grown[..before].iter().rev().take_while(|(_, length)| *length > 0);
        let kept = grown.filter(|(at, _)| *at <= through);
        kept.map(|(_, length)| *length).max().unwrap_or(0)
    }

    /// What an append-only file that was begun anew came to hold before something was acknowledged again: of the one that
    /// is at this index of `wholes`.
    pub(super) fn until_acknowledged(&self, whole: usize) -> &[u8] {
        let is_it =
            |entry: &Entry| matches!(entry.what, What::File { whole: it, .. } if it == whole);
        let (Some(contents), Some(first)) =
            (self.wholes.get(whole), self.entries.iter().position(is_it))
        else {
            return &[];
        };
        let before = first.checked_sub(1).map(|before| &self.entries[before]);
        let begun =
            before.filter(|entry| entry.what == What::Absent).unwrap_or(&self.entries[first]);
        let mut grown = self.grown.iter().filter(|(at, length)| *at >= begun.at && *length > 0);
        let length = grown.next().and_then(|(_, length)| usize::try_from(*length).ok());
        length.and_then(|length| contents.get(..length)).unwrap_or(contents)
    }

    /// Compares by `is`. `acknowledged` lists the operations at whose entry there were more
    /// acknowledgements than before.
    pub(super) fn compare(
        &self,
        floor: usize,
        acknowledged: &[u64],
        is: impl Fn(&What) -> bool,
    ) -> Match {
        let mut found = Match::Never;
        for (index, entry) in self.entries.iter().enumerate().filter(|(_, entry)| is(&entry.what)) {
            let at = entry.at;
            if index < floor {
                found = Match::Stale { at };
            } else if self.is_gap(index, acknowledged) {
                found = Match::Gap { at };
            } else {
                return Match::Legal;
            }
        }
        found
    }

    fn is_gap(&self, index: usize, acknowledged: &[u64]) -> bool {
        let has_data = |entry: &&Entry| !entry.what.is_blank();
        let entry = &self.entries[index];
        let before = self.entries[..index].iter().find(has_data);
        let Some(after) = self.entries[index..].iter().find(has_data) else { return false };
        // What only grows is there again when something is acknowledged, and no version yet.
        let grown = self.grown.iter().find(|(at, length)| *at > entry.at && *length > 0);
        let back = grown.map_or(after.at, |(at, _)| after.at.min(*at));
        let settled = acknowledged.iter().any(|ordinal| entry.at < *ordinal && *ordinal <= back);
        entry.what.is_blank() && before.is_some() && !settled
    }
}
