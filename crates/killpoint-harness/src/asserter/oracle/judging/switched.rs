//! Files in directories between which the program switches with a symbolic link, or with a small file that names one.

use super::Case;
use crate::asserter::oracle::pointers::{POINTER_BYTES_MAX, names};
use crate::asserter::oracle::shown;
use crate::asserter::oracle::switches::leads_to;
use killpoint_model::{Judgement, Reason, Verdict};
use std::path::Path;

impl Case<'_> {
    /// What was made in a directory that no link leads to yet is in nobody's way. What was there before may be
    /// looked for all the same, and what is named by a file that may be about something else.
    pub(super) fn spared_by_switch(&self, judgement: Judgement) -> Judgement {
        if judgement.verdict == Verdict::Held || !self.is_out_of_use() {
            return judgement;
        }
        let switches = &self.subject.switches;
        if self.floor_is_blank() && switches.iter().all(|switch| switch.is_certain) {
            return Judgement::held();
        }
        if !matches!(judgement.verdict, Verdict::Violated(_)) {
            return judgement;
        }
        let links: Vec<String> = switches.iter().map(|switch| shown(&switch.path)).collect();
        let detail = format!(
            "{} The program switches with {}, which leads elsewhere: whether this one is in use only a \
             checker can say.",
            judgement.detail,
            links.join(" and ")
        );
        Judgement::unknown(Reason::NoOracle, detail)
    }

    /// Whether links led here at some time, and none does now.
    fn is_out_of_use(&self) -> bool {
        let switches = &self.subject.switches;
        !switches.is_empty() && !switches.iter().any(|switch| self.is_led_to_by(&switch.path))
    }

    fn is_led_to_by(&self, switch: &Path) -> bool {
        let path = &self.subject.path;
        if let Some(target) = self.state.links().get(switch) {
            return leads_to(switch, target, path);
        }
        let file = self.state.files().get(switch);
        if file.is_none_or(|file| file.length > POINTER_BYTES_MAX) {
            return false;
        }
        // What cannot be read may lead anywhere.
        self.state.read(switch).map_or(true, |text| names(switch, &text, path))
    }
}
