//! When something has ended: whose end it was, what it is called, and what comes next.

use super::super::message;
use super::super::process::{Ending, Life, Phase, Rung, StopReason};
use super::Dispatcher;
use killpoint_engine::descendants;
use killpoint_model::lifecycle::{End, Exit, Lifecycle};
use killpoint_model::supervision::StopSignal;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for what an ended process has said.
const HEAR_TIMEOUT: Duration = Duration::from_secs(1);
/// Descendants of a process that has ended well may need a moment to end, too.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(100);
/// How often it is looked whether they have.
const SETTLE_INTERVAL: Duration = Duration::from_millis(2);

impl Dispatcher {
    /// Somebody was reaped.
    pub(super) fn ended(&mut self, pid: i32, exit: Exit) {
        for index in 0..self.processes.len() {
            match &self.processes[index].phase {
                Phase::Preparing { what, held, timed_out, .. } if held.identity.pid == pid => {
                    let (what, timed_out) = (*what, *timed_out);
                    self.end_rest_of_preparation(index, exit);
                    return self.prepared(index, what, Some(exit), timed_out, "");
                }
                Phase::Alive(life) if life.main.identity.pid == pid => {
                    return self.main_ended(index, Some(exit));
                }
                _ => {}
            }
        }
        if !self.auxiliaries.remove(&pid) && self.orphans.take(Instant::now()) {
            self.recorder.write(None, Lifecycle::OrphanReaped { pid, exit });
        }
    }

    /// The main process has ended. How, only its parent knows: none if that is not the supervisor.
    /// What it said before stands in its socket and its pipe: a mark is put behind it, and the life is
    /// over when the marks have come back.
    pub(super) fn main_ended(&mut self, index: usize, exit: Option<Exit>) {
        let at = Instant::now();
        let (mark, ways) = self.put_marks(index);
        if let Phase::Alive(life) = &mut self.processes[index].phase {
            life.ending = Some(Ending { exit, at, ways, mark, until: at + HEAR_TIMEOUT });
        }
        if ways == 0 {
            self.life_ended(index);
        }
    }

    /// Who was named the successor has ended as well: he may have named another one, behind the marks. Whether an end
    /// is waited with.
    pub(super) fn hear_on(&mut self, index: usize) -> bool {
        if !matches!(&self.processes[index].phase, Phase::Alive(life) if life.ending.is_some()) {
            return false;
        }
        let (mark, ways) = self.put_marks(index);
        if let Phase::Alive(Life { ending: Some(ending), .. }) = &mut self.processes[index].phase
            && ways > 0
        {
            (ending.mark, ending.ways) = (mark, ways);
        }
        true
    }

    /// Puts a mark behind what was said in each way: what stands in it, and how many there are.
    fn put_marks(&mut self, index: usize) -> (u32, usize) {
        let it = &mut self.processes[index];
        it.marks = it.marks.wrapping_add(1);
        let (mark, name) = (it.marks, it.name.clone());
        let put = [
            message::mark_socket(&self.notify_path(&name), mark),
            message::mark_lines(&self.lines_path(&name), mark),
        ];
        (mark, put.into_iter().filter(|is_sent| *is_sent).count())
    }

    /// A mark has come back.
    pub(super) fn heard_all(&mut self, index: usize, mark: u32) {
        let Phase::Alive(Life { ending: Some(ending), .. }) = &mut self.processes[index].phase
        else {
            return;
        };
        if ending.mark != mark {
            return;
        }
        ending.ways = ending.ways.saturating_sub(1);
        if ending.ways == 0 {
            self.life_ended(index);
        }
    }

    /// A life is over.
    pub(super) fn life_ended(&mut self, index: usize) {
        let over = Phase::Down { clean: false };
        let Phase::Alive(life) = std::mem::replace(&mut self.processes[index].phase, over) else {
            unreachable!("only a life can end")
        };
        let Some(Ending { exit, at, .. }) = life.ending else { unreachable!("it has ended") };
        let lasted = at - life.started;
        self.processes[index].current.store(0, Ordering::Relaxed);
        if exit == Some(Exit::Status(0)) {
            self.settle(index);
        }
        let swept = descendants::end(|| self.members(index));
        let stop = self.processes[index].process.stop.signal;
        let end = name(&life, exit, swept, stop == StopSignal::Kill);
        self.processes[index].last_end = Some(end);
        let after_us = u64::try_from(lasted.as_micros()).unwrap_or(u64::MAX);
        self.tell(index, Lifecycle::Ended { end, exit, after_us, swept });
        self.after_end(index, end, exit, lasted);
    }

    /// What it has left would be taken for a part of the life that comes next.
    fn end_rest_of_preparation(&self, index: usize, exit: Exit) {
        if exit == Exit::Status(0) {
            self.settle(index);
        }
        descendants::end(|| self.members(index));
    }

    fn settle(&self, index: usize) {
        let since = Instant::now();
        while since.elapsed() < SETTLE_TIMEOUT && !self.members(index).is_empty() {
            thread::sleep(SETTLE_INTERVAL);
        }
    }

    /// Whether it is started again, and when.
    pub(super) fn after_end(
        &mut self,
        index: usize,
        end: End,
        exit: Option<Exit>,
        lasted: Duration,
    ) {
        let clean = end.is_clean(exit);
        let it = &mut self.processes[index];
        it.last_end = Some(end);
        if self.shutdown.is_some() {
            it.phase = Phase::Down { clean };
        } else if it.restart_asked {
            it.restart_asked = false;
            it.forget_starts();
            self.begin(index);
        } else if it.stop_asked {
            it.phase = Phase::Down { clean };
        } else if it.safe_mode {
            self.give_up(index, "the fallback command has ended, too".to_owned());
        } else if it.restarts_after(end, exit) {
            self.plan_restart(index, lasted);
        } else {
            it.phase = Phase::Down { clean };
        }
    }

    fn plan_restart(&mut self, index: usize, lasted: Duration) {
        let it = &mut self.processes[index];
        let wait = it.next_wait(lasted);
        let attempt = it.attempt;
        it.phase = Phase::Delayed { until: Instant::now() + wait.duration() };
        self.tell(index, Lifecycle::RestartPlanned { attempt, wait_ms: wait.as_ms() });
    }
}

/// What an end is called.
fn name(life: &Life, exit: Option<Exit>, swept: u32, is_stopped_by_kill: bool) -> End {
    let by_itself = match exit {
        Some(Exit::Status(0)) if swept > 0 => End::Detached,
        Some(Exit::Status(0)) | None => End::Finished,
        Some(Exit::Status(_)) => End::Failed,
        Some(Exit::Signal { .. }) => End::Killed,
    };
    let Some(stopping) = &life.stopping else { return by_itself };
    let was_killed = stopping.rung == Rung::Kill;
    match stopping.reason {
        StopReason::NotReady => End::NeverReady,
        StopReason::Silent => End::Hung,
        StopReason::TooMany => End::TooManyProcesses,
        StopReason::Announced | StopReason::Asked if was_killed && stopping.ignored => {
            End::IgnoredStop
        }
        StopReason::Announced | StopReason::Asked if was_killed => End::HungAtExit,
        StopReason::Announced if by_itself == End::Detached => End::Finished,
        StopReason::Announced => by_itself,
        // A kill that the supervisor did not send may come at any time.
        StopReason::Asked
            if !is_stopped_by_kill && matches!(exit, Some(Exit::Signal { number: 9, .. })) =>
        {
            End::Killed
        }
        StopReason::Asked => End::Stopped,
    }
}
