//! What a small file names is in use; what it does not name yet, or no more, is not known to be.

use super::world::{World, letter};
use crate::asserter::oracle::Crash;

const NEW: (&str, &str) = ("{\"site\":", "2}");

/// A pointer with this text, and the whole document that it names.
fn pointed(pointer: &str, text: &str, document: &str) -> World {
    let mut world = World::with(&[(pointer, text)]);
    if let Some((directory, _)) = document.rsplit_once('/') {
        world.directory(directory);
    }
    world.create(document).append(document, "{\"site\":1}");
    world.begins_here()
}

fn make(world: &mut World, document: &str) {
    if let Some((directory, _)) = document.rsplit_once('/') {
        world.directory(directory);
    }
    world.create(document).append(document, NEW.0).append(document, NEW.1).sync(document);
}

fn switch(world: &mut World, pointer: &str, text: &str) {
    let temporary = format!("{pointer}.tmp");
    world.create(&temporary).append(&temporary, text).rename(&temporary, pointer);
}

#[test]
fn what_a_pointer_does_not_name_yet_is_not_in_use() {
    for (old, first, new, second) in [
        ("1\n", "g1/a.json", "2\n", "g2/a.json"),
        ("snap.1", "snap.1", "snap.2", "snap.2"),
        ("{\"use\":\"g1\"}", "g1/a.json", "{\"use\":\"g2\"}", "g2/a.json"),
    ] {
        for (pointer, expect) in [("CURRENT", '.'), ("current.json", '?'), ("version", '?')] {
            let mut world = pointed(pointer, old, first);
            make(&mut world, second);
            switch(&mut world, pointer, new);
            world.unlink(first);
            let kills = world.kills();
            assert!(!kills.contains(|it| it != '.' && it != expect), "{pointer} {old}: {kills}");
            assert!(kills.contains(expect), "{pointer} {old}: {kills}");
        }
    }
    // The first one of all.
    let mut world = World::with(&[]);
    make(&mut world, "g1/a.json");
    switch(&mut world, "CURRENT", "g1");
    assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
}

#[test]
fn of_two_places_the_one_that_is_not_named_may_be_written_over() {
    let mut world = pointed("CURRENT", "a", "a/x.json");
    make(&mut world, "b/x.json");
    let mut world = world.begins_here();
    world.overwrite("b/x.json", "{\"site\":", "3}").sync("b/x.json");
    switch(&mut world, "CURRENT", "b");
    assert_eq!(world.kills(), ".??.....");
    world.overwrite("b/x.json", "{\"site\":", "4}");
    assert!(world.kills().ends_with(".LT."), "{}", world.kills());
}

#[test]
fn what_a_pointer_names_is_judged() {
    // Moved before the document is whole.
    let mut early = pointed("CURRENT", "1", "g1/a.json");
    switch(&mut early, "CURRENT", "2");
    make(&mut early, "g2/a.json");
    assert!(early.kills().contains('T'), "{}", early.kills());
    // Written over while it is in use.
    let mut over = pointed("CURRENT", "1", "g1/a.json");
    over.overwrite("g1/a.json", NEW.0, NEW.1);
    make(&mut over, "g2/a.json");
    switch(&mut over, "CURRENT", "2");
    assert!(over.kills().starts_with(".LT."), "{}", over.kills());
    // A file that names nothing, and one that always names the same.
    for (old, new) in [("one", "two"), ("{\"at\":\"g2\",\"n\":1}", "{\"at\":\"g2\",\"n\":2}")] {
        let mut world = pointed("version", old, "g1/a.json");
        make(&mut world, "g2/a.json");
        switch(&mut world, "version", new);
        assert!(world.kills().starts_with("..TT."), "{old}: {}", world.kills());
    }
}

