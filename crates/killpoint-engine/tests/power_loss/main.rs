//! The states of the power-loss models: by hand for each model and profile, and by definition, slowly,
//! for random histories.

mod definition;
#[path = "../script/mod.rs"]
mod script;

use killpoint_model::{CrashModel, Profile};
use script::{all_states, show};
use std::collections::BTreeSet;

/// What the states of a model at the end of a script look like, each once, in order.
fn states_at_end(setup: &str, steps: &str, profile: Profile, model: CrashModel) -> Vec<String> {
    let states = all_states(setup, steps, profile);
    let end = states.last().expect("there is an end").name.point;
    let shown: BTreeSet<String> = states
        .iter()
        .filter(|built| built.name.point == end && built.name.model == model)
        .map(|built| show(&built.image))
        .collect();
    shown.into_iter().collect()
}

#[track_caller]
fn check(profiles: &[Profile], model: CrashModel, setup: &str, steps: &str, expect: &[&str]) {
    let expect: Vec<&str> = BTreeSet::from_iter(expect.iter().copied()).into_iter().collect();
    for profile in profiles {
        let found = states_at_end(setup, steps, *profile, model);
        assert_eq!(found, expect, "{profile} {model}: {steps}");
    }
}

const ALL: &[Profile] = &Profile::ALL;
const STRICT: &[Profile] = &[Profile::Strict];
const EXT4: &[Profile] = &[Profile::Ext4];
const XFS: &[Profile] = &[Profile::Xfs];
const BTRFS: &[Profile] = &[Profile::Btrfs];
const JOURNALS: &[Profile] = &[Profile::Ext4, Profile::Xfs];

#[test]
fn prefix_ends_at_the_last_barrier() {
    let model = CrashModel::Prefix;
    check(ALL, model, "create f", "write f 0 3 a", &["f=empty"]);
    check(ALL, model, "create f", "write f 0 3 a; fsync f; write f 3 3 b", &["f=3a"]);
    check(ALL, model, "create f", "write f 0 3 a; syncfs; create g", &["f=3a"]);
    check(ALL, model, "create f", "write f 0 3 a; dsync-write f 3 3 b; create g", &["f=3a+3b"]);
    check(ALL, model, "create f", "write f 0 3 a; failed-fsync f", &["f=empty"]);
    check(ALL, model, "create f", "write f 0 3 a; sync-file-range f", &["f=empty"]);
}

#[test]
fn data_leaves_only_what_was_synced() {
    let model = CrashModel::Data;
    check(ALL, model, "", "create f; write f 0 3000 a", &["f=empty"]);
    check(ALL, model, "create f; write f 0 3 o", "write f 3 3000 a", &["f=3o"]);
    check(ALL, model, "create f; write f 0 6 o", "write f 0 3 a", &["f=6o"]);
    check(ALL, model, "", "create f; write f 0 3000 a; fsync f; write f 3000 9 b", &["f=3000a"]);
    check(ALL, model, "", "create f; write f 0 3000 a; failed-fsync f", &["f=empty"]);
    check(ALL, model, "", "create f; write f 0 3000 a; sync-file-range f", &["f=empty"]);
    check(ALL, model, "", "create f; write f 0 3000 a; syncfs", &["f=3000a"]);
    check(ALL, model, "", "create f; write f 0 3000 a; rename f g", &["g=empty"]);
}

#[test]
fn data_never_brings_back_what_was_cut_off() {
    let model = CrashModel::Data;
    let old = "create f; write f 0 6000 o";
    check(ALL, model, old, "truncate f 10; write f 10 3000 n", &["f=10o"]);
    check(
        &[Profile::Strict, Profile::Xfs],
        model,
        old,
        "truncate f 0; write f 0 9 n",
        &["f=empty"],
    );
    check(ALL, model, old, "zero f 0 4096; write f 0 10 n", &["f=4096.+1904o"]);
    check(ALL, model, old, "replace f 4000 n", &["f=4000o"]);
}

