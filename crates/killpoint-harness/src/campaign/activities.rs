//! What a scenario does by itself: commands and requests one after the other, some side by side, and
//! those that undo them. What undoes is in the undo log before the first is begun; it is carried out at
//! the end of the trial, when the run is stopped, and by the watchdog where killpoint dies.

use super::continuous::Watcher;
use super::problem::CampaignError;
use super::tell;
use super::trial::Trial;
use super::waiting::Wait;
use super::world::World;
use crate::asserter::invariants::{Ended, How, ask, in_words, run_unless, shown};
use killpoint_engine::rollback::Rollback;
use killpoint_engine::undo::{self, Made};
use killpoint_model::activity::{Activities, Activity, ActivityKind, filled};
use killpoint_model::invariant::{JudgeAt, Tolerance};
use killpoint_model::span::Span;
use killpoint_model::trial::{ACTIVITIES, ActivityRole, Position, TrialEvent};
use killpoint_model::verdict::{Judgement, Reason, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The variable that names one activity while it is carried out.
const MARK: &str = "KILLPOINT_ACTIVITY";
/// How many this process has carried out.
static CARRIED_OUT: AtomicU64 = AtomicU64::new(0);

/// How much longer than its time-out an activity is waited for: its end has to be told.
const SLACK: Duration = Duration::from_secs(5);

/// How often it is looked whether an activity has ended when the target has.
const OVER_INTERVAL: Duration = Duration::from_millis(5);

/// What undoes the activities of a strike, until that is done.
#[derive(Debug)]
pub(super) struct Promised {
    /// As it stands in the undo log; none where there is no command among it.
    fault: Option<undo::Fault>,
    rollbacks: Vec<Activity>,
    strike: u64,
}

/// An activity at work, in a thread of its own.
struct Running {
    activity: Activity,
    since: Instant,
    ended: Receiver<Ended>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// What came of it.
    told: Option<Ended>,
}

impl Running {
    fn start(activity: &Activity, world: &World) -> Self {
        let (sender, ended) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (of_thread, world) = (Arc::clone(&stop), world.clone());
        let thread = {
            let activity = activity.clone();
            thread::spawn(move || {
                let is_stopped = || of_thread.load(Ordering::Relaxed);
                let _ = sender.send(carry_out(&activity, &world, &is_stopped));
            })
        };
        Running {
            activity: activity.clone(),
            since: Instant::now(),
            ended,
            stop,
            thread: Some(thread),
            told: None,
        }
    }

    /// Whether it has ended; never waits.
    fn has_ended(&mut self) -> bool {
        if self.told.is_none() {
            self.told = self.ended.try_recv().ok();
        }
        self.told.is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A command is killed. A request ends by its time-out, which nobody waits for.
        self.stop.store(true, Ordering::Relaxed);
        let is_request = self.activity.request.is_some();
        if let Some(thread) = self.thread.take().filter(|_| !is_request || self.told.is_some()) {
            let _ = thread.join();
        }
    }
}

/// Carries out one activity in this thread.
fn carry_out(activity: &Activity, world: &World, is_stopped: &dyn Fn() -> bool) -> Ended {
    let failed = |why: String| Ended {
        how: How::NotStarted(why),
        output: String::new(),
        error: String::new(),
    };
    let lookup = |name: &str| std::env::var(name).ok();
    let limit = activity.timeout.duration();
    if let Some(request) = &activity.request {
        return match request.filled(&lookup) {
            Ok(request) => ask(&request, limit),
            Err(missing) => failed(missing.to_string()),
        };
    }
    let words = activity.run.iter().map(|word| filled(&world.fill(word), &lookup));
    let words: Vec<String> = match words.collect() {
        Ok(words) => words,
        Err(missing) => return failed(missing.to_string()),
    };
    let Some((program, arguments)) = words.split_first() else {
        return failed("the command is empty".to_owned());
    };
    let mut command = world.own_paths.command(program);
    command.args(arguments).current_dir(&world.directory).envs(world.variables());
    let mark = format!("{}-{}", std::process::id(), CARRIED_OUT.fetch_add(1, Ordering::Relaxed));
    command.env(MARK, &mark);
    let variable = format!("{MARK}={mark}").into_bytes();
    // Known before it begins, so that whoever undoes it after a death of this process ends it first.
    if let Err(error) = undo::append(&world.run, &Made::Activity { variable: variable.clone() }) {
        return failed(format!("cannot write the undo log in {}: {error}", world.run.display()));
    }
    let ended = run_unless(command, limit, is_stopped);
    // Unwritten it is looked for once more, and not found.
    let _ = undo::append(&world.run, &Made::ActivityEnded { variable });
    ended
}

impl Trial<'_, '_> {
    /// Carries out the activities of a strike and judges what is asked after it. Whether the trial goes on.
    pub(super) fn perform(
        &mut self,
        number: u64,
        activities: &Activities,
        position: Position,
    ) -> Result<bool, CampaignError> {
        let event = TrialEvent::StrikePlanned {
            trial: self.number,
            strike: number,
            fault: ACTIVITIES.to_owned(),
            position,
            pids: Vec::new(),
            processes: Vec::new(),
        };
        tell(self.stage.journalist, event)?;
        self.promise(number, activities)?;
        self.stage.journalist.sync()?;
        let mut watcher = Watcher::start(&self.stage.plan.scenario, &self.world, &self.watch.asked);
        let fired = self.perform_all(number, &activities.method, &mut watcher)?;
        if self.stage.plan.scenario.is_of_anothers_target() {
            self.finish_round(&mut watcher)?;
        }
        let halted = watcher.deviation.take();
        drop(watcher);
        let has_fired = fired > 0;
        let reason = (!has_fired).then_some(Reason::NotFired);
        let (trial, strike) = (self.number, number);
        let (strikes, detail) = (Vec::new(), format!("{fired} actions did what they had to"));
        tell(self.stage.journalist, TrialEvent::Struck { trial, strike, strikes, reason, detail })?;
        self.fired += u64::from(has_fired);
        if !has_fired && halted.is_none() {
            let why = "No action of the method did what it had to.";
            self.worsen(Judgement::unknown(Reason::NotFired, why));
        }
        if let Some((invariant, judgement)) = halted {
            self.roll_back()?;
            let (trial, invariant) = (self.number, invariant.to_owned());
            let event = TrialEvent::Judged {
                trial,
                invariant,
                strike: Some(number),
                judgement: judgement.clone(),
            };
            tell(self.stage.journalist, event)?;
            self.worsen(judgement);
            return Ok(false);
        }
        let limit = self.stage.plan.scenario.timeouts.recovery;
        let back =
            self.wait(limit.duration(), |trial| trial.state.are_ready() || trial.state.are_over())?;
        if back == Wait::Late {
            let why = format!("{limit} after the activities the target was not ready again");
            self.judge_late(&why);
        }
        // Whoever ended so far may have been ended by them.
        self.state.count_falls_anew();
        self.judge(JudgeAt::AfterStrike, Some(number))?;
        Ok(back == Wait::Done)
    }

    /// One after the other, as long as what is asked meanwhile holds; how many actions did what they had to.
    fn perform_all(
        &mut self,
        number: u64,
        method: &[Activity],
        watcher: &mut Watcher,
    ) -> Result<u64, CampaignError> {
        let mut in_background = Vec::new();
        let mut fired = 0;
        for activity in method {
            self.pause(activity.pause_before, watcher)?;
            if watcher.has_found() {
                return Ok(fired);
            }
            let mut running = Running::start(activity, &self.world);
            if activity.background {
                in_background.push(running);
            } else {
                self.await_end(&mut running, watcher)?;
                if watcher.deviation.is_some() && !running.has_ended() {
                    return Ok(fired);
                }
                fired += u64::from(self.take_end(number, &mut running)?);
            }
            self.pause(activity.pause_after, watcher)?;
        }
        for running in &mut in_background {
            self.await_end(running, watcher)?;
            if watcher.deviation.is_some() && !running.has_ended() {
                return Ok(fired);
            }
            fired += u64::from(self.take_end(number, running)?);
        }
        Ok(fired)
    }

    fn pause(&mut self, span: Span, watcher: &mut Watcher) -> Result<(), CampaignError> {
        let until = Instant::now() + span.duration();
        self.wait(span.duration(), |_| watcher.has_found() || Instant::now() >= until)?;
        Ok(())
    }

    /// What undoes the activities, on disk before the first of them.
    fn promise(&mut self, number: u64, activities: &Activities) -> Result<(), CampaignError> {
        let commands = activities.rollbacks.iter().filter(|activity| !activity.run.is_empty());
        let commands: Vec<Rollback> = commands
            .map(|activity| Rollback {
                name: activity.name.clone(),
                through: self.world.own_paths.through(),
                environment: self
                    .world
                    .variables()
                    .map(|(name, path)| (name.to_owned(), path.into()))
                    .into(),
                command: activity.run.iter().map(|word| self.world.fill(word)).collect(),
                directory: self.world.directory.clone(),
                timeout_ms: activity.timeout.as_ms(),
            })
            .collect();
        let fault = match commands.is_empty() {
            true => None,
            false => Some(self.stage.injector.promise(commands)?),
        };
        let rollbacks = activities.rollbacks.clone();
        self.promised = Some(Promised { fault, rollbacks, strike: number });
        Ok(())
    }

    /// Until it has ended, or something that is asked meanwhile does not hold.
    fn await_end(
        &mut self,
        running: &mut Running,
        watcher: &mut Watcher,
    ) -> Result<(), CampaignError> {
        let limit = running.activity.timeout.duration() + SLACK;
        // The end of a supervised target is no reason to leave a command alone.
        while !running.has_ended() && !watcher.has_found() && running.since.elapsed() < limit {
            let left = limit.saturating_sub(running.since.elapsed());
            let is_over = |_: &Self| running.has_ended() || watcher.has_found();
            if self.wait(left, is_over)? == Wait::Over {
                thread::sleep(OVER_INTERVAL);
            }
        }
        Ok(())
    }

    /// Writes down how an activity ended; whether it is an action that did what it had to.
    fn take_end(&mut self, strike: u64, running: &mut Running) -> Result<bool, CampaignError> {
        let ended = match running.told.take().or_else(|| running.ended.try_recv().ok()) {
            Some(ended) => ended,
            None => Ended { how: How::TimedOut, output: String::new(), error: String::new() },
        };
        let activity = running.activity.clone();
        let judgement = judge(&activity, &ended);
        let is_probe = activity.kind == ActivityKind::Probe;
        let role = if is_probe { ActivityRole::Probe } else { ActivityRole::Action };
        self.tell_end(strike, &activity, role, &ended, running.since.elapsed())?;
        if is_probe && activity.tolerance.is_some() {
            self.worsen(named(&activity, judgement));
            return Ok(false);
        }
        if !is_probe && judgement.verdict != Verdict::Held {
            let why = named(&activity, judgement).detail;
            self.worsen(Judgement::unknown(Reason::NotFired, why));
            return Ok(false);
        }
        Ok(!is_probe)
    }

    fn tell_end(
        &mut self,
        strike: u64,
        activity: &Activity,
        role: ActivityRole,
        ended: &Ended,
        taken: Duration,
    ) -> Result<(), CampaignError> {
        let said = if ended.output.trim().is_empty() { &ended.error } else { &ended.output };
        let event = TrialEvent::ActivityEnded {
            trial: self.number,
            strike,
            name: activity.name.clone(),
            role,
            how: in_words(&ended.how),
            output: shown(said.trim()),
            tolerated: judge(activity, ended).verdict == Verdict::Held,
            seconds: taken.as_secs_f64(),
        };
        tell(self.stage.journalist, event)
    }

    /// Undoes what the activities did, once. Also where the run is stopped, so without looking for that.
    pub(super) fn roll_back(&mut self) -> Result<(), CampaignError> {
        let Some(promised) = self.promised.take() else { return Ok(()) };
        for activity in &promised.rollbacks {
            if !self.stage.options.interrupt.is_requested() {
                thread::sleep(activity.pause_before.duration());
            }
            let since = Instant::now();
            let ended = carry_out(activity, &self.world, &|| false);
            let role = ActivityRole::Rollback;
            self.tell_end(promised.strike, activity, role, &ended, since.elapsed())?;
            if judge(activity, &ended).verdict != Verdict::Held {
                let how = in_words(&ended.how);
                let why = format!("The rollback `{}` ended with {how}.", activity.name);
                self.worsen(Judgement::unknown(Reason::JudgeFailed, why));
            }
        }
        if let Some(fault) = &promised.fault {
            self.stage.injector.fulfil(fault)?;
        }
        Ok(())
    }
}

fn judge(activity: &Activity, ended: &Ended) -> Judgement {
    let usual = Tolerance::default();
    ended.judge(activity.tolerance.as_ref().unwrap_or(&usual))
}

fn named(activity: &Activity, judgement: Judgement) -> Judgement {
    let detail = match judgement.verdict {
        Verdict::Held => String::new(),
        _ => format!("{}: {}", activity.name, judgement.detail),
    };
    Judgement { detail, ..judgement }
}
