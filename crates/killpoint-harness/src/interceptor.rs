//! The interceptor: a process that stands above the supervisor of one trial, follows every call on the
//! state that its target makes, and holds the one at which the trial strikes.
//!
//! It is told what to do by a file, tells what it meets by a named pipe, and takes decisions from
//! another. Whom a strike kills is the campaign's affair; what happens to the call is done here. Since
//! it stands above the supervisor, the target's processes are what they are without it: the
//! supervisor's own children, with their own numbers, messages and ends. When it dies, the kernel
//! kills all of them.

use killpoint_engine::any_path;
use killpoint_engine::record::hold::{self, Decision, Met, Overseer};
use killpoint_engine::record::{Output, RecordError, Root};
use killpoint_engine::recording::Exit;
use killpoint_engine::regular_file;
use killpoint_engine::spawn::Launch;
use killpoint_model::address::Address;
use killpoint_model::{Outcome, Roles};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most calls whose addresses are kept; the rest is counted.
const CALLS_KEPT_MAX: usize = 100_000;
/// Most bytes of a file that says what to follow.
const SETUP_BYTES_MAX: u64 = 64 << 20;
/// Most threads of the target and its supervisor at one time.
const THREADS_MAX: usize = 10_000;
/// Most bytes that are read of a pipe at once.
const READ_BYTES_MAX: usize = 4_096;

/// What is followed, and where it is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The supervisor's program and arguments.
    #[serde(with = "any_path")]
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// The state directories, with what stands before their paths in addresses.
    pub state: Vec<(Argument, String)>,
    /// The ack journal.
    #[serde(with = "any_path")]
    pub journal: PathBuf,
    /// The file for what was met, written at the end.
    #[serde(with = "any_path")]
    pub met: PathBuf,
    /// The named pipe for news.
    #[serde(with = "any_path")]
    pub news: PathBuf,
    /// The named pipe that decisions come from.
    #[serde(with = "any_path")]
    pub decisions: PathBuf,
    /// Names that a recording before gave birth to; none for the first.
    pub names: Option<BTreeSet<String>>,
    /// The roles of the target's processes.
    pub roles: Roles,
    /// Where a call is held, once.
    pub point: Option<Address>,
    /// Longest time for everything, in milliseconds.
    pub timeout_ms: u64,
    /// Longest time that a call is held, in milliseconds.
    pub hold_ms_max: u64,
}

/// A word of a command line, or a path, of any bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Argument(#[serde(with = "any_path")] pub PathBuf);

/// What the interceptor tells while it is at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum News {
    /// The call at the crash point is held.
    Held(Met),
    /// It failed, or was cut short, and gave back this.
    Returned(i64),
    /// It was held for too long and went on.
    Expired,
}

/// What was met by the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The calls on the state, in their order.
    pub addresses: Vec<String>,
    /// The names that they gave.
    pub names: BTreeSet<String>,
    /// How many more calls there were than are kept.
    pub left_out: u64,
    /// Files that were not covered as they should be, and why.
    pub gaps: Vec<(String, String)>,
}

