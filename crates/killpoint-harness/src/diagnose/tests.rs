//! One small log for each cause, neighbours of one idiom, and random logs.

use super::*;
use killpoint_model::address::Address;
use killpoint_model::operation::Operation;
use killpoint_model::operation::{Attributes, Effect, FileId, FileKind, Name, OperationKind};
use proptest::prelude::*;
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
        diagnose(&history, &Failure { point, model, variant, class, files: &[] })
    }
}

fn truncating() -> Log {
    let mut log = Log::new().create("notes.json").write("notes.json", 0, 90).acknowledge();
    for _ in 0..2 {
        log = log.intend().empty("notes.json").write("notes.json", 0, 50);
        log = log.write("notes.json", 50, 40).acknowledge();
    }
    log
}

fn shrinking() -> Log {
    let log = Log::new().create("db.json").write("db.json", 0, 900).fsync("db.json").acknowledge();
    log.intend().write("db.json", 0, 300).fsync("db.json").resize("db.json", 300).acknowledge()
}

fn renaming(synced: bool) -> Log {
    let mut log = Log::new().create("notes.tmp").write("notes.tmp", 0, 90);
    if synced {
        log = log.fsync("notes.tmp");
    }
    log.rename("notes.tmp", "notes.json").acknowledge().intend().create("other")
}

fn rollback_journal(synced: bool) -> Log {
    let mut log = Log::new().intend().create("n.db-journal").write("n.db-journal", 0, 512);
    if synced {
        log = log.fsync("n.db-journal");
    }
    log.write("n.db", 0, 4_096).fsync("n.db").unlink("n.db-journal").acknowledge()
}

#[track_caller]
fn check(found: &Diagnosis, cause: Cause, file: &str, sentence: &str, fix: &str) {
    assert_eq!((found.cause, found.file.as_deref()), (cause, Some(file)), "{found:#?}");
    assert_eq!(found.sentence, sentence);
    assert!(found.fix.contains(fix), "{found:#?}");
}

#[test]
fn a_file_emptied_and_filled_again_is_named_at_every_point_between() {
    for point in [4, 5] {
        check(
            &truncating().killed(point, Class::Lost),
            Cause::TruncatedInPlace,
            "notes.json",
            "open(notes.json, truncate)#1 empties notes.json before write(notes.json)#2 fills it \
             again; it is complete only after write(notes.json)#3.",
            "write notes.json.tmp, fsync it, rename it over notes.json, fsync data/",
        );
    }
    for (point, class) in [(7, Class::Lost), (8, Class::Torn)] {
        let found = truncating().killed(point, class);
        assert_eq!((found.cause, &*found.group), (Cause::TruncatedInPlace, "notes.json"));
    }
}

#[test]
fn a_shrinking_write_before_its_truncation_leaves_the_old_tail() {
    for point in [5, 6] {
        check(
            &shrinking().killed(point, Class::Unopenable),
            Cause::ShrunkAfterWrite,
            "db.json",
            "write(db.json)#2 writes the new contents over db.json before truncate(db.json)#1 cuts \
             off the rest of the old ones, so that they stand behind the new ones in between.",
            "rename it over db.json",
        );
    }
    let prefix = shrinking().at(7, CrashModel::Prefix, Class::Unopenable);
    assert_eq!(prefix.cause, Cause::ShrunkAfterWrite, "{prefix:#?}");
}

#[test]
fn pages_overwritten_in_place_without_a_journal_are_said_in_sqlites_words() {
    let log = || {
        let log = Log::new().create("n.db").write("n.db", 0, 12_288).fsync("n.db").acknowledge();
        let log = log.intend().write("n.db", 0, 4_096).write("n.db", 4_096, 4_096);
        log.write("n.db", 8_192, 4_096).fsync("n.db")
    };
    for point in [5, 6] {
        check(
            &log().killed(point, Class::Unopenable),
            Cause::OverwrittenInPlace,
            "n.db",
            "write(n.db)#2 to write(n.db)#4 overwrite n.db in place, and the log shows no journal \
             of it on disk.",
            "PRAGMA journal_mode=WAL (or DELETE)",
        );
    }
}

