//! The timeline of a trial: what happened to each process, in order, bounded.

use crate::lifecycle::{End, Exit, Lifecycle, Record};
use crate::signal::Signal;
use crate::trial::{Heartbeats, TrialEvent};
use serde::{Deserialize, Serialize};

/// Marks of one timeline; the rest is counted.
const MARKS_MAX: usize = 400;
/// Checkpoints among them: a target that saves often must not hide its restarts.
const CHECKPOINTS_MAX: usize = 150;

/// What happened in a trial. Its clock is the supervisor's, which began with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The marks, in the order in which they were told.
    pub marks: Vec<Mark>,
    /// How many are left out.
    pub omitted: u64,
    /// Signs of life, one entry for each life of a process that gave some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heartbeats: Vec<Heartbeats>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When, in microseconds since the supervisor began.
    pub at_us: u64,
    /// Whom it is about: a process or a role; empty if it is about all.
    pub who: String,
    /// What kind of thing.
    pub kind: MarkKind,
    /// In words.
    pub text: String,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// A process was started.
    Started,
    /// It was ready.
    Ready,
    /// It ended as it should.
    Stopped,
    /// It ended otherwise.
    Died,
    /// It said that a checkpoint is on disk.
    Checkpoint,
    /// A fault was carried out.
    Struck,
    /// A fault met nobody.
    Missed,
    /// The target was ready again.
    Recovered,
    /// The workload began or ended.
    Workload,
    /// Something else that a reader should know.
    Notice,
}

impl Timeline {
    /// Adds what an event tells.
    pub(super) fn apply(&mut self, event: &TrialEvent) {
        match event {
            TrialEvent::Told { record, .. } => self.told(record),
            TrialEvent::Heartbeats { heartbeats, .. } => self.heartbeats.push(heartbeats.clone()),
            TrialEvent::WorkloadStarted { at_us, .. } => {
                self.push(*at_us, "", MarkKind::Workload, "the workload was started".to_owned());
            }
            TrialEvent::WorkloadEnded { at_us: Some(at_us), status, timed_out, .. } => {
                let how = match (status, timed_out) {
                    (_, true) => "the workload's time was over; it was stopped".to_owned(),
                    (Some(status), _) => format!("the workload ended with status {status}"),
                    (None, _) => "the workload was ended by a signal".to_owned(),
                };
                self.push(*at_us, "", MarkKind::Workload, how);
            }
            TrialEvent::StrikePlanned { strike, fault, position, processes, .. } => {
                let text = format!("strike {strike}: {fault}");
                let named = position.role.iter().chain(processes.iter());
                let mut names: Vec<&String> = named.collect();
                names.dedup();
                if names.is_empty() {
                    self.push(position.at_us, "", MarkKind::Struck, text.clone());
                }
                for name in names {
                    self.push(position.at_us, name, MarkKind::Struck, text.clone());
                }
            }
            TrialEvent::Struck { reason: Some(_), detail, .. } => self.struck_nobody(detail),
            TrialEvent::Recovered { strike, first_good_us, .. } => {
                let struck = self.marks.iter().rfind(|mark| mark.kind == MarkKind::Struck);
                if let Some(struck) = struck {
                    let text = format!("ready again after strike {strike}");
                    self.push(struck.at_us + first_good_us, "", MarkKind::Recovered, text);
                }
            }
            _ => {}
        }
    }

    /// What was about to be done met nobody.
    fn struck_nobody(&mut self, detail: &str) {
        let Some(at_us) = self.last_strike() else { return };
        for mark in self.marks.iter_mut().rev().filter(|mark| mark.at_us == at_us) {
            if mark.kind == MarkKind::Struck {
                mark.kind = MarkKind::Missed;
                mark.text = format!("{}: {detail}", mark.text);
            }
        }
    }

    fn last_strike(&self) -> Option<u64> {
        let last = self.marks.iter().rfind(|mark| mark.kind == MarkKind::Struck);
        last.map(|mark| mark.at_us)
    }

    fn told(&mut self, record: &Record) {
        let life = record.life.unwrap_or(1);
        let (kind, text) = match &record.event {
            Lifecycle::Started { pid, fallback, .. } => {
                let by = if *fallback { ", its fallback command" } else { "" };
                (MarkKind::Started, format!("life {life} started as process {pid}{by}"))
            }
            Lifecycle::Ready { after_us } => {
                (MarkKind::Ready, format!("ready {} ms after its start", after_us / 1_000))
            }
            Lifecycle::Ended { end, exit, .. } => {
                let kind = match end {
                    End::Stopped | End::Finished => MarkKind::Stopped,
                    _ => MarkKind::Died,
                };
                (kind, ended(*end, *exit))
            }
            Lifecycle::CheckpointSaved { sequence } => {
                (MarkKind::Checkpoint, format!("checkpoint {sequence}"))
            }
            other => match notice(other) {
                Some(text) => (MarkKind::Notice, text),
                None => return,
            },
        };
        self.push(record.at_us, record.process.as_deref().unwrap_or_default(), kind, text);
    }

    fn push(&mut self, at_us: u64, who: &str, kind: MarkKind, text: String) {
        let is_checkpoint = kind == MarkKind::Checkpoint;
        let checkpoints = self.marks.iter().filter(|it| it.kind == MarkKind::Checkpoint).count();
        if self.marks.len() >= MARKS_MAX || is_checkpoint && checkpoints >= CHECKPOINTS_MAX {
            self.omitted += 1;
            return;
        }
        self.marks.push(Mark { at_us, who: who.to_owned(), kind, text });
    }

