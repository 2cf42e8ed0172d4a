//! The death of a supervised process that was no stop, and everything that belongs to it.

use super::Stack;
use crate::lifecycle::{End, Exit, Stream};
use serde::{Deserialize, Serialize};

/// A crash. Its id leads from an uploaded dump back to the run, its commit and its job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// Its id: that of the run, the trial, and which crash of it, as `7f3a12-3-1`; a further try is part of the trial.
    pub id: String,
    /// The run.
    pub run: String,
    /// The commit under test, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The CI job, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_url: Option<String>,
    /// The trial.
    pub trial: u64,
    /// Which try of it.
    pub attempt: u32,
    /// Which failed try was run again by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<u32>,
    /// The strike that ended the process; none if it crashed by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strike: Option<u64>,
    /// The supervised process, or that above the one that crashed.
    pub process: String,
    /// How often it was started by then.
    pub life: u32,
    /// The number of the one that crashed.
    pub pid: i32,
    /// Who it was, if it was not the supervised process itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Below>,
    /// The name of its end.
    pub end: End,
    /// What the system says of it.
    pub exit: Option<Exit>,
    /// When, in microseconds since the supervisor began.
    pub at_us: u64,
    /// When, RFC 3339.
    pub time: String,
    /// The ordinal of the lifecycle event that tells of it; of one below a supervised process, of the last event
    /// before it.
    pub event_ordinal: u64,
    /// The last checkpoint before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<LastCheckpoint>,
    /// The last lines that it printed, and the first of its next life.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLines>,
    /// Its dumps and its core.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dumps: Vec<DumpFile>,
    /// Why a dump that was asked for is not there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// The stack of the thread that crashed, from the first dump that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Stack>,
}

/// A process below a supervised one. Nobody tells of its end but the watch for crashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Below {
    /// Its role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The file that it executed.
    pub executable: String,
    /// Its command line, bounded.
    pub command: String,
    /// The ordinal of the first lifecycle event after its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_event_ordinal: Option<u64>,
}

/// A checkpoint that was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastCheckpoint {
    /// Who told of it.
    pub process: String,
    /// Its sequence.
    pub sequence: u64,
    /// The ordinal of the lifecycle event.
    pub event_ordinal: u64,
}

/// Lines of one stream of one life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLines {
    /// Which life.
    pub life: u32,
    /// Which stream.
    pub stream: Stream,
    /// The lines, bounded.
    pub lines: Vec<String>,
}

/// A file that holds the memory of a process, or some of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpFile {
    /// Its path in the folder of the run.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Who wrote it.
    pub by: DumpedBy,
}

/// Who wrote a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DumpedBy {
    /// Killpoint, while the process stood still before its kill.
    Strike,
    /// Killpoint, before the signal that ended the process was delivered.
    Watch,
    /// The application.
    Application,
    /// The kernel: a core.
    Kernel,
}

impl End {
    /// Whether a process that ended so crashed: it did not end as it should, and nobody asked it to.
    pub fn is_crash(self, exit: Option<Exit>) -> bool {
        match self {
            End::Finished | End::Stopped | End::IgnoredStop | End::HungAtExit => false,
            End::Detached => exit != Some(Exit::Status(0)),
            End::Failed
            | End::Killed
            | End::StartFailed
            | End::NeverReady
            | End::Hung
            | End::TooManyProcesses => true,
        }
    }
}

impl Crash {
    /// Who crashed, in words: the supervised process, or who stood below it.
    pub fn who(&self) -> String {
        let Some(below) = &self.below else { return self.process.clone() };
        let name = below.executable.rsplit('/').next().unwrap_or_default();
        format!("{} below {}", below.role.as_deref().unwrap_or(name), self.process)
    }

    /// Whether the process crashed without being struck.
    pub fn is_own(&self) -> bool {
        self.strike.is_none()
    }

    /// Whether there is a dump and an event that names a checkpoint.
    pub fn is_observable(&self) -> bool {
        let has_dump = self.dumps.iter().any(|dump| dump.by != DumpedBy::Kernel);
        has_dump && self.checkpoint.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_to_end_did_not_crash() {
        let killed = Some(Exit::Signal { number: 9, core: false });
        for end in [End::Finished, End::Stopped, End::IgnoredStop, End::HungAtExit] {
            assert!(!end.is_crash(killed), "{end}");
        }
        for end in [End::Killed, End::Failed, End::Hung, End::NeverReady] {
            assert!(end.is_crash(killed), "{end}");
        }
        assert!(!End::Detached.is_crash(Some(Exit::Status(0))) && End::Detached.is_crash(killed));
    }
}
