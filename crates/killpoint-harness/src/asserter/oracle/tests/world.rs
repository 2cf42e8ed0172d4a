//! A recording under construction, and its crash states in memory.

use crate::asserter::oracle::follower::Followed;
use crate::asserter::oracle::{
    Completion, Crash, CrashState, Follower, Guide, Judged, Learner, Oracle, Present,
};
use killpoint_engine::image::Content;
use killpoint_model::operation::{Attributes, Name};
use killpoint_model::{Address, Class, Effect, FileId, FileKind, Operation, Reason, Verdict};
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ROOT: FileId = FileId(1);

/// Paths and what stands there. What is no file and no link is a directory.
#[derive(Clone, Default)]
struct Disk {
    names: BTreeMap<String, FileId>,
    contents: BTreeMap<FileId, Vec<u8>>,
    links: BTreeMap<FileId, Vec<u8>>,
}

impl Disk {
    /// The name of a path. A slash after no directory is part of the name.
    fn name(&self, path: &str) -> Name {
        let parent = path.rsplit_once('/');
        let parent = parent.and_then(|(parent, name)| Some((*self.names.get(parent)?, name)));
        let (directory, name) = parent.unwrap_or((ROOT, path));
        Name { directory, bytes: name.as_bytes().to_vec() }
    }

    fn path(&self, name: &Name) -> String {
        let text = String::from_utf8(name.bytes.clone()).expect("a plain name");
        match self.names.iter().find(|(_, file)| **file == name.directory) {
            Some((directory, _)) => format!("{directory}/{text}"),
            None => text,
        }
    }

    /// Takes a path and all below it away.
    fn take(&mut self, path: &str) -> Vec<(String, FileId)> {
        let below = |it: &str| {
            it.strip_prefix(path)
                .filter(|rest| rest.is_empty() || rest.starts_with('/'))
                .map(str::to_owned)
        };
        let taken: Vec<_> =
            self.names.iter().filter_map(|(it, file)| Some((below(it)?, *file))).collect();
        self.names.retain(|it, _| below(it).is_none());
        taken
    }

    fn put(&mut self, path: &str, taken: Vec<(String, FileId)>) {
        self.names.extend(taken.into_iter().map(|(rest, file)| (format!("{path}{rest}"), file)));
    }
}

/// A program's operations on one state directory.
#[derive(Default)]
pub(super) struct World {
    begin: Disk,
    now: Disk,
    operations: Vec<(Operation, Vec<u8>)>,
    closed: Vec<(FileId, u64)>,
    acknowledged: Vec<(u64, u64)>,
    files: u64,
    /// How many processes there were before the one at work.
    processes: u32,
}

impl World {
    /// Begins with these files.
    pub(super) fn with(files: &[(&str, &str)]) -> World {
        let mut world = World::default();
        for (name, contents) in files {
            world.create(name).write(name, 0, contents.as_bytes());
        }
        world.begins_here()
    }

    /// All that was done so far is how it was at the beginning.
    pub(super) fn begins_here(mut self) -> World {
        self.begin = self.now.clone();
        self.operations.clear();
        self
    }

    fn ordinal(&self) -> u64 {
        self.operations.len() as u64
    }

    fn file(&self, name: &str) -> FileId {
        self.now.names[name]
    }

    fn name(&self, path: &str) -> Name {
        self.now.name(path)
    }

    fn push(&mut self, effect: Effect, bytes: &[u8]) -> &mut World {
        apply(&mut self.now, &effect, bytes);
        let operation = Operation {
            ordinal: self.ordinal() + 1,
            address: Address::End,
            shown: Vec::new(),
            process: self.processes + 1,
            call: String::new(),
            result: 0,
            journal_length: 0,
            at_ns: 0,
            effects: vec![effect],
        };
        self.operations.push((operation, bytes.to_vec()));
        self
    }

    pub(super) fn create(&mut self, name: &str) -> &mut World {
        self.make(name, FileKind::Regular)
    }

    pub(super) fn directory(&mut self, name: &str) -> &mut World {
        self.make(name, FileKind::Directory)
    }

    pub(super) fn link(&mut self, name: &str, target: &str) -> &mut World {
        self.make(name, FileKind::Symlink(target.as_bytes().to_vec()))
    }

    fn make(&mut self, name: &str, kind: FileKind) -> &mut World {
        self.files += 1;
        let file = FileId(ROOT.0 + self.files);
        let (name, attributes) = (Some(self.name(name)), Attributes::default());
        self.push(Effect::Create { file, name, kind, attributes }, b"")
    }

    pub(super) fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> &mut World {
        let (file, length) = (self.file(name), bytes.len() as u64);
        self.push(Effect::Write { file, offset, length, durable: false }, bytes)
    }

