//! Files that are removed in one place, and come to stand in another.

use super::world::World;
use crate::asserter::oracle::Crash;

/// What is to be done: too long to be anything else.
const FIRST: &str = "{\"do\": \"something that takes long, and that nobody else ";
const SECOND: &str = "will do at all\"}";

/// A directory of things to do, one of things that are done, and something to do.
fn world() -> World {
    let mut world = World::default();
    world.directory("todo").directory("done").create("todo/x.json");
    world.append("todo/x.json", &format!("{FIRST}{SECOND}"));
    world.begins_here()
}

#[test]
fn what_is_removed_right_before_it_is_written_elsewhere_is_not_known_to_be_safe() {
    let mut removed_first = world();
    removed_first.unlink("todo/x.json");
    removed_first.replace("done/x.json", FIRST, SECOND);
    assert_eq!(removed_first.kills(), ".???...");
    let mut written_first = world();
    written_first.replace("done/x.json", FIRST, SECOND).unlink("todo/x.json");
    assert_eq!(written_first.kills(), ".......");
    let mut moved = world();
    moved.rename("todo/x.json", "done/x.json");
    assert_eq!(moved.kills(), "..");
}

#[test]
fn what_is_changed_on_its_way_is_not_known_to_be_safe_either() {
    let (first, second) =
        (FIRST.to_owned(), format!("{}, \"done\": true}}", &SECOND[..SECOND.len() - 1]));
    let mut removed_first = world();
    removed_first.unlink("todo/x.json").replace("done/x.json", &first, &second);
    assert_eq!(removed_first.kills(), ".???...");
    let mut written_first = world();
    written_first.replace("done/x.json", &first, &second).unlink("todo/x.json");
    assert!(held(&written_first));
    let mut promised = world();
    promised.unlink("todo/x.json").acknowledge().replace("done/x.json", &first, &second);
    assert!(held(&promised));
    // Less than half of it is kept.
    let mut other = world();
    other.unlink("todo/x.json").replace("done/x.json", &FIRST[..24], &"another text".repeat(6));
    assert!(held(&other));
}

#[test]
fn what_is_only_like_something_later_or_stands_among_other_bytes_is_not_lost() {
    // Under another name, with other bytes, among those of another file, or removed as it was promised.
    let mut renamed = world();
    renamed.unlink("todo/x.json").replace("done/y.json", FIRST, SECOND);
    assert!(held(&renamed));
    let mut changed = world();
    changed.unlink("todo/x.json").replace("done/x.json", "{\"done\": ", "\"something\"}");
    assert!(held(&changed));
    let mut noted = world();
    noted
        .create("done.log")
        .append("done.log", &format!("x: {FIRST}{SECOND}\n"))
        .unlink("todo/x.json");
    noted.replace("done/x.json", FIRST, SECOND);
    assert!(held(&noted));
    let mut promised = world();
    promised.unlink("todo/x.json").acknowledge();
    promised.replace("done/x.json", FIRST, SECOND);
    assert_eq!(promised.kills(), ".......");
}

fn held(world: &World) -> bool {
    world.kills().chars().all(|letter| letter == '.')
}

#[test]
fn what_is_made_anew_with_the_same_bytes_was_not_moved() {
    let text = format!("{FIRST}{SECOND}");
    let check = |contents: &str, (from, to): (&str, &str), between: &dyn Fn(&mut World)| {
        let mut world = World::default();
        world.directory("a").directory("c").directory("cache").create("notes.log").create(from);
        world.append(from, contents);
        let mut world = world.begins_here();
        world.unlink(from);
        between(&mut world);
        world.replace(to, contents, "");
        held(&world)
    };
    let places = ("a/config.json", "c/config.json");
    assert!(!check(&text, places, &|_| {}));
    assert!(!check(&text, places, &|world| {
        world.append("notes.log", "moving");
    }));
    // Short, scratch, something else in between, much later, by another process.
    assert!(check("{\"theme\":\"dark\"}", places, &|_| {}));
    assert!(check(&text, ("a/lock", "c/lock"), &|_| {}));
    assert!(check(&text, ("cache/index.json", "c/index.json"), &|_| {}));
    assert!(check(&text, places, &|world| {
        world.unlink("a");
    }));
    assert!(check(&text, places, &|world| {
        world.directory("d");
    }));
    assert!(check(&text, places, &|world| {
        world.create("c/a.log");
    }));
    assert!(check(&text, places, &|world| {
        (0..8).for_each(|_| {
            world.append("notes.log", "more");
        });
    }));
    assert!(check(&text, places, &|world| {
        world.goes_on_in_another();
    }));
}

#[test]
fn a_loss_of_power_is_not_held_against_the_order_of_calls() {
    let mut world = world();
    world.unlink("todo/x.json").replace("done/x.json", FIRST, SECOND);
    let judged = world.learn().judge(&world.state(2), &Crash::power_loss(2));
    assert_eq!(super::world::letter(&judged), '.');
}

