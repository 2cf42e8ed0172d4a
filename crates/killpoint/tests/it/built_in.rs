//! What the built-in oracle says of small programs, with nothing to go by but their files.

use crate::support::{ALL_MODELS, Explored, World, explored, succeed};
use killpoint_model::{Class, CrashModel, Outcome, Reason};
use std::fs;

/// A world whose state holds these files.
fn world(files: &[(&str, &str)]) -> World {
    let world = World::new();
    for (path, contents) in files {
        let path = world.state().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, contents).expect("written");
    }
    world
}

/// Explores a script of the shell that begins in the state directory.
fn explore(world: &World, flags: &[&str], script: &str) -> Explored {
    let script = format!("set -e\ncd \"$KILLPOINT_STATE\"\n{script}");
    explored(world.explore_json().args(flags).args(["--", "bash", "-c", &script]))
}

#[test]
fn live_kills_hit_documents_whose_names_vary() {
    for script in [
        r#"n=$(cat /proc/sys/kernel/random/uuid); printf '{"note":"hello"}' >$n.json"#,
        r#"n=$(cat /proc/sys/kernel/random/uuid); mkdir $n; printf '{"n":"'$n'"}' >$n/$n.json"#,
    ] {
        let world = world(&[("first.json", "[1]")]);
        let explored = explore(&world, &[], script);
        explored.expect(Outcome::Violated);
        let report = &explored.report;
        assert!(report.unknown.is_empty(), "{}", explored.summary());
        let finding = &report.findings[0];
        assert_eq!(finding.class, Class::Torn, "{}", explored.summary());
        let confirmed = (finding.confirmed.hits, finding.confirmed.tries);
        assert_eq!(confirmed, (1, 1), "{}", explored.summary());
        let run = format!("{}/{}", world.only_run().display(), finding.number);
        assert!(succeed(world.killpoint().args(["replay", &run])).contains("hit 1 of 1"));
    }
}

