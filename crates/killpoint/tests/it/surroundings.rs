//! What a target and its checker see around the state: the same in every run of it, and nothing that a dead process had.

use crate::support::{World, explored, is_root, outside_of_views, stderr, stdout};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// Explores a shell script and returns what its checker printed about each state, sorted.
fn seen_by_the_checker(
    world: &World,
    flags: &[&str],
    script: &str,
) -> Vec<BTreeMap<String, String>> {
    let log = tempfile::NamedTempFile::new_in(outside_of_views()).expect("a file");
    fs::set_permissions(log.path(), std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .expect("ours");
    let check = format!(
        r#"echo "checker=$$ target=$(cat "$KILLPOINT_STATE/pid" 2>/dev/null)" >>'{}'; echo {{}}"#,
        log.path().display()
    );
    let mut command = world.explore_json();
    command.args(flags).args(["--check", &check, "--", "sh", "-c", script]);
    let explored = explored(&mut command);
    explored.expect(killpoint_model::Outcome::Pass);
    let text = fs::read_to_string(log.path()).expect("text");
    let pairs = |line: &str| {
        line.split(' ')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    text.lines().map(pairs).collect()
}

const WRITES_ITS_NUMBER: &str =
    r#"cd "$KILLPOINT_STATE"; echo $$ >pid; echo 1 >a; echo 2 >b; sh -c 'echo $$ >pid'; :"#;

#[test]
fn no_reader_of_a_crash_state_has_a_process_id_that_the_recording_used() {
    for flags in [&[] as &[&str], &["--recovery-depth", "1"], &["--mechanism", "notify"]] {
        let world = World::new();
        let seen = seen_by_the_checker(&world, flags, WRITES_ITS_NUMBER);
        let number = |line: &BTreeMap<String, String>, name: &str| line[name].parse::<u32>().ok();
        let held: Vec<_> = seen.iter().filter(|line| number(line, "target").is_some()).collect();
        assert!(held.len() > 3, "{seen:?}");
        for line in held {
            assert!(number(line, "checker") > number(line, "target"), "{flags:?}: {line:?}");
        }
    }
}

#[test]
fn the_target_has_the_same_process_ids_in_every_run() {
    let world = World::new();
    let seen = seen_by_the_checker(&world, &["--recordings", "3"], WRITES_ITS_NUMBER);
    let targets: std::collections::BTreeSet<&String> =
        seen.iter().map(|line| &line["target"]).filter(|target| !target.is_empty()).collect();
    assert_eq!(targets.len(), 2, "of the shell and of its child: {seen:?}");
}

#[test]
fn where_process_ids_cannot_be_set_the_report_says_so() {
    let world = World::new();
    let mut command = world.explore_json();
    command.args(["--no-namespaces", "--check", "echo {}", "--", "sh", "-c"]);
    command.arg(r#"echo 1 >"$KILLPOINT_STATE/a""#);
    let report = explored(&mut command).report;
    assert!(report.notes.iter().any(|note| note.contains("process ids")), "{:?}", report.notes);
    let world = World::new();
    let mut command = world.explore_json();
    command.args(["--check", "echo {}", "--", "sh", "-c", r#"echo 1 >"$KILLPOINT_STATE/a""#]);
    let report = explored(&mut command).report;
    assert!(!report.notes.iter().any(|note| note.contains("process ids")), "{:?}", report.notes);
}

/// Whether this machine has a program.
fn has(program: &str) -> bool {
    Command::new(program).arg("-v").output().is_ok_and(|output| output.status.success())
}

#[test]
fn the_order_of_perls_hashes_is_the_same_in_every_run() {
    if !has("perl") {
        println!("skipped: there is no perl here");
        return;
    }
    let script = r#"my %h = map { ("file$_" => 1) } 1..20; for (keys %h) { open my $f, ">", "$ENV{KILLPOINT_STATE}/$_"; }"#;
    let world = World::new();
    let mut command = world.explore_json();
    command.args(["--recordings", "4", "--check", "echo {}", "--", "perl", "-e", script]);
    let explored = explored(&mut command);
    explored.expect(killpoint_model::Outcome::Pass);
    let varies = |note: &String| note.contains("order");
    assert!(!explored.report.notes.iter().any(varies), "{}", explored.summary());
}

#[test]
fn a_replay_sees_the_host_name_the_locale_and_the_time_zone_of_the_run() {
    if !is_root() {
        println!("skipped: only root can give a run another host name");
        return;
    }
    let world = World::new();
    let script =
        r#"cd "$KILLPOINT_STATE"; n="$(uname -n)-$LANG-$TZ"; echo half >"$n"; echo whole >"$n""#;
    let check = r#"cd "$KILLPOINT_STATE"; for f in *; do test ! -f "$f" || grep -q whole "$f" || exit 1; done; echo {}"#;
    let explore = world.explore_json();
    let mut command = Command::new("unshare");
    command.args(["--uts", "sh", "-c", r#"hostname elsewhere && exec "$0" "$@""#]);
    command.arg(explore.get_program()).args(explore.get_args());
    command.args(["--check", check, "--", "sh", "-c", script]).current_dir(world.path());
    command.env("LANG", "de_DE").env("TZ", "UTC-7").env_remove("LC_ALL");
    let explored = explored(&mut command);
    explored.expect(killpoint_model::Outcome::Violated);
    let address = &explored.report.findings[0].address.to_string();
    assert!(address.contains("elsewhere-de_DE-UTC-7"), "{address}");
    let mut command = world.killpoint();
    command.arg("replay").arg(world.only_run().join("1"));
    command.env("LANG", "C").env("TZ", "UTC").env("LC_ALL", "C");
    let output = command.output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

/// What a checker noted of every state that it read, a line each. `$S` in it is the state directory.
fn notes_of_the_checker(world: &World, flags: &[&str], note: &str, script: &str) -> Vec<String> {
    let log = tempfile::NamedTempFile::new_in(outside_of_views()).expect("a file");
    let check = format!(
        "S=\"$KILLPOINT_STATE\"; echo \"$({note})\" >>'{}'; echo {{}}",
        log.path().display()
    );
    let mut command = world.explore_json();
    command.args(flags).args(["--check", &check, "--", "sh", "-c", script]);
    explored(&mut command).expect(killpoint_model::Outcome::Pass);
    fs::read_to_string(log.path()).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn crash_states_list_their_names_in_the_order_in_which_a_live_kill_leaves_them() {
    let world = World::new();
    fs::write(world.state().join("from before"), "").expect("written");
    // Every set of names has one history; what is synced in between lets states go back.
    let script = r#"cd "$KILLPOINT_STATE"
        mkdir d; echo 1 >m; echo 2 >k; echo 3 >d/y; sync .; echo 4 >d/x; echo 5 >d/z; mv k c; rm m
        sync c; mv d/x b; echo 6 >m; echo 7 >d/a; sync d; mv d e; ln c l; rm c; mv b e/y; echo 8 >o"#;
    let note = r#"cd "$S"; ls -R . | tr '\n' ' '; printf '=> '; ls -UR . | tr '\n' ' '"#;
    let flags = ["--model", "kill,prefix,data", "--profile", "strict", "--no-second-checks"];
    let lines = notes_of_the_checker(&world, &flags, note, script);
    let mut orders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in &lines {
        let (names, order) = line.split_once("=> ").expect("both");
        orders.entry(names).or_default().push(order);
    }
    let read_twice = orders.values().filter(|orders| orders.len() > 1).count();
    assert!(orders.len() > 15 && read_twice >= 5, "{lines:#?}");
    for (names, orders) in orders {
        assert!(orders.iter().all(|order| *order == orders[0]), "{names}: {orders:#?}");
    }
}

#[test]
fn files_of_crash_states_are_as_old_as_they_were_and_as_the_program_made_them() {
    let world = World::new();
    let old = fs::File::create(world.state().join("old")).expect("created");
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000);
    old.set_modified(long_ago).expect("ours");
    let script = r#"cd "$KILLPOINT_STATE"; echo 1 >a; sleep 0.05; echo 2 >b; touch -r a d
        touch -d @1000000000 b; sleep 0.05; mkdir s; sleep 0.05; echo 3 >s/e; sleep 0.05; echo 4 >f"#;
    let note = r#"cd "$S"; for f in $(find . -mindepth 1); do stat -c '%n=%.6Y' "$f" | tr '\n' ' '; done; date +now=%s.%N"#;
    let flags = ["--model", "kill,data", "--profile", "strict"];
    let lines = notes_of_the_checker(&world, &flags, note, script);
    let mut seen = std::collections::BTreeSet::new();
    for line in &lines {
        let times: BTreeMap<&str, f64> = line
            .split_whitespace()
            .map(|pair| pair.split_once('=').expect("name and time"))
            .map(|(name, time)| (name, time.parse().expect("a number")))
            .collect();
        let order = |older: &str, newer: &str| {
            if let (Some(older), Some(newer)) = (times.get(older), times.get(newer)) {
                assert!(newer - older >= 0.04, "{line}");
            }
        };
        assert!(times.values().all(|time| *time <= times["now"]), "{line}");
        assert_eq!(times["./old"], 1_500_000_000.0, "there before: {line}");
        for name in times.keys() {
            seen.insert(name.trim_start_matches("./").to_owned());
        }
        order("./a", "./s");
        order("./s/e", "./f");
        if times.contains_key("./s") {
            assert_eq!(times["./b"], 1_000_000_000.0, "set by the program: {line}");
            assert_eq!(times["./a"], times["./d"], "taken from another: {line}");
        }
        if times.contains_key("./s/e") {
            assert_eq!(times["./s"], times["./s/e"].min(times["./s"]), "{line}");
        }
    }
    let wanted = ["a", "b", "d", "f", "now", "old", "s", "s/e"].map(str::to_owned);
    assert_eq!(seen, wanted.into(), "{lines:#?}");
}
