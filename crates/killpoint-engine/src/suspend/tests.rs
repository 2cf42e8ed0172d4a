//! Suspends processes of their own, in each way that this machine offers.

use super::*;
use crate::identity::status;
use std::process::{Child, Command};

/// A process that counts, so that it can be seen whether it goes on.
struct Counter {
    child: Child,
    identity: Identity,
    _directory: tempfile::TempDir,
    file: PathBuf,
}

impl Counter {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("counted");
        let script = "n=0; while :; do n=$((n+1)); echo $n > counted; done";
        let mut command = Command::new("sh");
        let child = command.args(["-c", script]).current_dir(directory.path()).spawn().unwrap();
        let identity = status(i32::try_from(child.id()).unwrap()).unwrap().identity;
        let counter = Counter { child, identity, _directory: directory, file };
        counter.goes_on();
        counter
    }

    fn counted(&self) -> Option<u64> {
        fs::read_to_string(&self.file).ok()?.trim().parse().ok()
    }

    /// Waits until it has counted on.
    fn goes_on(&self) {
        let before = self.counted();
        while self.counted().is_none_or(|now| Some(now) <= before) {
            thread::sleep(LOOK_INTERVAL);
        }
    }

    fn stands_still(&self) {
        let text = fs::read(&self.file).unwrap();
        for _ in 0..50 {
            thread::sleep(Duration::from_millis(1));
            assert_eq!(fs::read(&self.file).unwrap(), text);
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn goes_to_and_fro(way: &Suspension, counter: &Counter) {
    let handle = counter.identity.hold().unwrap().unwrap();
    for _ in 0..3 {
        assert_eq!(way.suspend(&handle).unwrap(), Some(1));
        counter.stands_still();
        assert!(way.resume(counter.identity).unwrap());
        counter.goes_on();
    }
    assert!(!way.resume(counter.identity).unwrap(), "a second time there is nothing to undo");
}

#[test]
fn a_signal_stops_every_thread_and_its_inverse_lets_them_go_on() {
    goes_to_and_fro(&Suspension::Signal, &Counter::start());
}

#[test]
fn the_freezer_stops_a_process_and_leaves_no_group_behind() {
    let counter = Counter::start();
    let Some(way) = freezer::find(counter.identity) else {
        println!("skipped: no freezer can be written here");
        return;
    };
    goes_to_and_fro(&way, &counter);
    let Suspension::Freezer { group, .. } = way else { panic!("{way:?}") };
    assert!(!group.exists());
}

/// Where the first version of control groups has the freezer, that is the one which is found: the
/// second is tried by name.
#[test]
fn the_freezer_of_the_unified_hierarchy_does_the_same() {
    let counter = Counter::start();
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", counter.identity.pid)).unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let Some(way) = freezer::find_unified(counter.identity, &groups, &mounts) else {
        println!("skipped: no unified control groups can be written here");
        return;
    };
    let Suspension::Freezer { group, unified: true, .. } = &way else { panic!("{way:?}") };
    goes_to_and_fro(&way, &counter);
    assert!(!group.exists());
}

#[test]
fn a_process_that_ended_is_not_suspended() {
    let mut counter = Counter::start();
    let handle = counter.identity.hold().unwrap().unwrap();
    counter.child.kill().unwrap();
    counter.child.wait().unwrap();
    assert_eq!(Suspension::Signal.suspend(&handle).unwrap(), None);
    assert!(!Suspension::Signal.resume(counter.identity).unwrap());
}

#[test]
fn two_who_undo_the_same_suspension_do_not_stand_in_each_others_way() {
    let counter = Counter::start();
    let Some(way) = freezer::find(counter.identity) else {
        println!("skipped: no freezer can be written here");
        return;
    };
    let handle = counter.identity.hold().unwrap().unwrap();
    for _ in 0..200 {
        assert_eq!(way.suspend(&handle).unwrap(), Some(1));
        let undone: Vec<bool> = thread::scope(|scope| {
            let undo = || way.resume(counter.identity).unwrap();
            let both = [scope.spawn(undo), scope.spawn(undo)];
            both.map(|one| one.join().unwrap()).into()
        });
        assert!(undone.contains(&true), "one of them did it");
    }
    counter.goes_on();
    let Suspension::Freezer { group, .. } = way else { panic!("{way:?}") };
    assert!(!group.exists());
}