#[test]
fn a_file_that_replaces_another_is_flushed_where_the_file_system_does_that() {
    let old = "create old; write old 0 6000 o";
    let renamed = "create f; write f 0 3000 n; rename f old";
    let emptied = "truncate old 0; write old 0 3000 n";
    for steps in [renamed, emptied] {
        check(EXT4, CrashModel::Data, old, steps, &["old=3000n"]);
        check(EXT4, CrashModel::Size, old, steps, &["old=3000."]);
        check(EXT4, CrashModel::FileLost, old, steps, &["old=3000."]);
        check(XFS, CrashModel::Data, old, steps, &["old=empty"]);
        check(BTRFS, CrashModel::Data, old, steps, &["old=empty"]);
    }
    let small = "create f; write f 0 30 n; rename f old";
    check(BTRFS, CrashModel::Data, old, small, &["old=30n"]);
    check(BTRFS, CrashModel::FileLost, old, small, &[]);
    check(BTRFS, CrashModel::OneLost, old, small, &[]);
    let grown = "create f; write f 0 3000 n; rename f old; write old 3000 9 m";
    check(EXT4, CrashModel::Data, old, grown, &["old=3000n"]);
}

#[test]
fn size_leaves_zeros_only_where_the_file_system_notes_a_size_before_the_data() {
    let model = CrashModel::Size;
    let log = "create log; write log 0 8192 o";
    let two = "write log 8192 4096 a; write log 12288 4096 b";
    check(&[Profile::Strict, Profile::Ext4], model, log, two, &["log=8192o+8192."]);
    check(&[Profile::Xfs, Profile::Btrfs], model, log, two, &["log=8192o+4096.+4096b"]);
    check(XFS, model, log, "write log 8192 4096 a", &["log=8192o+4096a"]);
    check(ALL, model, log, "write log 0 4096 a", &["log=8192o"]);
    check(ALL, model, log, "truncate log 9000; write log 8192 10 a", &["log=8192o+808."]);
}

#[test]
fn file_lost_takes_one_file_and_leaves_the_others() {
    let model = CrashModel::FileLost;
    let setup = "create wal; create db; write db 0 8192 o";
    let steps = "write wal 0 3000 w; write db 0 4096 n";
    check(ALL, model, setup, steps, &["db=4096n+4096o wal=empty", "db=8192o wal=3000w"]);
    check(ALL, model, setup, "write db 0 9 n; fdatasync db", &[]);
}

#[test]
fn one_lost_takes_whole_blocks() {
    let model = CrashModel::OneLost;
    let setup = "create db; write db 0 12288 o";
    let steps = "write db 0 4096 a; write db 4096 100 b; write db 4196 100 c";
    let whole = "db=4096a+8192o";
    let first = "db=4096o+100b+100c+7992o";
    check(ALL, model, setup, steps, &[whole, first]);
    let holes = "write db 20480 4096 a; write db 24576 4096 b";
    let hole = "db=12288o+12288.+4096b";
    check(EXT4, model, setup, holes, &["db=12288o+8192.+4096a+4096.", hole]);
    check(BTRFS, model, setup, holes, &["db=12288o+8192.+4096a+4096.", hole]);
    check(XFS, model, setup, holes, &["db=12288o+8192.+4096a", hole]);
    check(&[Profile::Xfs, Profile::Btrfs], model, setup, "write db 12288 10 a", &["db=12288o"]);
    // The part of a write that was cut off takes nothing along that came after it.
    let cut = "write db 0 12288 a; truncate db 100; write db 4096 4096 b";
    let first = "db=100o+3996.+4096b";
    check(&[Profile::Ext4, Profile::Btrfs], model, setup, cut, &["db=100a+8092.", first]);
    check(XFS, model, setup, cut, &["db=100a", first]);
}

#[test]
fn a_write_tears_at_sectors_only_in_place_on_ext4_and_xfs() {
    let model = CrashModel::TornBlock;
    let setup = "create db; write db 0 8192 o";
    let sectors = ["db=2048a+6144o", "db=3584a+4608o", "db=512a+7680o"];
    check(JOURNALS, model, setup, "write db 0 4096 a", &sectors);
    check(&[Profile::Strict, Profile::Btrfs], model, setup, "write db 0 4096 a", &[]);
    check(ALL, model, "", "create f; write f 0 4096 a", &[]);
    check(ALL, model, setup, "zero db 0 4096; write db 0 4096 a", &[]);
    let two = "create f; write f 0 8192 a";
    check(&[Profile::Strict, Profile::Ext4, Profile::Btrfs], model, "", two, &["f=4096a+4096."]);
    check(XFS, model, "", two, &["f=4096a"]);
    check(ALL, model, setup, "write db 0 4096 a; fdatasync db", &[]);
}

