//! Files that are missing, and gaps of the program's own making: it removed a file, or emptied it, and made it again later.

use super::{Case, bytes};
use crate::asserter::oracle::shown;
use crate::asserter::oracle::subject::{Kind, Match, Subject, What};
use killpoint_model::{Judgement, Reason};

impl Case<'_> {
    pub(super) fn missing(&self) -> Judgement {
        let had = self.acknowledged_bytes();
        if had > 0 {
            let detail = format!(
                "{} is missing; it had {} when something was acknowledged.",
                self.name(),
                bytes(had)
            );
            return Judgement { bytes_lost: had, ..Judgement::violated(self.loss(), detail) };
        }
        let is_absent = |what: &What| *what == What::Absent;
        match self.subject.compare(self.floor, &self.oracle.acknowledged, is_absent) {
            Match::Legal => self.on_its_way().unwrap_or_else(Judgement::held),
            Match::Gap { .. } => {
                let missed = self.missed_gap().map(|at| self.gap("is missing", at));
                missed.unwrap_or_else(Judgement::held)
            }
            Match::Stale { .. } | Match::Never => self.lost("is missing"),
        }
    }

    /// A gap in which the program itself had left the file, perhaps meaning it.
    pub(super) fn gap(&self, how: &str, at: u64) -> Judgement {
        let copy = match self.whole_copy() {
            Some(copy) => format!(" {} holds a version of it.", shown(copy)),
            None => String::new(),
        };
        let detail = format!(
            "{} {how}, as the program left it after operation {at} and filled it again later: \
             whether that was meant only a checker can say.{copy}",
            self.name()
        );
        Judgement::unknown(Reason::NoOracle, detail)
    }

    /// The operation after which nothing stood here for a while, if what had to stay may be missed then.
    fn missed_gap(&self) -> Option<u64> {
        let entries = &self.subject.entries[self.floor..];
        let gaps = entries.iter().enumerate().filter(|(_, entry)| entry.what == What::Absent);
        let missed = gaps.filter(|(index, _)| {
            let next = entries[*index..].iter().find(|entry| !entry.what.is_blank());
            next.is_some_and(|next| self.is_missed_before(&next.what))
        });
        missed.map(|(_, entry)| entry.at).next()
    }

    /// Whether anybody may miss what had to stay while nothing stands here, before the program makes this version. What it
    /// throws away and begins anew is not missed, nor is what it makes room for: a file that stands whole in another
    /// place until it is moved here. What it moves into place otherwise is a save, unless the old is kept elsewhere, or
    /// it is a log.
    fn is_missed_before(&self, next: &What) -> bool {
        let subject = self.subject;
        let is_left = |other: &Subject| !other.is_empty_at_the_end();
        let was_or_is_left = |other: &Subject| !other.entries[0].what.is_blank() || is_left(other);
        match (subject.kind, next) {
            (Kind::Document(_) | Kind::Database | Kind::Link, _) => true,
            _ if !subject.is_promised || self.stands_in(next, was_or_is_left) => false,
            (Kind::AppendOnly, What::File { whole, .. }) => self.taken_up(*whole).is_some(),
            (_, What::File { digest, .. }) if subject.placed.contains(digest) => {
                subject.is_taken_up || !self.stands_in(&subject.entries[self.floor].what, is_left)
            }
            _ => subject.is_taken_up,
        }
    }

    /// Whether this version stands in another file that is judged, and of which this is so.
    fn stands_in(&self, version: &What, is: impl Fn(&Subject) -> bool) -> bool {
        let others = self.holders(version).filter(|path| *path != self.subject.path);
        others.filter_map(|path| self.oracle.subject(path)).any(is)
    }
}
