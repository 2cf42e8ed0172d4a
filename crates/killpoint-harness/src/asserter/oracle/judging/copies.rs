//! Files from which a program, or a person, may restore a damaged one.

use super::Case;
use crate::asserter::oracle::is_called_after;
use crate::asserter::oracle::state::Present;
use crate::asserter::oracle::subject::{Entry, Kind};
use killpoint_model::{Judgement, Reason, Verdict};
use std::path::Path;

impl Case<'_> {
    /// A program may restore a damaged document from a copy that it keeps.
    pub(super) fn spared_by_copy(&self, judgement: Judgement) -> Judgement {
        let is_violated = matches!(judgement.verdict, Verdict::Violated(_));
        let Some(copy) = self.whole_copy().filter(|_| is_violated) else { return judgement };
        let detail = format!(
            "{} {} holds a version of it: whether the next start takes that one only a checker \
             can say.",
            judgement.detail,
            copy.display()
        );
        Judgement::unknown(Reason::NoOracle, detail)
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
        let copy = self.state.files().iter().find(|(other, present)| {
            let versions = &self.subject.entries[self.floor..];
            let mut holding = versions.iter().filter(|entry| entry.what.holds(present));
            present.length > 0
                && *other != path
                && match is_called_after(other, path) {
                    true => holding.next().is_some(),
                    false => {
                        made_counts && holding.any(|entry| self.is_made(other, present, entry))
                    }
                }
        });
        copy.map(|(path, _)| path.as_path())
    }

    /// Whether the program has made a file in this run out of a version, or for it. A file that it keeps
    /// is made out of one only if the version was there before; what comes to hold the same bytes as
    /// this file later does is no copy of it.
    fn is_made(&self, other: &Path, present: &Present, version: &Entry) -> bool {
        let subjects = &self.oracle.subjects;
        match subjects.binary_search_by(|subject| subject.path.as_path().cmp(other)) {
            Ok(index) => {
                version.at < self.crash.at && !subjects[index].entries[0].what.holds(present)
            }
            Err(_) => true,
        }
    }
}