#[test]
fn ranges_of_msync_and_writes_through_o_dsync_are_synced_by_blocks() {
    let model = CrashModel::Data;
    let setup = "create db; write db 0 12288 o";
    let steps = "write db 0 8192 a; msync db 4096 4096";
    check(ALL, model, setup, steps, &["db=4096o+4096a+4096o"]);
    let steps = "write db 0 8192 a; dsync-write db 100 10 b";
    check(ALL, model, setup, steps, &["db=100a+10b+3986a+8192o"]);
    check(ALL, model, setup, "dsync-write db 12288 10 b", &["db=12288o+10b"]);
}

#[test]
fn ext4_and_xfs_lose_metadata_from_one_change_on() {
    let model = CrashModel::DirLost;
    let setup = "create a; create b; create c; write c 0 10 o";
    let steps = "rename a x; unlink b; write c 10 5 n; chmod c 600";
    let from_chmod = "c=10o+5n x=empty";
    let from_unlink = "b=empty c=10o x=empty";
    let from_rename = "a=empty b=empty c=10o";
    check(JOURNALS, model, setup, steps, &[from_rename, from_unlink, from_chmod]);
    check(
        JOURNALS,
        model,
        setup,
        "truncate c 3; rename a x",
        &["a=empty b=empty c=10o", "a=empty b=empty c=3o"],
    );
    // Bytes over bytes need no metadata.
    check(JOURNALS, model, setup, "rename a x; write c 0 5 n", &["a=empty b=empty c=5n+5o"]);
}

#[test]
fn ext4_and_xfs_keep_everything_up_to_the_last_change_of_what_was_synced() {
    let model = CrashModel::DirLost;
    let setup = "create a; create b; create c; write c 0 10 o";
    check(JOURNALS, model, setup, "rename a x; create n; fsync n", &[]);
    check(JOURNALS, model, setup, "rename a x; fsync .", &[]);
    check(JOURNALS, model, setup, "rename a x; fdatasync .", &[]);
    check(JOURNALS, model, setup, "rename a x; write c 10 5 n; fdatasync c", &[]);
    check(JOURNALS, model, setup, "rename a x; create n; dsync-write n 0 9 n", &[]);
    check(JOURNALS, model, setup, "rename a x; write c 0 5 n; fsync c", &[]);
    let lost = "a=empty b=empty c=5n+5o";
    check(JOURNALS, model, setup, "rename a x; write c 0 5 n; fdatasync c", &[lost]);
    check(JOURNALS, model, setup, "rename a x; fsync c", &["a=empty b=empty c=10o"]);
    check(EXT4, model, setup, "rename a x; fdatasync x", &["a=empty b=empty c=10o"]);
    check(XFS, model, setup, "rename a x; fdatasync x", &[]);
    check(JOURNALS, model, setup, "rename a x; fsync x; unlink b", &["b=empty c=10o x=empty"]);
}

#[test]
fn btrfs_keeps_the_names_of_what_was_synced_and_loses_the_rest() {
    let model = CrashModel::DirLost;
    let setup = "create a; create b; create c; write c 0 10 o";
    let lost = "a=empty b=empty c=10o n=empty";
    check(BTRFS, model, setup, "rename a x; create n; fsync n", &[lost]);
    check(
        BTRFS,
        model,
        setup,
        "chmod c 600; create n; fsync n",
        &["a=empty b=empty c=10o n=empty"],
    );
    check(BTRFS, model, setup, "truncate c 3; create n; fsync n", &[lost]);
    check(BTRFS, model, setup, "rename a x; rename b y; fsync y", &[]);
    check(BTRFS, model, setup, "rename a x; fsync .", &[]);
    check(BTRFS, model, setup, "unlink a; fsync .", &[]);
    check(BTRFS, model, setup, "mkdir d; create d/n; fsync d/n", &[]);
    check(BTRFS, model, setup, "rename a x; create a; fsync a", &[]);
    let two = "mkdir d; create d/f; mkdir e";
    check(BTRFS, model, two, "rename d/f e/g; fsync e", &["d/ d/f=empty e/ e/g=empty"]);
    // Nothing is written in place: what follows the lost change is lost, too.
    check(BTRFS, model, setup, "rename a x; write c 0 5 n", &["a=empty b=empty c=10o"]);
    check(BTRFS, model, setup, "rename a x; write c 0 5 n; fsync c", &["a=empty b=empty c=5n+5o"]);
}

