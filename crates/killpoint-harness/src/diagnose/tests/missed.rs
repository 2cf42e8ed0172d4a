//! Failures of which the judge, or the points around, tell what is missed.

use super::*;

fn missing(log: Log, point: u64, model: CrashModel, variant: &Variant, said: &str) -> Diagnosis {
    let class = if model == CrashModel::Kill { Class::Lost } else { Class::AckedNotDurable };
    let around = Around::default();
    diagnose(&log.told(), &Failure { point, model, variant, class, around, said })
}

#[test]
fn a_loss_is_explained_by_the_file_that_is_lost_and_not_by_its_neighbours() {
    let log = || {
        let log = Log::new().create("db/LOG").write("db/LOG", 0, 9).intend();
        let log = log.write("db/6.log", 0, 9).fsync("db/6.log").acknowledge().intend();
        log.write("db/6.log", 9, 9).fsync("db/6.log").acknowledge()
    };
    let said = "db/LOG is 0 bytes long and had 9 bytes when something was acknowledged.";
    for (point, until) in
        [(5, "write(db/6.log)#2"), (6, "fsync(db/6.log)#2"), (7, "the end of the run")]
    {
        let count = if point == 7 { "2 operations were" } else { "an operation was" };
        check(
            &missing(log(), point, CrashModel::Data, &Variant::Only, said),
            Cause::AcknowledgedBeforeFsync,
            "db/LOG",
            &format!(
                "write(db/LOG)#1 is followed by no fsync of db/LOG until {until}, and {count} \
                 acknowledged in between."
            ),
            "fsync db/LOG after its last write",
        );
    }
}

#[test]
fn a_size_that_is_undone_is_that_of_a_file_that_was_not_synced() {
    let log = || {
        let log = Log::new().empty("alpha").write("alpha", 0, 9).acknowledge().intend();
        log.create("beta").write("beta", 0, 9)
    };
    for (said, position) in [("", 1), ("alpha is empty; its 9 bytes are gone.", 2)] {
        check(
            &missing(log(), 3, CrashModel::DirLost, &Variant::From(position), said),
            Cause::AcknowledgedBeforeFsync,
            "alpha",
            "write(alpha)#1 is followed by no fsync of alpha until open(beta, create)#1, and an \
             operation was acknowledged in between.",
            "fsync alpha after its last write",
        );
    }
}

#[test]
fn what_is_missed_was_removed_first_whatever_its_name_tells() {
    let log = || {
        let log = Log::new().write("f", 0, 9).unlink("undo.files").create("undo.files");
        log.create("branch.bck").write("undo.files", 0, 9).rename("journal", "undo")
    };
    let found = missing(log(), 4, CrashModel::Kill, &Variant::Only, "undo.files is empty; so.");
    check(
        &found,
        Cause::OldRemovedFirst,
        "undo.files",
        "unlink(undo.files)#1 takes undo.files away before open(undo.files, create)#1 puts the new \
         one in its place, which is complete only after write(undo.files)#1.",
        "rename the new file over undo.files without removing the old one first",
    );
}

#[test]
fn what_does_no_harm_once_it_is_whole_is_not_left_over() {
    let log = || {
        let log = Log::new().intend().create("1").write("1", 0, 9).fsync("1").acknowledge();
        let log = log.intend().create("2").empty("sequences").write("2", 0, 9).fsync("2");
        log.acknowledge().intend().unlink("2").unlink("1")
    };
    let around =
        Around { held: Some(4), broke: Some((4, 5)), mended: Some((6, 7)), ..Around::default() };
    let (point, model, variant, class) = (5, CrashModel::Kill, &Variant::Only, Class::Extra);
    check(
        &diagnose(&log().told(), &Failure { point, model, variant, class, around, said: "" }),
        Cause::CreatedInPlace,
        "2",
        "open(2, create)#1 makes 2 under its final name, empty; its contents are complete only \
         after write(2)#1.",
        "write 2.tmp, fsync it, rename it over 2",
    );
    let unknown = log().killed(5, Class::Extra);
    assert_eq!(unknown.cause, Cause::TemporaryFileLeft, "{unknown:#?}");
}

#[test]
fn the_name_that_is_missed_is_the_one_that_a_file_was_to_get() {
    let log = Log::new().create("k.tmp").write("k.tmp", 0, 9).fsync("k.tmp").rename("k.tmp", "k");
    let log = log.acknowledge().intend().create("k.tmp");
    let said = "k is as it was at the beginning; what it was after operation 4 had to stay.";
    check(
        &missing(log, 5, CrashModel::DirLost, &Variant::From(1), said),
        Cause::DirectoryNotSynced,
        "k",
        "rename(k.tmp, k)#1 is followed by no fsync of the state directory until \
         open(k.tmp, create)#2.",
        "fsync data/ after this",
    );
}

#[test]
fn a_backup_that_is_removed_explains_no_loss_of_another_file() {
    let log = Log::new().write("k.dat", 0, 9).write("k.dir", 0, 9).acknowledge().intend();
    let log = log.write("k.dat", 9, 9).unlink("k").rename("k.dir", "k").create("k.dir").told();
    for file in ["k.dat", "k.dir"] {
        let said = format!("{file} is 0 bytes long and had 9 bytes when all was acknowledged.");
        let (point, model, variant, around) =
            (5, CrashModel::Data, &Variant::Only, Around::default());
        let class = Class::AckedNotDurable;
        let found = diagnose(&log, &Failure { point, model, variant, class, around, said: &said });
        assert_eq!(found.cause, Cause::AcknowledgedBeforeFsync, "{found:#?}");
        assert_eq!(found.file.as_deref(), Some(file));
    }
}
