//! Documents in the course of whole programs.

use super::world::{MemoryState, World, letter};
use crate::asserter::oracle::state::{HELD_BYTES_MAX, digest_of};
use crate::asserter::oracle::{Crash, CrashState, Follower, Kind, Present};
use killpoint_engine::image::Content;
use killpoint_model::operation::Name;
use killpoint_model::{FileId, Judgement, Verdict};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

const OLD: &str = "{\"notes\": [1]}";
const NEW: (&str, &str) = ("{\"notes\": [1,", " 2]}");

fn check(world: &World, expect: &str) {
    let kills = world.kills();
    assert_eq!(kills, expect, "verdicts of the kills at 1 to {}", world.end());
}

#[test]
fn atomic_replacement_holds_everywhere() {
    for (name, old, new) in [
        ("a.json", OLD, NEW),
        ("a.toml", "a = 1\n", ("a = 2\n", "b = 3\n")),
        ("a.yaml", "a: 1\n", ("a: 2\n", "b: 3\n")),
        ("a.xml", "<a/>", ("<a><b/>", "</a>")),
        ("a.ini", "[a]\nb=1\n", ("[a]\nb=2\n", "c=3\n")),
        ("notes.txt", "one", ("two", "three")),
        ("opaque.bin", "\x01\x02", ("\x03", "\x04")),
    ] {
        let mut world = World::with(&[(name, old)]);
        world.replace(name, new.0, new.1).replace(name, new.0, new.1).replace(name, old, "");
        check(&world, &".".repeat(16));
    }
}

#[test]
fn truncate_and_write_loses_and_tears() {
    for (name, old, new, expect) in [
        ("a.json", OLD, NEW, "..LT."),
        ("a.toml", "a = 1\n", ("a = 2\n", "b = 3\n"), "..LT."),
        ("a.yaml", "a: 1\n", ("a: 2\n", "b: 3\n"), "..LT."),
        ("a.xml", "<a/>", ("<a><b/>", "</a>"), "..LT."),
        ("a.ini", "[a]\nb=1\n", ("[a]\nb=2\n", "c=3\n"), "..LT."),
        ("a.ini", "[a]\nb=1\n", ("[a]\nb=2\nc", "=3\n"), "..LT."),
        ("lines.jsonl", "{\"a\":1}\n{\"b\":2}\n", ("{\"a\":3}\n", "{\"b\":4}\n"), "..LT."),
        ("notes.txt", "one", ("two", "three"), "..L?."),
    ] {
        let mut world = World::with(&[(name, old), ("other.json", "[]")]);
        world.sync("other.json").overwrite(name, new.0, new.1);
        check(&world, expect);
    }
}

#[test]
fn each_of_several_saves_holds() {
    let mut world = World::with(&[("a.json", "[0]")]);
    world.resize("a.json", 0).append("a.json", "[1]").close("a.json");
    world.resize("a.json", 0).append("a.json", "[2]");
    world.resize("a.json", 0).append("a.json", "[3]");
    // Saves 1 and 2 are versions: one was closed, the other superseded.
    check(&world, ".L.L.L.");
}

#[test]
fn a_save_in_place_by_one_call_holds() {
    let mut world = World::with(&[("a.json", "[1, 2, 3]")]);
    world.write("a.json", 0, b"[4, 5, 6]").write("a.json", 0, b"[7, 8, 9]");
    check(&world, "...");
}

#[test]
fn a_save_that_is_cut_only_after_it_was_written_is_torn() {
    let mut world = World::with(&[("a.json", "{\"long\": \"value\"}")]);
    world.write("a.json", 0, b"{\"a\": 1}").sync("a.json").resize("a.json", 8);
    check(&world, ".TT.");
}

#[test]
fn a_document_mixed_of_two_versions_is_unknown_where_it_can_be_read() {
    let mut world = World::with(&[("a.json", "[1, 2]")]);
    world.write("a.json", 1, b"3").write("a.json", 4, b"4");
    check(&world, ".?.");
}

#[test]
fn white_space_and_comments_are_no_value() {
    let mut world = World::with(&[("a.json", "[1]"), ("a.toml", "a = 1")]);
    world.append("a.json", "\n").append("a.toml", "\n# note\n").append("a.toml", "\n");
    check(&world, "....");
}

