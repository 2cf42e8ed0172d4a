//! A strike within a trial: its moment is waited for, it is carried out, and whoever was asked to end is
//! waited for.

use super::blow;
use super::judging::{self, Marks};
use super::probing::Prober;
use super::problem::CampaignError;
use super::strike::{self, AtCall, Living, Struck};
use super::trial::Trial;
use super::waiting::Wait;
use killpoint_engine::record::hold::Met;
use killpoint_model::fault::Fault;
use killpoint_model::invariant::{Invariant, JudgeAt};
use killpoint_model::plan::{Moment as Due, PlannedStrike};
use killpoint_model::screenshot::Moment;
use killpoint_model::supervision::Probe;
use killpoint_model::trial::Position;
use killpoint_model::trigger::Trigger;
use killpoint_model::verdict::{Judgement, Reason};
use std::time::{Duration, Instant};

impl Trial<'_, '_> {
    /// Waits until the moment of a strike, strikes, and waits for the target to come back. Whether the
    /// trial goes on. `again` is where it stood when it was recorded: it leads where the plan only has a
    /// time.
    pub(super) fn strike(
        &mut self,
        number: u64,
        planned: &PlannedStrike,
        again: Option<&Position>,
    ) -> Result<bool, CampaignError> {
        let waited = match (&planned.when, again) {
            (Due::After(_) | Due::At(_), Some(position)) => self.reach(position, planned)?,
            (Due::After(span), None) => self.pass(Instant::now() + span.duration())?,
            (Due::At(span), None) => self.pass(self.workload_began + span.duration())?,
            (Due::When(Trigger::Probe(trigger)), _) => {
                let prober = Prober::start(trigger, &self.world);
                let limit = self.trigger_limit();
                self.wait(limit, move |_| prober.has_changed())?
            }
            (Due::When(trigger), _) => {
                let (trigger, limit) = (trigger.clone(), self.trigger_limit());
                self.wait(limit, move |trial| trial.has_happened(&trigger))?
            }
        };
        if waited != Wait::Done {
            let why = format!(
                "Strike {number} ({}) never came: {}.",
                planned.fault,
                match waited {
                    Wait::Over => "the target had ended",
                    _ if self.is_cut_short() => "the time of the trial (`timeouts.trial`) was over",
                    _ if again.is_some() => "its position was not reached again",
                    _ => "its trigger did not happen",
                }
            );
            self.worsen(Judgement::unknown(Reason::NotFired, why));
            return Ok(false);
        }
        self.strike_now(number, planned)
    }

    /// Strikes and waits for the target to come back. Whether the trial goes on.
    pub(super) fn strike_now(
        &mut self,
        number: u64,
        planned: &PlannedStrike,
    ) -> Result<bool, CampaignError> {
        self.strike_unwatched();
        self.look_at_workload();
        let met = self.held.take();
        let address = met.as_ref().map(|met| met.address.clone());
        let position = Position { address, ..self.position(planned) };
        self.positions.push(position.clone());
        if let Fault::Activities(activities) = &planned.fault {
            self.marks = Marks::now(&self.stage.plan.scenario, &self.world);
            return self.perform(number, activities, position);
        }
        // A replay waits for the position and then does all this, too: the delay is the same.
        self.collecting.snapshots.before(number, &self.world.states);
        self.collecting.pictures.take(Moment::Before { strike: number }, self.now_us());
        self.note_made();
        self.note_strike(number);
        let struck_at = Instant::now();
        let mut struck = self.carry_out(number, planned, position, met.as_ref())?;
        if met.is_some() {
            self.close_call(planned, &struck)?;
        }
        if !struck.fired {
            self.judge_vain_strike(number, planned, &struck);
            return Ok(true);
        }
        self.fired += 1;
        self.collecting.pictures.take_meanwhile(Moment::Struck { strike: number }, self.now_us());
        self.await_deaths(&planned.fault, &mut struck)?;
        // Who was struck must not show that he is back.
        self.marks = self.marks_after(&struck);
        if struck.is_held || !struck.lasts.is_zero() {
            self.judge_what_is_left(number, &struck)?;
        }
        if self.is_stopping {
            // Nobody starts it again.
            return Ok(false);
        }
        self.recover(number, struck_at, &struck)
    }

