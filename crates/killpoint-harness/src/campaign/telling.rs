//! What a trial tells of what it collected: signs of life, what was used, crashes, unsaved work, how the
//! state changed.

use super::course::Try;
use super::judging::{Judge, Readings};
use super::problem::CampaignError;
use super::tell;
use super::trial::{LastStrike, Trial};
use killpoint_model::event::Event;
use killpoint_model::report::NotCovered;
use killpoint_model::screenshot::{Moment, PREVIEWS_MAX};
use killpoint_model::trial::TrialEvent;
use std::fs;
use std::path::Path;

impl Trial<'_, '_> {
    /// Tells of what was collected while the target was up.
    pub(super) fn tell_collected(&mut self, once: &Try<'_>) -> Result<(), CampaignError> {
        let series = self.collecting.resources();
        if !series.is_empty() {
            let event = TrialEvent::Resources { trial: self.number, series };
            tell(self.stage.journalist, event)?;
        }
        self.tell_crashes(once)?;
        for gap in self.collecting.gaps().to_vec() {
            self.stage.journalist.tell(Event::Note { text: gap })?;
        }
        Ok(())
    }

    /// Takes a picture of the screen if a process has just crashed by itself: one more than these.
    pub(super) fn picture_crash(&mut self, deaths: usize) {
        let death = self.state.deaths.get(deaths);
        if let Some(death) = death.filter(|death| death.strike.is_none()) {
            let (process, life, at_us) = (death.process.clone(), death.life, death.at_us);
            self.collecting.pictures.take_meanwhile(Moment::Crashed { process, life }, at_us);
        }
    }

    /// What the screen showed, if the trial did not hold; and what is missing of that in any trial.
    pub(super) fn tell_pictures(&mut self) -> Result<(), CampaignError> {
        let album = self.collecting.pictures.end();
        for reason in album.gaps {
            if !self.stage.is_not_covered(&reason) {
                let gap = NotCovered { file: "*".to_owned(), reason, needed: false };
                self.stage.journalist.tell(Event::NotCovered(gap))?;
            }
        }
        if self.judgements.have_held() || album.pictures.is_empty() {
            return Ok(());
        }
        let shown = self.stage.journalist.report().campaign.as_ref().map_or(0, |it| it.previews());
        let mut pictures = album.pictures;
        for (index, picture) in pictures.iter_mut().enumerate() {
            picture.path = self.relative(Path::new(&picture.path));
            if shown + index >= PREVIEWS_MAX {
                picture.preview.clear();
            }
        }
        let event = TrialEvent::Pictured { trial: self.number, pictures };
        tell(self.stage.journalist, event)
    }

    pub(super) fn tell_heartbeats(&mut self) -> Result<(), CampaignError> {
        for heartbeats in std::mem::take(&mut self.state.heartbeats).into_values() {
            let event = TrialEvent::Heartbeats { trial: self.number, heartbeats };
            tell(self.stage.journalist, event)?;
        }
        Ok(())
    }

    /// Notes how the target stands, right before a strike.
    pub(super) fn note_strike(&mut self, strike: u64) {
        let journal_bytes = fs::metadata(&self.world.journal).map_or(0, |metadata| metadata.len());
        let lives = self.state.processes.iter().map(|(name, it)| (name.clone(), it.life)).collect();
        let unrelated = self.state.unrelated;
        self.state.count_falls_anew();
        self.last_strike =
            Some(LastStrike { strike, journal_bytes, lives, unrelated, may_die_since: None });
    }

    /// What became of the unsaved work of the last strike, if a store was read and there was some.
    pub(super) fn drafts_since(
        &self,
        judge: &Judge<'_>,
        readings: &Readings,
    ) -> Option<TrialEvent> {
        let last = self.last_strike.as_ref()?;
        let (open, restored) = judge.drafts(readings, last.journal_bytes)?;
        let since = |(name, before): (&String, &u32)| {
            self.state.processes.get(name).map_or(0, |process| process.life.saturating_sub(*before))
        };
        let restarts = u64::from(last.lives.iter().map(since).max().unwrap_or(0)).max(1);
        let (trial, strike) = (self.number, last.strike);
        (open > 0).then_some(TrialEvent::Drafts { trial, strike, restarts, open, restored })
    }

    /// How the state changed at the strikes of a trial that was violated.
    pub(super) fn tell_changes(&mut self) -> Result<(), CampaignError> {
        if !self.judgements.are_violated() {
            return Ok(());
        }
        for (strike, files, omitted) in self.collecting.snapshots.changes() {
            let event = TrialEvent::Changed { trial: self.number, strike, files, omitted };
            tell(self.stage.journalist, event)?;
        }
        Ok(())
    }
}
