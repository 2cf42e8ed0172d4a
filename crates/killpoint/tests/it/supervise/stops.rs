//! Stops: the program's own way, impatience, and a reader who does not read.

use super::{Supervisor, ids, signal};
use crate::support::World;
use killpoint_model::lifecycle::{End, Lifecycle, Record};
use std::io::Write;
use std::process::Stdio;

fn ends(records: &[Record]) -> Vec<End> {
    let end = |record: &Record| match record.event {
        Lifecycle::Ended { end, .. } => Some(end),
        _ => None,
    };
    records.iter().filter_map(end).collect()
}

fn signals(records: &[Record]) -> Vec<i32> {
    let number = |record: &Record| match record.event {
        Lifecycle::Signalled { number, .. } => Some(number),
        _ => None,
    };
    records.iter().filter_map(number).collect()
}

#[test]
fn a_program_is_stopped_by_its_own_means_and_no_signal_is_sent() {
    let flags = ["--ready", "line:up", "--stop-command", "touch asked"];
    let script = "echo up; until [ -e asked ]; do sleep 0.02; done";
    let mut supervisor = Supervisor::start(&flags, &["sh", "-c", script]);
    supervisor.wait_for_id("process.ready", 1);
    let (status, records) = supervisor.stop();
    assert_eq!(ends(&records), [End::Stopped], "{records:#?}");
    assert_eq!(signals(&records), [0; 0], "{records:#?}");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn own_means_that_do_not_help_are_followed_by_the_signal() {
    let flags = ["--ready", "line:up", "--stop-command", "true", "--grace", "300ms"];
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.02; done";
    let mut supervisor = Supervisor::start(&flags, &["sh", "-c", script]);
    supervisor.wait_for_id("process.ready", 1);
    let (status, records) = supervisor.stop();
    assert_eq!(ends(&records), [End::Stopped], "{records:#?}");
    assert_eq!(signals(&records), [15], "{records:#?}");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn whoever_asks_twice_has_no_more_patience() {
    let flags = ["--ready", "line:up", "--grace", "1h"];
    let script = "trap '' TERM; echo up; while :; do sleep 0.02; done";
    let mut supervisor = Supervisor::start(&flags, &["sh", "-c", script]);
    supervisor.wait_for_id("process.ready", 1);
    signal("TERM", supervisor.process.id());
    supervisor.wait_for_id("process.signalled", 1);
    let (status, records) = supervisor.stop();
    assert_eq!(ends(&records), [End::IgnoredStop], "{records:#?}");
    assert_eq!(signals(&records), [15, 9], "{records:#?}");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_reader_who_does_not_read_holds_nothing_up_and_misses_what_the_file_has() {
    /// More lines than wait for a reader, and than fit into a pipe.
    const REQUESTS: usize = 10_000;
    let flags = ["--control-stdin", "--control", "control", "--backoff", "1ms"];
    let script = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let mut supervisor =
        Supervisor::start_telling(World::new(), &flags, &["sh", "-c", script], Stdio::piped());
    supervisor.wait_for_id("process.ready", 1);
    let mut input = supervisor.process.stdin.take().expect("a pipe");
    input.write_all("signal main 18\n".repeat(REQUESTS).as_bytes()).expect("it reads on");
    let is_passed_on = |record: &Record| matches!(record.event, Lifecycle::Signalled { .. });
    supervisor.wait_for("the signals", REQUESTS, is_passed_on);
    let (status, records) = supervisor.stop();
    assert_eq!(ids(&records).last(), Some(&"supervisor.stopped"));
    let ordinals = records.iter().map(|record| record.ordinal);
    assert!(ordinals.eq(1..=records.len() as u64), "the file has every event");
    let dropped = records.iter().find_map(|record| match record.event {
        Lifecycle::SupervisorStopped { lines_dropped, .. } => Some(lines_dropped),
        _ => None,
    });
    assert!(dropped.is_some_and(|count| count > 0), "{dropped:?}");
    assert_eq!(status.code(), Some(0));
}
