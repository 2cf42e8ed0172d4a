//! Guests: small programs that are deliberately right or wrong about crashes, in one table with the verdict that is
//! expected of each.
//!
//! A guest takes its directory from `KILLPOINT_STATE` (or from its first argument) and writes the ack journal to
//! `KILLPOINT_JOURNAL` where that is set. Called with `check` before anything else, it reopens its store and prints
//! one JSON object, key to value. Every store begins as an empty directory.

pub mod bank;
pub mod database;
pub mod document;
pub mod exercise;
pub mod frame;
pub mod journal;
pub mod notes;
pub mod record_log;
pub mod shared_log;
pub mod steps;
pub mod supervised;

pub use frame::{Call, Store};
pub use journal::{Journal, Promise};
pub use killpoint_model::{Class, Reason};

use Class::*;
use Expected::*;
use std::path::{Path, PathBuf};

/// What starts a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A binary of this crate.
    Binary(&'static str),
    /// An interpreter and a file in `guests/scripts`.
    Script(&'static str, &'static str),
}

/// What a run must say about a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing is found, nothing is unknown.
    Held,
    /// At least one finding, and each of one of these classes.
    Violated(&'static [Class]),
    /// No finding, and an unknown for one of these reasons.
    Unknown(&'static [Reason]),
    /// There is nothing to strike.
    Vacuous,
    /// The control does not hold, so that nothing is judged.
    BaselineFailed,
}

/// Programs that have no verdict of their own: what they do is looked at by tests of their own.
pub const ELSEWHERE: &[&str] = &["crash", "sdk-calls", "x-window"];

/// One guest.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// The name of the row; that of the program and, where it matters, what it is told.
    pub name: &'static str,
    /// What is started.
    pub program: Program,
    /// What follows the program's name (and `check`).
    pub arguments: &'static [&'static str],
    /// What is right or wrong about it.
    pub about: &'static str,
    /// Whether it writes the ack journal; the others promise nothing, and are not judged by what they print.
    pub writes_journal: bool,
    /// Whether the built-in oracle can judge it, so that it is also run with neither journal nor checker.
    pub built_in_oracle: bool,
    /// Under `kill` and `torn-write`.
    pub kill: Expected,
    /// Under all power-loss models with the profile `strict`; none where that is not asserted.
    pub power_loss: Option<Expected>,
    /// Flags of `explore` that belong to its verdict.
    pub flags: &'static [&'static str],
    /// What runs it must know: it does not end by itself, takes a partner, or does harm without a limit.
    pub caution: Option<Caution>,
}

/// Why a guest cannot simply be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caution {
    /// It goes on until it is killed.
    NeverEnds,
    /// It uses up the disk or the process table.
    NeedsLimit,
    /// `outside-daemon serve` must be listening on `GUEST_SOCKET`.
    NeedsDaemon,
    /// It is a server: the same program with `drive` drives it, and it ends when it is asked to.
    NeedsDriver,
    /// Its check does not end or does not answer everywhere.
    CheckMisbehaves,
}

impl Guest {
    /// The row with this name.
    pub fn named(name: &str) -> Option<&'static Guest> {
        GUESTS.iter().find(|guest| guest.name == name)
    }

    /// The language that it is written in.
    pub fn language(&self) -> &'static str {
        match self.program {
            Program::Binary(_) => "Rust",
            Program::Script("bash", _) => "shell",
            Program::Script("node", _) => "JavaScript",
            Program::Script(..) => "Python",
        }
    }

    /// The command that does the guest's work; its state directory stands in the environment.
    pub fn work_command(&self, binaries: &Path) -> Vec<String> {
        self.command(binaries, &[])
    }

    /// The command that reopens the guest's store and prints it.
    pub fn check_command(&self, binaries: &Path) -> Vec<String> {
        self.command(binaries, &["check"])
    }

    /// The command that drives a server; its state directory stands in the environment.
    pub fn drive_command(&self, binaries: &Path) -> Vec<String> {
        self.command(binaries, &["drive"])
    }

    fn command(&self, binaries: &Path, mode: &[&str]) -> Vec<String> {
        let mut command = match self.program {
            Program::Binary(name) => vec![binaries.join(name).display().to_string()],
            Program::Script(interpreter, file) => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(file);
                vec![interpreter.to_owned(), path.display().to_string()]
            }
        };
        command.extend(mode.iter().chain(self.arguments).map(|&argument| argument.to_owned()));
        command
    }
}

