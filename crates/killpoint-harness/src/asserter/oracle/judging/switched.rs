//! Files in directories between which the program switches with a symbolic link, or with a small file that names one.

use super::Case;
use crate::asserter::oracle::pointers::{POINTER_BYTES_MAX, has_word, names};
use crate::asserter::oracle::shown;
use crate::asserter::oracle::state::Present;
use crate::asserter::oracle::subject::{Entry, Kind};
use crate::asserter::oracle::switches::{Leading, Led, leads_to};
use killpoint_model::{Judgement, Reason, Verdict};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

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

    /// The judgement of a link or a pointer that stands, and leads to nothing, though it led to something before and
    /// does so again later. The program may have thrown away what it led to, or may cope with that: that anything is
    /// lost nothing here shows.
    pub(super) fn leads_to_nothing(&self) -> Option<Judgement> {
        let led = self.oracle.leads.get(&self.subject.path)?;
        let target = self.target()?;
        let paths = led.by_target.get(&target)?;
        let stands = |path: &PathBuf| {
            self.state.files().contains_key(path) || self.state.links().contains_key(path)
        };
        if paths.is_empty() || paths.iter().any(stands) || !led.is_between(self.crash.at) {
            return None;
        }
        let is_settled = match self.crash.power_loss {
            true => self.led_to_nothing_at_first(&target, led),
            false => led.is_settled(self.crash.at, &self.oracle.acknowledged),
        };
        // A log that nothing was written to yet need not be there, as long as the one before is.
        let may_be_missing = led.by_target.values().flatten().any(stands)
            && paths.iter().all(|path| self.is_log_to_come(path));
        if is_settled || may_be_missing {
            return None;
        }
        let detail = format!(
            "{} leads to {}, and nothing stands there: whether what it led to before is missed, only a checker \
             can say.",
            shown(&self.subject.path),
            shown(Path::new(OsStr::from_bytes(target.trim_ascii()))),
        );
        Some(Judgement::unknown(Reason::NoOracle, detail))
    }

    /// Where the link leads, or the text of the pointer.
    fn target(&self) -> Option<Vec<u8>> {
        let path = &self.subject.path;
        if let Some(target) = self.state.links().get(path) {
            return Some(target.clone());
        }
        let is_small = self.state.files().get(path)?.length <= POINTER_BYTES_MAX;
        is_small.then(|| self.state.read(path).ok()).flatten()
    }

    /// Whether it had this target before it ever led to anything: the program itself began like this.
    fn led_to_nothing_at_first(&self, target: &[u8], led: &Led) -> bool {
        let first = led.spans.first().map_or(0, |span| span.from);
        let had = |entry: &Entry| entry.at < first && entry.what.holds(&Present::of(target));
        self.subject.entries.iter().any(had)
    }

    fn is_log_to_come(&self, path: &Path) -> bool {
        self.oracle.subject(path).is_some_and(|subject| {
            subject.kind == Kind::AppendOnly
                && subject.entries[subject.floor(self.through)].what.is_blank()
        })
    }

    /// Whether links led here at some time, and none does now.
    fn is_out_of_use(&self) -> bool {
        let switches = &self.subject.switches;
        !switches.is_empty() && !switches.iter().any(|switch| self.is_led_to_by(switch))
    }

    fn is_led_to_by(&self, switch: &Leading) -> bool {
        let (path, word) = (&self.subject.path, switch.word.as_deref());
        let switch = &switch.path;
        if let Some(target) = self.state.links().get(switch) {
            return leads_to(switch, target, path);
        }
        let file = self.state.files().get(switch);
        if file.is_none_or(|file| file.length > POINTER_BYTES_MAX) {
            return false;
        }
        // What cannot be read may lead anywhere.
        self.state.read(switch).map_or(true, |text| {
            names(switch, &text, path) || word.is_some_and(|word| has_word(&text, word))
        })
    }
}
