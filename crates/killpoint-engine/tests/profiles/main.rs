//! Cuts the power of real file systems and compares what they keep with what the models build.
//!
//! Each sequence runs on a freshly made ext4, xfs and btrfs on a loop device (see `disk`), the power
//! is cut, and the disk is mounted again. What is then there must be one of the states that the
//! models build for the profile of that file system; docs/profiles.md tells what it was. Where a
//! file system, its tools, loop devices or the right to mount are missing, the test says so and
//! passes.

mod disk;
mod perform;
#[path = "../script/mod.rs"]
mod script;

use disk::{Image, Missing, own_mounts};
use killpoint_model::Profile;
use std::io::Write as _;

/// What stands before each sequence, synced.
const SETUP: &str = "create old; write old 0 5000 o; create log; write log 0 3000 l; \
                     create db; write db 0 8192 d; create other; write other 0 10 t";

/// Name and sequence. `commit` forces a commit through another file.
const SEQUENCES: [(&str, &str); 57] = [
    (
        "new file, closed, renamed over",
        "create new; write new 0 100 n; close new; rename new old; commit",
    ),
    ("new file, renamed over, left open", "create new; write new 0 100 n; rename new old; commit"),
    (
        "new file, renamed to a new name",
        "create new; write new 0 100 n; close new; rename new fresh; commit",
    ),
    ("new file", "create new; write new 0 100 n; close new; commit"),
    ("new file, no commit", "create new; write new 0 100 n; close new"),
    ("new empty file, no commit", "create new"),
    ("truncate, write, left open", "truncate old 0; write old 0 100 n; commit"),
    ("truncate, write, close", "truncate old 0; write old 0 100 n; close old; commit"),
    ("truncate, write, close, no commit", "truncate old 0; write old 0 100 n; close old"),
    ("truncate to the middle, grow again", "truncate old 1000; write old 1000 500 n; commit"),
    (
        "truncate an empty file, write, close",
        "create new; commit; truncate new 0; write new 0 100 n; close new; commit",
    ),
    ("append", "write log 3000 3000 a; commit"),
    ("append, sync_file_range", "write log 3000 3000 a; sync-file-range log"),
    ("append, sync_file_range, commit", "write log 3000 3000 a; sync-file-range log; commit"),
    ("overwrite in place", "write db 0 4096 w; commit"),
    ("overwrite in place, sync_file_range", "write db 0 4096 w; sync-file-range db"),
    ("punch a hole", "zero db 0 4096; commit"),
    ("fsync of a new file, not of its directory", "create new; write new 0 100 n; fsync new"),
    (
        "fsync of a new file in a new directory",
        "mkdir d; create d/new; write d/new 0 100 n; fsync d/new",
    ),
    (
        "fsync of a file after another was renamed",
        "rename old older; create new; write new 0 100 n; fsync new",
    ),
    ("fsync of a clean file after a rename", "rename old older; fsync log"),
    (
        "fsync after an overwrite in place after a rename",
        "rename old older; write db 0 4096 w; fsync db",
    ),
    (
        "fdatasync after an overwrite in place after a rename",
        "rename old older; write db 0 4096 w; fdatasync db",
    ),
    (
        "fdatasync after an append after a rename",
        "rename old older; write log 3000 100 a; fdatasync log",
    ),
    (
        "fdatasync of the renamed file after an overwrite",
        "rename db data; write data 0 4096 w; fdatasync data",
    ),
    ("fsync of the renamed file, clean", "rename db data; fsync data"),
    ("fdatasync of the renamed file, clean", "rename db data; fdatasync data"),
    ("two renames, fsync of the second file", "rename old older; rename log logger; fsync logger"),
    ("two renames, fsync of the first file", "rename old older; rename log logger; fsync older"),
    ("rename, fsync of the directory", "rename old older; fsync ."),
    ("create, fdatasync of the directory", "create new; write new 0 10 n; fdatasync ."),
    ("unlink, fdatasync of the directory", "unlink old; fdatasync ."),
    ("new directory, fsync of it only", "mkdir d; fsync d"),
    (
        "rename between directories, fsync of the new one",
        "mkdir a; mkdir b; create a/x; syncfs; rename a/x b/y; fsync b",
    ),
    (
        "rename between directories, fsync of the old one",
        "mkdir a; mkdir b; create a/x; syncfs; rename a/x b/y; fsync a",
    ),
    ("chmod, fsync of a new file", "chmod old 600; create new; fsync new"),
    ("truncate, fsync of a new file", "truncate old 10; create new; fsync new"),
    (
        "rename, append to another, no commit",
        "rename old older; write log 3000 3000 a; sync-file-range log",
    ),
    (
        "fsync of a new file, rename, fsync of another",
        "create new; write new 0 9 n; fsync new; rename new old; create g; fsync g",
    ),
    (
        "fsync of a new file, commit, rename, fsync of another",
        "create new; write new 0 9 n; fsync new; commit; rename new old; create g; fsync g",
    ),
    (
        "rename, commit, rename, fsync of the first",
        "rename old older; commit; rename log logger; fsync older",
    ),
    (
        "rename, fsync of a renamed new file",
        "rename old older; create new; write new 0 9 n; fsync new; rename new log; fsync log",
    ),
    (
        "rename between directories, fsync of the file",
        "mkdir a; mkdir b; create a/x; syncfs; rename a/x b/y; fsync b/y",
    ),
    ("unlink, fsync of another renamed file", "unlink old; rename db data; fsync data"),
    (
        "rename over by a file of three blocks",
        "create new; write new 0 12288 n; close new; rename new old; commit",
    ),
    (
        "truncate, write three blocks, close",
        "truncate old 0; write old 0 12288 n; close old; commit",
    ),
    ("link, fsync of another new file", "link old older; create new; fsync new"),
    ("link, fsync of the linked file", "link old older; fsync old"),
    ("new file over the old name of a renamed one", "rename old older; create old; fsync old"),
    (
        "rename, new file, renamed, fsync of it",
        "rename old older; create new; write new 0 9 n; rename new log; fsync log",
    ),
    ("exchange, fsync of one", "exchange old db; fsync db"),
    ("replaced, fsync of the directory", "rename old db; write log 3000 9 a; fsync ."),
    ("rename, commit, O_DSYNC overwrite", "rename old older; dsync-write db 0 4096 w"),
    ("rename, fdatasync of the directory", "rename old older; fdatasync ."),
    ("unlink", "unlink old"),
    ("unlink, fsync of another new file", "unlink old; create new; fsync new"),
    ("O_DSYNC write of a new file", "rename old older; create new; dsync-write new 0 100 n"),
];

