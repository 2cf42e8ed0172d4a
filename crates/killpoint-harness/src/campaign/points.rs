//! Strikes that come by themselves, whatever the trial waits for: at a call, and in a part of the
//! target's life.

use super::CampaignError;
use super::course::Try;
use super::interception::{Followed, Interception, crash_points};
use super::stage::Stage;
use super::state::Process;
use super::strike::Struck;
use super::trial::{Trial, carry_out};
use super::world::World;
use crate::interceptor::{News, Recorded};
use killpoint_engine::record::hold::Decision;
use killpoint_model::address::Address;
use killpoint_model::fault::Fault;
use killpoint_model::plan::{CrashPoints, Moment, PlannedStrike, PlannedTrial};
use killpoint_model::seed::Generator;
use killpoint_model::trial::Position;
use killpoint_model::trigger::Trigger;
use killpoint_model::verdict::{Judgement, Reason};
use killpoint_model::{Phase, Verdict};
use std::path::PathBuf;
use std::time::Duration;

/// The lifecycle event of a signal that the supervisor sent.
const SIGNALLED: &str = "process.signalled";
/// Longest wait for it.
const SIGNALLED_WAIT_MAX: Duration = Duration::from_secs(2);

/// A strike that comes by itself, whatever the trial waits for.
#[derive(Clone, Debug)]
pub(super) struct Armed {
    /// Which strike of the trial, from 1.
    number: u64,
    planned: PlannedStrike,
    /// Where it stood when it was recorded.
    again: Option<Position>,
    /// Whether the target has been in the part of its life in which it is struck.
    is_met: bool,
}

impl Armed {
    /// That of a trial, if it has one.
    pub(super) fn of(planned: Option<&PlannedTrial>) -> Option<Self> {
        let strikes = planned?.strikes.iter().zip(1..);
        let mut armed = strikes.filter(|(strike, _)| comes_by_itself(strike));
        armed.next().map(|(planned, number)| Armed {
            number,
            planned: planned.clone(),
            again: None,
            is_met: false,
        })
    }

    /// The same, to be struck where it stood before.
    pub(super) fn again(self, positions: &[Position]) -> Self {
        let again = positions.get(self.number as usize - 1).cloned();
        Armed { again, ..self }
    }

    /// The part of a recovery after which it strikes, of as long a one as is known: the plan's seed says it. Again it
    /// strikes as long after the start as it did, however much was acknowledged before the crash.
    fn part_of(&self, recovery: Duration) -> Duration {
        if let Some(again) = &self.again {
            return Duration::from_micros(again.since_last_us);
        }
        let mut generator = Generator::named(self.planned.pick, "moment of the recovery");
        recovery.mul_f64(generator.below(1_000) as f64 / 1e3)
    }

    fn point(&self) -> Option<&Address> {
        match &self.planned.when {
            Moment::When(Trigger::Point(address)) => Some(address),
            _ => None,
        }
    }

    fn phase(&self) -> Option<Phase> {
        match &self.planned.when {
            Moment::When(Trigger::Phase(phase)) => Some(*phase),
            _ => None,
        }
    }
}

/// Whether a strike is not waited for one after the other, but comes when its moment does.
pub(super) fn comes_by_itself(strike: &PlannedStrike) -> bool {
    match &strike.when {
        Moment::When(Trigger::Point(_)) => true,
        Moment::When(Trigger::Phase(phase)) => *phase != Phase::Work,
        _ => false,
    }
}

impl Stage<'_> {
    /// Records the control twice, to learn which calls and names are the same every time.
    pub(super) fn record(&mut self) -> Result<CrashPoints, CampaignError> {
        let first = self.record_once(1)?;
        self.names = Some(first.names.clone());
        let second = self.record_once(2)?;
        let mut remarks = said_of(&second);
        let (mut points, varying) = crash_points(&first, second);
        if varying > 0 {
            remarks.push(
                "some calls were made in one of two recordings only: they are no crash points"
                    .to_owned(),
            );
        }
        points.remarks = remarks;
        Ok(points)
    }

    fn record_once(&mut self, attempt: u32) -> Result<Recorded, CampaignError> {
        let ended = carry_out(self, &Try::of(None, attempt))?;
        match ended.judgement.verdict {
            Verdict::Held => Ok(self.recorded.take().unwrap_or_default()),
            _ => Err(CampaignError::Control(ended.judgement.detail)),
        }
    }

    /// The interceptor of a trial that needs one, and the file that tells it what to do.
    pub(super) fn interception(
        &self,
        planned: Option<&PlannedTrial>,
        world: &World,
        arguments: Vec<PathBuf>,
    ) -> Result<Option<(Interception, PathBuf)>, CampaignError> {
        let armed = Armed::of(planned);
        let point = armed.as_ref().and_then(Armed::point);
        let is_recorded = planned.is_none() && self.plan.awaits_recording();
        if point.is_none() && !is_recorded {
            return Ok(None);
        }
        let names = match self.plan.points.is_empty() {
            true => self.names.as_ref(),
            false => Some(&self.plan.points.names),
        };
        let followed = Followed { scenario: &self.plan.scenario, names, point };
        let program = &self.options.supervisor;
        Interception::prepare(&followed, world, program, arguments).map(Some)
    }
}

