//! What the verdicts at neighbouring points tell, one small log for each.

use super::*;

/// What a kill at a point leaves, where the state is whole until `held`, bad from `failing` to `last`, and whole
/// again at `again`.
fn between(log: Log, class: Class, stretch: [u64; 4], point: u64) -> Diagnosis {
    let [held, failing, last, again] = stretch;
    let around = Around {
        held: Some(held),
        broke: Some((held, failing)),
        mended: Some((last, again)),
        lost_alone: None,
    };
    let (model, variant) = (CrashModel::Kill, &Variant::Only);
    diagnose(&log.told(), &Failure { point, model, variant, class, around, said: "" })
}

#[test]
fn a_log_that_is_removed_before_its_snapshot_is_in_place_is_one_defect_until_then() {
    let log = || {
        let log = Log::new().create("log.0").fsync("log.0").fsync(".").intend();
        let log = log.write("log.0", 0, 20).fsync("log.0").acknowledge().unlink("log.0");
        let log = log.create("snap.1").write("snap.1", 0, 20).fsync("snap.1");
        let log = log.create("CURRENT.tmp").write("CURRENT.tmp", 0, 1);
        log.rename("CURRENT.tmp", "CURRENT").fsync(".").intend().write("log.1", 0, 20)
    };
    for point in 7..=12 {
        check(
            &between(log(), Class::Lost, [6, 7, 12, 13], point),
            Cause::OldRemovedFirst,
            "log.0",
            "unlink(log.0)#1 removes log.0, which the next start needs until \
             rename(CURRENT.tmp, CURRENT)#1 has returned.",
            "remove log.0 only after rename(CURRENT.tmp, CURRENT)#1 has returned",
        );
    }
}

#[test]
fn what_was_kept_when_it_stood_in_the_ack_journal_was_not_acknowledged_early() {
    // Another save has begun, whose first step destroys what the last one stored.
    let log = || {
        let log = Log::new().create("a").write("a", 0, 9).acknowledge().intend().unlink("b.bak");
        log.write("c", 0, 9).acknowledge()
    };
    let found = between(log(), Class::Lost, [3, 4, 4, 5], 4);
    let sentence =
        "unlink(b.bak)#1 removes b.bak, which the next start needs until write(c)#1 has returned.";
    check(&found, Cause::OldRemovedFirst, "b.bak", sentence, "remove b.bak only after write(c)#1");
    let told = log().killed(4, Class::Lost);
    assert_eq!(told.cause, Cause::AcknowledgedBeforeWritten, "{told:#?}");
}

#[test]
fn a_log_that_ends_two_transactions_is_not_to_be_kept_until_its_own_end() {
    let save = |log: Log, file| {
        let log = log.create("undo").write("undo", 0, 9).fsync("undo").write(file, 0, 9);
        log.fsync(file).unlink("undo")
    };
    let log = save(save(Log::new().intend(), "a"), "b").acknowledge();
    let found = between(log, Class::Torn, [6, 7, 12, 13], 8);
    assert_eq!(found.cause, Cause::FilesChangeApart, "{found:#?}");
    assert_eq!(found.file.as_deref(), Some("a"));
}

#[test]
fn what_makes_the_state_whole_is_to_come_before_the_acknowledgement() {
    // A copy that is restored whenever it is there.
    let log = Log::new().create("c").write("c", 0, 9).fsync("c").intend().create("c.bak");
    let log = log.write("c.bak", 0, 9).empty("c").write("c", 0, 9).fsync("c").acknowledge();
    let log = log.unlink("c.bak").intend().create("d");
    check(
        &between(log, Class::Lost, [8, 9, 9, 10], 9),
        Cause::AcknowledgedBeforeWritten,
        "c.bak",
        "1 further acknowledgement stood in the ack journal since write(c)#2, and \
         unlink(c.bak)#1 had not happened yet.",
        "acknowledge only after unlink(c.bak)#1 has returned",
    );
}

#[test]
fn two_files_that_are_saved_under_one_temporary_name_change_apart() {
    let save =
        |log: Log, file| log.create("t").write("t", 0, 9).fsync("t").rename("t", file).fsync(".");
    let log = || save(save(Log::new().intend(), "a.json"), "b.json").acknowledge();
    for point in 5..=9 {
        check(
            &between(log(), Class::Torn, [4, 5, 9, 10], point),
            Cause::FilesChangeApart,
            "a.json",
            "rename(t, a.json)#1 changes a.json before rename(t, b.json)#1 changes b.json, and no \
             single step makes both valid.",
            "or write the whole change to a journal first",
        );
    }
    // The same without the verdicts of its neighbours: no file is told to be renamed over itself.
    let found = log().killed(6, Class::Torn);
    assert_eq!(found.cause, Cause::FilesChangeApart, "{found:#?}");
    // A file that is kept under a longer name is missed under its own.
    let log = Log::new().create("n").write("n", 0, 9).rename("n", "n.1").create("n");
    assert_eq!(log.killed(4, Class::Lost).cause, Cause::OldRemovedFirst);
}

#[test]
fn a_temporary_file_made_after_the_state_turned_bad_is_not_at_fault() {
    let log = || {
        let log = Log::new().intend().write("a", 0, 9).create("b.tmp").write("b.tmp", 0, 9);
        log.rename("b.tmp", "b").acknowledge()
    };
    let found = between(log(), Class::Unopenable, [1, 2, 4, 5], 3);
    assert_eq!(found.cause, Cause::FilesChangeApart, "{found:#?}");
    let found = between(log(), Class::Unopenable, [2, 3, 4, 5], 3);
    assert_eq!(found.cause, Cause::TemporaryFileLeft, "{found:#?}");
}