#[test]
fn strict_loses_any_name_that_nothing_builds_on() {
    let model = CrashModel::DirLost;
    let setup = "create a; create b; mkdir d; mkdir e";
    let both = ["a=empty d/ e/ y=empty", "b=empty d/ e/ x=empty"];
    check(STRICT, model, setup, "rename a x; rename b y", &both);
    check(STRICT, model, setup, "rename a x; rename x y", &["b=empty d/ e/ x=empty"]);
    check(STRICT, model, setup, "rename a x; fsync x", &["a=empty b=empty d/ e/"]);
    check(STRICT, model, setup, "rename a x; fsync .", &[]);
    check(STRICT, model, setup, "create n; fsync n", &[]);
    check(STRICT, model, setup, "temporary t; write t 0 3 t; name-temporary t n; fsync n", &[]);
    check(STRICT, model, setup, "mkdir q; create q/n; fsync q/n", &[]);
    check(STRICT, model, setup, "rename a x; create a; fsync a", &[]);
    check(STRICT, model, setup, "rename a d/x; fsync d; fsync .", &[]);
    check(STRICT, model, setup, "rename a d/x; fsync d", &["a=empty b=empty d/ d/x=empty e/"]);
}

#[test]
fn strict_keeps_of_a_move_between_directories_what_was_synced_of_each() {
    let model = CrashModel::DirLost;
    let setup = "mkdir i; mkdir o; create i/k";
    let moved = "rename i/k o/k";
    check(STRICT, model, setup, moved, &["i/ i/k=empty o/"]);
    // The old name is gone for certain, the new one is not there for certain.
    check(STRICT, model, setup, &format!("{moved}; fsync i"), &["i/ o/"]);
    check(STRICT, model, setup, &format!("{moved}; fsync o/k; fsync i"), &["i/ o/"]);
    check(STRICT, model, setup, &format!("{moved}; fsync i; fsync o"), &[]);
    check(STRICT, model, setup, &format!("{moved}; fsync o"), &["i/ i/k=empty o/ o/k=empty"]);
    check(STRICT, model, setup, &format!("{moved}; fsync o; fsync i"), &[]);
    check(STRICT, model, setup, &format!("{moved}; syncfs"), &[]);
    let over = "mkdir i; mkdir o; create i/k; write i/k 0 3 n; create o/k; write o/k 0 3 o";
    check(STRICT, model, over, &format!("{moved}; fsync i"), &["i/ o/ o/k=3o"]);

    let two = "mkdir i; mkdir o; create i/a; write i/a 0 1 a; create o/b; write o/b 0 1 b";
    let exchanged = "exchange i/a o/b; fsync i";
    check(STRICT, model, two, exchanged, &["i/ i/a=1b o/ o/b=1b"]);
    check(STRICT, model, two, &format!("{exchanged}; fsync o"), &[]);

    check(STRICT, model, setup, "link i/k o/k; fsync i", &["i/ i/k=empty o/"]);
    check(STRICT, model, setup, "link i/k o/k; fsync o", &[]);
    check(STRICT, model, setup, "link i/k o/k; unlink i/k; fsync i", &["i/ o/"]);
}

#[test]
fn no_directory_has_two_names() {
    let model = CrashModel::DirLost;
    let setup = "mkdir i; mkdir o; mkdir i/d; create i/d/k";
    let moved = "rename i/d o/d";
    check(STRICT, model, setup, moved, &["i/ i/d/ i/d/k=empty o/"]);
    check(STRICT, model, setup, &format!("{moved}; fsync i"), &["i/ o/"]);
    check(ALL, model, setup, &format!("{moved}; fsync o"), &[]);
    let two = "mkdir i; mkdir o; mkdir i/d; mkdir o/e; create i/d/k";
    check(ALL, model, two, "exchange i/d o/e; fsync i", &[]);
    check(STRICT, model, two, "rename i/d o/e; fsync i", &["i/ o/ o/e/"]);
}

#[test]
fn states_are_named_around_barriers_after_acknowledgements_and_at_the_end() {
    let steps =
        "write f 0 3 a; write f 3 3 b; ack; write f 6 3 c; fsync f; chmod f 600; chmod f 644";
    let points = |model| -> Vec<u64> {
        let states = all_states("create f", steps, Profile::Strict);
        states
            .iter()
            .filter(|built| built.name.model == model)
            .map(|built| built.name.point)
            .collect()
    };
    assert_eq!(points(CrashModel::Size), [3, 4, 5, 7]);
    assert_eq!(points(CrashModel::Data), [1, 2, 3, 4, 5, 6, 7]);
}
