//! Judging a file that was only ever appended to.

use super::{Case, bytes};
use crate::asserter::oracle::append_only::{Tail, compare};
use crate::asserter::oracle::state::{HELD_BYTES_MAX, Present};
use crate::asserter::oracle::subject::What;
use killpoint_model::{Class, Judgement, Reason};
use std::io;

impl Case<'_> {
    pub(super) fn append_only(&self, present: Present) -> io::Result<Judgement> {
        if present.length > HELD_BYTES_MAX {
            return Ok(self.opaque(present));
        }
        let contents = self.state.read(&self.subject.path)?;
        let (kept, first) = match &self.subject.entries[self.floor].what {
            What::File { length, whole, .. } => {
                (usize::try_from(*length).unwrap_or(usize::MAX), *whole)
            }
            _ => (0, 0),
        };
        let had = usize::try_from(self.acknowledged_bytes()).unwrap_or(usize::MAX);
        let (kept, first) = if had > kept { (had, self.next_whole()) } else { (kept, first) };
        let wholes = self.subject.wholes.get(first..).unwrap_or_default();
        let mut worst = None;
        for (index, whole) in wholes.iter().enumerate() {
            // A file that was begun anew after the version that had to stay owes nothing.
            let kept = if index == 0 { kept } else { 0 };
            match compare(&contents, whole, kept, self.crash.power_loss) {
                Tail::Holds => return Ok(Judgement::held()),
                Tail::Strange { .. } if !self.crash.recorded_beyond => {
                    return Ok(Judgement::held());
                }
                tail => worst = worst.or(Some(tail)),
            }
        }
        let name = self.name();
        let kept_bytes = bytes(kept as u64);
        Ok(match worst {
            None => self.opaque(present),
            Some(Tail::Holds) => Judgement::held(),
            Some(Tail::Short) => Judgement {
                bytes_lost: kept as u64 - present.length,
                ..self.lost(&format!("is {} long and had {kept_bytes}", bytes(present.length)))
            },
            Some(Tail::Zeroed { index, lost }) => Judgement {
                bytes_lost: lost as u64,
                ..Judgement::violated(
                    self.loss(),
                    format!(
                        "{name} holds {} of zeros from byte {index} on, of what had to stay.",
                        bytes(lost as u64)
                    ),
                )
            },
            Some(Tail::Changed { index }) => Judgement::violated(
                Class::Torn,
                format!("{name} was only ever appended to, and its byte {index} has changed."),
            ),
            Some(Tail::Strange { index }) => Judgement::violated(
                Class::Wrong,
                format!("{name} holds from byte {index} what was never appended to it."),
            ),
        })
    }

    /// The judgement of a log that was not only appended to, if it is as it was while something was appended, torn or
    /// not; none if it is not, or is no log.
    pub(super) fn growing(
        &self,
        fetch: impl Fn() -> io::Result<Vec<u8>>,
    ) -> io::Result<Option<Judgement>> {
        if self.subject.stretches.is_empty() {
            return Ok(None);
        }
        let contents = fetch()?;
        let floor = self.subject.entries[self.floor].at;
        let promised = self.subject.kept_bytes(self.through, self.crash.at);
        let kept = self.subject.stretches.iter().filter_map(|stretch| {
            let kept = usize::try_from(stretch.kept(floor)?.max(promised)).unwrap_or(usize::MAX);
            let tail = compare(&contents, &stretch.whole, kept, self.crash.power_loss);
            (tail == Tail::Holds).then_some(kept)
        });
        Ok(kept.max().map(|kept| match kept == 0 && !self.floor_is_blank() {
            false => Judgement::held(),
            true => Judgement::unknown(
                Reason::NoOracle,
                format!(
                    "{} holds the beginning of what was appended after the program had emptied it: \
                     whether what stood there before was still needed only a checker can say.",
                    self.name()
                ),
            ),
        }))
    }

    /// Of what it is the beginning, from the version on that had to stay.
    fn next_whole(&self) -> usize {
        let entries = self.subject.entries[self.floor..].iter();
        let mut wholes = entries.filter_map(|entry| match entry.what {
            What::File { whole, .. } => Some(whole),
            _ => None,
        });
        wholes.next().unwrap_or(0)
    }
}
