//! Every guest runs, and prints the store that its journal promises.

use guests::{Caution, ELSEWHERE, Expected, GUESTS, Guest, Store, binaries_directory};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);

/// A state directory, and the journal beside it.
struct World {
    directory: TempDir,
}

impl World {
    fn new() -> World {
        let world = World { directory: tempfile::tempdir().expect("a temporary directory") };
        fs::create_dir(world.state()).expect("a state directory");
        world
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env("KILLPOINT_STATE", self.state())
            .env("KILLPOINT_JOURNAL", self.journal())
            .env("GUEST_SOCKET", self.directory.path().join("socket"))
            .stdin(Stdio::null());
        command
    }

    fn work(&self, guest: &Guest) -> Output {
        let words = guest.work_command(&binaries_directory());
        self.command(&words).output().expect("the guest starts")
    }

    fn check(&self, guest: &Guest) -> Output {
        let words = guest.check_command(&binaries_directory());
        self.command(&words).output().expect("the checker starts")
    }

    fn store(&self, guest: &Guest) -> Store {
        let output = self.check(guest);
        assert!(output.status.success(), "{}: {output:?}", guest.name);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}: {output:?}", guest.name))
    }

    /// What the journal promises after a run without a crash, and whether nothing was left undecided.
    fn promised(&self) -> (BTreeMap<String, Value>, bool) {
        promised(&fs::read_to_string(self.journal()).unwrap_or_default())
    }
}

fn promised(journal: &str) -> (BTreeMap<String, Value>, bool) {
    let mut store = BTreeMap::new();
    let mut undecided: BTreeMap<String, Vec<(String, String, String)>> = BTreeMap::new();
    for line in journal.lines() {
        let words: Vec<String> = line.split(' ').map(decode).collect();
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["I", id, key, change, value] => {
                let change = (key.to_owned(), change.to_owned(), value.to_owned());
                undecided.entry(id.to_owned()).or_default().push(change);
            }
            ["I", key, value] => {
                let change = (key.to_owned(), "=".to_owned(), value.to_owned());
                undecided.entry(key.to_owned()).or_default().push(change);
            }
            ["D", ..] => {}
            ["A" | "A!", id] => {
                for (key, change, value) in undecided.remove(id).expect("an intent came before") {
                    apply(&mut store, key, &change, value);
                }
            }
            _ => panic!("not a line of a journal: {line}"),
        }
    }
    (store, undecided.is_empty())
}

fn apply(store: &mut BTreeMap<String, Value>, key: String, change: &str, value: String) {
    let slot = store.entry(key).or_insert(Value::Null);
    match change {
        "=" => *slot = value.parse::<i64>().map_or(Value::String(value), Value::from),
        "+" => {
            let sum = slot.as_i64().unwrap_or(0) + value.parse::<i64>().expect("a number");
            *slot = sum.into();
        }
        ">>" => match slot {
            Value::Array(list) => list.push(value.into()),
            _ => *slot = vec![value].into(),
        },
        other => panic!("not a change: {other}"),
    }
}

fn decode(word: &str) -> String {
    let mut parts = word.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two digits"));
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).expect("UTF-8")
}

/// Numbers and strings of equal text are equal: a checker may print either.
fn comparable(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            text.parse::<i64>().map_or_else(|_| value.clone(), |number| number.into())
        }
        other => other.clone(),
    }
}

/// Waits for a condition, so that no test waits for ever.
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(STEP);
    }
}

/// A process group that a test started; it is killed with the test.
struct Group(Child);