    /// Does it.
    fn carry_out(
        &mut self,
        number: u64,
        planned: &PlannedStrike,
        position: Position,
        met: Option<&Met>,
    ) -> Result<Struck, CampaignError> {
        let window = blow::window(&planned.fault, self.grace());
        let scenario = &self.stage.plan.scenario;
        let living = Living { state: &self.state, target: &scenario.target };
        let dumps = self.collecting.dumps_before_kill.then_some(self.collecting.dumps.as_path());
        let interception = self.interception.as_mut();
        let call = interception.zip(met).map(|(interception, met)| AtCall { interception, met });
        let struck = strike::carry_out(
            &strike::Order {
                planned,
                strike: number,
                trial: self.number,
                hold: scenario.invariants.iter().any(reads_what_is_left),
                dumps,
                window,
                fill: &|text| self.world.fill(text),
            },
            position,
            &living,
            call,
            self.stage.journalist,
            self.stage.injector,
        )?;
        for (pid, blow) in &struck.blows {
            self.state.struck.insert(*pid, blow.clone());
        }
        for request in &struck.requests {
            self.supervisor.ask(request);
        }
        Ok(struck)
    }

    fn judge_vain_strike(&mut self, number: u64, planned: &PlannedStrike, struck: &Struck) {
        let why = match struck.problem.as_str() {
            "" => {
                format!("Strike {number} ({}) met nobody whom it did anything to.", planned.fault)
            }
            problem => format!("Strike {number} ({}) did nothing: {problem}.", planned.fault),
        };
        self.worsen(Judgement::unknown(Reason::NotFired, why));
        if struck.is_held {
            let _ = self.stage.injector.rollback();
        }
    }

    /// How long whoever is asked to end is waited for.
    fn grace(&self) -> Duration {
        let graces = self.state.processes.values().map(|process| process.grace);
        let recovery = self.stage.plan.scenario.timeouts.recovery.duration();
        graces.max().unwrap_or_default().min(recovery)
    }

    /// Waits a while for the end of those who took a signal and lived on, and for that of those who are to be
    /// read, which the supervisor ends. Who has not ended by then goes on as before.
    fn await_deaths(&mut self, fault: &Fault, struck: &mut Struck) -> Result<(), CampaignError> {
        let limit = match (struck.asked.is_empty(), struck.requests.is_empty()) {
            (false, _) => blow::window(fault, self.grace()),
            (true, false) if struck.is_held => {
                self.stage.plan.scenario.timeouts.recovery.duration()
            }
            _ => return Ok(()),
        };
        let awaited = [struck.asked.clone(), struck.ended.clone()].concat();
        self.is_going_down = true;
        let waited =
            self.wait(limit, |trial| awaited.iter().all(|name| trial.has_fallen(name, struck)));
        self.is_going_down = false;
        waited?;
        let (ended, asked) = std::mem::take(&mut struck.asked)
            .into_iter()
            .partition(|name| self.has_fallen(name, struck));
        struck.asked = asked;
        struck.ended.extend::<Vec<String>>(ended);
        Ok(())
    }

    /// Whether the life of a supervised process is over in which it was at a strike.
    pub(super) fn has_fallen(&self, name: &str, struck: &Struck) -> bool {
        let now = self.state.processes.get(name);
        now.zip(struck.lives.get(name))
            .is_none_or(|(now, before)| now.pid.is_none() || now.life > *before)
    }

    /// What the target had said and written when those who were struck had ended. Of what these had to say
    /// some may be read later.
    fn marks_after(&self, struck: &Struck) -> Marks {
        let mut marks = Marks::now(&self.stage.plan.scenario, &self.world);
        for (path, length) in &mut marks.output {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let mut parts = name.split('.');
            let (process, life) = (parts.next().unwrap_or_default(), parts.next());
            let life = life.and_then(|life| life.parse::<u32>().ok());
            let last = struck.lives.get(process).copied();
            if struck.ended.iter().any(|ended| ended == process) && life <= last {
                *length = u64::MAX;
            }
        }
        marks
    }

    /// Notes which files that invariants are about have been there.
    pub(super) fn note_made(&mut self) {
        judging::note_made(&mut self.made, &self.stage.plan.scenario, &self.world);
    }
}

/// Whether an invariant is about what there is once those who were struck have ended, and before somebody is
/// started again.
fn reads_what_is_left(invariant: &Invariant) -> bool {
    let is_shown_by_a_file = match invariant {
        Invariant::RecoveryShown(it) => matches!(it.by, Probe::File(_)),
        _ => false,
    };
    is_shown_by_a_file || invariant.is_judged_at(JudgeAt::AtStrike)
}
