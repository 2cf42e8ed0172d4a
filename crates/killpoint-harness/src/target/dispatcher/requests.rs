//! The requests of the control protocol.

use super::super::control::{Answer, Request, State};
use super::super::process::Phase;
use super::Dispatcher;
use killpoint_model::lifecycle::StopCause;
use std::time::Instant;

impl Dispatcher {
    pub(super) fn asked(&mut self, request: Request) -> Answer {
        let name = match &request {
            Request::Status => return self.status(),
            Request::Shutdown => {
                self.shut_down(StopCause::Control);
                return Answer::done();
            }
            Request::Start(name)
            | Request::Stop(name)
            | Request::Restart(name)
            | Request::KeepDown(name, _)
            | Request::Release(name)
            | Request::Signal(name, _) => name,
        };
        let Some(index) = self.processes.iter().position(|it| it.name == *name) else {
            let names: Vec<&str> = self.processes.iter().map(|it| it.name.as_str()).collect();
            return Answer::refused(format!("no process `{name}`: there is {}", names.join(", ")));
        };
        if self.shutdown.is_some() {
            return Answer::refused("the supervisor is stopping");
        }
        self.asked_about(index, request)
    }

    fn asked_about(&mut self, index: usize, request: Request) -> Answer {
        match request {
            Request::Start(_) => self.start_asked(index),
            Request::Stop(_) => {
                self.processes[index].stop_asked = true;
                self.processes[index].restart_asked = false;
                self.stop(index);
                Answer::done()
            }
            Request::Restart(_) if self.processes[index].is_alive() => {
                self.processes[index].restart_asked = true;
                self.stop(index);
                Answer::done()
            }
            Request::Restart(_) => self.start_asked(index),
            Request::KeepDown(_, span) => {
                let until = span.map(|span| Instant::now() + span.duration());
                self.processes[index].kept_down = Some(until);
                Answer::done()
            }
            Request::Release(_) => {
                self.processes[index].kept_down = None;
                self.go_on_if_released(index);
                Answer::done()
            }
            Request::Signal(_, number) => match self.send(index, number, "control") {
                true => Answer::done(),
                false => Answer::refused("it does not run"),
            },
            Request::Status | Request::Shutdown => unreachable!("they are about no process"),
        }
    }

    fn start_asked(&mut self, index: usize) -> Answer {
        match &self.processes[index].phase {
            Phase::Down { .. } | Phase::Delayed { .. } | Phase::Waiting => {
                self.processes[index].forget_starts();
                self.begin(index);
                Answer::done()
            }
            Phase::KeptDown => Answer::refused("it is kept down: release it"),
            Phase::Preparing { .. } | Phase::Alive(_) => Answer::refused("it runs, or is about to"),
        }
    }

    fn status(&self) -> Answer {
        let state = |it: &super::super::process::Supervised| State {
            process: it.name.clone(),
            phase: it.phase_name(),
            life: it.life,
            pid: match &it.phase {
                Phase::Alive(life) => Some(life.main.identity.pid),
                _ => None,
            },
            kept_down: it.kept_down.is_some(),
        };
        Answer { processes: self.processes.iter().map(state).collect(), ..Answer::done() }
    }
}