#[test]
fn a_record_across_a_block_boundary_is_torn() {
    let log = Log::new().create("a.log").write("a.log", 0, 4_000).acknowledge();
    let log = log.intend().write("a.log", 4_000, 200);
    check(
        &log.with_variant(3, CrashModel::TornWrite, &Variant::Bytes(96), Class::Unopenable),
        Cause::TornRecord,
        "a.log",
        "write(a.log)#2 crosses a multiple of 4,096 of the file's offset; only its first 96 bytes \
         are in a.log.",
        "its length and a checksum",
    );
}

#[test]
fn files_that_belong_together_change_apart() {
    let log = || {
        let log = Log::new().intend().write("a.dat", 0, 10).write("b.idx", 0, 10);
        log.write("c.sum", 0, 10).acknowledge()
    };
    check(
        &log().killed(2, Class::Wrong),
        Cause::FilesChangeApart,
        "a.dat",
        "write(a.dat)#1 changes a.dat before write(b.idx)#1 changes b.idx, and no single step \
         makes both valid.",
        "commit a.dat and b.idx in one step",
    );
    assert_eq!(log().killed(3, Class::Wrong).file.as_deref(), Some("a.dat"));
}

#[test]
fn temporary_files_taken_for_data_are_one_group() {
    let log = || {
        let log = Log::new().create("store/k1.tmp").write("store/k1.tmp", 0, 9);
        let log = log.rename("store/k1.tmp", "store/k1").acknowledge().intend();
        let log = log.create("store/k2.tmp").write("store/k2.tmp", 0, 9);
        log.rename("store/k2.tmp", "store/k2")
    };
    check(
        &log().killed(2, Class::Extra),
        Cause::TemporaryFileLeft,
        "store/k1.tmp",
        "open(store/k1.tmp, create)#1 makes store/k1.tmp, which rename(store/k1.tmp, store/k1)#1 \
         moves only later; the crash leaves it behind, where it is taken for data.",
        "before renaming them, here to store/k1",
    );
    let groups = [2, 3, 5, 6].map(|point| log().killed(point, Class::Extra).group);
    assert!(groups.iter().all(|group| group == "store/*.tmp"), "{groups:?}");
}

#[test]
fn a_generated_file_that_stops_the_next_start_is_named() {
    let log = Log::new().create("snap.01.generating").write("snap.01.generating", 0, 99);
    let log = log.fsync("snap.01.generating").rename("snap.01.generating", "snap.01");
    let found = log.killed(3, Class::Unopenable);
    assert_eq!(found.cause, Cause::TemporaryFileLeft, "{found:#?}");
}

#[test]
fn an_old_file_moved_away_leaves_its_name_empty() {
    let log = || {
        let log = Log::new().create("db.dat").create("db.dir").write("db.dir", 0, 50).acknowledge();
        let log = log.intend().rename("db.dir", "db.bak").create("db.dir");
        log.write("db.dir", 0, 60).acknowledge()
    };
    for point in [5, 6] {
        check(
            &log().killed(point, Class::Lost),
            Cause::OldRemovedFirst,
            "db.dir",
            match point {
                5 => {
                    "rename(db.dir, db.bak)#1 takes db.dir away before open(db.dir, create)#2 puts \
                     the new one in its place."
                }
                _ => {
                    "rename(db.dir, db.bak)#1 takes db.dir away before open(db.dir, create)#2 puts \
                     the new one in its place, which is complete only after write(db.dir)#2."
                }
            },
            "dbm.dumb",
        );
    }
    let log = Log::new().intend().unlink("a.json").rename("a.json.tmp", "a.json");
    assert_eq!(log.killed(2, Class::Lost).cause, Cause::OldRemovedFirst);
}

#[test]
fn a_new_file_has_its_name_before_its_contents() {
    let log = Log::new().create("c.json").write("c.json", 0, 10).write("c.json", 10, 10);
    check(
        &log.killed(3, Class::Unopenable),
        Cause::CreatedInPlace,
        "c.json",
        "open(c.json, create)#1 makes c.json under its final name, empty; its contents are \
         complete only after write(c.json)#2.",
        "rename it over c.json",
    );
}

#[test]
fn what_is_acknowledged_before_it_is_written_is_lost() {
    let log = Log::new().intend().create("a.log").write("a.log", 0, 100);
    let log = log.acknowledge().intend().acknowledge().intend().write("a.log", 100, 100);
    check(
        &log.killed(3, Class::Lost),
        Cause::AcknowledgedBeforeWritten,
        "a.log",
        "2 further acknowledgements stood in the ack journal since write(a.log)#1, and \
         write(a.log)#2 had not happened yet.",
        "acknowledge only after the write to a.log has returned",
    );
}

