//! The commands around a run, end to end: demo, doctor, audit, resume, recover, Ctrl-C.
//!
//! Processes that must vanish are found by a number in their arguments that no other test uses.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use serde_json::Value;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longest time that anything is waited for; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A working directory of its own, with a state directory and room for runs.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        fs::create_dir(place.path().join("state")).unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn killpoint(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_killpoint"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts `explore` on the example's wrong store, with this shell command before its checker.
    fn explore(&self, flags: &[&str], before_check: &str) -> Child {
        let program = env!("CARGO_BIN_EXE_killpoint");
        let check =
            format!("{before_check}; {program} demo-store wrong check \"$KILLPOINT_STATE\"");
        let mut arguments = vec!["explore", "--state", "state", "--check", &check];
        arguments.extend(flags);
        arguments.extend(["--", program, "demo-store", "wrong", "work", "{state}"]);
        self.command(&arguments).spawn().unwrap()
    }

    /// The folders of the runs that are not in this list.
    fn runs(&self, without: &[PathBuf]) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.path().join(".killpoint/runs")) else {
            return Vec::new();
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| !without.contains(path)).collect()
    }

    /// The only run's folder.
    fn run(&self) -> PathBuf {
        let runs = self.runs(&[]);
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs[0].clone()
    }

    /// Waits until the log of the only run has this many events of a kind.
    fn wait_for_events(&self, kind: &str, count: usize) {
        let wanted = format!("\"event\":\"{kind}\"");
        wait_until(&format!("{count} events {kind}"), || {
            let runs = self.runs(&[]);
            let log =
                runs.first().and_then(|run| fs::read_to_string(run.join("events.jsonl")).ok());
            log.is_some_and(|log| log.matches(&wanted).count() >= count)
        });
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(5));
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A number of seconds to sleep that marks processes as this test's.
fn mark() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("1{:07}{next:02}", std::process::id())
}

/// The processes that have the mark for an argument.
fn marked(mark: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers
        .filter(|pid: &u32| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            arguments.split(|byte| *byte == 0).any(|argument| argument == mark.as_bytes())
        })
        .collect()
}

/// A report without what differs from run to run: times, and the run's own id.
fn comparable(run: &Path) -> Value {
    let id = run.file_name().unwrap().to_str().unwrap();
    let document = fs::read_to_string(run.join("report.json")).unwrap().replace(id, "RUN");
    let mut report: Value = serde_json::from_str(&document).unwrap();
    for name in ["started", "seconds"] {
        report.as_object_mut().unwrap().remove(name);
    }
    // On a busy machine a time-out follows from how long the control's reading took.
    let notes = report["notes"].as_array_mut().expect("a list");
    notes.retain(|note| !note.as_str().unwrap().starts_with("time-outs: "));
    report
}

