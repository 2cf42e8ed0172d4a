//! Files from which a program, or a person, may restore a damaged one.

use super::Case;
use crate::asserter::oracle::is_called_after;
use crate::asserter::oracle::state::{CrashState, Digest};
use crate::asserter::oracle::subject::{Entry, Kind, What};
use killpoint_model::{Judgement, Reason, Verdict};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::Path;

/// The files of a state by what they hold; listed once it is asked for, since most states hold.
#[derive(Default)]
pub(in super::super) struct Holders<'a>(OnceCell<HashMap<Digest, Vec<&'a Path>>>);

impl<'a> Holders<'a> {
    fn by_digest(&self, state: &'a dyn CrashState) -> &HashMap<Digest, Vec<&'a Path>> {
        self.0.get_or_init(|| {
            let mut paths: HashMap<Digest, Vec<&Path>> = HashMap::new();
            for (path, present) in state.files() {
                paths.entry(present.digest).or_default().push(path);
            }
            paths
        })
    }
}

impl Case<'_> {
    /// A program may restore a damaged document from a copy that it keeps.
    pub(super) fn spared_by_copy(&self, judgement: Judgement) -> Judgement {
        if !matches!(judgement.verdict, Verdict::Violated(_)) {
            return judgement;
        }
        let Some(copy) = self.whole_copy() else { return judgement };
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
        let versions = self.subject.entries[self.floor..].iter();
        let holding = versions.flat_map(|entry| self.holders(entry).map(move |it| (it, entry)));
        let copies = holding.filter(|(other, entry)| {
            *other != path
                && (is_called_after(other, path) || (made_counts && self.is_made(other, entry)))
        });
        copies.map(|(other, _)| other).min()
    }

    /// The files of the state that hold a version, unless that is empty.
    fn holders(&self, version: &Entry) -> impl Iterator<Item = &Path> {
        let paths = match &version.what {
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
        let subjects = &self.oracle.subjects;
        match subjects.binary_search_by(|subject| subject.path.as_path().cmp(other)) {
            Ok(index) => {
                version.at < self.crash.at && !subjects[index].entries[0].what.equals(&version.what)
            }
            Err(_) => true,
        }
    }
}
