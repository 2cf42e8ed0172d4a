//! Documents of which each save writes over the oldest.

use super::world::World;

fn slot(number: u64) -> (String, String) {
    (format!("{{\"gen\":{number},\"data\":"), format!("\"v{number}\"}}"))
}

/// Two documents with these numbers.
fn world(files: &[(&str, u64)]) -> World {
    let mut world = World::default();
    for (name, number) in files {
        let (first, second) = slot(*number);
        world.create(name).append(name, &format!("{first}{second}"));
    }
    world.begins_here()
}

fn save(world: &mut World, name: &str, number: u64) {
    let (first, second) = slot(number);
    world.overwrite(name, &first, &second).sync(name);
}

fn saves(begin: &[(&str, u64)], writes: &[(&str, u64)]) -> String {
    let mut world = world(begin);
    writes.iter().for_each(|(name, number)| save(&mut world, name, *number));
    world.kills()
}

#[test]
fn while_the_oldest_is_written_another_one_holds_the_newest() {
    let (a, b) = ("state.a.json", "state.b.json");
    assert_eq!(saves(&[(a, 4), (b, 3)], &[(b, 5), (a, 6), (b, 7)]), ".??..??..??..");
    assert_eq!(saves(&[(a, 4), (b, 3)], &[(b, 5)]), ".??..", "one save goes on by one");
    // Times may be any.
    assert_eq!(saves(&[(a, 40), (b, 30)], &[(b, 51), (a, 66), (b, 67)]), ".??..??..??..");
    let three = [("s/0.json", 7), ("s/1.json", 5), ("s/2.json", 6)];
    let mut world = World::default();
    world.directory("s");
    for (name, number) in three {
        let (first, second) = slot(number);
        world.create(name).append(name, &format!("{first}{second}"));
    }
    let mut world = world.begins_here();
    save(&mut world, "s/1.json", 8);
    assert_eq!(world.kills(), ".??..");
}

#[test]
fn what_was_acknowledged_last_is_in_none_of_the_others() {
    let (a, b) = ("state.a.json", "state.b.json");
    let mut world = world(&[(a, 4), (b, 3)]);
    for (name, number) in [(b, 5), (a, 6), (b, 7)] {
        save(&mut world, name, number);
        world.acknowledge();
    }
    assert_eq!(world.kills(), ".??..??..??..");
    // The newest is gone.
    let oracle = world.learn();
    let whole: Vec<_> = world.state(world.end()).contents().collect();
    for (missing, expect) in [(a, '?'), (b, 'L')] {
        let kept = whole.iter().filter(|(path, _)| path.to_str() != Some(missing)).cloned();
        let state = super::world::MemoryState::new(kept);
        let judged = oracle.judge(&state, &crate::asserter::oracle::Crash::kill(world.end()));
        assert_eq!(super::world::letter(&judged), expect, "{missing}");
    }
}

#[test]
fn documents_that_only_look_alike_are_judged_each_by_itself() {
    let (a, b) = ("notes/1.json", "notes/2.json");
    for (begin, writes) in [
        // The newest is written over.
        (&[(a, 4), (b, 3)][..], &[(a, 5)][..]),
        (&[(a, 4), (b, 3)], &[(b, 5), (b, 6)]),
        // The number is not the next one, or the number of one's own.
        (&[(a, 4), (b, 3)], &[(b, 9)]),
        (&[(a, 4), (b, 3)], &[(b, 4)]),
        (&[(a, 1), (b, 2)], &[(a, 1), (b, 2)]),
        // Both once, as one who works through them all would.
        (&[(a, 40), (b, 30)], &[(b, 55), (a, 67)]),
    ] {
        let mut world = World::default();
        world.directory("notes");
        for (name, number) in begin {
            let (first, second) = slot(*number);
            world.create(name).append(name, &format!("{first}{second}"));
        }
        let mut world = world.begins_here();
        writes.iter().for_each(|(name, number)| save(&mut world, name, *number));
        let kills = world.kills();
        assert!(kills.starts_with(".LT.") && !kills.contains('?'), "{begin:?} {writes:?}: {kills}");
    }
}

#[test]
fn the_first_saves_of_all_are_not_known_to_be_read() {
    let (a, b) = ("a.json", "b.json");
    let mut world = World::default();
    for (name, number) in [(a, 1), (b, 2)] {
        let (first, second) = slot(number);
        world.create(name).append(name, &first).append(name, &second);
    }
    save(&mut world, a, 3);
    assert_eq!(world.kills(), ".??.??.??..");
}