fn kill(pid: u32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn the_demo_finds_the_wrong_store_out_and_lets_the_right_one_pass() {
    let place = Place::new();
    let output = place.killpoint(&["demo"]);
    let said = text(&output.stdout);
    assert_eq!(code(&output), 0, "{said}{}", text(&output.stderr));
    assert!(said.contains("LOST") && said.contains("pass: no finding"), "{said}");
    assert!(said.contains("The runs are in .killpoint/runs/"), "{said}");
    assert_eq!(fs::read_to_string(place.path().join(".killpoint/.gitignore")).unwrap(), "*\n");
    let replay = said.lines().find_map(|line| line.trim().strip_prefix("again killpoint replay "));
    let finding = replay.unwrap().split_whitespace().next().unwrap();
    let output = place.killpoint(&["replay", finding]);
    assert_eq!(code(&output), 0, "{}", text(&output.stdout));
}

#[test]
fn the_doctor_says_what_this_machine_offers() {
    let place = Place::new();
    let output = place.killpoint(&["doctor"]);
    let page = text(&output.stdout);
    for name in ["ptrace", "seccomp filters", "user namespace", "overlay", "Containment:"] {
        assert!(page.contains(name), "{page}");
    }
    let output = place.killpoint(&["doctor", "--format", "json"]);
    let examination: Value = serde_json::from_slice(&output.stdout).unwrap();
    let can_explore = examination["can_explore"].as_bool().unwrap();
    assert_eq!(code(&output), if can_explore { 0 } else { 3 });
    let tried = examination["tried"].as_array().unwrap();
    for it in tried.iter().filter(|it| it["here"] == false) {
        assert_ne!(it["remedy"], "", "{it}");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left in the directory");
}

#[test]
fn a_changed_record_is_found_at_its_line() {
    let place = Place::new();
    assert!(place.explore(&[], "true").wait().is_ok());
    let run = place.run();
    let output = place.killpoint(&["audit", "verify", run.to_str().unwrap()]);
    assert!(text(&output.stdout).contains(" records, chain whole, sealed as "), "{output:?}");
    assert_eq!(code(&output), 0);
    let log = run.join("events.jsonl");
    let changed =
        fs::read_to_string(&log).unwrap().replacen("\"recording\":2", "\"recording\":3", 1);
    fs::write(&log, changed).unwrap();
    let output = place.killpoint(&["audit", "verify", run.to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    assert!(text(&output.stdout).contains("events.jsonl:"), "{output:?}");
}

#[test]
fn what_is_changed_at_the_end_of_a_log_is_found_by_its_seal() {
    let place = Place::new();
    assert!(place.explore(&[], "true").wait().is_ok());
    let run = place.run();
    let (log, seal) = (run.join("events.jsonl"), run.join("seal.json"));
    let events = fs::read_to_string(&log).unwrap();
    let sealed: Value = serde_json::from_str(&fs::read_to_string(&seal).unwrap()).unwrap();
    let verify = |expected: i32, said: &str| {
        let output = place.killpoint(&["audit", "verify", run.to_str().unwrap()]);
        assert_eq!(code(&output), expected, "{output:?}");
        assert!(text(&output.stdout).contains(said), "{output:?}");
    };
    verify(0, &format!("chain whole, sealed as {}\n", sealed["last"].as_str().unwrap()));
    let (before, last) = events.trim_end().rsplit_once('\n').unwrap();
    let edited = last.replace("\"result\":\"violated\"", "\"result\":\"pass\"");
    assert_ne!(edited, last);
    fs::write(&log, format!("{before}\n{edited}\n")).unwrap();
    verify(1, "the last record is not the one that was sealed");
    fs::write(&log, format!("{before}\n")).unwrap();
    verify(1, "its end was cut off");
    let resumed = place.killpoint(&["resume", run.to_str().unwrap()]);
    assert_eq!(code(&resumed), 2, "{resumed:?}");
    let random: Vec<u8> = (0..300_u32).map(|n| (n * n % 251) as u8 | 0x80).collect();
    fs::write(&log, random).unwrap();
    verify(1, "no whole record");
    fs::write(&log, &events).unwrap();
    fs::remove_file(seal).unwrap();
    verify(1, "has its end and no seal");
}

#[test]
fn completions_and_pages_come_from_the_definition_of_the_flags() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = place.killpoint(&["completions", shell]);
        assert!(text(&output.stdout).contains("write-baseline"), "{shell}");
        assert_eq!(code(&output), 0);
    }
    let output = place.killpoint(&["man"]);
    assert!(text(&output.stdout).contains(".TH killpoint 1"), "{output:?}");
    let output = place.killpoint(&["man", "pages"]);
    assert_eq!(code(&output), 0);
    let page = fs::read_to_string(place.path().join("pages/killpoint-explore.1")).unwrap();
    assert!(page.contains("write\\-baseline"), "{page}");
}

#[test]
fn every_command_shows_an_example_in_its_help() {
    let place = Place::new();
    let commands = [
        "explore",
        "replay",
        "report",
        "resume",
        "recover",
        "audit verify",
        "demo",
        "doctor",
        "completions",
        "man",
    ];
    for command in commands {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let help = text(&place.killpoint(&arguments).stdout);
        assert!(help.contains(&format!("  killpoint {command}")), "{help}");
    }
}

/// Interrupts a run with kill -9 once its log has some events, resumes it, and compares it with one
/// that was not interrupted.
fn check_resumed(kind: &str, count: usize) {
    let whole = Place::new();
    assert_eq!(whole.explore(&["--jobs", "2"], "sleep 0.05").wait().unwrap().code(), Some(1));
    let place = Place(tempfile::tempdir().unwrap());
    fs::create_dir(place.path().join("state")).unwrap();
    let mut child = place.explore(&["--jobs", "2"], "sleep 0.05");
    place.wait_for_events(kind, count);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let run = place.run();
    let before = fs::read_to_string(run.join("events.jsonl")).unwrap();
    assert!(!before.contains("run-ended"), "the run was to be interrupted");
    let audit = place.killpoint(&["audit", "verify", run.to_str().unwrap()]);
    assert_eq!(code(&audit), 3, "{audit:?}");
    assert!(text(&audit.stdout).contains("The log has no end"), "{audit:?}");
    let output = place.killpoint(&["resume", run.to_str().unwrap()]);
    assert_eq!(code(&output), 1, "{}", text(&output.stderr));
    let log = fs::read_to_string(run.join("events.jsonl")).unwrap();
    assert_eq!(log.matches("\"event\":\"recorded\"").count(), 2, "recordings are not made again");
    assert_eq!(log.matches("\"event\":\"resumed\"").count(), 1);
    let whole_lines = &before[..before.rfind('\n').map_or(0, |end| end + 1)];
    assert!(log.starts_with(whole_lines), "what was logged stays");
    let audit = place.killpoint(&["audit", "verify", run.to_str().unwrap()]);
    assert_eq!(code(&audit), 0, "{audit:?}");
    let here = place.path().to_str().unwrap().to_owned();
    let there = whole.path().to_str().unwrap().to_owned();
    let resumed = comparable(&run).to_string().replace(&here, "HERE");
    let uninterrupted = comparable(&whole.run()).to_string().replace(&there, "HERE");
    assert_eq!(resumed, uninterrupted);
    let output = place.killpoint(&["resume", run.to_str().unwrap()]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("is complete"), "{output:?}");
}

#[test]
fn what_a_killed_run_had_planned_is_unknown_as_interrupted_until_it_is_resumed() {
    let place = Place::new();
    let mut child = place.explore(&["--jobs", "1"], "sleep 0.05");
    place.wait_for_events("judged", 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let run = place.run();
    let reasons = |arguments: &[&str], expected: i32| {
        let output = place.killpoint(arguments);
        assert_eq!(code(&output), expected, "{output:?}");
        let report: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
        let unknown = report["unknown"].as_array().unwrap().iter();
        unknown.map(|one| (one["reason"].to_string(), one["count"].as_u64())).collect::<Vec<_>>()
    };
    let path = run.to_str().unwrap();
    let interrupted = reasons(&["report", path, "--format", "json"], 130);
    let [(reason, Some(count))] = interrupted.as_slice() else { panic!("{interrupted:?}") };
    assert!(reason == "\"interrupted\"" && *count > 0, "{interrupted:?}");
    assert_eq!(reasons(&["resume", path, "--format", "json"], 1), []);
    assert_eq!(reasons(&["report", path, "--format", "json"], 1), []);
}

#[test]
fn a_run_killed_while_it_judges_is_resumed_to_the_same_report() {
    check_resumed("judged", 4);
}

#[test]
fn a_run_killed_between_recordings_is_resumed_to_the_same_report() {
    check_resumed("recorded", 1);
}

#[test]
fn a_run_killed_while_it_strikes_is_resumed_to_the_same_report() {
    check_resumed("struck", 2);
}

#[test]
fn what_was_judged_before_the_interruption_is_not_judged_again() {
    let place = Place::new();
    let broken = place.path().join("broken");
    let mut child =
        place.explore(&[], &format!("[ ! -e {} ] || exit 127; sleep 0.05", broken.display()));
    place.wait_for_events("judged", 5);
    child.kill().unwrap();
    child.wait().unwrap();
    let log = place.run().join("events.jsonl");
    let before = fs::read_to_string(&log).unwrap().matches("\"event\":\"judged\"").count();
    // From here on the checker fails, so whatever is judged now is seen to be judged now.
    fs::write(broken, "").unwrap();
    place.killpoint(&["resume", place.run().to_str().unwrap()]);
    let events = fs::read_to_string(&log).unwrap();
    let judged: Vec<&str> =
        events.lines().filter(|line| line.contains("\"event\":\"judged\"")).collect();
    let failed = judged.iter().filter(|line| line.contains("judge-failed")).count();
    assert!(judged.len() > before);
    assert_eq!(judged.len() - failed, before, "{events}");
    // The last one may have to be judged again: its second check may be missing.
    assert!(judged.len() <= 13, "12 distinct states: {events}");
}

#[test]
fn a_signal_stops_a_run_at_once_and_says_how_to_go_on() {
    for signal in ["-INT", "-TERM"] {
        let place = Place::new();
        let mark = mark();
        let child = place
            .explore(&[], &format!("[ -e {} ] || sleep {mark}", place.path().join("go").display()));
        wait_until("the checker to sleep", || !marked(&mark).is_empty());
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), 130, "{}", text(&output.stderr));
        assert_eq!(marked(&mark), Vec::<u32>::new(), "the workers are gone");
        let said = text(&output.stderr);
        let last = said.lines().last().unwrap();
        let command = last.split('`').nth(1).unwrap_or_default();
        assert!(command.starts_with("killpoint resume "), "{said}");
        fs::write(place.path().join("go"), "").unwrap();
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        assert_eq!(code(&place.killpoint(&arguments)), 1);
    }
}

#[test]
fn nothing_outlives_the_tool_when_it_is_killed() {
    for flags in [&[][..], &["--no-namespaces"]] {
        let place = Place::new();
        let mark = mark();
        // One sleeper in a session of its own, whose parent has ended, and one that is waited for.
        let mut child = place.explore(flags, &format!("(setsid sleep {mark} &); sleep {mark}"));
        wait_until("both sleepers", || marked(&mark).len() >= 2);
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until("the end of what was launched", || marked(&mark).is_empty());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(place.path().to_str().unwrap()), "{mounts}");
        let run = place.run();
        let output = place.killpoint(&["recover"]);
        assert_eq!(code(&output), 0, "{output:?}");
        assert!(text(&output.stdout).contains("was interrupted"), "{output:?}");
        assert!(!run.join("scratch").exists());
    }
}

