//! Supervision: how the processes of a target are started, watched, started again and stopped.
//!
//! The same nouns stand in the file of `killpoint supervise --config` and inside a scenario.

mod restart;
mod state;
mod watch;

pub use restart::{AtLimit, Backoff, RestartPolicy, StartLimit, wait_generator};
pub use state::{OnMismatch, RangeError, SchemaRule, VersionRange, VersionSource};
pub use watch::{Probe, Ready, Watchdog};

use crate::nonsense::{Nonsense, refuse, refuse_no_program};
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

impl Process {
    /// Puts what `fill` makes of it in the place of each text in which a place may stand.
    pub fn fill_in(&mut self, fill: impl Fn(&str) -> String) {
        // Every field by its name, so that none that is added is forgotten here.
        let Process {
            command,
            directory,
            environment,
            after: _,
            restart: _,
            backoff: _,
            start_limit: _,
            ready,
            watchdog,
            stop,
            on_restart,
            fallback,
            checkpoint,
            checkpoint_arguments,
            schema,
            limits: _,
        } = self;
        let words = command
            .iter_mut()
            .chain(directory)
            .chain(environment.values_mut())
            .chain(stop.command.iter_mut().flatten())
            .chain(on_restart.iter_mut().flat_map(|it| &mut it.command))
            .chain(fallback.iter_mut().flatten())
            .chain(checkpoint)
            .chain(checkpoint_arguments);
        words.for_each(|word| *word = fill(word));
        let ready = ready.iter_mut().map(|it| &mut it.by);
        for probe in ready.chain(watchdog.iter_mut().map(|it| &mut it.by)) {
            *probe = probe.filled_in(&fill);
        }
        if let Some(rule) = schema {
            rule.version_in.fill_in(&fill);
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
    pub fn check(&self) -> Result<(), Nonsense> {
        if self.version != SUPERVISION_VERSION {
            let why = format!(
                "version {} of a supervision is not known: write version {SUPERVISION_VERSION}",
                self.version
            );
            return Err(Nonsense::new("version", why));
        }
        let count = self.processes.len();
        if count == 0 || count > PROCESSES_MAX {
            let why = format!("{count} processes: a supervisor takes 1 to {PROCESSES_MAX}");
            return Err(Nonsense::new("processes", why));
        }
        for (name, process) in &self.processes {
            let at = format!("processes.{name}");
            if !is_role_name(name) {
                let why = format!(
                    "`{name}` cannot be the name of a process: take letters, digits, `-` and `_`, \
                     at most {ROLE_NAME_LENGTH_MAX} of them"
                );
                return Err(Nonsense::new(at, why));
            }
            process.check().map_err(|it| it.within(&at))?;
        }
        self.order().map(|_| ())
    }

    /// The names in an order in which each stands behind those that it comes after.
    ///
    /// # Errors
    /// If somebody is missing, or they wait for each other.
    pub fn order(&self) -> Result<Vec<&str>, Nonsense> {
        let mut placed = BTreeSet::new();
        let mut order = Vec::new();
        for (name, process) in &self.processes {
            if let Some(missing) = process.after.iter().find(|it| !self.processes.contains_key(*it))
            {
                let why =
                    format!("it comes after `{missing}`, but there is no process of that name");
                return Err(Nonsense::new(format!("processes.{name}.after"), why));
            }
        }
        while order.len() < self.processes.len() {
            let next = self.processes.iter().find(|(name, process)| {
                !placed.contains(name.as_str())
                    && process.after.iter().all(|it| placed.contains(it.as_str()))
            });
            let Some((name, _)) = next else {
                let names = self.processes.keys().map(String::as_str);
                let names: Vec<&str> = names.filter(|it| !placed.contains(it)).collect();
                let why = format!(
                    "the processes {} wait for each other: take one `after` out",
                    names.join(", ")
                );
                return Err(Nonsense::new(format!("processes.{}.after", names[0]), why));
            };
            placed.insert(name.as_str());
            order.push(name.as_str());
        }
        Ok(order)
    }
}

impl Process {
    /// Whether it can be supervised.
    fn check(&self) -> Result<(), Nonsense> {
        refuse_no_program("command", &self.command)?;
        let on_restart = self.on_restart.as_ref();
        for (at, command) in [
            ("fallback", self.fallback.as_ref()),
            ("stop.command", self.stop.command.as_ref()),
            ("on-restart.command", on_restart.map(|it| &it.command)),
        ] {
            command.map_or(Ok(()), |command| refuse_no_program(at, command))?;
        }
        self.backoff.check().map_err(|it| it.within("backoff"))?;
        self.start_limit.check().map_err(|it| it.within("start-limit"))?;
        let is_empty = |text: &Option<String>| text.as_ref().is_some_and(|it| it.trim().is_empty());
        let needs_fallback = "it needs a `fallback` command";
        let has_no_fallback = self.fallback.is_none();
        let is_safe_mode = self.start_limit.then == AtLimit::SafeMode;
        refuse(&[
            (is_safe_mode && has_no_fallback, "start-limit.then", needs_fallback),
            (self.limits.processes_max == 0, "limits.processes-max", NOT_ZERO),
            (self.stop.grace == Span::default(), "stop.grace", NOT_ZERO),
            (on_restart.is_some_and(|it| is_zero(it.timeout)), "on-restart.timeout", NOT_ZERO),
            (is_empty(&self.directory), "directory", "it is empty: name a directory"),
            (is_empty(&self.checkpoint), "checkpoint", "it is empty: name a file"),
            (
                self.checkpoint.is_none() && !self.checkpoint_arguments.is_empty(),
                "checkpoint-arguments",
                "they are added where there is a `checkpoint`, and none is named",
            ),
        ])?;
        if let Some(schema) = &self.schema {
            schema.check().map_err(|it| it.within("schema"))?;
            let falls_back = schema.otherwise == OnMismatch::Fallback;
            refuse(&[(falls_back && has_no_fallback, "schema.otherwise", needs_fallback)])?;
        }
        if let Some(ready) = &self.ready {
            ready.by.check().map_err(|it| it.within("ready.by"))?;
            refuse(&[(is_zero(ready.timeout), "ready.timeout", NOT_ZERO)])?;
        }
        if let Some(watchdog) = &self.watchdog {
            watchdog.by.check().map_err(|it| it.within("watchdog.by"))?;
            refuse(&[(is_zero(watchdog.timeout), "watchdog.timeout", NOT_ZERO)])?;
        }
        check_variables(&self.environment).map_err(|it| it.within("environment"))
    }
}

/// What is said of a number or a time that leaves nothing.
const NOT_ZERO: &str = "it must be greater than 0";

fn is_zero(span: Span) -> bool {
    span == Span::default()
}

/// Whether variables can be set for a process.
///
/// # Errors
/// The first that cannot.
pub fn check_variables(variables: &BTreeMap<String, String>) -> Result<(), Nonsense> {
    for (name, value) in variables {
        refuse(&[
            (name.is_empty(), "", "a variable cannot be set without a name"),
            (name.contains(['=', '\0']), name, "no variable has such a name: take the `=` out"),
            (value.contains('\0'), name, "no variable holds the character 0"),
            (
                matches!(name.as_str(), "NOTIFY_SOCKET" | "WATCHDOG_USEC" | "WATCHDOG_PID"),
                name,
                "the supervisor sets it: leave it out",
            ),
        ])?;
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
        assert_eq!(supervision.check(), Ok(()));
        let text = serde_json::to_string(&supervision).expect("plain data");
        assert_eq!(read(&text), supervision);
        assert_eq!(supervision.processes["a"].backoff.first, Span::from_ms(50));
        assert_eq!(
            supervision.processes["c"].ready.as_ref().expect("set").timeout,
            Span::from_secs(30)
        );
    }

    #[test]
    fn every_place_of_a_process_is_filled_in() {
        let text = r#"{"version": 1, "processes": {"a": {
            "command": ["a", "{state}"], "directory": "{state}", "environment": {"A": "{state}"},
            "ready": {"by": {"file": "{state}/up"}}, "watchdog": {"by": {"socket": "{state}/s"}, "timeout": "1s"},
            "stop": {"command": ["stop", "{state}"]}, "on-restart": {"command": ["mend", "{state}"]},
            "fallback": ["b", "{state}"], "checkpoint": "{state}/c", "checkpoint-arguments": ["{state}"],
            "schema": {"version-in": {"json": {"file": "{state}/v", "pointer": "/v"}}, "accepts": "1"}}}}"#;
        let mut process = read(text).processes.remove("a").expect("there");
        process.fill_in(|text| text.replace("{state}", "/data"));
        let filled = serde_json::to_string(&process).expect("plain data");
        assert_eq!((filled.matches("{state}").count(), filled.matches("/data").count()), (0, 11));
        for source in [r#"{"file": "{state}/v"}"#, r#"{"command": ["v", "{state}"]}"#] {
            let mut source: VersionSource = serde_json::from_str(source).expect(source);
            source.fill_in(|text| text.replace("{state}", "/data"));
            assert!(!format!("{source:?}").contains("{state}"));
        }
    }

    #[test]
    fn processes_are_ordered_by_what_they_come_after() {
        assert_eq!(read(THREE).order().expect("an order"), ["c", "a", "b"]);
    }

    fn refuse(text: &str, expected: &str) {
        let error = read(text).check().expect_err(text);
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_process_named() {
        let one = |process: &str| format!(r#"{{"version": 1, "processes": {{"a": {process}}}}}"#);
        refuse(r#"{"version": 2, "processes": {"a": {"command": ["a"]}}}"#, "version 2");
        refuse(r#"{"version": 1, "processes": {}}"#, "0 processes");
        refuse(r#"{"version": 1, "processes": {"a/b": {"command": ["a"]}}}"#, "`a/b`");
        refuse(&one(r#"{"command": []}"#), "processes.a.command: it is empty");
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
        for (more, at) in [
            (r#""backoff": {"factor": 0}"#, "backoff.factor"),
            (r#""backoff": {"first": "5s", "max": "1s"}"#, "backoff.max"),
            (r#""start-limit": {"count": 3, "within": "0s"}"#, "start-limit.within"),
            (r#""directory": """#, "directory"),
            (r#""checkpoint": """#, "checkpoint"),
            (r#""checkpoint-arguments": ["-r"]"#, "checkpoint-arguments"),
            (r#""on-restart": {"command": ["a"], "timeout": "0s"}"#, "on-restart.timeout"),
            (r#""stop": {"command": [""]}"#, "stop.command"),
            (r#""ready": {"by": {"file": ""}}"#, "ready.by.file"),
            (r#""ready": {"by": "notify", "timeout": "0s"}"#, "ready.timeout"),
            (r#""watchdog": {"timeout": "0s"}"#, "watchdog.timeout"),
            (
                r#""schema": {"version-in": {"json": {"file": "a", "pointer": "v"}}, "accepts": 1}"#,
                "schema.version-in.json.pointer",
            ),
            (r#""schema": {"version-in": {"file": ""}, "accepts": 1}"#, "schema.version-in.file"),
            (r#""environment": {"A=B": "1"}"#, "environment.A=B"),
        ] {
            let text = one(&format!(r#"{{"command": ["a"], {more}}}"#));
            let error = read(&text).check().expect_err(more);
            assert_eq!(error.at, format!("processes.a.{at}"), "{error}");
        }
    }

    #[test]
    fn an_unknown_word_is_an_error() {
        for text in [
            r#"{"version": 1, "processes": {"a": {"command": ["a"], "restrat": "never"}}}"#,
            r#"{"version": 1, "processes": {"a": {"command": ["a"], "backoff": {"frist": "1s"}}}}"#,
            r#"{"version": 1, "processes": {"a": {"command": ["a"], "backoff": 5}}}"#,
            r#"{"version": 1, "processes": {"a": {"command": ["a"], "restart": "sometimes"}}}"#,
            r#"{"version": 1, "processes": {"a": {"command": ["a"], "ready": {"by": {"http": "https://x"}}}}}"#,
            r#"{"version": 1, "processes": {"a": {"command": ["a"], "ready": {"by": {"socket": "x"}}}}}"#,
            r#"{"version": 1, "processes": {"a": {"command": ["a"], "ready": {"by": {"log-line": ""}}}}}"#,
        ] {
            assert!(serde_json::from_str::<Supervision>(text).is_err(), "{text}");
        }
    }
}
