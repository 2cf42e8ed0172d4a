//! After a strike: what it left is judged, and the target is waited for until it is back.

use super::CampaignError;
use super::asking::Heard;
use super::blow::FOLLOWS;
use super::state::Process;
use super::strike::Struck;
use super::tell;
use super::trial::Trial;
use super::waiting::Wait;
use killpoint_model::event::Event;
use killpoint_model::invariant::JudgeAt;
use killpoint_model::report::NotCovered;
use killpoint_model::screenshot::Moment;
use killpoint_model::span::Span;
use killpoint_model::supervision::RestartPolicy;
use killpoint_model::trial::TrialEvent;
use killpoint_model::verdict::{Class, Judgement};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Whether a target has come back.
enum Back {
    /// It is ready, or down for good.
    Here,
    /// It answers again, and was silent until this moment at least.
    Answers(Instant),
    /// It was not ready in time.
    Late,
    /// It counts as ready, and does not answer there.
    Silent(String),
}

impl From<Heard> for Back {
    fn from(heard: Heard) -> Self {
        match heard {
            Heard::Answers => Back::Here,
            Heard::AnswersAgain(silent) => Back::Answers(silent),
            Heard::Silent(at) if at.is_empty() => Back::Late,
            Heard::Silent(at) => Back::Silent(at),
        }
    }
}

impl Trial<'_, '_> {
    /// Judges what a strike left while everything is down, and lets the supervisor go on.
    pub(super) fn judge_what_is_left(
        &mut self,
        number: u64,
        struck: &Struck,
    ) -> Result<(), CampaignError> {
        // Who had ended before he could be struck is told of soon, if at all.
        let limit = match struck.ended.len() == struck.meant.len() {
            true => self.stage.plan.scenario.timeouts.recovery.duration(),
            false => FOLLOWS,
        };
        let may_be_down = struck.is_for_all && struck.asked.is_empty() && !struck.ended.is_empty();
        let have_ended =
            |trial: &Self| struck.meant.iter().all(|name| trial.has_fallen(name, struck));
        if may_be_down
            && self.wait(limit, have_ended)? != Wait::Late
            && self.state.processes.values().all(|it| it.pid.is_none())
        {
            self.collecting.snapshots.after(number, &self.world.states);
            self.judge(JudgeAt::AtStrike, Some(number))?;
        }
        if struck.is_held {
            let _ = self.stage.injector.rollback();
        }
        Ok(())
    }

    /// Waits until the target is ready again. Whether the trial goes on.
    pub(super) fn recover(
        &mut self,
        number: u64,
        struck_at: Instant,
        struck: &Struck,
    ) -> Result<bool, CampaignError> {
        let limit = self.stage.plan.scenario.timeouts.recovery;
        let back = self.wait_until_back(struck)?;
        if self.is_lost {
            return Ok(false); // by a strike that came meanwhile
        }
        if let Some(why) = self.state.gave_up() {
            let why = format!("After strike {number} {why}");
            self.worsen(Judgement::violated(Class::Bricked, why));
            self.is_lost = true;
            return Ok(false);
        }
        if self.judge_refusal() {
            self.is_lost = true;
            return Ok(false);
        }
        let late = match &back {
            Back::Late => Some("was not ready again".to_owned()),
            Back::Silent(at) => Some(format!("did not answer again at {at}")),
            Back::Here | Back::Answers(_) => None,
        };
        if let Some(late) = late {
            let waited = match self.state.first_wait() {
                Duration::ZERO => String::new(),
                wait => {
                    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                    format!(" and a back-off of {}", Span::from_ms(ms))
                }
            };
            self.judge_late(&format!("{limit}{waited} after strike {number} the target {late}"));
            return Ok(false);
        }
        let is_over = self.state.are_over();
        match (self.has_new_life(&struck.lives) && !is_over, back) {
            (true, _) => self.tell_recovered(number, struck_at)?,
            (false, Back::Answers(silent)) => self.tell_answered(number, struck_at, silent)?,
            // It may die of it later.
            (false, _) => {
                if let Some(last) = &mut self.last_strike {
                    last.may_die_since = Some(struck_at);
                }
            }
        }
        self.collecting.snapshots.after(number, &self.world.states);
        self.tell_who_stays_down()?;
        if is_over {
            return Ok(false);
        }
        self.collecting.pictures.take_meanwhile(Moment::Ready { strike: number }, self.now_us());
        self.state.count_anew();
        self.judge(JudgeAt::AfterStrike, Some(number))?;
        Ok(true)
    }