#[test]
fn recover_ends_what_even_the_watchdog_could_not_and_does_so_once() {
    let place = Place::new();
    let mark = mark();
    let mut child = place.explore(&["--no-namespaces"], &format!("sleep {mark}"));
    wait_until("the checker to sleep", || !marked(&mark).is_empty());
    let run = place.run();
    let output = place.killpoint(&["recover", run.to_str().unwrap()]);
    assert_eq!(code(&output), 2, "{output:?}");
    assert!(text(&output.stderr).contains("still going on"), "{output:?}");
    let log = fs::read_to_string(run.join("undo.jsonl")).unwrap();
    let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let watchdogs: Vec<u32> = records
        .filter(|record| record["made"] == "worker")
        .map(|record| u32::try_from(record["process"]["pid"].as_u64().unwrap()).unwrap())
        .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
        .collect();
    assert!(!watchdogs.is_empty());
    watchdogs.into_iter().for_each(kill);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!marked(&mark).is_empty(), "nobody is left to end the checker");
    let output = place.killpoint(&["recover"]);
    let said = text(&output.stdout);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(said.contains("ended a program"), "{said}");
    assert!(said.contains("removed copies of the state"), "{said}");
    wait_until("the end of the checker", || marked(&mark).is_empty());
    let output = place.killpoint(&["recover"]);
    assert!(text(&output.stdout).contains("nothing was left behind"), "{output:?}");
}

