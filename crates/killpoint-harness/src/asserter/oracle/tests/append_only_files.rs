//! Files that only ever grew.

use super::world::{MemoryState, World, letter};
use crate::asserter::oracle::{Crash, Kind};

#[test]
fn a_log_holds_with_a_torn_tail() {
    for (name, old) in [("app.log", "one\n"), ("journal.bin", "one\n"), ("app.log", "")] {
        let mut world = World::with(&[(name, old)]);
        world.append(name, "two").append(name, "\n").append(name, "three\n");
        assert_eq!(world.learn().subjects().next().map(|it| it.1), Some(Kind::AppendOnly));
        assert_eq!(world.kills(), "....");
    }
}

#[test]
fn a_log_loses_nothing_that_was_there_or_acknowledged() {
    let mut world = World::with(&[("app.log", "one\n")]);
    world.append("app.log", "two\n").close("app.log").acknowledge().append("app.log", "three\n");
    let oracle = world.learn();
    for (contents, at_first, at_end) in [
        ("one\ntwo\nthree\n", '.', '.'),
        ("one\ntwo\nth", '.', '.'),
        ("one\ntwo\n", '.', '.'),
        ("one\ntw", '.', 'L'),
        ("one\n", '.', 'L'),
        ("on", 'L', 'L'),
        ("", 'L', 'L'),
        ("0ne\ntwo\nthree\n", 'T', 'T'),
        ("one\ntwo\nfour", 'W', 'W'),
    ] {
        let state = MemoryState::of(&[("app.log", contents.as_bytes())]);
        assert_eq!(letter(&oracle.judge(&state, &Crash::kill(1))), at_first, "{contents:?}");
        assert_eq!(letter(&oracle.judge(&state, &Crash::kill(2))), at_end, "{contents:?}");
    }
}

#[test]
fn what_only_grew_keeps_the_length_that_it_had_at_an_acknowledgement() {
    let mut log = World::with(&[("app.log", "one\n")]);
    log.append("app.log", "two\n").acknowledge().append("app.log", "three\n");
    let mut new = World::with(&[]);
    new.create("kv").append("kv", "one\n").append("kv", "two\n").acknowledge();
    new.append("kv", "three\n");
    for (world, name, at) in [(&log, "app.log", 1), (&new, "kv", 3)] {
        let oracle = world.learn();
        for (contents, letter_at_end) in [
            (Some("one\ntwo\nthree\n"), '.'),
            (Some("one\ntwo\n"), if name == "kv" { '?' } else { '.' }),
            (Some("one\ntw"), 'L'),
            (Some("one\n"), 'L'),
            (Some(""), 'L'),
            (None, 'L'),
        ] {
            let file = contents.map(|contents| (name, contents.as_bytes()));
            let state = MemoryState::of(file.as_slice());
            let judged = oracle.judge(&state, &Crash::kill(at + 1));
            assert_eq!(letter(&judged), letter_at_end, "{name}: {contents:?}");
        }
        // At the entry of the write nothing was acknowledged.
        assert!(!world.kills().contains('L'), "{name}: {}", world.kills());
    }
}

#[test]
fn what_was_acknowledged_in_a_file_that_is_then_begun_anew_is_not_missed_there() {
    let mut rotated = World::with(&[("app.log", "one\n")]);
    rotated.append("app.log", "two\n").acknowledge().rename("app.log", "app.log.1");
    rotated.create("app.log").append("app.log", "three\n");
    let mut emptied = World::with(&[("log", "")]);
    emptied.append("log", "one\n").acknowledge().resize("log", 0).append("log", "two\n");
    let mut replaced = World::with(&[("log", "one\n")]);
    replaced.append("log", "two\n").acknowledge().replace("log", "2", "\n");
    for world in [rotated, emptied, replaced] {
        assert!(!world.kills().contains(['L', 'T', 'W']), "{}", world.kills());
    }
}

#[test]
fn a_log_that_is_written_anew_and_renamed_into_place_is_a_log() {
    for (name, one, two) in [("a.jsonl", "{\"a\":1}\n", "{\"b\":"), ("a.log", "one\n", "tw")] {
        let mut world = World::with(&[(name, one)]);
        world.append(name, one).append(name, one).replace(name, one, "");
        world.append(name, two).append(name, "2}\n");
        assert!(!world.kills().contains(['L', 'T', 'W', '?']), "{name}: {}", world.kills());
    }
}

