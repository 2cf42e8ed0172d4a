//! Before a trial is stopped: the target is ready again, or over as in the control, and does not end again
//! and again.

use super::CampaignError;
use super::trial::Trial;
use crate::numbers::count;
use killpoint_model::event::Event;
use killpoint_model::lifecycle::{End, Lifecycle, Record};
use killpoint_model::verdict::{Class, Judgement, Reason};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

/// A life that lasts so many times as long as the one before it is another one.
const OUTLIVED: u32 = 2;
/// Lives of this share of another one's time may have done the same work: machines are not always as quick.
const AS_LONG: f64 = 0.75;

impl Trial<'_, '_> {
    /// Waits for a target that is down, or is being started again, and looks once more at one that ended again
    /// and again.
    pub(super) fn see_it_back(&mut self) -> Result<(), CampaignError> {
        if self.number == 0 || self.fired == 0 || self.is_lost || self.supervisor.is_nobody() {
            return Ok(());
        }
        let limit = self.stage.plan.scenario.timeouts.recovery;
        let left = |since: Option<Instant>, waits: Duration| {
            let since = since.map_or(Duration::ZERO, |since| since.elapsed());
            (limit.duration() + waits).saturating_sub(since)
        };
        let was_ready = self.state.are_ready();
        // Whoever needs several tries has all the time of a recovery for them.
        let tries = match self.falls() {
            0 => Duration::ZERO,
            _ => {
                let since = self.state.falls_since;
                since.map_or(Duration::ZERO, |_| left(since, self.state.first_wait()))
            }
        };
        self.wait(tries, |trial| trial.state.are_over() || trial.is_at_rest())?;
        let falls = self.falls();
        let changed = self.state.changed;
        self.wait(left(changed, self.state.last_wait()), |trial| {
            trial.state.are_over()
                || trial.is_at_rest()
                || falls > 0 && trial.falls() > falls && trial.are_others_ready()
        })?;
        if self.state.gave_up().is_some() || self.judge_refusal() {
            self.is_lost = true;
            return Ok(());
        }
        let falls_now = self.falls();
        let goes_on = falls_now > 0 && falls_now > falls && !self.is_at_rest();
        if goes_on && !self.is_cut_short() {
            let name = self.fallen();
            let times = count(falls_now.into(), "time");
            let why =
                format!("{name} ended by itself {times} since the last strike, and goes on so");
            self.worsen(self.hung(&why));
            self.is_lost = true;
        } else if !self.state.are_over() && self.is_falling_or_down() {
            let why = format!(
                "At the end of the trial, {limit} after its last start, the target was not ready again"
            );
            self.judge_late(&why);
        } else if falls_now > 0 {
            let name = self.fallen();
            let times = count(falls_now.into(), "time");
            let text = format!(
                "Trial {}: {name} ended by itself {times} since the last strike, and was started again.",
                self.number
            );
            self.stage.journalist.tell(Event::Note { text })?;
        }
        if self.state.are_ready() && !was_ready {
            self.hear_out()?;
        }
        Ok(())
    }

    /// How often processes ended by themselves since the last strike: whoever did it most often.
    fn falls(&self) -> u32 {
        self.state.processes.values().map(|process| process.falls).max().unwrap_or(0)
    }

    /// Who that is.
    fn fallen(&self) -> String {
        let most = self.state.processes.iter().max_by_key(|(_, process)| process.falls);
        most.map_or_else(String::new, |(name, _)| name.clone())
    }

    /// Whether all are ready, and live longer than they did.
    fn is_at_rest(&self) -> bool {
        self.state.are_ready() && self.has_come_to_rest()
    }

    /// Whether the target is not ready, or could not be looked at until it came to rest.
    fn is_falling_or_down(&self) -> bool {
        !self.state.are_ready() || self.is_cut_short() && !self.has_come_to_rest()
    }

    /// Whether nobody is waited for but those who end again and again: they may need somebody who is not up yet.
    fn are_others_ready(&self) -> bool {
        let mut others = self.state.processes.values().filter(|it| it.falls == 0);
        others.all(|it| it.is_ready || it.is_over)
    }

    /// Whether those who ended again and again live longer than they did.
    fn has_come_to_rest(&self) -> bool {
        let mut fallen = self.state.processes.values().filter(|it| it.falls > 0);
        let has_outlived = |started: Instant, lasted| started.elapsed() > OUTLIVED * lasted;
        fallen.all(|it| it.started.is_some_and(|started| has_outlived(started, it.lasted)))
    }

    /// Whether a process that was started again ended as if all were well, and stays down, though it was ready in
    /// the control and did not end there.
    pub(super) fn judge_refusal(&mut self) -> bool {
        let mut refused = self.state.processes.iter().filter(|(_, it)| it.has_refused());
        let Some((name, refused)) = refused.find(|(name, it)| {
            let served = self.served_in_control(name);
            // Who is done after about as much work as that may be one who finishes: the control was stopped before.
            served.is_some_and(|served| !it.was_ready || it.lived < served.mul_f64(AS_LONG))
        }) else {
            return false;
        };
        let end = self.state.ends.iter().rev().find(|(of, _)| of == name);
        let end = end.map_or_else(String::new, |(_, end)| format!(" ({end})"));
        let (life, when) = match refused.was_ready {
            true => (refused.life, "after it was ready"),
            false => (refused.life, "before it was ready"),
        };
        let why = format!(
            "{name} was started again (life {life}), ended{end} {when}, and stays down; in the control it was \
             ready, and did not end by itself."
        );
        self.worsen(Judgement::violated(Class::Bricked, why));
        true
    }

    /// How long a process lived in the control that was ready there and did not finish by itself, as far as that can
    /// still be read: who finishes may find in a later life that all is done.
    fn served_in_control(&self, name: &str) -> Option<Duration> {
        let path = self.stage.folder.join("trials/0/lifecycle.jsonl");
        let Ok(file) = File::open(path) else { return Some(Duration::MAX) };
        let records = BufReader::new(file).lines().map_while(Result::ok);
        let records = records.filter_map(|line| serde_json::from_str::<Record>(&line).ok());
        let (mut is_ready, mut lived) = (false, Duration::ZERO);
        for record in records.filter(|it| it.process.as_deref() == Some(name)) {
            match record.event {
                Lifecycle::Ready { .. } => is_ready = true,
                Lifecycle::Ended { end: End::Finished, .. } => return None,
                Lifecycle::Ended { after_us, .. } => lived += Duration::from_micros(after_us),
                _ => {}
            }
        }
        is_ready.then_some(lived)
    }

    /// A target that is not ready: it hangs, unless it could not have all its time.
    pub(super) fn judge_late(&mut self, why: &str) {
        let judgement = match self.is_cut_short() {
            false => self.hung(why),
            true => {
                let limit = self.stage.plan.scenario.timeouts.trial;
                let why = format!(
                    "The target was not ready again when the time of the trial (`timeouts.trial`, {limit}) was over."
                );
                Judgement::unknown(Reason::NeverSteady, why)
            }
        };
        self.worsen(judgement);
        self.is_lost = true;
    }

    /// Whether the trial has used up its time.
    pub(super) fn is_cut_short(&self) -> bool {
        self.begun.elapsed() >= self.stage.plan.scenario.timeouts.trial.duration()
    }
}
