//! Journals, of SQLite and of any other kind, that a power cut meets.

use super::*;

fn rollback_journal(synced: bool) -> Log {
    let mut log = Log::new().intend().create("n.db-journal").write("n.db-journal", 0, 512);
    if synced {
        log = log.fsync("n.db-journal");
    }
    log.write("n.db", 0, 4_096).fsync("n.db").unlink("n.db-journal").acknowledge()
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

/// A save that writes down what was there, changes `k` in place, and removes the copy again; then the
/// next one begins.
fn undo_log(journal: &str) -> Log {
    let save = |log: Log| {
        let log = log.intend().create(journal).write(journal, 0, 90).fsync(journal).fsync(".");
        log.write("k", 0, 4_096).write("k", 4_096, 4_096).fsync("k").unlink(journal).acknowledge()
    };
    save(save(Log::new().create("k").write("k", 0, 8_192).fsync("k").fsync(".")))
}

#[test]
fn an_undo_log_that_comes_back_is_at_fault_and_not_the_next_save() {
    for journal in ["undo", "before.bin"] {
        // Before the next log is made, is written and is synced.
        for point in 13..=15 {
            check(
                &undo_log(journal).at(point, CrashModel::Prefix, Class::AckedNotDurable),
                Cause::JournalEndNotDurable,
                journal,
                &format!(
                    "unlink({journal})#1 ends {journal}, and nothing makes that durable until {}: \
                     the next start may find it again.",
                    match point {
                        13 => format!("open({journal}, create)#2"),
                        14 => format!("write({journal})#2"),
                        _ => format!("fsync({journal})#2"),
                    }
                ),
                "fsync data/ after its removal",
            );
        }
    }
}

#[test]
fn what_is_acknowledged_after_the_end_of_its_log_is_to_be_synced_before_that_end() {
    // `k` is never synced, and its log is ended on disk. What comes after the last promise is not missed
    // by it.
    let log = || {
        let log = Log::new().create("k").write("k", 0, 8_192).fsync("k").fsync(".").intend();
        let log = log.create("redo").write("redo", 0, 90).fsync("redo").fsync(".");
        let log = log.write("k", 0, 4_096).unlink("redo").fsync(".").acknowledge().intend();
        log.create("redo").write("redo", 0, 90).fsync("redo")
    };
    for model in [CrashModel::Data, CrashModel::Size] {
        check(
            &log().at(14, model, Class::AckedNotDurable),
            Cause::JournalEndedEarly,
            "redo",
            "unlink(redo)#1 ends redo before k is synced: write(k)#2 is followed by no fsync of it \
             until fsync(redo)#2.",
            "fsync k before removing redo",
        );
    }
}

/// A log of which the records are acknowledged when they are synced, and carried over into `k` after every
/// second one.
fn write_ahead_log(carry_over: fn(Log) -> Log) -> Log {
    let log = Log::new().create("wal").create("k").write("k", 0, 8_192).fsync("k").fsync(".");
    let save = |log: Log, offset| log.intend().write("wal", offset, 90).fsync("wal").acknowledge();
    let log = carry_over(save(save(log, 0), 90));
    save(carry_over(save(save(log, 0), 90)), 0)
}

#[test]
fn data_that_is_never_synced_is_to_be_synced_before_its_log_is_truncated() {
    let log = || {
        write_ahead_log(|log| {
            log.write("k", 0, 4_096).write("k", 4_096, 4_096).resize("wal", 0).fsync("wal")
        })
    };
    // In the first save that is carried over, and after the second one.
    for (point, lost, truncated, written) in [(13, 10, 1, 2), (24, 18, 2, 4)] {
        let until = ["fsync(wal)#3", "the end of the run"][usize::from(point == 24)];
        for (model, variant) in [
            (CrashModel::Data, Variant::Only),
            (CrashModel::Size, Variant::Only),
            (CrashModel::FileLost, Variant::File(3)),
            (CrashModel::OneLost, Variant::Write(lost)),
        ] {
            check(
                &log().with_variant(point, model, &variant, Class::AckedNotDurable),
                Cause::JournalEndedEarly,
                "wal",
                &format!(
                    "truncate(wal)#{truncated} ends wal before k is synced: write(k)#{written} is \
                     followed by no fsync of it until {until}."
                ),
                "fsync k before truncating wal",
            );
        }
    }
}

#[test]
fn data_is_to_be_written_before_its_log_is_truncated() {
    let log = || {
        write_ahead_log(|log| {
            let log = log.resize("wal", 0).fsync("wal");
            log.write("k", 0, 4_096).write("k", 4_096, 4_096).fsync("k")
        })
    };
    for (point, model, variant, class) in [
        (11, CrashModel::Kill, Variant::Only, Class::Lost),
        (12, CrashModel::Kill, Variant::Only, Class::Lost),
        (12, CrashModel::Prefix, Variant::Only, Class::AckedNotDurable),
        (14, CrashModel::Prefix, Variant::Only, Class::AckedNotDurable),
        (11, CrashModel::Size, Variant::Only, Class::AckedNotDurable),
        (12, CrashModel::Data, Variant::Only, Class::AckedNotDurable),
        (14, CrashModel::Data, Variant::Only, Class::AckedNotDurable),
        (14, CrashModel::FileLost, Variant::File(3), Class::AckedNotDurable),
        (14, CrashModel::OneLost, Variant::Write(12), Class::AckedNotDurable),
    ] {
        check(
            &log().with_variant(point, model, &variant, class),
            Cause::JournalEndedEarly,
            "wal",
            "truncate(wal)#1 ends wal before write(k)#2 changes k.",
            "write and fsync k before truncating wal",
        );
    }
    let second = log().killed(13, Class::Lost);
    assert_eq!(second.sentence, "truncate(wal)#1 ends wal before write(k)#3 changes k.");
}

/// A save that writes down what is to come, and then changes `k` in place.
fn redo_log(journal: &str) -> Log {
    let log = Log::new().create("k").write("k", 0, 8_192).fsync("k").fsync(".").intend();
    log.create(journal).write(journal, 0, 90)
}

#[test]
fn a_log_of_any_name_that_is_removed_again_is_synced_before_what_it_protects() {
    for journal in ["redo", "next.bin"] {
        let log = || {
            let log = redo_log(journal).write("k", 0, 4_096).fsync("k").write("k", 4_096, 4_096);
            log.fsync("k").unlink(journal).fsync(".").acknowledge()
        };
        for model in [CrashModel::Data, CrashModel::Size] {
            check(
                &log().at(10, model, Class::Torn),
                Cause::DataBeforeJournal,
                "k",
                &format!(
                    "write(k)#2 changes k before {journal} is synced: write({journal})#1 is \
                     followed by no fsync of it until fsync(k)#3."
                ),
                &format!("fsync {journal} before writing k"),
            );
        }
        let unnamed = log().with_variant(9, CrashModel::DirLost, &Variant::Without(5), Class::Torn);
        assert_eq!(unnamed.cause, Cause::DataBeforeJournal, "{unnamed:#?}");
    }
}

#[test]
fn a_write_that_is_on_disk_at_once_needs_its_log_on_disk() {
    let log = redo_log("redo").write_durably("k", 0, 4_096).write_durably("k", 4_096, 4_096);
    let found = log.at(8, CrashModel::Data, Class::Torn);
    assert_eq!(
        (found.cause, &*found.fix),
        (Cause::DataBeforeJournal, "fsync redo before writing k")
    );
}

#[test]
fn a_log_that_is_ended_before_its_data_is_synced_is_told_so_in_the_words_of_its_end() {
    for journal in ["redo", "next.bin"] {
        let log = || {
            let log = redo_log(journal).fsync(journal).fsync(".").write("k", 0, 4_096);
            log.write("k", 4_096, 4_096).unlink(journal).fsync(".").fsync("k").acknowledge()
        };
        for (model, variant) in [
            (CrashModel::Data, Variant::Only),
            (CrashModel::Size, Variant::Only),
            (CrashModel::FileLost, Variant::File(2)),
            (CrashModel::OneLost, Variant::Write(9)),
        ] {
            check(
                &log().with_variant(12, model, &variant, Class::Torn),
                Cause::JournalEndedEarly,
                journal,
                &format!(
                    "unlink({journal})#1 ends {journal} before k is synced: write(k)#2 is \
                     followed by no fsync of it until fsync(.)#3."
                ),
                &format!("fsync k before removing {journal}"),
            );
        }
    }
    let log = redo_log("redo").fsync("redo").fsync(".").write("k", 0, 4_096).resize("redo", 0);
    let found = log.fsync("redo").fsync("k").at(11, CrashModel::Data, Class::Torn);
    assert_eq!(found.fix, "fsync k before truncating redo", "{found:#?}");
}

#[test]
fn a_log_that_was_not_synced_in_an_earlier_save_either_is_missed_in_this_one() {
    // The end of the first save is not synced, so that what waits for a sync begins before its promise.
    let log = Log::new().create("k").write("k", 0, 8_192).fsync("k").create("steps").fsync(".");
    let log = log.intend().write("steps", 0, 90).write("k", 0, 8_192).fsync("k").acknowledge();
    let log = log.intend().write("steps", 0, 90).write("k", 0, 4_096).write("k", 4_096, 4_096);
    let found =
        log.fsync("k").with_variant(11, CrashModel::FileLost, &Variant::File(3), Class::Torn);
    assert_eq!(
        (found.cause, &*found.fix),
        (Cause::DataBeforeJournal, "fsync steps before writing k")
    );
}

/// SQLite with `synchronous=OFF`: two transactions, none of which syncs anything.
fn sqlite_off() -> Log {
    let save = |log: Log| {
        let log = log.intend().create("n.db-journal").write("n.db-journal", 0, 512);
        log.write("n.db", 0, 4_096).unlink("n.db-journal").acknowledge()
    };
    save(save(Log::new().create("n.db").write("n.db", 0, 4_096)))
}

#[test]
fn a_database_that_syncs_nothing_is_one_defect_for_each_class() {
    let variants = [
        (CrashModel::Prefix, Variant::Only),
        (CrashModel::Data, Variant::Only),
        (CrashModel::FileLost, Variant::File(2)),
        (CrashModel::DirLost, Variant::From(6)),
    ];
    for (model, variant) in variants {
        check(
            &sqlite_off().with_variant(11, model, &variant, Class::AckedNotDurable),
            Cause::AcknowledgedBeforeFsync,
            "n.db",
            "write(n.db-journal)#2 and write(n.db)#3 change n.db-journal and n.db, and in the rest \
             of the run no fsync of either follows.",
            "set PRAGMA synchronous=FULL for n.db, or EXTRA",
        );
        let broken = sqlite_off().with_variant(11, model, &variant, Class::Unopenable);
        assert_eq!(broken.cause, Cause::WrittenWithoutFsync, "{broken:#?}");
        assert!(broken.fix.contains("or NORMAL with journal_mode=WAL"), "{broken:#?}");
    }
}

#[test]
fn an_undo_log_that_may_be_empty_is_at_fault_and_not_what_it_protects() {
    let log = || {
        let log = Log::new().intend().create("undo.tmp").write("undo.tmp", 0, 90);
        let log = log.rename("undo.tmp", "undo").fsync(".").create("f0").write("f0", 0, 9);
        let log = log.fsync("f0").create("f1").write("f1", 0, 9).fsync("f1").fsync(".");
        log.unlink("undo").fsync(".").acknowledge()
    };
    for point in 5..=11 {
        for model in [CrashModel::Size, CrashModel::Data] {
            check(
                &log().at(point, model, Class::Unopenable),
                Cause::RenamedBeforeFsync,
                "undo",
                "rename(undo.tmp, undo)#1 puts the file under the name undo although no fsync of it \
                 has followed write(undo.tmp)#1.",
                "fsync undo.tmp before it becomes undo",
            );
        }
    }
}

#[test]
fn every_file_that_a_log_protects_is_to_be_synced_before_its_end() {
    let log = || {
        let log = Log::new().intend().create("undo").write("undo", 0, 90).fsync("undo");
        let log = log.fsync(".").create("f0").write("f0", 0, 9).create("f1").write("f1", 0, 9);
        let log = log.create("f2").write("f2", 0, 9).fsync(".").unlink("undo").fsync(".");
        log.acknowledge().intend().create("other")
    };
    let found = log().at(14, CrashModel::Data, Class::AckedNotDurable);
    assert_eq!(found.cause, Cause::JournalEndedEarly, "{found:#?}");
    assert_eq!(found.fix, "fsync f0, f1 and f2 before removing undo");
}