#[test]
fn what_is_put_in_place_and_then_only_grows_is_a_log() {
    let mut world = World::with(&[("store.db", "a=1\nb=2\na=3\n")]);
    world.replace("store.db", "b=2\n", "a=3\n");
    for line in ["c=4\n", "d=5\n", "e=6\n"] {
        world.append("store.db", line).acknowledge();
    }
    assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
    let oracle = world.learn();
    let state = MemoryState::of(&[("store.db", b"b=2\na=3\nc=4\n".as_slice())]);
    assert_eq!(letter(&oracle.judge(&state, &Crash::kill(world.end()))), 'L');
}

#[test]
fn nobody_is_promised_a_process_id() {
    let mut world = World::with(&[]);
    world.create("app.pid").append("app.pid", "4711\n").acknowledge();
    world.create("data").append("data", "1").acknowledge();
    let oracle = world.learn();
    let judge = |files: &[(&str, &[u8])]| {
        letter(&oracle.judge(&MemoryState::of(files), &Crash::kill(world.end())))
    };
    assert_eq!(judge(&[("data", b"1")]), '.', "without the process id");
    assert_eq!(judge(&[("app.pid", b"4711\n")]), 'L', "without the data");
}

#[test]
fn a_log_that_was_cut_once_keeps_what_it_grew_since() {
    for name in ["a.log", "events.json", "data.bin"] {
        let mut world = World::with(&[(name, "{\"k\":0}\n{\"k")]);
        world.resize(name, 8).append(name, "{\"k\":1}\n").acknowledge();
        world.append(name, "{\"k\":2}\n");
        let oracle = world.learn();
        let state = MemoryState::of(&[(name, b"{\"k\":0}\n".as_slice())]);
        let judged = oracle.judge(&state, &Crash::kill(world.end()));
        assert_eq!(letter(&judged), 'L', "{name}: {judged:?}");
    }
}

#[test]
fn json_lines_that_grow_are_a_log() {
    let mut world = World::with(&[("a.jsonl", "{\"a\":1}\n")]);
    world.append("a.jsonl", "{\"b\":").append("a.jsonl", "2}\n");
    assert_eq!(world.kills(), "...");
}

#[test]
fn a_rotated_log_holds() {
    let mut world = World::with(&[("app.log", "one\n")]);
    world.append("app.log", "two\n").rename("app.log", "app.log.1");
    world.create("app.log").append("app.log", "thr").append("app.log", "ee\n");
    assert_eq!(world.kills(), "......");
}

#[test]
fn a_file_written_once_from_its_start_is_no_log() {
    let mut world = World::with(&[]);
    world.create("image.png").append("image.png", "\u{1}half").append("image.png", "half");
    assert_eq!(world.kills(), ".??.");
}

#[test]
fn a_document_that_grows_holds_while_it_can_be_read() {
    let mut world = World::with(&[("a.ini", "[a]\nb=1\n")]);
    world.append("a.ini", "[c]\n").append("a.ini", "d").append("a.ini", "=2\n");
    assert_eq!(world.kills(), "..T.");
}

#[test]
fn an_emptied_log_is_lost_until_it_is_written_again() {
    let mut world = World::with(&[("notes", "one\n")]);
    world.resize("notes", 0).append("notes", "two").append("notes", "\n");
    assert_eq!(world.kills(), ".L?.");
}

#[test]
fn a_new_log_that_is_still_empty_has_lost_nothing() {
    let lines = |name: &str, acknowledged: bool| {
        let mut world = World::with(&[]);
        world.create(name);
        for line in ["one\n", "two\n", "three\n"] {
            world.append(name, line).sync(name);
            if acknowledged {
                world.acknowledge();
            }
        }
        world
    };
    assert_eq!(lines("log", false).kills(), "........");
    let acknowledged = lines("log", true);
    assert_eq!(acknowledged.kills(), "........");
    let empty = MemoryState::of(&[("log", b"")]);
    let judged = acknowledged.learn().judge(&empty, &Crash::kill(acknowledged.end()));
    assert_eq!(letter(&judged), 'L');
    // What was written once may be an image: empty it is none.
    let mut once = World::with(&[]);
    once.create("image").append("image", "all of it").sync("image");
    assert_eq!(once.kills(), ".?..");
}

