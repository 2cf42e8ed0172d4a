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
use killpoint_model::verdict::{Judgement, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time between two rounds of questions.
const ROUND_INTERVAL: Duration = Duration::from_millis(100);
/// How soon a watch that is over is noticed.
const NOTICE_INTERVAL: Duration = Duration::from_millis(5);

/// How long a target must still count as ready for what was found to be its affair: that it ends is
/// told a little later than it shows.
const CONFIRM_INTERVAL: Duration = Duration::from_millis(200);

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
    pub(super) fn start(scenario: &Scenario, world: &World) -> Self {
        let (sender, found) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = scenario.invariants.iter();
        let asked = asked.filter(|it| it.is_judged_at(JudgeAt::Continuously));
        let reader = judging::live(world);
        let asked: Vec<Invariant> = asked.map(|it| reader.filled_in(it)).collect();
        let thread = (!asked.is_empty()).then(|| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let is_stopped = || stop.load(Ordering::Relaxed);
                let values = serde_json::Value::Null;
                let told = Told {
                    checkpoints: &[],
                    values: &values,
                    has_line: &|_| false,
                    is_written: &|| false,
                };
                while !is_stopped() {
                    for invariant in &asked {
                        let reading = read(&reader, invariant, &told, &is_stopped);
                        let judgement = judge(invariant, &Evidence::of(&reading));
                        if judgement.verdict != Verdict::Held && !is_stopped() {
                            let _ = sender.send((invariant.kind(), judgement));
                            return;
                        }
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
}

impl Watch {
    /// Nobody asks any more, and what was found and not judged yet was the strike's doing.
    pub(super) fn pause(&mut self) {
        (self.watcher, self.found) = (None, None);
    }
}

impl Trial<'_, '_> {
    /// Asks while the target counts as ready and nothing is done to it; judges what was found once that
    /// is sure.
    pub(super) fn watch(&mut self) -> Result<(), CampaignError> {
        let scenario = &self.stage.plan.scenario;
        let is_up = self.state.are_ready()
            && self.has_workload_begun
            && !self.is_stopping
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
        let watcher = self.watch.watcher.get_or_insert_with(|| Watcher::start(scenario, world));
        if !watcher.has_found() {
            return Ok(());
        }
        let since = *self.watch.found.get_or_insert_with(Instant::now);
        if since.elapsed() < CONFIRM_INTERVAL {
            return Ok(());
        }
        let deviation = watcher.deviation.take();
        self.watch = Watch { is_over: true, ..Watch::default() };
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
}
