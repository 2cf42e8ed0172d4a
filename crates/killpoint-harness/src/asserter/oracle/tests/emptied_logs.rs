//! Logs that the program empties once their records stand elsewhere.

use super::world::{MemoryState, World, letter};
use crate::asserter::oracle::Crash;

/// A snapshot is put in place.
fn snapshot<'a>(world: &'a mut World, number: &str) -> &'a mut World {
    world.replace("snap.json", "{\"n\":", &format!("{number}}}"))
}

#[test]
fn json_lines_that_are_emptied_after_a_snapshot_hold_record_by_record() {
    for name in ["ops.jsonl", "ops.ndjson"] {
        let mut world = World::with(&[("snap.json", "{}"), (name, "{\"z\":0}\n")]);
        for round in ["1", "2", "3"] {
            for key in ["a", "b", "c"] {
                world.append(name, &format!("{{\"{key}\":")).append(name, &format!("{round}}}\n"));
            }
            snapshot(&mut world, round).resize(name, 0);
        }
        assert!(!world.kills().contains(|it| it != '.'), "{name}: {}", world.kills());
    }
}

#[test]
fn json_lines_keep_what_was_acknowledged_since_they_were_emptied() {
    let (one, two) = ("{\"a\":1}\n", "{\"b\":2}\n");
    let mut world = World::with(&[("snap.json", "{}"), ("ops.jsonl", "{\"z\":0}\n")]);
    snapshot(&mut world, "1").resize("ops.jsonl", 0);
    world.append("ops.jsonl", one).acknowledge().append("ops.jsonl", two);
    let at = world.end();
    snapshot(&mut world, "2").resize("ops.jsonl", 0);
    let oracle = world.learn();
    for (contents, expect) in
        [("{\"a\":1}\n{\"b", '.'), ("{\"a\":1}\n", '.'), ("{\"a\":", 'T'), ("\0", 'L')]
    {
        let files = [("snap.json", b"{\"n\":1}".as_slice()), ("ops.jsonl", contents.as_bytes())];
        let judged = oracle.judge(&MemoryState::of(&files), &Crash::kill(at));
        assert_eq!(letter(&judged), expect, "{contents:?}: {judged:?}");
    }
}

#[test]
fn json_lines_that_begin_with_a_heading_once_they_were_emptied_may_be_empty() {
    let heading = "{\"checkpoint\":1}\n";
    let mut world = World::with(&[("snap.json", "{}"), ("ops.jsonl", "{\"z\":0}\n")]);
    for round in ["1", "2"] {
        for key in ["a", "b"] {
            let record = format!("{{\"{key}\":{round}}}\n");
            world.append("ops.jsonl", &record).sync("ops.jsonl").acknowledge();
        }
        snapshot(&mut world, round).resize("ops.jsonl", 0);
        world.append("ops.jsonl", heading).sync("ops.jsonl");
    }
    assert!(!world.kills().contains(['L', 'T', 'W']), "{}", world.kills());
    // Before the program had emptied it, nothing is known to be empty.
    let files = [("snap.json", b"{}".as_slice()), ("ops.jsonl", b"")];
    let judged = world.learn().judge(&MemoryState::of(&files), &Crash::kill(3));
    assert_eq!(letter(&judged), 'L', "{judged:?}");
}

#[test]
fn json_lines_that_are_only_written_over_are_torn() {
    let (one, two, three) = ("{\"e\":1}\n", "{\"e\":2}\n", "{\"e\":3}\n");
    let mut world = World::with(&[("snap.json", "{}"), ("a.jsonl", &[one, two, three].concat())]);
    snapshot(&mut world, "1").overwrite("a.jsonl", two, three);
    assert!(world.kills().contains("LT"), "{}", world.kills());
    // Nor is a log that is emptied where the program puts no new file in place anywhere.
    let mut careless = World::with(&[("a.jsonl", &[one, two].concat())]);
    careless.overwrite("a.jsonl", three, three);
    assert!(careless.kills().contains("LT"), "{}", careless.kills());
}

#[test]
fn a_log_of_unknown_format_that_is_emptied_after_a_snapshot_holds() {
    let long = "a long record\n".repeat(50);
    for (name, old) in [("journal", ""), ("wal", &*long), ("ops.log", "z 0\n")] {
        let mut world = World::with(&[("snap.json", "{}"), (name, old)]);
        for round in ["1", "2"] {
            for key in ["a", "b", "c"] {
                world.append(name, &format!("{key} {round}\n")).acknowledge();
            }
            snapshot(&mut world, round).resize(name, 0);
        }
        assert!(!world.kills().contains(|it| it != '.'), "{name}: {}", world.kills());
        // What was acknowledged stays until it is emptied.
        let kept = format!("{old}a 1\nb");
        let files = [("snap.json", b"{}".as_slice()), (name, kept.as_bytes())];
        let judged = world.learn().judge(&MemoryState::of(&files), &Crash::kill(3));
        assert_eq!(letter(&judged), 'L', "{name}: {judged:?}");
    }
}

#[test]
fn what_is_also_written_over_in_its_place_is_no_log_that_is_emptied() {
    let mut world = World::with(&[("store", "head one\n")]);
    world.append("store", "two\n").write("store", 0, b"HEAD").resize("store", 0);
    assert_eq!(world.kills(), ".??.");
}

#[test]
fn a_file_that_grows_from_one_acknowledgement_to_the_next_is_a_log() {
    let mut world = World::with(&[("m.csv", "1,a\n2,b\n")]);
    for aside in ["old-1", "old-2"] {
        world.rename("m.csv", aside).create("m.csv");
        for line in ["1,c\n", "2,d\n", "3,e\n"] {
            world.append("m.csv", &format!("{aside}{line}")).acknowledge();
        }
    }
    assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
}

#[test]
fn a_log_that_was_copied_before_it_was_emptied_is_not_lost() {
    let copied = |aside: &str, copy: &[u8]| {
        let mut world = World::with(&[("x.log", "start\n")]);
        world.append("x.log", "new 1\n").create(aside).write(aside, 0, copy);
        world.resize("x.log", 0).append("x.log", "new 2\n");
        world.kills()
    };
    assert_eq!(copied("x.log.1", b"start\nnew 1\n"), "..?.?.");
    assert_eq!(copied("x.log.1.gz", b"\x1f\x8bpacked"), "..?.?.");
    // Not all of it, in no form that could hold it, or called otherwise.
    assert_eq!(copied("x.log.1", b"new 1\n"), "..?.L.");
    assert_eq!(copied("other.gz", b"\x1f\x8bpacked"), "..?.L.");
    // The copy was there before.
    let mut old = World::with(&[("x.log", "start\n")]);
    old.create("x.log.gz").write("x.log.gz", 0, b"\x1f\x8bpacked");
    let mut old = old.begins_here();
    old.append("x.log", "new 1\n").resize("x.log", 0).append("x.log", "new 2\n");
    assert_eq!(old.kills(), "..L.");
}
