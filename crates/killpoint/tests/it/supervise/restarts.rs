//! Restarts: policies, limits, what is handed back, who comes after whom.

use super::{Supervisor, ids, signal, started};
use crate::support::World;
use killpoint_model::lifecycle::{End, Exit, Lifecycle, Record};
use std::fs;
use std::process::Command;

fn events<'a>(records: &'a [Record], id: &'a str) -> impl Iterator<Item = &'a Record> {
    records.iter().filter(move |record| record.event.id() == id)
}

#[test]
fn a_killed_process_comes_back_and_a_finished_one_stays_down_on_failure() {
    let script = "if [ $KILLPOINT_LIFE = 1 ]; then sleep 1000; fi; exit 0";
    let mut supervisor =
        Supervisor::start(&["--restart", "on-failure", "--backoff", "10ms"], &["sh", "-c", script]);
    let records = supervisor.wait_for_id("process.ready", 1);
    signal("KILL", started(&records)[0]);
    let (status, records) = supervisor.end();
    let ends: Vec<&Lifecycle> = events(&records, "process.ended").map(|it| &it.event).collect();
    assert!(
        matches!(
            ends[0],
            Lifecycle::Ended { end: End::Killed, exit: Some(Exit::Signal { number: 9, .. }), .. }
        ),
        "{ends:?}"
    );
    assert!(matches!(ends[1], Lifecycle::Ended { end: End::Finished, .. }), "{ends:?}");
    assert_eq!((ends.len(), status.code()), (2, Some(0)));
}

