//! The supervisor of one trial: a process of its own, told by lines, telling lifecycle events.

use super::prepare::{CampaignError, fail};
use crate::own_paths::OwnPaths;
use killpoint_model::lifecycle::Record;
use killpoint_model::supervision::Supervision;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Events that may wait to be looked at; the supervisor keeps the rest in its file.
const EVENTS_WAITING_MAX: usize = 4_096;
/// How long a supervisor that was told to stop, and whose time is over, may take to end.
const END_GRACE: Duration = Duration::from_secs(5);
/// Events of a stop that are looked at; the supervisor keeps the rest in its file.
const LAST_WORDS_MAX: usize = 10_000;
/// How often it is looked whether a supervisor has ended.
const END_INTERVAL: Duration = Duration::from_millis(5);

/// A running supervisor.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// None where there is nothing to keep up.
    child: Option<Child>,
    /// Its end is the end of everything below.
    input: Option<ChildStdin>,
    events: Receiver<Record>,
    /// Without a child: keeps the other end open, so that nothing seems to have ended.
    _nobody: Option<SyncSender<Record>>,
}

impl Supervisor {
    /// Starts one in a trial's folder; nobody where there is nothing to keep up.
    pub(super) fn start(
        own_paths: &OwnPaths,
        program: &Path,
        supervision: &Supervision,
        trial: &Path,
        run: &Path,
    ) -> Result<Self, CampaignError> {
        if supervision.processes.is_empty() {
            let (nobody, events) = sync_channel(1);
            return Ok(Supervisor { child: None, input: None, events, _nobody: Some(nobody) });
        }
        let config = trial.join("processes.json");
        let text = serde_json::to_string_pretty(supervision).expect("plain data with text keys");
        fs::write(&config, text).map_err(fail("write", &config))?;
        let words = trial.join("supervisor.txt");
        let error = File::create(&words).map_err(fail("make", &words))?;
        let keep_down = run.join("keep-down");
        fs::create_dir_all(&keep_down).map_err(fail("make the directory", &keep_down))?;
        let mut child = own_paths
            .command(program)
            .args(["supervise", "--quiet", "--control-stdin"])
            .arg("--config")
            .arg(&config)
            .arg("--events")
            .arg(trial.join("lifecycle.jsonl"))
            .arg("--output")
            .arg(trial.join("output"))
            .arg("--keep-down")
            .arg(&keep_down)
            .arg("--run")
            .arg(run)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(error)
            .spawn()
            .map_err(fail("start the supervisor", program))?;
        let input = child.stdin.take();
        let output = child.stdout.take().expect("it is a pipe");
        let (sender, events) = sync_channel(EVENTS_WAITING_MAX);
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                // Answers to requests stand between the events, and say nothing new.
                let Ok(record) = serde_json::from_str::<Record>(&line) else { continue };
                if sender.send(record).is_err() {
                    return;
                }
            }
        });
        Ok(Supervisor { child: Some(child), input, events, _nobody: None })
    }

    /// The next event, if one comes in time; an error if none can come any more.
    pub(super) fn next(&self, wait: Duration) -> Result<Option<Record>, Gone> {
        match self.events.recv_timeout(wait) {
            Ok(record) => Ok(Some(record)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Gone),
        }
    }

    /// Asks for something. That nobody listens any more shows in the events.
    pub(super) fn ask(&mut self, request: &str) {
        if let Some(input) = &mut self.input {
            let _ = writeln!(input, "{request}");
            let _ = input.flush();
        }
    }

    /// Stops everything, at once when the time is over; whether it ended by itself, and what it told
    /// meanwhile.
    pub(super) fn stop(&mut self, limit: Duration) -> (bool, Vec<Record>) {
        self.ask("shutdown");
        self.input = None;
        if self.child.is_none() {
            return (true, Vec::new());
        }
        let since = Instant::now();
        let mut last_words = Vec::new();
        while since.elapsed() < limit {
            // The pipe must not fill up, or its last words would hold it up.
            while let Ok(Some(record)) = self.next(END_INTERVAL) {
                if last_words.len() < LAST_WORDS_MAX {
                    last_words.push(record);
                }
            }
            if !self.is_running() {
                // What it said just before its end is in the pipe still, or waits to be looked at.
                while let Ok(Some(record)) = self.next(END_GRACE) {
                    last_words.push(record);
                }
                return (true, last_words);
            }
        }
        (false, last_words)
    }

    fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }
}

/// The supervisor has ended.
#[derive(Debug)]
pub(super) struct Gone;

impl Drop for Supervisor {
    fn drop(&mut self) {
        // The guardian ends what is below it when its standard input is at an end.
        self.input = None;
        let is_stuck = self.is_running() && !self.stop(END_GRACE).0;
        if let Some(child) = &mut self.child {
            if is_stuck {
                let _ = child.kill();
            }
            let _ = child.wait();
        }
    }
}