#[test]
fn what_an_earlier_save_left_half_done_is_no_loss() {
    let save = |temporary: &str| {
        format!(
            r#"printf '{{"v":3}}' >{temporary}; sync {temporary}; mv {temporary} a.json; sync ."#
        )
    };
    for (temporary, left) in
        [("a.json.tmp", r#"{"v":2}"#), ("a.json.tmp", r#"{"v":2"#), ("new.json", r#"{"v":2}"#)]
    {
        let world = world(&[("a.json", r#"{"v":1}"#), (temporary, left)]);
        let explored = explore(&world, &["--model", ALL_MODELS], &save(temporary));
        explored.expect(Outcome::Pass);
    }
}

/// Makes a new release, and moves a link from the old one to it.
const RELEASE: &str = r#"
old=$(readlink current); new=$((old+1))
mkdir $new; printf '{"release":%s,"more":"%0200d"}' $new $new >$new/a.json; SYNC
ln -sfn $new current.new; mv -T current.new current; sync .
rm -r $old
"#;

#[test]
fn what_a_link_that_is_moved_does_not_lead_to_is_not_in_use() {
    for (sync, outcome) in
        [("sync $new/a.json $new .", Outcome::Pass), ("sync .", Outcome::Violated)]
    {
        let world = world(&[("1/a.json", r#"{"release":1}"#)]);
        std::os::unix::fs::symlink("1", world.state().join("current")).expect("made");
        let flags = ["--model", ALL_MODELS, "--profile", "strict"];
        explore(&world, &flags, &RELEASE.replace("SYNC", sync)).expect(outcome);
    }
}

/// Makes a new generation of two files, and then names it in a file that is replaced.
const GENERATION: &str = r#"
new=$(($(cat CURRENT)+1)); mkdir g$new
for n in a b; do printf '{"generation":%s,"more":"%0200d"}' $new $new >g$new/$n.json; done
sync g$new/a.json g$new/b.json g$new .; echo $new >CURRENT.tmp; sync CURRENT.tmp; mv CURRENT.tmp CURRENT; sync .
"#;

#[test]
fn what_a_small_file_does_not_name_yet_is_not_in_use() {
    for (program, models, outcome) in [
        (GENERATION.to_owned(), "kill", Outcome::Pass),
        (GENERATION.to_owned(), ALL_MODELS, Outcome::Pass),
        // Named before it is whole.
        (
            format!(
                "echo 2 >n; mv n CURRENT; echo 1 >old\n{}",
                GENERATION.replace("$(cat CURRENT)", "$(cat old)")
            ),
            "kill",
            Outcome::Violated,
        ),
        // Nobody says that it leads anywhere.
        (GENERATION.replace("CURRENT", "count"), "kill", Outcome::Unknown),
    ] {
        let world = world(&[
            ("CURRENT", "1\n"),
            ("count", "1\n"),
            ("g1/a.json", "{}"),
            ("g1/b.json", "{}"),
        ]);
        explore(&world, &["--model", models], &program).expect(outcome);
    }
}

/// Writes each save over the older of two documents.
const IN_TURN: &str = r#"
import json, time
for n in range(3):
    slots = {name: json.load(open(f"state.{name}.json")) for name in "ab"}
    gen = max(slot["gen"] for slot in slots.values())
    oldest = min(slots, key=lambda name: slots[name]["gen"])
    with open(f"state.{oldest}.json", "w") as file: json.dump({"gen": NEXT, "data": "v%d" % n}, file)
"#;

#[test]
fn documents_that_are_written_in_turn_are_not_lost_whoever_is_killed() {
    let files =
        [("state.a.json", r#"{"gen":4,"data":"a"}"#), ("state.b.json", r#"{"gen":3,"data":"b"}"#)];
    for (next, outcome) in [
        ("gen + 1", Outcome::Unknown),
        ("time.time()", Outcome::Unknown),
        ("gen", Outcome::Violated),
    ] {
        for scope in ["all", "process"] {
            let program = IN_TURN.replace("NEXT", next);
            explore_python(&world(&files), &["--scope", scope], &program).expect(outcome);
        }
    }
}

/// Writes each save over the older of two files of no known format.
const SLOTS: &str = r#"
import zlib
def read(name):
    head, body = open(name).read().split("\n", 1)
    return int(head.split()[1]), body
for n in range(3):
    slots = {name: read(name) for name in ("slot.0", "slot.1")}
    number, body = max(slots.values())
    oldest = min(slots, key=slots.get)
    body = body + "line %d\n" % n
    with open(TARGET, "w") as file: file.write("%d %d\n%s" % (zlib.crc32(body.encode()), number + 1, body))
"#;

#[test]
fn files_of_no_known_format_that_are_written_in_turn_are_not_lost() {
    let files = [("slot.0", "1 4\nfirst\nsecond\n"), ("slot.1", "1 3\nfirst\n")];
    for (target, outcome) in [("oldest", Outcome::Unknown), ("'slot.0'", Outcome::Violated)] {
        let program = SLOTS.replace("TARGET", target);
        explore_python(&world(&files), &[], &program).expect(outcome);
    }
}

/// Writes the data that is not in use over, and then names it.
const BLUE_GREEN: &str = r#"
import os
for n in range(3):
    old = open("CURRENT").read().strip()
    new = "green" if old == "blue" else "blue"
    with open(f"data.{TARGET}.json", "w") as file: file.write('{"n":%d}' % n)
    NAME
"#;

#[test]
fn what_is_named_by_a_part_of_its_name_is_in_use_and_the_other_is_not() {
    let replace = r#"open("new", "w").write(new); os.rename("new", "CURRENT")"#;
    let over = r#"file = os.open("CURRENT", os.O_RDWR); os.pwrite(file, new.encode().ljust(5), 0); os.fsync(file)"#;
    let files =
        [("data.blue.json", "{}"), ("data.green.json", r#"{"n":-1}"#), ("CURRENT", "blue ")];
    for (target, name, outcome) in [
        ("new", replace, Outcome::Unknown),
        ("new", over, Outcome::Unknown),
        ("old", replace, Outcome::Violated),
        ("old", over, Outcome::Violated),
    ] {
        let program = BLUE_GREEN.replace("TARGET", target).replace("NAME", name);
        explore_python(&world(&files), &[], &program).expect(outcome);
    }
}

#[test]
fn what_is_not_looked_at_without_a_checker_stands_beside_the_verdict() {
    let is_told = |explored: &Explored| {
        let notes = &explored.report.notes;
        notes.iter().any(|note| note.starts_with("without a checker"))
    };
    let save = "echo '[2]' >a.tmp; mv a.tmp a.json";
    for (flags, expect) in [(&[][..], true), (&["--check", "echo '{}'"], false)] {
        let explored = explore(&world(&[("a.json", "[1]")]), flags, save);
        assert_eq!(is_told(&explored), expect, "{}", explored.summary());
    }
}

/// Makes a directory anew, and exchanges it with the one in use.
const EXCHANGE: &str = r#"
for n in 1 2; do
    rm -rf next; mkdir next; printf '{"release":%s,"more":"%0200d"}' $n $n >next/a.json
    sync next/a.json next .
    python3 -c 'import ctypes; assert ctypes.CDLL(None).renameat2(-100, b"next", -100, b"live", 2) == 0'
    sync .
done
"#;

#[test]
fn a_directory_that_is_exchanged_is_judged_where_it_is_in_use() {
    let flags = ["--model", ALL_MODELS, "--profile", "strict"];
    let world = world(&[("live/a.json", r#"{"release":0}"#)]);
    explore(&world, &flags, EXCHANGE).expect(Outcome::Pass);
    // And again with what that has left.
    explore(&world, &flags, EXCHANGE).expect(Outcome::Pass);
}

#[test]
fn what_is_acknowledged_before_it_is_written_does_not_pass() {
    let save = "echo $k >k.new; sync k.new; mv k.new k; sync .";
    let (intent, acknowledged) =
        (r#"echo "I k $k" >>"$KILLPOINT_JOURNAL""#, r#"echo "A! k" >>"$KILLPOINT_JOURNAL""#);
    let right = [intent, save, acknowledged];
    let early = [intent, acknowledged, save];
    let batch = [intent, acknowledged, intent, acknowledged, save];
    for (steps, outcome) in [
        (&right[..], Outcome::Pass),
        (&early, Outcome::Unknown),
        (&batch, Outcome::Unknown),
        (&[intent, acknowledged], Outcome::Unknown),
    ] {
        let script = format!("for k in 1 2; do {}; done; touch done", steps.join("; "));
        for flags in [&[][..], &["--model", ALL_MODELS, "--profile", "strict"]] {
            let explored = explore(&world(&[]), flags, &script);
            explored.expect(outcome);
            let details = explored.report.unknown.iter().map(|unknown| unknown.detail.as_str());
            let is_told =
                details.into_iter().any(|it| it.contains("k was acknowledged, and nothing"));
            assert_eq!(is_told, outcome == Outcome::Unknown, "{}", explored.summary());
        }
    }
}

#[test]
fn what_changes_no_contents_and_no_names_and_what_happens_to_locks_is_no_writing() {
    for step in [
        "sync a.json",
        "chmod $((600 + n)) a.json",
        "touch -d @$n a.json",
        "echo $n >lock",
        "echo $n >a.lock; rm a.lock",
        ": >empty",
    ] {
        let script = format!(
            r#"
for n in 1 2; do
    echo "I n $n" >>"$KILLPOINT_JOURNAL"; {step}; echo "A n" >>"$KILLPOINT_JOURNAL"
done
echo '{{"n":2}}' >new; mv new a.json
"#
        );
        let files = [("a.json", r#"{"n":0}"#), ("lock", "0"), ("empty", "")];
        let explored = explore(&world(&files), &[], &script);
        explored.expect(Outcome::Unknown);
        let mut details = explored.report.unknown.iter().map(|unknown| &unknown.detail);
        let is_told = details.any(|it| it.contains("n was acknowledged, and nothing"));
        assert!(is_told, "{step}: {}", explored.summary());
    }
}

/// Explores a program in Python that begins in the state directory, with a kill of one process or of all.
fn explore_python(world: &World, flags: &[&str], program: &str) -> Explored {
    fs::write(world.state().join("../program.py"), program).expect("written");
    explore(world, flags, "exec python3 ../program.py")
}

/// Processes that begin in any order, each of which saves a document of its own.
const IN_ANY_ORDER: &str = r#"
import os, random, time
for n in range(4):
    if os.fork() == 0:
        time.sleep(random.random() / 100)
        SAVE
        os._exit(0)
while True:
    try: os.wait()
    except ChildProcessError: break
"#;

#[test]
fn a_save_that_a_kill_of_one_process_cuts_short_is_found_in_any_order() {
    let files: &[(&str, &str)] =
        &[("0.json", "[1]"), ("1.json", "[1]"), ("2.json", "[1]"), ("3.json", "[1]")];
    for (save, outcome) in [
        (r#"with open(f"{n}.json", "w") as file: file.write("[2]")"#, Outcome::Violated),
        (
            r#"with open(f"{n}.json", "w") as file: file.write(str([os.getpid()]))"#,
            Outcome::Violated,
        ),
        (
            r#"open(f"{n}.tmp", "w").write(str([os.getpid()])); os.rename(f"{n}.tmp", f"{n}.json")"#,
            Outcome::Pass,
        ),
    ] {
        let world = world(files);
        let program = IN_ANY_ORDER.replace("SAVE", save);
        let explored = explore_python(&world, &["--scope", "process"], &program);
        explored.expect(outcome);
        let points = if outcome == Outcome::Pass { 0 } else { 4 };
        assert_eq!(explored.violated(CrashModel::Kill), points, "{}", explored.summary());
        assert!(explored.report.unknown.is_empty(), "{}", explored.summary());
    }
}

#[test]
fn a_file_of_no_known_format_is_not_known_half_written_whoever_is_killed() {
    let program = r#"
import os
file = os.open("d.dat", os.O_RDWR)
for at in (0, 4): os.pwrite(file, b"BBBB", at)
"#;
    for scope in ["all", "process"] {
        let world = world(&[("d.dat", "AAAAAAAA")]);
        explore_python(&world, &["--scope", scope], program).expect(Outcome::Unknown);
    }
}

/// Makes a table, which later programs fill by one row each.
const ROWS: &str = r#"
import os, sqlite3, time
for n in range(3):
    if PARENT or os.fork() == 0:
        rows = sqlite3.connect("a.db", isolation_level=None)
        rows.execute("INSERT INTO t VALUES (?)", [ROW])
        PARENT or os._exit(0)
    PARENT or os.wait()
"#;

#[test]
fn rows_of_those_who_go_on_after_a_kill_and_rows_that_vary_are_no_part_of_a_transaction() {
    for (parent, value, flags) in
        [("False", "n", &["--scope", "process"][..]), ("True", "time.time()", &[])]
    {
        let world = World::new();
        let made = std::process::Command::new("python3")
            .args(["-c", "import sqlite3; sqlite3.connect('a.db').execute('CREATE TABLE t(x)')"])
            .current_dir(world.state())
            .status();
        assert!(made.expect("python3").success());
        let program = ROWS.replace("PARENT", parent).replace("ROW", value);
        let explored = explore_python(&world, flags, &program);
        explored.expect(Outcome::Pass);
        assert!(explored.report.unknown.is_empty(), "{}", explored.summary());
    }
}

/// What a program says of its saves, and a log of what it does that nobody needs.
const SAYS: &str = r#"
import os, sqlite3
journal = open(os.environ["KILLPOINT_JOURNAL"], "a")
def say(line): print(line, file=journal, flush=True)
log = open("debug.log", "a", buffering=1)
"#;

/// Its index was written, and not synced, when something was acknowledged; then it is removed and written anew.
const DUMB: &str = r#"
import dbm.dumb
store = dbm.dumb.open("db", "c")
def put(key, value):
    say(f"I {key} {value}"); store[key] = value; store.sync(); say(f"A {key}")
put("alpha", "second-alpha-longer"); put("beta", "two-beta")
say("I alpha -"); del store["alpha"]; store.sync(); say("A alpha")
put("gamma", "three-gamma"); store.close()
"#;

#[test]
fn what_a_power_cut_leaves_is_judged_again_as_it_was_judged_first() {
    let index = "'base', (0, 10)\n'alpha', (512, 11)\n";
    let data = format!("{:\0<512}first-alpha", "hello base");
    let world = world(&[("db.dir", index), ("db.bak", index), ("db.dat", &data)]);
    let flags = ["--model", "dir-lost", "--acks", "power-loss"];
    let explored = explore_python(&world, &flags, &format!("{SAYS}{DUMB}"));
    explored.expect(Outcome::Violated);
    let report = &explored.report;
    let diverged = report.unknown.iter().any(|unknown| unknown.reason == Reason::Diverged);
    assert!(!diverged, "{}", explored.summary());
    for finding in &report.findings {
        assert_eq!(finding.confirmed.hits, finding.confirmed.tries, "{}", explored.summary());
        // What is said to be lost is what is said to be synced too late.
        assert!(!finding.fix.contains("flush before that"), "{finding:#?}");
    }
    for number in 1..=report.findings.len() {
        let run = format!("{}/{number}", world.only_run().display());
        let replayed = succeed(world.killpoint().args(["replay", &run]));
        assert!(replayed.contains("1 of 1"), "{replayed}");
    }
}

#[test]
fn what_is_acknowledged_before_its_value_is_written_does_not_pass() {
    const LINES: &str = r#"
lines = open("notes.jsonl", "a", buffering=BUFFERED)
for n in range(2):
    say(f"I k{n} val{n}"); print("saving", file=log); print('{"k%s": "val%s"}' % (n, n), file=lines); say(f"A k{n}")
"#;
    const ROWS: &str = r#"
rows = sqlite3.connect("a.db", isolation_level=None)
rows.execute("CREATE TABLE IF NOT EXISTS t(x)")
for n in range(2):
    say(f"I k{n} val{n}"); rows.execute("BEGIN"); rows.execute("INSERT INTO t VALUES (?)", [f"val{n}"]); EARLY
    rows.execute("COMMIT"); LATE
"#;
    // Packed, or in a document of its own, and named in a log when it is safe.
    const VEILED: &str = r#"
import zlib, base64, os
store = open("store.bin", "ab", buffering=0)
for n in range(2):
    say(f"I k{n} val{n}"); packed = zlib.compress(b"val%d" % n); STORE
    say(f"A k{n}"); print(f"saved val{n}", file=log)
"#;
    const FILE: &str = r#"
    with open("tmp", "wb") as file: file.write(base64.b64encode(packed))
    os.rename("tmp", f"{n}.b64")
"#;
    // Acknowledged when only a document about something else was saved.
    const STATUS: &str = r#"
def save(path, text):
    with open("tmp", "w") as file: file.write(text)
    os.rename("tmp", path)
for n in range(2):
    say(f"I k{n} hello-value-{n}"); save("status.json", '{"status":"SAVED","num":1}'); EARLY
    save(f"k{n}.json", '{"k":"hello-value-%d"}' % n); LATE
"#;
    let acknowledge = r#"say(f"A k{n}")"#;
    for (program, outcome) in [
        (LINES.replace("BUFFERED", "1"), Outcome::Pass),
        (LINES.replace("BUFFERED", "4096"), Outcome::Unknown),
        (VEILED.replace("STORE", "store.write(packed)"), Outcome::Pass),
        (VEILED.replace("STORE", FILE), Outcome::Pass),
        (STATUS.replace("EARLY", "").replace("LATE", acknowledge), Outcome::Pass),
        (STATUS.replace("LATE", "").replace("EARLY", acknowledge), Outcome::Unknown),
        (
            // As the value, in base64.
            STATUS
                .replace("SAVED", "aGVsbG8tdmFsdWUtMA==")
                .replace("LATE", "")
                .replace("EARLY", acknowledge),
            Outcome::Pass,
        ),
        (ROWS.replace("EARLY", "").replace("LATE", acknowledge), Outcome::Pass),
        (ROWS.replace("LATE", "").replace("EARLY", acknowledge), Outcome::Unknown),
    ] {
        let explored =
            explore_python(&world(&[("store.bin", "\0")]), &[], &format!("{SAYS}{program}"));
        explored.expect(outcome);
        let mut details = explored.report.unknown.iter().map(|unknown| &unknown.detail);
        let is_told =
            details.any(|it| it.contains("k0 was acknowledged, and its value was written"));
        assert_eq!(is_told, outcome == Outcome::Unknown, "{}", explored.summary());
    }
}

#[test]
fn values_of_any_characters_are_looked_for_as_they_are_and_as_json_has_them() {
    const SAVE: &str = r#"
import json, urllib.parse
value = VALUE
say("I k " + urllib.parse.quote(value)); print(TRACE, file=log)
EARLY
with open("tmp", "w") as file: file.write(json.dumps({"k": value}))
os.rename("tmp", "k.json")
LATE
"#;
    let acknowledge = r#"say("A k")"#;
    for value in [
        "https://example.org/a",
        "joe@example.org",
        "2024-05-01",
        "Buy milk, bread!",
        "a \\\"quoted\\\" word",
        "h\u{e9}llo",
    ] {
        for (trace, early, late, outcome) in [
            ("'saving'", "", acknowledge, Outcome::Pass),
            ("'saving'", acknowledge, "", Outcome::Unknown),
            // Where it was written in another form, nothing is known of when.
            ("urllib.parse.quote(value, safe='')", acknowledge, "", Outcome::Pass),
        ] {
            let program = SAVE.replace("VALUE", &format!("\"{value}\"")).replace("TRACE", trace);
            let program = program.replace("EARLY", early).replace("LATE", late);
            let files = [("k.json", "{}"), ("debug.log", "begun\n")];
            let explored = explore_python(&world(&files), &[], &format!("{SAYS}{program}"));
            explored.expect(outcome);
        }
    }
}

#[test]
fn what_is_thrown_away_right_before_it_is_written_elsewhere_does_not_pass_whoever_is_killed() {
    let text = r#"{"to do":"something that takes long, and that nobody else will do"}"#;
    let remove = r#"os.unlink("todo/x.json")"#;
    let write = r#"
with open("new.tmp", "w") as file: file.write(text)
os.rename("new.tmp", "done/x.json")
"#;
    let edit = write.replace("write(text)", r#"write(text[:-1] + ',"done":true}')"#);
    // What is made anew by another process, as after a logout, was never moved.
    let anew = format!("if os.fork() == 0: {remove}; os._exit(0)\nos.wait()\n{write}");
    for (steps, outcome) in [
        (format!("{remove}\n{write}"), Outcome::Unknown),
        (format!("{write}\n{remove}"), Outcome::Pass),
        (format!("{remove}\n{edit}"), Outcome::Unknown),
        (format!("{edit}\n{remove}"), Outcome::Pass),
        (anew, Outcome::Pass),
    ] {
        for scope in ["all", "process"] {
            let world = world(&[("todo/x.json", text), ("done/y.txt", "y")]);
            let program = format!("import os\ntext = open('todo/x.json').read()\n{steps}\n");
            explore_python(&world, &["--scope", scope], &program).expect(outcome);
        }
    }
}
