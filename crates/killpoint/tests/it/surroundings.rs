//! What a target and its checker see around the state: the same in every run of it, and nothing that a dead process had.

use crate::support::{World, explored, is_root, stderr, stdout};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// Explores a shell script and returns what its checker printed about each state, sorted.
fn seen_by_the_checker(
    world: &World,
    flags: &[&str],
    script: &str,
) -> Vec<BTreeMap<String, String>> {
    let log = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
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
