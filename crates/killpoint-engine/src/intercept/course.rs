//! The course of a run, which all mechanisms keep alike: when the driver is started, when what is
//! left is asked to end, when it is over, and how it went.

use super::{Ended, Limits};
use crate::recording::Exit;
use std::time::Instant;

/// Who is at work at one look in so many has not come to rest.
const WORKS_EACH: u32 = 4;

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
    /// When the last call on the state was.
    last_call: Instant,
    /// How often the tree was looked at since then, and how often somebody in it was at work.
    looks: u32,
    at_work: u32,
    /// How it has gone so far.
    pub(super) ended: Ended,
}

impl Course {
    pub(super) fn new(has_driver: bool, limits: Limits) -> Self {
        let stage = if has_driver { Stage::Starting } else { Stage::Driving };
        let ended = Ended {
            exit: Exit::Running,
            target: Exit::Running,
            never_quiet: false,
            struck: false,
            left_over: 0,
            too_many: false,
        };
        Course { stage, limits, last_call: Instant::now(), looks: 0, at_work: 0, ended }
    }

    /// There was a call on the state, or something that is as good a sign of work.
    pub(super) fn moved(&mut self) {
        self.last_call = Instant::now();
        (self.looks, self.at_work) = (0, 0);
    }

    /// The tree was looked at. A target that starts is not quiet while anybody works. What a workload
    /// leaves may wake up now and then; it has not come to rest while it computes.
    pub(super) fn seen(&mut self, is_at_work: bool) {
        self.looks += 1;
        self.at_work += u32::from(is_at_work);
        if is_at_work && self.is_start() {
            self.moved();
        }
    }

    /// Whether whoever works is to be looked for.
    pub(super) fn minds_work(&self) -> bool {
        self.is_start() || self.limits.minds_work && self.awaits_quiet()
    }

    /// What is due, given whether a call is in flight.
    pub(super) fn look(&mut self, busy: bool) -> Step {
        let is_quiet = !busy && self.last_call.elapsed() > self.limits.quiet;
        match self.stage {
            Stage::Idle if is_quiet && self.at_work * WORKS_EACH >= self.looks.max(1) => {
                self.moved();
                Step::Wait
            }
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

    /// Whether the driver has not ended, as far as is known.
    pub(super) fn is_running(&self) -> bool {
        self.ended.exit == Exit::Running
    }

    /// The driver has ended.
    pub(super) fn driver_ended(&mut self, exit: Exit) {
        self.ended.exit = exit;
        self.moved();
        self.stage = Stage::Idle;
    }

    /// It is broken off before its end: it took too long, or somebody asked for it.
    pub(super) fn broken_off(&mut self, is_late: bool) {
        self.ended.never_quiet = is_late && self.awaits_quiet();
        if self.is_running() {
            self.ended.exit = Exit::TimedOut;
        }
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
    fn awaits_quiet(&self) -> bool {
        matches!(self.stage, Stage::Starting | Stage::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn course(has_driver: bool, stop: Duration) -> Course {
        let quiet = Duration::from_millis(1);
        let limits =
            Limits { timeout: Duration::MAX, quiet, stop, minds_work: true, threads_max: 1 };
        Course::new(has_driver, limits)
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(Duration::from_secs(1)).expect("the machine has run for a while")
    }

    #[test]
    fn a_driver_is_started_once_the_target_is_quiet_and_everything_else_follows_its_end() {
        let mut course = course(true, Duration::ZERO);
        assert!(course.awaits_quiet() && course.is_start());
        course.last_call = Instant::now() + Duration::from_secs(9);
        assert_eq!(course.look(false), Step::Wait);
        course.last_call = long_ago();
        assert_eq!(course.look(true), Step::Wait, "a call is in flight");
        assert_eq!(course.look(false), Step::StartDriver);
        assert_eq!(course.look(false), Step::Wait, "the driver may think");
        course.driver_ended(Exit::Status(0));
        assert!(course.awaits_quiet() && !course.was_asked() && !course.is_running());
        course.last_call = long_ago();
        assert_eq!(course.look(false), Step::AskToStop);
        assert!(course.was_asked() && !course.awaits_quiet());
        while course.look(false) != Step::End {}
        assert_eq!(course.ended.exit, Exit::Status(0));
    }

    #[test]
    fn what_is_left_and_computes_is_not_asked_to_end_and_what_wakes_up_now_and_then_is() {
        for (at_work, step) in [(0, Step::AskToStop), (2, Step::AskToStop), (9, Step::Wait)] {
            let mut course = course(false, Duration::MAX);
            course.driver_ended(Exit::Status(0));
            for look in 0..10 {
                course.seen(look < at_work);
            }
            course.last_call = long_ago();
            assert_eq!(course.look(false), step, "{at_work}");
        }
    }

    #[test]
    fn what_was_asked_to_end_is_given_time() {
        let mut course = course(false, Duration::MAX);
        course.last_call = long_ago();
        assert_eq!(course.look(false), Step::Wait, "the first process is the driver");
        course.driver_ended(Exit::Status(0));
        course.last_call = long_ago();
        assert_eq!(course.look(false), Step::AskToStop);
        assert_eq!(course.look(false), Step::Wait);
        assert_eq!(course.nobody_moves(), Step::End);
    }

    #[test]
    fn what_is_broken_off_has_timed_out_unless_it_had_ended() {
        let mut late = course(true, Duration::ZERO);
        late.broken_off(true);
        assert!(late.ended.never_quiet && late.ended.exit == Exit::TimedOut);
        let mut over = course(false, Duration::ZERO);
        over.driver_ended(Exit::Status(3));
        over.broken_off(false);
        assert!(!over.ended.never_quiet && over.ended.exit == Exit::Status(3));
    }
}
