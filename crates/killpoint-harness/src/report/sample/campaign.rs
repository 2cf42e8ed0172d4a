//! The report of a scenario's run, and a hostile one.

use killpoint_model::crash::{
    Below, Crash, DumpFile, DumpedBy, Frame, LastCheckpoint, LogLines, Stack,
};
use killpoint_model::event::Event;
use killpoint_model::lifecycle::{End, Exit, Lifecycle, Record, Stream};
use killpoint_model::objective::Measurement;
use killpoint_model::report::Report;
use killpoint_model::resources::{ResourceSample, ResourceSeries};
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

/// Every text of it names the process, which may be hostile.
fn crash(trial: u64, name: &str) -> Crash {
    let frame = Frame {
        module: name.to_owned(),
        function: Some("save".to_owned()),
        source: None,
        offset: 16,
        in_application: true,
    };
    let lines = vec![format!("{name} goes down")];
    Crash {
        id: format!("7f3a12-{trial}-1"),
        run: "7f3a12".to_owned(),
        commit: Some(name.to_owned()),
        job_url: Some(name.to_owned()),
        trial,
        attempt: 1,
        rerun_of: None,
        strike: trial.is_multiple_of(2).then_some(1),
        process: name.to_owned(),
        life: 1,
        pid: 7,
        below: (trial == 3).then(|| Below {
            role: Some(name.to_owned()),
            executable: format!("/opt/{name}"),
            command: format!("{name} --worker"),
            next_event_ordinal: Some(12),
        }),
        end: End::Killed,
        exit: Some(Exit::Signal { number: 11, core: false }),
        at_us: 160_000,
        time: "2026-11-27T03:00:00Z".to_owned(),
        event_ordinal: 9,
        checkpoint: Some(LastCheckpoint {
            process: name.to_owned(),
            sequence: 3,
            event_ordinal: 4,
        }),
        log: vec![LogLines { life: 1, stream: Stream::Error, lines }],
        dumps: vec![DumpFile { path: format!("{name}.dmp"), bytes: 9, by: DumpedBy::Watch }],
        problem: String::new(),
        stack: Some(Stack { reason: "SIGSEGV".to_owned(), frames: vec![frame] }),
    }
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
        let started = || Lifecycle::Started {
            pid: 7,
            command: Vec::new(),
            fallback: false,
            not_before: String::new(),
        };
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
        let heartbeats_of = name.clone();
        let heartbeats = Heartbeats {
            process: name,
            life: 1,
            count: 12,
            first_us: 1,
            last_us: 100_000,
            longest_gap_us: 9_000,
        };
        self.tell(TrialEvent::Heartbeats { trial, heartbeats });
        if is_struck {
            self.tell(TrialEvent::Crashed(Box::new(crash(trial, &heartbeats_of))));
        }
        let sample =
            |at_ms| ResourceSample { at_ms, memory_kib: 2_048, ..ResourceSample::default() };
        let samples = vec![sample(100), sample(200)];
        let series = vec![ResourceSeries { who: heartbeats_of, samples }];
        self.tell(TrialEvent::Resources { trial, series });
        self.tell(TrialEvent::Ended {
            trial,
            attempt: 1,
            fired: u64::from(is_struck),
            judgement,
            also: Vec::new(),
            known: false,
            unrecovered: false,
            replay: format!("killpoint run plan.json --trial {trial}"),
            seconds: 0.5,
        });
    }
}
