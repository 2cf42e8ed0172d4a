//! Invariants that are asked again and again: while a scenario's activities go on, which what does not
//! hold halts; and while a target counts as ready and nothing is done to it.

use super::judging;
use super::problem::CampaignError;
use super::tell;
use super::trial::Trial;
use super::world::World;
use crate::asserter::invariants::{Answered, Evidence, Reader, Reading, Told, is_answered, judge};
use killpoint_model::Scenario;
use killpoint_model::invariant::{Invariant, JudgeAt};
use killpoint_model::trial::TrialEvent;
use killpoint_model::verdict::{Judgement, Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time between two rounds of questions.
const ROUND_INTERVAL: Duration = Duration::from_millis(100);
/// How soon a watch that is over is noticed.
const NOTICE_INTERVAL: Duration = Duration::from_millis(5);

/// How long a target must still count as ready for what was found to be its affair: that it ends is
/// told a little later than it shows.
const CONFIRM_INTERVAL: Duration = Duration::from_millis(200);

/// The invariants that were judged to hold, by their index: written by whoever asks.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<Mutex<BTreeSet<usize>>>);

impl Asked {
    fn add(&self, invariant: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(invariant);
    }

    /// What held so far says nothing about what comes now.
    fn forget(&self) -> BTreeSet<usize> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It does after all.
    fn recall(&self, invariants: BTreeSet<usize>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(invariants);
    }

    fn has(&self, invariant: usize) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&invariant)
    }
}

