//! Guests of the supervisor: programs that end, hang, hide, flood or multiply, each with the name of the
//! end that the supervisor must give it.

use killpoint_model::lifecycle::End;

/// One way to misbehave, or to behave.
#[derive(Clone, Copy, Debug)]
pub struct Supervised {
    /// The name of the row, and what the script is told.
    pub name: &'static str,
    /// Flags of `supervise`, besides `--restart never`.
    pub flags: &'static [&'static str],
    /// Whether the supervisor is asked to stop once the guest is ready.
    pub is_stopped: bool,
    /// The end.
    pub end: End,
    /// Events that must be told, by id.
    pub events: &'static [&'static str],
    /// Whether the supervisor finds that all ended as it should.
    pub clean: bool,
}

const DEFAULT: Supervised = Supervised {
    name: "",
    flags: &[],
    is_stopped: false,
    end: End::Finished,
    events: &[],
    clean: true,
};
const READY: &[&str] = &["--ready", "notify"];
const BY_NOTIFY: &[&str] = &["--ready", "notify", "--grace", "500ms"];

/// Every row.
pub const SUPERVISED: &[Supervised] = &[
    Supervised { name: "finish", ..DEFAULT },
    Supervised { name: "fail", end: End::Failed, clean: false, ..DEFAULT },
    Supervised { name: "crash", end: End::Killed, clean: false, ..DEFAULT },
    Supervised {
        name: "work",
        flags: &["--ready", "notify", "--watchdog", "10s"],
        is_stopped: true,
        end: End::Stopped,
        events: &[
            "process.ready",
            "process.heartbeat",
            "checkpoint.saved",
            "oplog.flushed",
            "process.signalled",
        ],
        clean: true,
    },
    Supervised {
        name: "ignore-term",
        flags: BY_NOTIFY,
        is_stopped: true,
        end: End::IgnoredStop,
        clean: false,
        ..DEFAULT
    },
    Supervised {
        name: "hang-at-exit",
        flags: BY_NOTIFY,
        is_stopped: true,
        end: End::HungAtExit,
        events: &["process.stopping"],
        clean: false,
    },
    Supervised {
        name: "announce-and-hang",
        flags: BY_NOTIFY,
        end: End::HungAtExit,
        events: &["process.stopping"],
        clean: false,
        ..DEFAULT
    },
    Supervised { name: "announce-and-end", flags: READY, events: &["process.stopping"], ..DEFAULT },
    Supervised { name: "double-fork", end: End::Detached, clean: false, ..DEFAULT },
    Supervised {
        name: "double-fork-main-pid",
        flags: READY,
        is_stopped: true,
        end: End::Stopped,
        events: &["process.main-changed"],
        ..DEFAULT
    },
    Supervised {
        name: "flood",
        flags: &["--output", "logs"],
        events: &["output.cut", "output.ended"],
        ..DEFAULT
    },
    Supervised {
        name: "closed-pipes",
        flags: READY,
        is_stopped: true,
        end: End::Stopped,
        ..DEFAULT
    },
    Supervised {
        name: "never-ready",
        flags: &["--ready", "notify", "--ready-timeout", "1s"],
        end: End::NeverReady,
        events: &["process.not-ready"],
        clean: false,
        ..DEFAULT
    },
    Supervised { name: "rename", flags: READY, events: &["process.renamed"], ..DEFAULT },
    Supervised {
        name: "silent",
        flags: &["--ready", "notify", "--watchdog", "500ms", "--grace", "500ms"],
        end: End::Hung,
        events: &["process.heartbeat", "process.heartbeat-missed"],
        clean: false,
        ..DEFAULT
    },
    Supervised {
        name: "many-processes",
        flags: &["--processes-max", "20"],
        end: End::TooManyProcesses,
        events: &["process.too-many-processes"],
        clean: false,
        ..DEFAULT
    },
    Supervised {
        name: "extend",
        flags: &["--ready", "notify", "--ready-timeout", "5s"],
        events: &["process.time-extended", "process.ready"],
        ..DEFAULT
    },
];

impl Supervised {
    /// The command of a row.
    pub fn command(&self) -> Vec<String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/supervised.py");
        ["python3", script, self.name].map(str::to_owned).to_vec()
    }
}
