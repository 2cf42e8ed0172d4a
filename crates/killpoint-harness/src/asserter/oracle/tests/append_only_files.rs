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
