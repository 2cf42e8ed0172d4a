//! What processes say of themselves, and what probes found.

use super::super::message::{Said, Sender, parse};
use super::super::probe::Purpose;
use super::super::process::{Phase, Rung, StopReason, Stopping};
use super::Dispatcher;
use killpoint_engine::children::Held;
use killpoint_engine::identity;
use killpoint_model::lifecycle::Lifecycle;
use killpoint_model::supervision::Probe;
use std::time::{Duration, Instant};

/// The longest extension of a time-out.
const EXTENSION_MAX: Duration = Duration::from_secs(3_600);

impl Dispatcher {
    /// A datagram. Its sender must belong to the process. One that has ended meanwhile cannot be asked
    /// any more: it is believed if it had our rights, as the socket lies where nobody else gets at it.
    pub(super) fn message(&mut self, index: usize, sender: Option<Sender>, text: &str) {
        let Some(sender) = sender else { return };
        let own = rustix::process::geteuid().as_raw();
        let is_gone = identity::status(sender.pid).is_err();
        let believed = self.belongs(index, sender.pid) || (is_gone && sender.uid == own);
        match believed {
            true => self.hear(index, sender, text),
            false => self.refuse(index, sender, "it does not belong to the process"),
        }
    }

    /// A line of the named pipe: the number is what its writer says.
    pub(super) fn line(&mut self, index: usize, pid: i32, text: &str) {
        let sender = Sender { pid, uid: rustix::process::geteuid().as_raw() };
        match self.belongs(index, pid) {
            true => self.hear(index, sender, text),
            // Left over from an earlier life.
            false if identity::status(pid).is_err() => {}
            false => self.refuse(index, sender, "it does not belong to the process"),
        }
    }

    fn belongs(&self, index: usize, pid: i32) -> bool {
        let it = &self.processes[index];
        let is_main = matches!(&it.phase, Phase::Alive(life)
            if life.main.identity.pid == pid || life.first == pid);
        is_main || self.members(index).iter().any(|member| member.pid == pid)
    }

    fn refuse(&mut self, index: usize, sender: Sender, problem: &str) {
        if self.processes[index].refused.take(Instant::now()) {
            let Sender { pid, uid } = sender;
            let problem = problem.to_owned();
            self.tell(index, Lifecycle::MessageRefused { pid, uid, problem });
        }
    }

    fn hear(&mut self, index: usize, sender: Sender, text: &str) {
        if !self.processes[index].is_alive() {
            return;
        }
        for said in parse(text) {
            self.heard(index, sender, said);
        }
    }

    fn heard(&mut self, index: usize, sender: Sender, said: Said) {
        let ready_by_notify =
            self.processes[index].process.ready.as_ref().is_some_and(|it| it.by == Probe::Notify);
        match said {
            Said::Ready if ready_by_notify => self.became_ready(index),
            Said::Ready => {}
            Said::Heartbeat => {
                let by_other = self.processes[index].process.watchdog.as_ref();
                if by_other.is_none_or(|it| it.by == Probe::Notify) {
                    self.heartbeat(index);
                }
            }
            Said::Trouble => {
                let Phase::Alive(life) = &self.processes[index].phase else { return };
                if life.stopping.is_none() {
                    self.heartbeat_missed(index);
                }
            }
            Said::Stopping => self.announced_stop(index),
            Said::Status(text) => self.tell_if_room(index, Lifecycle::Status { text }),
            Said::MainPid(pid) => self.main_changes(index, sender, pid),
            Said::Extend(by) => self.extend(index, by.min(EXTENSION_MAX)),
            Said::Checkpoint(sequence) => {
                self.processes[index].sequence = Some(sequence);
                self.tell_if_room(index, Lifecycle::CheckpointSaved { sequence });
            }
            Said::Oplog(sequence) => self.tell_if_room(index, Lifecycle::OplogFlushed { sequence }),
        }
    }

    fn tell_if_room(&mut self, index: usize, event: Lifecycle) {
        if self.processes[index].messages.take(Instant::now()) {
            self.tell(index, event);
        }
    }

    fn heartbeat(&mut self, index: usize) {
        let timeout =
            self.processes[index].process.watchdog.as_ref().map(|it| it.timeout.duration());
        if let Phase::Alive(life) = &mut self.processes[index].phase
            && life.ready
        {
            life.heartbeat_until = timeout.map(|timeout| Instant::now() + timeout);
        }
        self.tell_if_room(index, Lifecycle::Heartbeat {});
    }

    fn announced_stop(&mut self, index: usize) {
        let until = Instant::now() + self.processes[index].process.stop.grace.duration();
        let Phase::Alive(life) = &mut self.processes[index].phase else { return };
        if life.stopping.is_none() {
            let reason = StopReason::Announced;
            life.stopping = Some(Stopping { reason, rung: Rung::Wait, until, ignored: false });
        }
        self.tell_if_room(index, Lifecycle::Stopping { by_itself: true });
    }

    /// Whatever is waited for now is waited for until then.
    fn extend(&mut self, index: usize, by: Duration) {
        let until = Instant::now() + by;
        let Phase::Alive(life) = &mut self.processes[index].phase else { return };
        let deadline = match &mut life.stopping {
            Some(stopping) if stopping.rung != Rung::Kill => Some(&mut stopping.until),
            Some(_) => None,
            None if life.ready_until.is_some() => life.ready_until.as_mut(),
            None => life.heartbeat_until.as_mut(),
        };
        if let Some(deadline) = deadline {
            *deadline = until.max(*deadline);
        }
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.tell_if_room(index, Lifecycle::TimeExtended { by_ms });
    }

    fn main_changes(&mut self, index: usize, sender: Sender, pid: i32) {
        if identity::status(pid).is_err() && self.hear_on(index) {
            return;
        }
        if !self.belongs(index, pid) {
            return self.refuse(
                index,
                sender,
                "MAINPID names one that does not belong to the process",
            );
        }
        let Ok(Some(held)) = Held::by_number(pid) else { return };
        let Phase::Alive(life) = &mut self.processes[index].phase else { return };
        let from = life.main.identity.pid;
        if from != pid {
            life.main = held;
            // Who came before may have been seen to end already.
            life.ending = None;
            life.comm = super::super::life::comm(pid);
            self.tell(index, Lifecycle::MainChanged { pid, from });
        }
    }

    fn is_in_life(&self, index: usize, number: u32) -> bool {
        self.processes[index].is_alive() && self.processes[index].life == number
    }

    /// A line was printed that somebody looks for.
    pub(super) fn line_seen(&mut self, index: usize, life: u32) {
        if !self.is_in_life(index, life) {
            return;
        }
        let process = &self.processes[index].process;
        let is_line = |probe: &Probe| matches!(probe, Probe::LogLine(_));
        let makes_ready = process.ready.as_ref().is_some_and(|it| is_line(&it.by));
        let beats = process.watchdog.as_ref().is_some_and(|it| is_line(&it.by));
        if makes_ready {
            self.became_ready(index);
        }
        if beats {
            self.heartbeat(index);
        }
    }

    /// A probe was answered.
    pub(super) fn probed(&mut self, index: usize, life: u32, purpose: Purpose) {
        if self.is_in_life(index, life) {
            match purpose {
                Purpose::Ready => self.became_ready(index),
                Purpose::Heartbeat => self.heartbeat(index),
            }
        }
    }
}
