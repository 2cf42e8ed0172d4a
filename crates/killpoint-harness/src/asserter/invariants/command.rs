//! Commands: how they end, what they print, and whether that is tolerated.

use crate::asserter::checker;
use killpoint_model::invariant::{Said, Statuses, Tolerance};
use killpoint_model::verdict::{Class, Judgement, Reason};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Most bytes of output that are kept; a command that prints more is ended.
pub(super) const OUTPUT_BYTES_MAX: u64 = 16 << 20;
/// How much of an output a sentence shows, in characters.
const SHOWN_CHARACTERS_MAX: usize = 200;
/// The first status of an answer that tells of an error.
const ERROR_STATUS_MIN: i32 = 400;
/// How often it is looked whether a command has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// How a command ended, and what it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub how: How,
    /// What it printed.
    pub output: String,
    /// What it said on standard error.
    pub error: String,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It was a request, and this is the status of the answer.
    Answered(i32),
    /// It was a request, and nobody answered it.
    Unanswered(String),
    /// It was killed, as the run is stopped.
    Stopped,
    /// It was killed, as its time was over.
    TimedOut,
    /// It was killed, as it printed too much.
    TooMuch,
    /// It could not be started, and why.
    NotStarted(String),
}

/// Runs a command for at most so long; what it leaves in its process group is killed.
pub(super) fn run(command: Command, limit: Duration) -> Ended {
    run_unless(command, limit, &|| false)
}

/// The same, and no longer than until somebody stops it.
pub fn run_unless(mut command: Command, limit: Duration, is_stopped: &dyn Fn() -> bool) -> Ended {
    let failed = |error: io::Error| Ended {
        how: How::NotStarted(error.to_string()),
        output: String::new(),
        error: String::new(),
    };
    // Files: a full pipe would hold the command up, and an inherited one this process.
    let files = || Ok((tempfile::tempfile()?, tempfile::tempfile()?));
    let (mut output, mut error) = match files() {
        Ok(files) => files,
        Err(error) => return failed(error),
    };
    let streams = || Ok((output.try_clone()?, error.try_clone()?));
    let started = streams().and_then(|(output, error): (File, File)| {
        command.stdin(Stdio::null()).stdout(output).stderr(error).process_group(0).spawn()
    });
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return failed(error),
    };
    let how = wait(&mut child, limit, &output, is_stopped);
    let said = (text(&mut output), text(&mut error));
    match said {
        (Ok(output), Ok(error)) => Ended { how, output, error },
        (Err(error), _) | (_, Err(error)) => failed(error),
    }
}

fn wait(child: &mut Child, limit: Duration, output: &File, is_stopped: &dyn Fn() -> bool) -> How {
    let since = Instant::now();
    let how = loop {
        // Looked at without reaping, so that the group's number stays its own until it is killed.
        match has_ended(child) {
            Ok(true) => break None,
            Ok(false) if since.elapsed() > limit => break Some(How::TimedOut),
            Ok(false) if is_stopped() => break Some(How::Stopped),
            Ok(false) if output.metadata().is_ok_and(|data| data.len() > OUTPUT_BYTES_MAX) => {
                break Some(How::TooMuch);
            }
            Ok(false) => thread::sleep(LOOK_INTERVAL),
            Err(error) => break Some(How::NotStarted(error.to_string())),
        }
    };
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = child.wait();
    how.unwrap_or_else(|| match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => How::Exited(code),
            (None, signal) => How::Signalled(signal.unwrap_or_default()),
        },
        Err(error) => How::NotStarted(error.to_string()),
    })
}

fn has_ended(child: &Child) -> io::Result<bool> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    Ok(waitid(WaitId::Pid(Pid::from_child(child)), options)?.is_some())
}