/// Says something that the test runner does not keep to itself.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn profile_test(profile: Profile) {
    let result = std::thread::spawn(move || run(profile)).join();
    match result {
        Ok(Ok(())) => {}
        Ok(Err(Missing(reason))) => say(&format!("skipped: {profile}: {reason}")),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn run(profile: Profile) -> Result<(), Missing> {
    let place = own_mounts()?;
    let fresh = Image::make(profile)?;
    let mut unexplained = Vec::new();
    for (name, steps) in SEQUENCES {
        let found = observe(&fresh, &place, steps)?;
        let states = script::all_states(SETUP, steps, profile);
        let mut models: Vec<String> = states
            .iter()
            .filter(|built| built.image.digest() == found.digest())
            .map(|built| built.name.model.name().to_owned())
            .collect();
        models.sort();
        models.dedup();
        eprintln!("{profile} | {name} | {} | {}", script::show(&found), models.join(" "));
        if models.is_empty() {
            unexplained
                .push(format!("{profile}: {name}: {steps}\n    found {}", script::show(&found)));
        }
    }
    assert!(unexplained.is_empty(), "no model builds what was found:\n{}", unexplained.join("\n"));
    Ok(())
}

/// Runs a sequence, cuts the power, and reads what is there afterwards.
fn observe(
    fresh: &Image,
    place: &std::path::Path,
    steps: &str,
) -> Result<killpoint_engine::image::Image, Missing> {
    const WHY: &str = "what worked on a fresh disk works again";
    let disk = fresh.copy().expect(WHY).mount(&place.join("before"))?;
    let mut performer = perform::Performer::new(disk.at(), fresh.profile());
    performer.run(SETUP);
    performer.settle();
    performer.run(steps);
    disk.cut_power().expect(WHY);
    drop(performer);
    let image = disk.take_out().copy().expect(WHY);
    let disk = image.mount(&place.join("after")).expect("a disk can be mounted after a power cut");
    let found = perform::scan(disk.at());
    disk.take_out();
    Ok(found)
}

#[test]
fn what_ext4_keeps_is_what_its_models_build() {
    profile_test(Profile::Ext4);
}

#[test]
fn what_xfs_keeps_is_what_its_models_build() {
    profile_test(Profile::Xfs);
}

#[test]
fn what_btrfs_keeps_is_what_its_models_build() {
    profile_test(Profile::Btrfs);
}