#[test]
fn a_first_save_may_be_absent_but_not_half_there() {
    let mut world = World::with(&[]);
    world.create("a.json").append("a.json", NEW.0).append("a.json", NEW.1);
    check(&world, ".TT.");
    let mut world = World::with(&[]);
    world.create("a.yaml").append("a.yaml", "a: 1\n").append("a.yaml", "b: 2\n");
    check(&world, "..T.");
    let mut world = World::with(&[]);
    world.replace("a.json", NEW.0, NEW.1);
    check(&world, "......");
}

#[test]
fn a_file_that_was_never_removed_may_not_be_missing() {
    let mut world = World::with(&[("a.json", OLD)]);
    world.replace("a.json", NEW.0, NEW.1);
    let judged = world.learn().judge(&MemoryState::of(&[]), &Crash::kill(world.end()));
    assert_eq!(letter(&judged), 'L');
    assert_eq!(judged.judgement.bytes_lost, OLD.len() as u64);
    assert_eq!(judged.judgement.detail, "a.json is missing; its 14 bytes are gone.");
}

#[test]
fn a_removed_file_may_be_missing() {
    let mut world = World::with(&[("a.json", OLD), ("b.json", OLD)]);
    world.unlink("a.json").rename("b.json", "c.json");
    check(&world, "...");
}

#[test]
fn a_gap_that_the_program_made_is_unknown_unless_it_was_acknowledged() {
    let mut world = World::with(&[("a.json", OLD)]);
    world.rename("a.json", "a.json.bak").create("a.json").append("a.json", "[2]");
    check(&world, ".??.");
    let oracle = world.learn();
    let gap = oracle.judge(&world.state(2), &Crash::kill(2));
    assert!(gap.judgement.detail.contains("a.json.bak holds a version of it"));

    let mut world = World::with(&[("a.toml", "a = 1")]);
    world.resize("a.toml", 0).close("a.toml").append("a.toml", "b = 2");
    check(&world, ".?.");
    let mut world = World::with(&[("a.toml", "a = 1")]);
    world.resize("a.toml", 0).close("a.toml").acknowledge().append("a.toml", "b = 2");
    check(&world, "...");
}

#[test]
fn what_was_acknowledged_is_not_taken_back() {
    let mut world = World::with(&[("a.json", "[0]")]);
    world.replace("a.json", "[1]", "").acknowledge().replace("a.json", "[2]", "");
    let oracle = world.learn();
    let old = MemoryState::of(&[("a.json", b"[0]")]);
    let letters: String =
        (1..=world.end()).map(|at| letter(&oracle.judge(&old, &Crash::kill(at)))).collect();
    assert_eq!(letters, ".....LLLLLL");
}

#[test]
fn a_document_that_was_neither_closed_nor_synced_is_whole_when_something_is_acknowledged() {
    let mut world = World::with(&[("a.json", "[0]")]);
    world.overwrite("a.json", "[1", "]").acknowledge().overwrite("a.json", "[2", "]");
    let oracle = world.learn();
    let judge = |contents: &str, at| {
        let state = MemoryState::of(&[("a.json", contents.as_bytes())]);
        letter(&oracle.judge(&state, &Crash::kill(at)))
    };
    assert_eq!(judge("[0]", world.end()), 'L', "older than what was acknowledged");
    assert_eq!(judge("[1]", world.end()), '.');
    assert_eq!(judge("[2]", world.end()), '.');
}

#[test]
fn power_loss_keeps_what_was_there_or_declared() {
    let mut world = World::with(&[("a.json", "[0]")]);
    world.replace("a.json", "[1]", "").acknowledge();
    let oracle = world.learn();
    let crash = Crash::power_loss(world.end());
    let declared = Crash { durable_from: Some(world.end() - 1), ..crash };
    for (contents, expect, expect_declared) in
        [("[0]", '.', 'D'), ("[1]", '.', '.'), ("", 'L', 'D'), ("[", 'T', 'T'), ("\0\0", 'L', 'D')]
    {
        let state = MemoryState::of(&[("a.json", contents.as_bytes())]);
        assert_eq!(letter(&oracle.judge(&state, &crash)), expect, "{contents:?}");
        assert_eq!(letter(&oracle.judge(&state, &declared)), expect_declared, "{contents:?}");
    }
}

#[test]
fn temporary_files_are_litter_and_are_not_judged() {
    let mut world = World::with(&[("a.json", OLD)]);
    world.replace("a.json", NEW.0, NEW.1);
    let judged = world.learn().judge(&world.state(3), &Crash::kill(3));
    assert_eq!(judged.judgement, Judgement::held());
    assert_eq!((judged.litter.count, judged.litter.named.len()), (1, 1));
    assert_eq!(world.learn().judge(&world.state(6), &Crash::kill(6)).litter.count, 0);
}