#[test]
fn a_start_limit_gives_up_and_says_why() {
    let flags = ["--start-limit", "3/1h", "--backoff", "1ms"];
    let (status, records) = Supervisor::start(&flags, &["false"]).end();
    assert_eq!(started(&records).len(), 3, "{records:#?}");
    let reason = records.iter().find_map(|record| match &record.event {
        Lifecycle::GaveUp { reason } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason.as_deref(), Some("3 starts within 1h, the last end was failed"));
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_start_limit_with_a_fallback_ends_in_safe_mode() {
    let flags =
        ["--start-limit", "2/1h", "--backoff", "1ms", "--fallback", "echo safe > mode; sleep 1000"];
    let mut supervisor = Supervisor::start(&flags, &["false"]);
    let records = supervisor.wait_for("the fallback", 1, |record| {
        matches!(record.event, Lifecycle::Started { fallback: true, .. })
    });
    assert!(ids(&records).contains(&"process.safe-mode"), "{records:#?}");
    supervisor.stop();
    assert_eq!(fs::read_to_string(supervisor.world.join("mode")).expect("written"), "safe\n");
}

#[test]
fn waits_are_those_that_the_seed_gives() {
    let waits = || {
        let flags = ["--start-limit", "4/1h", "--backoff", "20ms", "--seed", "7"];
        let (_, records) = Supervisor::start(&flags, &["false"]).end();
        let wait = |record: &Record| match record.event {
            Lifecycle::RestartPlanned { wait_ms, .. } => Some(wait_ms),
            _ => None,
        };
        records.iter().filter_map(wait).collect::<Vec<u64>>()
    };
    let first = waits();
    assert_eq!(first, waits());
    assert!(first.len() == 4 && first[0] <= 20 && first[2] > first[0], "{first:?}");
}

#[test]
fn a_checkpoint_is_handed_back_and_the_command_before_a_restart_has_run() {
    let script = "echo \"$KILLPOINT_LIFE $KILLPOINT_CHECKPOINT $KILLPOINT_LAST_END $*\" >> seen
                  echo state > state.bin; [ $KILLPOINT_LIFE = 2 ] || exit 3";
    let flags = [
        "--restart",
        "on-failure",
        "--backoff",
        "1ms",
        "--checkpoint",
        "state.bin",
        "--checkpoint-argument",
        "--from={checkpoint}",
        "--on-restart",
        "echo before $KILLPOINT_LIFE >> seen",
    ];
    let mut supervisor = Supervisor::start(&flags, &["sh", "-c", script, "sh"]);
    let (status, records) = supervisor.end();
    let world = &supervisor.world;
    let path = world.path().canonicalize().expect("it is there").join("state.bin");
    let seen = fs::read_to_string(world.join("seen")).expect("written");
    let expected = format!("1   \nbefore 1\n2 {0} failed --from={0}\n", path.display());
    assert_eq!(seen, expected);
    assert!(ids(&records).contains(&"checkpoint.handed-back"), "{records:#?}");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn what_the_commands_before_a_start_leave_is_ended_and_not_blamed_on_the_life() {
    let late = "on-restart = { command = [\"sh\", \"-c\", \"sleep 77.7\"], timeout = \"200ms\" }";
    let rest = "on-restart = { command = [\"sh\", \"-c\", \"sleep 77.7 & exit 0\"] }";
    let schema = "schema = { version-in = { command = [\"sh\", \"-c\", \"sleep 66.6 & echo 3\"] }, \
                  accepts = \"2..4\", otherwise = \"refuse\" }";
    for preparation in [late, rest, schema] {
        let world = World::new();
        config(
            &world,
            &format!(
                "version = 1\n[processes.app]\nrestart = \"on-failure\"\nbackoff = \"10ms\"
                command = [\"sh\", \"-c\", \"[ $KILLPOINT_LIFE = 2 ] && exit 0; exit 1\"]
                {preparation}"
            ),
        );
        let mut supervisor = Supervisor::start_in(world, &["--config", "processes.toml"], &[]);
        let (status, records) = supervisor.end();
        let ends: Vec<(u32, End, u32)> = records
            .iter()
            .filter_map(|record| match record.event {
                Lifecycle::Ended { end, swept, .. } => Some((record.life?, end, swept)),
                _ => None,
            })
            .collect();
        let expected = [(1, End::Failed, 0), (2, End::Finished, 0)];
        assert_eq!((ends.as_slice(), status.code()), (&expected[..], Some(0)), "{preparation}");
        supervisor.expect_nothing_left(preparation);
    }
}

#[test]
fn only_a_file_with_something_in_it_is_handed_back_as_a_checkpoint() {
    for (is_directory, text) in [(true, ""), (false, "")] {
        let world = World::new();
        let path = world.join("state.bin");
        match is_directory {
            true => fs::create_dir(&path).expect("made"),
            false => fs::write(&path, text).expect("written"),
        }
        let flags = ["--restart", "never", "--checkpoint", "state.bin"];
        let script = "[ -z \"$KILLPOINT_CHECKPOINT\" ]";
        let (status, records) = Supervisor::start_in(world, &flags, &["sh", "-c", script]).end();
        assert_eq!(status.code(), Some(0), "{records:#?}");
        assert!(!ids(&records).contains(&"checkpoint.handed-back"), "{records:#?}");
    }
}

fn config(world: &World, text: &str) {
    fs::write(world.join("processes.toml"), text).expect("written");
}

#[test]
fn a_state_of_another_version_is_refused_replaced_or_said() {
    for (otherwise, started_words, code) in
        [("refuse", None, 1), ("fallback", Some("safe"), 0), ("continue", Some("app"), 0)]
    {
        let world = World::new();
        fs::write(world.join("state.json"), r#"{"schema": 9}"#).expect("written");
        config(&world, &format!("version = 1\n[processes.app]\ncommand = [\"sh\", \"-c\", \"true\", \"app\"]
            fallback = [\"sh\", \"-c\", \"true\", \"safe\"]\nrestart = \"never\"
            schema = {{ version-in = {{ json = {{ file = \"state.json\", pointer = \"/schema\" }} }}, accepts = \"2..4\", otherwise = \"{otherwise}\" }}"));
        let (status, records) =
            Supervisor::start_in(world, &["--config", "processes.toml"], &[]).end();
        assert!(ids(&records).contains(&"schema.mismatch"), "{records:#?}");
        let words = records.iter().find_map(|record| match &record.event {
            Lifecycle::Started { command, .. } => command.last().map(String::as_str),
            _ => None,
        });
        assert_eq!(
            (words, status.code()),
            (started_words, Some(code)),
            "{otherwise}: {records:#?}"
        );
    }
}

#[test]
fn a_version_is_read_from_a_file_or_printed_by_a_command() {
    for source in [r#"{ file = "version" }"#, r#"{ command = ["cat", "version"] }"#] {
        for (version, is_accepted) in [("3\n", true), ("9\n", false), ("three\n", false)] {
            let world = World::new();
            fs::write(world.join("version"), version).expect("written");
            config(
                &world,
                &format!(
                    "version = 1\n[processes.app]\ncommand = [\"true\"]\nrestart = \"never\"
                    schema = {{ version-in = {source}, accepts = \"2..4\", otherwise = \"refuse\" }}"
                ),
            );
            let (status, records) =
                Supervisor::start_in(world, &["--config", "processes.toml"], &[]).end();
            let told = records.iter().find_map(|record| match &record.event {
                Lifecycle::SchemaMismatch { found, .. } => Some(*found),
                _ => None,
            });
            let expected = if is_accepted { None } else { Some(version.trim().parse().ok()) };
            assert_eq!(told, expected, "{source} {version}: {records:#?}");
            assert_eq!(started(&records).len(), usize::from(is_accepted), "{source} {version}");
            assert_eq!(status.code(), Some(i32::from(!is_accepted)), "{source} {version}");
        }
    }
}

#[test]
fn processes_start_after_those_that_they_come_after_and_stop_before_them() {
    let world = World::new();
    config(
        &world,
        r#"
        version = 1
        [processes.a]
        command = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"]
        after = ["b"]
        [processes.b]
        command = ["sh", "-c", "trap 'exit 0' TERM; sleep 0.2; echo up; while :; do sleep 0.05; done"]
        ready = { by = { log-line = "^up$" } }
    "#,
    );
    let mut supervisor = Supervisor::start_in(world, &["--config", "processes.toml"], &[]);
    supervisor.wait_for_id("process.ready", 2);
    let (status, records) = supervisor.stop();
    let order: Vec<(&str, &str)> = records
        .iter()
        .filter(|it| ["process.started", "process.ready", "process.ended"].contains(&it.event.id()))
        .map(|it| (it.process.as_deref().expect("about a process"), it.event.id()))
        .collect();
    let expected = [
        ("b", "process.started"),
        ("b", "process.ready"),
        ("a", "process.started"),
        ("a", "process.ready"),
        ("a", "process.ended"),
        ("b", "process.ended"),
    ];
    assert_eq!(order, expected);
    assert_eq!(status.code(), Some(0), "{records:#?}");
}

#[test]
fn files_sockets_and_http_make_ready_and_are_heartbeats() {
    let server = "import http.server as h, threading as t, time, os
s = h.HTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler)
t.Thread(target=s.serve_forever, daemon=True).start()
open('port', 'w').write(str(s.server_port))
time.sleep(1000)";
    // The port is known to a probe only after the server has begun: a first life finds it out.
    let mut first = Supervisor::start(&["--ready", "file:port"], &["python3", "-c", server]);
    first.wait_for_id("process.ready", 1);
    let port = fs::read_to_string(first.world.join("port")).expect("written");
    first.stop();
    let server = server.replace(", 0)", &format!(", {port})"));
    for probe in [format!("http://127.0.0.1:{port}/"), format!("socket:127.0.0.1:{port}")] {
        let flags = ["--ready", &probe, "--heartbeat", &probe, "--watchdog", "20s"];
        let mut supervisor = Supervisor::start(&flags, &["python3", "-c", &server]);
        supervisor.wait_for_id("process.heartbeat", 1);
        let (_, records) = supervisor.stop();
        assert!(ids(&records).contains(&"process.ready"), "{probe}: {records:#?}");
    }
}

#[test]
fn a_file_left_over_from_before_makes_nobody_ready() {
    let world = World::new();
    fs::write(world.join("ready"), "").expect("written");
    let flags = ["--ready", "file:ready", "--ready-timeout", "1s", "--restart", "never"];
    let (_, records) = Supervisor::start_in(world, &flags, &["sleep", "1000"]).end();
    assert!(ids(&records).contains(&"process.not-ready"), "{records:#?}");
}

#[test]
fn signals_are_passed_on() {
    let script = "trap 'echo got >> seen; exit 0' USR1; echo up; while :; do sleep 0.05; done";
    let flags = ["--restart", "never", "--ready", "line:up"];
    let mut supervisor = Supervisor::start(&flags, &["sh", "-c", script]);
    supervisor.wait_for_id("process.ready", 1);
    signal("USR1", supervisor.process.id());
    let (status, records) = supervisor.end();
    assert!(supervisor.world.join("seen").exists(), "{records:#?}");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_touched() {
    for (text, expected) in [
        ("version = 1\n[processes.a]\ncommand = []", "processes.a.command: it is empty"),
        ("version = 1\n[processes.a]\ncommand = [\"a\"]\nrestrat = \"never\"", "restrat"),
        (
            "version = 1\n[processes.a]\ncommand = [\"a\"]\ndirectory = \"none\"",
            "there is no directory none",
        ),
    ] {
        let world = World::new();
        config(&world, text);
        let mut command = world.killpoint();
        command.args(["supervise", "--config", "processes.toml", "--events", "events.jsonl"]);
        let output = command.output().expect("it starts");
        let said = crate::support::stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(!world.join("events.jsonl").exists(), "{text}");
    }
}

/// The output file is a pipe, for whose reader the supervisor waits once the process runs.
#[test]
fn nothing_that_a_process_does_is_earlier_than_its_start_says() {
    let world = World::new();
    let (pipe, early) = (world.join("logs/main.1.stdout"), world.join("early"));
    fs::create_dir(world.join("logs")).expect("made");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo starts");
    assert!(made.success());
    let flags = ["--restart", "never", "--output", "logs"];
    let command = ["sh", "-c", "date -u +%FT%T.%N > part; mv part early"];
    let mut supervisor = Supervisor::start_in(world, &flags, &command);
    while !early.exists() {
        std::thread::sleep(super::STEP);
    }
    let _reader = fs::File::open(&pipe).expect("the other end is open");
    let (_, records) = supervisor.end();
    let started = records.iter().find_map(|record| match &record.event {
        Lifecycle::Started { not_before, .. } => Some((not_before, &record.time)),
        _ => None,
    });
    let (not_before, told) = started.expect("it was started");
    let early = fs::read_to_string(&early).expect("written");
    let in_order = [not_before.trim_end_matches('Z'), early.trim_end(), told.trim_end_matches('Z')];
    assert!(in_order.is_sorted(), "{in_order:?}");
}