#[test]
fn notes_that_are_saved_one_after_the_other_again_and_again_are_not_versions_of_one() {
    let (a, b) = ("1.json", "2.json");
    let note = |name: &str, time: u64| {
        (
            format!("{{\"title\":\"note {name}\",\"modified\":{time},"),
            format!("\"text\":\"{time}\"}}"),
        )
    };
    let mut world = World::default();
    for (name, time) in [(a, 10), (b, 20)] {
        let (first, second) = note(name, time);
        world.create(name).append(name, &format!("{first}{second}"));
    }
    let mut world = world.begins_here();
    for (name, time) in [(a, 31), (b, 32), (a, 45), (b, 46)] {
        let (first, second) = note(name, time);
        world.overwrite(name, &first, &second).sync(name);
    }
    assert_eq!(world.kills(), ".LT..LT..LT..LT..");
}

/// A file of an unknown format: a number, and what was added to it by each save.
fn unknown_slot(number: u64) -> (String, String) {
    let lines: String = (0..number).map(|at| format!("what was added as number {at}\n")).collect();
    (format!("{} {number}\n", number * 7919 % 1000), format!("as it was at first\n{lines}"))
}

fn saves_of_unknown(
    begin: &[(&str, u64)],
    writes: &[(&str, u64)],
    slot: impl Fn(&str, u64) -> (Vec<u8>, Vec<u8>),
) -> String {
    let mut world = World::default();
    for (name, number) in begin {
        let (first, second) = slot(name, *number);
        world.create(name).write(name, 0, &[first, second].concat());
    }
    let mut world = world.begins_here();
    for (name, number) in writes {
        let (first, second) = slot(name, *number);
        let at = first.len() as u64;
        world.resize(name, 0).write(name, 0, &first).write(name, at, &second).sync(name);
    }
    world.kills()
}

#[test]
fn of_files_of_unknown_formats_another_one_holds_the_newest_too() {
    let text = |_: &str, number| {
        let (first, second) = unknown_slot(number);
        (first.into_bytes(), second.into_bytes())
    };
    // A magic number, the count in any order of bytes, and what nobody can read.
    let binary = |_: &str, number: u64| {
        let packed: Vec<u8> = (0..40).map(|at| (number * 31 + at * 57) as u8 | 0x80).collect();
        ([&b"MAGC"[..], &(number as u32).to_be_bytes()].concat(), packed)
    };
    let (a, b) = ("state.0", "state.1");
    for writes in [&[(b, 5), (a, 6), (b, 7)][..], &[(b, 5)]] {
        let expect = format!(".{}", "??..".repeat(writes.len()));
        assert_eq!(saves_of_unknown(&[(a, 4), (b, 3)], writes, text), expect, "text");
        assert_eq!(saves_of_unknown(&[(a, 4), (b, 3)], writes, binary), expect, "binary");
    }
    // Times, with what was added.
    let timed = |_: &str, number: u64| {
        let (_, second) = unknown_slot(number);
        (format!("{}\n", 1_700_000_000 + number * number).into_bytes(), second.into_bytes())
    };
    assert_eq!(saves_of_unknown(&[(a, 4), (b, 3)], &[(b, 5), (a, 6)], timed), ".??..??..");
}

#[test]
fn files_of_unknown_formats_that_only_look_alike_are_judged_each_by_itself() {
    let note = |name: &str, number: u64| {
        (format!("{number}\n").into_bytes(), format!("about {name}\nmore of {name}\n").into_bytes())
    };
    let (a, b) = ("1.note", "2.note");
    for (begin, writes) in [
        // One alone, the newest, and both in turn.
        (&[(a, 4)][..], &[(a, 5), (a, 6)][..]),
        (&[(a, 4), (b, 3)], &[(a, 5)]),
        (&[(a, 10), (b, 20)], &[(a, 31), (b, 45), (a, 57), (b, 81)]),
    ] {
        let kills = saves_of_unknown(begin, writes, note);
        assert!(kills.starts_with(".L?."), "{begin:?} {writes:?}: {kills}");
    }
}

#[test]
fn few_saves_with_times_are_told_by_what_they_go_on_from() {
    let slot = |time: u64, items: u64| {
        let items: Vec<String> = (0..items).map(|item| format!("\"i{item}\":{item}")).collect();
        (format!("{{\"at\":{time},"), format!("{}}}", items.join(",")))
    };
    let (a, b) = ("state.a.json", "state.b.json");
    let mut world = World::default();
    for (name, time, items) in [(a, 40, 3), (b, 30, 2)] {
        let (first, second) = slot(time, items);
        world.create(name).append(name, &format!("{first}{second}"));
    }
    let mut world = world.begins_here();
    let (first, second) = slot(57, 4);
    world.overwrite(b, &first, &second).sync(b);
    assert_eq!(world.kills(), ".??..");
}
