//! Files that an earlier crash has left where the program makes new versions of others.

use super::world::{MemoryState, World, letter};
use crate::asserter::oracle::Crash;

const OLD: &str = "{\"notes\": [1]}";
const NEW: (&str, &str) = ("{\"notes\": [1,", " 2]}");

/// Saves `name` by way of `temporary`, which is there already.
fn save(world: &mut World, temporary: &str, name: &str) {
    world.overwrite(temporary, NEW.0, NEW.1).sync(temporary).rename(temporary, name);
}

#[test]
fn what_is_left_of_an_earlier_save_is_written_over() {
    for (temporary, name) in
        [("a.json.tmp", "a.json"), ("new.json", "a.json"), ("t", "a.bin"), ("new", "a.json")]
    {
        for left in [OLD, "[7]", "{\"v\":2", "", "\0\0\0"] {
            let mut world = World::with(&[(name, OLD), (temporary, left)]);
            save(&mut world, temporary, name);
            assert_eq!(world.kills(), "......", "{left:?} in {temporary}");
            assert_eq!(world.learn().judge(&world.state(2), &Crash::kill(2)).litter.count, 0);
        }
    }
}

#[test]
fn it_is_written_over_in_place_or_removed_first_and_more_than_once() {
    let begin = [("a.json", OLD), ("a.json.tmp", "[1, 2]")];
    let mut longer = World::with(&begin);
    longer.write("a.json.tmp", 0, b"[3").append("a.json.tmp", "]").resize("a.json.tmp", 3);
    longer.write("a.json.tmp", 2, b"]").rename("a.json.tmp", "a.json");
    let mut removed = World::with(&begin);
    removed.unlink("a.json.tmp").replace("a.json", NEW.0, NEW.1).replace("a.json", OLD, "");
    for world in [longer, removed] {
        assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
    }
    // The first save was what the earlier crash cut off.
    let mut first = World::with(&[("a.json.tmp", "[1")]);
    save(&mut first, "a.json.tmp", "a.json");
    assert_eq!(first.kills(), "......");
}

#[test]
fn what_is_read_there_is_judged() {
    // It moves to a name of its own: what stood there may be missed.
    let mut sent = World::with(&[("draft.json", OLD)]);
    save(&mut sent, "draft.json", "sent.json");
    assert_eq!(sent.kills(), ".LT...");
    // The program fills its place again.
    let mut session = World::with(&[("session.json", OLD), ("previous.json", "[0]")]);
    save(&mut session, "session.json", "previous.json");
    session.create("session.json").append("session.json", "[]");
    assert!(session.kills().starts_with(".LT."), "{}", session.kills());
    // Something was acknowledged in it.
    let mut log = World::with(&[("log", "one\n"), ("log.1", "0")]);
    log.overwrite("log", "two\n", "three\n").acknowledge().sync("log").rename("log", "log.1");
    let state = MemoryState::of(&[("log", b"two\n"), ("log.1", b"0")]);
    assert_eq!(letter(&log.learn().judge(&state, &Crash::kill(4))), 'L');
}

#[test]
fn what_is_moved_as_it_was_or_only_grew_is_judged() {
    for more in ["", "two\n"] {
        for (from, to) in [("app.log", "app.log.1"), ("a.txt", "b.txt")] {
            let mut world = World::with(&[(from, "one\n"), (to, "zero\n")]);
            world.append(from, more).rename(from, to);
            let state = MemoryState::of(&[(from, b""), (to, b"zero\n")]);
            let judged = world.learn().judge(&state, &Crash::kill(1));
            assert_eq!(letter(&judged), 'L', "{from} to {to}");
        }
    }
}
