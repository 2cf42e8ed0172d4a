//! One trial: the target is started, driven, struck, waited for, stopped and judged.

use super::activities::Promised;
use super::collecting::Collecting;
use super::continuous::Watch;
use super::course::Try;
use super::ends;
use super::interception::Interception;
use super::judgements::{Conclusion, Judgements};
use super::judging::{self, Judge, Judged, Marks, Readings};
use super::log;
use super::pictures;
use super::points::{Armed, comes_by_itself};
use super::position::JournalSeen;
use super::probing::Prober;
use super::problem::CampaignError;
use super::stage::{Ended, Stage};
use super::state::State;
use super::strike::{self, AtCall, Living};
use super::supervisor::Supervisor;
use super::tell;
use super::waiting::Wait;
use super::world::{Running, World};
use crate::asserter::invariants::{Written, written};
use killpoint_engine::identity;
use killpoint_engine::record::hold::Met;
use killpoint_model::fault::Fault;
use killpoint_model::invariant::JudgeAt;
use killpoint_model::plan::{Moment as Due, PlannedStrike};
use killpoint_model::screenshot::Moment;
use killpoint_model::span::Span;
use killpoint_model::trial::{Position, TrialEvent};
use killpoint_model::trigger::Trigger;
use killpoint_model::verdict::{Class, Judgement, Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Instant, SystemTime};

/// The files that strikes of a trial wait for.
fn waited_for<'a>(once: &Try<'a>) -> impl Iterator<Item = &'a str> {
    let strikes = once.planned.iter().flat_map(|planned| &planned.strikes);
    strikes.filter_map(|strike| match &strike.when {
        Due::When(Trigger::File(path)) => Some(path.as_str()),
        _ => None,
    })
}

/// Carries out a trial once.
pub(super) fn carry_out(stage: &mut Stage<'_>, once: &Try<'_>) -> Result<Ended, CampaignError> {
    let begun = Instant::now();
    let number = once.number();
    let started = TrialEvent::Started {
        trial: number,
        attempt: once.attempt,
        rule: once.planned.map_or_else(String::new, |planned| planned.rule.clone()),
        rerun_of: once.rerun_of,
        expected: once.expected.cloned(),
    };
    tell(stage.journalist, started)?;
    let scenario = &stage.plan.scenario;
    let world = World::make(scenario, stage.options, stage.mounts, stage.folder, &once.folder())?;
    let before = judging::before(scenario, &world)?;
    let mut made = BTreeSet::new();
    judging::note_made(&mut made, scenario, &world);
    let at_first = waited_for(once).map(|path| (path.to_owned(), written(&world.place(path))));
    let at_first = at_first.collect();
    let supervision = world.supervision(scenario);
    let is_display_silent = stage.is_not_covered(pictures::SILENT);
    let mut collecting = Collecting::start(scenario, &world, is_display_silent)?;
    let began_at = SystemTime::now();
    let (interception, supervisor) = stage.start(once.planned, &world, &supervision)?;
    // Who follows every call traces the target already.
    if interception.is_none() {
        collecting.follow(scenario, stage.options, &world, &supervisor)?;
    } else {
        collecting.dumps_before_kill = false;
    }
    #[cfg(feature = "dumps")]
    stage.injector.dump_by(collecting.dumper());
    let mut trial = Trial {
        stage,
        world,
        supervisor,
        number,
        state: State::of(&supervision),
        workload: None,
        begun,
        workload_began: begun,
        fired: 0,
        judgements: Judgements::default(),
        before,
        at_first,
        made,
        marks: Marks::default(),
        journal_seen: JournalSeen::default(),
        positions: Vec::new(),
        collecting,
        began_at,
        last_strike: None,
        vain: BTreeMap::new(),
        promised: None,
        interception,
        armed: Armed::of(once.planned),
        held: None,
        is_stopping: false,
        has_workload_begun: false,
        watch: Watch::default(),
        judged: BTreeSet::new(),
    };
    let lived = trial.live(once);
    // Before the supervisor stops everything: who stands still takes no signal. And no restart stays
    // inhibited for the next trial.
    let _ = trial.stage.injector.rollback();
    trial.roll_back()?;
    lived?;
    trial.tell_collected(once)?;
    let ended = trial.end(once)?;
    if number == 0 {
        // Once it has ended it is not carried out again.
        log::keep_control(stage.folder, &stage.control)?;
    }
    let replay = match number {
        0 => String::new(),
        _ => format!("killpoint replay {}/{number} --times 20", stage.folder.id()),
    };
    tell(
        stage.journalist,
        TrialEvent::Ended {
            trial: number,
            attempt: once.attempt,
            fired: ended.fired,
            known: match ended.judgement.verdict {
                Verdict::Violated(class) => stage.is_known(once, class),
                _ => false,
            },
            judgement: ended.judgement.clone(),
            also: ended.also.clone(),
            replay,
            seconds: begun.elapsed().as_secs_f64(),
        },
    )?;
    Ok(ended)
}

