//! What a run collected beside verdicts: crashes, unsaved work, what was used, how states changed.

use super::{CampaignReport, TrialReport};
use crate::finding::FileChange;
use crate::trial::TrialEvent;
use serde::{Deserialize, Serialize};

/// Crashes that are kept; the rest is counted.
const CRASHES_KEPT_MAX: usize = 500;
/// Strikes with unsaved work that are kept.
const DRAFTS_KEPT_MAX: usize = 100_000;
/// Pictures of the screen that are kept; the others are in the folders of their trials.
const PICTURES_KEPT_MAX: usize = 400;
/// Trials whose changes of the state are kept.
const CHANGES_KEPT_MAX: usize = 100;

/// How many crashes there were. The control's are among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashCount {
    /// By a strike.
    pub struck: u64,
    /// By themselves.
    pub own: u64,
    /// With a dump and an event that names a checkpoint.
    pub observable: u64,
}

impl CrashCount {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.struck + self.own
    }
}

/// What became of unsaved work that was there at one strike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftsSeen {
    /// The trial.
    pub trial: u64,
    /// Which try of it.
    pub attempt: u32,
    /// Which failed try was run again by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<u32>,
    /// The strike.
    pub strike: u64,
    /// Keys that had a draft.
    pub open: u64,
    /// Keys that showed it, by the number of restarts after which they did first.
    pub restored: Vec<(u64, u64)>,
}

impl DraftsSeen {
    /// Keys that did not show it.
    pub fn gone(&self) -> u64 {
        let restored: u64 = self.restored.iter().map(|(_, keys)| keys).sum();
        self.open.saturating_sub(restored)
    }
}

/// How the state changed at one strike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrikeChange {
    /// The strike.
    pub strike: u64,
    /// The files that differ, bounded.
    pub files: Vec<FileChange>,
    /// How many are left out.
    pub omitted: u64,
}

impl CampaignReport {
    pub(super) fn collected(&mut self, event: &TrialEvent) {
        match event {
            TrialEvent::Crashed(crash) => {
                let own = u64::from(crash.is_own());
                let observable = u64::from(crash.is_observable());
                self.count_crashes(CrashCount { struck: 1 - own, own, observable });
                if self.crashes.len() < CRASHES_KEPT_MAX {
                    self.crashes.push((**crash).clone());
                }
            }
            TrialEvent::CrashesOmitted { struck, own, .. } => {
                self.count_crashes(CrashCount { struck: *struck, own: *own, observable: 0 });
            }
            TrialEvent::Resources { series, .. } => {
                if let Some(trial) = self.trials.last_mut() {
                    trial.resources.clone_from(series);
                }
            }
            TrialEvent::Drafts { strike, restarts, open, restored, .. } => {
                self.drafts_seen(*strike, *restarts, *open, *restored);
            }
            TrialEvent::Changed { strike, files, omitted, .. } => {
                let kept: usize = self.trials.iter().map(|trial| trial.changes.len()).sum();
                if let Some(trial) = self.trials.last_mut().filter(|_| kept < CHANGES_KEPT_MAX) {
                    let (strike, files, omitted) = (*strike, files.clone(), *omitted);
                    trial.changes.push(StrikeChange { strike, files, omitted });
                }
            }
            TrialEvent::Pictured { pictures, .. } => {
                let kept: usize = self.trials.iter().map(|trial| trial.screenshots.len()).sum();
                let room = PICTURES_KEPT_MAX.saturating_sub(kept);
                if let Some(trial) = self.trials.last_mut() {
                    trial.screenshots.extend(pictures.iter().take(room).cloned());
                }
            }
            TrialEvent::Release(release) => self.release = Some(release.clone()),
            _ => {}
        }
    }

    /// How many previews of pictures there are.
    pub fn previews(&self) -> usize {
        let pictures = self.trials.iter().flat_map(|trial| &trial.screenshots);
        pictures.filter(|picture| !picture.preview.is_empty()).count()
    }

    fn count_crashes(&mut self, more: CrashCount) {
        if !self.counts_now() {
            return;
        }
        let of_trial = self.trials.last_mut().map(|trial| &mut trial.crash_count);
        for count in of_trial.into_iter().chain([&mut self.crash_count]) {
            count.struck += more.struck;
            count.own += more.own;
            count.observable += more.observable;
        }
    }

    /// Takes back what a try told that was interrupted.
    pub(super) fn forget_collected(&mut self, of: &TrialReport) {
        let (count, gone) = (&mut self.crash_count, of.crash_count);
        count.struck = count.struck.saturating_sub(gone.struck);
        count.own = count.own.saturating_sub(gone.own);
        count.observable = count.observable.saturating_sub(gone.observable);
        let of = (of.trial, of.attempt, of.rerun_of);
        self.crashes.retain(|it| (it.trial, it.attempt, it.rerun_of) != of);
        self.drafts.retain(|it| (it.trial, it.attempt, it.rerun_of) != of);
    }

    /// Later readings after the same strike count for what the earlier ones did not show.
    fn drafts_seen(&mut self, strike: u64, restarts: u64, open: u64, restored: u64) {
        let Some(of) = self.trials.last() else { return };
        let (trial, attempt, rerun_of) = (of.trial, of.attempt, of.rerun_of);
        let is_it = |it: &DraftsSeen| {
            (it.trial, it.attempt, it.rerun_of, it.strike) == (trial, attempt, rerun_of, strike)
        };
        if !self.drafts.last().is_some_and(is_it) && self.drafts.len() < DRAFTS_KEPT_MAX {
            let restored = Vec::new();
            self.drafts.push(DraftsSeen { trial, attempt, rerun_of, strike, open, restored });
        }
        if let Some(last) = self.drafts.last_mut().filter(|it| is_it(it)) {
            let earlier: u64 = last.restored.iter().map(|(_, keys)| keys).sum();
            let more = restored.saturating_sub(earlier);
            if more > 0 {
                last.restored.push((restarts, more));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsaved_work_counts_at_the_restart_after_which_it_was_seen_first() {
        let mut report = CampaignReport::default();
        let started = || TrialEvent::Started {
            trial: 1,
            attempt: 1,
            rule: String::new(),
            rerun_of: None,
            expected: None,
        };
        report.apply(&started());
        let mut tell = |strike, restarts, open, restored| {
            report.apply(&TrialEvent::Drafts { trial: 1, strike, restarts, open, restored });
        };
        tell(1, 1, 4, 1);
        tell(1, 1, 4, 1);
        tell(1, 2, 4, 3);
        tell(2, 1, 1, 0);
        let [first, second] = report.drafts.as_slice() else { panic!("{:?}", report.drafts) };
        assert_eq!((first.restored.as_slice(), first.gone()), (&[(1, 1), (2, 2)][..], 1));
        assert_eq!((second.restored.len(), second.gone()), (0, 1));
        report.apply(&TrialEvent::CrashesOmitted { trial: 1, struck: 2, own: 1 });
        // A resumed run begins the trial again, which had no end.
        report.apply(&started());
        assert!(report.drafts.is_empty() && report.crash_count == CrashCount::default());
    }
}