#[test]
fn a_pointer_that_is_written_over_in_its_place_is_not_known_to_be_one() {
    let mut world = pointed("CURRENT", "1", "g1/a.json");
    make(&mut world, "g2/a.json");
    world.write("CURRENT", 0, b"2").sync("CURRENT");
    assert_eq!(world.kills(), "..??....");
    // With any other name it is about something else.
    let mut world = pointed("version", "1", "g1/a.json");
    make(&mut world, "g2/a.json");
    world.write("version", 0, b"2").sync("version");
    assert_eq!(world.kills(), "..TT....");
}

#[test]
fn a_pointer_names_by_a_part_of_a_name() {
    for (first, second) in [
        (("blue", "data.blue.json"), ("green", "data.green.json")),
        (("A", "state-A.json"), ("B", "state-B.json")),
        (("a", "data_a.json"), ("b", "data_b.json")),
        (("a", "slot-a/x.json"), ("b", "slot-b/x.json")),
    ] {
        let mut world = pointed("CURRENT", first.0, first.1);
        make(&mut world, second.1);
        let mut world = world.begins_here();
        world.overwrite(second.1, "{\"site\":", "3}").sync(second.1);
        switch(&mut world, "CURRENT", second.0);
        assert_eq!(world.kills(), ".??.....", "{}", second.1);
        world.overwrite(second.1, "{\"site\":", "4}");
        assert!(world.kills().ends_with(".LT."), "in use: {}", world.kills());
    }
}

#[test]
fn a_pointer_that_names_nothing_for_a_while_is_not_known_to_be_safe() {
    // What may be about something else need not name anything: only half of a file is unknown then.
    for (pointer, expect) in [("CURRENT", ".????????."), ("version", "...??.....")] {
        let mut late = pointed(pointer, "g1", "g1/a.bin");
        late.unlink("g1/a.bin");
        make(&mut late, "g2/a.bin");
        switch(&mut late, pointer, "g2");
        assert_eq!(late.kills(), expect, "{pointer}");
    }
    let mut early = pointed("CURRENT", "g1", "g1/a.json");
    switch(&mut early, "CURRENT", "g2");
    make(&mut early, "g2/a.json");
    assert_eq!(early.kills(), "...??TT..");
    // Nothing was there before, or nothing is meant to be there any more.
    let mut first = World::with(&[]);
    switch(&mut first, "CURRENT", "g1");
    make(&mut first, "g1/a.json");
    assert!(!first.kills().contains('?'), "{}", first.kills());
    let mut last = pointed("CURRENT", "g1", "g1/a.json");
    make(&mut last, "g2/a.json");
    switch(&mut last, "CURRENT", "g2");
    last.unlink("g1/a.json").unlink("g2/a.json").unlink("CURRENT");
    assert!(!last.kills().contains(|it| it != '.'), "{}", last.kills());
    // What was named is gone after a loss of power.
    let mut lost = pointed("CURRENT", "g1", "g1/a.json");
    make(&mut lost, "g2/a.json");
    switch(&mut lost, "CURRENT", "g2");
    let whole: Vec<_> = lost.state(lost.end()).contents().collect();
    let kept = whole.into_iter().filter(|(path, _)| path.to_str() != Some("g2/a.json"));
    let state = super::world::MemoryState::new(kept);
    assert_eq!(letter(&lost.learn().judge(&state, &Crash::power_loss(lost.end()))), '?');
}

#[test]
fn after_a_loss_of_power_the_pointer_shows_what_is_in_use() {
    let mut world = pointed("CURRENT", "g1", "g1/a.json");
    make(&mut world, "g2/a.json");
    switch(&mut world, "CURRENT", "g2");
    let oracle = world.learn();
    for (text, expect) in [("g1", '.'), ("g2", 'T')] {
        let whole: Vec<_> = world.state(world.end()).contents().collect();
        let contents = whole.into_iter().map(|(path, bytes)| match path.to_str() {
            Some("CURRENT") => (path, text.as_bytes().to_vec()),
            Some("g2/a.json") => (path, Vec::new()),
            _ => (path, bytes),
        });
        let state = super::world::MemoryState::new(contents);
        let judged = oracle.judge(&state, &Crash::power_loss(world.end()));
        assert_eq!(letter(&judged), expect, "{text}");
    }
}
