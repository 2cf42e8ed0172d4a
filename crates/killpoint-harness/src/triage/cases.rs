//! What went wrong in one run: findings, processes that died by themselves, and trials that did not hold.

use super::{By, Case, Seen};
use crate::store::RunFolder;
use killpoint_model::event::Event;
use killpoint_model::finding::Finding;
use killpoint_model::lifecycle::{End, Exit, Lifecycle, Record};
use killpoint_model::signal::Signal;
use killpoint_model::trial::TrialEvent;
use killpoint_model::verdict::{Judgement, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Most bytes of the end of an output that are looked at.
const TAIL_BYTES_MAX: u64 = 64 << 10;
/// What a line of somebody who dies says.
const LAST_WORDS: [&str; 8] =
    ["panic", "fatal", "error", "exception", "assert", "abort", "sanitizer", "segmentation"];

/// The cases of a run.
pub(super) struct Run {
    pub(super) id: String,
    pub(super) started: String,
    pub(super) cases: Vec<Case>,
}

/// Reads them off its events.
pub(super) fn of_run(folder: &RunFolder, events: &[Event]) -> Run {
    let mut reader = Reader {
        folder,
        seen: Seen { run: folder.id().to_owned(), time: String::new(), commit: None },
        cases: Vec::new(),
        pids: BTreeMap::new(),
        struck: BTreeSet::new(),
        folder_of_trial: String::new(),
        crashes: Vec::new(),
    };
    for event in events {
        reader.take(event);
    }
    reader.end_trial("");
    Run { id: folder.id().to_owned(), started: reader.seen.time.clone(), cases: reader.cases }
}

/// A process that died, until it is known whether a strike did it.
struct Crash {
    pid: Option<i32>,
    process: String,
    case: Case,
}

struct Reader<'a> {
    folder: &'a RunFolder,
    seen: Seen,
    cases: Vec<Case>,
    /// Of each process and life of the present trial.
    pids: BTreeMap<(String, u32), i32>,
    /// Those that were struck in the present trial.
    struck: BTreeSet<i32>,
    folder_of_trial: String,
    crashes: Vec<Crash>,
}

impl Reader<'_> {
    fn take(&mut self, event: &Event) {
        match event {
            Event::RunStarted { run, started, commit, .. } => {
                self.seen =
                    Seen { run: run.clone(), time: started.clone(), commit: commit.clone() };
            }
            Event::Found { finding, .. } => self.cases.push(of_finding(finding, &self.seen)),
            Event::Trial(event) => self.take_trial(event),
            _ => {}
        }
    }

    fn take_trial(&mut self, event: &TrialEvent) {
        match event {
            TrialEvent::Started { trial, attempt, .. } => {
                self.end_trial("");
                self.folder_of_trial = match attempt {
                    1 => format!("trials/{trial}"),
                    _ => format!("trials/{trial}.{attempt}"),
                };
            }
            TrialEvent::Told { record, .. } => self.take_record(record),
            TrialEvent::StrikePlanned { pids, .. } => self.struck.extend(pids),
            TrialEvent::Ended { judgement, replay, trial, .. } => {
                let had_crash = self.end_trial(replay) > 0;
                // A crash explains the verdict of its trial; without one the verdict is the case.
                if judgement.verdict != Verdict::Held && !had_crash {
                    self.cases.push(of_verdict(judgement, *trial, replay, &self.seen));
                }
            }
            _ => {}
        }
    }

    fn take_record(&mut self, record: &Record) {
        let process = record.process.clone().unwrap_or_default();
        let life = record.life.unwrap_or_default();
        match &record.event {
            Lifecycle::Started { pid, .. } => {
                self.pids.insert((process, life), *pid);
            }
            Lifecycle::Ended { end, exit, .. } => {
                if let Some(how) = how_it_died(*end, *exit) {
                    let pid = self.pids.get(&(process.clone(), life)).copied();
                    let case = self.of_crash(&process, life, &how, record);
                    self.crashes.push(Crash { pid, process, case });
                }
            }
            _ => {}
        }
    }

    /// A trial is over: which deaths were no strike's is known. How many there were.
    fn end_trial(&mut self, replay: &str) -> usize {
        let struck = std::mem::take(&mut self.struck);
        self.pids.clear();
        let crashes = std::mem::take(&mut self.crashes);
        let own = crashes.into_iter().filter(|crash| {
            !crash.process.is_empty() && crash.pid.is_none_or(|pid| !struck.contains(&pid))
        });
        let own: Vec<Case> =
            own.map(|crash| Case { replay: replay.to_owned(), ..crash.case }).collect();
        let count = own.len();
        self.cases.extend(own);
        count
    }

    fn of_crash(&self, process: &str, life: u32, how: &str, record: &Record) -> Case {
        let output = self.folder.join(&self.folder_of_trial).join("output");
        let streams = ["stderr", "stdout"];
        let said = streams
            .iter()
            .find_map(|stream| last_words(&output.join(format!("{process}.{life}.{stream}"))));
        let example = said.clone().unwrap_or_else(|| "it said nothing".to_owned());
        Case {
            seen: Seen { time: record.time.clone(), ..self.seen.clone() },
            what: format!("{process} died: {how}"),
            by: By::LogTemplate,
            words: said.unwrap_or_default(),
            example: format!("{}, life {life} of {process}: {example}", self.folder_of_trial),
            replay: String::new(),
        }
    }
}