    /// Until nothing lasts, and the target is ready again and answers as in the control, or is down for good. Where it is asked something then,
    /// it has a while to follow who was struck below it, or to end because of a call that failed. What the supervisor waits before the first
    /// restart is no time of the target's.
    fn wait_until_back(&mut self, struck: &Struck) -> Result<Back, CampaignError> {
        let scenario = &self.stage.plan.scenario;
        let limit = scenario.timeouts.recovery.duration() + struck.lasts;
        let is_asked = scenario.invariants.iter().any(|it| it.is_judged_at(JudgeAt::AfterStrike));
        // A supervised process that was ended must be seen to end before it can be seen ready again.
        let is_back = |trial: &Self| {
            let is_new = |name: &String| trial.is_new(name, struck);
            let is_up = struck.ended.iter().all(is_new)
                && trial.stage.injector.lasting() == 0
                && (trial.state.are_ready() || trial.state.are_over());
            is_up || trial.is_lost
        };
        let is_certain = !struck.ended.is_empty() || !struck.asked.is_empty();
        self.is_going_down = true;
        let mut back = self.wait(limit, is_back)?;
        if back == Wait::Done && is_asked && !is_certain && struck.lasts.is_zero() {
            let has_fallen = |trial: &Self| {
                trial
                    .state
                    .processes
                    .keys()
                    .any(|name| trial.has_fallen(name, struck) && !trial.is_over(name))
            };
            if self.wait(FOLLOWS, has_fallen)? == Wait::Done {
                back = self.wait(limit, is_back)?;
            }
        }
        if back == Wait::Late {
            back = self.wait(self.state.first_wait(), is_back)?;
        }
        let back = match back {
            Wait::Late => Back::Late,
            _ if self.is_lost || self.state.are_over() => Back::Here,
            _ => self.ask_again(limit, is_back)?.into(),
        };
        self.is_going_down = false;
        Ok(back)
    }

    /// Whom his policy leaves down after a strike: what comes then is not judged.
    fn tell_who_stays_down(&mut self) -> Result<(), CampaignError> {
        let down = self.state.processes.iter().filter(|(_, it)| it.is_over && it.was_struck());
        let reason = |(name, it): (&String, &Process)| {
            let policy = match it.policy {
                RestartPolicy::Never => "`restart: never`",
                RestartPolicy::OnFailure => "`restart: on-failure`, and the end counts as clean",
                RestartPolicy::Always => return None,
            };
            Some(format!(
                "{name} is not started again after it was struck ({policy}): only what a strike left was judged, \
                 not whether the target recovers from it"
            ))
        };
        let reasons: Vec<String> = down.filter_map(reason).collect();
        for reason in reasons {
            if !self.stage.is_not_covered(&reason) {
                let gap = NotCovered { file: "*".to_owned(), reason, needed: false };
                self.stage.journalist.tell(Event::NotCovered(gap))?;
            }
        }
        Ok(())
    }

    fn is_over(&self, name: &str) -> bool {
        self.state.processes.get(name).is_none_or(|process| process.is_over)
    }

    /// Whether a supervised process has been started again since a strike, or stays down.
    fn is_new(&self, name: &str, struck: &Struck) -> bool {
        let process = self.state.processes.get(name);
        process
            .zip(struck.lives.get(name))
            .is_none_or(|(process, before)| process.life > *before || process.is_over)
    }

    /// Whether any of them has been started again since they had lived so often.
    fn has_new_life(&self, lives: &BTreeMap<String, u32>) -> bool {
        let mut lives = lives.iter();
        lives.any(|(name, before)| {
            self.state.processes.get(name).is_some_and(|it| it.life > *before)
        })
    }

    /// A target that goes down a while after the strike has recovered once it is ready again.
    pub(super) fn note_late_recovery(&mut self) -> Result<(), CampaignError> {
        let lives = self.last_strike.as_ref().map(|last| &last.lives);
        let has_new_life = lives.is_some_and(|lives| self.has_new_life(lives));
        if self.is_stopping || !self.state.are_ready() || !has_new_life {
            return Ok(());
        }
        let unrelated = self.state.unrelated;
        let Some(last) = &mut self.last_strike else { return Ok(()) };
        let strike = last.strike;
        match last.may_die_since.take() {
            Some(struck_at) if last.unrelated == unrelated => {
                self.tell_recovered(strike, struck_at)
            }
            _ => Ok(()),
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