/// A trial at work.
pub(super) struct Trial<'s, 'a> {
    pub(super) stage: &'s mut Stage<'a>,
    pub(super) world: World,
    pub(super) supervisor: Supervisor,
    pub(super) number: u64,
    pub(super) state: State,
    pub(super) workload: Option<Running>,
    pub(super) begun: Instant,
    pub(super) workload_began: Instant,
    pub(super) fired: u64,
    pub(super) judgements: Judgements,
    /// What was read before the target was started.
    pub(super) before: Readings,
    /// What the files are before the target is started that strikes wait for.
    pub(super) at_first: BTreeMap<String, Option<Written>>,
    /// The invariants whose file has been there.
    made: BTreeSet<usize>,
    /// Where the target's output and files stood at the last strike.
    pub(super) marks: Marks,
    /// The ack journal as it was read last.
    pub(super) journal_seen: JournalSeen,
    /// Where each strike so far stood.
    pub(super) positions: Vec<Position>,
    /// What undoes the scenario's own activities, until it is done.
    pub(super) promised: Option<Promised>,
    /// Who holds the call at which it strikes.
    pub(super) interception: Option<Interception>,
    /// The strike that comes by itself.
    pub(super) armed: Option<Armed>,
    /// The call that is held at this moment.
    pub(super) held: Option<Met>,
    /// Whether the target is being stopped for good.
    pub(super) is_stopping: bool,
    /// Whether the workload is, or was, at work.
    pub(super) has_workload_begun: bool,
    /// The watch over what is judged continuously.
    pub(super) watch: Watch,
    /// The invariants that were judged.
    pub(super) judged: BTreeSet<usize>,
    /// What is collected meanwhile.
    pub(super) collecting: Collecting,
    /// When the target was started, by the clock that files have.
    pub(super) began_at: SystemTime,
    /// The strike that was carried out last.
    pub(super) last_strike: Option<LastStrike>,
    /// Of the control: why that an invariant held showed nothing, at all moments so far.
    vain: BTreeMap<usize, (&'static str, Option<&'static str>)>,
}

/// How the target stood at the last strike.
#[derive(Debug)]
pub(super) struct LastStrike {
    /// Which.
    pub(super) strike: u64,
    /// The length of the ack journal.
    pub(super) journal_bytes: u64,
    /// How often each process had been started.
    pub(super) lives: BTreeMap<String, u32>,
    /// When a call was made to fail, or cut short, and the target went on: it may die of it later.
    pub(super) may_die_since: Option<Instant>,
}

