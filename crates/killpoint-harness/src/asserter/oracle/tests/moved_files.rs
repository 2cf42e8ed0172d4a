//! Files that are removed in one place, and come to stand in another.

use super::world::World;
use crate::asserter::oracle::Crash;

/// A directory of things to do, one of things that are done, and something to do.
fn world() -> World {
    let mut world = World::default();
    world.directory("todo").directory("done").create("todo/x.json");
    world.append("todo/x.json", "{\"do\": \"something\"}");
    world.begins_here()
}

#[test]
fn what_is_removed_before_it_is_written_elsewhere_is_lost() {
    let mut removed_first = world();
    removed_first.unlink("todo/x.json");
    removed_first.replace("done/x.json", "{\"do\": ", "\"something\"}");
    assert_eq!(removed_first.kills(), ".LLL...");
    let mut written_first = world();
    written_first.replace("done/x.json", "{\"do\": ", "\"something\"}").unlink("todo/x.json");
    assert_eq!(written_first.kills(), ".......");
    let mut moved = world();
    moved.rename("todo/x.json", "done/x.json");
    assert_eq!(moved.kills(), "..");
}

#[test]
fn what_is_only_like_something_later_or_stands_among_other_bytes_is_not_lost() {
    // Under another name, with other bytes, among those of another file, or removed as it was promised.
    let mut renamed = world();
    renamed.unlink("todo/x.json").create("done/y.json");
    renamed.append("done/y.json", "{\"do\": \"something\"}");
    assert!(!renamed.kills().contains('L'));
    let mut changed = world();
    changed.unlink("todo/x.json").replace("done/x.json", "{\"done\": ", "\"something\"}");
    assert!(!changed.kills().contains('L'));
    let mut noted = world();
    noted
        .create("done.log")
        .append("done.log", "x: {\"do\": \"something\"}\n")
        .unlink("todo/x.json");
    noted.replace("done/x.json", "{\"do\": ", "\"something\"}");
    assert!(!noted.kills().contains('L'));
    let mut promised = world();
    promised.unlink("todo/x.json").acknowledge();
    promised.replace("done/x.json", "{\"do\": ", "\"something\"}");
    assert_eq!(promised.kills(), ".......");
}

#[test]
fn a_loss_of_power_is_not_held_against_the_order_of_calls() {
    let mut world = world();
    world.unlink("todo/x.json").replace("done/x.json", "{\"do\": ", "\"something\"}");
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
    // What stays is no such log.
    let mut world = World::with(begin);
    world.create("a.txt").append("a.txt", &format!("{new}\nEND")).resize("state.json", 0);
    world.append("state.json", new);
    assert_eq!(world.kills(), ".?.L.");
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
