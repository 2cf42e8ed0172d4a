//! Whether it is the target that answers where it is asked: somebody else who listens there shows nothing about it.

use super::CampaignError;
use super::asking::{Question, at, questions};
use super::judging;
use super::trial::Trial;
use super::world::World;
use crate::asserter::invariants::is_answered;
use crate::interrupt::Interrupt;
use crate::processes::{Listening, who_listens};
use killpoint_model::Scenario;
use killpoint_model::event::Event;
use killpoint_model::invariant::Invariant;
use killpoint_model::report::NotCovered;
use killpoint_model::supervision::Probe;
use std::thread;
use std::time::{Duration, Instant};

/// How long who answers before the target is started may take to leave, as what an earlier trial left does: as
/// long as a target has to stop, and no longer than this.
const LEAVING_MAX: Duration = Duration::from_secs(10);
/// Time between two looks whether he has.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The port of addresses of HTTP that name none.
const HTTP_PORT: u16 = 80;

/// Before a target is started: why what answers at its readiness address is not it.
pub(super) fn answers_already(
    scenario: &Scenario,
    world: &World,
    interrupt: &Interrupt,
) -> Option<String> {
    let until = Instant::now() + scenario.timeouts.stop.duration().min(LEAVING_MAX);
    questions(scenario, world).iter().find_map(|question| {
        let who = who_answers_already(question, until, interrupt)?;
        Some(format!(
            "{} answered before the target was started: {who} listens there. So an answer there says nothing about \
             the target: end that process, or give the target another address.",
            at(&question.probe)
        ))
    })
}

fn who_answers_already(
    question: &Question,
    until: Instant,
    interrupt: &Interrupt,
) -> Option<String> {
    while is_answered(&question.probe, &question.directory) {
        if Instant::now() < until && !interrupt.is_requested() {
            thread::sleep(LOOK_INTERVAL);
            continue;
        }
        let address = address(&question.probe)?;
        return match who_listens(&address, std::process::id().cast_signed()) {
            Listening::Below => Some("a process that this run started".to_owned()),
            Listening::Others(who) => Some(who),
            // A path leads nowhere else than to this machine.
            Listening::Unknown if is_path(&address) => Some("somebody".to_owned()),
            Listening::Unknown => None,
        };
    }
    None
}

impl Trial<'_, '_> {
    /// Before anything is done to a target that is ready: where it listens itself. From then on nobody else counts
    /// there.
    pub(super) fn learn_who_serves(&mut self) -> Result<(), CampaignError> {
        for question in questions(&self.stage.plan.scenario, &self.world) {
            match self.listening(&question.probe) {
                Listening::Below => {
                    self.serving.insert(question.process);
                }
                Listening::Others(who) => self.tell_stranger(&question.probe, &who)?,
                Listening::Unknown => self.tell_unseen(&question.probe)?,
            }
        }
        let reader = judging::live(&self.world);
        let asked = self.stage.plan.scenario.invariants.iter().filter_map(asked);
        let asked: Vec<Probe> = asked.map(|probe| reader.real_probe(&probe)).collect();
        for asked in asked {
            if let Listening::Others(who) = self.listening(&asked) {
                self.tell_stranger(&asked, &who)?;
            }
        }
        Ok(())
    }

    /// In the control, once for each address: it is not the target that answers there.
    fn tell_stranger(&mut self, asked: &Probe, who: &str) -> Result<(), CampaignError> {
        let reason = format!(
            "at {} {who} listens, which is not of the target: that it answers shows only as much of the target as is \
             passed on there",
            at(asked)
        );
        self.tell_in_control(reason)
    }

    /// In the control, once for each Unix socket: nobody can say whether it is the target that answers there.
    /// Where an address leads is not known as surely: whoever answers there is believed.
    fn tell_unseen(&mut self, asked: &Probe) -> Result<(), CampaignError> {
        if !address(asked).is_some_and(|address| is_path(&address)) {
            return Ok(());
        }
        let at = at(asked);
        self.tell_in_control(format!(
            "who listens at {at} cannot be seen (it has ended, or runs in another PID namespace): whoever answers \
             there counts as the target, somebody else who takes its place, too"
        ))
    }

    fn tell_in_control(&mut self, reason: String) -> Result<(), CampaignError> {
        if self.number > 0 || self.stage.is_not_covered(&reason) {
            return Ok(());
        }
        let gap = NotCovered { file: "*".to_owned(), reason, needed: false };
        self.stage.journalist.tell(Event::NotCovered(gap))?;
        Ok(())
    }

    /// Where somebody else answers now in the place of the target, which listened there itself, and who.
    pub(super) fn stranger(&self, questions: &[Question]) -> Option<String> {
        let mut served = questions.iter().filter(|it| self.serving.contains(&it.process));
        served.find_map(|question| match self.listening(&question.probe) {
            Listening::Others(who) => Some(format!(
                "{}, where {who} listens, which is not of the target",
                at(&question.probe)
            )),
            Listening::Below | Listening::Unknown => None,
        })
    }

    fn listening(&self, probe: &Probe) -> Listening {
        let asked = address(probe).zip(self.state.supervisor);
        asked.map_or(Listening::Unknown, |(address, root)| who_listens(&address, root))
    }
}

/// Where an invariant asks.
fn asked(invariant: &Invariant) -> Option<Probe> {
    match invariant {
        Invariant::ProbeAnswers(it) => Some(it.by.clone()),
        Invariant::RequestAnswered(it) => Some(Probe::Http(it.ask.url.clone())),
        _ => None,
    }
}

/// Whether an address is the path of a Unix socket.
fn is_path(address: &str) -> bool {
    address.contains('/')
}

/// Host and port of what is asked, or the path of a Unix socket.
fn address(probe: &Probe) -> Option<String> {
    match probe {
        Probe::Socket(address) => Some(address.to_string()),
        Probe::Http(url) => {
            let rest = url.strip_prefix("http://")?;
            let host = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
            let has_port =
                host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            Some(if has_port { host.to_owned() } else { format!("{host}:{HTTP_PORT}") })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_http_has_a_host_and_a_port() {
        let of = |url: &str| address(&Probe::Http(url.parse().expect("an address")));
        for (url, expected) in [
            ("http://127.0.0.1:8080/health?a=b", "127.0.0.1:8080"),
            ("http://localhost", "localhost:80"),
            ("http://[::1]/", "[::1]:80"),
            ("http://[::1]:81/", "[::1]:81"),
        ] {
            assert_eq!(of(url).as_deref(), Some(expected), "{url}");
        }
        let socket = |text: &str| address(&Probe::Socket(text.parse().expect("a socket")));
        assert_eq!(socket("127.0.0.1:1").as_deref(), Some("127.0.0.1:1"));
        assert_eq!(socket("/run/socket").as_deref(), Some("/run/socket"));
    }
}
