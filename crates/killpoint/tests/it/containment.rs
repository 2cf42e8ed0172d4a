//! `kill -9` of the tool, at any moment: nothing runs on, nothing stays mounted, nothing real has changed, and what was
//! found until then can be read.

use crate::support::{ALL_MODELS, World, explored, guests_directory, is_root, stderr, stdout};
use killpoint_model::seed::{Generator, Seed};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

const NOBODY: u32 = 65_534;
/// How often is looked whether something has happened.
const STEP: Duration = Duration::from_millis(2);
/// How many times at most; a machine under load is slow, but not that slow.
const STEPS_MAX: u32 = 30_000;

/// How many moments are tried; the nightly command asks for more.
fn moments() -> usize {
    std::env::var("KILLPOINT_TEST_MOMENTS").map_or(6, |text| text.parse().expect("a number"))
}

#[test]
fn nothing_is_left_behind_by_the_user_that_runs_the_tests() {
    leaves_nothing_behind(None);
}

#[test]
fn nothing_is_left_behind_by_an_ordinary_user() {
    if is_root() {
        leaves_nothing_behind(Some(NOBODY));
    } else {
        println!("skipped: only root can become another user; the other test has done the same");
    }
}

/// A directory of the user who runs the tool, with copies of the tool and of a guest that everybody may read.
struct Site {
    world: World,
    user: Option<u32>,
}

impl Site {
    fn new(user: Option<u32>) -> Site {
        let world = World::new();
        fs::write(world.state().join("precious.txt"), "do not touch").expect("written");
        fs::create_dir(world.out()).expect("made");
        fs::create_dir(world.join("home")).expect("made");
        let guest = guests_directory().join("save-in-place");
        for (from, to) in
            [(Path::new(env!("CARGO_BIN_EXE_killpoint")), "killpoint"), (&guest, "guest")]
        {
            fs::copy(from, world.join(to)).expect("copied");
            fs::set_permissions(world.join(to), fs::Permissions::from_mode(0o755)).expect("ours");
        }
        if let Some(user) = user {
            let owned = ["", "state", "state/precious.txt", "out", "home"];
            for name in owned {
                chown(world.join(name), Some(user), Some(user)).expect("root may");
            }
        }
        Site { world, user }
    }

    /// The mark stands in the environment of every process of the tool's tree, and nowhere else.
    fn mark(&self) -> String {
        format!("KILLPOINT_TEST_MARK={}", self.world.path().display())
    }

    fn tool(&self) -> Command {
        let binary = self.world.join("killpoint");
        let mut command = match self.user {
            None => Command::new(binary),
            Some(user) => {
                let user = user.to_string();
                let mut command = Command::new("setpriv");
                command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(binary);
                command
            }
        };
        command
            .current_dir(self.world.path())
            .env("HOME", self.world.join("home"))
            .env("KILLPOINT_TEST_MARK", self.world.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn explore(&self) -> Child {
        let mut command = self.tool();
        command.args(["explore", "--state", "state", "--out", "out", "--jobs", "2"]);
        command.args(["--model", ALL_MODELS, "--profile", "strict", "--check", "./guest check"]);
        command.args(["--", "./guest"]).spawn().expect("the tool starts")
    }

    /// The folder of the only run, as soon as it has a log.
    fn run(&self) -> Option<PathBuf> {
        let mut runs = fs::read_dir(self.world.out().join("runs")).ok()?;
        runs.next()?.ok().map(|run| run.path()).filter(|run| run.join("events.jsonl").exists())
    }

    fn events(&self) -> usize {
        let Some(run) = self.run() else { return 0 };
        let text = fs::read(run.join("events.jsonl")).unwrap_or_default();
        text.iter().filter(|byte| **byte == b'\n').count().saturating_sub(1)
    }

    /// The state as it is: every path with its mode and contents.
    fn state(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.world.state()];
        while let Some(path) = open.pop() {
            let metadata = fs::symlink_metadata(&path).expect("it is there");
            let mut contents = Vec::new();
            if metadata.is_dir() {
                let entries = fs::read_dir(&path).expect("readable");
                open.extend(entries.map(|entry| entry.expect("an entry").path()));
            } else {
                contents = fs::read(&path).expect("readable");
            }
            found.insert(path, (metadata.mode(), contents));
        }
        found
    }

    /// The processes that carry the mark.
    fn processes(&self) -> Vec<String> {
        let mark = self.mark().into_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("/proc is mounted").flatten() {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|variable| variable == mark) {
                let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let command = String::from_utf8_lossy(&command).replace('\0', " ");
                found.push(format!("{} {command}", entry.file_name().display()));
            }
        }
        found
    }

