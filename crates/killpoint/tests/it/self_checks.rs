//! A run that could prove nothing says so, and a judge that fails never says "held".

use crate::support::{Explored, World, explored, guests_directory, succeed};
use killpoint_model::report::Look;
use killpoint_model::verdict::{Class, Reason};
use killpoint_model::{CrashModel, Outcome};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

#[test]
fn a_command_that_writes_nothing_is_vacuous() {
    let world = World::new();
    let explored = explored(world.explore_json().args(["--check", "echo {}", "--", "true"]));
    explored.expect(Outcome::Vacuous);
    assert!(!explored.report.explanation.is_empty());
}

#[test]
fn a_command_that_fails_fails_the_control() {
    let world = World::new();
    let explored = explored(world.explore_json().args(["--check", "echo {}", "--", "false"]));
    explored.expect(Outcome::BaselineFailed);
    assert!(explored.report.explanation.contains("exit status 1"), "{}", explored.summary());
}

#[test]
fn a_command_that_dies_by_a_signal_fails_the_control() {
    let world = World::new();
    let script = "echo x >state/x; kill -SEGV $$";
    let explored =
        explored(world.explore_json().args(["--check", "echo {}", "--", "sh", "-c", script]));
    explored.expect(Outcome::BaselineFailed);
    assert!(explored.report.explanation.contains("signal 11"), "{}", explored.summary());
}

#[test]
fn a_store_that_never_held_what_was_acknowledged_fails_the_control() {
    let world = World::new();
    let script = r#"echo x >"$KILLPOINT_STATE/x"; echo "I a 1" >>"$KILLPOINT_JOURNAL"; echo "A a" >>"$KILLPOINT_JOURNAL""#;
    let explored =
        explored(world.explore_json().args(["--check", "echo {}", "--", "sh", "-c", script]));
    explored.expect(Outcome::BaselineFailed);
}

#[test]
fn a_checker_that_turns_unreadable_in_crash_states_makes_the_run_unknown() {
    let world = World::new();
    // It works in the control, where the document is whole, and is not there elsewhere.
    let check = r#"test -e "$KILLPOINT_STATE/done" || test ! -e "$KILLPOINT_STATE/begun" || exit 127; echo {}"#;
    let script = r#"cd "$KILLPOINT_STATE" && echo >begun && echo >done"#;
    let explored =
        explored(world.explore_json().args(["--check", check, "--", "sh", "-c", script]));
    explored.expect(Outcome::Unknown);
    assert!(
        explored.report.unknown.iter().any(|unknown| unknown.reason == Reason::JudgeFailed),
        "{}",
        explored.summary()
    );
}

#[test]
fn files_that_nobody_can_judge_make_the_run_unknown_and_are_named() {
    let world = World::new();
    let script = r#"printf '\001\002' >"$KILLPOINT_STATE/blob""#;
    let explored = explored(world.explore_json().args(["--", "sh", "-c", script]));
    explored.expect(Outcome::Unknown);
    let unknown = &explored.report.unknown;
    assert!(
        unknown
            .iter()
            .any(|unknown| unknown.reason == Reason::NoOracle && unknown.detail.contains("blob")),
        "{}",
        explored.summary()
    );
}

