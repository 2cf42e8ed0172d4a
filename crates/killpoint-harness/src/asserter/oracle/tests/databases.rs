//! SQLite, by recordings of the real library (see `recordings/record.py`).

use super::world::{MemoryState, World, letter};
use crate::asserter::oracle::{Crash, CrashState, DirectoryState, Kind};
use rusqlite::Connection;
use std::path::Path;

/// Replays a recording: one line for an operation.
fn replay(recording: &str) -> World {
    let mut world = World::default();
    let mut names: Vec<String> = vec![String::new()];
    for line in recording.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let name = |names: &[String]| names[words[1].parse::<usize>().expect("a file")].clone();
        match words[0] {
            "begin" => world = world.begins_here(),
            "create" => {
                names.push(words[2].to_owned());
                world.create(words[2]);
            }
            "write" => {
                let offset = words[2].parse().expect("an offset");
                world.write(&name(&names), offset, &unpacked(words[3]));
            }
            "resize" => drop(world.resize(&name(&names), words[2].parse().expect("a size"))),
            "unlink" => drop(world.unlink(words[2])),
            "sync" => drop(world.sync(&name(&names))),
            other => panic!("no such operation: {other}"),
        }
    }
    world
}

fn unpacked(hex: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = hex;
    while !rest.is_empty() {
        if let Some(zeros) = rest.strip_prefix('z') {
            let (count, after) = zeros.split_once('.').expect("a dot");
            bytes.resize(bytes.len() + count.parse::<usize>().expect("a count"), 0);
            rest = after;
        } else {
            bytes.push(u8::from_str_radix(&rest[..2], 16).expect("hex"));
            rest = &rest[2..];
        }
    }
    bytes
}

#[test]
fn every_kill_of_a_database_with_a_journal_on_disk_holds() {
    for (mode, recording) in [
        ("delete", include_str!("../recordings/delete.txt")),
        ("persist", include_str!("../recordings/persist.txt")),
        ("wal", include_str!("../recordings/wal.txt")),
    ] {
        let world = replay(recording);
        let kinds: Vec<Kind> = world.learn().subjects().map(|it| it.1).collect();
        assert_eq!(kinds, [Kind::Database], "{mode}");
        let kills = world.kills();
        assert!(kills.bytes().all(|letter| letter == b'.'), "{mode}: {kills}");
    }
}

#[test]
fn a_database_without_a_journal_on_disk_is_caught() {
    let kills = replay(include_str!("../recordings/memory.txt")).kills();
    let violated = kills.chars().filter(|letter| "TU".contains(*letter)).count();
    let held = kills.chars().filter(|letter| *letter == '.').count();
    assert_eq!(violated + held, kills.len(), "{kills}");
    assert!(violated > 20 && held > 10, "{kills}");
    assert!(kills.starts_with('.') && kills.ends_with('.'), "{kills}");
}

#[test]
fn a_write_ahead_log_that_lost_its_tail_holds() {
    let world = replay(include_str!("../recordings/wal.txt"));
    let oracle = world.learn();
    let at = world.end() / 2;
    let read = |name: &str| world.state(at).read(Path::new(name)).expect("a file");
    let (database, log) = (read("notes.db"), read("notes.db-wal"));
    assert!(log.len() > 4096);
    for length in (0..log.len()).step_by(100) {
        let state = MemoryState::of(&[("notes.db", &database), ("notes.db-wal", &log[..length])]);
        let judged = oracle.judge(&state, &Crash::power_loss(at));
        assert_eq!(letter(&judged), '.', "{length} bytes: {}", judged.judgement.detail);
    }
}

/// A database with three committed rows, and one more that is added later.
fn learn_rows() -> (World, Vec<u8>) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.db");
    let run = |sql: &str| {
        let connection = Connection::open(&path).expect("a database");
        connection.execute_batch(sql).expect("plain SQL");
        drop(connection);
        std::fs::read(&path).expect("a database")
    };
    let old = run("CREATE TABLE t(x); INSERT INTO t VALUES (1), (2), (3)");
    let new = run("INSERT INTO t VALUES (4)");
    let mut world = World::default();
    world.create("a.db").write("a.db", 0, &old);
    let mut world = world.begins_here();
    world.create("a.db.new").write("a.db.new", 0, &new).rename("a.db.new", "a.db");
    (world, old)
}

#[test]
fn a_database_that_is_gone_emptied_or_damaged_is_caught() {
    let (world, old) = learn_rows();
    assert_eq!(world.kills(), "....");
    let oracle = world.learn();
    let judge = |contents: Option<&[u8]>| {
        let files: Vec<_> = contents.iter().map(|contents| ("a.db", *contents)).collect();
        oracle.judge(&MemoryState::of(&files), &Crash::kill(world.end()))
    };
    let mut damaged = old.clone();
    damaged[4096..4200].fill(0xff);
    for (contents, expect) in [
        (Some(old.as_slice()), '.'),
        (None, 'L'),
        (Some(b"".as_slice()), 'L'),
        (Some(&[0; 8192]), 'U'),
        (Some(&old[..4096]), 'U'),
        (Some(&damaged), 'T'),
    ] {
        let judged = judge(contents);
        assert_eq!(letter(&judged), expect, "{}", judged.judgement.detail);
    }
    assert_eq!(judge(None).judgement.keys_lost, 3);
}

#[test]
fn rows_of_no_committed_state_are_torn() {
    let (world, old) = learn_rows();
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("a.db"), old).expect("a file");
    let connection = Connection::open(directory.path().join("a.db")).expect("a database");
    connection.execute_batch("DELETE FROM t WHERE x = 2").expect("plain SQL");
    drop(connection);
    let state = DirectoryState::list(directory.path()).expect("a directory");
    assert!(state.files().contains_key(Path::new("a.db")));
    let judged = world.learn().judge(&state, &Crash::kill(world.end()));
    assert_eq!(letter(&judged), 'T', "{}", judged.judgement.detail);
    let live = Crash { recorded_beyond: false, ..Crash::kill(world.end()) };
    assert_eq!(letter(&world.learn().judge(&state, &live)), '?');
}

#[test]
fn a_transaction_over_several_databases_is_not_judged_elsewhere() {
    let (world, old) = learn_rows();
    let name = b"/nowhere/a.db-mj0123ABCD9";
    let mut journal = vec![0; 512];
    journal.extend(name);
    journal.extend((name.len() as u32).to_be_bytes());
    journal.extend([0; 4]);
    journal.extend([0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
    let state = MemoryState::of(&[("a.db", &old), ("a.db-journal", &journal)]);
    let judged = world.learn().judge(&state, &Crash::kill(1));
    assert_eq!(letter(&judged), '?');
    assert!(judged.judgement.detail.contains("several databases"));
}
