//! Lifecycle events: what a supervisor did to its processes and what they said of themselves.
//!
//! Each has an id that never changes its meaning ([`TABLE`], `docs/lifecycle-events.md`). One event is
//! one line of JSON, a [`Record`].

use crate::supervision::{Command, OnMismatch};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of the records. A new event or field does not change it; another meaning does.
pub const LIFECYCLE_VERSION: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the format.
    pub version: u32,
    /// Which, from 1, without gaps.
    pub ordinal: u64,
    /// Microseconds since the supervisor began, by a clock that never goes back.
    pub at_us: u64,
    /// When, RFC 3339.
    pub time: String,
    /// The process that it is about; none if it is about the supervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// How often the process was started by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<u32>,
    /// What happened.
    #[serde(flatten)]
    pub event: Lifecycle,
}

/// How the system says that a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// With an exit status.
    Status(i32),
    /// By a signal, by its number.
    Signal {
        /// The signal.
        number: i32,
        /// Whether a core was dumped.
        core: bool,
    },
}

impl Exit {
    /// Reads the status that `wait` tells; none if it is not that of a process that ended.
    pub fn from_wait_status(status: i32) -> Option<Exit> {
        match status & 0x7f {
            0 => Some(Exit::Status(status >> 8 & 0xff)),
            0x7f => None,
            number => Some(Exit::Signal { number, core: status & 0x80 != 0 }),
        }
    }
}

/// The name of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Exit status 0, by itself.
    Finished,
    /// Another exit status, by itself.
    Failed,
    /// A signal that the supervisor did not send.
    Killed,
    /// It could not be executed.
    StartFailed,
    /// It was not ready in time, and was stopped.
    NeverReady,
    /// It stayed silent for too long, and was ended.
    Hung,
    /// It was asked to stop, and did.
    Stopped,
    /// It was asked to stop, ignored or blocked the signal, and was killed.
    IgnoredStop,
    /// It was asked to stop, or said that it would, began to, and had to be killed.
    HungAtExit,
    /// It ended while descendants of it went on, and named none of them its successor by `MAINPID=`.
    Detached,
    /// It and its descendants were more than allowed, and were ended.
    TooManyProcesses,
}

