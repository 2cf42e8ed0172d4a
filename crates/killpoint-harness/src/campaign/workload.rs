//! What drives the target: started when it is ready, waited for, and its end told.

use super::CampaignError;
use super::judging::Marks;
use super::tell;
use super::trial::Trial;
use super::waiting::Wait;
use super::world::Running;
use killpoint_model::event::Event;
use killpoint_model::trial::TrialEvent;
use killpoint_model::verdict::{Judgement, Reason};
use std::path::PathBuf;
use std::time::{Duration, Instant};

impl Trial<'_, '_> {
    pub(super) fn start_workload(&mut self) -> Result<(), CampaignError> {
        self.state.counts.clear();
        self.state.count_anew();
        self.since_workload = Marks::now(&self.stage.plan.scenario, &self.world);
        if let Some(workload) = &self.stage.plan.scenario.workload {
            let running = self.world.start(&workload.command, "workload");
            let path = PathBuf::from(&workload.command[0]);
            let fail = |source| CampaignError::Io { action: "start the workload", path, source };
            self.workload = Some(running.map_err(fail)?);
        }
        self.ask_in_control();
        self.workload_began = Instant::now();
        self.has_workload_begun = true;
        if self.workload.is_some() {
            let at_us = self.state.clock.micros(self.workload_began);
            let event = TrialEvent::WorkloadStarted { trial: self.number, at_us };
            tell(self.stage.journalist, event)?;
        }
        Ok(())
    }

    /// Until the workload has ended; without one until the target has, or a while is over.
    pub(super) fn finish_workload(&mut self) -> Result<(), CampaignError> {
        let scenario = &self.stage.plan.scenario;
        let limit = match &scenario.workload {
            Some(workload) => workload.timeout.duration(),
            None => scenario.timeouts.trigger.duration(),
        };
        let left = limit.saturating_sub(self.workload_began.elapsed());
        let waited = match &self.workload {
            Some(_) => self.wait(left, |trial| trial.workload_has_ended())?,
            None => self.pass(Instant::now() + limit)?,
        };
        let timed_out = self.workload.is_some() && !self.workload_has_ended();
        let is_cut = waited == Wait::Late && self.is_cut_short();
        let ended = self.workload.take().and_then(|mut running| running.finish().ok());
        let status = ended.and_then(|status| status.code());
        let at_us = self.state.clock.micros(Instant::now());
        let event = TrialEvent::WorkloadEnded {
            trial: self.number,
            at_us: self.stage.plan.scenario.workload.is_some().then_some(at_us),
            status: if timed_out { None } else { status },
            timed_out,
            acknowledged: self.acknowledged(),
        };
        tell(self.stage.journalist, event)?;
        if is_cut {
            self.note_cut(limit)?;
        }
        let how = match ended {
            Some(_) if is_cut => "had not ended when the time of the trial was over".to_owned(),
            Some(_) if timed_out => format!("did not end within {} s", limit.as_secs_f64()),
            Some(status) if !status.success() => format!("ended with {status}"),
            _ => return Ok(()),
        };
        self.blame_workload(&how);
        Ok(())
    }

    /// The trial could not have all the time that it was to have.
    fn note_cut(&mut self, limit: Duration) -> Result<(), CampaignError> {
        let what = match self.stage.plan.scenario.workload {
            Some(_) => "its workload had ended".to_owned(),
            None => format!("it had gone on for {} s (`timeouts.trigger`)", limit.as_secs_f64()),
        };
        let trial = self.stage.plan.scenario.timeouts.trial;
        let text = format!(
            "Trial {} was cut short: its time (`timeouts.trial`, {trial}) was over before {what}.",
            self.number
        );
        Ok(self.stage.journalist.tell(Event::Note { text })?)
    }

    /// Right before a strike: whether the workload has failed already.
    pub(super) fn look_at_workload(&mut self) {
        if let Some(how) = self.workload.as_ref().and_then(Running::failure) {
            self.blame_workload(&how);
        }
    }

    /// A workload that failed, before anything was done that could make it fail: that is so in the control,
    /// and before the first strike of a trial.
    fn blame_workload(&mut self, how: &str) {
        if !self.positions.is_empty() {
            return;
        }
        let when = if self.number == 0 { "" } else { " before the first strike" };
        let words = self.world.folder.join("workload.stderr");
        let why = format!("The workload {how}{when}; its words are in {}.", words.display());
        self.worsen(Judgement::unknown(Reason::JudgeFailed, why));
    }

    fn workload_has_ended(&self) -> bool {
        self.workload.as_ref().is_none_or(|running| running.has_ended().unwrap_or(true))
    }
}
