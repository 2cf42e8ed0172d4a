//! What processes say of themselves over the notification socket.

use super::{Supervisor, ids};
use killpoint_model::lifecycle::{End, Lifecycle};

/// A Python program that has `say(TEXT)`.
fn saying(program: &str) -> String {
    format!(
        "import os, socket, time
own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
say = lambda text: own.sendto(text.encode(), os.environ['NOTIFY_SOCKET'])
{program}"
    )
}

fn start(flags: &[&str], program: &str) -> Supervisor {
    let mut all = vec!["--ready", "notify", "--restart", "never"];
    all.extend(flags);
    Supervisor::start(&all, &["python3", "-c", &saying(program)])
}

#[test]
fn a_status_is_told_as_it_was_said() {
    let (status, records) = start(&[], "say('STATUS=half way, 50 %\\nREADY=1')").end();
    let told = records.iter().find_map(|record| match &record.event {
        Lifecycle::Status { text } => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(told, Some("half way, 50 %"), "{records:#?}");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn whoever_triggers_its_watchdog_has_missed_its_heartbeat() {
    let program = "say('READY=1'); say('WATCHDOG=trigger'); time.sleep(1000)";
    let (status, records) = start(&["--watchdog", "1h"], program).end();
    assert!(ids(&records).contains(&"process.heartbeat-missed"), "{records:#?}");
    let aborted = records.iter().any(
        |it| matches!(&it.event, Lifecycle::Signalled { number: 6, why } if why == "watchdog"),
    );
    assert!(aborted, "it is to leave a dump: {records:#?}");
    let is_hung = |record: &killpoint_model::lifecycle::Record| {
        matches!(record.event, Lifecycle::Ended { end: End::Hung, .. })
    };
    assert!(records.iter().any(is_hung), "{records:#?}");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn what_is_said_too_often_is_heeded_and_counted_and_not_told() {
    let program = "say('READY=1')
for number in range(1, 1001): say('X_KILLPOINT_CHECKPOINT=%d' % number)
time.sleep(1000)";
    let mut supervisor = start(&["--control", "control"], program);
    // All in all a thousand are told or counted: the last of them when their second is over.
    let count = |records: &[killpoint_model::lifecycle::Record]| -> (u64, u64) {
        records.iter().fold((0, 0), |(told, skipped), record| match record.event {
            Lifecycle::CheckpointSaved { .. } => (told + 1, skipped),
            Lifecycle::MessagesSkipped { count } => (told, skipped + count),
            _ => (told, skipped),
        })
    };
    let mut counted = (0, 0);
    for _ in 0..super::STEPS_MAX {
        counted = count(&supervisor.records());
        if counted.0 + counted.1 >= 1_000 {
            break;
        }
        std::thread::sleep(super::STEP);
    }
    assert_eq!(counted.0 + counted.1, 1_000, "{counted:?}");
    assert!(counted.1 > 0, "a thousand in a second are too many: {counted:?}");
    supervisor.stop();
}

#[test]
fn a_successor_that_was_named_before_the_end_is_one_whenever_it_is_heard() {
    // The end and the message come by different ways: now and then the end is seen first.
    let program = "import signal
say('READY=1')
for _ in range(100):
    before = os.getpid()
    if os.fork(): signal.pause()
    time.sleep(0.005)
    say('MAINPID=%d' % os.getpid())
    os.kill(before, signal.SIGTERM)";
    let (status, records) = start(&[], program).end();
    let ends = records.iter().filter_map(|record| match record.event {
        Lifecycle::Ended { end, swept, .. } => Some((end, swept)),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [(End::Finished, 0)]);
    assert!(ids(&records).contains(&"process.main-changed"), "{records:#?}");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_successor_that_is_nobody_is_refused() {
    let (_, records) = start(&[], "say('READY=1'); say('MAINPID=2147483647')").end();
    assert!(ids(&records).contains(&"message.refused"), "{records:#?}");
}