impl Trial<'_, '_> {
    /// From the start to the stop.
    fn live(&mut self, once: &Try<'_>) -> Result<(), CampaignError> {
        let timeouts = self.stage.plan.scenario.timeouts;
        let ready = self.wait(timeouts.start.duration(), |trial| trial.state.are_ready())?;
        if ready != Wait::Done && !self.state.are_over() {
            let why = format!("The target was not ready within {}.", timeouts.start);
            self.worsen(Judgement::unknown(Reason::NeverSteady, why));
        } else {
            self.start_workload()?;
            self.judge(JudgeAt::Before, None)?;
            for (index, strike) in once.planned.iter().flat_map(|it| &it.strikes).enumerate() {
                let again = once.positions.get(index);
                if !comes_by_itself(strike) && !self.strike(index as u64 + 1, strike, again)? {
                    break;
                }
            }
            self.finish_workload()?;
            self.hear_out()?;
            if self.number == 0 && self.state.are_ready() {
                self.judge(JudgeAt::AfterStrike, None)?;
            }
        }
        self.roll_back()?;
        let _ = self.stage.injector.rollback();
        self.stop(timeouts.stop)
    }

    /// Stops everything, and judges how it ended.
    fn stop(&mut self, limit: Span) -> Result<(), CampaignError> {
        let is_down = self.wait_for_stop(limit.duration())?;
        if let Some(judgement) = ends::judge(&self.state, self.number == 0) {
            self.worsen(judgement);
        }
        if !is_down {
            let why = format!("The target was not down within {limit} of its stop");
            self.worsen(self.hung(&why));
        }
        self.finish_points();
        Ok(())
    }

    /// Waits until the moment of a strike, strikes, and waits for the target to come back. Whether the
    /// trial goes on. `again` is where it stood when it was recorded: it leads where the plan only has a
    /// time.
    fn strike(
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
        self.note_strike(number);
        self.marks = Marks::now(&self.stage.plan.scenario, &self.world);
        let living = Living { state: &self.state, target: &self.stage.plan.scenario.target };
        let invariants = &self.stage.plan.scenario.invariants;
        let hold = invariants.iter().any(|it| it.is_judged_at(JudgeAt::AtStrike));
        let dumps = self.collecting.dumps_before_kill.then_some(self.collecting.dumps.as_path());
        let struck_at = Instant::now();
        let interception = self.interception.as_mut();
        let call =
            interception.zip(met.as_ref()).map(|(interception, met)| AtCall { interception, met });
        let struck = strike::carry_out(
            &strike::Order { planned, strike: number, trial: self.number, hold, dumps },
            position,
            &living,
            call,
            self.stage.journalist,
            self.stage.injector,
        )?;
        for (pid, problem) in &struck.pids {
            self.state.struck.insert(*pid, (number, problem.clone()));
        }
        for request in &struck.requests {
            self.supervisor.ask(request);
        }
        if met.is_some() {
            self.close_call(planned, &struck)?;
        }
        if !struck.fired {
            let why = match struck.problem.as_str() {
                "" => format!(
                    "Strike {number} ({}) met nobody whom it did anything to.",
                    planned.fault
                ),
                problem => format!("Strike {number} ({}) did nothing: {problem}.", planned.fault),
            };
            self.worsen(Judgement::unknown(Reason::NotFired, why));
            if struck.is_held {
                let _ = self.stage.injector.rollback();
            }
            return Ok(true);
        }
        self.fired += 1;
        let may_die = matches!(planned.fault, Fault::Fail(_) | Fault::ShortWrite(_));
        if let Some(last) = self.last_strike.as_mut().filter(|_| may_die) {
            last.may_die_since = Some(struck_at);
        }
        self.collecting.pictures.take_meanwhile(Moment::Struck { strike: number }, self.now_us());
        if struck.is_held || !struck.lasts.is_zero() {
            self.judge_what_is_left(number, &struck)?;
        }
        if self.is_stopping {
            // Nobody starts it again.
            return Ok(false);
        }
        let limit = self.stage.plan.scenario.timeouts.recovery;
        self.recover(number, struck_at, &struck, limit)
    }

    /// This moment, in microseconds since the supervisor began.
    pub(super) fn now_us(&self) -> u64 {
        self.state.clock.micros(Instant::now())
    }

