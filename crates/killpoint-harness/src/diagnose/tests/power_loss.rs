//! What a power cut leaves, one small log for each cause.

use super::*;

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
            "write(000003.log)#2 is followed by no fsync of 000003.log until the end of the run, and \
             an operation was acknowledged in between.",
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
fn an_old_file_moved_away_is_missed_where_its_successor_is_not_on_disk() {
    let log = Log::new().create("k").write("k", 0, 3).fsync("k").fsync(".").acknowledge();
    let log = log.intend().rename("k", "k.bak").fsync(".").create("k").write("k", 0, 3);
    let log = log.fsync("k").fsync(".").acknowledge();
    let found =
        log.with_variant(8, CrashModel::DirLost, &Variant::Without(7), Class::AckedNotDurable);
    let sentence = "rename(k, k.bak)#1 takes k away before open(k, create)#2 puts the new one in its place, \
                    which is complete only after write(k)#2.";
    check(&found, Cause::OldRemovedFirst, "k", sentence, "without removing the old one first");
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
        "its length and a checksum",
    );
    check(
        log().at(3, CrashModel::Size, Class::Unopenable),
        Cause::ExtendedWithoutSync,
        "zeros may stand where its bytes should be",
        "its length and a checksum",
    );
}

#[test]
fn a_log_that_was_made_durable_while_empty_may_be_empty() {
    let log = Log::new().create("records").fsync("records").fsync(".").intend();
    let log = log.write("records", 0, 30).fsync("records").acknowledge();
    let found = log.at(5, CrashModel::Size, Class::Unopenable);
    assert_eq!(found.cause, Cause::ExtendedWithoutSync, "{found:#?}");
    assert!(found.fix.ends_with("drop an incomplete last one when opening"), "{found:#?}");
}

