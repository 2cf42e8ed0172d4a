//! The report of a scenario's run, and a hostile one.

use killpoint_model::event::Event;
use killpoint_model::lifecycle::{End, Exit, Lifecycle, Record};
use killpoint_model::objective::Measurement;
use killpoint_model::report::Report;
use killpoint_model::trial::{Heartbeats, Position, TrialEvent};
use killpoint_model::{Class, Judgement, Outcome};

/// Trials of which every second one lost something; `name` is the target's process.
pub fn campaign(name: &str, trials: u64) -> Report {
    let mut told = Told { report: super::pass(), at_us: 0, name: name.to_owned() };
    told.report = Report { setting: told.report.setting, ..Report::empty() };
    told.tell(TrialEvent::Planned {
        title: format!("{name} survives"),
        digest: "d1ge57".to_owned(),
        trials,
        strikes: trials,
        rounds: Some(1),
        remarks: vec!["only some of the plan".to_owned()],
    });
    for trial in 0..=trials {
        told.trial(trial);
    }
    told.tell(TrialEvent::Measured(
        Measurement::of("data-loss", "7 values").against("at most 0", false),
    ));
    told.tell(TrialEvent::Measured(Measurement::of("restarts", "5")));
    told.report.apply(&Event::RunEnded { result: Outcome::Violated, explanation: String::new() });
    told.report
}

struct Told {
    report: Report,
    at_us: u64,
    name: String,
}

impl Told {
    fn tell(&mut self, event: TrialEvent) {
        self.report.apply(&Event::Trial(Box::new(event)));
    }

    fn lifecycle(&mut self, trial: u64, life: u32, event: Lifecycle) {
        self.at_us += 40_000;
        let record = Record {
            version: 1,
            ordinal: 1,
            at_us: self.at_us,
            time: String::new(),
            process: Some(self.name.clone()),
            life: Some(life),
            event,
        };
        self.tell(TrialEvent::Told { trial, record: record.into() });
    }

    fn trial(&mut self, trial: u64) {
        self.at_us = 0;
        let name = self.name.clone();
        let rule = if trial == 0 { String::new() } else { name.clone() };
        self.tell(TrialEvent::Started { trial, attempt: 1, rule, rerun_of: None, expected: None });
        let started = || Lifecycle::Started { pid: 7, command: Vec::new(), fallback: false };
        self.lifecycle(trial, 1, started());
        self.lifecycle(trial, 1, Lifecycle::Ready { after_us: 40_000 });
        self.lifecycle(trial, 1, Lifecycle::CheckpointSaved { sequence: 3 });
        let is_struck = trial > 0;
        let lost = trial > 0 && trial.is_multiple_of(2);
        if is_struck {
            let position = Position { at_us: self.at_us, ..Position::default() };
            self.tell(TrialEvent::StrikePlanned {
                trial,
                strike: 1,
                fault: "kill".to_owned(),
                position,
                pids: vec![7],
                processes: vec![name.clone()],
            });
            let exit = Some(Exit::Signal { number: 9, core: false });
            self.lifecycle(
                trial,
                1,
                Lifecycle::Ended { end: End::Killed, exit, after_us: 9, swept: 0 },
            );
            self.lifecycle(trial, 2, started());
            let (last_bad_us, first_good_us) = (60_000 + trial, 90_000 + trial);
            self.tell(TrialEvent::Recovered { trial, strike: 1, last_bad_us, first_good_us });
        }
        let judgement = match lost {
            true => Judgement::violated(Class::Lost, format!("{name} is gone")),
            false => Judgement::held(),
        };
        let heartbeats = Heartbeats {
            process: name,
            life: 1,
            count: 12,
            first_us: 1,
            last_us: 100_000,
            longest_gap_us: 9_000,
        };
        self.tell(TrialEvent::Heartbeats { trial, heartbeats });
        self.tell(TrialEvent::Ended {
            trial,
            attempt: 1,
            fired: u64::from(is_struck),
            judgement,
            known: false,
            replay: format!("killpoint run plan.json --trial {trial}"),
            seconds: 0.5,
        });
    }
}