/// A transaction in write-ahead logs, each with its shared memory.
fn attached() -> Log {
    let log = Log::new().intend().write("a.db", 0, 100).write("b.db", 0, 100);
    let log = log.create("a.db-shm").create("a.db-wal").mapped("a.db-shm", 0, 32_768);
    let log = log.write("a.db-wal", 0, 4_096).fsync("a.db-wal").create("b.db-shm");
    let log = log.mapped("b.db-shm", 0, 32_768).create("b.db-wal").write("b.db-wal", 0, 4_096);
    log.fsync("b.db-wal").unlink("a.db-shm").unlink("b.db-shm").acknowledge()
}

#[test]
fn a_transaction_over_two_databases_in_wal_mode_is_in_one_of_them_alone() {
    for class in [Class::Unopenable, Class::Wrong, Class::Torn] {
        for point in 7..=11 {
            check(
                &between(attached(), class, [6, 7, 11, 12], point),
                Cause::FilesChangeApart,
                "a.db",
                &format!(
                    "write(a.db-wal)#1 changes a.db before {} changes b.db: SQLite commits to two \
                     databases in one step only if they are attached to each other and both keep a \
                     rollback journal, not in WAL mode.",
                    if point <= 10 { "open(b.db-wal, create)#1" } else { "write(b.db-wal)#1" }
                ),
                "keep in one database what a.db and b.db hold together; or ATTACH",
            );
        }
    }
}

#[test]
fn shared_memory_of_sqlite_is_never_at_fault() {
    for point in 1..=15 {
        for model in CrashModel::ALL {
            for class in [Class::Lost, Class::Unopenable, Class::Extra, Class::Hung] {
                for variant in [Variant::Only, Variant::From(3), Variant::Without(8)] {
                    let found = attached().with_variant(point, model, &variant, class);
                    let file = found.file.clone().unwrap_or_default();
                    assert!(!file.ends_with("-shm") && !found.fix.contains("-shm"), "{found:#?}");
                }
            }
        }
    }
}

#[test]
fn a_hot_journal_that_is_taken_away_does_not_roll_its_database_back() {
    let log = || {
        let log = Log::new().write("n.db", 0, 8_192).fsync("n.db").intend();
        let log = log.create("n.db-journal").write("n.db-journal", 0, 512).fsync("n.db-journal");
        let log = log.write("n.db", 0, 4_096).write("n.db", 4_096, 4_096).fsync("n.db");
        log.unlink("n.db-journal").acknowledge()
    };
    for point in [7, 8] {
        check(
            &between(log(), Class::Unopenable, [6, 7, 8, 9], point),
            Cause::JournalNotApplied,
            "n.db",
            "write(n.db)#2 changes n.db while n.db-journal, made by open(n.db-journal, create)#1, \
             lies beside it: rolled back, it would be what it was before, when the state was \
             whole. What opens it does not roll it back.",
            "leave n.db-journal where it is",
        );
    }
    // Whole only before the journal was made, it may have been another transaction.
    let found = between(log(), Class::Unopenable, [1, 7, 8, 9], 7);
    assert_ne!(found.cause, Cause::JournalNotApplied, "{found:#?}");
}

#[test]
fn what_the_killed_process_had_not_done_is_acknowledged_by_the_others() {
    let survived = |log: Log, point| {
        let (model, variant, class) = (CrashModel::Kill, &Variant::Only, Class::Lost);
        let around = Around::default();
        let failure = Failure { point, model, variant, class, around, said: "" };
        diagnose_survivors(&log.told(), &failure)
    };
    let log = || {
        let log = Log::new().intend().create("t").write("t", 0, 9).rename("t", "c.json");
        log.acknowledge().intend().empty("c.json").write("c.json", 0, 9).acknowledge()
    };
    for point in 1..=4 {
        let found = survived(log(), point);
        assert_eq!(found.cause, Cause::AcknowledgedByOthers, "{found:#?}");
        assert!(found.fix.contains("wait for its end or its answer"), "{found:#?}");
    }
    // What it left halfway was promised before.
    let found = survived(log(), 5);
    assert_eq!(found.cause, Cause::TruncatedInPlace, "{found:#?}");
}

#[test]
fn where_no_cause_is_known_the_operations_that_turn_the_state_are_named() {
    let log = Log::new().intend().create("x.tmp").write("x.tmp", 0, 9).write("a", 0, 9);
    let found = between(log, Class::Lost, [2, 3, 3, 4], 3);
    assert_eq!(found.cause, Cause::BetweenOperations, "{found:#?}");
    let sentence = "The state is whole before write(x.tmp)#1, and again only after write(a)#1.";
    assert_eq!(found.sentence, sentence);
}

#[test]
fn a_record_that_is_written_by_two_calls_is_to_be_written_by_one() {
    let log = Log::new().intend().write("l.log", 0, 5).write("l.log", 5, 6).acknowledge();
    check(
        &between(log, Class::Torn, [1, 2, 2, 3], 2),
        Cause::BetweenOperations,
        "l.log",
        "The state is whole before write(l.log)#1, and again only after write(l.log)#2.",
        "write each record in l.log with one write call; or give each record in l.log its length and \
         a checksum, and drop an incomplete last one when opening",
    );
}
