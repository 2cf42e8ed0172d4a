//! Sequences of operations as one line of text, for tests: `write f 0 100 x; rename f g; fsync .`
//!
//! A [`Script`] is read once and used twice: as the recording that a [`Walk`] goes over, and (in the
//! tests of the profiles) as calls on a real file system. Names are paths below the state directory,
//! `.` is the state directory itself.
//!
//! | step | meaning |
//! |---|---|
//! | `create f`, `mkdir d` | a new file, left open; a new directory |
//! | `write f OFFSET LENGTH c` | the byte c LENGTH times |
//! | `dsync-write f OFFSET LENGTH c` | the same through O_DSYNC |
//! | `truncate f SIZE`, `zero f OFFSET LENGTH` | a new size; a hole |
//! | `replace f LENGTH c` | contents read anew |
//! | `rename a b`, `exchange a b`, `link a b`, `unlink a`, `rmdir d`, `chmod f MODE` | names, mode |
//! | `temporary f`, `name-temporary f a` | O_TMPFILE; linkat of it |
//! | `fsync f`, `fdatasync f`, `msync f OFFSET LENGTH`, `syncfs` | barriers |
//! | `failed-fsync f`, `sync-file-range f` | what is none |
//! | `ack` | the journal grows |
//! | `close f` | the last descriptor; not recorded |
//! | `commit` | a commit that another file's fsync forced; not recorded |

#![allow(dead_code, reason = "each test uses its own part")]

use killpoint_engine::image::{Image, Inode};
use killpoint_engine::recording::{Ending, OperationRef, Writer};
use killpoint_engine::states::{Models, StateName, Variant, Walk};
use killpoint_model::operation::{Attributes, Effect, FileId, FileKind, Name, Operation};
use killpoint_model::{Address, CrashModel, OperationKind, Profile};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// One step. The variants are those of the table above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Create(String),
    Mkdir(String),
    Write { path: String, offset: u64, bytes: Vec<u8>, durable: bool },
    Truncate(String, u64),
    Zero(String, u64, u64),
    Replace(String, Vec<u8>),
    Rename(String, String),
    Exchange(String, String),
    Link(String, String),
    Unlink(String),
    Rmdir(String),
    Chmod(String, u32),
    Temporary(String),
    NameTemporary(String, String),
    Fsync(String),
    Fdatasync(String),
    Msync(String, u64, u64),
    Syncfs,
    FailedFsync(String),
    SyncFileRange(String),
    Ack,
    Close(String),
    Commit,
}

/// Reads a script.
pub fn parse(text: &str) -> Vec<Step> {
    text.split(';').map(str::trim).filter(|step| !step.is_empty()).map(parse_step).collect()
}

fn parse_step(text: &str) -> Step {
    let words: Vec<&str> = text.split_whitespace().collect();
    let path = |index: usize| words[index].to_owned();
    let number = |index: usize| words[index].parse::<u64>().expect("a number");
    let fill = |length: usize, byte: usize| {
        vec![words[byte].as_bytes()[0]; usize::try_from(number(length)).expect("small")]
    };
    match (words[0], words.len()) {
        ("create", 2) => Step::Create(path(1)),
        ("mkdir", 2) => Step::Mkdir(path(1)),
        ("write" | "dsync-write", 5) => Step::Write {
            path: path(1),
            offset: number(2),
            bytes: fill(3, 4),
            durable: words[0] == "dsync-write",
        },
        ("truncate", 3) => Step::Truncate(path(1), number(2)),
        ("zero", 4) => Step::Zero(path(1), number(2), number(3)),
        ("replace", 4) => Step::Replace(path(1), fill(2, 3)),
        ("rename", 3) => Step::Rename(path(1), path(2)),
        ("exchange", 3) => Step::Exchange(path(1), path(2)),
        ("link", 3) => Step::Link(path(1), path(2)),
        ("unlink", 2) => Step::Unlink(path(1)),
        ("rmdir", 2) => Step::Rmdir(path(1)),
        ("chmod", 3) => Step::Chmod(path(1), u32::from_str_radix(words[2], 8).expect("octal")),
        ("temporary", 2) => Step::Temporary(path(1)),
        ("name-temporary", 3) => Step::NameTemporary(path(1), path(2)),
        ("fsync", 2) => Step::Fsync(path(1)),
        ("fdatasync", 2) => Step::Fdatasync(path(1)),
        ("msync", 4) => Step::Msync(path(1), number(2), number(3)),
        ("syncfs", 1) => Step::Syncfs,
        ("failed-fsync", 2) => Step::FailedFsync(path(1)),
        ("sync-file-range", 2) => Step::SyncFileRange(path(1)),
        ("ack", 1) => Step::Ack,
        ("close", 2) => Step::Close(path(1)),
        ("commit", 1) => Step::Commit,
        _ => panic!("no such step: {text}"),
    }
}

