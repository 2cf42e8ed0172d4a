//! One trial: the target is started, driven, struck, waited for, stopped and judged.

use super::activities::Promised;
use super::asking::Asker;
use super::collecting::Collecting;
use super::continuous::Watch;
use super::course::Try;
use super::ends;
use super::interception::Interception;
use super::judgements::{Conclusion, Judgements};
use super::judging::{self, Judge, Judged, Marks, Readings};
use super::log;
use super::meanwhile::Meanwhile;
use super::pictures;
use super::points::{Armed, comes_by_itself};
use super::position::JournalSeen;
use super::problem::CampaignError;
use super::stage::{Ended, Stage};
use super::state::State;
use super::strangers::answers_already;
use super::supervisor::Supervisor;
use super::tell;
use super::waiting::Wait;
use super::world::{Running, World};
use crate::asserter::invariants::{Written, written};
use killpoint_engine::identity;
use killpoint_engine::record::hold::Met;
use killpoint_model::Scenario;
use killpoint_model::invariant::{Invariant, JudgeAt};
use killpoint_model::plan::Moment as Due;
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

/// The invariants about a file that is judged on what strikes leave, and those about a database at the end.
fn judged_at_strikes(scenario: &Scenario) -> BTreeSet<usize> {
    let is_read = |it: &Invariant| match it {
        Invariant::File(_) => it.is_judged_at(JudgeAt::AtStrike),
        Invariant::Sqlite(_) => it.is_judged_at(JudgeAt::AtStrike) || it.is_judged_at(JudgeAt::End),
        _ => false,
    };
    let judged = scenario.invariants.iter().enumerate();
    let judged = judged.filter(|(_, it)| is_read(it));
    judged.map(|(index, _)| index).collect()
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
    let files = judged_at_strikes(scenario);
    let supervision = world.supervision(scenario);
    let is_display_silent = stage.is_not_covered(pictures::SILENT);
    let mut collecting = Collecting::start(scenario, &world, is_display_silent)?;
    let stranger = answers_already(scenario, &world, &stage.options.interrupt);
    let began_at = SystemTime::now();
    stage.injector.run_commands_in(world.surroundings());
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
        asker: None,
        stranger,
        serving: BTreeSet::new(),
        meanwhile: None,
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
        armed: Armed::of(once.planned).map(|armed| armed.again(once.positions)),
        held: None,
        is_stopping: false,
        has_workload_begun: false,
        is_going_down: false,
        is_lost: false,
        since_workload: Marks::default(),
        files,
        watch: Watch::default(),
        judged: BTreeSet::new(),
    };
    let lived = trial.live(once);
    // Before the supervisor stops everything: who stands still takes no signal. And no restart stays
    // inhibited for the next trial.
    let _ = trial.stage.injector.rollback();
    trial.roll_back()?;
    lived?;
    let times = std::mem::take(&mut trial.state.recovery_times);
    trial.stage.recovery_times.extend(times);
    trial.tell_collected(once)?;
    let ended = trial.end(once)?;
    if number == 0 {
        // Once it has ended it is not carried out again.
        log::keep_control(stage.folder, &stage.control, &stage.answering)?;
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
            unrecovered: ended.unrecovered,
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
    /// Of the control: who asks it meanwhile.
    pub(super) asker: Option<Asker>,
    /// Why what answers where the target is asked is not the target.
    pub(super) stranger: Option<String>,
    /// Who listens himself where he is asked.
    pub(super) serving: BTreeSet<String>,
    /// Who answered in its place after a strike.
    pub(super) meanwhile: Option<Meanwhile>,
    pub(super) begun: Instant,
    pub(super) workload_began: Instant,
    pub(super) fired: u64,
    pub(super) judgements: Judgements,
    /// What was read before the target was started.
    pub(super) before: Readings,
    /// What the files are before the target is started that strikes wait for.
    pub(super) at_first: BTreeMap<String, Option<Written>>,
    /// The invariants whose file has been there.
    pub(super) made: BTreeSet<usize>,
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
    /// Whether the target may be going down at this moment though it still counts as ready.
    pub(super) is_going_down: bool,
    /// Whether the target did not come back, which has been judged.
    pub(super) is_lost: bool,
    /// What the target had said when the workload began.
    pub(super) since_workload: Marks,
    /// The invariants whose file is judged on what strikes leave.
    pub(super) files: BTreeSet<usize>,
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
    /// How many unrelated deaths there had been.
    pub(super) unrelated: u64,
    /// When it was, where the target did not go down by it: it may do so later.
    pub(super) may_die_since: Option<Instant>,
}

impl Trial<'_, '_> {
    /// From the start to the stop.
    fn live(&mut self, once: &Try<'_>) -> Result<(), CampaignError> {
        let timeouts = self.stage.plan.scenario.timeouts;
        let ready = self.wait(timeouts.start.duration(), |trial| trial.state.are_ready())?;
        if let Some(why) = self.stranger.take() {
            self.worsen(Judgement::unknown(Reason::NeverSteady, why));
        } else if ready != Wait::Done && !self.state.are_over() {
            let why = format!("The target was not ready within {}.", timeouts.start);
            self.worsen(Judgement::unknown(Reason::NeverSteady, why));
        } else {
            self.learn_who_serves()?;
            self.start_workload()?;
            self.judge(JudgeAt::Before, None)?;
            for (index, strike) in once.planned.iter().flat_map(|it| &it.strikes).enumerate() {
                let again = once.positions.get(index);
                if !comes_by_itself(strike) && !self.strike(index as u64 + 1, strike, again)? {
                    break;
                }
            }
            self.finish_workload()?;
            self.learn_who_answers()?;
            self.hear_out()?;
            if self.number == 0 && self.state.are_ready() {
                self.judge(JudgeAt::AfterStrike, None)?;
            }
        }
        self.roll_back()?;
        let _ = self.stage.injector.rollback();
        self.see_it_back()?;
        self.hear_it_answer()?;
        self.look_for_strangers();
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
            self.note_made();
        }
        let judge = Judge {
            scenario: &self.stage.plan.scenario,
            world: &self.world,
            before: &self.before,
            made: &self.made,
            control: (self.number > 0).then_some(&self.stage.control),
            growth: &self.journal_seen.growth,
            meanwhile: self.meanwhile.as_ref(),
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
        let (fired, unrecovered) = (self.fired, self.is_lost);
        Ok(Ended { fired, judgement, also, unrecovered, positions: self.positions })
    }
}
