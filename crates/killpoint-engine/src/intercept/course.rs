//! The course of a run, which all mechanisms keep alike: when the driver is started, when what is
//! left is asked to end, when it is over.

use super::Limits;
use std::time::Instant;

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The target starts; there is a driver, and it waits for the target to become quiet.
    Starting,
    /// The driver is at work. Without one of its own, the first process is the driver.
    Driving,
    /// The driver has ended, and something may still move.
    Idle,
    /// Since then, what is left has been asked to end.
    Stopping(Instant),
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Wait,
    /// The driver is to be started.
    StartDriver,
    /// Whoever is left is to be asked to end.
    AskToStop,
    /// It is over.
    End,
}

/// Where a run is in its course.
#[derive(Debug)]
pub(super) struct Course {
    stage: Stage,
    limits: Limits,
}

impl Course {
    pub(super) fn new(has_driver: bool, limits: Limits) -> Self {
        let stage = if has_driver { Stage::Starting } else { Stage::Driving };
        Course { stage, limits }
    }

    /// What is due, given whether a call is in flight and when the last one on the state was.
    pub(super) fn look(&mut self, busy: bool, last_call: Instant) -> Step {
        let is_quiet = !busy && last_call.elapsed() > self.limits.quiet;
        match self.stage {
            Stage::Starting if is_quiet => self.nobody_moves(),
            Stage::Idle if is_quiet => {
                self.stage = Stage::Stopping(Instant::now());
                Step::AskToStop
            }
            Stage::Stopping(since) if since.elapsed() > self.limits.stop => Step::End,
            _ => Step::Wait,
        }
    }

    /// What is due where no process is left.
    pub(super) fn nobody_moves(&mut self) -> Step {
        match self.stage {
            Stage::Starting => {
                self.stage = Stage::Driving;
                Step::StartDriver
            }
            _ => Step::End,
        }
    }

    /// The driver has ended.
    pub(super) fn driver_ended(&mut self) {
        self.stage = Stage::Idle;
    }

    /// Whether the target was asked to end: how it ends from then on is its own affair.
    pub(super) fn was_asked(&self) -> bool {
        matches!(self.stage, Stage::Stopping(_))
    }

    /// Whether the target starts. Programs work for a while before they first touch their state.
    pub(super) fn is_start(&self) -> bool {
        matches!(self.stage, Stage::Starting)
    }

    /// Whether the target is waited for to become quiet.
    pub(super) fn awaits_quiet(&self) -> bool {
        matches!(self.stage, Stage::Starting | Stage::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn course(has_driver: bool, stop: Duration) -> Course {
        let quiet = Duration::from_millis(1);
        let limits = Limits { timeout: Duration::MAX, quiet, stop, threads_max: 1 };
        Course::new(has_driver, limits)
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(Duration::from_secs(1)).expect("the machine has run for a while")
    }

    #[test]
    fn a_driver_is_started_once_the_target_is_quiet_and_everything_else_follows_its_end() {
        let mut course = course(true, Duration::ZERO);
        assert!(course.awaits_quiet() && course.is_start());
        assert_eq!(course.look(false, Instant::now() + Duration::from_secs(9)), Step::Wait);
        assert_eq!(course.look(true, long_ago()), Step::Wait, "a call is in flight");
        assert_eq!(course.look(false, long_ago()), Step::StartDriver);
        assert_eq!(course.look(false, long_ago()), Step::Wait, "the driver may think");
        course.driver_ended();
        assert!(course.awaits_quiet() && !course.was_asked());
        assert_eq!(course.look(false, long_ago()), Step::AskToStop);
        assert!(course.was_asked() && !course.awaits_quiet());
        while course.look(false, long_ago()) != Step::End {}
    }

    #[test]
    fn what_was_asked_to_end_is_given_time() {
        let mut course = course(false, Duration::MAX);
        assert_eq!(course.look(false, long_ago()), Step::Wait, "the first process is the driver");
        course.driver_ended();
        assert_eq!(course.look(false, long_ago()), Step::AskToStop);
        assert_eq!(course.look(false, long_ago()), Step::Wait);
        assert_eq!(course.nobody_moves(), Step::End);
    }
}
