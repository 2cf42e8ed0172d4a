//! Commands that are not the same in every run, and commands whose runs would be in each other's way.

use crate::support::{Explored, World, explored, outside_of_views, stderr, stdout};
use killpoint_model::{Outcome, Reason};
use std::fs;
use tempfile::TempDir;

/// A state with a document, and a directory that all runs share.
struct Shared {
    world: World,
    outside: TempDir,
}

impl Shared {
    fn new() -> Shared {
        let world = World::new();
        fs::write(world.state().join("a.json"), "{\"v\":1}").expect("written");
        Shared { world, outside: tempfile::tempdir_in(outside_of_views()).expect("a directory") }
    }

    fn explore(&self, jobs: &str, script: &str) -> Explored {
        let mut command = self.world.explore_json();
        command.args(["--jobs", jobs, "--", "sh", "-c", script]);
        explored(command.env("OUTSIDE", self.outside.path()))
    }
}

/// A right save: of a document, by way of another file.
const SAVE: &str =
    "cd $KILLPOINT_STATE; printf '{\"v\":2}' >a.json.tmp; sync a.json.tmp; mv a.json.tmp a.json; ";

#[test]
fn a_lock_that_all_runs_share_keeps_none_of_them_from_its_work() {
    let lock = "exec 9>$OUTSIDE/lock; flock -n 9 || exit 1; sleep 0.2; ";
    let explored = Shared::new().explore("2", &format!("{lock}{SAVE}"));
    explored.expect(Outcome::Pass);
    assert!(explored.report.unknown.is_empty(), "{}", explored.summary());
}

#[test]
fn what_a_run_does_only_without_another_beside_it_is_judged() {
    let unsafe_if_alone = "exec 9>>$OUTSIDE/lock; flock -n 9 || exit 0; sleep 0.2; \
                           printf '{\"v\":3, \"more\":\"xxxxxxxx\"}' >a.json";
    let shared = Shared::new();
    fs::write(shared.outside.path().join("lock"), "").expect("written");
    shared.explore("2", &format!("{SAVE}{unsafe_if_alone}")).expect(Outcome::Violated);
}

#[test]
fn operations_that_only_another_recording_has_are_not_passed_over() {
    // The first run leaves early, all others go on.
    let more = "[ -e $OUTSIDE/ran ] || { : >$OUTSIDE/ran; exit 0; }; printf '{\"v\":3}' >b.json.tmp; \
                sync b.json.tmp; mv b.json.tmp b.json";
    let explored = Shared::new().explore("1", &format!("{SAVE}{more}"));
    explored.expect(Outcome::Unknown);
    let [unknown] = explored.report.unknown.as_slice() else { panic!("{}", explored.summary()) };
    assert_eq!(unknown.reason, Reason::Diverged);
    assert!(unknown.detail.contains("has 4 operations that"), "{}", unknown.detail);
    assert_eq!(explored.report.unstable, 4);
}

#[test]
fn a_recording_that_is_set_aside_still_shows_what_there_is_beyond() {
    let more_beside_another = "exec 9>>$OUTSIDE/lock; sleep 0.2; flock -n 9 || { printf '{\"v\":3}' >b.json.tmp; \
                               sync b.json.tmp; mv b.json.tmp b.json; }; sleep 0.2";
    let shared = Shared::new();
    fs::write(shared.outside.path().join("lock"), "").expect("written");
    let whole = shared.explore("2", &format!("{SAVE}{more_beside_another}"));
    whole.expect(Outcome::Unknown);
    let [unknown] = whole.report.unknown.as_slice() else { panic!("{}", whole.summary()) };
    assert!(unknown.detail.contains("set aside, has 8 operations"), "{}", unknown.detail);

    // As if it had been interrupted after its first recording that counts.
    let folder = shared.world.only_run();
    let log = folder.join("events.jsonl");
    let text = fs::read_to_string(&log).expect("a log");
    let recorded = text.find("\"event\":\"recorded\"").expect("a recording");
    let end = recorded + text[recorded..].find('\n').expect("a line") + 1;
    fs::write(&log, &text[..end]).expect("written");
    fs::remove_file(folder.join("seal.json")).expect("removed");
    let mut resume = shared.world.killpoint();
    resume.args(["resume", "--format", "json", "--out"]).arg(shared.world.out()).arg(&folder);
    let resumed = explored(resume.env("OUTSIDE", shared.outside.path()));
    resumed.expect(Outcome::Unknown);
    assert_eq!(resumed.report.unknown, whole.report.unknown);
}

