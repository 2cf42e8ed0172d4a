//! A probe whose change a strike waits for: it is asked by a thread, so that nobody waits for answers.

use super::judging;
use super::world::World;
use crate::asserter::invariants::is_answered;
use killpoint_model::trigger::{ProbeState, ProbeTrigger};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Time between two questions.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

/// A thread that asks until the probe has changed, or this is dropped.
#[derive(Debug)]
pub(super) struct Prober {
    has_changed: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
}

impl Prober {
    /// Begins to ask. What the probe says at first is no change.
    pub(super) fn start(trigger: &ProbeTrigger, world: &World) -> Self {
        let prober = Prober { has_changed: Arc::default(), is_over: Arc::default() };
        let (has_changed, is_over) = (Arc::clone(&prober.has_changed), Arc::clone(&prober.is_over));
        let probe = judging::live(world).real_probe(&trigger.by);
        let wanted = trigger.becomes == ProbeState::Up;
        let directory = world.directory.clone();
        thread::spawn(move || {
            let mut was_otherwise = false;
            while !is_over.load(Ordering::Relaxed) {
                let is_up = is_answered(&probe, &directory);
                if was_otherwise && is_up == wanted {
                    has_changed.store(true, Ordering::Relaxed);
                    return;
                }
                was_otherwise |= is_up != wanted;
                thread::sleep(ASK_INTERVAL);
            }
        });
        prober
    }

    /// Whether it has changed to what is wanted.
    pub(super) fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Relaxed)
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
