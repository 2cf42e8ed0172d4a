//! The target of a scenario: one command or several processes, its state, its roles.

use crate::seed::Seed;
use crate::selector::{Roles, Selector};
use crate::supervision::{
    Backoff, Command, Limits, Process, Ready, RestartPolicy, SUPERVISION_VERSION, StartLimit, Stop,
    Supervision, Watchdog,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of a target's only process.
pub const ONLY_PROCESS: &str = "main";

/// The program under test: a `command`, or several `processes`. `{state}` in an argument or a variable
/// stands for the first state directory of the trial, `{state:2}` for the second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Target {
    /// The program and its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Command,
    /// Several processes by name, each as in the file of `killpoint supervise`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub processes: BTreeMap<String, Process>,
    /// The directory that it works in; that of the scenario if none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Variables that are added to those that it inherits.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The directories that it keeps its data in. Each trial works on copies of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<String>,
    /// How the command is started again.
    #[serde(skip_serializing_if = "is_default")]
    pub supervisor: Supervisor,
    /// What makes the command ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// What shows that the command is at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<Watchdog>,
    /// How the command is stopped.
    #[serde(skip_serializing_if = "is_default")]
    pub stop: Stop,
    /// Names of its processes, by what is known of them. The names of `processes` are roles already.
    #[serde(skip_serializing_if = "Roles::is_empty")]
    #[schemars(with = "BTreeMap<String, Selector>")]
    pub roles: Roles,
}

/// How the target's command is started again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Supervisor {
    /// Whether it is.
    pub restart: RestartPolicy,
    /// How long is waited before it is.
    pub backoff: Backoff,
    /// How often at most.
    pub start_limit: StartLimit,
    /// What it may use up.
    pub limits: Limits,
    /// A file that the program keeps its last good state in; handed back at every start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Target {
    /// A target of one command, with nothing else said.
    pub fn of(command: Command) -> Self {
        Target { command, ..Target::default() }
    }

    /// What the supervisor is asked to do.
    pub fn supervision(&self, seed: Seed) -> Supervision {
        let mut processes = self.processes.clone();
        if !self.command.is_empty() {
            let Supervisor { restart, backoff, start_limit, limits, checkpoint } =
                self.supervisor.clone();
            let process = Process {
                restart,
                backoff,
                start_limit,
                limits,
                checkpoint,
                ready: self.ready.clone(),
                watchdog: self.watchdog.clone(),
                stop: self.stop.clone(),
                ..Process::new(self.command.clone())
            };
            processes.insert(ONLY_PROCESS.to_owned(), process);
        }
        for process in processes.values_mut() {
            process.directory = process.directory.take().or_else(|| self.directory.clone());
            for (name, value) in &self.environment {
                process.environment.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        Supervision { version: SUPERVISION_VERSION, seed, processes }
    }

    /// Whether a name is that of a role or of a process.
    pub fn knows(&self, name: &str) -> bool {
        self.roles.named(name).is_some()
            || self.processes.contains_key(name)
            || (name == ONLY_PROCESS && !self.command.is_empty())
    }
}