/// Where Cargo put the guests' binaries, seen from a test of this workspace. Another crate's tests find them there
/// once `cargo build -p guests` has run.
///
/// # Panics
/// When this is not a program that Cargo built.
pub fn binaries_directory() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    let directory = program.parent().expect("a program lies in a directory");
    if directory.ends_with("deps") {
        directory.parent().expect("deps lies in the profile's directory").to_owned()
    } else {
        directory.to_owned()
    }
}

const DEFAULT: Guest = Guest {
    name: "",
    program: Program::Binary(""),
    arguments: &[],
    about: "",
    writes_journal: true,
    built_in_oracle: false,
    kill: Held,
    power_loss: None,
    flags: &[],
    caution: None,
};

/// A Rust guest whose binary has the row's name.
const fn rust(name: &'static str, about: &'static str, kill: Expected) -> Guest {
    Guest { name, program: Program::Binary(name), about, kill, ..DEFAULT }
}

/// The notes editor with these arguments, for a handful of edits.
const fn notes(
    name: &'static str,
    arguments: &'static [&'static str],
    about: &'static str,
    kill: Expected,
) -> Guest {
    Guest { name, program: Program::Binary("notes"), arguments, about, kill, ..DEFAULT }
}

/// A guest that an interpreter runs.
const fn script(
    name: &'static str,
    interpreter: &'static str,
    file: &'static str,
    about: &'static str,
) -> Guest {
    Guest { name, program: Program::Script(interpreter, file), about, ..DEFAULT }
}

/// A row for the program that saves properly and has a misbehaving checker.
const fn checker(
    name: &'static str,
    arguments: &'static [&'static str],
    about: &'static str,
    kill: Expected,
) -> Guest {
    let program = Program::Binary("checker-misbehaves");
    let caution = Some(Caution::CheckMisbehaves);
    Guest { name, program, arguments, about, kill, caution, ..DEFAULT }
}

impl Guest {
    const fn violates(self, classes: &'static [Class]) -> Guest {
        Guest { kill: Violated(classes), ..self }
    }

    const fn is_unknown(self, reasons: &'static [Reason]) -> Guest {
        Guest { kill: Unknown(reasons), ..self }
    }

    const fn power_loss(self, expected: Expected) -> Guest {
        Guest { power_loss: Some(expected), ..self }
    }

    const fn without_journal(self) -> Guest {
        Guest { writes_journal: false, ..self }
    }

    const fn with_built_in_oracle(self) -> Guest {
        Guest { built_in_oracle: true, ..self }
    }

    const fn with(self, arguments: &'static [&'static str]) -> Guest {
        Guest { arguments, ..self }
    }

    const fn flags(self, flags: &'static [&'static str]) -> Guest {
        Guest { flags, ..self }
    }

    const fn caution(self, caution: Caution) -> Guest {
        Guest { caution: Some(caution), ..self }
    }
}

