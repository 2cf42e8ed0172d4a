//! Files of no known format, and logs, that are removed and made again.

use super::world::{World, letter};
use crate::asserter::oracle::Crash;

const OLD: &str = "milk is out\nbread is needed\n";
const NEW: &str = "milk is out\nbread is needed\nbuy eggs\n";

#[test]
fn what_is_removed_before_its_next_version_is_moved_into_place_is_not_known_to_be_safe() {
    for new in [NEW, "another text altogether"] {
        let mut removed_first = World::with(&[("todo.txt", OLD)]);
        removed_first.unlink("todo.txt").replace("todo.txt", new, "");
        assert_eq!(removed_first.kills(), ".?????.", "{new}");
        let mut written_first = World::with(&[("todo.txt", OLD)]);
        written_first.create("t").append("t", new).unlink("todo.txt").rename("t", "todo.txt");
        assert_eq!(written_first.kills(), "...?.", "{new}");
    }
    // Complete several times before it has taken up what stood there.
    let mut in_steps = World::with(&[("todo.txt", OLD)]);
    in_steps
        .unlink("todo.txt")
        .create("todo.txt")
        .append("todo.txt", "# heading\n")
        .sync("todo.txt");
    in_steps.append("todo.txt", NEW).sync("todo.txt").acknowledge();
    assert_eq!(&in_steps.kills()[..2], ".?");
    let mut aside = World::with(&[("todo.txt", OLD)]);
    aside.rename("todo.txt", "zzz").replace("todo.txt", NEW, "").unlink("zzz");
    assert_eq!(aside.kills(), ".?????..");
    let mut acknowledged = World::with(&[("todo.txt", "one\n")]);
    acknowledged.append("todo.txt", OLD).acknowledge();
    acknowledged.unlink("todo.txt").replace("todo.txt", NEW, "");
    assert_eq!(acknowledged.kills(), "..?????.");
}

#[test]
fn what_is_removed_for_good_or_as_it_was_promised_or_makes_room_is_not_missed() {
    let mut removed = World::with(&[("todo.txt", OLD), ("a", "")]);
    removed.unlink("todo.txt").append("a", "x");
    let mut promised = World::with(&[("todo.txt", OLD)]);
    promised.unlink("todo.txt").acknowledge().replace("todo.txt", NEW, "");
    // The oldest of several goes, and each of the others moves on.
    let mut shifted = World::with(&[("log.1", "newer, and not like the other"), ("log.2", OLD)]);
    shifted.unlink("log.2").rename("log.1", "log.2").create("log.1").append("log.1", NEW);
    // Kept in another place, and another one is begun.
    let mut kept = World::with(&[("note.txt", OLD)]);
    kept.rename("note.txt", "sent.txt").replace("note.txt", "another text altogether", "");
    for world in [removed, promised, kept] {
        assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
    }
    assert_eq!(&shifted.kills()[..2], "..");
    for name in ["app.pid", "x.tmp", "cache", "a~"] {
        let mut scratch = World::with(&[(name, OLD)]);
        scratch.unlink(name).replace(name, NEW, "");
        assert!(!scratch.kills().contains(|it| it != '.'), "{name}: {}", scratch.kills());
    }
}

/// Removes or moves away a log, and writes `text` to a new one in two steps.
fn begun_anew(aside: Option<&str>, text: (&str, &str)) -> String {
    let mut world = World::with(&[("hist.log", "one\ntwo\n")]);
    world.append("hist.log", "three\n").acknowledge();
    match aside {
        Some(aside) => world.rename("hist.log", aside),
        None => world.unlink("hist.log"),
    };
    world.create("hist.log").append("hist.log", text.0).append("hist.log", text.1);
    world.acknowledge().append("hist.log", "four\n").kills()
}

#[test]
fn a_log_that_takes_up_what_stood_before_is_not_known_to_be_whole_until_it_has() {
    for aside in [None, Some("hist.old"), Some("zzz")] {
        for text in [
            ("one\ntwo\n", "three\n"),
            ("one\ntwo\nth", "ree\nand more\n"),
            ("two\nth", "ree\n"),
            ("three\ntwo\n", "one\n"),
        ] {
            assert_eq!(begun_anew(aside, text), "..???..", "{aside:?} {text:?}");
        }
        // Rotated.
        for text in [("", "four\n"), ("five\n", "six\n"), ("one\n", "five\n")] {
            assert_eq!(begun_anew(aside, text), ".......", "{aside:?} {text:?}");
        }
    }
}

#[test]
fn what_a_log_came_to_hold_before_it_was_removed_shows_that_it_is_written_over() {
    let mut world = World::with(&[("todo.log", "one\ntwo\n")]);
    world.append("todo.log", "three\n").unlink("todo.log").create("todo.log");
    world.append("todo.log", "one\nthree\n");
    assert_eq!(world.kills(), "..??.");
}