fn text(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Ended {
    /// Why nothing can be said of what it printed; none where it ended by itself.
    pub fn problem(&self) -> Option<String> {
        match &self.how {
            How::Exited(code @ (126 | 127)) => Some(format!(
                "the command was not found or not to be run ({code}){}",
                self.saying()
            )),
            How::Exited(_) | How::Signalled(_) | How::Answered(_) | How::Unanswered(_) => None,
            How::Stopped => Some("the command was stopped, as the run was".to_owned()),
            How::TimedOut => Some("the command did not end in time".to_owned()),
            How::TooMuch => Some(format!("the command printed more than {OUTPUT_BYTES_MAX} bytes")),
            How::NotStarted(why) => Some(format!("the command could not be run: {why}")),
        }
    }

    /// Its last words, for the end of a sentence.
    pub(super) fn saying(&self) -> String {
        let said = if self.error.trim().is_empty() { &self.output } else { &self.error };
        match said.lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => format!(", saying \"{}\"", shown(line.trim())),
            None => String::new(),
        }
    }

    /// As a checker's reading of a store.
    pub(super) fn into_store(self, limit: Duration) -> checker::Reading {
        if let How::TimedOut = self.how {
            return checker::Reading::Hung(limit);
        }
        match (self.problem(), &self.how) {
            (Some(problem), _) => checker::Reading::NotRun(problem),
            (None, How::Exited(0)) => checker::Reading::Printed(self.output),
            (None, how) => checker::Reading::Refused { how: in_words(how), said: self.error },
        }
    }

    /// Whether it ended as is tolerated.
    pub fn judge(&self, tolerance: &Tolerance) -> Judgement {
        if let Some(problem) = self.problem() {
            return Judgement::unknown(Reason::JudgeFailed, super::sentence(&problem));
        }
        if let How::Unanswered(why) = &self.how {
            let why = format!("The request was not answered: {why}.");
            return Judgement::violated(Class::Bricked, why);
        }
        if let Some(problem) = self.untolerated(tolerance.exit.as_ref()) {
            return wrong(problem);
        }
        let said = self.said(tolerance.said);
        if let Some(pattern) = &tolerance.matches
            && !pattern.is_found_in(said)
        {
            let printed = shown(said.trim());
            let who = self.who();
            return wrong(format!("`{pattern}` is not found in what the {who} printed: {printed}"));
        }
        let asks_document = tolerance.pointer.is_some()
            || tolerance.equals.is_some()
            || tolerance.least.is_some()
            || tolerance.greatest.is_some();
        if asks_document { self.judge_document(tolerance) } else { Judgement::held() }
    }

    /// Why the status is none that is tolerated; none if it is.
    fn untolerated(&self, statuses: Option<&Statuses>) -> Option<String> {
        let how = in_words(&self.how);
        let saying = self.saying();
        match (&self.how, statuses) {
            (How::Answered(status), None) if *status < ERROR_STATUS_MIN => None,
            (How::Answered(_), None) => {
                Some(format!("The request was answered with {how}{saying}."))
            }
            (How::Answered(status), Some(statuses)) => (!statuses.include(*status))
                .then(|| format!("The request was answered with {how}, not with {statuses}.")),
            (How::Exited(status), statuses) => {
                let usual = Statuses::One(0);
                let statuses = statuses.unwrap_or(&usual);
                (!statuses.include(*status)).then(|| {
                    format!(
                        "The command ended with {how}, not with exit status {statuses}{saying}."
                    )
                })
            }
            (_, Some(Statuses::Any(_))) => None,
            _ => Some(format!("The command ended with {how}{saying}.")),
        }
    }

    fn said(&self, said: Said) -> &str {
        match said {
            Said::Output => &self.output,
            Said::Error => &self.error,
        }
    }

    fn who(&self) -> &'static str {
        if matches!(self.how, How::Answered(_)) { "answer" } else { "command" }
    }

    fn judge_document(&self, tolerance: &Tolerance) -> Judgement {
        let document: Json = match serde_json::from_str(self.said(tolerance.said)) {
            Ok(document) => document,
            Err(error) => return wrong(format!("The {} printed no JSON: {error}.", self.who())),
        };
        let pointer = tolerance.pointer.as_deref().unwrap_or_default();
        let place = if pointer.is_empty() { "the document" } else { pointer };
        let Some(value) = document.pointer(pointer) else {
            return wrong(format!("What the command printed has nothing at {pointer}."));
        };
        let text = shown(&value.to_string());
        if let Some(expected) = tolerance.equals.as_ref().filter(|expected| *expected != value) {
            return wrong(format!("{place} is {text}, not {expected}."));
        }
        if tolerance.least.is_none() && tolerance.greatest.is_none() {
            return Judgement::held();
        }
        let Some(number) = value.as_f64() else {
            return wrong(format!("{place} is {text}, which is no number."));
        };
        if let Some(least) = tolerance.least.filter(|least| number < *least) {
            return wrong(format!("{place} is {text}, less than {least}."));
        }
        if let Some(greatest) = tolerance.greatest.filter(|greatest| number > *greatest) {
            return wrong(format!("{place} is {text}, more than {greatest}."));
        }
        Judgement::held()
    }
}

fn wrong(detail: String) -> Judgement {
    Judgement::violated(Class::Wrong, detail)
}

/// How it ended, for a sentence.
pub fn in_words(how: &How) -> String {
    match how {
        How::Exited(code) => format!("exit status {code}"),
        How::Signalled(number) => format!("death by signal {number}"),
        How::Answered(status) => format!("status {status}"),
        How::Unanswered(why) => format!("no answer: {why}"),
        How::TimedOut => "a time that was over".to_owned(),
        How::TooMuch | How::Stopped => "no end of its own".to_owned(),
        How::NotStarted(why) => format!("no start: {why}"),
    }
}

/// The beginning of a text.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
