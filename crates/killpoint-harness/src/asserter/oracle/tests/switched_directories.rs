//! Directories that a program makes whole and then puts in use as a whole.

use super::world::{World, letter};
use crate::asserter::oracle::Crash;

const NEW: (&str, &str) = ("{\"site\":", "2}");

/// A link `current` that leads to the whole directory `1`.
fn linked() -> World {
    let mut world = World::with(&[]);
    world.directory("1").create("1/a.json").append("1/a.json", "{\"site\":1}");
    world.link("current", "1");
    world.begins_here()
}

/// Makes a directory with one document.
fn make(world: &mut World, directory: &str) {
    let file = format!("{directory}/a.json");
    world.directory(directory).create(&file).append(&file, NEW.0).append(&file, NEW.1).sync(&file);
}

fn switch(world: &mut World, target: &str) {
    world.link("current.tmp", target).rename("current.tmp", "current");
}

#[test]
fn a_link_is_moved_to_a_directory_that_is_whole() {
    let mut world = linked();
    make(&mut world, "2");
    switch(&mut world, "2");
    world.unlink("1/a.json").unlink("1");
    make(&mut world, "3");
    switch(&mut world, "3");
    assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
    // Whatever the link is called.
    let mut world = World::with(&[]);
    for directory in ["1", "2"] {
        make(&mut world, directory);
        world.link("latest.tmp", directory).rename("latest.tmp", "latest");
    }
    assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
    // The first one of all.
    let mut world = World::with(&[]);
    make(&mut world, "1");
    switch(&mut world, "1");
    assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
}

#[test]
fn what_the_link_leads_to_is_judged() {
    // Moved before the directory is whole.
    let mut early = linked();
    early.link("current.tmp", "2").rename("current.tmp", "current");
    make(&mut early, "2");
    assert_eq!(early.kills(), "..??TT..");
    // Written over while it is in use.
    let mut over = linked();
    over.overwrite("1/a.json", NEW.0, NEW.1);
    make(&mut over, "2");
    switch(&mut over, "2");
    assert!(over.kills().starts_with(".LT."), "{}", over.kills());
    // Never moved at all.
    let mut fixed = linked();
    make(&mut fixed, "2");
    assert_eq!(fixed.kills(), "..TT..");
}

#[test]
fn after_a_loss_of_power_the_link_shows_what_is_in_use() {
    let mut world = linked();
    make(&mut world, "2");
    switch(&mut world, "2");
    let world = world.acknowledge();
    let oracle = world.learn();
    let end = world.end();
    let judge = |link: Option<&str>, missing: &str, crash: &Crash| {
        let whole = world.state(end);
        let kept = whole.contents().filter(|(path, _)| path.to_str() != Some(missing));
        let mut state = super::world::MemoryState::new(kept);
        state.links =
            link.map(|it| ("current".into(), it.as_bytes().to_vec())).into_iter().collect();
        letter(&oracle.judge(&state, crash))
    };
    let lost = Crash::power_loss(end);
    let declared = Crash { durable_from: Some(end - 1), ..lost };
    for (link, missing, expect, expect_declared) in [
        (Some("2"), "", '.', '.'),
        (Some("1"), "", '.', 'D'),
        (Some("1"), "2/a.json", '.', 'D'),
        (Some("2"), "2/a.json", 'L', 'D'),
        (Some("2"), "1/a.json", '?', '?'),
        (Some("1"), "1/a.json", 'L', 'D'),
        (Some("elsewhere"), "", '?', '?'),
        (None, "", 'L', 'D'),
    ] {
        assert_eq!(judge(link, missing, &lost), expect, "{link:?} without {missing}");
        assert_eq!(judge(link, missing, &declared), expect_declared, "{link:?} without {missing}");
    }
}

#[test]
fn a_link_that_is_removed_and_made_again_leaves_a_gap() {
    let mut world = linked();
    make(&mut world, "2");
    world.unlink("current").link("current", "2");
    assert_eq!(world.kills(), "......?.");
}

#[test]
fn a_link_that_leads_to_nothing_for_a_while_is_not_known_to_be_safe() {
    // What is in use is removed before the next one is there.
    let mut late = linked();
    late.unlink("1/a.json").unlink("1");
    make(&mut late, "2");
    switch(&mut late, "2");
    assert_eq!(late.kills(), ".????????.");
    // What was promised meanwhile was that nothing is there.
    let mut promised = linked();
    promised.unlink("1/a.json").unlink("1").acknowledge();
    make(&mut promised, "2");
    switch(&mut promised, "2");
    assert!(!promised.kills().contains('?'), "{}", promised.kills());
}

#[test]
fn a_link_may_lead_to_nothing_at_first_and_at_last() {
    let mut first = World::with(&[]);
    switch(&mut first, "1");
    make(&mut first, "1");
    assert!(!first.kills().contains('?'), "{}", first.kills());
    let end = first.end();
    let mut empty = first.state(3);
    empty.links = first.state(end).links;
    assert_eq!(letter(&first.learn().judge(&empty, &Crash::power_loss(end))), '.');
    let mut last = linked();
    make(&mut last, "2");
    switch(&mut last, "2");
    for directory in ["1", "2"] {
        last.unlink(&format!("{directory}/a.json")).unlink(directory);
    }
    last.unlink("current");
    assert!(!last.kills().contains(|it| it != '.'), "{}", last.kills());
    // The next log comes with its first line.
    let mut logs = World::with(&[("1.log", "one\n")]);
    logs.link("latest", "1.log");
    let mut logs = logs.begins_here();
    logs.append("1.log", "two\n").link("new", "2.log").rename("new", "latest");
    logs.create("2.log").append("2.log", "one\n").close("2.log").append("2.log", "two\n");
    assert!(!logs.kills().contains(|it| it != '.'), "{}", logs.kills());
    // It is in use elsewhere.
    let mut outside = linked();
    make(&mut outside, "2");
    switch(&mut outside, "/srv/elsewhere");
    switch(&mut outside, "2");
    assert!(!outside.kills().contains(|it| it != '.'), "{}", outside.kills());
}

#[test]
fn a_link_that_leads_to_nothing_known_is_not_judged() {
    let mut world = World::with(&[("a.json", "[1]")]);
    world.link("lock", "host-1").unlink("lock").link("lock", "host-2").link("x", "y");
    world.rename("x", "lock");
    assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
    assert_eq!(world.learn().subjects().count(), 1);
}

#[test]
fn a_directory_that_is_exchanged_is_judged_where_it_is_in_use() {
    let mut world = World::with(&[]);
    world.directory("live").create("live/a.json").append("live/a.json", "[1]");
    let mut world = world.begins_here();
    for _ in 0..3 {
        make(&mut world, "next");
        world.exchange("next", "live").unlink("next/a.json").unlink("next");
    }
    let held = world.kills().len();
    assert!(!world.kills().contains(|it| it != '.'), "{}", world.kills());
    world.overwrite("live/a.json", NEW.0, NEW.1);
    assert_eq!(&world.kills()[held - 1..], ".LT.");
}