/// The mode of every file that a script makes.
pub const FILE_MODE: u32 = 0o644;
/// The mode of every directory that a script makes, and of the state directory.
pub const DIRECTORY_MODE: u32 = 0o755;

fn attributes(mode: u32) -> Attributes {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Attributes { mode, uid: user, gid: group }
}

/// Turns steps into operations, keeping the names as a kernel would.
#[derive(Debug)]
pub struct Script {
    image: Image,
    temporaries: BTreeMap<String, FileId>,
    next_file: u64,
    journal_length: u64,
    /// Operations and their data, in order.
    pub operations: Vec<(Operation, Vec<u8>)>,
}

impl Script {
    /// The recording of `steps`, and the state that `setup` left before it.
    pub fn new(setup: &str, steps: &str) -> (Image, Script) {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut image = Image::scan(&[directory.path().to_owned()]).expect("it can be read");
        let root = Inode::new(FileKind::Directory, attributes(DIRECTORY_MODE));
        image.put(image.roots()[0], Arc::new(root));
        let mut script = Script {
            image,
            temporaries: BTreeMap::new(),
            next_file: 2,
            journal_length: 0,
            operations: Vec::new(),
        };
        for step in parse(setup) {
            script.step(&step);
        }
        script.operations.clear();
        let initial = script.image.clone();
        for step in parse(steps) {
            script.step(&step);
        }
        (initial, script)
    }

    fn file(&self, path: &str) -> FileId {
        if let Some(file) = self.temporaries.get(path) {
            return *file;
        }
        let path = if path == "." { "" } else { path };
        self.image.find(0, path.as_bytes()).unwrap_or_else(|| panic!("{path} is not there"))
    }

    fn name(&self, path: &str) -> Name {
        let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
        Name { directory: self.file(directory), bytes: name.as_bytes().to_vec() }
    }

    fn create(&mut self, name: Option<Name>, kind: FileKind, mode: u32) -> Effect {
        let file = FileId(self.next_file);
        self.next_file += 1;
        Effect::Create { file, name, kind, attributes: attributes(mode) }
    }

    /// Whether something has this name.
    pub fn is_there(&self, path: &str) -> bool {
        self.image.find(0, path.as_bytes()).is_some()
    }

    /// Adds a step.
    pub fn step(&mut self, step: &Step) {
        use OperationKind as Kind;
        let (kind, effect, data) = match step {
            Step::Create(path) => {
                let name = self.name(path);
                (Kind::OpenCreate, self.create(Some(name), FileKind::Regular, FILE_MODE), vec![])
            }
            Step::Mkdir(path) => {
                let name = self.name(path);
                (Kind::Mkdir, self.create(Some(name), FileKind::Directory, DIRECTORY_MODE), vec![])
            }
            Step::Temporary(path) => {
                let effect = self.create(None, FileKind::Regular, FILE_MODE);
                self.temporaries.insert(path.clone(), FileId(self.next_file - 1));
                (Kind::OpenTemporary, effect, vec![])
            }
            Step::NameTemporary(temporary, path) => {
                let file = self.temporaries.remove(temporary).expect("made before");
                (Kind::Link, Effect::Link { file, name: self.name(path) }, vec![])
            }
            Step::Write { path, offset, bytes, durable } => {
                let (file, length) = (self.file(path), bytes.len() as u64);
                let effect = Effect::Write { file, offset: *offset, length, durable: *durable };
                (Kind::Write, effect, bytes.clone())
            }
            Step::Truncate(path, size) => {
                (Kind::Truncate, Effect::Resize { file: self.file(path), size: *size }, vec![])
            }
            Step::Zero(path, offset, length) => {
                let file = self.file(path);
                let effect = Effect::Zero { file, offset: *offset, length: *length };
                (Kind::Fallocate, effect, vec![])
            }
            Step::Replace(path, bytes) => {
                let (file, length) = (self.file(path), bytes.len() as u64);
                (Kind::Clone, Effect::Replace { file, length }, bytes.clone())
            }
            Step::Rename(from, to) => {
                let (from, to) = (self.name(from), self.name(to));
                let file = self.image.look_up(&from).expect("renamed files are there");
                let replaced = self.image.look_up(&to);
                (
                    Kind::Rename,
                    Effect::Rename { file, from: Some(from), to: Some(to), replaced },
                    vec![],
                )
            }
            Step::Exchange(first, second) => {
                let (one, two) = (self.file(first), self.file(second));
                let (first, second) = ((self.name(first), one), (self.name(second), two));
                (Kind::Rename, Effect::Exchange { first, second }, vec![])
            }
            Step::Link(from, to) => {
                (Kind::Link, Effect::Link { file: self.file(from), name: self.name(to) }, vec![])
            }
            Step::Unlink(path) => (
                Kind::Unlink,
                Effect::Unlink { file: self.file(path), name: self.name(path) },
                vec![],
            ),
            Step::Rmdir(path) => (
                Kind::Rmdir,
                Effect::Unlink { file: self.file(path), name: self.name(path) },
                vec![],
            ),
            Step::Chmod(path, mode) => {
                let file = self.file(path);
                (Kind::Chmod, Effect::Attributes { file, attributes: attributes(*mode) }, vec![])
            }
            Step::Fsync(path) | Step::Fdatasync(path) => {
                let data_only = matches!(step, Step::Fdatasync(_));
                let effect = Effect::Synced { file: self.file(path), data_only, range: None };
                (if data_only { Kind::Fdatasync } else { Kind::Fsync }, effect, vec![])
            }
            Step::Msync(path, offset, length) => {
                let range = Some((*offset, *length));
                let effect = Effect::Synced { file: self.file(path), data_only: true, range };
                (Kind::Msync, effect, vec![])
            }
            Step::Syncfs => (Kind::Syncfs, Effect::SyncedAll, vec![]),
            Step::FailedFsync(_) => (Kind::Fsync, Effect::Nothing, vec![]),
            Step::SyncFileRange(_) => (Kind::SyncFileRange, Effect::Nothing, vec![]),
            Step::Ack => {
                self.journal_length += 1;
                return;
            }
            Step::Close(_) | Step::Commit => return,
        };
        self.image.apply(&effect, &data, 0);
        let ordinal = self.operations.len() as u64 + 1;
        let paths = vec![format!("{step:?}").chars().take(20).collect()];
        let operation = Operation {
            ordinal,
            address: Address::Call { kind, paths: paths.clone(), ordinal, role: None },
            shown: paths,
            process: 1,
            call: kind.name().to_owned(),
            result: 0,
            journal_length: self.journal_length,
            at_ns: 0,
            effects: vec![effect],
        };
        self.operations.push((operation, data));
    }

