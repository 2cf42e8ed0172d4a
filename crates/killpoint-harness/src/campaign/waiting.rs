//! Waiting within a trial: for time to pass, for a trigger, for whatever the supervisor tells. Nothing
//! waits longer than a trial may take.

use super::problem::CampaignError;
use super::strike::Living;
use super::supervisor::{END_GRACE, END_INTERVAL, Gone};
use super::tell;
use super::trial::Trial;
use crate::asserter::invariants::written;
use crate::interrupt::NOTICE_INTERVAL;
use killpoint_engine::identity;
use killpoint_model::Phase;
use killpoint_model::lifecycle::{Lifecycle, Record, StopCause};
use killpoint_model::trial::TrialEvent;
use killpoint_model::trigger::Trigger;
use std::time::{Duration, Instant};

/// How often it is looked what the target did.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// Most lifecycle events of one trial that are kept in the event log; the supervisor's file has all.
const EVENTS_TOLD_MAX: u64 = 10_000;
/// How long the last words of a supervisor that has ended are waited for.
const LAST_WORDS_GRACE: Duration = Duration::from_millis(100);

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// What was waited for is there.
    Done,
    /// It did not come in time.
    Late,
    /// It cannot come any more: the target is down for good.
    Over,
}

impl Trial<'_, '_> {
    /// A trigger is waited for as long as the workload may take, and a while longer.
    pub(super) fn trigger_limit(&self) -> Duration {
        let scenario = &self.stage.plan.scenario;
        let workload =
            scenario.workload.as_ref().map_or(Duration::ZERO, |it| it.timeout.duration());
        workload + scenario.timeouts.trigger.duration()
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, until: Instant) -> Result<Wait, CampaignError> {
        let limit = until.saturating_duration_since(Instant::now());
        match self.wait(limit, |_| Instant::now() >= until)? {
            // The moment may come between the question and the look at the time.
            Wait::Late if Instant::now() >= until => Ok(Wait::Done),
            ended => Ok(ended),
        }
    }

    /// Looks at what happens until something is so. Faults whose time is over are lifted meanwhile.
    pub(super) fn wait(
        &mut self,
        limit: Duration,
        mut is_so: impl FnMut(&Self) -> bool,
    ) -> Result<Wait, CampaignError> {
        let mut since = Instant::now();
        loop {
            let _ = self.stage.injector.lift_due(Instant::now());
            if self.serve()? {
                since = Instant::now();
            }
            self.watch()?;
            if !self.files.is_subset(&self.made) {
                self.note_made();
            }
            self.journal_seen.measure(&self.world.journal);
            if is_so(self) {
                return Ok(Wait::Done);
            }
            let left = limit.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Ok(Wait::Late);
            }
            // A short time is no longer than it is meant to be.
            if let Some(ended) = self.look(LOOK_INTERVAL.min(left))? {
                return Ok(ended);
            }
        }
    }

    /// Takes in what the supervisor tells within this time, one event at most. Something if nothing is
    /// to be waited for any more.
    pub(super) fn look(&mut self, interval: Duration) -> Result<Option<Wait>, CampaignError> {
        if self.stage.options.interrupt.is_requested() {
            return Err(CampaignError::Interrupted(self.stage.folder.path().to_owned()));
        }
        if self.is_cut_short() {
            return Ok(Some(Wait::Late));
        }
        match self.supervisor.next(interval.min(NOTICE_INTERVAL)) {
            Ok(Some(record)) => self.take(record)?,
            Ok(None) if self.state.are_over() => return Ok(Some(Wait::Over)),
            // Without its guardian it ends everything, which takes long where somebody is frozen: what
            // lasts is lifted when the run ends.
            Ok(None) if !self.supervisor.is_nobody() && self.supervisor.has_ended() => {
                match self.supervisor.next(LAST_WORDS_GRACE) {
                    Ok(Some(record)) => self.take(record)?,
                    _ => return Err(self.supervisor_is_gone()),
                }
            }
            // An interceptor that stands above it lives as long as anybody below.
            Ok(None) if self.interception.is_some() && self.has_supervisor_died() => {
                match self.supervisor.next(LAST_WORDS_GRACE) {
                    Ok(Some(record)) => self.take(record)?,
                    _ => return Err(self.supervisor_is_gone()),
                }
            }
            Ok(None) => {}
            Err(Gone) => return Err(self.supervisor_is_gone()),
        }
        Ok(None)
    }

    fn has_supervisor_died(&self) -> bool {
        self.state.supervisor.is_some_and(|pid| identity::status(pid).map_or(true, |it| it.ended))
    }

    fn supervisor_is_gone(&self) -> CampaignError {
        let words = self.world.folder.join("supervisor.txt");
        CampaignError::Supervisor("ended too early".to_owned(), words)
    }

    /// Stops everything, at once when the time is over; whether it ended by itself.
    pub(super) fn wait_for_stop(&mut self, limit: Duration) -> Result<bool, CampaignError> {
        self.is_stopping = true;
        self.watch.pause();
        self.supervisor.begin_stop();
        if self.supervisor.is_nobody() {
            return Ok(true);
        }
        let since = Instant::now();
        while since.elapsed() < limit {
            self.serve()?;
            // The pipe must not fill up, or its last words would hold it up.
            while let Ok(Some(record)) = self.supervisor.next(END_INTERVAL) {
                self.take(record)?;
                self.serve()?;
            }
            if self.supervisor.has_ended() {
                // What it said just before its end is in the pipe still, or waits to be looked at.
                while let Ok(Some(record)) = self.supervisor.next(END_GRACE) {
                    self.take(record)?;
                }
                // One that was killed has stopped nobody and says nothing.
                return match self.state.has_stopped {
                    true => Ok(true),
                    false => Err(self.supervisor_is_gone()),
                };
            }
        }
        Ok(false)
    }

    pub(super) fn take(&mut self, record: Record) -> Result<(), CampaignError> {
        if let Lifecycle::SupervisorStopped { cause: StopCause::GuardianGone, .. } = record.event {
            return Err(self.supervisor_is_gone());
        }
        let deaths = self.state.deaths.len();
        self.state.take(&record);
        self.picture_crash(deaths);
        self.note_late_recovery()?;
        let living = Living { state: &self.state, target: &self.stage.plan.scenario.target };
        self.collecting.take(&record, &self.state, &living);
        let is_chatter = matches!(record.event, Lifecycle::Heartbeat {});
        if is_chatter || self.state.events > EVENTS_TOLD_MAX {
            return Ok(());
        }
        tell(self.stage.journalist, TrialEvent::Told { trial: self.number, record: record.into() })
    }

    pub(super) fn has_happened(&self, trigger: &Trigger) -> bool {
        match trigger {
            Trigger::Event(event) => {
                self.state.count(&event.name, event.process.as_ref()) >= event.nth
            }
            Trigger::Checkpoint(sequence) => self.state.checkpoint >= Some(*sequence),
            Trigger::File(path) => {
                // What was there when the trial began was not made by the target.
                let now = written(&self.world.place(path));
                now.is_some() && self.at_first.get(path).is_none_or(|then| *then != now)
            }
            Trigger::LogLine(line) => {
                let lines = self.world.lines(line.process.as_deref(), &self.since_workload);
                let matching = lines.iter().filter(|text| line.pattern.is_found_in(text));
                matching.count() >= line.nth as usize
            }
            // The workload is at work when it is asked.
            Trigger::Phase(phase) => *phase == Phase::Work,
            // Times pass by themselves, calls come by themselves, probes are asked elsewhere.
            _ => false,
        }
    }
}