    pub(super) fn append(&mut self, name: &str, text: &str) -> &mut World {
        let offset = self.now.contents[&self.file(name)].len() as u64;
        self.write(name, offset, text.as_bytes())
    }

    pub(super) fn resize(&mut self, name: &str, size: u64) -> &mut World {
        self.push(Effect::Resize { file: self.file(name), size }, b"")
    }

    pub(super) fn sync(&mut self, name: &str) -> &mut World {
        self.push(Effect::Synced { file: self.file(name), data_only: false, range: None }, b"")
    }

    pub(super) fn unlink(&mut self, name: &str) -> &mut World {
        self.push(Effect::Unlink { file: self.file(name), name: self.name(name) }, b"")
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> &mut World {
        let effect = Effect::Rename {
            file: self.file(from),
            from: Some(self.name(from)),
            to: Some(self.name(to)),
            replaced: self.now.names.get(to).copied(),
        };
        self.push(effect, b"")
    }

    /// Exchanges two names in one step.
    pub(super) fn exchange(&mut self, first: &str, second: &str) -> &mut World {
        let effect = Effect::Exchange {
            first: (self.name(first), self.file(first)),
            second: (self.name(second), self.file(second)),
        };
        self.push(effect, b"")
    }

    pub(super) fn close(&mut self, name: &str) -> &mut World {
        self.closed.push((self.file(name), self.ordinal()));
        self
    }

    /// Empties the file and writes it again by two calls.
    pub(super) fn overwrite(&mut self, name: &str, first: &str, second: &str) -> &mut World {
        self.resize(name, 0).append(name, first).append(name, second)
    }

    /// Writes a temporary file and moves it into place.
    pub(super) fn replace(&mut self, name: &str, first: &str, second: &str) -> &mut World {
        let temporary = format!("{name}.tmp");
        self.create(&temporary).append(&temporary, first).append(&temporary, second);
        self.sync(&temporary).rename(&temporary, name)
    }

    /// Another process does what follows.
    pub(super) fn goes_on_in_another(&mut self) -> &mut World {
        self.processes += 1;
        self
    }

    /// One more acknowledgement before the next operation.
    pub(super) fn acknowledge(&mut self) -> &mut World {
        let count = self.acknowledged.len() as u64 + 1;
        self.acknowledged.push((self.ordinal() + 1, count));
        self
    }

    /// Operations and one more.
    pub(super) fn end(&self) -> u64 {
        self.ordinal() + 1
    }

    pub(super) fn learn(&self) -> Oracle {
        self.learned(self.follow().finish()).finish()
    }

    /// What is learnt of a run that was killed at its end, as this one was. `counterparts` says which operation of
    /// `reference` each of its own was.
    pub(super) fn learn_killed(&self, reference: &World, counterparts: &[(u64, u64)]) -> Oracle {
        let counterparts: HashMap<u64, u64> = counterparts.iter().copied().collect();
        let completing = reference.follow().finish().completing;
        let completes = |at: u64| match counterparts.get(&at) {
            Some(at) => completing.get(at).copied().unwrap_or(Completion::No),
            None => Completion::Yes,
        };
        let mut followed = self.follow().finish_killed(&completes);
        let reached = std::mem::take(&mut followed.reached);
        let (reference, names) = (&reference.learn(), HashMap::new());
        self.learned(followed).finish_killed(&Guide { reference, names, counterparts, reached })
    }

    fn follow(&self) -> Follower {
        let mut follower = Follower::new(ROOT);
        for (name, file) in &self.begin.names {
            let at = self.begin.name(name);
            match (self.begin.contents.get(file), self.begin.links.get(file)) {
                (Some(contents), _) => {
                    follower.begin_file(*file, at, Content::of_bytes(contents));
                }
                (_, Some(target)) => follower.begin_link(*file, at, target),
                _ => follower.begin_directory(*file, at),
            }
        }
        let is_acknowledged = |ordinal| self.acknowledged.iter().any(|(at, _)| *at == ordinal);
        for (operation, bytes) in &self.operations {
            let at = operation.ordinal;
            if is_acknowledged(at) {
                follower.acknowledged(at - 1);
            }
            follower.operation(operation, bytes);
            self.closed.iter().filter(|it| it.1 == at).for_each(|it| follower.closed(it.0, at));
        }
        if is_acknowledged(self.end()) {
            follower.acknowledged(self.end() - 1);
        }
        follower
    }

    fn learned(&self, mut followed: Followed) -> Learner {
        let learner: &mut Learner = &mut followed.learner;
        for (at, databases) in &followed.committed_states {
            let state = self.state(at + 1);
            learner.committed(*at, databases, &state).expect("a readable directory");
        }
        for (at, count) in &self.acknowledged {
            learner.acknowledgements(*at, *count);
        }
        followed.learner
    }

    /// What a kill at the entry of this operation leaves.
    pub(super) fn state(&self, at: u64) -> MemoryState {
        let mut disk = self.begin.clone();
        for (operation, bytes) in self.operations.iter().filter(|it| it.0.ordinal < at) {
            operation.effects.iter().for_each(|effect| apply(&mut disk, effect, bytes));
        }
        let of = |contents: &BTreeMap<FileId, Vec<u8>>| -> BTreeMap<PathBuf, Vec<u8>> {
            let held = disk.names.iter().filter_map(|(path, file)| {
                Some((PathBuf::from(path), contents.get(file)?.clone()))
            });
            held.collect()
        };
        MemoryState { links: of(&disk.links), ..MemoryState::new(of(&disk.contents)) }
    }

    /// The verdicts of all kill points, one letter each.
    pub(super) fn kills(&self) -> String {
        let oracle = self.learn();
        let points = 1..=self.end();
        points.map(|at| letter(&oracle.judge(&self.state(at), &Crash::kill(at)))).collect()
    }
}

/// `.` held, `?` unknown, else the class: Lost, Torn, Wrong, Unopenable, (acked-not-)Durable.
pub(super) fn letter(judged: &Judged) -> char {
    match judged.judgement.verdict {
        Verdict::Held => '.',
        Verdict::Unknown(Reason::NoOracle) => '?',
        Verdict::Violated(Class::Lost) => 'L',
        Verdict::Violated(Class::Torn) => 'T',
        Verdict::Violated(Class::Wrong) => 'W',
        Verdict::Violated(Class::Unopenable) => 'U',
        Verdict::Violated(Class::AckedNotDurable) => 'D',
        ref other => panic!("no letter for {other}"),
    }
}

fn apply(disk: &mut Disk, effect: &Effect, bytes: &[u8]) {
    match effect {
        Effect::Create { file, name, kind, .. } => {
            match kind {
                FileKind::Directory => None,
                FileKind::Symlink(target) => disk.links.insert(*file, target.clone()),
                _ => disk.contents.insert(*file, Vec::new()),
            };
            let path = disk.path(name.as_ref().expect("a name"));
            disk.names.insert(path, *file);
        }
        Effect::Write { file, offset, .. } => {
            let contents = disk.contents.get_mut(file).expect("a file");
            let (start, end) = (*offset as usize, *offset as usize + bytes.len());
            contents.resize(contents.len().max(end), 0);
            contents[start..end].copy_from_slice(bytes);
        }
        Effect::Resize { file, size } => {
            disk.contents.get_mut(file).expect("a file").resize(*size as usize, 0);
        }
        Effect::Unlink { name, .. } => {
            disk.names.remove(&disk.path(name));
        }
        Effect::Rename { from: Some(from), to: Some(to), .. } => {
            let (from, to) = (disk.path(from), disk.path(to));
            let taken = disk.take(&from);
            disk.put(&to, taken);
        }
        Effect::Exchange { first, second } => {
            let (first, second) = (disk.path(&first.0), disk.path(&second.0));
            let (one, other) = (disk.take(&first), disk.take(&second));
            disk.put(&second, one);
            disk.put(&first, other);
        }
        Effect::Synced { .. } => {}
        other => unreachable!("no test makes {other:?}"),
    }
}

/// A crash state in memory; a directory is made when it is asked for.
pub(super) struct MemoryState {
    contents: BTreeMap<PathBuf, Vec<u8>>,
    files: BTreeMap<PathBuf, Present>,
    pub(super) links: BTreeMap<PathBuf, Vec<u8>>,
    directory: OnceCell<tempfile::TempDir>,
}

impl MemoryState {
    pub(super) fn new(contents: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) -> MemoryState {
        let contents: BTreeMap<PathBuf, Vec<u8>> = contents.into_iter().collect();
        let files = contents.iter().map(|(path, bytes)| (path.clone(), Present::of(bytes)));
        let (files, links) = (files.collect(), BTreeMap::new());
        MemoryState { contents, files, links, directory: OnceCell::new() }
    }

    pub(super) fn contents(&self) -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
        self.contents.clone().into_iter()
    }

    pub(super) fn of(files: &[(&str, &[u8])]) -> MemoryState {
        MemoryState::new(files.iter().map(|(name, bytes)| (PathBuf::from(name), bytes.to_vec())))
    }
}

impl CrashState for MemoryState {
    fn files(&self) -> &BTreeMap<PathBuf, Present> {
        &self.files
    }

    fn links(&self) -> &BTreeMap<PathBuf, Vec<u8>> {
        &self.links
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.contents.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn directory(&self) -> io::Result<PathBuf> {
        if self.directory.get().is_none() {
            let directory = tempfile::tempdir()?;
            for (path, contents) in &self.contents {
                fs::write(directory.path().join(path), contents)?;
            }
            let _ = self.directory.set(directory);
        }
        Ok(self.directory.get().expect("it was made above").path().to_owned())
    }
}
