//! Supervision: how the processes of a target are started, watched, started again and stopped.
//!
//! The same nouns stand in the file of `killpoint supervise --config` and inside a scenario.

mod restart;
mod state;
mod watch;

pub use restart::{AtLimit, Backoff, RestartPolicy, StartLimit, wait_generator};
pub use state::{OnMismatch, RangeError, SchemaRule, VersionRange, VersionSource};
pub use watch::{Probe, Ready, Watchdog};

use crate::seed::Seed;
use crate::selector::{ROLE_NAME_LENGTH_MAX, is_role_name};
use crate::span::Span;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Version of the format.
pub const SUPERVISION_VERSION: u32 = 1;
/// Most processes of one supervisor.
pub const PROCESSES_MAX: usize = 64;
/// The seed where none is given.
const USUAL_SEED: Seed = Seed(42);

/// A program and its arguments.
pub type Command = Vec<String>;

/// The processes of a supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Supervision {
    /// Version of the format.
    pub version: u32,
    /// Where the jitter of the waits comes from.
    #[serde(default = "usual_seed")]
    pub seed: Seed,
    /// The processes by name.
    pub processes: BTreeMap<String, Process>,
}

fn usual_seed() -> Seed {
    USUAL_SEED
}

/// One process of a supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Process {
    /// The program and its arguments. `{checkpoint}` in an argument stands for the checkpoint's path.
    pub command: Command,
    /// The directory that it works in; that of the supervisor if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Variables that are added to the supervisor's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Processes that must be ready before it is started; it is stopped before they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Whether it is started again.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// How long is waited before it is.
    #[serde(default)]
    pub backoff: Backoff,
    /// How often at most.
    #[serde(default)]
    pub start_limit: StartLimit,
    /// What makes it ready; none: that it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// What shows that it is at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<Watchdog>,
    /// How it is stopped.
    #[serde(default)]
    pub stop: Stop,
    /// A command that is run to its end before each restart, with the same variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_restart: Option<OnRestart>,
    /// What is started in its place in safe mode, and for a state of another version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Command>,
    /// A file that the program keeps its last good state in. Where it is there and not empty, it is
    /// handed back at every start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Arguments that are added where a checkpoint is handed back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoint_arguments: Vec<String>,
    /// Whether the program can read the state that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaRule>,
    /// What it may use up.
    #[serde(default)]
    pub limits: Limits,
}

impl Process {
    /// A process of which nothing but the command is said.
    pub fn new(command: Command) -> Self {
        Process {
            command,
            directory: None,
            environment: BTreeMap::new(),
            after: Vec::new(),
            restart: RestartPolicy::default(),
            backoff: Backoff::default(),
            start_limit: StartLimit::default(),
            ready: None,
            watchdog: None,
            stop: Stop::default(),
            on_restart: None,
            fallback: None,
            checkpoint: None,
            checkpoint_arguments: Vec::new(),
            schema: None,
            limits: Limits::default(),
        }
    }
}

/// The ladder of a stop: by the application's own means, by a signal, by SIGKILL. Each rung has the
/// same grace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Stop {
    /// The application's own means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
    /// The signal that asks it to end.
    pub signal: StopSignal,
    /// How long each rung waits before the next.
    pub grace: Span,
}

impl Default for Stop {
    fn default() -> Self {
        Stop { command: None, signal: StopSignal::Term, grace: Span::from_secs(10) }
    }
}

/// The signals that ask a program to end.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// SIGTERM.
    #[default]
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGKILL: for a program that is meant to be killed. It is not asked, and cannot ignore it.
    Kill,
}

impl StopSignal {
    /// Its number on Linux.
    pub fn number(self) -> i32 {
        match self {
            StopSignal::Hup => 1,
            StopSignal::Int => 2,
            StopSignal::Quit => 3,
            StopSignal::Kill => 9,
            StopSignal::Usr1 => 10,
            StopSignal::Usr2 => 12,
            StopSignal::Term => 15,
        }
    }
}

/// A command that is run before each restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OnRestart {
    /// The program and its arguments.
    pub command: Command,
    /// It is killed after this time; the restart goes on, whatever came of it.
    #[serde(default = "OnRestart::usual_timeout")]
    pub timeout: Span,
}

impl OnRestart {
    /// The time-out where none is given.
    pub fn usual_timeout() -> Span {
        Span::from_secs(30)
    }
}

/// What a process and its descendants may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// Most processes at a time, itself included. More end the whole tree: its end is
    /// `too-many-processes`.
    pub processes_max: u32,
    /// Most bytes of standard output, and of standard error, that are kept in each life. More are
    /// read, counted and thrown away.
    pub output_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { processes_max: 512, output_bytes_max: 16 << 20 }
    }
}