#[test]
fn what_is_acknowledged_before_the_rename_is_lost_until_the_rename() {
    let log = || {
        let log = Log::new().intend().create("k.tmp").write("k.tmp", 0, 3).fsync("k.tmp");
        log.acknowledge().rename("k.tmp", "k").fsync(".")
    };
    let undone =
        log().with_variant(5, CrashModel::DirLost, &Variant::From(4), Class::AckedNotDurable);
    assert_eq!(undone, log().at(4, CrashModel::Data, Class::AckedNotDurable));
    for (model, class) in [
        (CrashModel::Kill, Class::Lost),
        (CrashModel::Prefix, Class::AckedNotDurable),
        (CrashModel::Data, Class::AckedNotDurable),
    ] {
        check(
            &log().at(4, model, class),
            Cause::AcknowledgedBeforeWritten,
            "k",
            "1 further acknowledgement stood in the ack journal, and rename(k.tmp, k)#1 had not \
             happened yet.",
            "acknowledge only after rename(k.tmp, k)#1 has returned; to survive a power cut, fsync \
             data/ before acknowledging as well",
        );
    }
}

#[test]
fn what_is_saved_only_at_the_end_is_one_defect_until_the_rename() {
    let log = || {
        let log = Log::new().intend().acknowledge().intend().acknowledge();
        log.create("k.tmp").write("k.tmp", 0, 3).fsync("k.tmp").rename("k.tmp", "k")
    };
    for point in 1..=4 {
        check(
            &log().killed(point, Class::Lost),
            Cause::AcknowledgedBeforeWritten,
            "k",
            "2 further acknowledgements stood in the ack journal, and rename(k.tmp, k)#1 had not \
             happened yet.",
            "acknowledge only after rename(k.tmp, k)#1 has returned",
        );
    }
}

#[test]
fn what_is_acknowledged_after_the_rename_is_not_acknowledged_early() {
    let save = |log: Log| {
        let log = log.intend().create("a.tmp").write("a.tmp", 0, 3).rename("a.tmp", "a");
        log.create("b.tmp").write("b.tmp", 0, 3).rename("b.tmp", "b").acknowledge()
    };
    // Between the two renames of the second save.
    let found = save(save(Log::new())).killed(12, Class::Lost);
    assert_eq!(found.cause, Cause::FilesChangeApart, "{found:#?}");
}

#[test]
fn a_program_that_replaces_by_a_rename_is_not_told_to_do_so() {
    let found = renaming(true).killed(3, Class::Lost);
    assert_eq!(found.cause, Cause::BetweenOperations);
    assert!(!found.fix.contains("notes.tmp"), "{found:#?}");
}

#[test]
fn what_is_done_before_it_is_marked_as_done_is_done_twice() {
    let log = || {
        let log = Log::new().create("queue").write("queue", 0, 10).intend();
        log.write("total", 0, 8).fsync("total").unlink("queue")
    };
    for point in [4, 5] {
        check(
            &log().killed(point, Class::Duplicated),
            Cause::ReplayedTwice,
            "queue",
            "write(total)#1 had been carried out; unlink(queue)#1, which comes after it, had not: \
             what starts again finds queue as it was before and carries the operation out once \
             more.",
            "in the same step",
        );
    }
}

#[test]
fn a_lock_file_that_is_left_stops_the_next_start() {
    let log = || {
        let log = Log::new().create("app.lock").write("app.lock", 0, 4).intend();
        log.write("notes", 0, 10).acknowledge().unlink("app.lock")
    };
    for (point, class) in [(2, Class::Hung), (3, Class::Unopenable), (4, Class::Bricked)] {
        check(
            &log().killed(point, class),
            Cause::LockFileLeft,
            "app.lock",
            "open(app.lock, create)#1 makes app.lock, which unlink(app.lock)#1 would have removed; \
             the crash leaves it behind.",
            "flock",
        );
    }
}