#[test]
fn a_known_finding_does_not_fail_the_run_and_a_new_one_does() {
    let world = World::new();
    let guest = guests_directory().join("save-in-place");
    let check = format!("{} check", guest.display());
    let explore = |flags: &[&str]| {
        let mut command = world.explore_json();
        explored(command.args(["--check", &check]).args(flags).arg("--").arg(&guest))
    };
    let first = explore(&["--write-baseline", "baseline.json"]);
    first.expect(Outcome::Violated);
    let second = explore(&["--baseline", "baseline.json"]);
    second.expect(Outcome::Pass);
    assert_eq!(second.report.known.len(), first.report.findings.len());
    assert!(second.report.findings.is_empty());
    std::fs::write(world.join("empty.json"), r#"{"version": 1, "findings": []}"#).expect("written");
    explore(&["--baseline", "empty.json"]).expect(Outcome::Violated);
}

#[test]
fn the_same_command_twice_gives_the_same_findings_and_counts() {
    for name in ["save-in-place", "threads", "two-files"] {
        let guest = guests_directory().join(name);
        let run = || {
            let world = World::new();
            let mut command = world.explore_json();
            command.args(["--model", crate::support::ALL_MODELS, "--profile", "strict"]);
            command.args(["--check", &format!("{} check", guest.display()), "--"]).arg(&guest);
            let report = explored(&mut command).report;
            let keys: Vec<String> = report.findings.iter().map(|finding| finding.key()).collect();
            let kill = report.models.get(&CrashModel::Kill).copied();
            (report.result, report.points, kill, keys)
        };
        assert_eq!(run(), run(), "{name}");
    }
}

#[test]
fn a_command_that_is_not_safe_to_run_again_is_caught_and_replays() {
    let world = World::new();
    let work = r#"cd "$KILLPOINT_STATE"; n=$(cat n 2>/dev/null || echo 0); echo $((n+1)) >n.tmp && mv n.tmp n; echo x >done"#;
    let check = r#"cd "$KILLPOINT_STATE"; echo "{\"n\": $(cat n 2>/dev/null || echo 0)}""#;
    let mut command = world.explore_json();
    command.args(["--idempotent", "--check", check, "--", "sh", "-c", work]);
    let explored = explored(&mut command);
    explored.expect(Outcome::Violated);
    let report = &explored.report;
    assert_eq!(report.findings.len(), 1, "{}", explored.summary());
    assert!(report.unknown.is_empty(), "{}", explored.summary());
    let finding = &report.findings[0];
    assert_eq!(finding.class, Class::Wrong, "{}", explored.summary());
    assert_eq!((finding.confirmed.hits, finding.confirmed.tries), (1, 1), "{}", explored.summary());
    assert_eq!((finding.look, finding.confirmed_live), (Look::RunAgain, true));
    assert!(finding.cause.contains("rename(n.tmp, n)#1"), "{}", explored.summary());
    assert!(finding.cause.contains("run again"), "{}", explored.summary());
    let mut replay = world.killpoint();
    let run = format!("{}/1", world.only_run().display());
    replay.args(["replay", &run, "--times", "3"]);
    assert!(succeed(&mut replay).contains("hit 3 of 3"));
}

/// A document that is rewritten in place, with a checker that takes what it cannot read for defaults.
fn in_place(defaults: &str, work: &str) -> Explored {
    let world = World::new();
    fs::write(world.state().join("s"), "user=ann\nn=1\n").expect("written");
    let check = format!(
        r#"cd "$KILLPOINT_STATE"; {defaults}; while IFS== read -r k v; do eval "$k='$v'"; done <s;
           echo "{{${{user+\"user\": \"$user\"}}${{n+, \"n\": \"$n\"}}}}""#
    );
    let mut command = world.explore_json();
    let work = format!("cd \"$KILLPOINT_STATE\"; {work}");
    explored(command.args(["--check", &check, "--", "sh", "-c", &work]))
}

#[test]
fn without_a_journal_what_was_there_before_and_after_is_there() {
    let emptied = "user=ann; printf 'user=ann\\n' >s; printf 'n=2\\n' >>s";
    let explored = in_place("user=; n=0", emptied);
    explored.expect(Outcome::Violated);
    assert_eq!(explored.report.findings[0].class, Class::Lost, "{}", explored.summary());
    let detail = &explored.report.findings[0].detail;
    assert!(!detail.contains("intended"), "{detail}");
    // A value of the program's own may be right, or not.
    let explored = in_place("user=root; n=0", emptied);
    explored.expect(Outcome::Pass);
    let told =
        explored.report.not_covered.iter().any(|gap| gap.reason.contains("values of n, user"));
    assert!(told, "{}", explored.summary());
}

#[test]
fn values_between_those_of_both_ends_are_a_gap() {
    let saves = "for i in 2 3 4; do printf \"user=ann\\nn=$i\\n\" >s.tmp; mv s.tmp s; done";
    let explored = in_place("user=; n=0", saves);
    explored.expect(Outcome::Pass);
    let told =
        explored.report.not_covered.iter().any(|gap| gap.reason.contains("other values of n"));
    assert!(told, "{}", explored.summary());
}

#[test]
fn a_recovery_that_throws_away_what_it_shows_is_caught_and_replays() {
    let world = World::new();
    fs::write(world.state().join("s"), "1\n").expect("written");
    let work = r#"cd "$KILLPOINT_STATE"; echo I a 2 >>"$KILLPOINT_JOURNAL"; echo 2 >wal; sync wal;
        echo A a >>"$KILLPOINT_JOURNAL"; echo 2 >s.tmp; mv s.tmp s; rm wal"#;
    let check = r#"cd "$KILLPOINT_STATE"; v=$(cat s); [ -s wal ] && v=$(cat wal); rm -f wal; echo "{\"a\": \"$v\"}""#;
    let mut command = world.explore_json();
    let explored = explored(command.args(["--check", check, "--", "sh", "-c", work]));
    explored.expect(Outcome::Violated);
    let finding = &explored.report.findings[0];
    assert_eq!(
        (finding.look, finding.class),
        (Look::Second, Class::Lost),
        "{}",
        explored.summary()
    );
    assert_eq!((finding.confirmed.hits, finding.confirmed.tries), (1, 1), "{}", explored.summary());
    assert!(finding.confirmed_live && explored.report.unknown.is_empty(), "{}", explored.summary());
    assert!(finding.cause.contains("throws away what it shows"), "{}", finding.cause);
    let mut replay = world.killpoint();
    let run = format!("{}/1", world.only_run().display());
    assert!(succeed(replay.args(["replay", &run, "--times", "3"])).contains("hit 3 of 3"));
}

/// The rebuilt states lie beside files of another time; what a live kill leaves does not.
#[test]
fn a_finding_that_every_live_kill_contradicts_is_unknown() {
    let world = World::new();
    fs::create_dir(world.join("blobs")).expect("made");
    fs::write(world.state().join("index"), "old\n").expect("written");
    let work = r#"echo blob >blobs/n.tmp; mv blobs/n.tmp blobs/n; cd "$KILLPOINT_STATE";
        { cat index; echo new; } >index.tmp; mv index.tmp index; echo saved >>log"#;
    let check = r#"n=; grep -q new "$KILLPOINT_STATE/index" && n=", \"n\": \"$(cat blobs/n 2>/dev/null)\"";
        echo "{\"old\": 1$n}""#;
    let mut command = world.explore_json();
    command.args(["--intent", "n blob", "--check", check, "--", "sh", "-c", work]);
    let explored = explored(&mut command);
    explored.expect(Outcome::Unknown);
    let report = &explored.report;
    assert!(report.findings.iter().all(|finding| finding.contradicted), "{}", explored.summary());
    assert!(report.explanation.contains("live kills"), "{}", explored.summary());
    assert!(
        report.not_covered.iter().any(|gap| gap.file.contains("blobs")),
        "{}",
        explored.summary()
    );
}

#[test]
fn threads_in_another_order_do_not_make_the_built_in_oracle_unknown() {
    for name in ["threads", "parallel"] {
        let guest = ::guests::Guest::named(name).expect("a row");
        for _ in 0..3 {
            let world = World::new();
            let mut command = world.explore_json();
            command.args(["--", "env", "--unset=KILLPOINT_JOURNAL"]);
            command.args(guest.work_command(&guests_directory()));
            let explored = explored(&mut command);
            assert!(explored.report.live.tries > 0, "{}", explored.summary());
            explored.expect(Outcome::Pass);
        }
    }
}

#[test]
fn another_document_with_equal_bytes_is_no_backup() {
    let script =
        r#"import os; open(os.environ["KILLPOINT_STATE"] + "/1.json", "w").write("[true]\n")"#;
    let check = r#"python3 -c 'import json, os; print(json.dumps({"1": json.load(open(os.environ["KILLPOINT_STATE"] + "/1.json"))}))'"#;
    for (other, flags, class) in [
        ("10.json", &[][..], Class::Lost),
        ("zz.json", &[], Class::Lost),
        ("zz.json", &["--check", check], Class::Unopenable),
        ("1.json.bak", &["--check", check], Class::RecoverableByHand),
    ] {
        let world = World::new();
        for name in ["1.json", other] {
            std::fs::write(world.state().join(name), "[false]\n").expect("written");
        }
        let mut command = world.explore_json();
        let explored = explored(command.args(flags).args(["--", "python3", "-c", script]));
        explored.expect(Outcome::Violated);
        let classes: Vec<Class> = explored.report.findings.iter().map(|it| it.class).collect();
        assert_eq!(classes, [class], "{other} {flags:?}: {}", explored.summary());
    }
}

/// Stores through a mapping that nobody sees: it is writable only between two calls on the state.
const UNSEEN: &str = r#"
import ctypes, json, mmap, os
state = os.environ["KILLPOINT_STATE"]
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
with open(state + "/mapped", "wb") as file:
    file.write(bytes(4096))
file = os.open(state + "/mapped", os.O_RDWR)
at = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, file, 0)
assert libc.mprotect(at, 4096, mmap.PROT_READ | mmap.PROT_WRITE) == 0
ctypes.memset(at, 65, 100)
assert libc.munmap(at, 4096) == 0
os.close(file)
with open(state + "/notes.json", "w") as file:
    json.dump({"note": "new"}, file)
