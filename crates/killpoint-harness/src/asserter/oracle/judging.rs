//! Judging one file of a crash state.

mod append_only;
mod copies;
mod database;
mod gaps;
mod moved;
mod passing;
mod switched;
mod turned;

pub(super) use copies::Holders;

use super::documents::{DOCUMENT_BYTES_MAX, Format};
use super::state::{CrashState, HELD_BYTES_MAX, Present};
use super::subject::{Kind, Match, Subject, What};
use super::{Crash, Oracle, shown};
use crate::numbers::count;
use killpoint_model::{Class, Judgement, Reason, Verdict};
use std::io;
use std::path::Path;

/// One file of one crash state, and all that its judgement depends on.
pub(super) struct Case<'a> {
    pub(super) oracle: &'a Oracle,
    pub(super) subject: &'a Subject,
    pub(super) state: &'a dyn CrashState,
    pub(super) crash: &'a Crash,
    pub(super) holders: &'a Holders<'a>,
    /// Everything up to this operation had to stay.
    pub(super) through: u64,
    /// The version that had to stay: an index.
    pub(super) floor: usize,
}

impl Case<'_> {
    /// `present` is the regular file that stands at its path.
    pub(super) fn judge(&self, present: Option<Present>) -> Judgement {
        let present = match self.subject.kind {
            Kind::Link => {
                let target = self.state.links().get(&self.subject.path);
                target.map(|target| Present::of(target))
            }
            _ => present,
        };
        let judged = match present {
            None => Ok(self.missing()),
            Some(present) => self.present(present),
        };
        let judgement = judged.unwrap_or_else(|error| {
            let detail = format!("{} cannot be read: {error}.", self.name());
            Judgement::unknown(Reason::JudgeFailed, detail)
        });
        let judgement = self.spared_by_switch(self.spared_by_turn(self.spared_by_copy(judgement)));
        match judgement.verdict {
            Verdict::Held => self.leads_to_nothing().unwrap_or(judgement),
            _ if self.subject.is_passing => self.missed_in_passing(judgement),
            _ => judgement,
        }
    }

    fn present(&self, present: Present) -> io::Result<Judgement> {
        if self.subject.kind == Kind::Database {
            return self.database(present);
        }
        let same_bytes =
            |what: &What| matches!(what, What::File { digest, .. } if *digest == present.digest);
        if present.length < self.acknowledged_bytes() {
            return Ok(self.cut(present.length));
        }
        if let Some(judgement) = self.version(same_bytes) {
            return self.unless_begun_anew(judgement, present);
        }
        match self.subject.kind {
            Kind::Document(format) => self.document(format, present),
            Kind::AppendOnly => self.append_only(present),
            Kind::Link => Ok(self.strange_link()),
            Kind::Database => Ok(self.opaque(present)),
            Kind::Opaque if present.length == 0 || present.length > HELD_BYTES_MAX => {
                Ok(self.opaque(present))
            }
            Kind::Opaque => {
                let growing = self.growing(|| self.state.read(&self.subject.path))?;
                Ok(growing.unwrap_or_else(|| self.opaque(present)))
            }
        }
    }

    /// The judgement of a file that is a recorded version; none if it is not.
    fn version(&self, is: impl Fn(&What) -> bool) -> Option<Judgement> {
        match self.subject.compare(self.floor, &self.oracle.acknowledged, is) {
            Match::Never => None,
            Match::Legal => Some(Judgement::held()),
            Match::Stale { at } => Some(self.stale(at)),
            Match::Gap { at } => Some(self.gap("is empty", at)),
        }
    }

    /// How long it had to stay because it only ever grew, and something was acknowledged.
    fn acknowledged_bytes(&self) -> u64 {
        match self.subject.kind {
            Kind::Document(_) | Kind::Database | Kind::Link => 0,
            Kind::AppendOnly | Kind::Opaque => self.subject.kept_bytes(self.through, self.crash.at),
        }
    }

    /// Shorter than it was when something was acknowledged.
    fn cut(&self, length: u64) -> Judgement {
        let had = self.acknowledged_bytes();
        let detail = format!(
            "{} is {} long and had {} when something was acknowledged.",
            self.name(),
            bytes(length),
            bytes(had)
        );
        Judgement { bytes_lost: had - length, ..Judgement::violated(self.loss(), detail) }
    }

    fn document(&self, format: Format, present: Present) -> io::Result<Judgement> {
        let (name, format_name) = (self.name(), format.name());
        if present.length > DOCUMENT_BYTES_MAX {
            let detail = format!(
                "{name} is none of its recorded versions, and is too large to be read as \
                 {format_name} ({}).",
                bytes(present.length)
            );
            return Ok(Judgement::unknown(Reason::NoOracle, detail));
        }
        let fetch = || self.state.read(&self.subject.path);
        if let Some(judgement) = self.growing(fetch)? {
            return Ok(judgement);
        }
        let read = self.oracle.cache.document(present.digest, format, fetch)?;
        if let Ok(value) = &read {
            let same_value =
                |what: &What| matches!(what, What::File { value: Some(it), .. } if it == value);
            if present.length > 0
                && let Some(judgement) = self.version(same_value)
            {
                return Ok(judgement);
            }
        }
        if present.length == 0 {
            return Ok(self.empty(format, read.is_ok()));
        }
        match read {
            Err(why) => {
                let contents = fetch()?;
                if contents.iter().all(|byte| *byte == 0) {
                    return Ok(self.zeros(present.length));
                }
                let detail = format!("{name} cannot be read as {format_name}: {why}.");
                if self.subject.placed.contains(&present.digest) {
                    let detail = format!("{detail} The program put it in place like this.");
                    return Ok(Judgement::unknown(Reason::NoOracle, detail));
                }
                Ok(Judgement::violated(Class::Torn, detail))
            }
            Ok(_) => Ok(self.no_version(format, &fetch()?)),
        }
    }

    fn empty(&self, format: Format, reads_empty: bool) -> Judgement {
        if !self.floor_is_blank() {
            return self.lost("is empty");
        }
        if reads_empty {
            return Judgement::held();
        }
        let (name, format) = (self.name(), format.name());
        let detail = format!("{name} was made and is empty; it cannot be read as {format}.");
        Judgement::violated(Class::Torn, detail)
    }

    fn zeros(&self, length: u64) -> Judgement {
        let zeros = format!("holds {} of zeros", bytes(length));
        if self.floor_is_blank() {
            let detail = format!("{} was made and {zeros}.", self.name());
            return Judgement::violated(Class::Torn, detail);
        }
        self.lost(&zeros)
    }

    /// A document that can be read and is no recorded version.
    fn no_version(&self, format: Format, contents: &[u8]) -> Judgement {
        let (name, format_name) = (self.name(), format.name());
        let wholes = &self.subject.wholes;
        let begins = |whole: &&std::sync::Arc<[u8]>| whole.starts_with(contents);
        if !format.shows_its_end() {
            if self.subject.appended && self.keeps_floor(contents) {
                let is_partial = wholes.iter().any(|whole| begins(&whole));
                if is_partial || !self.crash.recorded_beyond {
                    return Judgement::held();
                }
            }
            if let Some(whole) = wholes.iter().find(begins) {
                let detail = format!(
                    "{name} holds the first {} of {} of a version.",
                    bytes(contents.len() as u64),
                    bytes(whole.len() as u64)
                );
                return Judgement::violated(Class::Torn, detail);
            }
        }
        if !self.crash.recorded_beyond && !self.subject.is_left {
            return Judgement::held();
        }
        let detail = format!(
            "{name} can be read as {format_name}, but the program never left it like this: whether \
             it mixes two versions only a checker can say."
        );
        Judgement::unknown(Reason::NoOracle, detail)
    }

    /// Whether all bytes that had to stay stand at its start, and there were some.
    fn keeps_floor(&self, contents: &[u8]) -> bool {
        let What::File { digest, length, .. } = &self.subject.entries[self.floor].what else {
            return false;
        };
        let start = usize::try_from(*length).ok().and_then(|length| contents.get(..length));
        *length > 0 && start.is_some_and(|start| super::Digest::of(start) == *digest)
    }

    /// A file of no known format. One thing can be said without understanding it: it is empty where
    /// each version that the program ever completed had content, the program carries most of it from
    /// one version to the next or takes no care of any file, and nothing in the state is a copy of one. Files that are not data
    /// by their names are left out.
    fn opaque(&self, present: Present) -> Judgement {
        if present.length == 0 && self.is_new_log() {
            return Judgement::held();
        }
        let never_empty = self.subject.entries.iter().all(|entry| match &entry.what {
            What::File { length, .. } => *length > 0,
            What::Absent | What::Database(_) => true,
        });
        if present.length == 0
            && never_empty
            && !self.floor_is_blank()
            && !is_scratch(&self.subject.path)
        {
            if self.subject.is_given_up {
                let detail = format!(
                    "{} is empty; undisturbed the program, too, keeps little of what stood there, and \
                     it keeps other data another way: whether this is missed only a checker can say.",
                    self.name()
                );
                return Judgement::unknown(Reason::NoOracle, detail);
            }
            return self.lost("is empty");
        }
        let detail = format!(
            "{} ({}) is none of its recorded versions, and nothing here understands it: give a \
             checker.",
            self.name(),
            bytes(present.length)
        );
        Judgement::unknown(Reason::NoOracle, detail)
    }

    /// Whether it was made in this run, or removed and begun anew, and then appended to again and again, each time
    /// complete: empty it has lost nothing.
    fn is_new_log(&self) -> bool {
        let lengths = self.subject.entries.iter().filter_map(|entry| match entry.what {
            What::File { length: length @ 1.., .. } => Some(length),
            _ => None,
        });
        let lengths: std::collections::BTreeSet<u64> = lengths.collect();
        let mut since = self.subject.entries[self.floor..].iter();
        let is_made = since.any(|entry| entry.what == What::Absent);
        is_made && self.subject.appended && !self.subject.is_taken_up && lengths.len() > 1
    }

    fn strange_link(&self) -> Judgement {
        let detail = format!(
            "{} leads to where it never led in the recording: whether that is right only a checker \
             can say.",
            self.name()
        );
        Judgement::unknown(Reason::NoOracle, detail)
    }

    fn stale(&self, at: u64) -> Judgement {
        let since = self.subject.entries[self.floor].at;
        let older =
            if at == 0 { "at the beginning".to_owned() } else { format!("after operation {at}") };
        let detail = format!(
            "{} is as it was {older}; what it was after operation {since} had to stay.",
            self.name()
        );
        Judgement::violated(self.loss(), detail)
    }

    fn lost(&self, how: &str) -> Judgement {
        let (keys_lost, bytes_lost, what) = match &self.subject.entries[self.floor].what {
            What::File { .. } if self.subject.kind == Kind::Link => {
                (0, 0, "what it leads to is not found".to_owned())
            }
            What::File { length, .. } => (0, *length, format!("its {} are gone", bytes(*length))),
            What::Database(dump) => (dump.rows, 0, format!("its {} rows are gone", dump.rows)),
            What::Absent => (0, 0, "it had to stay".to_owned()),
        };
        let detail = format!("{} {how}; {what}.", self.name());
        Judgement { keys_lost, bytes_lost, ..Judgement::violated(self.loss(), detail) }
    }

    /// Lost is what was there at the beginning or survives a kill; a promise about power is its own.
    fn loss(&self) -> Class {
        let was_declared = self.crash.power_loss && self.through > 0;
        if was_declared { Class::AckedNotDurable } else { Class::Lost }
    }

    fn floor_is_blank(&self) -> bool {
        self.subject.entries[self.floor].what.is_blank()
    }

    fn name(&self) -> String {
        shown(&self.subject.path)
    }
}

/// A number of bytes.
fn bytes(number: u64) -> String {
    count(number, "byte")
}

/// Whether a file is called a lock or a process id: one that locks versions (`package-lock.json`) is data, and so may
/// be one that is large (`poetry.lock`).
pub(in crate::asserter) fn is_lock(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let stem = name.trim_start_matches('.').split('.').next().unwrap_or_default();
    let ends = [".lock", ".pid"].iter().any(|end| name.ends_with(end));
    ["lock", "pid"].contains(&stem) || ends
}

/// Whether a file's name says that it holds no data: locks, process ids, temporary files, caches.
pub(in crate::asserter) fn is_scratch(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_lowercase();
    let marks = ["lock", "pid", "tmp", "temp", "cache", "swp"];
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric());
    parts.into_iter().any(|part| marks.contains(&part)) || name.ends_with('~')
}
