//! After a strike: what it left is judged, and the target is waited for until it is back.

use super::CampaignError;
use super::strike::Struck;
use super::tell;
use super::trial::Trial;
use super::waiting::Wait;
use killpoint_model::invariant::JudgeAt;
use killpoint_model::screenshot::Moment;
use killpoint_model::span::Span;
use killpoint_model::trial::TrialEvent;
use killpoint_model::verdict::{Class, Judgement};
use std::collections::BTreeMap;
use std::time::Instant;

impl Trial<'_, '_> {
    /// Judges what a strike left while everything is down, and lets the supervisor go on.
    pub(super) fn judge_what_is_left(
        &mut self,
        number: u64,
        struck: &Struck,
    ) -> Result<(), CampaignError> {
        let limit = self.stage.plan.scenario.timeouts.recovery.duration();
        let is_down = |trial: &Self| trial.state.processes.values().all(|it| it.pid.is_none());
        if struck.ended.len() == self.state.processes.len()
            && self.wait(limit, is_down)? != Wait::Late
        {
            self.collecting.snapshots.after(number, &self.world.states);
            self.judge(JudgeAt::AtStrike, Some(number))?;
        }
        if struck.is_held {
            let _ = self.stage.injector.rollback();
        }
        Ok(())
    }

    /// Waits until the target is ready again.
    pub(super) fn recover(
        &mut self,
        number: u64,
        struck_at: Instant,
        struck: &Struck,
        limit: Span,
    ) -> Result<bool, CampaignError> {
        // A supervised process that was ended must be seen to end before it can be seen ready again.
        let lives: BTreeMap<String, u32> = struck
            .ended
            .iter()
            .filter_map(|name| Some((name.clone(), self.state.processes.get(name)?.life)))
            .collect();
        let limit_of = limit.duration() + struck.lasts;
        let back = self.wait(limit_of, |trial| {
            let is_new = |(name, life): (&String, &u32)| {
                trial.state.processes.get(name).is_some_and(|it| it.life > *life || it.is_over)
            };
            lives.iter().all(is_new)
                && trial.stage.injector.lasting() == 0
                && (trial.state.are_ready() || trial.state.are_over())
        })?;
        if let Some((name, reason)) = self.state.gave_up() {
            let why = format!("After strike {number} {name} was given up: {reason}.");
            self.worsen(Judgement::violated(Class::Bricked, why));
            return Ok(false);
        }
        if back != Wait::Done {
            let why = format!("{limit} after strike {number} the target was not ready again");
            self.worsen(self.hung(&why));
            return Ok(false);
        }
        if !lives.is_empty() && !self.state.are_over() {
            self.tell_recovered(number, struck_at)?;
        }
        self.collecting.snapshots.after(number, &self.world.states);
        if self.state.are_over() {
            return Ok(false);
        }
        self.collecting.pictures.take_meanwhile(Moment::Ready { strike: number }, self.now_us());
        self.state.count_anew();
        self.judge(JudgeAt::AfterStrike, Some(number))?;
        Ok(true)
    }

    /// A target that dies of a call that failed does so a while after the strike, and has recovered once it
    /// is ready again.
    pub(super) fn note_late_recovery(&mut self) -> Result<(), CampaignError> {
        let Some(last) = &mut self.last_strike else { return Ok(()) };
        let is_new = |(name, before): (&String, &u32)| {
            self.state.processes.get(name).is_some_and(|it| it.life > *before)
        };
        if self.is_stopping || !self.state.are_ready() || !last.lives.iter().any(is_new) {
            return Ok(());
        }
        let strike = last.strike;
        match last.may_die_since.take() {
            Some(struck_at) => self.tell_recovered(strike, struck_at),
            None => Ok(()),
        }
    }

    /// The target is ready again.
    fn tell_recovered(&mut self, strike: u64, struck_at: Instant) -> Result<(), CampaignError> {
        let since = |at: Instant| at.saturating_duration_since(struck_at).as_micros();
        let last_start = self.state.processes.values().filter_map(|it| it.started).max();
        let micros = |at: u128| u64::try_from(at).unwrap_or(u64::MAX);
        let event = TrialEvent::Recovered {
            trial: self.number,
            strike,
            last_bad_us: micros(last_start.map_or(0, since)),
            first_good_us: micros(since(Instant::now())),
        };
        tell(self.stage.journalist, event)
    }
}