"#;

#[test]
fn where_the_recording_does_not_say_all_that_happens_live_kills_judge() {
    let check = r#"python3 -c 'import json, os; print(json.dumps(json.load(open(os.environ["KILLPOINT_STATE"] + "/notes.json"))))'"#;
    for flags in [&["--check", check][..], &[]] {
        let world = World::new();
        std::fs::write(world.state().join("notes.json"), r#"{"note": "old"}"#).expect("written");
        let mut command = world.explore_json();
        command.args(flags).args(["--", "python3", "-c", UNSEEN]);
        let explored = explored(&mut command);
        explored.expect(Outcome::Violated);
        let report = &explored.report;
        let gap = report.not_covered.iter().find(|gap| gap.file == "mapped");
        assert!(gap.is_some_and(|gap| !gap.needed), "{}", explored.summary());
        assert_eq!(u64::from(report.live.hits), report.points, "{}", explored.summary());
        let finding = report.findings.iter().find(|finding| finding.shown.contains("notes.json"));
        let finding = finding.unwrap_or_else(|| panic!("{}", explored.summary()));
        assert!(finding.confirmed_live && finding.confirmed.hits == 1, "{}", explored.summary());
        let run = format!("{}/{}", world.only_run().display(), finding.number);
        assert!(succeed(world.killpoint().args(["replay", &run])).contains("hit 1 of 1"));
    }
}

/// Stores through a mapping alone, in a file that was there before.
const STORES_ALONE: &str = r#"
import mmap, os
def say(line):
    journal = os.open(os.environ["KILLPOINT_JOURNAL"], os.O_WRONLY | os.O_APPEND)
    os.write(journal, line)
    os.close(journal)
say(b"I k new!\n")
file = os.open(os.environ["KILLPOINT_STATE"] + "/k", os.O_RDWR)
stores = mmap.mmap(file, 4)
stores[0:4] = b"new!"
say(b"A k\n")
"#;

#[test]
fn a_state_that_only_stores_into_mappings_change_is_unknown() {
    // Seen, since the mapping is writable, and not seen, since it is so for a while only.
    let unseen = UNSEEN.split("with open(state + \"/notes.json\"").next().expect("a part");
    let unseen = unseen.replace(
        "with open(state + \"/mapped\", \"wb\") as file:\n    file.write(bytes(4096))\n",
        "",
    );
    let check = r#"printf '{"k": "%s"}' "$(head -c 4 "$KILLPOINT_STATE/k")""#;
    for (file, script) in [("k", STORES_ALONE), ("mapped", &unseen)] {
        for flags in [&["--check", check][..], &["--model", "all"]] {
            let world = World::new();
            std::fs::write(world.state().join("k"), "old!").expect("written");
            std::fs::write(world.state().join("mapped"), [0; 4096]).expect("written");
            let mut command = world.explore_json();
            let explored = explored(command.args(flags).args(["--", "python3", "-c", script]));
            explored.expect(Outcome::Unknown);
            let report = &explored.report;
            assert_eq!(report.points, 0, "{}", explored.summary());
            let gap = report.not_covered.iter().find(|gap| gap.file == file);
            assert!(gap.is_some(), "{}", explored.summary());
            let told = &report.unknown;
            assert!(
                told.iter().any(|it| it.reason == Reason::NotCovered && it.detail.contains(file)),
                "{}",
                explored.summary()
            );
        }
    }
}

#[test]
fn a_mapping_that_is_made_writable_later_is_followed() {
    let world = World::new();
    let script = UNSEEN.replace("assert libc.munmap(at, 4096) == 0\n", "");
    let mut command = world.explore_json();
    command.args(["--check", "echo {}", "--", "python3", "-c", &script]);
    let explored = explored(&mut command);
    let report = &explored.report;
    let gap = report.not_covered.iter().find(|gap| gap.file == "mapped");
    let gap = gap.unwrap_or_else(|| panic!("{}", explored.summary()));
    assert!(gap.reason.contains("writable shared mapping"), "{}", explored.summary());
    let stored = report.timeline.iter().find(|point| point.row.call == "mapped");
    assert!(stored.is_some(), "{}", explored.summary());
    assert!(!gap.reason.contains("differs"), "{}", explored.summary());
}

#[test]
fn a_read_only_shared_mapping_costs_no_verdict() {
    let world = World::new();
    let script = UNSEEN
        .lines()
        .filter(|line| !line.starts_with("assert libc.m") && !line.starts_with("ctypes.memset"));
    let script: Vec<&str> = script.collect();
    let mut command = world.explore_json();
    command.args(["--check", "echo {}", "--", "python3", "-c", &script.join("\n")]);
    explored(&mut command).expect_silence();
}

#[test]
fn what_a_link_in_the_state_leads_to_is_named_and_counts_where_recovery_opens_it() {
    let script = r#"echo new >"$KILLPOINT_STATE/link" && echo x >"$KILLPOINT_STATE/x""#;
    let reads = r#"cat "$KILLPOINT_STATE/link" >/dev/null; echo {}"#;
    for (flags, needed) in
        [(&["--check", reads][..], true), (&["--check", "echo {}"], false), (&[], true)]
    {
        let world = World::new();
        std::fs::write(world.join("outside"), "old").expect("written");
        std::os::unix::fs::symlink("../outside", world.state().join("link")).expect("made");
        let mut command = world.explore_json();
        let explored = explored(command.args(flags).args(["--", "sh", "-c", script]));
        let gaps = &explored.report.not_covered;
        let gap = gaps.iter().find(|gap| gap.file == "link");
        let gap = gap.unwrap_or_else(|| panic!("{}", explored.summary()));
        assert_eq!(gap.needed, needed, "{}", explored.summary());
        assert!(gap.reason.contains("/outside"), "{}", explored.summary());
        if !needed {
            explored.expect(Outcome::Pass);
        }
    }
}

#[test]
fn a_large_sparse_file_costs_only_what_is_in_it() {
    let world = World::new();
    let file = std::fs::File::create(world.state().join("image")).expect("made");
    file.set_len(10 << 30).expect("a sparse file");
    std::fs::write(world.state().join("notes.json"), "[0]").expect("written");
    let script = r#"cd "$KILLPOINT_STATE"; echo '[1]' >new && mv new notes.json"#;
    let limited = |command: &mut Command, flags: &[&str]| {
        // One process may hold far less than the file is long.
        let line = r#"ulimit -v 4000000; exec "$0" "$@""#;
        let arguments: Vec<_> = command.get_args().map(OsStr::to_owned).collect();
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).arg(command.get_program()).args(arguments).args(flags);
        shell.current_dir(world.path()).args(["--", "sh", "-c", script]);
        explored(&mut shell)
    };
    for flags in [&["--check", "echo {}"][..], &[]] {
        limited(&mut world.explore_json(), flags).expect(Outcome::Pass);
    }
}

