//! A watch for processes that crash: `killpoint dump --watch`, a process of its own, as tracing needs it.

use crate::processes::{Finder, Within};
use killpoint_engine::identity::{self, Identity};
use killpoint_model::crash::Stack;
use killpoint_model::seed::Seed;
use killpoint_model::selector::{Pick, Roles, Selector, Who};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Lines of a watch that are kept, as many as deaths of supervised processes.
const LINES_MAX: usize = 10_000;
/// How long a dump may take that was asked for.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a command that are kept.
const COMMAND_BYTES_MAX: usize = 1 << 10;
/// Most processes between one and the supervisor above it.
const ANCESTORS_MAX: usize = 1_000;
/// How long a watch may take to end after what it watched has.
const END_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked whether it has.
const END_INTERVAL: Duration = Duration::from_millis(5);

/// What a watch saw, as one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "seen", rename_all = "kebab-case")]
pub enum Line {
    /// A process was about to die.
    Caught(Caught),
    /// A process died.
    Died(Died),
    /// A process was dumped and killed, as was asked for.
    Killed {
        /// Its number.
        pid: i32,
        /// Why there is no dump of it; then it may still be alive.
        problem: Option<String>,
    },
}

/// Whom a watch is to dump and to kill, as one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Its number.
    pub pid: i32,
    /// The file of the dump.
    pub path: PathBuf,
}

/// Asks a watch to dump and to kill: what it traces, nobody else can look at.
#[derive(Debug)]
pub struct Asker {
    requests: ChildStdin,
    answers: Receiver<(i32, Option<String>)>,
}

impl Asker {
    /// Has a process dumped and killed before it goes on.
    ///
    /// # Errors
    /// Why there is no dump, in words; the process may be alive then.
    pub fn dump_and_kill(&mut self, pid: i32, path: &Path) -> Result<(), String> {
        let request = Request { pid, path: path.to_owned() };
        let line = serde_json::to_string(&request).map_err(|error| error.to_string())?;
        let gone = "the watch for crashes has ended";
        writeln!(self.requests, "{line}").map_err(|_| gone.to_owned())?;
        let since = Instant::now();
        loop {
            match self.answers.recv_timeout(ANSWER_LIMIT.saturating_sub(since.elapsed())) {
                Ok((answered, problem)) if answered == pid => return problem.map_or(Ok(()), Err),
                // To a question that nobody waits for any more.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    let limit = ANSWER_LIMIT.as_secs();
                    return Err(format!("the watch for crashes did not answer within {limit} s"));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(gone.to_owned()),
            }
        }
    }
}

/// A process that was about to die, unless it has a handler.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Caught {
    /// Its number.
    pub pid: i32,
    /// The thread that the signal was for.
    pub thread: i32,
    /// The signal.
    pub signal: i32,
    /// Its dump, if there is one.
    pub dump: Option<PathBuf>,
    /// Why there is none.
    pub problem: Option<String>,
    /// The stack in it.
    pub stack: Option<Stack>,
}

/// A process that died by a signal, looked at while it still stood there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Died {
    /// Its number.
    pub pid: i32,
    /// The signal.
    pub signal: i32,
    /// Whether a core was dumped.
    pub core: bool,
    /// When, in microseconds of the clock that files have.
    pub time_us: i64,
    /// The role that it had.
    pub role: Option<String>,
    /// The file that it executed.
    pub executable: String,
    /// Its command line, bounded.
    pub command: String,
    /// The supervised process above it, as the supervisor told it in its environment, and which life of that.
    pub above: Option<(String, u32)>,
    /// The supervisor above it, if there is one.
    pub supervisor: Option<i32>,
}