#[test]
fn a_removal_counts_as_promised_by_what_is_acknowledged_next_and_an_emptied_document_is_lost() {
    for (is_removed, expect) in [(true, "........."), (false, ".LLLLLL??")] {
        let mut world = World::with(&[("a.json", "{\"a\":1}"), ("b.json", "{\"b\":1}")]);
        match is_removed {
            true => world.unlink("a.json"),
            false => world.resize("a.json", 0),
        };
        world.replace("b.json", "{\"b\":2}", "").acknowledge();
        world.create("a.tmp").append("a.tmp", "{\"a\":2}");
        world.rename("a.tmp", "a.json");
        assert_eq!(&world.kills()[..7], &expect[..7], "{is_removed}");
    }
}

#[test]
fn a_log_that_began_with_a_heading_alone_is_rotated() {
    let mut rotated = World::with(&[("m.log", "key,value\n")]);
    rotated.append("m.log", "k0,0\n").append("m.log", "k1,1\n").rename("m.log", "m-1.log");
    rotated.create("m.log").append("m.log", "key,value\n").append("m.log", "k2,2\n");
    // Written whole for each entry, and removed once it was applied.
    let mut applied = World::with(&[("op.log", "")]);
    applied.replace("op.log", "a one\n", "").acknowledge().replace("op.log", "a one\nb two\n", "");
    applied.acknowledge().unlink("op.log").replace("op.log", "c three\n", "").acknowledge();
    for world in [rotated, applied] {
        assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
    }
}

#[test]
fn what_a_log_came_to_hold_after_an_acknowledgement_was_not_taken_up() {
    let mut world = World::with(&[("op.log", "on\noff\n")]);
    world.append("op.log", "on\n").acknowledge().unlink("op.log").create("op.log");
    for line in ["go\n", "on\n", "off\n", "on\n"] {
        world.append("op.log", line).acknowledge();
    }
    assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
}

#[test]
fn a_log_that_was_begun_anew_may_hold_what_it_held_once() {
    for begin in ["", "ts,v\n"] {
        let mut world = World::with(&[("m.csv.log", begin)]);
        world.append("m.csv.log", "1,one\n").acknowledge().append("m.csv.log", "2,two\n");
        world.acknowledge().rename("m.csv.log", "m-1").create("m.csv.log");
        world.append("m.csv.log", "ts,v\n").append("m.csv.log", "3,three\n").acknowledge();
        assert!(!world.kills().contains(|it| it != '.'), "{begin}: {}", world.kills());
        // Before it was begun anew it is missed.
        let judged = world.learn().judge(&world.state(1), &Crash::kill(3));
        assert_eq!(letter(&judged), 'L');
    }
    let (one, two) = ("{\"e\":1}\n", "{\"e\":2}\n");
    let mut lines = World::with(&[("a.jsonl", one)]);
    lines.append("a.jsonl", two).acknowledge().resize("a.jsonl", 0).sync("a.jsonl");
    lines.append("a.jsonl", one).append("a.jsonl", "{\"e\":3}\n");
    assert_eq!(lines.kills(), "..???.");
}

#[test]
fn a_new_log_that_was_synced_while_it_was_empty_is_begun_anew() {
    let mut world = World::with(&[("app.log", "one\n")]);
    world.append("app.log", "two\n").acknowledge().rename("app.log", "app.log.1");
    world.create("app.log").sync("app.log").append("app.log", "three\n").sync("app.log");
    assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
}

#[test]
fn a_file_that_only_grows_between_removals_is_not_taken_up_whatever_its_name() {
    let mut world = World::with(&[("table.json", "{}")]);
    for value in ["one", "two"] {
        world.create("wal").append("wal", &format!("a={value}\n")).sync("wal").acknowledge();
        world.append("wal", &format!("b={value}\n")).sync("wal").acknowledge();
        world.replace("table.json", &format!("{{\"a\":\"{value}\"}}"), "").unlink("wal");
    }
    world.create("wal").append("wal", "a=three\n").sync("wal").acknowledge();
    assert!(!world.kills().contains('L'), "{}", world.kills());
    assert_eq!(&world.kills()[12..13], ".", "while it is missing");
}

#[test]
fn a_scratch_file_that_is_made_again_is_as_one_that_is_emptied() {
    // Another file shows that the program knows how to keep one.
    let mut emptied = World::with(&[("message", "one"), ("data", "a")]);
    emptied.resize("message", 0).append("message", "two").replace("data", "b", "");
    let mut removed = World::with(&[("message", "one"), ("data", "a")]);
    removed.unlink("message").create("message").append("message", "two");
    removed.replace("data", "b", "");
    assert_eq!((emptied.kills(), removed.kills()), (".?......".to_owned(), "..?......".to_owned()));
}