    /// Writes the recording.
    pub fn write(&self, path: &Path) {
        let mut writer = Writer::create(path).expect("a temporary file can be made");
        for (operation, data) in &self.operations {
            let shown: Vec<&str> = operation.shown.iter().map(String::as_str).collect();
            let written = OperationRef {
                ordinal: operation.ordinal,
                address: &operation.address.to_string(),
                shown: &shown,
                process: operation.process,
                call: &operation.call,
                result: operation.result,
                journal_length: operation.journal_length,
                at_ns: operation.at_ns,
                effects: &operation.effects,
            };
            writer.operation(&written, data).expect("it can be written");
        }
        let ending = Ending { journal_length: self.journal_length, ..Ending::default() };
        writer.finish(ending).expect("it can be written");
    }
}

/// A state that a model builds.
#[derive(Clone, Debug)]
pub struct Built {
    pub name: StateName,
    pub image: Image,
}

/// Every state of every power-loss model at every point of a script, with the state in memory (model
/// `kill`) where the models name none.
pub fn all_states(setup: &str, steps: &str, profile: Profile) -> Vec<Built> {
    let (initial, script) = Script::new(setup, steps);
    states_of(&initial, &script, profile)
}

/// The same for a script that is there already.
pub fn states_of(initial: &Image, script: &Script, profile: Profile) -> Vec<Built> {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("recording");
    script.write(&path);
    let models = Models { models: CrashModel::ALL.to_vec(), profile };
    let mut walk = Walk::start(&path, initial.clone(), models).expect("the recording can be read");
    let mut states = Vec::new();
    loop {
        for name in walk.variants() {
            let image = walk.build(&name);
            states.push(Built { name, image });
        }
        if walk.operation().is_none() {
            // At the end no call is left to kill the program in; it may keep everything there, too.
            let name =
                StateName { point: walk.point(), model: CrashModel::Kill, variant: Variant::Only };
            states.push(Built { name, image: walk.image().without_nameless() });
            return states;
        }
        walk.step().expect("the recording can be read");
    }
}

/// Shows a state: each path with its contents as runs, `f=3a2b`; directories end with a slash.
pub fn show(image: &Image) -> String {
    let mut parts = Vec::new();
    image.walk(|(_, path), _, inode| {
        let path = String::from_utf8_lossy(path).into_owned();
        match inode.kind {
            FileKind::Directory if path.is_empty() => {}
            FileKind::Directory => parts.push(format!("{path}/")),
            _ => {
                let mut part = format!("{path}={}", runs(&inode.content.read(0, u64::MAX)));
                if inode.attributes.mode != FILE_MODE {
                    part.push_str(&format!(" mode {:o}", inode.attributes.mode));
                }
                parts.push(part);
            }
        }
    });
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(" ") }
}

/// Bytes as runs: `100a20b`; zeros are shown as `0`.
fn runs(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "empty".to_owned();
    }
    bytes
        .chunk_by(|first, second| first == second)
        .map(|run| {
            let letter = if run[0] == 0 { '.' } else { char::from(run[0]) };
            format!("{}{letter}", run.len())
        })
        .collect::<Vec<_>>()
        .join("+")
}