    /// The mounts of this namespace below the world's directory.
    fn mounts(&self) -> Vec<String> {
        let text = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
        let path = self.world.path().display().to_string();
        text.lines().filter(|line| line.contains(&path)).map(str::to_owned).collect()
    }
}

/// Waits until it holds; the kernel ends the processes of a dead namespace when it gets to it.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..STEPS_MAX {
        if holds() {
            return;
        }
        thread::sleep(STEP);
    }
    panic!("in vain waited until {what}");
}

fn leaves_nothing_behind(user: Option<u32>) {
    let events = events_of_a_whole_run(user);
    let mut generator = Generator::new(Seed(9));
    let chosen = generator.sample(events, moments());
    for moment in chosen {
        // The n-th event is a moment that does not depend on the machine's speed.
        killed_at(user, moment + 1);
    }
}

fn events_of_a_whole_run(user: Option<u32>) -> usize {
    let site = Site::new(user);
    let status = site.explore().wait().expect("our own child");
    assert_eq!(status.code(), Some(1), "user {user:?}");
    let events = site.events();
    assert!(events > 20, "{events} events");
    events
}

fn killed_at(user: Option<u32>, event: usize) {
    let site = Site::new(user);
    let before = site.state();
    let mut tool = site.explore();
    let mut ended = false;
    wait_until("the event was logged", || {
        ended = tool.try_wait().expect("our own child").is_some();
        ended || site.events() >= event
    });
    assert!(!ended || site.events() >= event, "the tool ended before its event {event}");
    tool.kill().expect("our own child");
    tool.wait().expect("our own child");
    let at = format!("killed at event {event} as user {user:?}");
    wait_until(&format!("no process is left, {at}: {:?}", site.processes()), || {
        site.processes().is_empty()
    });
    assert_eq!(site.mounts(), Vec::<String>::new(), "{at}");
    assert_eq!(site.state(), before, "{at}");
    can_be_reported_on(&site, &at);
}

fn can_be_reported_on(site: &Site, at: &str) {
    let run = site.run().expect("a run");
    let mut command = site.tool();
    command.arg("report").arg(&run).args(["--format", "json"]);
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("it starts");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{at}: {error}: {}{}", stdout(&output), stderr(&output)));
    let result = report["result"].as_str().expect("a result");
    assert!(result == "interrupted" || result == "violated", "{at}: {result}");
    assert!(run.join("report.html").exists(), "{at}");
}

#[test]
fn the_report_of_a_run_that_goes_on_says_so() {
    let site = Site::new(None);
    let mut command = site.tool();
    command.args(["explore", "--state", "state", "--out", "out", "--check", "sleep 0.3", "--"]);
    let mut tool = command.args(["sh", "-c", "echo a >state/new"]).spawn().expect("it starts");
    wait_until("something was told", || site.events() >= 1);
    let mut command = site.tool();
    command.arg("report").arg(site.run().expect("a run"));
    let output = command.stdout(Stdio::piped()).output().expect("it starts");
    let number = tool.id();
    assert!(tool.wait().expect("our own child").success());
    let text = stdout(&output);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&format!("still goes on, in process {number}")), "{text}");
    assert!(text.contains("interrupted: not yet over"), "{text}");
    assert!(!text.contains("stopped from outside"), "{text}");
    let mut command = site.tool();
    command.arg("report").arg(site.run().expect("a run"));
    let output = command.stdout(Stdio::piped()).output().expect("it starts");
    assert!(stdout(&output).contains("  pass: "), "{}", stdout(&output));
}

/// What a run says of the real state's file, which was changed while it went on.
fn said_of_the_changed_file(report: &[u8]) -> String {
    let report: killpoint_model::report::Report = serde_json::from_slice(report).expect("a report");
    assert_eq!(report.result, killpoint_model::Outcome::Unknown, "{report:#?}");
    let gap = report.not_covered.iter().find(|gap| gap.file == "precious.txt");
    let gap = gap.unwrap_or_else(|| panic!("{report:#?}"));
    assert!(gap.needed, "{gap:?}");
    gap.reason.clone()
}

