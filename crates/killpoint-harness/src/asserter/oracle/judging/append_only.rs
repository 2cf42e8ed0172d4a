//! Judging a file that was only ever appended to.

use super::{Case, bytes};
use crate::asserter::oracle::append_only::{Tail, compare};
use crate::asserter::oracle::pieces::comes_back;
use crate::asserter::oracle::state::{HELD_BYTES_MAX, Present};
use crate::asserter::oracle::subject::{Kind, Match, Stretch, What};
use killpoint_model::{Class, Judgement, Reason, Verdict};
use std::io;

impl Case<'_> {
    pub(super) fn append_only(&self, present: Present) -> io::Result<Judgement> {
        if present.length > HELD_BYTES_MAX {
            return Ok(self.opaque(present));
        }
        let contents = self.state.read(&self.subject.path)?;
        let (kept, first) = self.kept_of();
        let wholes = self.subject.wholes.get(first..).unwrap_or_default();
        let (mut worst, mut is_half_back) = (None, false);
        for (index, whole) in wholes.iter().enumerate() {
            // A file that was begun anew after the version that had to stay owes nothing but what it takes up of that.
            let kept = if index == 0 { kept } else { 0 };
            match compare(&contents, whole, kept, self.crash.power_loss) {
                Tail::Holds if index > 0 && self.is_half_back(&contents, first + index) => {
                    is_half_back = true;
                }
                Tail::Holds => return Ok(Judgement::held()),
                Tail::Strange { .. } if !self.crash.recorded_beyond => {
                    return Ok(Judgement::held());
                }
                tail => worst = worst.or(Some(tail)),
            }
        }
        if is_half_back {
            return Ok(self.half_back(present));
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

    /// The judgement of a file that is as it was once, and older than what had to stay: a log that was begun anew may
    /// hold the same as it did before.
    pub(super) fn unless_begun_anew(
        &self,
        judgement: Judgement,
        present: Present,
    ) -> io::Result<Judgement> {
        let anew = match self.subject.kind {
            _ if judgement.verdict == Verdict::Held => None,
            Kind::AppendOnly => Some(self.append_only(present)?),
            Kind::Document(_) if present.length > 0 => {
                self.growing(|| self.state.read(&self.subject.path))?
            }
            _ => None,
        };
        let anew = anew.filter(|anew| !matches!(anew.verdict, Verdict::Violated(_)));
        Ok(anew.unwrap_or(judgement))
    }

    /// How many of the first bytes had to stay, and of which of the subject's `wholes`.
    fn kept_of(&self) -> (usize, usize) {
        let (kept, first) = match &self.subject.entries[self.floor].what {
            What::File { length, whole, .. } => {
                (usize::try_from(*length).unwrap_or(usize::MAX), *whole)
            }
            _ => (0, 0),
        };
        let had = usize::try_from(self.acknowledged_bytes()).unwrap_or(usize::MAX);
        if had > kept { (had, self.next_whole()) } else { (kept, first) }
    }

    /// How many of its first bytes hold what an append-only file that was begun anew takes up of the one that had to stay,
    /// before something is acknowledged again; none if that is too little. It is the one at this index of the subject's `wholes`.
    pub(super) fn taken_up(&self, whole: usize) -> Option<usize> {
        let (kept, first) = self.kept_of();
        let before = self.subject.wholes.get(first).filter(|_| kept > 0)?;
        let anew = self.subject.until_acknowledged(whole);
        let had_to_stay = before.get(..kept).unwrap_or(before);
        // One line with others behind it may be a heading that every new file begins with.
        let lines = had_to_stay.split_inclusive(|byte| *byte == b'\n').count();
        let had_to_stay = Some(had_to_stay).filter(|_| lines > 1);
        comes_back(before, anew).or_else(|| comes_back(had_to_stay?, anew))
    }

    /// Whether a file that was begun anew does not hold all yet that it takes up: one that begins as the one at this index
    /// of the subject's `wholes`.
    fn is_half_back(&self, contents: &[u8], whole: usize) -> bool {
        let anew = self.subject.wholes.get(whole).map(|anew| &anew[..]).unwrap_or_default();
        self.taken_up(whole)
            .is_some_and(|back| compare(contents, anew, back, self.crash.power_loss) != Tail::Holds)
    }

    fn half_back(&self, present: Present) -> Judgement {
        let detail = format!(
            "{} was begun anew and holds {}; what stood in it before comes back later: whether that is missed only a \
             checker can say.",
            self.name(),
            bytes(present.length)
        );
        Judgement::unknown(Reason::NoOracle, detail)
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
        // Empty it is only known to be where the program had emptied it.
        let may_be = |stretch: &&Stretch| {
            stretch.had_begun(self.crash.at) && (!contents.is_empty() || stretch.emptied.is_some())
        };
        let kept = self.subject.stretches.iter().filter(may_be).filter_map(|stretch| {
            let kept = usize::try_from(stretch.kept(floor)?.max(promised)).unwrap_or(usize::MAX);
            let tail = compare(&contents, &stretch.whole, kept, self.crash.power_loss);
            (tail == Tail::Holds).then_some(kept)
        });
        Ok(kept.max().map(|kept| match kept > 0 || self.floor_is_blank() || self.may_be_empty() {
            true => Judgement::held(),
            false => {
                let holds = match contents.is_empty() {
                    true => "is empty, as it was when",
                    false => "holds the beginning of what was appended after",
                };
                let detail = format!(
                    "{} {holds} the program had emptied it: whether what stood there before was \
                     still needed only a checker can say.",
                    self.name()
                );
                Judgement::unknown(Reason::NoOracle, detail)
            }
        }))
    }

    /// Whether it holds where it is empty: the program leaves it so.
    fn may_be_empty(&self) -> bool {
        let is_empty = |what: &What| matches!(what, What::File { length: 0, .. });
        self.subject.compare(self.floor, &self.oracle.acknowledged, is_empty) == Match::Legal
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