#[test]
fn an_acknowledgement_before_the_fsync_is_named_under_every_model() {
    let log = || {
        let log = Log::new().intend().write("000003.log", 0, 40).acknowledge();
        log.intend().write("000003.log", 40, 40).acknowledge()
    };
    for model in [CrashModel::Prefix, CrashModel::Size, CrashModel::Data] {
        check(
            &log().at(3, model, Class::Lost),
            Cause::AcknowledgedBeforeFsync,
            "000003.log",
            "write(000003.log)#2 is followed by no fsync of 000003.log until the end of the run.",
            "WriteOptions.sync=true",
        );
    }
    let one = log().with_variant(2, CrashModel::OneLost, &Variant::Write(1), Class::Lost);
    check(
        &one,
        Cause::AcknowledgedBeforeFsync,
        "000003.log",
        "write(000003.log)#1 is followed by no fsync of 000003.log until write(000003.log)#2, and \
         an operation was acknowledged in between.",
        "fsync",
    );
    let wal =
        Log::new().write("n.db-wal", 0, 40).acknowledge().at(2, CrashModel::Data, Class::Lost);
    assert!(wal.fix.contains("PRAGMA synchronous=FULL for n.db"), "{wal:#?}");
}

#[test]
fn a_rename_before_the_fsync_leaves_an_empty_file_under_the_final_name() {
    for (point, model) in [(4, CrashModel::Data), (5, CrashModel::Size), (4, CrashModel::Prefix)] {
        check(
            &renaming(false).at(point, model, Class::Unopenable),
            Cause::RenamedBeforeFsync,
            "notes.json",
            "rename(notes.tmp, notes.json)#1 puts the file under the name notes.json although no \
             fsync of it has followed write(notes.tmp)#1.",
            "fsync notes.tmp before it becomes notes.json, then fsync data/",
        );
    }
    let git = Log::new().create("objects/3b/tmp_obj_1").write("objects/3b/tmp_obj_1", 0, 9);
    let git = git.rename("objects/3b/tmp_obj_1", "objects/3b/18e5f1d2a9");
    let found = git.at(4, CrashModel::Data, Class::Unopenable);
    assert!(found.fix.contains("core.fsync=all"), "{found:#?}");
}

#[test]
fn a_directory_that_is_not_synced_may_forget_a_rename() {
    let sentence = "rename(notes.tmp, notes.json)#1 is followed by no fsync of the state directory until \
         open(other, create)#1.";
    let from = renaming(true).with_variant(
        5,
        CrashModel::DirLost,
        &Variant::From(4),
        Class::AckedNotDurable,
    );
    for found in [renaming(true).at(5, CrashModel::Prefix, Class::Lost), from] {
        check(&found, Cause::DirectoryNotSynced, "notes.json", sentence, "fsync data/ after this");
    }
}

#[test]
fn a_removal_before_the_rename_is_at_fault_where_the_directory_is_synced_in_time() {
    let log = || {
        let log = Log::new().intend().create("k.tmp").write("k.tmp", 0, 3).fsync("k.tmp");
        log.unlink("k").rename("k.tmp", "k")
    };
    let sentence =
        "unlink(k)#1 takes k away before rename(k.tmp, k)#1 puts the new one in its place.";
    for variant in [Variant::From(5), Variant::Without(5)] {
        let log = log().fsync(".").acknowledge();
        let found = log.with_variant(6, CrashModel::DirLost, &variant, Class::Unopenable);
        let fix = "without removing the old one first";
        check(&found, Cause::OldRemovedFirst, "k", sentence, fix);
    }
    // Acknowledged without that, the missing sync comes first.
    let log = log().acknowledge().intend().create("other");
    let found = log.with_variant(6, CrashModel::DirLost, &Variant::From(5), Class::AckedNotDurable);
    assert_eq!(found.cause, Cause::DirectoryNotSynced, "{found:#?}");
}

#[test]
fn a_directory_that_is_synced_before_the_promise_is_to_be_synced_before_what_relies_on_it() {
    let log = || {
        let log = Log::new().intend().create("k.tmp").write("k.tmp", 0, 3).fsync("k.tmp");
        log.rename("k.tmp", "k").write("done", 0, 3).fsync("done")
    };
    let found =
        |log: Log| log.with_variant(7, CrashModel::DirLost, &Variant::Without(4), Class::Wrong);
    check(
        &found(log().fsync(".").acknowledge()),
        Cause::DirectoryNotSynced,
        "k",
        "rename(k.tmp, k)#1 is followed by no fsync of the state directory until fsync(.)#1, so \
         that what was changed after it may be on disk without it.",
        "fsync data/ right after this, before the next change that relies on it",
    );
    let never = found(log().acknowledge().intend().create("other"));
    assert_eq!(never.fix, "fsync data/ after this and before acknowledging", "{never:#?}");
}