impl Died {
    /// Looks at a process that is about to end, below a guardian and its supervisor.
    pub fn look(pid: i32, signal: i32, core: bool, guardian: i32, roles: &Roles) -> Self {
        let ancestors = ancestors(pid, guardian);
        let supervisor = ancestors.last().copied();
        // The nearest to the supervisor is the least likely to have changed its environment.
        let above = ancestors.iter().rev().skip(1).chain([&pid]).find_map(|pid| above(*pid));
        let supervisor = supervisor.and_then(|pid| identity::status(pid).ok());
        let role = supervisor.and_then(|it| role(pid, it.identity, roles));
        let executable = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        Died {
            pid,
            signal,
            core,
            time_us: jiff::Timestamp::now().as_microsecond(),
            role,
            executable: executable.display().to_string(),
            command: command(pid),
            above,
            supervisor: supervisor.map(|it| it.identity.pid),
        }
    }
}

/// From its parent up to the child of the guardian, which is the supervisor; nobody if it does not stand below one.
fn ancestors(pid: i32, guardian: i32) -> Vec<i32> {
    let mut found = Vec::new();
    let mut next = pid;
    while let Ok(status) = identity::status(next) {
        if status.parent == guardian {
            return found;
        }
        if status.parent <= 1 || found.len() >= ANCESTORS_MAX {
            break;
        }
        next = status.parent;
        found.push(next);
    }
    Vec::new()
}

/// What the supervisor put into the environment of a process.
fn above(pid: i32) -> Option<(String, u32)> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |name: &str| {
        let mut variables = bytes.split(|byte| *byte == 0);
        let value = variables.find_map(|it| it.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    };
    Some((value("KILLPOINT_PROCESS")?, value("KILLPOINT_LIFE")?.parse().ok()?))
}

fn role(pid: i32, supervisor: Identity, roles: &Roles) -> Option<String> {
    let select = Some(Selector { pid: Some(pid), ..Selector::default() });
    let who = Who { pick: Pick::All, select, ..Who::default() };
    let finder = Finder::open(roles.clone()).ok()?;
    let found = finder.find(&who, Within::Below(supervisor), Seed(0)).ok()?;
    found.chosen.into_iter().find_map(|found| found.role)
}

fn command(pid: i32) -> String {
    let mut bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.truncate(COMMAND_BYTES_MAX);
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ")
}

/// The watch at work.
#[derive(Debug)]
pub struct Watch {
    child: Child,
    asker: Option<Asker>,
    words: PathBuf,
    reader: JoinHandle<Vec<Line>>,
}

impl Watch {
    /// Watches a process and all that it begets; dumps go into this directory, what the watch says of
    /// itself into the file `words`. Whoever dies is told with the role that the file `roles` gives it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        program: &Path,
        process: u32,
        roles: &Path,
        directory: &Path,
        words: &Path,
    ) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(["dump", "--watch", &process.to_string()])
            .args([Path::new("--to"), directory, Path::new("--roles"), roles])
            .arg("--ask")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(words)?)
            .spawn()?;
        let output = child.stdout.take().expect("it is a pipe");
        let requests = child.stdin.take().expect("it is a pipe");
        let (answer, answers) = channel();
        let reader = thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            let mut seen: Vec<Line> = Vec::new();
            // To the end: the watch must not wait for its reader.
            for line in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
                match line {
                    Line::Killed { pid, problem } => drop(answer.send((pid, problem))),
                    line if seen.len() < LINES_MAX => seen.push(line),
                    _ => {}
                }
            }
            seen
        });
        let asker = Some(Asker { requests, answers });
        Ok(Watch { child, asker, words: words.to_owned(), reader })
    }

    /// Who can ask it.
    pub fn asker(&mut self) -> Option<Asker> {
        self.asker.take()
    }

    /// Waits for its end, which follows from that of what it watches: what it saw, and why it could
    /// not watch, if it could not.
    pub fn end(mut self) -> (Vec<Line>, Option<String>) {
        let since = Instant::now();
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if since.elapsed() < END_LIMIT => thread::sleep(END_INTERVAL),
                _ => break None,
            }
        };
        if status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let seen = self.reader.join().unwrap_or_default();
        let said = || fs::read_to_string(&self.words).unwrap_or_default().trim().to_owned();
        let problem = match status {
            Some(status) if status.success() => None,
            Some(_) => Some(said()),
            None => Some(format!("the watch did not end within {} s", END_LIMIT.as_secs())),
        };
        (seen, problem)
    }
}
