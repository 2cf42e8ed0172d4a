//! One small log for each cause, neighbours of one idiom, and random logs.

mod journals;
mod kill;
mod missed;
mod power_loss;
mod random;
mod turn;

use super::*;
use killpoint_model::address::Address;
use killpoint_model::operation::Operation;
use killpoint_model::operation::{Attributes, Effect, FileId, FileKind, Name, OperationKind};
use std::collections::HashMap;

/// The state directory.
const ROOT: FileId = FileId(1);

/// A recording in the making, in which a word is a path.
#[derive(Default)]
struct Log {
    history: History,
    under: HashMap<String, FileId>,
    files: u64,
    ordinals: HashMap<String, u64>,
    journal: u64,
    ends: Vec<u64>,
}

impl Log {
    fn new() -> Self {
        Log { history: History::default().with_directory("data"), files: 1, ..Log::default() }
    }

    fn file(&mut self, path: &str) -> FileId {
        if path == "." {
            return ROOT;
        }
        if let Some(file) = self.under.get(path) {
            return *file;
        }
        self.files += 1;
        self.under.insert(path.to_owned(), FileId(self.files));
        FileId(self.files)
    }

    fn name(&self, path: &str) -> Name {
        let directory = match path.rsplit_once('/') {
            Some((directory, _)) => FileId(1_000 + directory.len() as u64),
            None => ROOT,
        };
        Name { directory, bytes: paths::file_name(path).as_bytes().to_vec() }
    }

    fn push(mut self, kind: OperationKind, shown: &[&str], effect: Effect) -> Self {
        let shown: Vec<String> = shown.iter().map(|path| (*path).to_owned()).collect();
        let ordinal =
            self.ordinals.entry(killpoint_model::address::shape(kind, &shown)).or_insert(0);
        *ordinal += 1;
        let address = Address::Call { kind, paths: shown.clone(), ordinal: *ordinal, role: None };
        self.history.push(&Operation {
            ordinal: self.history.operations() + 1,
            address,
            shown,
            process: 1,
            call: kind.name().to_owned(),
            result: 0,
            journal_length: self.journal,
            at_ns: 0,
            effects: vec![effect],
        });
        self
    }

    /// An intent and then, with the second call, its acknowledgement.
    fn intend(mut self) -> Self {
        self.journal += 10;
        self
    }

    fn acknowledge(mut self) -> Self {
        self.journal += 8;
        self.ends.push(self.journal);
        self
    }

    fn create(mut self, path: &str) -> Self {
        self.under.remove(path);
        let (file, name) = (self.file(path), Some(self.name(path)));
        let attributes = Attributes::default();
        let effect = Effect::Create { file, name, kind: FileKind::Regular, attributes };
        self.push(OperationKind::OpenCreate, &[path], effect)
    }

    fn empty(mut self, path: &str) -> Self {
        let file = self.file(path);
        self.push(OperationKind::OpenTruncate, &[path], Effect::Resize { file, size: 0 })
    }

    fn resize(mut self, path: &str, size: u64) -> Self {
        let file = self.file(path);
        self.push(OperationKind::Truncate, &[path], Effect::Resize { file, size })
    }

    fn write(mut self, path: &str, offset: u64, length: u64) -> Self {
        let file = self.file(path);
        let effect = Effect::Write { file, offset, length, durable: false };
        self.push(OperationKind::Write, &[path], effect)
    }

    fn write_durably(mut self, path: &str, offset: u64, length: u64) -> Self {
        let file = self.file(path);
        let effect = Effect::Write { file, offset, length, durable: true };
        self.push(OperationKind::Write, &[path], effect)
    }

    fn mapped(mut self, path: &str, offset: u64, length: u64) -> Self {
        let file = self.file(path);
        let effect = Effect::Write { file, offset, length, durable: false };
        self.push(OperationKind::Mapped, &[path], effect)
    }

    fn fsync(mut self, path: &str) -> Self {
        let file = self.file(path);
        let effect = Effect::Synced { file, data_only: false, range: None };
        self.push(OperationKind::Fsync, &[path], effect)
    }

    fn rename(mut self, from: &str, to: &str) -> Self {
        let file = self.file(from);
        let replaced = self.under.insert(to.to_owned(), file);
        self.under.remove(from);
        let (from_name, to_name) = (Some(self.name(from)), Some(self.name(to)));
        let effect = Effect::Rename { file, from: from_name, to: to_name, replaced };
        self.push(OperationKind::Rename, &[from, to], effect)
    }

    fn unlink(mut self, path: &str) -> Self {
        let (file, name) = (self.file(path), self.name(path));
        self.under.remove(path);
        self.push(OperationKind::Unlink, &[path], Effect::Unlink { file, name })
    }

    fn told(mut self) -> History {
        let ends = std::mem::take(&mut self.ends);
        self.history.with_acknowledgements(ends)
    }

    fn at(self, point: u64, model: CrashModel, class: Class) -> Diagnosis {
        self.with_variant(point, model, &Variant::Only, class)
    }

    fn killed(self, point: u64, class: Class) -> Diagnosis {
        self.at(point, CrashModel::Kill, class)
    }

    fn with_variant(
        self,
        point: u64,
        model: CrashModel,
        variant: &Variant,
        class: Class,
    ) -> Diagnosis {
        let history = self.told();
        diagnose(
            &history,
            &Failure { point, model, variant, class, around: Around::default(), said: "" },
        )
    }
}

fn renaming(synced: bool) -> Log {
    let mut log = Log::new().create("notes.tmp").write("notes.tmp", 0, 90);
    if synced {
        log = log.fsync("notes.tmp");
    }
    log.rename("notes.tmp", "notes.json").acknowledge().intend().create("other")
}

#[track_caller]
fn check(found: &Diagnosis, cause: Cause, file: &str, sentence: &str, fix: &str) {
    assert_eq!((found.cause, found.file.as_deref()), (cause, Some(file)), "{found:#?}");
    assert_eq!(found.sentence, sentence);
    assert!(found.fix.contains(fix), "{found:#?}");
}
