//! Minidumps of processes that run and of those that crash, and the stacks in them.

use crate::support::{World, guests_directory};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const SIGSEGV: i32 = 11;
const SIGABRT: i32 = 6;

/// A guest that waits for a line before it does what it is told.
fn guest(words: &[&str]) -> Child {
    let mut guest = Command::new(guests_directory().join("crash"));
    guest.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    guest.spawn().expect("the guest starts")
}

/// A watch that has seized its process.
fn watch(world: &World, process: u32) -> Child {
    let mut watch = world.killpoint();
    watch.args(["dump", "--watch", &process.to_string(), "--to", "dumps"]).stdout(Stdio::piped());
    let mut watch = watch.spawn().expect("the watch starts");
    let status = format!("/proc/{process}/status");
    loop {
        let text = fs::read_to_string(&status).expect("the guest waits");
        if text.lines().any(|line| line == format!("TracerPid:\t{}", watch.id())) {
            return watch;
        }
        let ended = watch.try_wait().expect("our child");
        assert!(ended.is_none(), "the watch ended before it had seized its process: {ended:?}");
        std::thread::yield_now();
    }
}

/// Lets the guest crash; whom the watch caught, and how the guest ended, as the watch says, too.
fn crash(world: &World, words: &[&str]) -> (Vec<serde_json::Value>, std::process::ExitStatus) {
    let mut guest = guest(words);
    let mut watch = watch(world, guest.id());
    guest.stdin.take().expect("a pipe").write_all(b"go\n").expect("it reads");
    let ended = guest.wait().expect("our child");
    let lines = BufReader::new(watch.stdout.take().expect("a pipe")).lines();
    let said: Vec<serde_json::Value> =
        lines.map(|line| serde_json::from_str(&line.expect("text")).expect("JSON")).collect();
    assert!(watch.wait().expect("our child").success());
    let (caught, died): (Vec<_>, Vec<_>) = said.into_iter().partition(|it| it["seen"] == "caught");
    let [died] = died.as_slice() else { panic!("{died:?}") };
    assert_eq!(
        (died["seen"].as_str(), died["signal"].as_i64()),
        (Some("died"), ended.signal().map(i64::from))
    );
    assert!(died["executable"].as_str().expect("a path").ends_with("/crash"), "{died}");
    (caught, ended)
}

fn functions(stack: &serde_json::Value) -> Vec<String> {
    let frames = stack["frames"].as_array().expect("frames");
    let own = frames.iter().filter(|frame| frame["in_application"] == true);
    own.map(|frame| frame["function"].as_str().unwrap_or("?").to_owned()).collect()
}

fn assert_named(stack: &serde_json::Value, expected: &[&str]) {
    let functions = functions(stack);
    let mut rest = functions.iter();
    for name in expected {
        assert!(rest.any(|function| function.contains(name)), "no {name} in {functions:?}");
    }
}

#[test]
fn a_fault_leaves_a_dump_with_the_functions_that_led_to_it() {
    let world = World::new();
    let (said, ended) = crash(&world, &["segv"]);
    assert_eq!(ended.signal(), Some(SIGSEGV), "it dies as without us");
    let [caught] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(caught["signal"], SIGSEGV);
    assert_named(&caught["stack"], &["follow_pointer", "read_page", "open_document", "main"]);
    let reason = caught["stack"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("SIGSEGV"), "{reason}");
    let dump = world.join(caught["dump"].as_str().expect("a path"));
    assert!(fs::read(dump).expect("the dump").starts_with(b"MDMP"));
}

#[test]
fn a_process_that_aborts_leaves_a_dump_and_dies_of_the_same_signal() {
    let world = World::new();
    let (said, ended) = crash(&world, &["abort"]);
    assert_eq!(ended.signal(), Some(SIGABRT));
    let [caught] = said.as_slice() else { panic!("{said:?}") };
    assert_named(&caught["stack"], &["read_page", "open_document", "main"]);
}

#[test]
fn a_crash_in_another_thread_blames_that_thread() {
    let world = World::new();
    let (said, ended) = crash(&world, &["thread", "segv"]);
    assert_eq!(ended.signal(), Some(SIGSEGV));
    let [caught] = said.as_slice() else { panic!("{said:?}") };
    assert_ne!(caught["thread"], caught["pid"]);
    assert_named(&caught["stack"], &["follow_pointer", "read_page", "open_document"]);
}

#[test]
fn a_child_is_watched_too_and_its_parent_still_learns_how_it_ended() {
    let world = World::new();
    let mut parent = guest(&["child", "segv"]);
    let mut watch = watch(&world, parent.id());
    parent.stdin.take().expect("a pipe").write_all(b"go\n").expect("it reads");
    let mut said = String::new();
    parent.stdout.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert!(parent.wait().expect("our child").success());
    assert!(said.contains("signal: 11"), "{said}");
    let lines = BufReader::new(watch.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let seen = lines.filter(|line| line.contains("died")).count();
    assert!(watch.wait().expect("our child").success());
    assert!(seen <= 1, "one crash, one death; none if it was born before the watch");
}

#[test]
fn a_signal_that_a_process_lives_with_is_no_death() {
    let world = World::new();
    let script = "import signal, sys
signal.signal(signal.SIGABRT, lambda *_: None)
sys.stdin.readline()
signal.raise_signal(signal.SIGABRT); signal.raise_signal(signal.SIGABRT)";
    let mut guest = Command::new("python3");
    let mut guest = guest.args(["-c", script]).stdin(Stdio::piped()).spawn().expect("it starts");
    let mut watch = watch(&world, guest.id());
    guest.stdin.take().expect("a pipe").write_all(b"go\n").expect("it reads");
    assert!(guest.wait().expect("our child").success());
    let lines = BufReader::new(watch.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let said: Vec<String> = lines.collect();
    assert!(watch.wait().expect("our child").success());
    let [caught] = said.as_slice() else { panic!("dumped once: {said:?}") };
    assert!(caught.contains("caught"), "{caught}");
}

#[test]
fn a_process_that_was_dumped_runs_on() {
    let world = World::new();
    let mut guest = guest(&["wait"]);
    let mut output = BufReader::new(guest.stdout.take().expect("a pipe"));
    output.read_line(&mut String::new()).expect("it says that it waits");
    let mut dump = world.killpoint();
    let dumped = dump.args(["dump", "--pid", &guest.id().to_string(), "--to", "now.dmp"]).output();
    let said = text(&dumped.expect("the tool starts"));
    assert!(said.contains("open_document"), "{said}");
    guest.stdin.take().expect("a pipe").write_all(b"go\n").expect("it reads");
    assert!(guest.wait().expect("our child").success());
    let again = world.killpoint().args(["dump", "--read", "now.dmp"]).output();
    assert_eq!(text(&again.expect("the tool starts")), said);
}

#[test]
fn what_is_no_dump_or_no_process_is_bad_input() {
    let world = World::new();
    fs::write(world.join("garbage.dmp"), b"MDMP, or so it says").expect("a file");
    for words in [
        &["dump", "--read", "garbage.dmp"][..],
        &["dump", "--read", "nowhere.dmp"],
        &["dump", "--pid", "2147483600", "--to", "x.dmp"],
        &["dump", "--watch", "2147483600", "--to", "dumps"],
        &["dump", "--pid", "1"],
        &["dump"],
    ] {
        let output = world.killpoint().args(words).output().expect("the tool starts");
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", text(&output));
        assert!(!output.stderr.is_empty(), "{words:?} must say why");
    }
    assert!(!Path::new(&world.join("x.dmp")).exists(), "nothing is left of a dump that failed");
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
