//! Every row of the table of supervised guests gets the end that it must get.

use super::{Supervisor, ids};
use ::guests::supervised::SUPERVISED;
use killpoint_model::lifecycle::{End, Lifecycle, Record};

fn ends(records: &[Record]) -> Vec<End> {
    let end = |record: &Record| match &record.event {
        Lifecycle::Ended { end, .. } => Some(*end),
        _ => None,
    };
    records.iter().filter_map(end).collect()
}

fn check(name: &str) {
    let row = SUPERVISED.iter().find(|row| row.name == name).expect("a row");
    let mut flags = vec!["--restart", "never"];
    flags.extend(row.flags);
    let command = row.command();
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut supervisor = Supervisor::start(&flags, &command);
    let (status, records) = if row.is_stopped {
        supervisor.wait_for_id("process.ready", 1);
        if row.events.contains(&"checkpoint.saved") {
            supervisor.wait_for_id("checkpoint.saved", 2);
        }
        supervisor.stop()
    } else {
        supervisor.end()
    };
    assert_eq!(ends(&records), [row.end], "{name}: {records:#?}");
    for id in row.events {
        assert!(ids(&records).contains(id), "{name} has no {id}: {records:#?}");
    }
    assert_eq!(status.code(), Some(i32::from(!row.clean)), "{name}: {records:#?}");
    let ordinals: Vec<u64> = records.iter().map(|record| record.ordinal).collect();
    assert!(ordinals.iter().copied().eq(1..=records.len() as u64), "{name}: {ordinals:?}");
    assert_eq!(ids(&records).last(), Some(&"supervisor.stopped"), "{name}");
    supervisor.expect_nothing_left(name);
}

macro_rules! rows {
    ($($test:ident $name:literal)*) => {
        $(#[test] fn $test() { check($name); })*

        #[test]
        fn every_row_of_the_table_has_a_test() {
            let names: Vec<&str> = SUPERVISED.iter().map(|row| row.name).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

rows! {
    exit_status_0_is_finished "finish"
    another_exit_status_is_failed "fail"
    a_crash_is_killed "crash"
    a_good_program_is_heard_and_stopped "work"
    one_that_ignores_sigterm_is_killed_and_named "ignore-term"
    one_that_hangs_at_exit_is_killed_and_named "hang-at-exit"
    one_that_says_it_stops_and_does_not_is_named "announce-and-hang"
    one_that_says_it_stops_and_does_is_finished "announce-and-end"
    a_double_fork_is_detached_and_swept "double-fork"
    a_double_fork_that_names_its_main_process_is_followed "double-fork-main-pid"
    a_flood_of_output_is_bounded_and_counted "flood"
    closed_pipes_are_no_end "closed-pipes"
    one_that_never_becomes_ready_is_named "never-ready"
    one_that_changes_its_name_is_followed "rename"
    one_that_falls_silent_is_hung "silent"
    too_many_processes_are_ended_together "many-processes"
    more_time_that_is_asked_for_is_given "extend"
}

#[test]
fn what_cannot_be_executed_is_a_failed_start() {
    let mut supervisor = Supervisor::start(&["--restart", "never"], &["./no-such-program"]);
    let (status, records) = supervisor.end();
    assert_eq!(ends(&records), [End::StartFailed], "{records:#?}");
    assert!(
        records.iter().any(|record| matches!(&record.event, Lifecycle::StartFailed { error }
            if error.starts_with("./no-such-program: "))),
        "{records:#?}"
    );
    assert_eq!(status.code(), Some(1));
}

/// As much as a pipe holds: its writer ends before anybody has read it.
#[test]
fn what_a_process_printed_last_is_kept() {
    for _ in 0..20 {
        let flags = ["--restart", "never", "--output", "logs"];
        let mut supervisor = Supervisor::start(
            &flags,
            &["sh", "-c", "head -c 65000 /dev/zero; head -c 65000 /dev/zero >&2"],
        );
        let (_, records) = supervisor.end();
        for stream in ["stdout", "stderr"] {
            let path = supervisor.world.join("logs").join(format!("main.1.{stream}"));
            let kept = std::fs::metadata(path).expect("kept").len();
            assert_eq!(kept, 65_000, "{stream}: {records:#?}");
        }
    }
}

#[test]
fn an_output_that_is_cut_is_kept_up_to_the_bound() {
    let row = SUPERVISED.iter().find(|row| row.name == "flood").expect("a row");
    let command = row.command();
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut supervisor = Supervisor::start(&["--restart", "never", "--output", "logs"], &command);
    let (_, records) = supervisor.end();
    let file = supervisor.world.join("logs/main.1.stdout");
    let length = std::fs::metadata(file).expect("it is kept").len();
    assert_eq!(length, 16 << 20);
    let dropped = records.iter().find_map(|record| match &record.event {
        Lifecycle::OutputEnded { dropped, .. } if *dropped > 0 => Some(*dropped),
        _ => None,
    });
    assert_eq!(dropped, Some(16 << 20), "{records:#?}");
}