#[test]
fn a_program_that_syncs_before_it_acknowledges_is_not_told_to_do_so() {
    let log = || {
        let log = Log::new().create("c.yaml").write("c.yaml", 0, 90).fsync("c.yaml").acknowledge();
        log.intend().write("c.yaml", 90, 6_000).fsync("c.yaml").acknowledge()
    };
    let lost = Variant::Write(4);
    for (model, variant, class) in [
        (CrashModel::Size, &Variant::Only, Class::Unopenable),
        (CrashModel::OneLost, &lost, Class::Unopenable),
        (CrashModel::OneLost, &lost, Class::AckedNotDurable),
    ] {
        let found = log().with_variant(5, model, variant, class);
        let fix =
            "write c.yaml.tmp, fsync it, rename it over c.yaml, fsync data/; or give each record";
        assert!(found.fix.starts_with(fix), "{found:#?}");
        assert_ne!(found.cause, Cause::AcknowledgedBeforeFsync, "{found:#?}");
    }
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
            "write(p.dat)#1 is followed by no fsync of p.dat until the end of the run, and an \
             operation was acknowledged in between.",
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
fn stores_into_a_mapping_are_acknowledged_before_their_msync() {
    let log = || {
        let log = Log::new().create("m").write("m", 0, 8_192).fsync("m").fsync(".").intend();
        log.acknowledge().intend().acknowledge().mapped("m", 0, 4_096).fsync("m")
    };
    for model in [CrashModel::Prefix, CrashModel::Data, CrashModel::Size] {
        check(
            &log().at(6, model, Class::AckedNotDurable),
            Cause::AcknowledgedBeforeFsync,
            "m",
            "mapped(m)#1 is followed by no msync of m until fsync(m)#2, and 2 operations were \
             acknowledged since the last call before it.",
            "msync m with MS_SYNC after the last change in its mapping and before acknowledging",
        );
    }
}

#[test]
fn a_name_that_is_empty_under_any_model_is_one_defect() {
    let log = || {
        let log = Log::new().create("k").write("k", 0, 3).fsync("k").fsync(".").acknowledge();
        let log = log.intend().create("k.new").write("k.new", 0, 3).fsync("k.new").unlink("k");
        let log = log.create("stats").write("stats", 0, 3).fsync("stats");
        log.rename("k.new", "k").fsync(".").acknowledge()
    };
    let sentence =
        "unlink(k)#1 takes k away before rename(k.new, k)#1 puts the new one in its place.";
    for (point, model) in [
        (10, CrashModel::Data),
        (11, CrashModel::Size),
        (12, CrashModel::Prefix),
        (10, CrashModel::Kill),
    ] {
        let found = log().at(point, model, Class::AckedNotDurable);
        check(&found, Cause::OldRemovedFirst, "k", sentence, "without removing the old one first");
    }
}

#[test]
fn what_is_promised_between_the_removal_and_the_rename_is_promised_early() {
    let log = || {
        let log = Log::new().create("k").write("k", 0, 3).fsync("k").fsync(".").acknowledge();
        let log = log.intend().create("k.new").write("k.new", 0, 3).fsync("k.new").unlink("k");
        log.acknowledge().rename("k.new", "k").fsync(".").intend().create("other")
    };
    for point in [9, 10] {
        for (model, variant) in
            [(CrashModel::Prefix, Variant::Only), (CrashModel::DirLost, Variant::From(8))]
        {
            let found = log().with_variant(point, model, &variant, Class::AckedNotDurable);
            assert_eq!(found.cause, Cause::AcknowledgedBeforeWritten, "{found:#?}");
            assert!(found.fix.contains("only after rename(k.new, k)#1 has returned"), "{found:#?}");
        }
    }
}

#[test]
fn the_file_whose_loss_alone_breaks_the_promise_is_the_one_at_fault() {
    let log = || {
        let log = Log::new().write("wal.log", 0, 9).fsync("wal.log").create("data.json.tmp");
        let log = log.write("data.json.tmp", 0, 60).rename("data.json.tmp", "data.json");
        log.fsync(".").write("wal.log", 9, 9).fsync("wal.log").acknowledge()
    };
    for model in [CrashModel::Data, CrashModel::Size] {
        let around = Around { lost_alone: Some(FileId(3)), ..Around::default() };
        let (point, variant, class) = (8, &Variant::Only, Class::Unopenable);
        check(
            &diagnose(&log().told(), &Failure { point, model, variant, class, around, said: "" }),
            Cause::RenamedBeforeFsync,
            "data.json",
            "rename(data.json.tmp, data.json)#1 puts the file under the name data.json although no \
             fsync of it has followed write(data.json.tmp)#1.",
            "fsync data.json.tmp before it becomes data.json, then fsync data/",
        );
    }
}

#[test]
fn a_file_that_is_renamed_into_its_place_needs_no_checksums() {
    let log = || {
        let log = Log::new().write("q/j1", 0, 2).fsync("q/j1").intend().unlink("q/j1").fsync("q");
        let log = log.create("done.tmp").write("done.tmp", 0, 90).fsync("done.tmp");
        log.rename("done.tmp", "done").fsync(".").acknowledge()
    };
    for (model, variant) in [
        (CrashModel::Size, Variant::Only),
        (CrashModel::Data, Variant::Only),
        (CrashModel::FileLost, Variant::File(4)),
        (CrashModel::OneLost, Variant::Write(6)),
    ] {
        for class in [Class::Lost, Class::Unopenable, Class::Wrong] {
            let found = log().with_variant(7, model, &variant, class);
            assert!(!found.fix.contains("checksum"), "{model} {class}: {found:#?}");
            assert!(!found.sentence.contains("no fsync"), "{model} {class}: {found:#?}");
        }
    }
}

#[test]
fn where_nothing_is_ever_acknowledged_no_advice_speaks_of_it() {
    let written = || Log::new().write("c", 0, 9);
    let found = written().at(2, CrashModel::Data, Class::Torn);
    let fix = "fsync c after its last write and before the next step that relies on it";
    assert_eq!(found.fix, fix, "{found:#?}");
    let renamed = Log::new().write("c.tmp", 0, 9).fsync("c.tmp").rename("c.tmp", "c");
    let found = renamed.with_variant(4, CrashModel::DirLost, &Variant::From(3), Class::Torn);
    let fix = "fsync data/ after this and before the next step that relies on it";
    assert_eq!(found.fix, fix, "{found:#?}");
    let found = written().acknowledge().at(2, CrashModel::Data, Class::Torn);
    assert!(found.fix.ends_with("before acknowledging"), "{found:#?}");
}

/// A generation in a file of its own, to which `CURRENT` leads; the one before is removed.
fn generation(log: Log, name: &str, last: &str) -> Log {
    let (a, b) = (format!("{name}.json"), format!("{name}.bin"));
    let log = log.create(&a).write(&a, 0, 69).create(&b).write(&b, 0, 69).fsync(".");
    let log = log.create("CURRENT.tmp").write("CURRENT.tmp", 0, 7).fsync("CURRENT.tmp");
    let log = log.rename("CURRENT.tmp", "CURRENT").fsync(".");
    log.unlink(&format!("{last}.json")).unlink(&format!("{last}.bin"))
}

#[test]
fn a_generation_is_to_be_synced_before_it_is_led_to() {
    let log = || generation(generation(Log::new(), "g8", "g7"), "g9", "g8");
    let lost = log().file("g9.json");
    for (model, variant) in
        [(CrashModel::Size, Variant::Only), (CrashModel::FileLost, Variant::File(lost.0))]
    {
        let around = Around { lost_alone: Some(lost), ..Around::default() };
        let failure =
            Failure { point: 22, model, variant: &variant, class: Class::Torn, around, said: "" };
        check(
            &diagnose(&log().told(), &failure),
            Cause::DataBeforeJournal,
            "CURRENT",
            "rename(CURRENT.tmp, CURRENT)#2 changes CURRENT before g9.json is synced: \
             write(g9.json)#1 is followed by no fsync of it until fsync(.)#4.",
            "fsync g9.json before renaming CURRENT.tmp",
        );
        // Of what the next generation has removed, nothing needs to be synced.
        let found = diagnose(&log().told(), &Failure { point: 25, ..failure });
        assert!(!found.fix.contains("g7") && !found.fix.contains("CURRENT,"), "{found:#?}");
        assert!(found.fix.contains("g9.json"), "{found:#?}");
    }
}
