//! The ladder of a stop, and what makes the supervisor itself stop.

use super::super::process::{Life, Phase, Rung, StopReason, Stopping};
use super::Dispatcher;
use killpoint_engine::descendants;
use killpoint_model::lifecycle::{Lifecycle, StopCause};
use std::fs;
use std::time::{Duration, Instant};

/// How long a killed process may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const SIGCONT: i32 = 18;

impl Dispatcher {
    /// A signal to the supervisor: a request to stop, or one to pass on.
    pub(super) fn signalled(&mut self, number: i32) {
        if ![SIGTERM, SIGINT, SIGQUIT].contains(&number) {
            for index in 0..self.processes.len() {
                self.send(index, number, "forwarded");
            }
        } else if self.shutdown.is_none() {
            self.shut_down(StopCause::Signal);
        } else {
            // Asked twice: no more patience.
            for index in 0..self.processes.len() {
                if self.processes[index].is_alive() {
                    self.note_whether_it_ignores(index);
                    self.kill(index);
                }
            }
        }
    }

    /// Stops everything, step by step.
    pub(super) fn shut_down(&mut self, cause: StopCause) {
        if self.shutdown.is_none() {
            self.shutdown = Some(cause);
            self.recorder.write(None, Lifecycle::SupervisorStopping { cause });
        }
    }

    /// Without a guardian nobody would clear up after this process: everything ends now.
    pub(super) fn guardian_is_gone(&mut self) {
        self.shutdown = Some(StopCause::GuardianGone);
        self.guardian_gone = true;
        let own = self.own.pid;
        descendants::end(|| descendants::by_table(own));
    }

    /// Sends a signal to the main process, if it is alive.
    pub(super) fn send(&mut self, index: usize, number: i32, why: &str) -> bool {
        let Phase::Alive(life) = &self.processes[index].phase else { return false };
        let sent = life.main.signal(number);
        if sent {
            self.tell(index, Lifecycle::Signalled { number, why: why.to_owned() });
        }
        sent
    }

    fn life(&mut self, index: usize) -> Option<&mut Life> {
        match &mut self.processes[index].phase {
            Phase::Alive(life) => Some(life),
            _ => None,
        }
    }

    /// Begins to stop a process, wherever it stands.
    pub(super) fn stop(&mut self, index: usize) {
        match &mut self.processes[index].phase {
            Phase::Waiting | Phase::Delayed { .. } | Phase::KeptDown => {
                self.processes[index].phase = Phase::Down { clean: true };
            }
            // When it has ended, nothing is started.
            Phase::Preparing { .. } => self.preparation_is_late(index),
            Phase::Alive(life) => match &mut life.stopping {
                Some(stopping) if stopping.reason == StopReason::Announced => {
                    stopping.reason = StopReason::Asked;
                }
                Some(_) => {}
                None => self.begin_stop(index, StopReason::Asked),
            },
            Phase::Down { .. } => {}
        }
    }

    /// The first rung.
    pub(super) fn begin_stop(&mut self, index: usize, reason: StopReason) {
        let stop = self.processes[index].process.stop.clone();
        let until = Instant::now() + stop.grace.duration();
        let Some(life) = self.life(index) else { return };
        life.stopping = Some(Stopping { reason, rung: Rung::Wait, until, ignored: false });
        self.tell(index, Lifecycle::Stopping { by_itself: false });
        match (&stop.command, reason) {
            (Some(words), StopReason::Asked) => {
                if let Ok(held) = self.start_auxiliary(index, words) {
                    self.auxiliaries.insert(held.identity.pid);
                    self.set_rung(index, Rung::Command);
                } else {
                    self.signal_to_stop(index);
                }
            }
            _ => self.signal_to_stop(index),
        }
    }

    fn set_rung(&mut self, index: usize, rung: Rung) {
        let grace = self.processes[index].process.stop.grace.duration();
        if let Some(stopping) = self.life(index).and_then(|life| life.stopping.as_mut()) {
            stopping.rung = rung;
            stopping.until = Instant::now() + grace;
        }
    }

    fn signal_to_stop(&mut self, index: usize) {
        let usual = self.processes[index].process.stop.signal.number();
        let reason = self.life(index).and_then(|life| life.stopping.as_ref()).map(|it| it.reason);
        let (number, why) = match reason {
            Some(StopReason::Silent) => (SIGABRT, "watchdog"),
            Some(StopReason::NotReady) => (usual, "not-ready"),
            _ => (usual, "stop"),
        };
        self.set_rung(index, Rung::Signal);
        self.send(index, number, why);
        // One that is suspended could not take it.
        if let Some(life) = self.life(index) {
            life.main.signal(SIGCONT);
        }
    }

    /// Before a kill: whether the signal that asked it to end was thrown away.
    fn note_whether_it_ignores(&mut self, index: usize) {
        let number = self.processes[index].process.stop.signal.number();
        let Some(life) = self.life(index) else { return };
        let pid = life.main.identity.pid;
        if let Some(stopping) = &mut life.stopping
            && stopping.rung == Rung::Signal
        {
            stopping.ignored = ignores(pid, number);
        }
    }

    /// The grace of a rung is over.
    pub(super) fn escalate(&mut self, index: usize) {
        let Some(stopping) = self.life(index).and_then(|life| life.stopping.as_ref()) else {
            return;
        };
        match stopping.rung {
            Rung::Wait | Rung::Command => self.signal_to_stop(index),
            Rung::Signal => {
                self.note_whether_it_ignores(index);
                self.kill(index);
            }
            Rung::Kill => {
                let reason = "it was killed and is still there: it hangs in the kernel".to_owned();
                self.give_up(index, reason);
            }
        }
    }

    /// The last rung: the main process and all below it.
    pub(super) fn kill(&mut self, index: usize) {
        self.kill_for(index, StopReason::Asked);
    }

    /// The same, for a reason where none is known yet.
    pub(super) fn kill_for(&mut self, index: usize, reason: StopReason) {
        let known = self.life(index).and_then(|life| life.stopping.as_ref()).map(|it| it.reason);
        let why = match known.or(Some(reason)) {
            Some(StopReason::TooMany) => "too-many-processes",
            Some(StopReason::Silent) => "watchdog",
            Some(StopReason::NotReady) => "not-ready",
            _ => "stop",
        };
        let until = Instant::now() + KILL_TIMEOUT;
        let Some(life) = self.life(index) else { return };
        let stopping = life.stopping.get_or_insert(Stopping {
            reason,
            rung: Rung::Kill,
            until,
            ignored: false,
        });
        (stopping.rung, stopping.until) = (Rung::Kill, until);
        self.send(index, SIGKILL, why);
    }

    pub(super) fn not_ready(&mut self, index: usize) {
        let timeout_ms =
            self.processes[index].process.ready.as_ref().map_or(0, |it| it.timeout.as_ms());
        self.tell(index, Lifecycle::NotReady { timeout_ms });
        self.begin_stop(index, StopReason::NotReady);
    }

    pub(super) fn heartbeat_missed(&mut self, index: usize) {
        let watchdog = self.processes[index].process.watchdog.as_ref();
        let timeout_ms = watchdog.map_or(0, |it| it.timeout.as_ms());
        self.tell(index, Lifecycle::HeartbeatMissed { timeout_ms });
        self.begin_stop(index, StopReason::Silent);
    }
}

/// Whether a process throws a signal away or does not take it.
fn ignores(pid: i32, number: i32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let has = |name: &str| {
        let mask = text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
        mask & (1 << (number - 1)) != 0
    };
    has("SigIgn:") || has("SigBlk:")
}
