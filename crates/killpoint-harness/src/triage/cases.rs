//! What went wrong in one run: findings, crashes that no strike caused, and trials that did not hold.

use super::{By, Case, Seen};
use crate::report::words::times;
use crate::store::RunFolder;
use killpoint_model::Outcome;
use killpoint_model::crash::Crash;
use killpoint_model::event::Event;
use killpoint_model::finding::Finding;
use killpoint_model::lifecycle::{End, Exit, Stream};
use killpoint_model::report::Report;
use killpoint_model::signal::Signal;
use killpoint_model::trial::TrialEvent;
use killpoint_model::verdict::{Judgement, Verdict};

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
        seen: Seen { run: folder.id().to_owned(), time: String::new(), commit: None },
        cases: Vec::new(),
        crashes_begin: 0,
    };
    for event in events {
        reader.take(event);
    }
    if reader.cases.is_empty() && matches!(events.last(), Some(Event::RunEnded { .. })) {
        reader.end(&Report::of_log(events));
    }
    Run { id: folder.id().to_owned(), started: reader.seen.time.clone(), cases: reader.cases }
}

struct Reader {
    seen: Seen,
    cases: Vec<Case>,
    /// Where those of the present trial begin.
    crashes_begin: usize,
}

impl Reader {
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

    /// What could not be judged, or a run that came to no verdict, is a case of its own where nothing else is.
    fn end(&mut self, report: &Report) {
        for unknown in &report.unknown {
            self.cases.push(Case {
                seen: self.seen.clone(),
                what: format!("verdict: {}", Verdict::Unknown(unknown.reason)),
                by: By::Verdict,
                words: unknown.detail.clone(),
                example: format!("{}: {}", times(unknown.count), unknown.detail),
                replay: String::new(),
            });
        }
        let came_to_none = !matches!(report.result, Outcome::Pass | Outcome::Violated);
        if came_to_none && self.cases.is_empty() {
            self.cases.push(Case {
                seen: self.seen.clone(),
                what: format!("the run ended {}", report.result),
                by: By::Verdict,
                words: report.explanation.clone(),
                example: report.explanation.clone(),
                replay: String::new(),
            });
        }
    }

    fn take_trial(&mut self, event: &TrialEvent) {
        match event {
            TrialEvent::Started { .. } => self.crashes_begin = self.cases.len(),
            TrialEvent::Crashed(crash) if crash.is_own() => {
                self.cases.push(of_crash(crash, &self.seen));
            }
            TrialEvent::Ended { judgement, replay, trial, .. } => {
                let crashes = &mut self.cases[self.crashes_begin..];
                for crash in crashes.iter_mut() {
                    crash.replay.clone_from(replay);
                }
                // A crash explains the verdict of its trial; without one the verdict is the case.
                if judgement.verdict != Verdict::Held && crashes.is_empty() {
                    self.cases.push(of_verdict(judgement, *trial, replay, &self.seen));
                }
                self.crashes_begin = self.cases.len();
            }
            _ => {}
        }
    }
}

fn of_crash(crash: &Crash, seen: &Seen) -> Case {
    let how = how_it_died(crash.end, crash.exit);
    let said = last_words(crash);
    let shown = said.clone().unwrap_or_else(|| "it said nothing".to_owned());
    let signature = crash.stack.as_ref().and_then(|stack| stack.signature());
    let by = if signature.is_some() { By::Stack } else { By::LogTemplate };
    Case {
        seen: Seen { time: crash.time.clone(), ..seen.clone() },
        what: format!("{} died: {how}", crash.who()),
        by,
        words: signature.or(said).unwrap_or_default(),
        example: format!("crash {}, life {} of {}: {shown}", crash.id, crash.life, crash.process),
        replay: String::new(),
    }
}

/// How a process died.
fn how_it_died(end: End, exit: Option<Exit>) -> String {
    match (end, exit) {
        (End::Failed | End::Killed | End::Detached, Some(Exit::Signal { number, .. })) => {
            let signal = Signal::try_from(number).ok();
            signal.map_or_else(|| format!("signal {number}"), |signal| signal.to_string())
        }
        (End::Failed | End::Killed, Some(Exit::Status(status))) => format!("exit status {status}"),
        _ => end.to_string(),
    }
}

/// The last line of its life that tells of a death, or the last one; what it said as an error first.
fn last_words(crash: &Crash) -> Option<String> {
    let of = |stream: Stream| {
        let logs =
            crash.log.iter().filter(move |log| log.life == crash.life && log.stream == stream);
        let lines = logs.flat_map(|log| &log.lines).map(|line| line.trim());
        lines.filter(|line| !line.is_empty()).collect::<Vec<&str>>()
    };
    let is_telling = |line: &&&str| {
        let line = line.to_lowercase();
        // How to see more is no word about a death.
        !line.starts_with("note:") && LAST_WORDS.iter().any(|word| line.contains(word))
    };
    [Stream::Error, Stream::Output].into_iter().find_map(|stream| {
        let lines = of(stream);
        let telling = lines.iter().rfind(is_telling).or_else(|| lines.last());
        telling.map(|line| (*line).to_owned())
    })
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