/// How a process died, if it did so by itself.
fn how_it_died(end: End, exit: Option<Exit>) -> Option<String> {
    let how = match exit {
        Some(Exit::Signal { number, .. }) => {
            let signal = Signal::try_from(number).ok();
            signal.map_or_else(|| format!("signal {number}"), |signal| signal.to_string())
        }
        Some(Exit::Status(status)) => format!("exit status {status}"),
        None => String::new(),
    };
    match end {
        End::Failed | End::Killed => Some(how),
        End::Hung | End::NeverReady | End::StartFailed | End::TooManyProcesses => {
            Some(end.to_string())
        }
        _ => None,
    }
}

/// The last line of an output that tells of a death, or the last one.
fn last_words(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_telling = |line: &&str| {
        let line = line.to_lowercase();
        // How to see more is no word about a death.
        !line.starts_with("note:") && LAST_WORDS.iter().any(|word| line.contains(word))
    };
    let telling = lines.clone().rfind(is_telling);
    telling.or_else(|| lines.next_back()).map(str::to_owned)
}

fn of_finding(finding: &Finding, seen: &Seen) -> Case {
    Case {
        seen: seen.clone(),
        what: format!("finding: {}", finding.class),
        by: By::Finding,
        words: format!("{}: {}", finding.address.shape(), without_ordinals(&finding.cause)),
        example: format!("{} under {}: {}", finding.shown, finding.model, finding.detail),
        replay: finding.replay.clone(),
    }
}

fn of_verdict(judgement: &Judgement, trial: u64, replay: &str, seen: &Seen) -> Case {
    let which = if trial == 0 { "the control".to_owned() } else { format!("trial {trial}") };
    Case {
        seen: seen.clone(),
        what: format!("verdict: {}", judgement.verdict),
        by: By::Verdict,
        words: judgement.detail.clone(),
        example: format!("{which}: {}", judgement.detail),
        replay: replay.to_owned(),
    }
}

/// `write(a)#3` is `write(a)`: which of several it was makes no other cause.
fn without_ordinals(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('#') {
        plain.push_str(&rest[..start]);
        let after = &rest[start + 1..];
        let trimmed = after.trim_start_matches(|c: char| c.is_ascii_digit());
        if trimmed.len() == after.len() {
            plain.push('#');
        }
        rest = trimmed;
    }
    plain.push_str(rest);
    plain
}