impl End {
    /// Whether a process with the policy `on-failure` is left down after it. As systemd has it, SIGHUP,
    /// SIGINT, SIGPIPE and SIGTERM are clean, too.
    pub fn is_clean(self, exit: Option<Exit>) -> bool {
        match self {
            End::Finished | End::Stopped => true,
            End::Killed => matches!(exit, Some(Exit::Signal { number: 1 | 2 | 13 | 15, .. })),
            _ => false,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One of the standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Who asked for a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopCause {
    /// SIGTERM, SIGINT or SIGQUIT to the supervisor.
    Signal,
    /// A line of the control protocol.
    Control,
    /// Whoever held the supervisor's standard input (`--control-stdin`) is gone.
    OwnerGone,
    /// The supervisor's guardian process is gone: everything is killed at once.
    GuardianGone,
    /// No process is left to supervise.
    AllDown,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "id")]
pub enum Lifecycle {
    /// See [`TABLE`].
    #[serde(rename = "supervisor.started")]
    SupervisorStarted {
        /// Its number.
        pid: i32,
        /// The number of its guardian, which is the process that was started as `killpoint supervise`.
        guardian: i32,
        /// Version of killpoint.
        killpoint: String,
        /// The processes, in the order in which they are started.
        processes: Vec<String>,
        /// What bounds the number of processes: `cgroup`, `rlimit` or `counting`.
        bounded_by: String,
    },
    /// See [`TABLE`].
    #[serde(rename = "supervisor.stopping")]
    SupervisorStopping {
        /// Why.
        cause: StopCause,
    },
    /// See [`TABLE`].
    #[serde(rename = "supervisor.stopped")]
    SupervisorStopped {
        /// Why.
        cause: StopCause,
        /// Whether every process ended as it should.
        clean: bool,
        /// Lines that nobody took off the standard output in time, and which were therefore left out
        /// there; the file has all of them.
        lines_dropped: u64,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.started")]
    Started {
        /// Its number.
        pid: i32,
        /// What was executed.
        command: Command,
        /// Whether it is the fallback command.
        fallback: bool,
        /// The moment before: nothing that the process did is earlier.
        #[serde(default)]
        not_before: String,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.start-failed")]
    StartFailed {
        /// What the system says.
        error: String,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.ready")]
    Ready {
        /// Microseconds since it was started.
        after_us: u64,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.not-ready")]
    NotReady {
        /// The time-out in milliseconds.
        timeout_ms: u64,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.status")]
    Status {
        /// What it says of itself.
        text: String,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.heartbeat")]
    Heartbeat {},
    /// See [`TABLE`].
    #[serde(rename = "process.heartbeat-missed")]
    HeartbeatMissed {
        /// The time-out in milliseconds.
        timeout_ms: u64,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.time-extended")]
    TimeExtended {
        /// From now on, in milliseconds.
        by_ms: u64,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.main-changed")]
    MainChanged {
        /// The number from now on.
        pid: i32,
        /// The number until now.
        from: i32,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.renamed")]
    Renamed {
        /// The name until now.
        from: String,
        /// The name that it gave itself.
        to: String,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.stopping")]
    Stopping {
        /// Whether the process said so itself; else the supervisor asks it to.
        by_itself: bool,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.signalled")]
    Signalled {
        /// The signal's number.
        number: i32,
        /// Why: `forwarded`, `control`, `stop`, `watchdog`, `not-ready`, `too-many-processes`.
        why: String,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.ended")]
    Ended {
        /// The name of the end.
        end: End,
        /// What the system says; none if it never ran.
        exit: Option<Exit>,
        /// Microseconds since it was started.
        after_us: u64,
        /// Descendants that it left behind, and that were killed.
        swept: u32,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.restart-planned")]
    RestartPlanned {
        /// Which restart in a row.
        attempt: u32,
        /// The wait in milliseconds.
        wait_ms: u64,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.start-limit-reached")]
    StartLimitReached {
        /// That many starts.
        count: u32,
        /// In milliseconds.
        within_ms: u64,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.safe-mode")]
    SafeMode {
        /// What is started instead.
        command: Command,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.gave-up")]
    GaveUp {
        /// Why, in a sentence.
        reason: String,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.kept-down")]
    KeptDown {
        /// In milliseconds; none: until it is released.
        for_ms: Option<u64>,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.released")]
    Released {},
    /// See [`TABLE`].
    #[serde(rename = "process.on-restart-ended")]
    OnRestartEnded {
        /// How; none if it could not be executed.
        exit: Option<Exit>,
        /// Whether its time was over.
        timed_out: bool,
    },
    /// See [`TABLE`].
    #[serde(rename = "process.too-many-processes")]
    TooManyProcesses {
        /// How many there were.
        count: u32,
        /// The limit.
        max: u32,
    },
    /// See [`TABLE`].
    #[serde(rename = "checkpoint.saved")]
    CheckpointSaved {
        /// The number that the program gave it.
        sequence: u64,
    },
    /// See [`TABLE`].
    #[serde(rename = "checkpoint.handed-back")]
    CheckpointHandedBack {
        /// The file.
        file: String,
        /// Its length.
        bytes: u64,
        /// The sequence that was announced last, if one was.
        sequence: Option<u64>,
    },
    /// See [`TABLE`].
    #[serde(rename = "oplog.flushed")]
    OplogFlushed {
        /// The number that the program gave the last operation.
        sequence: u64,
    },
    /// See [`TABLE`].
    #[serde(rename = "schema.mismatch")]
    SchemaMismatch {
        /// The version; none if it could not be read.
        found: Option<u64>,
        /// What the program can read.
        accepts: String,
        /// What is done.
        action: OnMismatch,
        /// Why it could not be read.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        problem: String,
    },
    /// See [`TABLE`].
    #[serde(rename = "orphan.reaped")]
    OrphanReaped {
        /// Its number.
        pid: i32,
        /// How it ended.
        exit: Exit,
    },
    /// See [`TABLE`].
    #[serde(rename = "output.cut")]
    OutputCut {
        /// Which stream.
        stream: Stream,
        /// Bytes that were kept.
        kept: u64,
    },
    /// See [`TABLE`].
    #[serde(rename = "output.ended")]
    OutputEnded {
        /// Which stream.
        stream: Stream,
        /// Bytes that were kept.
        kept: u64,
        /// Bytes that were thrown away.
        dropped: u64,
    },
    /// See [`TABLE`].
    #[serde(rename = "message.refused")]
    MessageRefused {
        /// Who sent it, by number.
        pid: i32,
        /// With whose rights.
        uid: u32,
        /// Why.
        problem: String,
    },
    /// See [`TABLE`].
    #[serde(rename = "message.skipped")]
    MessagesSkipped {
        /// How many.
        count: u64,
    },
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The id.
    pub id: &'static str,
    /// When it is written.
    pub about: &'static str,
}

const fn entry(id: &'static str, about: &'static str) -> Entry {
    Entry { id, about }
}

/// Every event, in the order of the documentation.
pub const TABLE: &[Entry] = &[
    entry("supervisor.started", "The supervisor is at work; the first line."),
    entry("supervisor.stopping", "Everything is being stopped, the last started first."),
    entry("supervisor.stopped", "Nothing is left running; the last line."),
    entry("process.started", "The program was executed."),
    entry("process.start-failed", "It could not be."),
    entry(
        "process.ready",
        "What `ready` asks for has happened; without it, the program was executed.",
    ),
    entry("process.not-ready", "It has not happened in time; the process is stopped."),
    entry("process.status", "The process said how it is (`STATUS=`)."),
    entry("process.heartbeat", "A sign of life, by whatever `watchdog` asks for."),
    entry(
        "process.heartbeat-missed",
        "There was none in time; the process is ended, SIGABRT first.",
    ),
    entry("process.time-extended", "The process asked for more time (`EXTEND_TIMEOUT_USEC=`)."),
    entry("process.main-changed", "Another process is the one that counts (`MAINPID=`)."),
    entry("process.renamed", "The process gave itself another name; it is still followed."),
    entry("process.stopping", "The process said that it stops (`STOPPING=1`), or is asked to."),
    entry("process.signalled", "The supervisor sent it a signal."),
    entry("process.ended", "It is gone, and what it left behind, too."),
    entry("process.restart-planned", "It will be started again after the wait."),
    entry("process.start-limit-reached", "It was started too often."),
    entry("process.safe-mode", "Its fallback command takes its place."),
    entry("process.gave-up", "It stays down, for the reason given."),
    entry("process.kept-down", "It would be started, but its restart is inhibited."),
    entry("process.released", "Its restart is not inhibited any more."),
    entry("process.on-restart-ended", "The command before a restart has ended."),
    entry("process.too-many-processes", "It and its descendants are more than allowed."),
    entry("checkpoint.saved", "The process says that a checkpoint is on disk."),
    entry(
        "checkpoint.handed-back",
        "The checkpoint was handed to the process that is started now.",
    ),
    entry("oplog.flushed", "The process says that its operation log is on disk up to there."),
    entry("schema.mismatch", "The state's version is not one that the program can read."),
    entry("orphan.reaped", "A descendant without a parent of its own ended."),
    entry("output.cut", "Output is thrown away from here on."),
    entry("output.ended", "A stream of a life was closed."),
    entry("message.refused", "A message came from nobody who belongs to the process."),
    entry("message.skipped", "More messages than can be told came within a second."),
];

impl Lifecycle {
    /// Its id.
    pub fn id(&self) -> &'static str {
        match self {
            Lifecycle::SupervisorStarted { .. } => "supervisor.started",
            Lifecycle::SupervisorStopping { .. } => "supervisor.stopping",
            Lifecycle::SupervisorStopped { .. } => "supervisor.stopped",
            Lifecycle::Started { .. } => "process.started",
            Lifecycle::StartFailed { .. } => "process.start-failed",
            Lifecycle::Ready { .. } => "process.ready",
            Lifecycle::NotReady { .. } => "process.not-ready",
            Lifecycle::Status { .. } => "process.status",
            Lifecycle::Heartbeat {} => "process.heartbeat",
            Lifecycle::HeartbeatMissed { .. } => "process.heartbeat-missed",
            Lifecycle::TimeExtended { .. } => "process.time-extended",
            Lifecycle::MainChanged { .. } => "process.main-changed",
            Lifecycle::Renamed { .. } => "process.renamed",
            Lifecycle::Stopping { .. } => "process.stopping",
            Lifecycle::Signalled { .. } => "process.signalled",
            Lifecycle::Ended { .. } => "process.ended",
            Lifecycle::RestartPlanned { .. } => "process.restart-planned",
            Lifecycle::StartLimitReached { .. } => "process.start-limit-reached",
            Lifecycle::SafeMode { .. } => "process.safe-mode",
            Lifecycle::GaveUp { .. } => "process.gave-up",
            Lifecycle::KeptDown { .. } => "process.kept-down",
            Lifecycle::Released {} => "process.released",
            Lifecycle::OnRestartEnded { .. } => "process.on-restart-ended",
            Lifecycle::TooManyProcesses { .. } => "process.too-many-processes",
            Lifecycle::CheckpointSaved { .. } => "checkpoint.saved",
            Lifecycle::CheckpointHandedBack { .. } => "checkpoint.handed-back",
            Lifecycle::OplogFlushed { .. } => "oplog.flushed",
            Lifecycle::SchemaMismatch { .. } => "schema.mismatch",
            Lifecycle::OrphanReaped { .. } => "orphan.reaped",
            Lifecycle::OutputCut { .. } => "output.cut",
            Lifecycle::OutputEnded { .. } => "output.ended",
            Lifecycle::MessageRefused { .. } => "message.refused",
            Lifecycle::MessagesSkipped { .. } => "message.skipped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that each event is read from, in the order of the table.
    const LEAST: &[&str] = &[
        r#""pid":1,"guardian":1,"killpoint":"","processes":[],"bounded_by":"""#,
        r#""cause":"signal""#,
        r#""cause":"all-down","clean":true,"lines_dropped":0"#,
        r#""pid":1,"command":[],"fallback":false,"not_before":"""#,
        r#""error":"""#,
        r#""after_us":1"#,
        r#""timeout_ms":1"#,
        r#""text":"""#,
        "",
        r#""timeout_ms":1"#,
        r#""by_ms":1"#,
        r#""pid":1,"from":2"#,
        r#""from":"a","to":"b""#,
        r#""by_itself":true"#,
        r#""number":15,"why":"stop""#,
        r#""end":"killed","exit":{"signal":{"number":9,"core":false}},"after_us":1,"swept":0"#,
        r#""attempt":1,"wait_ms":1"#,
        r#""count":1,"within_ms":1"#,
        r#""command":["a"]"#,
        r#""reason":"""#,
        r#""for_ms":null"#,
        "",
        r#""exit":{"status":0},"timed_out":false"#,
        r#""count":2,"max":1"#,
        r#""sequence":1"#,
        r#""file":"f","bytes":1,"sequence":null"#,
        r#""sequence":1"#,
        r#""found":1,"accepts":"2..","action":"refuse""#,
        r#""pid":1,"exit":{"status":0}"#,
        r#""stream":"output","kept":1"#,
        r#""stream":"error","kept":1,"dropped":1"#,
        r#""pid":1,"uid":0,"problem":"""#,
        r#""count":1"#,
    ];

    #[test]
    fn wait_statuses_are_read_as_the_kernel_writes_them() {
        let read = Exit::from_wait_status;
        assert_eq!(read(0), Some(Exit::Status(0)));
        assert_eq!(read(3 << 8), Some(Exit::Status(3)));
        assert_eq!(read(9), Some(Exit::Signal { number: 9, core: false }));
        assert_eq!(read(139), Some(Exit::Signal { number: 11, core: true }));
        assert_eq!(read(0x137f), None, "stopped");
    }

    #[test]
    fn the_ids_of_the_table_are_those_that_are_written() {
        assert_eq!(LEAST.len(), TABLE.len());
        for (entry, fields) in TABLE.iter().zip(LEAST) {
            let comma = if fields.is_empty() { "" } else { "," };
            let text = format!(
                r#"{{"version":1,"ordinal":1,"at_us":1,"time":"","id":"{}"{comma}{fields}}}"#,
                entry.id
            );
            let record: Record =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
            assert_eq!(record.event.id(), entry.id);
            assert_eq!(serde_json::to_string(&record).expect("plain data"), text);
        }
    }

    #[test]
    fn the_page_has_the_same_table() {
        let page = include_str!("../../../docs/lifecycle-events.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        for entry in TABLE {
            let start = format!("| `{}` | {} |", entry.id, entry.about);
            assert!(rows.iter().any(|row| row.starts_with(&start)), "the page lacks {start}");
        }
        let of_events =
            rows.iter().filter(|row| row[3..].split('`').next().is_some_and(|id| id.contains('.')));
        assert_eq!(of_events.count(), TABLE.len(), "the page has events that are not written");
        assert!(page.contains(&format!("version {LIFECYCLE_VERSION}")), "the version");
    }

    #[test]
    fn a_request_to_end_is_a_clean_end_and_a_crash_is_not() {
        let by = |number| Some(Exit::Signal { number, core: false });
        assert!(End::Killed.is_clean(by(15)) && End::Finished.is_clean(Some(Exit::Status(0))));
        assert!(!End::Killed.is_clean(by(9)) && !End::Failed.is_clean(Some(Exit::Status(1))));
        assert!(!End::Hung.is_clean(by(15)) && !End::Detached.is_clean(Some(Exit::Status(0))));
        assert_eq!(End::TooManyProcesses.to_string(), "too-many-processes");
    }
}
