//! What a kill leaves, one small log for each cause.

use super::*;

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
fn one_place_for_old_and_new_data_is_overwritten_in_steps() {
    let log = || {
        let log = Log::new().create("env").write("env", 0, 16_384).fsync("env").acknowledge();
        let log = log.intend().write("env", 8_192, 90).fsync("env").write("env", 0, 20);
        log.fsync("env").acknowledge().intend()
    };
    for (point, model) in [
        (5, CrashModel::Kill),
        (6, CrashModel::Kill),
        (6, CrashModel::Data),
        (6, CrashModel::Prefix),
    ] {
        check(
            &log().at(point, model, Class::Unopenable),
            Cause::OverwrittenInPlace,
            "env",
            "write(env)#2 to write(env)#3 overwrite env in place, in more than one write.",
            "or write the change to a journal",
        );
    }
    assert_eq!(log().killed(7, Class::Unopenable).cause, Cause::BetweenOperations);
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
        "where a.dat refers to b.idx, write b.idx first; else commit both in one step",
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
    // Done and not on disk, the rename is as good as not done.
    assert_eq!(log().at(5, CrashModel::Prefix, Class::AckedNotDurable), undone);
}

#[test]
fn what_is_acknowledged_first_is_not_missed_in_the_temporary_file() {
    let log = || {
        let log = Log::new().create("k").write("k", 0, 3).fsync("k").fsync(".").intend();
        let log = log.acknowledge().create("k.tmp").write("k.tmp", 0, 3).fsync("k.tmp");
        log.rename("k.tmp", "k").fsync(".")
    };
    for (model, variant) in [
        (CrashModel::Data, Variant::Only),
        (CrashModel::Size, Variant::Only),
        (CrashModel::FileLost, Variant::File(3)),
        (CrashModel::OneLost, Variant::Write(6)),
    ] {
        check(
            &log().with_variant(7, model, &variant, Class::AckedNotDurable),
            Cause::AcknowledgedBeforeWritten,
            "k",
            "1 further acknowledgement stood in the ack journal since write(k)#1, and \
             rename(k.tmp, k)#1 had not happened yet.",
            "acknowledge only after rename(k.tmp, k)#1 has returned",
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
fn where_nothing_known_is_seen_the_neighbours_are_named_and_no_more() {
    let log = Log::new().fsync(".").write("a", 0, 5);
    let found = log.killed(2, Class::Lost);
    assert_eq!(found.cause, Cause::BetweenOperations);
    assert_eq!(found.sentence, "The crash comes after fsync(.)#1 and before write(a)#1.");
    let empty = Log::new().killed(1, Class::Lost);
    assert_eq!(empty.sentence, "The crash comes before the end of the run.");
}

#[test]
fn files_changed_since_a_point_that_held_go_before_those_next_to_the_point() {
    let history = || {
        let log = Log::new().intend().empty("a.json").empty("b.json").write("b.json", 0, 9);
        log.write("a.json", 0, 9).told()
    };
    let failing = |held: Option<u64>| {
        let (model, variant) = (CrashModel::Kill, &Variant::Only);
        let around = Around { held, ..Around::default() };
        let failure = Failure { point: 3, model, variant, class: Class::Lost, around, said: "" };
        diagnose(&history(), &failure).file
    };
    assert_eq!(failing(Some(1)).as_deref(), Some("a.json"));
    assert_eq!(failing(Some(2)).as_deref(), Some("b.json"));
}

#[test]
fn a_temporary_file_that_was_there_when_all_was_well_is_not_at_fault() {
    let history = || {
        let log = Log::new().intend().create("a.tmp").write("a.tmp", 0, 9).fsync("a.tmp");
        let log = log.create("b.tmp").write("b.tmp", 0, 9).fsync("b.tmp");
        log.rename("a.tmp", "a").rename("b.tmp", "b").fsync(".").acknowledge().told()
    };
    let undone = Variant::Without(8);
    for (point, model, variant, held) in [
        (8, CrashModel::Kill, &Variant::Only, Some(7)),
        (8, CrashModel::Data, &Variant::Only, None),
        (9, CrashModel::DirLost, &undone, None),
    ] {
        let around = Around { held, ..Around::default() };
        let failure = Failure { point, model, variant, class: Class::Unopenable, around, said: "" };
        let found = diagnose(&history(), &failure);
        let sentence = "rename(a.tmp, a)#1 changes a before rename(b.tmp, b)#1 changes b, and no \
                        single step makes both valid.";
        check(&found, Cause::FilesChangeApart, "a", sentence, "commit both in one step");
    }
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
        // As addresses write a tab and parentheses.
        ("a%09b%28x%29.json", "a%09b%28x%29.json"),
        ("a%09-4711.json", "a%09-*.json"),
        ("*.json", "%2A.json"),
    ];
    for (path, group) in cases {
        assert_eq!(paths::generalised(path), group);
    }
    let roles = ["clock.txt", "LOCK", "SingletonLock", "a.lock", "app.pid", "block.dat"];
    let locks = roles.map(|path| paths::Role::of(path) == paths::Role::Lock);
    assert_eq!(locks, [false, true, true, true, true, false]);
}

#[test]
fn an_old_file_is_removed_first_whatever_is_done_before_the_new_one_comes() {
    let log = Log::new().create("k").write("k", 0, 3).acknowledge().intend().create("k.new");
    let log = log.write("k.new", 0, 3).unlink("k").acknowledge().rename("k.new", "k");
    let found = log.killed(6, Class::Lost);
    assert_eq!(found.cause, Cause::OldRemovedFirst, "{found:#?}");
    // What is deleted, and stored again later, is no save.
    let log = Log::new().create("k").write("k", 0, 3).acknowledge().intend().unlink("k");
    let log = log.acknowledge().intend().create("k.new").write("k.new", 0, 3).rename("k.new", "k");
    let found = log.killed(5, Class::Lost);
    assert_ne!(found.cause, Cause::OldRemovedFirst, "{found:#?}");
}
