//! Files that the program makes and removes in one run, and that stood when something was acknowledged.

use super::Case;
use crate::asserter::oracle::subject::{Kind, What};
use killpoint_model::{Judgement, Reason, Verdict};

impl Case<'_> {
    /// What is wrong with a file that does not last may be missed, if it held what was acknowledged and that stands
    /// nowhere else: nothing here shows whether it was.
    pub(super) fn missed_in_passing(&self, judgement: Judgement) -> Judgement {
        if !self.is_missed_in_passing(&judgement) {
            return Judgement::held();
        }
        let detail = format!(
            "{} The program removes it later; it stood when something was acknowledged: whether that was in it only a \
             checker can say.",
            judgement.detail
        );
        Judgement::unknown(Reason::NoOracle, detail)
    }

    fn is_missed_in_passing(&self, judgement: &Judgement) -> bool {
        let is_violated = matches!(judgement.verdict, Verdict::Violated(_));
        // The program has only appended to it since.
        if self.acknowledged_bytes() > 0 {
            return is_violated;
        }
        let What::File { digest, length: length @ 1.., .. } =
            &self.subject.entries[self.floor].what
        else {
            return false;
        };
        let may_be_missed = match self.subject.kind {
            Kind::Document(_) => is_violated,
            Kind::Opaque => self.subject.is_taken_up,
            Kind::AppendOnly => true,
            Kind::Database | Kind::Link => false,
        };
        may_be_missed && !self.stands_somewhere(digest, *length)
    }
}
