//! What a run that was killed has left, with what one that was not knows of the same files.
//!
//! The recording of a killed run ends in the crash state. What stands there in the middle of a save is no
//! version, and whether it is a document nobody can say who sees no more than its half.

use super::Moment;
use super::history::History;
use crate::asserter::oracle::Oracle;
use crate::asserter::oracle::subject::{Entry, Kind, Subject, What};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Leads from a run that was killed to one that was not.
pub struct Guide<'a> {
    /// What was learnt of the one that was not.
    pub reference: &'a Oracle,
    /// The paths that files of the killed run had in it, where they were others.
    pub names: HashMap<PathBuf, PathBuf>,
    /// Which operation of it each operation of the killed run was.
    pub counterparts: HashMap<u64, u64>,
    /// The operation of the killed run by which each file came to be what it is at the end.
    pub reached: BTreeMap<PathBuf, u64>,
}

/// What the run that was not killed knows of a file.
pub(super) struct Known<'a> {
    pub(super) subject: &'a Subject,
    /// Its operation up to which the killed run came with this file; none if that is not known.
    reached: Option<u64>,
}

impl Guide<'_> {
    /// What is known of a file of the killed run.
    pub(super) fn known(&self, path: &Path, history: &History) -> Option<Known<'_>> {
        let name = self.names.get(path).map_or(path, PathBuf::as_path);
        let subject = self.reference.subject(name)?;
        let removed = || history.seen.last().map_or(0, |(at, _)| *at);
        let own = self.reached.get(path).copied().unwrap_or_else(removed);
        let reached = if own == 0 { Some(0) } else { self.counterparts.get(&own).copied() };
        Some(Known { subject, reached })
    }
}

impl History {
    /// Whether the program was in the middle of changing what stands here at the end.
    pub(super) fn is_left(&self) -> bool {
        let last = self.seen.last().and_then(|(_, seen)| seen.as_ref());
        last.is_some_and(|seen| seen.moment == Moment::Left)
    }

    /// What stands here at the end and cannot be read is no version of a document.
    fn leave_unread(&mut self, kind: Kind) {
        let Kind::Document(format) = kind else { return };
        let last = self.seen.last_mut().and_then(|(_, seen)| seen.as_mut());
        if let Some(last) = last.filter(|seen| seen.moment == Moment::End && seen.length > 0)
            && !last.is_whole(format)
        {
            last.moment = Moment::Left;
        }
    }

    /// The file, judged as in the run that was not killed, with the versions that were still to come there.
    pub(super) fn into_known(mut self, path: PathBuf, known: &Known<'_>) -> Subject {
        let kind = self.known_kind(&path, known.subject.kind);
        self.leave_unread(kind);
        let is_left = self.is_left();
        let mut subject = self.into_subject_of(path, kind, known.subject.is_given_up);
        subject.is_left = is_left;
        subject.is_passing = known.subject.is_passing;
        subject.is_taken_up |= known.subject.is_taken_up;
        subject.placed.extend(&known.subject.placed);
        subject.switches.clone_from(&known.subject.switches);
        if kind == known.subject.kind && kind != Kind::AppendOnly {
            subject.wholes.extend(known.subject.wholes.iter().cloned());
            subject.entries.extend(known.coming());
        }
        subject
    }

    /// The contents of half a save tell less of a file than those of a whole run.
    fn known_kind(&self, path: &Path, known: Kind) -> Kind {
        let own = self.kind(path);
        let is_certain = |kind| matches!(kind, Kind::Database | Kind::Link);
        let was_only_appended = self.versions().all(|seen| seen.appended);
        match known {
            _ if is_certain(own) || is_certain(known) => own,
            Kind::AppendOnly if !was_only_appended => own,
            known => known,
        }
    }
}

impl Known<'_> {
    /// The versions that were still to come, after all of the killed run.
    fn coming(&self) -> impl Iterator<Item = Entry> {
        let reached = self.reached.unwrap_or(u64::MAX);
        let coming = self.subject.entries.iter().filter(move |entry| entry.at > reached);
        coming.map(|entry| Entry { at: u64::MAX, what: to_come(&entry.what) })
    }
}

/// A version of which no other bytes are kept.
fn to_come(what: &What) -> What {
    match what.clone() {
        What::File { digest, length, value, .. } => What::File { digest, length, value, whole: 0 },
        what => what,
    }
}