#[test]
fn a_file_that_is_written_over_with_other_contents_may_be_meant_to() {
    const KEPT: &str = "the first of the tasks\nthe second of the tasks\nthe third of the tasks\n";
    let changed = KEPT.replace("second", "latest");
    // What the program keeps from one version to the next is missed.
    let mut world = World::with(&[("pending.data", KEPT), ("index", "DIRC-1")]);
    world.replace("index", "DIRC", "-2").overwrite("pending.data", &changed[..30], &changed[30..]);
    check(&world, "......L?.");
    // What it throws away by itself may be missed or not, if it is careful with others...
    let mut world = World::with(&[("COMMIT_EDITMSG", "the first message\n"), ("index", "DIRC-1")]);
    world.replace("index", "DIRC", "-2").overwrite("COMMIT_EDITMSG", "another", " text\n");
    check(&world, "......??.");
    // ...and is missed if nothing shows that it knows another way.
    let mut world = World::with(&[("message", "the first message\n")]);
    world.overwrite("message", "another", " text\n");
    check(&world, ".L?.");
}

#[test]
fn what_an_exchange_pushes_out_of_its_place_is_a_spare() {
    let mut world = World::with(&[("a.json", OLD), ("old", "[0]")]);
    for contents in [NEW, ("[2,", "3]"), ("[4,", "5]")] {
        world.overwrite("old", contents.0, contents.1).sync("old").exchange("old", "a.json");
    }
    check(&world, &".".repeat(16));
    // The real file is judged all the same.
    world.overwrite("a.json", "[6,", "7]");
    check(&world, &(".".repeat(16) + "LT."));
}

/// A state of which nothing may be read.
struct Listed(BTreeMap<PathBuf, Present>, BTreeMap<PathBuf, Vec<u8>>);

impl CrashState for Listed {
    fn files(&self) -> &BTreeMap<PathBuf, Present> {
        &self.0
    }

    fn links(&self) -> &BTreeMap<PathBuf, Vec<u8>> {
        &self.1
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        panic!("{} was read", path.display())
    }

    fn directory(&self) -> io::Result<PathBuf> {
        panic!("the state was made real")
    }
}

#[test]
fn a_file_that_is_too_large_to_be_held_is_known_by_its_digest() {
    let (root, file) = (FileId(1), FileId(2));
    let mut contents = Content::of_bytes(b"[0]");
    contents.resize(HELD_BYTES_MAX + 1);
    let mut follower = Follower::new(root);
    let name = Name { directory: root, bytes: b"large.json".to_vec() };
    follower.begin_file(file, name, contents.clone());
    let oracle = follower.finish().learner.finish();
    let kinds: Vec<Kind> = oracle.subjects().map(|it| it.1).collect();
    assert_eq!(kinds, [Kind::Opaque]);
    let present =
        |contents: &Content| Present { digest: digest_of(contents), length: contents.size() };
    let changed = Content::of_bytes(b"[1]");
    for (contents, expect) in [(&contents, '.'), (&changed, '?')] {
        let files = BTreeMap::from([(PathBuf::from("large.json"), present(contents))]);
        let state = Listed(files, BTreeMap::new());
        assert_eq!(letter(&oracle.judge(&state, &Crash::kill(1))), expect);
    }
}

#[test]
fn a_file_that_never_was_a_document_is_not_judged_as_one() {
    let mut world = World::with(&[("a.json", "// with comments\n{}"), ("nginx.conf", "http { }")]);
    world.overwrite("a.json", "// more", "\n{}").overwrite("nginx.conf", "http", " { x; }");
    assert_eq!(world.learn().subjects().map(|it| it.1).collect::<Vec<_>>(), [Kind::Opaque; 2]);
    check(&world, ".L?.L?.");
}

#[test]
fn a_document_put_in_place_unreadable_is_unknown() {
    let mut world = World::with(&[("a.json", OLD)]);
    world.replace("a.json", NEW.0, "").replace("a.json", OLD, "");
    check(&world, ".....?????.");
}

#[test]
fn a_document_put_in_place_before_it_was_written_is_lost() {
    let mut world = World::with(&[("a.json", OLD)]);
    world.create("new").rename("new", "a.json").append("a.json", NEW.0).append("a.json", NEW.1);
    check(&world, "..LT.");
}