    /// Whether nothing happened, or nothing of it is kept.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.omitted == 0 && self.heartbeats.is_empty()
    }

    /// When the last thing happened, in microseconds.
    pub fn end_us(&self) -> u64 {
        let marks = self.marks.iter().map(|mark| mark.at_us);
        marks.chain(self.heartbeats.iter().map(|beats| beats.last_us)).max().unwrap_or(0)
    }

    /// Whom it is about, in the order in which they come up.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for mark in &self.marks {
            if !mark.who.is_empty() && !names.contains(&mark.who.as_str()) {
                names.push(&mark.who);
            }
        }
        names
    }
}

/// How a process ended, in words.
pub fn ended(end: End, exit: Option<Exit>) -> String {
    match exit {
        Some(Exit::Status(status)) => format!("{end}, exit status {status}"),
        Some(Exit::Signal { number, core }) => {
            let name = Signal::try_from(number)
                .map_or_else(|_| format!("signal {number}"), |signal| signal.to_string());
            let core = if core { ", core dumped" } else { "" };
            format!("{end}, {name}{core}")
        }
        None => end.to_string(),
    }
}

fn notice(event: &Lifecycle) -> Option<String> {
    Some(match event {
        Lifecycle::StartFailed { error } => format!("could not be started: {error}"),
        Lifecycle::NotReady { timeout_ms } => format!("not ready within {timeout_ms} ms"),
        Lifecycle::HeartbeatMissed { timeout_ms } => format!("silent for {timeout_ms} ms"),
        Lifecycle::StartLimitReached { count, within_ms } => {
            format!("started {count} times within {within_ms} ms")
        }
        Lifecycle::SafeMode { .. } => "its fallback command takes its place".to_owned(),
        Lifecycle::GaveUp { reason } => format!("given up: {reason}"),
        Lifecycle::KeptDown { .. } => "its restart is inhibited".to_owned(),
        Lifecycle::Released {} => "its restart is not inhibited any more".to_owned(),
        Lifecycle::CheckpointHandedBack { sequence: Some(sequence), .. } => {
            format!("checkpoint {sequence} was handed back")
        }
        Lifecycle::CheckpointHandedBack { .. } => "its checkpoint was handed back".to_owned(),
        Lifecycle::SchemaMismatch { accepts, .. } => {
            format!("the version of its state is not in {accepts}")
        }
        Lifecycle::TooManyProcesses { count, max } => {
            format!("{count} processes, at most {max} may be")
        }
        Lifecycle::OutputCut { .. } => "prints more than is kept".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::Position;
    use crate::verdict::Reason;

    fn told(at_us: u64, life: u32, event: Lifecycle) -> TrialEvent {
        let record = Record {
            version: 1,
            ordinal: 1,
            at_us,
            time: String::new(),
            process: Some("app".to_owned()),
            life: Some(life),
            event,
        };
        TrialEvent::Told { trial: 1, record: record.into() }
    }

    fn strike(at_us: u64) -> TrialEvent {
        TrialEvent::StrikePlanned {
            trial: 1,
            strike: 1,
            fault: "kill".to_owned(),
            position: Position { at_us, ..Position::default() },
            pids: vec![7],
            processes: vec!["app".to_owned()],
        }
    }

    fn kinds(timeline: &Timeline) -> Vec<(u64, MarkKind)> {
        timeline.marks.iter().map(|mark| (mark.at_us, mark.kind)).collect()
    }

    #[test]
    fn a_recovery_stands_where_the_target_was_ready_again() {
        let mut timeline = Timeline::default();
        let killed = Some(Exit::Signal { number: 9, core: false });
        for event in [
            told(
                5,
                1,
                Lifecycle::Started {
                    pid: 7,
                    command: Vec::new(),
                    fallback: false,
                    not_before: String::new(),
                },
            ),
            strike(100),
            told(
                120,
                1,
                Lifecycle::Ended { end: End::Killed, exit: killed, after_us: 1, swept: 0 },
            ),
            TrialEvent::Recovered { trial: 1, strike: 1, last_bad_us: 40, first_good_us: 50 },
        ] {
            timeline.apply(&event);
        }
        assert_eq!(
            kinds(&timeline),
            [
                (5, MarkKind::Started),
                (100, MarkKind::Struck),
                (120, MarkKind::Died),
                (150, MarkKind::Recovered)
            ]
        );
        assert_eq!(timeline.marks[2].text, "killed, SIGKILL");
        assert_eq!((timeline.names(), timeline.end_us()), (vec!["app"], 150));
    }

    #[test]
    fn a_strike_that_met_nobody_is_shown_as_missed() {
        let mut timeline = Timeline::default();
        timeline.apply(&strike(100));
        timeline.apply(&TrialEvent::Struck {
            trial: 1,
            strike: 1,
            strikes: Vec::new(),
            reason: Some(Reason::NotFired),
            detail: "no process is meant".to_owned(),
        });
        assert_eq!(kinds(&timeline), [(100, MarkKind::Missed)]);
        assert!(timeline.marks[0].text.contains("no process is meant"));
    }

    #[test]
    fn many_checkpoints_leave_room_for_what_comes_after_them() {
        let mut timeline = Timeline::default();
        for sequence in 0..1_000 {
            timeline.apply(&told(sequence, 1, Lifecycle::CheckpointSaved { sequence }));
        }
        timeline.apply(&told(2_000, 1, Lifecycle::GaveUp { reason: "tired".to_owned() }));
        assert_eq!(timeline.marks.len(), CHECKPOINTS_MAX + 1);
        assert_eq!(timeline.omitted, 1_000 - CHECKPOINTS_MAX as u64);
        for _ in 0..1_000 {
            timeline.apply(&told(3_000, 1, Lifecycle::GaveUp { reason: "tired".to_owned() }));
        }
        assert_eq!(timeline.marks.len(), MARKS_MAX);
    }
}