#[test]
fn a_name_that_tells_the_time_is_found_again_at_another_time() {
    let world = World::new();
    fs::write(world.state().join("a.json"), "{}").expect("written");
    let script = "cd $KILLPOINT_STATE; n=session-$(date +%Y-%m-%d-%H%M%S).json; \
                  printf '{\"a\":1}' >$n; printf '{\"a\":2}' >$n";
    let mut command = world.explore_json();
    let explored = explored(command.args([
        "--check",
        "for file in $KILLPOINT_STATE/*.json; do [ -s $file ] || exit 1; done; echo {}",
        "--",
        "sh",
        "-c",
        script,
    ]));
    explored.expect(Outcome::Violated);
    let report = &explored.report;
    assert!(report.unknown.is_empty(), "{}", explored.summary());
    assert_eq!(report.recordings, 2, "one more was not needed");
    for finding in &report.findings {
        assert!(finding.address.to_string().contains("<new1>"), "{}", finding.address);
        assert_eq!(finding.confirmed.hits, finding.confirmed.tries, "{}", explored.summary());
    }
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let mut replay = world.killpoint();
    replay.arg("replay").arg(format!("{}/1", world.only_run().display()));
    let output = replay.output().expect("it starts");
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn a_name_that_is_a_digest_of_the_time_is_found_again_at_another_time() {
    // Alone, and beside a name that is another one each time.
    for temporary in ["$n.new", "$(mktemp -u XXXXXX)"] {
        let world = World::new();
        let script = format!(
            "cd $KILLPOINT_STATE; n=$(date +%s | sha1sum | cut -c 1-40); mkdir $n.d; \
             t={temporary}; echo whole >$n.d/$t; mv $n.d/$t $n.d/$n"
        );
        let mut command = world.explore_json();
        let check = "cat $KILLPOINT_STATE/*/* >/dev/null 2>&1; echo '{}'";
        let explored = explored(command.args(["--check", check, "--", "sh", "-c", &script]));
        assert!(explored.report.unknown.is_empty(), "{}", explored.summary());
        explored.expect(Outcome::Pass);
        assert!(explored.report.recordings > 2, "two can be made within a second");
    }
}

/// A document in `data`, a directory beside it, and a script that runs where both are.
fn beside(world: &World, script: &str) -> std::process::Command {
    for name in ["data", "staging"] {
        fs::create_dir(world.join(name)).expect("made");
    }
    fs::write(world.join("data/x.json"), "{\"v\":1}").expect("written");
    fs::write(world.join("s.sh"), script).expect("written");
    let mut command = world.killpoint();
    command.args(["explore", "--format", "json", "--out"]).arg(world.out());
    command
}

/// What keeps a run from being judged, which is one thing.
fn only_unknown(explored: &Explored) -> String {
    explored.expect(Outcome::Unknown);
    let [unknown] = explored.report.unknown.as_slice() else { panic!("{}", explored.summary()) };
    assert_eq!(unknown.reason, Reason::NotCovered);
    unknown.detail.clone()
}

const MOVES_IN: &str = "set -e; echo '{\"v\":2}' >staging/x.json; mv staging/x.json data/x.json";

#[test]
fn a_rename_that_only_our_mounts_keep_from_its_work_is_no_finding() {
    let moves_out = "mv data/x.json staging/x.json";
    let links_in = "echo 1 >staging/y; ln staging/y data/y || cp staging/y data/y";
    let links_out = "ln data/x.json staging/old || :; echo '{\"v\":2}' >data/x.json";
    let apart: &[&str] = &["--state", "data"];
    let both: &[&str] = &["--state", "data", "--state", "staging"];
    let notify: &[&str] = &["--state", "data", "--mechanism", "notify"];
    for (flags, script, says) in [
        (apart, MOVES_IN, "rename staging/x.json to data/x.json (EXDEV)"),
        (both, MOVES_IN, "rename staging/x.json to data/x.json (EXDEV)"),
        (notify, MOVES_IN, "rename staging/x.json to data/x.json (EXDEV)"),
        (apart, moves_out, "rename data/x.json to staging/x.json (EXDEV)"),
        (apart, links_in, "link staging/y to data/y (EXDEV)"),
        (apart, links_out, "link data/x.json to staging/old (EXDEV)"),
    ] {
        let world = World::new();
        let mut command = beside(&world, script);
        let explored = explored(command.args(flags).args(["--", "sh", "s.sh"]));
        let detail = only_unknown(&explored);
        assert!(detail.contains(says) && detail.contains("holds both: --state ."), "{detail}");
    }
    let world = World::new();
    let mut command = beside(&world, MOVES_IN);
    let explored = explored(command.args(["--state", ".", "--", "sh", "s.sh"]));
    explored.expect(Outcome::Pass);
    assert!(explored.report.unknown.is_empty(), "{}", explored.summary());
}

#[test]
fn a_rename_between_two_file_systems_is_what_the_program_really_does() {
    let world = World::new();
    let elsewhere = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let mut command = beside(&world, "echo 1 >$ELSEWHERE/y; mv $ELSEWHERE/y data/y");
    command.env("ELSEWHERE", elsewhere.path()).args(["--state", "data", "--check", "true"]);
    let explored = explored(command.args(["--", "sh", "s.sh"]));
    explored.expect(Outcome::Pass);
    assert!(explored.report.unknown.is_empty(), "{}", explored.summary());
}

#[test]
fn a_command_that_fails_because_of_our_mounts_is_told_so() {
    let rename =
        "python3 -c 'import os; open(\"staging/y\", \"w\"); os.rename(\"staging/y\", \"data/y\")'";
    for (script, says) in [
        (rename, "holds both: --state ."),
        ("mv data old", "rename data to old (EBUSY)"),
        ("rm data/x.json; rmdir data", "remove data (EBUSY)"),
    ] {
        let world = World::new();
        let mut command = beside(&world, script);
        let explored = explored(command.args(["--state", "data", "--", "sh", "s.sh"]));
        explored.expect(Outcome::BaselineFailed);
        assert!(explored.report.explanation.contains(says), "{}", explored.summary());
    }
}

#[test]
fn directories_between_which_a_command_moves_files_are_found_together() {
    let script = "d=$HOME/.local/share/app; mkdir -p $d/data $d/staging; echo '{\"v\":2}' >$d/staging/x.json; \
                  mv $d/staging/x.json $d/data/x.json";
    let world = World::new();
    let mut command = beside(&world, script);
    fs::create_dir_all(world.join("home/.local/share/app/data")).expect("made");
    command.env("HOME", world.join("home"));
    let explored = crate::support::explored(command.args(["--", "sh", "s.sh"]));
    explored.expect(Outcome::Pass);
    let setting = explored.report.setting.as_ref().expect("a setting");
    let [state] = setting.state.as_slice() else { panic!("{:?}", setting.state) };
    assert!(state.ends_with("home/.local/share/app"), "{state}");

    let script = "mkdir -p $HOME/.cache/app; echo '{\"v\":2}' >$HOME/.cache/app/x.json; \
                  mv $HOME/.cache/app/x.json $HOME/.local/share/app/data/x.json";
    let world = World::new();
    let mut command = beside(&world, script);
    fs::create_dir_all(world.join("home/.local/share/app/data")).expect("made");
    command.env("HOME", world.join("home"));
    let explored = crate::support::explored(command.args(["--", "sh", "s.sh"]));
    assert!(only_unknown(&explored).contains("holds both: --state home"), "{}", explored.summary());
}

/// Writes a blob beside the state, and then its name into the state.
const BLOB: &str = "mkdir -p blobs; echo 1 >blobs/n; echo log >app.log; sync blobs/n; \
                    echo n >data/name.tmp; sync data/name.tmp; mv data/name.tmp data/name";

#[test]
fn what_a_command_changes_beside_its_state_is_not_covered() {
    let reads = "n=$(cat data/name 2>/dev/null) || exit 0; cat blobs/$n >/dev/null || exit 1";
    for (flags, check, needed) in [
        (&["--state", "data"] as &[&str], "test -d data", Some(false)),
        (&["--state", "data"], reads, Some(true)),
        (&["--state", "data", "--state", "blobs"], reads, None),
    ] {
        let world = World::new();
        let mut command = beside(&world, BLOB);
        fs::create_dir(world.join("blobs")).expect("made");
        command.args(flags).args(["--check", check, "--", "sh", "s.sh"]);
        let explored = explored(&mut command);
        let gaps = &explored.report.not_covered;
        let blob = gaps.iter().find(|gap| gap.file == "blobs/n");
        assert_eq!(blob.map(|gap| gap.needed), needed, "{}", explored.summary());
        assert_eq!(explored.report.result == Outcome::Pass, needed != Some(true));
        if let Some(gap) = blob {
            assert!(gap.reason.ends_with("as well: --state blobs"), "{}", gap.reason);
        }
        let log = gaps.iter().find(|gap| gap.file == "app.log").expect("told");
        assert!(log.reason.ends_with("holds both: --state ."), "{}", log.reason);
    }
}

#[test]
fn what_comes_and_goes_beside_the_state_and_what_is_temporary_is_not_told() {
    let script = "echo 1 >lock; rm lock; echo 1 >$HOME/.cache/c; echo 1 >/dev/shm/killpoint-test-s; \
                  echo 1 >/dev/null; echo 1 >staging/a; rm staging/a; \
                  echo '{\"v\":2}' >data/y; sync data/y; mv data/y data/x.json; echo 'I a 1' >>$KILLPOINT_JOURNAL";
    let world = World::new();
    let mut command = beside(&world, script);
    fs::create_dir_all(world.join("home/.cache")).expect("made");
    command.env("HOME", world.join("home"));
    command.args(["--state", "data", "--check", "true", "--", "sh", "s.sh"]);
    let explored = explored(&mut command);
    assert!(explored.report.not_covered.is_empty(), "{}", explored.summary());
}

/// A script that leaves a process behind which would save later.
fn leaves_behind(flags: &[&str], left: &str) -> Explored {
    let world = World::new();
    let script = format!("({left}) >/dev/null 2>&1 & {SAVE}");
    let mut command = world.explore_json();
    command.args(flags).args(["--check", "true", "--", "sh", "-c", &script]);
    explored(&mut command)
}

#[test]
fn what_a_process_that_outlives_the_command_would_do_is_not_covered() {
    for flags in [&[] as &[&str], &["--mechanism", "notify"]] {
        for (left, needed) in [
            ("sleep 9; : >$KILLPOINT_STATE/n", false),
            (": >$KILLPOINT_STATE/n; sleep 9", true),
            ("exec 9<$KILLPOINT_STATE; sleep 9", false),
            ("echo 1 >$KILLPOINT_STATE/n; exec sleep 9 8<$KILLPOINT_STATE/n", true),
        ] {
            let explored = leaves_behind(flags, left);
            let gaps = &explored.report.not_covered;
            let gap = gaps.iter().find(|gap| gap.reason.contains("asked to end (SIGTERM)"));
            let gap = gap.unwrap_or_else(|| panic!("{left}: {}", explored.summary()));
            assert_eq!(gap.needed, needed, "{left}: {}", explored.summary());
            assert!(gap.reason.contains("have the command wait for"), "{}", gap.reason);
            let outcome = if needed { Outcome::Unknown } else { Outcome::Pass };
            explored.expect(outcome);
        }
    }
}

#[test]
fn a_process_that_computes_has_not_come_to_rest() {
    let computes = "python3 -c 'import os, time\nt = time.process_time()\nwhile time.process_time() - t < 0.6: pass\n\
                    open(os.environ[\"KILLPOINT_STATE\"] + \"/n\", \"w\")'";
    for flags in [&[] as &[&str], &["--mechanism", "notify"]] {
        let explored = leaves_behind(flags, computes);
        explored.expect(Outcome::Pass);
        let is_left = explored.report.not_covered.iter().any(|gap| gap.reason.contains("process"));
        assert!(!is_left, "{}", explored.summary());
        let idle = explored.report.notes.iter().any(|note| note.ends_with("idle 1"));
        assert!(idle, "{}", explored.summary());
    }
}

#[test]
fn a_file_that_openat2_makes_below_a_directory_is_recorded_there() {
    let script = "import ctypes, os, struct\n\
                  root = os.open(os.environ['KILLPOINT_STATE'], os.O_RDONLY)\n\
                  how = struct.pack('QQQ', os.O_CREAT | os.O_WRONLY, 0o644, 0x10)\n\
                  made = ctypes.CDLL(None).syscall(437, root, b'/e.bin', how, len(how))\n\
                  assert made >= 0 and os.write(made, b'x') == 1";
    let world = World::new();
    let mut command = world.explore_json();
    command.args(["--check", "true", "--", "python3", "-c", script]);
    let explored = explored(&mut command);
    explored.expect_silence();
    assert_eq!(explored.report.operations, 2, "{}", explored.summary());
    let real = |note: &String| note.contains("for real");
    assert!(!explored.report.notes.iter().any(real), "{}", explored.summary());
}