    /// The target did not get anywhere, unless nobody was there to help it.
    pub(super) fn hung(&self, why: &str) -> Judgement {
        match self.state.supervisor.and_then(|pid| identity::status(pid).ok()) {
            Some(supervisor) if supervisor.stopped => {
                let pid = supervisor.identity.pid;
                let why = format!(
                    "{why}, but the supervisor (process {pid}) stands still: another process than \
                     killpoint has stopped it."
                );
                Judgement::unknown(Reason::NotCovered, why)
            }
            _ => Judgement::violated(Class::Hung, format!("{why}.")),
        }
    }

    pub(super) fn worsen(&mut self, judgement: Judgement) {
        self.judgements.add(judgement);
    }

    /// Judges the invariants that are due at a moment.
    pub(super) fn judge(
        &mut self,
        moment: JudgeAt,
        strike: Option<u64>,
    ) -> Result<(), CampaignError> {
        self.journal_seen.measure(&self.world.journal);
        if matches!(moment, JudgeAt::Before | JudgeAt::AfterStrike) {
            judging::note_made(&mut self.made, &self.stage.plan.scenario, &self.world);
        }
        let judge = Judge {
            scenario: &self.stage.plan.scenario,
            world: &self.world,
            before: &self.before,
            made: &self.made,
            control: (self.number > 0).then_some(&self.stage.control),
            growth: &self.journal_seen.growth,
        };
        let Judged { mut judgements, vain, readings } = judge.at(moment, &self.state, &self.marks);
        let drafts = self.drafts_since(&judge, &readings);
        if self.number == 0 {
            judgements.extend(self.vain(vain, moment));
        }
        for (index, judgement) in judgements {
            let event = TrialEvent::Judged {
                trial: self.number,
                invariant: self.stage.plan.scenario.invariants[index].kind().to_owned(),
                strike,
                judgement: judgement.clone(),
            };
            tell(self.stage.journalist, event)?;
            self.judged.insert(index);
            self.judgements.add_of(index, judgement);
        }
        if let Some(drafts) = drafts {
            tell(self.stage.journalist, drafts)?;
        }
        if self.number == 0 {
            // What is read at its end counts where it is read more often.
            self.stage.control.extend(readings);
        }
        Ok(())
    }

    /// What held in the control, at each moment at which it was judged, with nothing to lose. A trial may end
    /// before anything was promised; the control may not.
    fn vain(
        &mut self,
        judged: Vec<(usize, &'static str, Option<&'static str>)>,
        moment: JudgeAt,
    ) -> Vec<(usize, Judgement)> {
        for (index, kind, why) in judged {
            let so_far = self.vain.entry(index).or_insert((kind, why));
            so_far.1 = so_far.1.and(why);
        }
        if moment != JudgeAt::End {
            return Vec::new();
        }
        let vain =
            self.vain.iter().filter_map(|(index, (kind, why))| Some((*index, *kind, (*why)?)));
        let unknown = |(index, kind, why)| {
            let detail = format!("{kind} holds vainly: {why}.");
            (index, Judgement::unknown(Reason::NoOracle, detail))
        };
        vain.map(unknown).collect()
    }

    /// Judges what is left.
    fn end(mut self, once: &Try<'_>) -> Result<Ended, CampaignError> {
        self.tell_heartbeats()?;
        self.judge(JudgeAt::End, None)?;
        self.miss_what_was_not_judged();
        self.tell_changes()?;
        self.tell_pictures()?;
        // What held needs its copies no more; what did not is kept for whoever looks into it.
        let Conclusion { judgement, also } =
            self.judgements.conclude(|class| self.stage.is_known(once, class));
        if judgement.verdict == Verdict::Held {
            self.collecting.snapshots.remove();
            self.collecting.pictures.remove();
            for state in &self.world.states {
                let _ = fs::remove_dir_all(state);
            }
        }
        Ok(Ended { fired: self.fired, judgement, also, positions: self.positions })
    }
}