#[test]
fn a_recovery_that_writes_very_much_is_judged_in_part_and_that_is_said() {
    let world = World::new();
    let check = r#"for i in $(seq 80); do : >"$KILLPOINT_STATE/r$i"; done; echo {}"#;
    let mut command = world.explore_json();
    command.args(["--recovery-depth", "1", "--check", check, "--model", "kill", "--"]);
    let explored = explored(command.args(["sh", "-c", r#": >"$KILLPOINT_STATE/x""#]));
    explored.expect(Outcome::Pass);
    let said = explored.report.notes.iter().find(|note| note.contains("inside recovery"));
    assert!(said.is_some_and(|note| note.contains("left out")), "{}", explored.summary());
}

#[test]
fn a_state_directory_may_have_any_name_that_linux_allows() {
    let world = World::new();
    let strange = world.join(OsStr::from_bytes(b"state-\xff\xfe"));
    std::fs::create_dir(&strange).expect("made");
    let guest = guests_directory().join("save-in-place");
    let mut command = world.killpoint();
    command.args(["explore", "--format", "json", "--out"]).arg(world.out());
    command.arg("--state").arg(&strange);
    command.args(["--check", &format!("{} check", guest.display()), "--"]).arg(&guest);
    explored(&mut command).expect(Outcome::Violated);
    let run = format!("{}/1", world.only_run().display());
    assert!(succeed(world.killpoint().args(["replay", &run])).contains("hit 1 of 1"));
}

#[test]
fn runs_that_are_kept_inside_the_state_are_no_part_of_it() {
    let world = World::new();
    let guest = guests_directory().join("save-atomic");
    std::os::unix::fs::symlink("state", world.join("link")).expect("made");
    for out in ["state/runs", "state/runs", "state/a/b", "state/a/b", "link/linked", "link/linked"]
    {
        let mut command = world.killpoint();
        command.args(["explore", "--state", "state", "--out", out, "--format", "json"]);
        command.args(["--check", &format!("{} check", guest.display()), "--"]).arg(&guest);
        explored(&mut command).expect_silence();
    }
}

#[test]
fn without_namespaces_the_built_in_oracle_reads_every_live_kill() {
    let world = World::new();
    let mut command = world.explore_json();
    command.args(["--no-namespaces", "--"]).arg(guests_directory().join("save-in-place"));
    let explored = explored(&mut command);
    explored.expect(Outcome::Violated);
    assert!(explored.report.live.tries > 1, "{}", explored.summary());
    assert_eq!(explored.report.live.hits, explored.report.live.tries, "{}", explored.summary());
}

/// Both parts of the file are there at the barrier: only between them the undo journal is missed.
#[test]
fn a_journal_that_is_lost_while_its_file_is_half_written_is_found() {
    let save = r#"
import os, sys, zlib
state = os.environ["KILLPOINT_STATE"]
journal = os.open(os.environ["KILLPOINT_JOURNAL"], os.O_WRONLY | os.O_APPEND)
os.write(journal, b"I k B\n")
old = open(state + "/k", "rb").read()
undo = os.open(state + "/undo", os.O_WRONLY)
os.pwrite(undo, zlib.crc32(old).to_bytes(4, "big") + old, 0)
if "sync" in sys.argv: os.fsync(undo)
k = os.open(state + "/k", os.O_WRONLY)
os.pwrite(k, b"B" * 4096, 0)
os.pwrite(k, b"B" * 4096, 4096)
os.fsync(k)
os.pwrite(undo, b"\0\0\0\0", 0)
os.fsync(undo)
os.write(journal, b"A! k\n")
"#;
    let check = r#"
import json, os, zlib
state = os.environ["KILLPOINT_STATE"]
undo = open(state + "/undo", "rb").read()
if zlib.crc32(undo[4:]).to_bytes(4, "big") == undo[:4]:
    k = os.open(state + "/k", os.O_WRONLY)
    os.pwrite(k, undo[4:], 0)
print(json.dumps({"k": "".join(sorted(set(open(state + "/k").read())))}))
"#;
    for profile in ["strict", "ext4", "xfs", "btrfs"] {
        for (argument, expected) in [("none", Outcome::Violated), ("sync", Outcome::Pass)] {
            let world = World::new();
            std::fs::write(world.state().join("k"), "A".repeat(8_192)).expect("written");
            std::fs::write(world.state().join("undo"), vec![0; 8_196]).expect("written");
            std::fs::write(world.join("check.py"), check).expect("written");
            let mut command = world.explore_json();
            command.args(["--model", "all", "--profile", profile]);
            command.args(["--check", "python3 check.py", "--", "python3", "-c", save, argument]);
            let explored = explored(&mut command);
            explored.expect(expected);
            let torn = explored.report.findings.iter().find(|it| it.class == Class::Torn);
            let is_found = torn.is_some_and(|it| it.model == CrashModel::FileLost);
            assert_eq!(is_found, argument == "none", "{profile}: {}", explored.summary());
        }
    }
}

#[test]
fn stores_that_read_differently_each_time_are_told_once_and_counted() {
    let world = World::new();
    fs::write(world.state().join("n"), "0").expect("written");
    let check = r#"cd "$KILLPOINT_STATE"; n=$(cat n); echo $((n+1)) >n; echo "{\"n\": \"$n\"}""#;
    let script = r#"cd "$KILLPOINT_STATE"; for i in 1 2 3; do echo $i >new; mv new b; done"#;
    let explored =
        explored(world.explore_json().args(["--check", check, "--", "sh", "-c", script]));
    explored.expect(Outcome::Pass);
    let checks = explored.report.second_checks;
    assert!(checks.tries > 2 && checks.hits == 0, "{checks:?}");
    let notes = explored.report.notes.iter().filter(|note| note.contains("the second time"));
    let notes: Vec<&String> = notes.collect();
    assert_eq!(notes.len(), 2, "{notes:#?}");
    let further = format!("{} further recovered stores", checks.tries - 1);
    assert!(notes[1].starts_with(&further), "{notes:#?}");
}
