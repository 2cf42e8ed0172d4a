//! Invariants that are asked again and again while a scenario's activities go on: what does not hold
//! halts them.

use super::judging;
use super::world::World;
use crate::asserter::invariants::{Evidence, Told, judge};
use killpoint_model::Scenario;
use killpoint_model::invariant::{Invariant, JudgeAt};
use killpoint_model::verdict::{Judgement, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Time between two rounds of questions.
const ROUND_INTERVAL: Duration = Duration::from_millis(100);
/// How soon a watch that is over is noticed.
const NOTICE_INTERVAL: Duration = Duration::from_millis(5);

/// Somebody who asks, in a thread of its own, until something does not hold.
pub(super) struct Watcher {
    found: Receiver<(&'static str, Judgement)>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// What does not hold.
    pub(super) deviation: Option<(&'static str, Judgement)>,
}

/// Whether an invariant can be asked while activities go on: it needs nothing but its question.
pub(super) fn can_be_asked(invariant: &Invariant) -> bool {
    matches!(invariant, Invariant::CommandEnds(_) | Invariant::RequestAnswered(_))
}

impl Watcher {
    /// Starts to ask what a scenario asks continuously.
    pub(super) fn start(scenario: &Scenario, world: &World) -> Self {
        let (sender, found) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = scenario.invariants.iter();
        let asked = asked.filter(|it| it.is_judged_at(JudgeAt::Continuously) && can_be_asked(it));
        let asked: Vec<Invariant> = asked.cloned().collect();
        let thread = (!asked.is_empty()).then(|| {
            let (reader, stop) = (judging::live(world), Arc::clone(&stop));
            thread::spawn(move || {
                let is_stopped = || stop.load(Ordering::Relaxed);
                let values = serde_json::Value::Null;
                let told = Told { checkpoints: &[], values: &values, has_line: &|_| false };
                while !is_stopped() {
                    for invariant in &asked {
                        let reading = reader.read_unless(invariant, &told, &is_stopped);
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