/// Why a supervision makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SupervisionError {
    /// Another format.
    #[error("version {0} of a supervision is not known: write version {SUPERVISION_VERSION}")]
    Version(u32),
    /// None, or too many.
    #[error("{0} processes: a supervisor takes 1 to {PROCESSES_MAX}")]
    Count(usize),
    /// The name cannot stand in events and file names.
    #[error(
        "`{0}` cannot be the name of a process: take letters, digits, `-` and `_`, at most \
         {ROLE_NAME_LENGTH_MAX} of them"
    )]
    Name(String),
    /// Nothing to execute.
    #[error("process {process}: {part} is empty: name a program")]
    NoProgram {
        /// The process.
        process: String,
        /// Which command.
        part: &'static str,
    },
    /// Waits for somebody who is not there.
    #[error("process {process} comes after `{missing}`, but there is no process of that name")]
    Missing {
        /// The process.
        process: String,
        /// What is not there.
        missing: String,
    },
    /// They wait for each other.
    #[error("the processes {} wait for each other: take one `after` out", .0.join(", "))]
    Circle(Vec<String>),
    /// A fallback is asked for and not given.
    #[error("process {process}: {part} needs a `fallback` command")]
    NoFallback {
        /// The process.
        process: String,
        /// What asks for it.
        part: &'static str,
    },
    /// A probe that cannot say this.
    #[error("process {process}: {problem}")]
    Probe {
        /// The process.
        process: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A variable that cannot be set.
    #[error("process {process}: `{name}` cannot be set: {problem}")]
    Variable {
        /// The process.
        process: String,
        /// The variable.
        name: String,
        /// Why.
        problem: &'static str,
    },
    /// A limit that leaves nothing.
    #[error("process {process}: {part} must be greater than 0")]
    Zero {
        /// The process.
        process: String,
        /// Which limit.
        part: &'static str,
    },
}

impl Supervision {
    /// One process, of this name.
    pub fn of(name: &str, process: Process) -> Self {
        Supervision {
            version: SUPERVISION_VERSION,
            seed: USUAL_SEED,
            processes: BTreeMap::from([(name.to_owned(), process)]),
        }
    }

    /// Whether it can be carried out.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), SupervisionError> {
        if self.version != SUPERVISION_VERSION {
            return Err(SupervisionError::Version(self.version));
        }
        if self.processes.is_empty() || self.processes.len() > PROCESSES_MAX {
            return Err(SupervisionError::Count(self.processes.len()));
        }
        for (name, process) in &self.processes {
            if !is_role_name(name) {
                return Err(SupervisionError::Name(name.clone()));
            }
            validate_process(name, process)?;
        }
        self.order().map(|_| ())
    }

    /// The names in an order in which each stands behind those that it comes after.
    ///
    /// # Errors
    /// If somebody is missing, or they wait for each other.
    pub fn order(&self) -> Result<Vec<&str>, SupervisionError> {
        let mut placed = BTreeSet::new();
        let mut order = Vec::new();
        for (name, process) in &self.processes {
            if let Some(missing) = process.after.iter().find(|it| !self.processes.contains_key(*it))
            {
                let (process, missing) = (name.clone(), missing.clone());
                return Err(SupervisionError::Missing { process, missing });
            }
        }
        while order.len() < self.processes.len() {
            let next = self.processes.iter().find(|(name, process)| {
                !placed.contains(name.as_str())
                    && process.after.iter().all(|it| placed.contains(it.as_str()))
            });
            let Some((name, _)) = next else {
                let names = self.processes.keys().filter(|it| !placed.contains(it.as_str()));
                return Err(SupervisionError::Circle(names.cloned().collect()));
            };
            placed.insert(name.as_str());
            order.push(name.as_str());
        }
        Ok(order)
    }
}

