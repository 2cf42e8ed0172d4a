//! The supervisor of one trial: a process of its own, told by lines, telling lifecycle events.

use super::problem::{CampaignError, fail};
use crate::collector::cores::CORE_BYTES_MAX;
use crate::own_paths::OwnPaths;
use killpoint_model::lifecycle::Record;
use killpoint_model::scenario::{Collect, Dump};
use killpoint_model::supervision::Supervision;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Events that may wait to be looked at; the supervisor keeps the rest in its file.
const EVENTS_WAITING_MAX: usize = 4_096;
/// How long a supervisor that was told to stop, and whose time is over, may take to end.
pub(super) const END_GRACE: Duration = Duration::from_secs(5);
/// How often it is looked whether a supervisor has ended.
pub(super) const END_INTERVAL: Duration = Duration::from_millis(5);

/// What is collected changes how the processes are started.
fn flags(collect: &Collect) -> Vec<String> {
    let mut flags = Vec::new();
    if collect.cores {
        flags.extend(["--core-bytes-max".to_owned(), CORE_BYTES_MAX.to_string()]);
    }
    if collect.dump.all().contains(&Dump::Crashes) {
        flags.push("--await-tracer".to_owned());
    }
    flags
}

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

/// Writes down what is supervised in a trial's folder; the arguments of a supervisor that does it.
pub(super) fn prepare(
    supervision: &Supervision,
    trial: &Path,
    run: &Path,
    collect: &Collect,
) -> Result<Vec<PathBuf>, CampaignError> {
    let config = trial.join("processes.json");
    let text = serde_json::to_string_pretty(supervision).expect("plain data with text keys");
    fs::write(&config, text).map_err(fail("write", &config))?;
    let keep_down = run.join("keep-down");
    fs::create_dir_all(&keep_down).map_err(fail("make the directory", &keep_down))?;
    let mut arguments: Vec<PathBuf> =
        ["supervise", "--quiet", "--control-stdin"].map(PathBuf::from).to_vec();
    for (flag, path) in [
        ("--config", config),
        ("--events", trial.join("lifecycle.jsonl")),
        ("--output", trial.join("output")),
        ("--keep-down", keep_down),
        ("--run", run.to_owned()),
    ] {
        arguments.extend([PathBuf::from(flag), path]);
    }
    arguments.extend(flags(collect).into_iter().map(PathBuf::from));
    Ok(arguments)
}

impl Supervisor {
    /// Nobody, where there is nothing to keep up.
    pub(super) fn nobody() -> Self {
        let (nobody, events) = sync_channel(1);
        Supervisor { child: None, input: None, events, _nobody: Some(nobody) }
    }

    /// Starts one, or whoever starts one, in a trial's folder.
    pub(super) fn start(
        own_paths: &OwnPaths,
        program: &Path,
        arguments: &[PathBuf],
        trial: &Path,
    ) -> Result<Self, CampaignError> {
        let words = trial.join("supervisor.txt");
        let error = File::create(&words).map_err(fail("make", &words))?;
        let mut child = own_paths
            .command(program)
            .args(arguments)
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

    /// The number of the process that was started: the guardian. None where nothing is supervised.
    #[cfg(feature = "dumps")]
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
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

    /// Tells it to stop everything. It is over when it has ended.
    pub(super) fn begin_stop(&mut self) {
        self.ask("shutdown");
        self.input = None;
    }

    /// Whether there is none.
    pub(super) fn is_nobody(&self) -> bool {
        self.child.is_none()
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        !self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Stops everything and takes nothing more in; whether it ended in time.
    fn end(&mut self) -> bool {
        self.begin_stop();
        let since = Instant::now();
        while since.elapsed() < END_GRACE {
            // The pipe must not fill up, or its last words would hold it up.
            while self.next(END_INTERVAL).is_ok_and(|event| event.is_some()) {}
            if self.has_ended() {
                return true;
            }
        }
        false
    }
}

/// The supervisor has ended.
#[derive(Debug)]
pub(super) struct Gone;

impl Drop for Supervisor {
    fn drop(&mut self) {
        // The guardian ends what is below it when its standard input is at an end.
        self.input = None;
        let is_stuck = !self.has_ended() && !self.end();
        if let Some(child) = &mut self.child {
            if is_stuck {
                let _ = child.kill();
            }
            let _ = child.wait();
        }
    }
}