impl Group {
    fn start(command: &mut Command) -> Group {
        Group(command.process_group(0).spawn().expect("the guest starts"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Runs the guest to its end and compares its store with its journal.
fn runs_and_keeps_its_promises(guest: &Guest) {
    let world = World::new();
    assert_eq!(world.store(guest), Store::new(), "{}: every store begins empty", guest.name);
    let output = world.work(guest);
    let expected = if guest.name == "exit-nonzero" { 3 } else { 0 };
    assert_eq!(output.status.code(), Some(expected), "{}: {output:?}", guest.name);
    keeps_its_promises(guest, &world);
}

fn keeps_its_promises(guest: &Guest, world: &World) {
    // Some guests go on for a moment after the process that was started has ended: what is there at
    // two looks counts if they wrote nothing into the journal between them.
    wait_for(&format!("the end of {}", guest.name), || {
        let (promised, decided) = world.promised();
        let store = world.store(guest);
        let again = world.store(guest);
        if world.promised().0 != promised || !decided {
            return false;
        }
        let held = store.iter().map(|(key, value)| (key.clone(), comparable(value)));
        let is_promised = !guest.writes_journal
            || !promised.is_empty()
                && held.eq(promised.iter().map(|(key, value)| (key.clone(), comparable(value))));
        if is_promised {
            assert_eq!(store, again, "{}: a second look shows the same", guest.name);
        }
        is_promised
    });
}

#[test]
fn guests_that_end_by_themselves_keep_their_promises() {
    for guest in GUESTS.iter().filter(|guest| guest.caution.is_none()) {
        if guest.name != "killed-by-other" {
            runs_and_keeps_its_promises(guest);
        }
    }
}

#[test]
fn guests_whose_checkers_misbehave_only_in_crash_states_keep_their_promises() {
    let misbehaving = GUESTS.iter().filter(|guest| guest.caution == Some(Caution::CheckMisbehaves));
    let sometimes = misbehaving.filter(|guest| guest.kill != Expected::BaselineFailed);
    sometimes.for_each(runs_and_keeps_its_promises);
}

#[test]
fn checkers_misbehave_where_the_document_is_half_way() {
    let world = World::new();
    fs::write(world.state().join("notes.json"), r#"{"title": "a draft"}"#).expect("a document");
    let named = |name| Guest::named(name).expect("it stands in the table");
    assert_eq!(world.check(named("checker-crashes")).status.signal(), Some(libc::SIGABRT));
    let rubbish = world.check(named("checker-rubbish"));
    assert!(rubbish.status.success());
    assert!(serde_json::from_slice::<Value>(&rubbish.stdout).is_err());
    let words = named("checker-hangs").check_command(&binaries_directory());
    let mut hanging = Group::start(world.command(&words).stdout(Stdio::null()));
    thread::sleep(STEP * 5);
    assert_eq!(hanging.0.try_wait().expect("a child"), None);
}

#[test]
fn a_guest_that_is_killed_by_its_child_dies_half_way() {
    let guest = Guest::named("killed-by-other").expect("it stands in the table");
    let world = World::new();
    assert_eq!(world.work(guest).status.signal(), Some(libc::SIGKILL));
    assert_eq!(world.store(guest).len(), 2);
}

#[test]
fn a_guest_that_never_ends_has_saved_all_the_same() {
    let guest = Guest::named("never-ends").expect("it stands in the table");
    let world = World::new();
    let words = guest.work_command(&binaries_directory());
    let mut group = Group::start(&mut world.command(&words));
    wait_for("the last save", || world.promised().0.contains_key("author"));
    keeps_its_promises(guest, &world);
    assert_eq!(group.0.try_wait().expect("a child"), None);
}

#[test]
fn a_forking_guest_starts_processes_until_its_group_is_killed() {
    let guest = Guest::named("fork-forever").expect("it stands in the table");
    let world = World::new();
    let words = guest.work_command(&binaries_directory());
    let group = Group::start(&mut world.command(&words));
    wait_for("five generations", || {
        let mut process = group.0.id();
        (0..5).all(|_| match child_of(process) {
            Some(child) => {
                process = child;
                true
            }
            None => false,
        })
    });
}

fn child_of(process: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_guest_that_fills_the_disk_stops_at_a_limit() {
    let guest = Guest::named("fill-disk").expect("it stands in the table");
    let world = World::new();
    let program = &guest.work_command(&binaries_directory())[0];
    let limited = ["sh", "-c", "ulimit -f 8192; exec \"$0\"", program].map(str::to_owned);
    let output = world.command(&limited).output().expect("a shell");
    assert!(!output.status.success());
    let length = fs::metadata(world.state().join("endless")).expect("a file").len();
    assert!((1..=8_192 * 1_024).contains(&length), "{length} bytes");
}

#[test]
fn a_client_hands_its_saves_to_a_daemon() {
    let guest = Guest::named("outside-daemon").expect("it stands in the table");
    let world = World::new();
    let mut words = guest.work_command(&binaries_directory());
    words.push("serve".to_owned());
    let _daemon = Group::start(&mut world.command(&words));
    wait_for("the socket", || world.directory.path().join("socket").exists());
    runs_after_its_daemon(guest, &world);
}

fn runs_after_its_daemon(guest: &Guest, world: &World) {
    let output = world.work(guest);
    assert!(output.status.success(), "{output:?}");
    keeps_its_promises(guest, world);
}

#[test]
fn servers_keep_what_they_are_told_until_and_after_they_are_asked_to_end() {
    let servers = GUESTS.iter().filter(|guest| guest.caution == Some(Caution::NeedsDriver));
    for guest in servers {
        let world = World::new();
        let words = guest.work_command(&binaries_directory());
        let mut server = Group::start(&mut world.command(&words));
        let words = guest.drive_command(&binaries_directory());
        let driven = world.command(&words).output().expect("the driver starts");
        assert!(driven.status.success(), "{}: {driven:?}", guest.name);
        keeps_its_promises(guest, &world);
        let process = rustix::process::Pid::from_child(&server.0);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("a child");
        wait_for("its end", || server.0.try_wait().expect("a child").is_some());
        assert!(world.state().join("snapshot").exists(), "{}", guest.name);
        keeps_its_promises(guest, &world);
    }
}

#[test]
fn a_directory_may_be_given_as_an_argument() {
    let world = World::new();
    let program = binaries_directory().join("save-atomic");
    let run = |arguments: &[&Path]| {
        let mut command = Command::new(&program);
        command.args(arguments).env_remove("KILLPOINT_STATE").env_remove("KILLPOINT_JOURNAL");
        command.output().expect("the guest starts")
    };
    assert!(run(&[&world.state()]).status.success());
    let printed = run(&[Path::new("check"), &world.state()]).stdout;
    assert!(serde_json::from_slice::<Store>(&printed).expect("JSON").contains_key("author"));
}

#[test]
fn equal_seeds_do_equal_operations() {
    let guest = Guest::named("random-operations").expect("it stands in the table");
    let program = guest.work_command(&binaries_directory())[0].clone();
    let run = |seed: &str| {
        let world = World::new();
        let words = [program.clone(), seed.to_owned(), "300".to_owned()];
        assert!(world.command(&words).output().expect("the guest starts").status.success());
        world.store(guest)
    };
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7"), run("8"));
    assert!((1..=5).all(|seed| !run(&seed.to_string()).is_empty()));
}

#[test]
fn every_operation_leaves_what_it_says() {
    let guest = Guest::named("every-operation").expect("it stands in the table");
    let world = World::new();
    assert!(world.work(guest).status.success());
    let store = world.store(guest);
    for name in ["directory/inner/moved", "directory/symbolic", "pipe", "socket", "spliced"] {
        assert!(store.contains_key(name), "{name} is missing from {store:?}");
    }
    assert!(!store.contains_key("gone") && !store.contains_key("removed"));
}

#[test]
fn names_are_unique_and_every_binary_stands_in_the_table() {
    let mut names: Vec<_> = GUESTS.iter().map(|guest| guest.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin");
    for entry in fs::read_dir(sources).expect("the binaries' sources") {
        let path = entry.expect("an entry").path();
        let binary = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let has_row = GUESTS.iter().any(|guest| guest.work_command(Path::new(""))[0] == binary)
            || ELSEWHERE.contains(&&*binary);
        assert!(has_row, "{binary} stands in no row");
        let source = fs::read_to_string(path).expect("a source");
        assert!(source.starts_with("//! "), "{binary} does not say what is right or wrong");
    }
}