#[test]
fn a_file_renamed_before_it_is_written_is_told_to_be_renamed_last() {
    let log = || {
        let log = Log::new().intend().create("k.tmp").rename("k.tmp", "k").write("k", 0, 3);
        log.fsync("k").fsync(".").acknowledge()
    };
    for (point, model, class) in [
        (3, CrashModel::Kill, Class::Lost),
        (3, CrashModel::Data, Class::Lost),
        (4, CrashModel::Data, Class::Lost),
        (4, CrashModel::Size, Class::Torn),
        (4, CrashModel::Prefix, Class::Lost),
    ] {
        check(
            &log().at(point, model, class),
            Cause::RenamedBeforeWritten,
            "k",
            "rename(k.tmp, k)#1 puts the file under the name k before write(k)#1 writes its \
             contents and fsync(k)#1 syncs them.",
            "write and fsync k.tmp first, then rename it over k, then fsync data/",
        );
    }
}

#[test]
fn a_journal_of_any_name_is_synced_before_what_it_protects() {
    for journal in ["undo", "steps"] {
        let log = || {
            let log = Log::new().create(journal).write(journal, 0, 8_192).fsync(journal);
            let log = log.create("k").write("k", 0, 8_192).fsync("k").acknowledge().intend();
            let log = log.write(journal, 0, 8_192).write("k", 0, 4_096).fsync("k");
            log.write("k", 4_096, 4_096).fsync("k").write(journal, 0, 1).fsync(journal)
        };
        let file = Variant::File(2);
        for (point, model, variant) in [
            (9, CrashModel::FileLost, &file),
            (11, CrashModel::FileLost, &file),
            (11, CrashModel::OneLost, &Variant::Write(7)),
            (11, CrashModel::Size, &Variant::Only),
            (11, CrashModel::Data, &Variant::Only),
        ] {
            let until = if point == 9 { "fsync(k)#2" } else { "fsync(k)#3" };
            check(
                &log().with_variant(point, model, variant, Class::Wrong),
                Cause::DataBeforeJournal,
                "k",
                &format!(
                    "write(k)#2 changes k before {journal} is synced: write({journal})#2 is \
                     followed by no fsync of it until {until}."
                ),
                &format!("fsync {journal} before writing k"),
            );
        }
    }
    let torn = Log::new().create("undo").write("undo", 0, 8_192).fsync("undo").write("undo", 0, 9);
    let found = torn.fsync("undo").with_variant(
        5,
        CrashModel::TornBlock,
        &Variant::WriteBytes(4, 512),
        Class::Wrong,
    );
    assert!(!found.fix.contains("to a journal"), "{found:#?}");
}

#[test]
fn a_rollback_journal_that_comes_back_undoes_what_was_acknowledged() {
    check(
        &rollback_journal(true).at(7, CrashModel::Prefix, Class::AckedNotDurable),
        Cause::JournalEndNotDurable,
        "n.db-journal",
        "unlink(n.db-journal)#1 ends n.db-journal, and nothing makes that durable until the end \
         of the run: the next start may find it again.",
        "PRAGMA synchronous=EXTRA for n.db",
    );
}

#[test]
fn a_database_written_before_its_journal_is_synced_is_named() {
    let found = rollback_journal(false).at(4, CrashModel::Data, Class::Unopenable);
    check(
        &found,
        Cause::DataBeforeJournal,
        "n.db",
        "write(n.db)#1 changes n.db before n.db-journal is synced: write(n.db-journal)#1 is \
         followed by no fsync of it until fsync(n.db)#1.",
        "PRAGMA synchronous=FULL",
    );
}

#[test]
fn an_fsync_of_a_file_without_changes_helps_no_other() {
    let log = Log::new().write("old", 0, 9).fsync("old").intend().write("new", 0, 9);
    check(
        &log.fsync("old").acknowledge().at(5, CrashModel::Data, Class::Lost),
        Cause::OtherFileSynced,
        "new",
        "fsync(old)#2 syncs old, which had no unsynced change; write(new)#1 is followed by no \
         fsync of new.",
        "fsync new instead of old",
    );
}

