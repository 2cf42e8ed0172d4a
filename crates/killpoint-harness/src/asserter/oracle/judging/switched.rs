//! Files in directories between which the program switches with a symbolic link.

use super::Case;
use crate::asserter::oracle::shown;
use crate::asserter::oracle::switches::leads_to;
use killpoint_model::{Judgement, Reason, Verdict};
use std::path::PathBuf;

impl Case<'_> {
    /// What was made in a directory that no link leads to yet is in nobody's way. What was there before may be
    /// looked for all the same.
    pub(super) fn spared_by_switch(&self, judgement: Judgement) -> Judgement {
        if judgement.verdict == Verdict::Held || !self.is_out_of_use() {
            return judgement;
        }
        if self.floor_is_blank() {
            return Judgement::held();
        }
        if !matches!(judgement.verdict, Verdict::Violated(_)) {
            return judgement;
        }
        let links: Vec<String> = self.subject.switches.iter().map(|link| shown(link)).collect();
        let detail = format!(
            "{} The program switches directories with {}, which leads elsewhere: whether this one is \
             still in use only a checker can say.",
            judgement.detail,
            links.join(" and ")
        );
        Judgement::unknown(Reason::NoOracle, detail)
    }

    /// Whether links led here at some time, and none does now.
    fn is_out_of_use(&self) -> bool {
        let leads = |link: &PathBuf| {
            let target = self.state.links().get(link);
            target.is_some_and(|target| leads_to(link, target, &self.subject.path))
        };
        !self.subject.switches.is_empty() && !self.subject.switches.iter().any(leads)
    }
}