/// Every guest.
#[rustfmt::skip]
pub const GUESTS: &[Guest] = &[
    // Documents.
    rust("save-in-place", "empties its document before it fills it", Violated(&[Unopenable])),
    rust("save-in-place-silent", "the same, and starts anew where it cannot parse", Violated(&[Lost])),
    rust("save-with-backup", "makes a copy before it empties its document, and never looks at it",
        Violated(&[RecoverableByHand])),
    Guest {
        name: "save-with-backup-restored",
        program: Program::Binary("save-with-backup"),
        arguments: &["restore"],
        about: "the same, and takes the copy where the document does not open",
        ..rust("save-with-backup", "", Held)
    },
    rust("save-atomic", "temporary file, fsync, rename, fsync of the directory", Held)
        .power_loss(Held).with_built_in_oracle(),
    rust("save-rename-no-fsync", "renames bytes that were never synced", Held)
        .power_loss(Violated(&[Unopenable, Lost, Wrong, AckedNotDurable])),
    rust("save-tmp-no-dir-sync", "promises a rename that the directory may not keep", Held)
        .power_loss(Violated(&[AckedNotDurable])),
    rust("multi-save", "several documents, saved atomically several times", Held)
        .power_loss(Held).with_built_in_oracle(),
    rust("exchange", "saves by RENAME_EXCHANGE", Held).power_loss(Held).with_built_in_oracle(),
    rust("unnamed-file", "saves by O_TMPFILE and linkat", Held).power_loss(Held),
    rust("copied-file", "saves by copy_file_range, sendfile and rename", Held).power_loss(Held),

    // Logs.
    rust("append-log", "checksummed records; recovery drops a torn tail", Held)
        .power_loss(Held).with_built_in_oracle(),
    rust("newer-log", "applies a log that is newer than its values by the times that it set", Held),
    rust("append-log-ack-first", "acknowledges before it writes", Violated(&[Lost])),
    rust("append-log-no-recovery", "refuses a torn tail", Violated(&[Unopenable])),
    rust("acked-not-durable", "promises durability without fsync", Held)
        .power_loss(Violated(&[AckedNotDurable])),
    rust("acked-durable", "promises durability after fdatasync", Held).power_loss(Held),

    // One class each.
    rust("torn-value", "shows half of a value", Violated(&[Torn])),
    rust("two-files", "one value in two files, replaced one after the other", Violated(&[Wrong])),
    rust("leftover-key", "shows a temporary file as a key", Violated(&[Extra])),
    rust("counter", "adds by atomic replacement", Held).power_loss(Held),
    rust("counter-replayed", "its recovery adds once more", Violated(&[Duplicated])),
    rust("queue", "appends by atomic replacement", Held).power_loss(Held),
    rust("queue-replayed", "its recovery appends once more", Violated(&[Duplicated])),
    rust("lock-waits", "waits for ever for a lock file that was left", Violated(&[Hung])),
    rust("pid-file", "never starts again where a pid file was left", Violated(&[Unopenable, Bricked])),
    rust("pid-lock", "takes over a pid file whose process does not live", Held).power_loss(Held),
    rust("transfer", "notes both balances, then saves them", Held).power_loss(Held),
    rust("transfer-two-saves", "saves one balance after the other", Violated(&[Lost, Torn, Wrong])),

    // Drafts.
    rust("drafts", "shows a draft again until what was drafted is saved", Held).with(&["careful"]),
    Guest { name: "drafts-forgotten", program: Program::Binary("drafts"), arguments: &["forgets"],
        about: "never shows a draft again", ..DEFAULT },
    Guest { name: "drafts-stale", program: Program::Binary("drafts"), arguments: &["stale"],
        about: "shows a draft over what was saved after it", kill: Violated(&[Wrong]), ..DEFAULT },

    // A workload of steps.
    rust("steps", "compacts in place once something was deleted", Violated(&[Unopenable])),

    // SQLite.
    rust("sqlite-wal", "write-ahead log, full synchronisation", Held)
        .power_loss(Held).with_built_in_oracle(),
    rust("sqlite-memory-journal", "rollback journal in memory", Violated(&[Unopenable, Lost, Torn, Wrong])),

    // The notes editor: three processes, four stores.
    notes("notes-in-place", &["--store", "in-place", "--edits", "6"], "its worker rewrites the document in place", Violated(&[Unopenable])),
    notes("notes-atomic", &["--store", "atomic", "--edits", "6"], "its worker replaces the document atomically", Held)
        .power_loss(Held),
    notes("notes-sqlite", &["--store", "sqlite", "--edits", "6"], "its worker saves to SQLite", Held).power_loss(Held),
    notes("notes-queue", &["--store", "queue", "--edits", "6"], "its worker puts operations into a queue", Held)
        .power_loss(Held),
    notes("notes-race", &["--store", "atomic", "--race", "--edits", "6"], "its worker takes the window's snapshot for flushed", Violated(&[Lost])),

    // Trees.
    script("shell-tree", "bash", "shell-tree.sh", "a shell and its children").power_loss(Held),
    script("processes", "python3", "processes.py", "four processes append to one file").power_loss(Held),
    script("parallel", "node", "parallel.js", "a thread pool replaces files in parallel").power_loss(Held),
    rust("threads", "eight threads, own files and a shared one", Held).power_loss(Held),
    rust("tasks", "asynchronous tasks on several threads", Held).power_loss(Held),
    rust("daemon", "forks twice and saves after its parent has exited", Held).power_loss(Held),
    script("late-writer", "bash", "late-writer.sh", "saves after its driver has ended").power_loss(Held),
    rust("two-writers", "one of two programs that race writes its record in two parts", Violated(&[Unopenable]))
        .flags(&["--role", "steady=cmdline:two-writers steady", "--role", "careless=cmdline:two-writers careless"]),
    rust("outside-daemon", "a daemon outside of the tree does the saving", Unknown(&[Reason::NotCovered]))
        .caution(Caution::NeedsDaemon),

    // Phases.
    rust("start-in-place", "makes its document in place, and saves atomically from then on", Violated(&[Unopenable])),
    script("server", "python3", "server.py", "folds its log into a snapshot at its end").with(&["careful"])
        .power_loss(Held).caution(Caution::NeedsDriver),
    script("server-careless", "python3", "server.py", "empties its log before the snapshot is there").with(&["careless"])
        .violates(&[Lost]).caution(Caution::NeedsDriver),
    script("never-quiet", "bash", "never-quiet.sh", "leaves a child that goes on saving for ever")
        .is_unknown(&[Reason::NeverSteady]).caution(Caution::NeverEnds),

    // What the harness must withstand.
    rust("fork-forever", "starts one process after the other", BaselineFailed).caution(Caution::NeedsLimit),
    rust("fill-disk", "writes until the disk is full", BaselineFailed).without_journal().caution(Caution::NeedsLimit),
    script("ignore-sigterm", "bash", "ignore-sigterm.sh", "ignores SIGTERM").power_loss(Held),
    rust("close-all-descriptors", "closes every descriptor that it inherited", Held).power_loss(Held),
    rust("change-directory", "saves by relative paths", Held).power_loss(Held),
    rust("change-user", "becomes nobody, then saves", Held).power_loss(Held),
    rust("killed-by-other", "a child kills it", Unknown(&[Reason::ForeignDeath])),
    rust("vacuous", "writes nothing", Vacuous).without_journal(),
    rust("never-ends", "saves and does not end", BaselineFailed).caution(Caution::NeverEnds),
    rust("exit-nonzero", "saves and ends with status 3", BaselineFailed),
    checker("checker-crashes", &["crashes"], "its checker dies in crash states", Violated(&[Unopenable])),
    checker("checker-hangs", &["hangs"], "its checker hangs in crash states", Violated(&[Hung])),
    checker("checker-rubbish", &["rubbish"], "its checker prints rubbish in crash states", Unknown(&[Reason::JudgeFailed])),
    checker("checker-always-crashes", &["crashes", "always"], "its checker always dies", BaselineFailed),
    checker("checker-always-hangs", &["hangs", "always"], "its checker always hangs", BaselineFailed),
    checker("checker-always-rubbish", &["rubbish", "always"], "its checker always prints rubbish", BaselineFailed),

    // Exercises and benchmarks.
    rust("mapped-writer", "changes its store through a shared mapping", Unknown(&[Reason::NotCovered])),
    rust("every-operation", "one of each operation that changes state", Held).without_journal(),
    rust("random-operations", "random operations, decided by a seed", Held).without_journal().with(&["1", "100"]),
    rust("many-writes", "one file by many writes", Held).without_journal().with(&["100", "64"]),
    rust("constant-store", "overwrites slots of a store of constant size", Held).with(&["50"]),
    rust("window-50us", "unopenable for 50 microseconds of each save", Violated(&[Unopenable])).with(&["5", "1"]),
];