#[test]
fn a_log_of_what_is_to_be_done_again_may_restore_a_document() {
    let new = "{\"notes\": [1, 2]}";
    let begin = &[("state.json", "{\"notes\": [1]}")];
    for (log, expect) in
        [(format!("{new}\nEND"), ".....???.."), ("no such thing".to_owned(), ".....LLT..")]
    {
        let mut world = World::with(begin);
        world.create("redo.bin").append("redo.bin", &log).sync("redo.bin").sync("redo.bin");
        world.resize("state.json", 0).sync("state.json");
        world.append("state.json", &new[..5]).append("state.json", &new[5..]).unlink("redo.bin");
        assert_eq!(world.kills(), expect, "{log}");
    }
    // It may be emptied in place of being removed.
    for (log, expect) in
        [(format!("{new}\nEND"), "...????.."), ("no such thing".to_owned(), "...LLTT..")]
    {
        let mut world = World::with(&[begin[0], ("redo.bin", "")]);
        world.append("redo.bin", &log).sync("redo.bin");
        world.resize("state.json", 0).sync("state.json");
        world.append("state.json", &new[..5]).sync("state.json").append("state.json", &new[5..]);
        world.resize("redo.bin", 0);
        assert_eq!(world.kills(), expect, "{log}");
    }
    // What stays is no such log.
    let mut world = World::with(begin);
    world.create("a.txt").append("a.txt", &format!("{new}\nEND")).resize("state.json", 0);
    world.append("state.json", new);
    assert_eq!(world.kills(), ".?.L.");
}

#[test]
fn a_log_of_what_is_to_be_undone_is_one_whatever_its_name_and_kind() {
    let (old, new) = ("{\"notes\": [1]}", "{\"notes\": [1, 2]}");
    for (name, log) in [
        ("undo", format!("{old}\n#end\n")),
        ("undo.log", format!("{old}\n#end\n")),
        ("undo-journal", format!("{old}\n#end\n")),
        ("state.json-journal", format!("{old}\n#end\n")),
        ("undo", old.to_owned()),
        ("undo.json", old.to_owned()),
    ] {
        for is_renamed in [false, true] {
            let mut world = World::with(&[("state.json", old)]);
            match is_renamed {
                false => world.create(name).append(name, &log).sync(name),
                true => world.create("t").append("t", &log).rename("t", name),
            };
            world.resize("state.json", 0).append("state.json", &new[..5]);
            world.append("state.json", &new[5..]).sync("state.json").unlink(name);
            let kills = world.kills();
            assert!(kills.contains("??"), "{name} {is_renamed}: {kills}");
            assert!(!kills.contains(['L', 'T']), "{name} {is_renamed}: {kills}");
        }
    }
}

#[test]
fn the_swap_file_of_an_editor_may_hold_what_it_writes_in_place() {
    let text = "one line of text\n".repeat(20);
    for (name, length, expect) in [
        (".notes.txt.swp", text.len(), "...??.."),
        ("notes.txt.swo", text.len(), "...??.."),
        (".notes.txt.swp", 5, "...L?.."),
        (".other.txt.swp", text.len(), "...L?.."),
        (".notes.txt.lock", text.len(), "...L?.."),
    ] {
        let mut world = World::with(&[("notes.txt", &text)]);
        world.create(name).append(name, &"b".repeat(length));
        world.resize("notes.txt", 0).append("notes.txt", "one").append("notes.txt", " more\n");
        world.unlink(name);
        assert_eq!(world.kills(), expect, "{name} {length}");
    }
}

#[test]
fn a_small_lock_is_promised_to_nobody_whatever_it_holds() {
    let small = "{\"pid\":77}";
    let large = format!("{{\"packages\":\"{}\"}}", "x".repeat(300));
    for (name, contents, expect) in [
        ("lock.json", small, "...."),
        (".lock", small, "...."),
        ("app.pid", small, "...."),
        ("app.pid", "77", "...."),
        ("server.lock", small, "...."),
        ("package-lock.json", small, ".L.."),
        ("locks.json", small, ".L.."),
        ("lock.json", &large, ".L.."),
        ("flake.lock", &large, ".L.."),
    ] {
        let mut world = World::with(&[(name, contents)]);
        world.resize(name, 0).append(name, &contents.replace("77", "78")).sync(name);
        assert_eq!(world.kills(), expect, "{name}");
    }
}

#[test]
fn sentences_name_a_file_as_addresses_do() {
    let mut world = World::with(&[("a\nb.json", "[1]")]);
    world.resize("a\nb.json", 0).append("a\nb.json", "[2]");
    let judged = world.learn().judge(&world.state(2), &Crash::kill(2));
    assert!(judged.judgement.detail.starts_with("a%0Ab.json is empty"), "{:?}", judged.judgement);
}