#[test]
fn a_new_run_mentions_one_that_was_interrupted() {
    let place = Place::new();
    let mut child = place.explore(&[], "sleep 0.05");
    place.wait_for_events("judged", 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let interrupted = place.run();
    let output = place.explore(&[], "true").wait_with_output().unwrap();
    let said = text(&output.stderr);
    let id = interrupted.file_name().unwrap().to_str().unwrap();
    assert!(said.contains(&format!("run {id} was interrupted")), "{said}");
    assert!(said.contains("killpoint resume") && said.contains("killpoint recover"), "{said}");
    assert_eq!(code(&output), 1, "{said}");
}

#[test]
fn a_run_whose_log_is_damaged_is_not_said_to_be_resumable() {
    let place = Place::new();
    place.explore(&[], "true").wait_with_output().unwrap();
    let run = place.run();
    let log = run.join("events.jsonl");
    let whole = fs::read(&log).unwrap();
    for length in [0, 3_000] {
        fs::write(&log, &whole[..length]).unwrap();
        let said = text(&place.killpoint(&["recover"]).stdout);
        assert!(said.contains("cannot be resumed") && said.contains("audit verify"), "{said}");
        assert!(!said.contains("killpoint resume"), "{said}");
        let output = place.killpoint(&["resume", run.to_str().unwrap()]);
        assert_eq!(code(&output), 2, "{output:?}");
        let output = place.explore(&[], "true").wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert!(said.contains("cannot be resumed") && !said.contains("killpoint resume"), "{said}");
    }
    // One that was killed before it began to record.
    fs::remove_file(run.join("seal.json")).unwrap();
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    fs::write(&log, lines[..2].concat()).unwrap();
    let said = text(&place.killpoint(&["recover"]).stdout);
    assert!(said.contains("killpoint resume"), "{said}");
    fs::remove_file(run.join("setup.json")).unwrap();
    let said = text(&place.killpoint(&["recover"]).stdout);
    assert!(said.contains("before it began to record"), "{said}");
    assert!(!said.contains("killpoint resume"), "{said}");
}

#[test]
fn bad_input_leaves_no_run_behind() {
    let place = Place::new();
    fs::write(place.path().join("journal"), "garbage\n").unwrap();
    let output =
        place.killpoint(&["explore", "--state", "state", "--journal", "journal", "--", "true"]);
    assert_eq!(code(&output), 2, "{output:?}");
    assert_eq!(place.runs(&[]), Vec::<PathBuf>::new());
}