#[test]
fn a_change_of_the_real_state_is_noticed_though_its_owner_cannot_be_kept() {
    let users = if is_root() { &[None, Some(NOBODY)][..] } else { &[None] };
    for user in users {
        let site = Site::new(*user);
        let precious = site.world.state().join("precious.txt");
        if user.is_some() {
            chown(&precious, *user, Some(0)).expect("root may");
        }
        let mut command = site.tool();
        command.args(["explore", "--state", "state", "--out", "out", "--format", "json"]);
        command.args(["--check", "sleep 0.5; cat state/precious.txt", "--"]);
        command.args(["sh", "-c", "echo a >state/new"]).stdout(Stdio::piped());
        let tool = command.spawn().expect("the tool starts");
        wait_until("the state was read", || site.events() >= 1);
        fs::write(&precious, "do NOT touch").expect("written");
        fs::set_permissions(&precious, fs::Permissions::from_mode(0o604)).expect("ours");
        let output = tool.wait_with_output().expect("our own child");
        let reason = said_of_the_changed_file(&output.stdout);
        assert!(reason.contains("has other bytes"), "{user:?}: {reason}");
        assert!(reason.contains("has mode 604, not 644"), "{user:?}: {reason}");
        assert!(!reason.contains("owner"), "{user:?}: {reason}");
        assert!(reason.contains("outside the target's tree"), "{user:?}: {reason}");
    }
}

#[test]
fn without_namespaces_a_command_that_changes_its_real_state_is_told_so() {
    for script in
        ["echo b >state/precious.txt", "echo b | tee state/precious.txt $KILLPOINT_STATE/a"]
    {
        let site = Site::new(None);
        let mut command = site.tool();
        command.args(["explore", "--state", "state", "--out", "out", "--format", "json"]);
        command.args(["--no-namespaces", "--check", "true", "--", "sh", "-c", script]);
        let output = command.stdout(Stdio::piped()).output().expect("the tool starts");
        let reason = said_of_the_changed_file(&output.stdout);
        assert!(reason.contains("perhaps by the command itself"), "{script}: {reason}");
        assert!(reason.contains("KILLPOINT_STATE"), "{script}: {reason}");
    }
}

/// What a container that is started with default settings lets a program do: an imitation.
fn in_default_container(program: &str) -> Option<Command> {
    if !is_root() {
        println!("skipped: only root can imitate a container");
        return None;
    }
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/default_container.py"));
    command.arg(program);
    Some(command)
}

#[test]
fn a_container_with_default_settings_can_run_the_demo_and_says_what_is_weaker() {
    let world = World::new();
    let Some(mut command) = in_default_container(env!("CARGO_BIN_EXE_killpoint")) else { return };
    let output = command.arg("demo").current_dir(world.path()).output().expect("python3 starts");
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("no namespaces"), "{}", stdout(&output));
    let Some(mut command) = in_default_container(env!("CARGO_BIN_EXE_killpoint")) else { return };
    let output = command.arg("doctor").current_dir(world.path()).output().expect("python3 starts");
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("NO   pidfd_getfd"), "{}", stdout(&output));
}

#[test]
fn a_container_with_default_settings_keeps_a_home_that_holds_the_state() {
    let script = r#"d="$HOME/.app"; echo '[1]' >"$d/new" && : >"$d/notes.json" && cat "$d/new" >"$d/notes.json""#;
    let world = World::new();
    let home = world.join("home");
    fs::create_dir_all(home.join(".app")).expect("made");
    fs::write(home.join(".app/notes.json"), "[0]").expect("written");
    let Some(mut command) = in_default_container(env!("CARGO_BIN_EXE_killpoint")) else { return };
    command.current_dir(world.path()).env("HOME", &home);
    command.args(["explore", "--out", "out", "--format", "json", "--state", "home/.app"]);
    let explored = explored(command.args(["--", "sh", "-c", script]));
    explored.expect(killpoint_model::Outcome::Violated);
    assert_eq!(fs::read(home.join(".app/notes.json")).expect("there"), b"[0]");
    assert!(!home.join(".app/new").exists(), "{}", explored.summary());
}

#[test]
fn a_container_with_default_settings_gives_the_same_findings() {
    for (name, model) in [("save-in-place", "kill"), ("exchange", ALL_MODELS), ("threads", "kill")]
    {
        let guest = guests_directory().join(name);
        let mut found = Vec::new();
        for contained in [false, true] {
            let world = World::new();
            let mut command = match contained {
                false => Command::new(env!("CARGO_BIN_EXE_killpoint")),
                true => match in_default_container(env!("CARGO_BIN_EXE_killpoint")) {
                    Some(command) => command,
                    None => return,
                },
            };
            command.current_dir(world.path()).args(["explore", "--state", "state", "--out", "out"]);
            command.args(["--format", "json", "--model", model, "--profile", "strict"]);
            command.args(["--check", &format!("{} check", guest.display()), "--"]).arg(&guest);
            let explored = explored(&mut command);
            let report = &explored.report;
            let findings: Vec<_> = report
                .findings
                .iter()
                .map(|finding| (finding.key(), finding.points, finding.confirmed.hits))
                .collect();
            assert!(report.unknown.is_empty(), "{}", explored.summary());
            found.push((report.points, findings, report.result));
        }
        assert_eq!(found[0], found[1], "{name}");
    }
}