#[test]
fn a_backup_under_another_name_is_no_copy_unless_called_after_it() {
    for (backup, expect) in [("a.json~", "..??."), ("old/a.json", "..??."), ("b.json", "..LT.")] {
        let mut world = World::with(&[("a.json", OLD), (backup, OLD)]);
        world.sync(backup).overwrite("a.json", NEW.0, NEW.1);
        check(&world, expect);
    }
}

#[test]
fn another_file_with_equal_bytes_is_no_copy() {
    let (unread, read) = ("{\"read\": false}\n", "{\"read\": true}\n");
    for other in ["10.json", "zz.json", "1.1.json"] {
        let mut world = World::with(&[("1.json", unread), (other, unread)]);
        world.resize("1.json", 0).append("1.json", read);
        check(&world, ".L.");
    }
    // The first save leaves what the second is about to.
    let mut world = World::with(&[("m.json", unread), ("n.json", unread)]);
    world.resize("m.json", 0).append("m.json", read).close("m.json");
    world.resize("n.json", 0).append("n.json", read);
    check(&world, ".L.L.");
}

#[test]
fn of_an_unknown_format_a_copy_is_what_the_program_made_of_it() {
    let (old, new) = ("one two three four five six", ("one two three", " four"));
    // There before.
    let mut world = World::with(&[("a.txt", old), ("b.txt", old)]);
    world.sync("b.txt").overwrite("a.txt", new.0, new.1);
    check(&world, "..L?.");
    // Made of it, and kept or not.
    for kept in [true, false] {
        let mut world = World::with(&[("a.txt", old)]);
        world.create("b").append("b", old).overwrite("a.txt", new.0, new.1);
        if !kept {
            world.unlink("b");
        }
        check(&world, if kept { ".?.??." } else { "...??.." });
    }
    // Saved before it, with the same contents.
    let mut world = World::with(&[("a.txt", old), ("b.txt", old)]);
    world.resize("b.txt", 0).append("b.txt", "one two three four").close("b.txt");
    world.resize("a.txt", 0).append("a.txt", "one two three four");
    check(&world, ".L.L.");
}

#[test]
fn a_live_kill_knows_no_version_beyond_it() {
    let mut world = World::with(&[("a.json", "[0]"), ("a.ini", "a=1\n")]);
    world.resize("a.json", 0);
    let oracle = world.learn();
    let crash = Crash { recorded_beyond: false, ..Crash::kill(2) };
    for (json, ini, expect) in
        [("[7]", "a=1\n", '.'), ("[0]", "a=7\n", '.'), ("[7", "a=1\n", 'T'), ("[0]", "a", 'T')]
    {
        let state = MemoryState::of(&[("a.json", json.as_bytes()), ("a.ini", ini.as_bytes())]);
        assert_eq!(letter(&oracle.judge(&state, &crash)), expect, "{json} and {ini}");
    }
}

#[test]
fn the_worst_file_decides_and_losses_add_up() {
    let mut world = World::with(&[("a.json", OLD), ("b.json", OLD), ("c.txt", "text")]);
    world.resize("a.json", 0).resize("b.json", 0).overwrite("c.txt", "te", "xts");
    world.append("a.json", OLD).append("b.json", OLD);
    let judged = world.learn().judge(&world.state(5), &Crash::kill(5));
    assert_eq!(judged.files.len(), 3);
    assert!(matches!(judged.judgement.verdict, Verdict::Violated(_)));
    assert_eq!(judged.judgement.bytes_lost, 28);
}

#[test]
fn documents_are_not_judged_in_pairs() {
    const COUNT: u64 = 20_000;
    let root = FileId(1);
    let path = |index: u64| PathBuf::from(format!("{index}.json"));
    let mut follower = Follower::new(root);
    for index in 0..COUNT {
        let bytes = path(index).into_os_string().into_encoded_bytes();
        let contents = Content::of_bytes(format!("[{index}]").as_bytes());
        follower.begin_file(FileId(index + 2), Name { directory: root, bytes }, contents);
    }
    let oracle = follower.finish().learner.finish();
    let state = MemoryState::new((0..COUNT).map(|index| (path(index), Vec::new())));
    let since = std::time::Instant::now();
    let judged = oracle.judge(&state, &Crash::kill(1));
    assert_eq!(judged.files.len() as u64, COUNT);
    // By pairs it takes minutes.
    assert!(since.elapsed().as_secs() < 20, "{:?}", since.elapsed());
}
