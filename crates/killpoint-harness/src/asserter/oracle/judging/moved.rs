//! Files that a program moves by hand: it removes one, and writes the same bytes to another place.

use super::{Case, bytes};
use crate::asserter::oracle::shown;
use crate::asserter::oracle::state::Digest;
use crate::asserter::oracle::subject::{Kind, What};
use killpoint_model::Judgement;
use std::path::Path;

impl Case<'_> {
    /// The judgement of a file that the program removes, if all that stood in it stands under the same name in another
    /// directory at the end of the run, and nowhere in this state. Unless its removal was acknowledged, it had to stay.
    pub(super) fn on_its_way(&self) -> Option<Judgement> {
        if self.crash.power_loss || matches!(self.subject.kind, Kind::Database | Kind::Link) {
            return None;
        }
        let entries = &self.subject.entries[self.floor..];
        let gone = entries.iter().position(|entry| entry.what == What::Absent)?;
        let What::File { digest, length: length @ 1.., .. } = entries[..gone].last()?.what else {
            return None;
        };
        let to = self.moved_to(&digest)?;
        if self.stands_somewhere(&digest, length) {
            return None;
        }
        let detail = format!(
            "{} was removed before its {} were written to {}, and they stand nowhere.",
            self.name(),
            bytes(length),
            shown(to)
        );
        Some(Judgement { bytes_lost: length, ..Judgement::violated(self.loss(), detail) })
    }

    /// The file of the same name that holds these bytes at the end of the run.
    fn moved_to(&self, digest: &Digest) -> Option<&Path> {
        let path = &self.subject.path;
        let mut ends = self.oracle.ends.get(digest)?.iter();
        ends.find(|end| *end != path && end.file_name() == path.file_name()).map(|it| it.as_path())
    }
}