#[test]
fn a_log_with_one_record_at_the_beginning_and_at_the_end_is_no_document() {
    let (one, two) = ("{\"e\":1}\n", "{\"e\":2}\n");
    for name in ["wal.log", "queue"] {
        // Emptied once its records were applied.
        let mut emptied = World::with(&[(name, one)]);
        emptied.append(name, two).sync(name).append(name, two).sync(name);
        emptied.resize(name, 0).sync(name);
        // Rotated, unsynced.
        let mut rotated = World::with(&[(name, one)]);
        rotated.append(name, two).rename(name, "old.1").create(name).append(name, one);
        // Compacted.
        let mut compacted = World::with(&[(name, one)]);
        compacted.append(name, two).sync(name).replace(name, two, "").replace(name, "", "");
        for world in [emptied, rotated, compacted] {
            assert!(!world.kills().contains(['L', 'T', 'W']), "{name}: {}", world.kills());
        }
    }
    // One that is rewritten as a whole never holds two.
    let mut document = World::with(&[("state", one)]);
    document.overwrite("state", "{\"e\":", "2}\n").sync("state").replace("state", two, "");
    assert_eq!(document.kills(), ".LT.......");
}

#[test]
fn json_lines_that_are_emptied_at_times_are_a_log_while_they_grow() {
    let (one, two) = ("{\"e\":1}\n", "{\"e\":2}\n");
    let mut world = World::with(&[("a.jsonl", one)]);
    world.append("a.jsonl", two).append("a.jsonl", two).append("a.jsonl", two).sync("a.jsonl");
    world.resize("a.jsonl", 0).sync("a.jsonl").append("a.jsonl", one).sync("a.jsonl");
    assert_eq!(world.kills(), ".....??..");
    let oracle = world.learn();
    for (contents, at_kill, at_power_loss) in [
        ("{\"e\":1}\n{\"e\":2}\n{\"e", '.', '.'),
        ("{\"e\":1}\n\0\0\0\0", 'T', '.'),
        ("{\"e\":1}\n{\"f", 'T', 'T'),
        ("{\"e\":0}\n{\"e\":2}\n", '?', '?'),
        ("{\"e\":", '?', '?'),
        ("\0\0\0", 'L', '?'),
    ] {
        let state = MemoryState::of(&[("a.jsonl", contents.as_bytes())]);
        assert_eq!(letter(&oracle.judge(&state, &Crash::kill(5))), at_kill, "{contents:?}");
        let crash = Crash::power_loss(5);
        assert_eq!(letter(&oracle.judge(&state, &crash)), at_power_loss, "{contents:?}");
    }
}

#[test]
fn json_lines_that_are_emptied_at_times_keep_what_was_acknowledged() {
    let (one, two) = ("{\"e\":1}\n", "{\"e\":2}\n");
    let mut world = World::with(&[("a.jsonl", one)]);
    world.append("a.jsonl", two).acknowledge().append("a.jsonl", two).resize("a.jsonl", 0);
    let oracle = world.learn();
    for (contents, expect) in [
        ("{\"e\":1}\n{\"e\":2}\n", '.'),
        ("{\"e\":1}\n{\"e\":2}\n{\"e", '.'),
        ("{\"e\":1}\n{\"e\":", 'T'),
    ] {
        let state = MemoryState::of(&[("a.jsonl", contents.as_bytes())]);
        assert_eq!(letter(&oracle.judge(&state, &Crash::kill(3))), expect, "{contents:?}");
    }
}

#[test]
fn json_lines_that_are_rewritten_as_a_whole_are_no_log_meanwhile() {
    let (one, two) = ("{\"e\":1}\n", "{\"e\":2}\n");
    let mut world = World::with(&[("a.jsonl", one)]);
    world.append("a.jsonl", two).sync("a.jsonl").overwrite("a.jsonl", two, one).sync("a.jsonl");
    assert_eq!(world.kills(), "...LT..");
}