fn validate_process(name: &str, process: &Process) -> Result<(), SupervisionError> {
    let owned = || name.to_owned();
    let schema_command = process.schema.as_ref().and_then(|rule| match &rule.version_in {
        VersionSource::Command(command) => Some(command),
        _ => None,
    });
    let commands = [
        ("command", Some(&process.command)),
        ("fallback", process.fallback.as_ref()),
        ("stop.command", process.stop.command.as_ref()),
        ("on-restart.command", process.on_restart.as_ref().map(|it| &it.command)),
        ("schema.version-in.command", schema_command),
    ];
    for (part, command) in commands {
        if command.is_some_and(|words| words.first().is_none_or(String::is_empty)) {
            return Err(SupervisionError::NoProgram { process: owned(), part });
        }
    }
    let wants_fallback = [
        ("start-limit.then safe-mode", process.start_limit.then == AtLimit::SafeMode),
        (
            "schema.otherwise fallback",
            process.schema.as_ref().is_some_and(|it| it.otherwise == OnMismatch::Fallback),
        ),
    ];
    if let Some((part, _)) = wants_fallback.iter().find(|it| it.1 && process.fallback.is_none()) {
        return Err(SupervisionError::NoFallback { process: owned(), part });
    }
    let zeros = [
        ("limits.processes-max", process.limits.processes_max == 0),
        ("stop.grace", process.stop.grace == Span::default()),
        (
            "watchdog.timeout",
            process.watchdog.as_ref().is_some_and(|it| it.timeout == Span::default()),
        ),
        ("ready.timeout", process.ready.as_ref().is_some_and(|it| it.timeout == Span::default())),
    ];
    if let Some((part, _)) = zeros.iter().find(|(_, is_zero)| *is_zero) {
        return Err(SupervisionError::Zero { process: owned(), part });
    }
    for (variable, value) in &process.environment {
        let problem = match variable.as_str() {
            "" => "it has no name",
            it if it.contains(['=', '\0']) || value.contains('\0') => "a character is not allowed",
            "NOTIFY_SOCKET" | "WATCHDOG_USEC" | "WATCHDOG_PID" => "the supervisor sets it",
            _ => continue,
        };
        let name = variable.clone();
        return Err(SupervisionError::Variable { process: owned(), name, problem });
    }
    let probes =
        [process.ready.as_ref().map(|it| &it.by), process.watchdog.as_ref().map(|it| &it.by)];
    for probe in probes.into_iter().flatten() {
        if let Probe::Http(address) = probe
            && !address.starts_with("http://")
        {
            let problem = "an http probe begins with http:// (https is not asked)";
            return Err(SupervisionError::Probe { process: owned(), problem });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Supervision {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    const THREE: &str = r#"{"version": 1, "processes": {
        "a": {"command": ["a"], "after": ["c"], "backoff": "50ms",
              "ready": {"by": {"log-line": "^up"}, "timeout": "5s"},
              "watchdog": {"timeout": "2s"}, "stop": {"signal": "INT", "grace": "1s"}},
        "b": {"command": ["b", "-x"], "after": ["a", "c"], "restart": "on-failure",
              "start-limit": {"count": 3, "within": "1m", "then": "safe-mode"}, "fallback": ["b", "--safe"],
              "schema": {"version-in": {"json": {"file": "s.json", "pointer": "/v"}}, "accepts": "2..4"}},
        "c": {"command": ["c"], "ready": {"by": "notify"}}}}"#;

    #[test]
    fn a_supervision_survives_being_written_and_read() {
        let supervision = read(THREE);
        assert_eq!(supervision.validate(), Ok(()));
        let text = serde_json::to_string(&supervision).expect("plain data");
        assert_eq!(read(&text), supervision);
        assert_eq!(supervision.processes["a"].backoff.first, Span::from_ms(50));
        assert_eq!(
            supervision.processes["c"].ready.as_ref().expect("set").timeout,
            Span::from_secs(30)
        );
    }

    #[test]
    fn processes_are_ordered_by_what_they_come_after() {
        assert_eq!(read(THREE).order().expect("an order"), ["c", "a", "b"]);
    }

    fn refuse(text: &str, expected: &str) {
        let error = read(text).validate().expect_err(text);
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_process_named() {
        let one = |process: &str| format!(r#"{{"version": 1, "processes": {{"a": {process}}}}}"#);
        refuse(r#"{"version": 2, "processes": {"a": {"command": ["a"]}}}"#, "version 2");
        refuse(r#"{"version": 1, "processes": {}}"#, "0 processes");
        refuse(r#"{"version": 1, "processes": {"a/b": {"command": ["a"]}}}"#, "`a/b`");
        refuse(&one(r#"{"command": []}"#), "process a: command is empty");
        refuse(&one(r#"{"command": ["a"], "after": ["x"]}"#), "after `x`");
        refuse(&one(r#"{"command": ["a"], "after": ["a"]}"#), "wait for each other");
        refuse(
            &one(
                r#"{"command": ["a"], "start-limit": {"count": 1, "within": "1s", "then": "safe-mode"}}"#,
            ),
            "needs a `fallback`",
        );
        refuse(&one(r#"{"command": ["a"], "limits": {"processes-max": 0}}"#), "greater than 0");
        refuse(
            &one(r#"{"command": ["a"], "environment": {"NOTIFY_SOCKET": "x"}}"#),
            "supervisor sets it",
        );
        refuse(&one(r#"{"command": ["a"], "ready": {"by": {"http": "https://x"}}}"#), "http://");
    }

    #[test]
    fn an_unknown_word_is_an_error() {
        for text in [
            r#"{"version": 1, "processes": {"a": {"command": ["a"], "restrat": "never"}}}"#,
            r#"{"version": 1, "processes": {"a": {"command": ["a"], "backoff": {"frist": "1s"}}}}"#,
            r#"{"version": 1, "processes": {"a": {"command": ["a"], "backoff": 5}}}"#,
            r#"{"version": 1, "processes": {"a": {"command": ["a"], "restart": "sometimes"}}}"#,
        ] {
            assert!(serde_json::from_str::<Supervision>(text).is_err(), "{text}");
        }
    }
}
