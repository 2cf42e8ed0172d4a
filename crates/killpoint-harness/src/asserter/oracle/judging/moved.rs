//! Files that a program moves by hand: it removes one, and writes the same bytes, or most of them, to another place.

use super::{Case, bytes};
use crate::asserter::oracle::shown;
use crate::asserter::oracle::subject::{Kind, What};
use killpoint_model::{Judgement, Reason};

impl Case<'_> {
    /// The judgement of a file that the program removes, if it writes the same bytes, or most of them, under the same name to
    /// another directory right after that, and they stand nowhere in this state. The program may have made them anew: that they
    /// had to stay nothing here shows.
    pub(super) fn on_its_way(&self) -> Option<Judgement> {
        if self.crash.power_loss || matches!(self.subject.kind, Kind::Database | Kind::Link) {
            return None;
        }
        let entries = &self.subject.entries[self.floor..];
        let gone = entries.iter().position(|entry| entry.what == What::Absent)?;
        let What::File { digest, length: length @ 1.., .. } = entries[..gone].last()?.what else {
            return None;
        };
        let moved = self.oracle.moves.get(&self.subject.path)?;
        let is_same = moved.became.digest == digest;
        if moved.was.digest != digest
            || self.stands_somewhere(&digest, length)
            || (!is_same && self.stands_somewhere(&moved.became.digest, moved.became.length))
        {
            return None;
        }
        let most = if is_same { "" } else { "most of " };
        let detail = format!(
            "{} was removed before {most}its {} were written to {}, and they stand nowhere: whether \
             they are missed only a checker can say.",
            self.name(),
            bytes(length),
            shown(&moved.to)
        );
        Some(Judgement::unknown(Reason::NoOracle, detail))
    }
}
