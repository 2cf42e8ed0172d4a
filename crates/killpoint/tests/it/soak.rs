//! Many kills in one run leave nothing behind, and hold nothing that they no longer need.

use crate::support::{World, stderr};
use killpoint_model::Outcome;
use killpoint_model::report::Report;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const KILLS: usize = 50;
/// Longest that the run may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Descriptors that may be open for a moment besides those that stay: a file that is just read.
const DESCRIPTORS_SLACK: usize = 6;

/// Processes with exactly these arguments.
fn count(words: &[u8]) -> usize {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == words))
        .count()
}

fn mounts() -> usize {
    fs::read_to_string("/proc/self/mountinfo").expect("/proc").lines().count()
}

/// What `TMPDIR` holds: a directory of this test's own.
fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).expect("a directory").count()
}

#[test]
fn fifty_kills_in_one_run_leave_nothing_behind() {
    let world = World::new();
    let mark = format!("{}", 2_000_000 + std::process::id());
    let text = format!(
        "version: 1
target:
  command: [sleep, '{mark}']
  supervisor: {{ restart: always, backoff: 0ms, start-limit: {{ count: 0, within: 1s }} }}
faults: [ {{ when: {{ interval: 1ms..1ms }}, duration: {KILLS}ms, do: kill }} ]
timeouts: {{ trigger: 1ms }}
"
    );
    let path = world.join("soak.yaml");
    fs::write(&path, text).expect("written");
    let temporary = world.join("temporary");
    fs::create_dir(&temporary).expect("made");
    let before = mounts();
    let out = fs::File::create(world.join("report.json")).expect("made");
    let mut command = world.killpoint();
    command.args(["run", path.to_str().expect("a text"), "--format", "json", "--out"]);
    command.arg(world.out()).env("TMPDIR", &temporary).stdout(out);
    let mut child = command.spawn().expect("it starts");
    let since = Instant::now();
    let mut descriptors = Vec::new();
    while child.try_wait().expect("it is ours").is_none() {
        assert!(since.elapsed() < LIMIT, "it goes on");
        if let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", child.id())) {
            descriptors.push(entries.count());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = fs::read_to_string(world.join("report.json")).expect("written");
    let report: Report = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {}", stderr(&command.output().expect("it starts")))
    });
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let campaign = report.campaign.expect("trials");
    assert_eq!(campaign.trials[1].fired, KILLS as u64);
    assert_eq!(count(format!("sleep\0{mark}\0").as_bytes()), 0, "targets are left");
    assert_eq!(mounts(), before);
    assert_eq!(entries(&temporary), 0, "temporary files are left");
    // More than 50 kills would show, were each to leave one open.
    let half = descriptors.len() / 2;
    let greatest = |part: &[usize]| part.iter().copied().max().unwrap_or_default();
    let (early, late) = (greatest(&descriptors[..half]), greatest(&descriptors[half..]));
    assert!(late <= early + DESCRIPTORS_SLACK, "{early} descriptors, then {late}");
}