fn said_of(recorded: &Recorded) -> Vec<String> {
    let mut remarks: Vec<String> =
        recorded.gaps.iter().map(|(file, reason)| format!("{file}: {reason}")).collect();
    if recorded.left_out > 0 {
        remarks.push(format!(
            "{} calls behind the first {} are no crash points",
            recorded.left_out,
            recorded.addresses.len()
        ));
    }
    remarks
}

impl Trial<'_, '_> {
    /// Strikes if the moment of a strike that comes by itself is there. True if it was.
    pub(super) fn serve(&mut self) -> Result<bool, CampaignError> {
        if let Some(mut armed) = self.armed.take_if(|armed| armed.phase().is_some()) {
            if self.has_come(&mut armed) {
                self.strike_now(armed.number, &armed.planned)?;
                return Ok(true);
            }
            self.armed = Some(armed);
        }
        let Some(interception) = &mut self.interception else { return Ok(false) };
        match interception.look() {
            Some(News::Held(met)) => {
                let Some(armed) = self.armed.take() else { return Ok(false) };
                self.held = Some(met);
                self.strike_now(armed.number, &armed.planned)?;
                Ok(true)
            }
            Some(News::Expired) => {
                let why = "The call was held for too long and went on.".to_owned();
                self.worsen(Judgement::unknown(Reason::Diverged, why));
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Whether the moment of a strike is there: at once in a part of the target's life, but that a recovery is struck
    /// at different moments, so far as it is known how long one takes.
    fn has_come(&self, armed: &mut Armed) -> bool {
        let Some(phase) = armed.phase() else { return false };
        if phase != Phase::Recovery {
            return self.is_in(phase);
        }
        if !self.is_in(phase) {
            // It went past it: nearer it does not come.
            return armed.is_met && self.state.are_ready();
        }
        armed.is_met = true;
        let mut recovering = self.state.processes.iter().filter(|(_, it)| it.is_starting_again());
        recovering.any(|(name, it)| {
            let known = self.stage.recovery_times.get(name).copied().unwrap_or_default();
            it.started.is_none_or(|started| started.elapsed() >= armed.part_of(known))
        })
    }

    /// Whether the target is in a part of its life at this moment.
    fn is_in(&self, phase: Phase) -> bool {
        let mut processes = self.state.processes.values();
        match phase {
            Phase::FirstStart | Phase::Start => {
                processes.any(|it| it.is_starting() && it.life <= 1)
            }
            Phase::Recovery => self.fired > 0 && processes.any(Process::is_starting_again),
            Phase::Shutdown => self.is_stopping,
            Phase::Work | Phase::Idle => false,
        }
    }

    /// Lets the call at which somebody was struck go on.
    pub(super) fn close_call(
        &mut self,
        planned: &PlannedStrike,
        struck: &Struck,
    ) -> Result<(), CampaignError> {
        if matches!(planned.fault, Fault::Fail(_) | Fault::ShortWrite(_)) {
            return Ok(()); // it went on
        }
        if !struck.requests.is_empty() {
            // The signal comes when the supervisor has got to it.
            let before = self.state.count(SIGNALLED, None);
            self.wait(SIGNALLED_WAIT_MAX, |trial| trial.state.count(SIGNALLED, None) > before)?;
        }
        if let Some(interception) = &mut self.interception {
            interception.decide(Decision::Again);
        }
        Ok(())
    }

    /// A strike whose moment never came did not happen.
    pub(super) fn finish_points(&mut self) {
        if let Some(armed) = self.armed.take() {
            let Armed { number, planned, .. } = &armed;
            let never = match (armed.point(), armed.phase()) {
                (Some(address), _) => format!("the call {address} was not made"),
                (_, Some(phase)) => format!("the target was not met in phase {phase}"),
                _ => "its moment did not come".to_owned(),
            };
            let why = format!("Strike {number} ({}) never came: {never}.", planned.fault);
            self.worsen(Judgement::unknown(Reason::NotFired, why));
        }
        self.stage.recorded = self.interception.as_ref().and_then(Interception::recorded);
    }
}
