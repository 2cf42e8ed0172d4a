//! The control protocol.

use super::{Supervisor, ids, signal, started};
use crate::support::World;
use killpoint_model::lifecycle::Lifecycle;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

const SLEEPER: &[&str] = &["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"];

fn ask(stream: &mut UnixStream, line: &str) -> serde_json::Value {
    writeln!(stream, "{line}").expect("it reads");
    let mut answer = String::new();
    BufReader::new(stream.try_clone().expect("a copy")).read_line(&mut answer).expect("it answers");
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn connect(path: &Path) -> UnixStream {
    UnixStream::connect(path).expect("it listens")
}

#[test]
fn a_process_is_kept_down_until_it_is_released() {
    let mut supervisor = Supervisor::start(&["--control", "control", "--backoff", "1ms"], SLEEPER);
    let records = supervisor.wait_for_id("process.ready", 1);
    let mut control = connect(&supervisor.world.join("control"));
    assert_eq!(ask(&mut control, "keep-down main")["ok"], true);
    signal("KILL", started(&records)[0]);
    supervisor.wait_for_id("process.kept-down", 1);
    let status = ask(&mut control, "status");
    assert_eq!(status["processes"][0]["phase"], "kept-down", "{status}");
    assert_eq!(ask(&mut control, "start main")["ok"], false);
    assert_eq!(ask(&mut control, "release main")["ok"], true);
    let records = supervisor.wait_for_id("process.ready", 2);
    assert!(ids(&records).contains(&"process.released"), "{records:#?}");
    assert_eq!(ask(&mut control, "keep-down main 10ms")["ok"], true);
    signal("KILL", started(&records)[1]);
    supervisor.wait_for_id("process.ready", 3);
    assert_eq!(supervisor.stop().0.code(), Some(0));
}

#[test]
fn a_file_keeps_a_process_down_until_it_is_removed() {
    let mut supervisor = Supervisor::start(&["--keep-down", "down", "--backoff", "1ms"], SLEEPER);
    let records = supervisor.wait_for_id("process.ready", 1);
    fs::write(supervisor.world.join("down/main"), "").expect("written");
    signal("KILL", started(&records)[0]);
    supervisor.wait_for_id("process.kept-down", 1);
    fs::remove_file(supervisor.world.join("down/main")).expect("removed");
    supervisor.wait_for_id("process.ready", 2);
    assert_eq!(supervisor.stop().0.code(), Some(0));
}

#[test]
fn processes_are_stopped_started_and_restarted_by_request() {
    let mut supervisor = Supervisor::start(&["--control", "control"], SLEEPER);
    supervisor.wait_for_id("process.ready", 1);
    let mut control = connect(&supervisor.world.join("control"));
    ask(&mut control, "stop main");
    supervisor.wait_for_id("process.ended", 1);
    // It is told before the phase has changed only if both are one step; the answer comes behind it.
    assert_eq!(ask(&mut control, "status")["processes"][0]["phase"], "down");
    ask(&mut control, "start main");
    supervisor.wait_for_id("process.ready", 2);
    ask(&mut control, "restart main");
    supervisor.wait_for_id("process.ready", 3);
    for line in ["halt", "stop nobody", "signal main KILL"] {
        let answer = ask(&mut control, line);
        assert_eq!(answer["ok"], false, "{line}");
        assert!(answer["problem"].as_str().is_some_and(|it| !it.is_empty()), "{line}");
    }
    assert_eq!(ask(&mut control, "shutdown")["ok"], true);
    assert_eq!(supervisor.end().0.code(), Some(0));
}

#[test]
fn the_end_of_the_owner_is_the_end_of_the_processes() {
    let mut supervisor = Supervisor::start(&["--control-stdin"], SLEEPER);
    supervisor.wait_for_id("process.ready", 1);
    supervisor.request("signal main 10");
    supervisor.wait_for_id("process.signalled", 1);
    drop(supervisor.process.stdin.take());
    let (_, records) = supervisor.end();
    let cause = records.iter().find_map(|record| match &record.event {
        Lifecycle::SupervisorStopping { cause } => Some(*cause),
        _ => None,
    });
    assert_eq!(cause, Some(killpoint_model::lifecycle::StopCause::OwnerGone), "{records:#?}");
}

#[test]
fn a_message_from_a_stranger_is_refused() {
    let script = "echo $NOTIFY_SOCKET > socket; sleep 1000";
    let mut supervisor = Supervisor::start(&["--ready", "notify"], &["sh", "-c", script]);
    let world: &World = &supervisor.world;
    let mut path = String::new();
    for _ in 0..super::STEPS_MAX {
        path = fs::read_to_string(world.join("socket")).unwrap_or_default();
        if path.ends_with('\n') {
            break;
        }
        std::thread::sleep(super::STEP);
    }
    let own = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
    own.send_to(b"READY=1", path.trim()).expect("it listens");
    supervisor.wait_for_id("message.refused", 1);
    let (_, records) = supervisor.stop();
    assert!(!ids(&records).contains(&"process.ready"), "{records:#?}");
}

#[test]
fn where_it_cannot_listen_it_says_so_with_the_reason() {
    let world = World::new();
    let nowhere = world.join("nowhere/control");
    let mut tool = world.killpoint();
    tool.args(["supervise", "--quiet", "--control"]).arg(&nowhere).args(["--", "true"]);
    let output = tool.output().expect("the tool starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    let expected = format!("killpoint: cannot listen at {}: No such file", nowhere.display());
    assert!(said.starts_with(&expected), "{said}");
}