#[test]
fn unsynced_writes_are_torn_reordered_and_zero_until_their_sync() {
    let log = || Log::new().create("p.log").write("p.log", 0, 9_000).fsync("p.log");
    let check = |found: Diagnosis, cause, result: &str, fix| {
        let start = "write(p.log)#1 is followed by no fsync of p.log until fsync(p.log)#1";
        check(&found, cause, "p.log", &format!("{start}, so that {result}."), fix);
    };
    let torn = Variant::WriteBytes(2, 4_096);
    check(
        log().with_variant(3, CrashModel::TornBlock, &torn, Class::Torn),
        Cause::UnsyncedWriteTorn,
        "the disk may have it in part",
        "its length and a checksum",
    );
    check(
        log().with_variant(3, CrashModel::OneLost, &Variant::Write(2), Class::Wrong),
        Cause::UnsyncedWritesReordered,
        "later operations may be on disk without it",
        "fsync p.log",
    );
    check(
        log().at(3, CrashModel::Size, Class::Unopenable),
        Cause::ExtendedWithoutSync,
        "zeros may stand where its bytes should be",
        "fsync p.log",
    );
}

#[test]
fn a_write_that_no_sync_follows_is_one_defect_under_every_model() {
    let log = || Log::new().create("p.dat").write("p.dat", 0, 9_000).acknowledge().intend();
    let variants = [
        (CrashModel::Size, Variant::Only),
        (CrashModel::Data, Variant::Only),
        (CrashModel::FileLost, Variant::File(2)),
        (CrashModel::OneLost, Variant::Write(2)),
        (CrashModel::TornBlock, Variant::WriteBytes(2, 4_096)),
    ];
    for (model, variant) in variants {
        check(
            &log().with_variant(3, model, &variant, Class::Unopenable),
            Cause::WrittenWithoutFsync,
            "p.dat",
            "write(p.dat)#1 is followed by no fsync of p.dat until the end of the run.",
            "fsync p.dat",
        );
    }
}

#[test]
fn an_overwrite_in_place_is_at_risk_until_its_sync() {
    let log = || {
        let log = Log::new().create("db.json").write("db.json", 0, 90).fsync("db.json");
        log.acknowledge().intend().write("db.json", 0, 120).fsync("db.json")
    };
    for model in [CrashModel::Size, CrashModel::Data] {
        check(
            &log().at(5, model, Class::Unopenable),
            Cause::OverwrittenInPlace,
            "db.json",
            "write(db.json)#2 overwrites db.json in place; until fsync(db.json)#2 the disk may \
             have it in part.",
            "rename it over db.json",
        );
    }
}

#[test]
fn where_nothing_known_is_seen_the_neighbours_are_named_and_no_more() {
    let log = Log::new().fsync(".").write("a", 0, 5);
    let found = log.killed(2, Class::Lost);
    assert_eq!(found.cause, Cause::BetweenOperations);
    assert_eq!(found.sentence, "The crash comes after fsync(.)#1 and before write(a)#1.");
    let empty = Log::new().killed(1, Class::Lost);
    assert_eq!(empty.sentence, "The crash comes before the end of the run.");
}

#[test]
fn files_that_differ_go_before_those_next_to_the_point() {
    let history = || {
        let log = Log::new().intend().empty("a.json").empty("b.json").write("b.json", 0, 9);
        log.write("a.json", 0, 9).told()
    };
    let failing = |file: &str| {
        let files = [file.to_owned()];
        let (model, variant) = (CrashModel::Kill, &Variant::Only);
        let failure = Failure { point: 3, model, variant, class: Class::Lost, files: &files };
        diagnose(&history(), &failure).file
    };
    assert_eq!(failing("a.json").as_deref(), Some("a.json"));
    assert_eq!(failing("b.json").as_deref(), Some("b.json"));
}

#[test]
fn names_that_differ_from_save_to_save_are_one_group() {
    let cases = [
        ("notes.json", "notes.json"),
        ("objects/3b/18e512dba79e4c8300dd08aeb37f8e728b8dad", "objects/*/*"),
        ("000123.log", "*.log"),
        ("tmp-4711-a.txt", "tmp-*-a.txt"),
        ("v2.db", "v2.db"),
        ("db/a.json", "db/a.json"),
    ];
    for (path, group) in cases {
        assert_eq!(paths::generalised(path), group);
    }
    let roles = ["clock.txt", "LOCK", "SingletonLock", "a.lock", "app.pid", "block.dat"];
    let locks = roles.map(|path| paths::Role::of(path) == paths::Role::Lock);
    assert_eq!(locks, [false, true, true, true, true, false]);
}