/// Somebody who asks, in a thread of its own, until something does not hold.
pub(super) struct Watcher {
    found: Receiver<(&'static str, Judgement)>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// What does not hold.
    pub(super) deviation: Option<(&'static str, Judgement)>,
}

/// Takes a reading. A probe is asked until it answers or its time is over; here that ends with the watch.
fn read(
    reader: &Reader,
    invariant: &Invariant,
    told: &Told<'_>,
    is_stopped: &dyn Fn() -> bool,
) -> Reading {
    let Invariant::ProbeAnswers(asked) = invariant else {
        return reader.read_unless(invariant, told, is_stopped);
    };
    let since = Instant::now();
    while !is_stopped() && since.elapsed() < asked.timeout.duration() {
        if is_answered(&asked.by, &reader.directory) {
            let elapsed = since.elapsed().as_millis();
            return Reading::Probe(Answered::After(u64::try_from(elapsed).unwrap_or(u64::MAX)));
        }
        thread::sleep(NOTICE_INTERVAL);
    }
    Reading::Probe(Answered::Never("it was asked again and again".to_owned()))
}

impl Watcher {
    /// Starts to ask what a scenario asks continuously.
    pub(super) fn start(scenario: &Scenario, world: &World, judged: &Asked) -> Self {
        let (sender, found) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = scenario.invariants.iter().enumerate();
        let asked = asked.filter(|(_, it)| it.is_judged_at(JudgeAt::Continuously));
        let reader = judging::live(world);
        let asked: Vec<(usize, Invariant)> =
            asked.map(|(index, it)| (index, reader.filled_in(it))).collect();
        let thread = (!asked.is_empty()).then(|| {
            let (stop, judged) = (Arc::clone(&stop), judged.clone());
            thread::spawn(move || {
                let is_stopped = || stop.load(Ordering::Relaxed);
                let values = serde_json::Value::Null;
                let told = Told {
                    checkpoints: &BTreeMap::new(),
                    values: &values,
                    has_line: &|_| false,
                    is_written: &|| false,
                };
                while !is_stopped() {
                    for (index, invariant) in &asked {
                        let reading = read(&reader, invariant, &told, &is_stopped);
                        let judgement = judge(invariant, &Evidence::of(&reading));
                        if is_stopped() {
                            return;
                        }
                        if judgement.verdict != Verdict::Held {
                            let _ = sender.send((invariant.kind(), judgement));
                            return;
                        }
                        judged.add(*index);
                    }
                    for _ in 0..ROUND_INTERVAL.as_millis() / NOTICE_INTERVAL.as_millis() {
                        if !is_stopped() {
                            thread::sleep(NOTICE_INTERVAL);
                        }
                    }
                }
            })
        });
        Watcher { found, stop, thread, deviation: None }
    }

    /// Whether something does not hold; never waits.
    pub(super) fn has_found(&mut self) -> bool {
        if self.deviation.is_none() {
            self.deviation = self.found.try_recv().ok();
        }
        self.deviation.is_some()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The watch over the target of a trial.
#[derive(Default)]
pub(super) struct Watch {
    watcher: Option<Watcher>,
    /// When something was found.
    found: Option<Instant>,
    /// Whether what was found has been judged: once in a trial is enough.
    is_over: bool,
    /// Whether a strike came before the target was stopped, so that it can be asked after it.
    is_due: bool,
    /// What was judged to hold so far.
    pub(super) asked: Asked,
}

impl Watch {
    /// Nobody asks any more, and what was found and not judged yet was the strike's doing.
    pub(super) fn pause(&mut self) {
        (self.watcher, self.found) = (None, None);
    }
}

impl Trial<'_, '_> {
    /// Nobody asks while it strikes, and everybody anew after that, unless the target is being stopped.
    pub(super) fn strike_unwatched(&mut self) {
        self.watch.pause();
        if !self.is_stopping {
            self.watch.is_due = true;
            self.watch.asked.forget();
        }
    }

    /// Lets everything be asked at least once that is asked continuously, or until something does not hold.
    pub(super) fn finish_round(&mut self, watcher: &mut Watcher) -> Result<(), CampaignError> {
        let (asked, limit) = (self.asked_continuously(), self.stage.plan.scenario.timeouts.trial);
        self.wait(limit.duration(), |trial| {
            watcher.has_found() || asked.iter().all(|index| trial.watch.asked.has(*index))
        })?;
        Ok(())
    }

    /// What is asked continuously.
    fn asked_continuously(&self) -> Vec<usize> {
        let invariants = self.stage.plan.scenario.invariants.iter().enumerate();
        let asked = invariants.filter(|(_, it)| it.is_judged_at(JudgeAt::Continuously));
        asked.map(|(index, _)| index).collect()
    }

    /// Lets everything be asked once more that is asked continuously, before the target is stopped.
    pub(super) fn hear_out(&mut self) -> Result<(), CampaignError> {
        let scenario = &self.stage.plan.scenario;
        let asked = self.asked_continuously();
        let is_up = self.state.are_ready();
        if asked.is_empty() || !is_up || scenario.is_of_anothers_target() {
            return Ok(());
        }
        let limit = scenario.timeouts.trial.duration();
        let held = self.watch.asked.forget();
        self.wait(limit, |trial| {
            let is_done = asked.iter().all(|index| trial.watch.asked.has(*index));
            is_done || trial.watch.is_over || !trial.state.are_ready()
        })?;
        // Nobody can ask one that finishes meanwhile, and it was asked since the last strike.
        if self.state.are_over() {
            self.watch.asked.recall(held);
        }
        Ok(())
    }

    /// Asks while the target counts as ready and nothing is done to it; judges what was found once that
    /// is sure.
    pub(super) fn watch(&mut self) -> Result<(), CampaignError> {
        let scenario = &self.stage.plan.scenario;
        let is_up = self.state.are_ready()
            && self.has_workload_begun
            && !self.is_stopping
            && !self.is_going_down
            && self.held.is_none()
            && self.stage.injector.lasting() == 0;
        if self.watch.is_over || scenario.is_of_anothers_target() {
            return Ok(());
        }
        if !is_up {
            self.watch.pause();
            return Ok(());
        }
        let world = &self.world;
        let watcher = {
            let asked = &self.watch.asked;
            self.watch.watcher.get_or_insert_with(|| Watcher::start(scenario, world, asked))
        };
        if !watcher.has_found() {
            return Ok(());
        }
        let since = *self.watch.found.get_or_insert_with(Instant::now);
        if since.elapsed() < CONFIRM_INTERVAL {
            return Ok(());
        }
        let deviation = watcher.deviation.take();
        let (asked, is_due) = (self.watch.asked.clone(), self.watch.is_due);
        self.watch = Watch { is_over: true, is_due, asked, ..Watch::default() };
        let Some((kind, judgement)) = deviation else { return Ok(()) };
        let event = TrialEvent::Judged {
            trial: self.number,
            invariant: kind.to_owned(),
            strike: None,
            judgement: judgement.clone(),
        };
        tell(self.stage.journalist, event)?;
        self.worsen(judgement);
        Ok(())
    }

    /// What a scenario asks and nobody came to judge in this trial does not hold: nothing is known of it.
    pub(super) fn miss_what_was_not_judged(&mut self) {
        // Of a target that did not come back more cannot be asked, and that has been judged.
        if self.number == 0 || self.fired == 0 || self.is_lost {
            return;
        }
        for (index, invariant) in self.stage.plan.scenario.invariants.iter().enumerate() {
            // Of a target that is being stopped nothing can be asked after the strike.
            let is_of_living = invariant.is_judged_at(JudgeAt::AfterStrike)
                || invariant.is_judged_at(JudgeAt::Continuously);
            let is_due = self.watch.is_due || !is_of_living;
            if !is_due || self.judged.contains(&index) || self.watch.asked.has(index) {
                continue;
            }
            let why = match self.state.are_over() {
                true => {
                    "the target had ended and was not started again, so it could not be asked any more. Ask \
                     for `end`, too, or let it be started again (`restart`)"
                }
                false => {
                    "none of the moments came at which it is asked for, or its reading was not over when the \
                     trial was. Ask for `end`, too, or let the trial last longer"
                }
            };
            let why = format!("{} was not judged in this trial: {why}.", invariant.kind());
            self.judgements.add(Judgement::unknown(Reason::NoOracle, why));
        }
    }
}
