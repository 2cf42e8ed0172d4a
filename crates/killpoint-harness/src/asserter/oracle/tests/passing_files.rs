//! Files that are made and removed in one run, and that stood when something was acknowledged.

use super::world::{MemoryState, World, letter};
use crate::asserter::oracle::{Crash, Kind};

const TABLE: &str = "{\"z\":\"old\"}";

/// A log that is made in this run and holds two values that were acknowledged.
fn logged(synced: bool) -> World {
    let mut world = World::with(&[("table.json", TABLE)]);
    world.create("1.wal");
    for line in ["a=first\n", "b=second\n"] {
        world.append("1.wal", line);
        if synced {
            world.sync("1.wal");
        }
        world.acknowledge();
    }
    world
}

/// What it holds goes to the table, and it is removed.
fn checkpoint(world: &mut World) {
    world.replace("table.json", "{\"a\":\"first\",", "\"b\":\"second\"}").unlink("1.wal");
}

#[test]
fn a_log_that_is_removed_once_it_is_applied_holds() {
    for synced in [false, true] {
        let mut world = logged(synced);
        checkpoint(&mut world);
        assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
        // Again, and emptied in between.
        let mut again = logged(synced);
        checkpoint(&mut again);
        again.create("1.wal").append("1.wal", "c=third\n").acknowledge().unlink("1.wal");
        let mut emptied = logged(synced);
        emptied.replace("table.json", "{\"a\":\"first\"}", "").resize("1.wal", 0);
        emptied.append("1.wal", "c=third\n").acknowledge().unlink("1.wal");
        for world in [again, emptied] {
            assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
        }
    }
}

#[test]
fn what_was_acknowledged_in_a_file_that_is_rewritten_is_not_known_to_be_safe_meanwhile() {
    for (first, second) in [("a=first\nb=se", "cond\n"), ("b=second\n", "c=third\n")] {
        let mut world = logged(true);
        world.overwrite("1.wal", first, second).sync("1.wal").acknowledge();
        checkpoint(&mut world);
        let kills = world.kills();
        assert!(kills.starts_with("......??"), "{first:?}: {kills}");
        assert!(!kills[8..].contains(|it| it != '.'), "{first:?}: {kills}");
    }
    // What it held stands in another file.
    let mut copied = logged(true);
    copied.overwrite("1.wal", "b=second\n", "").sync("1.wal").acknowledge();
    checkpoint(&mut copied);
    let oracle = copied.learn();
    for (copy, expect) in [("x\na=first\nb=second\n", '.'), ("x\na=first\n", '?')] {
        let files: [(&str, &[u8]); 3] =
            [("1.wal", b""), ("copy", copy.as_bytes()), ("table.json", TABLE.as_bytes())];
        let judged = oracle.judge(&MemoryState::of(&files), &Crash::kill(7));
        assert_eq!(letter(&judged), expect, "{copy:?}");
    }
}

#[test]
fn what_was_queued_in_a_document_that_is_written_over_is_not_known_to_be_safe_meanwhile() {
    let (queued, tried) = ("{\"m\":\"body\"}", "{\"m\":\"body\",\"tries\":1}");
    let mut world = World::with(&[("other", "1")]);
    world.create("m0.json").append("m0.json", queued).sync("m0.json").acknowledge();
    world.overwrite("m0.json", &tried[..5], &tried[5..]).sync("m0.json").unlink("m0.json");
    assert_eq!(world.kills(), "....??...");
    assert!(
        world
            .learn()
            .subjects()
            .any(|(path, kind)| { path.ends_with("m0.json") && matches!(kind, Kind::Document(_)) })
    );
    let mut text = World::with(&[("other", "1")]);
    text.create("m0").append("m0", "body header\n").sync("m0").acknowledge();
    text.overwrite("m0", "body header", " tries=1\n").sync("m0").unlink("m0");
    assert_eq!(text.kills(), "....??...");
}

#[test]
fn what_was_acknowledged_in_a_file_is_missed_before_the_program_removes_it() {
    let mut world = logged(true);
    checkpoint(&mut world);
    let oracle = world.learn();
    for (contents, expect) in [
        (Some("a=first\nb=second\n"), '.'),
        (Some("a=first\nb=second\nc="), '.'),
        (Some("a=first\nb="), '?'),
        (Some(""), '?'),
        (None, '?'),
    ] {
        let wal = contents.map(|contents| ("1.wal", contents.as_bytes()));
        let files: Vec<_> = wal.into_iter().chain([("table.json", TABLE.as_bytes())]).collect();
        let judged = oracle.judge(&MemoryState::of(&files), &Crash::kill(6));
        assert_eq!(letter(&judged), expect, "{contents:?}");
    }
}

#[test]
fn temporary_files_are_not_judged_though_something_is_acknowledged_meanwhile() {
    for name in ["table.json.tmp", "x.tmp", "lock", "a.cache", "a~"] {
        let mut world = World::with(&[("table.json", TABLE), ("log", "one\n")]);
        world.create(name).append(name, "half").append("log", "two\n").acknowledge();
        world.overwrite(name, "half", " and whole").unlink(name);
        assert!(!world.kills().contains(|it| it != '.'), "{name}: {}", world.kills());
    }
    // Nothing is acknowledged while it stands.
    let mut world = World::with(&[("log", "one\n")]);
    world.create("m0").append("m0", "one").overwrite("m0", "on", "e").unlink("m0").acknowledge();
    assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
}