fn any_effect() -> impl Strategy<Value = (OperationKind, Effect)> {
    let file = || (1..6_u64).prop_map(FileId);
    let name = || {
        let bytes = prop::sample::select(vec!["a", "b.tmp", "n.db", "n.db-journal", "x.lock"]);
        (file(), bytes).prop_map(|(directory, bytes)| Name { directory, bytes: bytes.into() })
    };
    let create = (file(), prop::option::of(name())).prop_map(|(file, name)| {
        let (kind, attributes) = (FileKind::Regular, Attributes::default());
        (OperationKind::OpenCreate, Effect::Create { file, name, kind, attributes })
    });
    let write = (file(), any::<u64>(), any::<u64>(), any::<bool>());
    let rename = (file(), prop::option::of(name()), prop::option::of(name()));
    prop_oneof![
        create,
        write.prop_map(|(file, offset, length, durable)| {
            (OperationKind::Write, Effect::Write { file, offset, length, durable })
        }),
        (file(), 0..3_u64)
            .prop_map(|(file, size)| { (OperationKind::Truncate, Effect::Resize { file, size }) }),
        (file(), name())
            .prop_map(|(file, name)| (OperationKind::Unlink, Effect::Unlink { file, name })),
        (file(), name())
            .prop_map(|(file, name)| (OperationKind::Link, Effect::Link { file, name })),
        rename.prop_map(|(file, from, to)| {
            (OperationKind::Rename, Effect::Rename { file, from, to, replaced: None })
        }),
        (file(), name(), file(), name()).prop_map(|(one, first, other, second)| {
            let effect = Effect::Exchange { first: (first, one), second: (second, other) };
            (OperationKind::Rename, effect)
        }),
        file().prop_map(|file| {
            (OperationKind::Fsync, Effect::Synced { file, data_only: false, range: None })
        }),
        Just((OperationKind::Sync, Effect::SyncedAll)),
        Just((OperationKind::Write, Effect::Nothing)),
        (file(), 0..9_u64).prop_map(|(file, length)| {
            (OperationKind::Clone, Effect::Replace { file, length })
        }),
    ]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let word = prop::sample::select(vec![".", "a", "b.tmp", "n.db", "n.db-journal", "d/x.lock"]);
    let shown = prop::collection::vec(word.prop_map(str::to_owned), 0..3);
    let effects = prop::collection::vec(any_effect(), 0..3);
    (shown, effects, 0..5_u64).prop_map(|(shown, effects, journal_length)| {
        let kind = effects.first().map_or(OperationKind::Write, |(kind, _)| *kind);
        Operation {
            ordinal: 1,
            address: Address::Call { kind, paths: shown.clone(), ordinal: 1, role: None },
            shown,
            process: 1,
            call: "call".to_owned(),
            result: 0,
            journal_length: journal_length * 10,
            at_ns: 0,
            effects: effects.into_iter().map(|(_, effect)| effect).collect(),
        }
    })
}

fn any_variant() -> impl Strategy<Value = Variant> {
    prop_oneof![
        Just(Variant::Only),
        any::<u64>().prop_map(Variant::Bytes),
        (0..30_u64).prop_map(Variant::Write),
        (0..30_u64, any::<u64>()).prop_map(|(write, bytes)| Variant::WriteBytes(write, bytes)),
        (0..9_u64).prop_map(Variant::File),
        (0..30_u64).prop_map(Variant::From),
        (0..30_u64).prop_map(Variant::Without),
    ]
}

proptest! {
    #[test]
    fn random_logs_never_panic_and_always_get_a_sentence_and_a_fix(
        operations in prop::collection::vec(any_operation(), 0..24),
        point in prop_oneof![0..30_u64, Just(u64::MAX)],
        model in prop::sample::select(CrashModel::ALL.to_vec()),
        variant in any_variant(),
        class in prop::sample::select(vec![
            Class::Lost, Class::Torn, Class::Extra, Class::Duplicated, Class::Hung,
            Class::Unopenable, Class::AckedNotDurable,
        ]),
        told in any::<bool>(),
    ) {
        let mut history = History::default();
        if told {
            history = history.with_acknowledgements(vec![10, 20, 30]);
        }
        for operation in &operations {
            history.push(operation);
        }
        let files = ["a".to_owned(), "nowhere".to_owned()];
        let variant = &variant;
        let found = diagnose(&history, &Failure { point, model, variant, class, files: &files });
        prop_assert!(!found.sentence.is_empty() && !found.fix.is_empty());
        prop_assert!(found.sentence.ends_with('.'), "{}", found.sentence);
    }
}