/// Why nothing was followed.
#[derive(Debug, thiserror::Error)]
pub enum InterceptError {
    /// A file or pipe.
    #[error("cannot {action} {path}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file does not say what to follow.
    #[error("{path} does not say what to follow: {problem}")]
    Setup {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The target.
    #[error(transparent)]
    Record(#[from] RecordError),
}

fn fail<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> InterceptError + use<'a> {
    move |source| InterceptError::Io { action, path: path.to_owned(), source }
}

/// Follows what a file says. Must be called while this process has one thread.
///
/// # Errors
/// If there is nothing to follow, or it cannot be followed here.
pub fn intercept(path: &Path) -> Result<Outcome, InterceptError> {
    let mut text = String::new();
    let file = regular_file::open(path).map_err(fail("read", path))?;
    file.take(SETUP_BYTES_MAX).read_to_string(&mut text).map_err(fail("read", path))?;
    let setup: Setup = serde_json::from_str(&text).map_err(|error| InterceptError::Setup {
        path: path.to_owned(),
        problem: error.to_string(),
    })?;
    let streams = || -> io::Result<Output> {
        let copy = |stream: &dyn AsFd| stream.as_fd().try_clone_to_owned();
        Ok(Output {
            input: copy(&io::stdin())?,
            output: copy(&io::stdout())?,
            error: copy(&io::stderr())?,
        })
    };
    let output = streams().map_err(fail("pass on the standard streams of", path))?;
    let mut desk = Desk::open(&setup)?;
    let met = setup.met.clone();
    let followed = hold::follow(followed(setup, path)?, output, &mut desk)?;
    let recorded = Recorded { names: followed.named, gaps: followed.gaps, ..desk.recorded };
    let text = serde_json::to_string(&recorded).expect("plain data");
    fs::write(&met, text).map_err(fail("write", &met))?;
    Ok(match followed.exit {
        Exit::Status(0) => Outcome::Pass,
        Exit::Status(1) => Outcome::Violated,
        _ => Outcome::InternalError,
    })
}

fn followed(setup: Setup, path: &Path) -> Result<hold::Setup, InterceptError> {
    let directory =
        std::env::current_dir().map_err(fail("find the working directory for", path))?;
    let arguments = std::iter::once(setup.program.clone().into_os_string());
    Ok(hold::Setup {
        launch: Launch {
            program: setup.program,
            arguments: arguments
                .chain(setup.arguments.into_iter().map(|argument| argument.0.into_os_string()))
                .collect(),
            environment: std::env::vars_os().collect(),
            directory,
        },
        roots: setup
            .state
            .into_iter()
            .map(|(path, prefix)| Root { path: path.0, prefix })
            .collect(),
        journal: setup.journal,
        stable: setup.names,
        roles: setup.roles,
        timeout: Duration::from_millis(setup.timeout_ms),
        hold_max: Duration::from_millis(setup.hold_ms_max),
        threads_max: THREADS_MAX,
    })
}

/// Where news are handed out and decisions come in.
struct Desk {
    recorded: Recorded,
    /// Where a call is still to be held.
    point: Option<String>,
    news: File,
    decisions: Lines,
}

impl Desk {
    fn open(setup: &Setup) -> Result<Self, InterceptError> {
        let news = open_pipe(&setup.news, OFlags::WRONLY).map_err(fail("open", &setup.news))?;
        let decisions = open_pipe(&setup.decisions, OFlags::RDONLY);
        let decisions = decisions.map_err(fail("open", &setup.decisions))?;
        Ok(Desk {
            recorded: Recorded::default(),
            point: setup.point.as_ref().map(Address::to_string),
            news: File::from(news),
            decisions: Lines::new(decisions),
        })
    }

    fn tell(&mut self, news: &News) {
        let mut line = serde_json::to_vec(news).expect("plain data");
        line.push(b'\n');
        // Whoever is gone decides nothing: the call goes on.
        let _ = self.news.write_all(&line);
    }
}

/// Opens a named pipe without waiting for its other end, which is open already.
fn open_pipe(path: &Path, access: OFlags) -> io::Result<OwnedFd> {
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

impl Overseer for Desk {
    fn met(&mut self, call: &Met) -> bool {
        match self.recorded.addresses.len() < CALLS_KEPT_MAX {
            true => self.recorded.addresses.push(call.address.clone()),
            false => self.recorded.left_out += 1,
        }
        let is_here = self.point.as_ref() == Some(&call.address);
        if is_here {
            self.point = None;
            self.tell(&News::Held(call.clone()));
        }
        is_here
    }

    fn decision(&mut self) -> Option<Decision> {
        match self.decisions.take() {
            Next::Line(line) => serde_json::from_str(&line).ok(),
            Next::Nothing => None,
            // Whoever decides is gone, and with it the supervisor will be.
            Next::End => Some(Decision::Carry),
        }
    }

    fn returned(&mut self, result: i64) {
        self.tell(&News::Returned(result));
    }

    fn expired(&mut self) {
        self.tell(&News::Expired);
    }

    fn tick(&mut self) -> bool {
        false
    }
}

/// What a pipe has to say now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole line, without its end.
    Line(String),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End,
}

/// Reads a pipe line by line and never waits.
#[derive(Debug)]
pub struct Lines {
    pipe: File,
    /// What was read behind the last whole line.
    rest: Vec<u8>,
}

impl Lines {
    /// Of a pipe that does not make its readers wait.
    pub fn new(pipe: OwnedFd) -> Self {
        Lines { pipe: File::from(pipe), rest: Vec::new() }
    }

    /// The next line.
    pub fn take(&mut self) -> Next {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Next::Line(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let mut bytes = [0; READ_BYTES_MAX];
            match self.pipe.read(&mut bytes) {
                Ok(0) => return Next::End,
                Ok(count) => self.rest.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Nothing,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Next::End,
            }
        }
    }
}
