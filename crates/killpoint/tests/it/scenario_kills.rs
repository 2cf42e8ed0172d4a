//! `kill -9` of `killpoint run`, of its supervisor, of both: at seeded moments. Nothing is left running or
//! standing still, the log verifies, and a resumed run ends as if nothing had happened.

use crate::support::{World, explored, stderr, stdout};
use killpoint_engine::suspend::Suspension;
use killpoint_engine::undo::Made;
use killpoint_model::Outcome;
use killpoint_model::seed::{Generator, Seed};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Within this time of the first trial somebody is killed.
const MOMENT_MS_MAX: u64 = 2_500;

/// How many moments are tried for each; the nightly command asks for more.
fn moments() -> u32 {
    std::env::var("KILLPOINT_TEST_SCENARIO_MOMENTS")
        .map_or(10, |text| text.parse().expect("a number"))
}

/// A tree, a process that was forked twice, a workload with a child; suspended, killed, kept down.
const SCENARIO: &str = "version: 1
target:
  processes:
    tree: { command: [sh, -c, '(sleep MARK & wait) & exec sleep MARK'], backoff: 10ms }
    daemon: { command: [sh, -c, '(setsid sleep MARK &) ; exec sleep MARK'], backoff: 10ms }
  state: [data]
workload: { command: [sh, -c, 'sleep MARK & sleep 0.2'], timeout: 20s }
faults:
  - { name: suspend, when: { at: 30ms }, do: { suspend: 80ms }, trials: 2 }
  - { name: kill, when: { at: 30ms }, do: kill, who: { role: tree }, trials: 2 }
  - { name: down, when: { at: 30ms }, do: { keep-down: 50ms }, who: { role: daemon } }
invariants: [ { command: { run: [sh, -c, 'test -e $KILLPOINT_STATE/kept'] } } ]
timeouts: { trigger: 100ms }
";

/// A run that is going on.
struct Begun {
    world: World,
    child: Child,
    /// An argument that all processes of the target and the workload have, and nobody else.
    mark: String,
}

/// A call is held for as long as a command runs.
const HOLDING: &str = "version: 1
target:
  command: [sh, -c, 'sleep 0.2; echo x > $KILLPOINT_STATE/note; exec sleep MARK']
  state: [data]
faults:
  - name: hold
    when: { point: 'write(note)#1' }
    do: { activities: { method: [ { name: long, run: [sleep, 'MARK.5'], timeout: 50s } ] } }
invariants: [ { command: { run: [sh, -c, 'test -e $KILLPOINT_STATE/kept'] } } ]
";

fn begin(number: u32) -> Begun {
    begin_with(SCENARIO, number)
}

fn begin_with(scenario: &str, number: u32) -> Begun {
    let world = World::new();
    let mark = format!("1{:07}{number:03}", std::process::id());
    fs::create_dir(world.join("data")).expect("made");
    fs::write(world.join("data/kept"), "").expect("written");
    fs::write(world.join("kills.yaml"), scenario.replace("MARK", &mark)).expect("written");
    let child = world
        .killpoint()
        .args(["run", "kills.yaml", "--out"])
        .arg(world.out())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    Begun { world, child, mark }
}

/// Waits until something is there.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Whether a process is this command of Killpoint's.
fn executes(pid: u32, command: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|it| it.contains(&format!("\0{command}\0")))
}

impl Begun {
    /// The folder of the run, once its log has begun.
    fn folder(&self) -> PathBuf {
        until("a run begins", || {
            let runs = fs::read_dir(self.world.out().join("runs")).ok()?;
            let mut runs = runs.flatten().map(|run| run.path());
            runs.find(|run| {
                fs::read_to_string(run.join("events.jsonl")).is_ok_and(|it| it.contains("started"))
            })
        })
    }

    /// The guardian and the supervisor of the trial that goes on, if one does.
    fn supervisors(&self) -> Vec<u32> {
        let is_one = |pid: &u32| executes(*pid, "supervise");
        let guardians: Vec<u32> = children(self.child.id()).into_iter().filter(is_one).collect();
        let below = guardians.iter().flat_map(|pid| children(*pid)).filter(is_one);
        let below: Vec<u32> = below.collect();
        guardians.into_iter().chain(below).collect()
    }

    /// Who stands above the supervisor of the trial that goes on.
    fn interceptor(&self) -> u32 {
        let is_one = |pid: &u32| executes(*pid, "intercept");
        let own = std::iter::once(self.child.id());
        let both = |pid| children(pid).into_iter();
        let near: Vec<u32> = own.flat_map(both).collect();
        let below: Vec<u32> = near.iter().flat_map(|pid| both(*pid)).collect();
        near.into_iter().chain(below).find(is_one).expect("an interceptor")
    }

    /// The guardian below an interceptor.
    fn guardian(&self) -> u32 {
        let is_one = |pid: &u32| executes(*pid, "supervise");
        children(self.interceptor()).into_iter().find(is_one).expect("a guardian")
    }

    /// Everybody of the target and the workload.
    fn processes(&self) -> Vec<String> {
        let entries = fs::read_dir("/proc").expect("/proc").flatten();
        let commands = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        let commands = commands.map(|it| String::from_utf8_lossy(&it).replace('\0', " "));
        commands.filter(|it| it.contains(&self.mark)).collect()
    }

    /// The run says by itself that its supervisor is gone, and nothing is left.
    fn expect_supervisor_missed(&mut self, folder: &Path, at: &str) {
        let status = until(&format!("{at}: the run goes on for ever"), || {
            self.child.try_wait().expect("our own child")
        });
        assert_eq!(status.code(), Some(70), "{at}: it says that its supervisor is gone");
        self.expect_nothing_left(folder, at);
    }

    /// Nobody, no control group and no mount is left.
    fn expect_nothing_left(&self, folder: &Path, at: &str) {
        until(&format!("{at}: {:?} are left", self.processes()), || {
            self.processes().is_empty().then_some(())
        });
        let text = fs::read_to_string(folder.join("undo.jsonl")).expect("an undo log");
        let made = text.lines().filter_map(|line| serde_json::from_str::<Made>(line).ok());
        let directories: Vec<PathBuf> = made
            .flat_map(|made| match made {
                Made::Supervisor { scratch } => scratch,
                Made::Suspended { by: Suspension::Freezer { group, .. }, .. } => vec![group],
                _ => Vec::new(),
            })
            .collect();
        until(&format!("{at}: one of {directories:?} is left"), || {
            directories.iter().all(|it| !it.exists()).then_some(())
        });
        let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc");
        assert!(!mounts.contains(&self.world.path().display().to_string()), "{at}: {mounts}");
    }
}

fn kill(pids: &[u32]) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    // One of them may just have ended.
    let _ = Command::new("kill").arg("-KILL").args(&pids).stderr(Stdio::null()).status();
}

/// Whom a moment's kill is for.
#[derive(Clone, Copy, PartialEq)]
enum Whom {
    Run,
    Supervisor,
    Both,
}

fn killed(seed: u64, whom: Whom) {
    let mut generator = Generator::new(Seed(seed));
    for moment in 0..moments() {
        let mut begun = begin(u32::try_from(seed).expect("small") * 200 + moment);
        let folder = begun.folder();
        let later = Duration::from_millis(generator.below(MOMENT_MS_MAX));
        let which = generator.below(3);
        thread::sleep(later);
        let at = format!("seed {seed}, moment {moment}: after {later:?}");
        let supervisors = begun.supervisors();
        let supervisors = match (whom, which, supervisors.as_slice()) {
            (Whom::Run, ..) => Vec::new(),
            // The guardian, the supervisor below it, or both of them.
            (_, 0, [guardian, ..]) => vec![*guardian],
            (_, 1, [_, supervisor, ..]) => vec![*supervisor],
            _ => supervisors,
        };
        let run = (whom != Whom::Supervisor).then_some(begun.child.id());
        kill(&run.into_iter().chain(supervisors).collect::<Vec<u32>>());
        if whom == Whom::Supervisor {
            // The run says so by itself, or was between two trials.
            until(&format!("{at}: the run goes on for ever"), || {
                begun.child.try_wait().expect("our own child")
            });
        } else {
            begun.child.wait().expect("our own child");
        }
        let log = fs::read_to_string(folder.join("events.jsonl")).unwrap_or_default();
        let is_end_of_control = |line: &str| {
            line.contains(r#""trial_event":"ended","trial":0,"#) && line.ends_with('}')
        };
        if log.lines().any(is_end_of_control) {
            assert!(folder.join("control.json").exists(), "{at}: what the others are held against");
        }
        if whom == Whom::Both {
            let mut recover = begun.world.killpoint();
            recover.args(["recover", "--out"]).arg(begun.world.out());
            let recovered = until(&format!("{at}: nobody is left at work"), || {
                Some(recover.output().expect("it starts")).filter(|it| it.status.code() != Some(2))
            });
            assert!(recovered.status.success(), "{at}: {recovered:?}");
        }
        begun.expect_nothing_left(&folder, &at);
        let verify = |begun: &Begun| {
            let mut command = begun.world.killpoint();
            command.args(["audit", "verify"]).arg(&folder).output().expect("it starts")
        };
        let verified = verify(&begun);
        assert!(stdout(&verified).contains("chain whole"), "{at}: {verified:?}");
        // A run that was killed at its very end has nothing left to do.
        if verified.status.code() == Some(3) {
            let mut resume = begun.world.killpoint();
            resume
                .args(["resume", "--format", "json", "--out"])
                .arg(begun.world.out())
                .arg(&folder);
            let report = explored(&mut resume).report;
            assert_eq!(report.result, Outcome::Pass, "{at}: {report:#?}");
            let campaign = report.campaign.expect("trials");
            assert_eq!((campaign.total().tries, campaign.planned_trials), (5, 5), "{at}");
            assert_eq!(campaign.trials.len(), 6, "{at}: {campaign:#?}");
            begun.expect_nothing_left(&folder, &at);
        }
        let verified = verify(&begun);
        // The kill may have come between the end and its seal.
        let unsealed = stdout(&verified).contains("has its end and no seal");
        let expected = if unsealed { 1 } else { 0 };
        assert_eq!(verified.status.code(), Some(expected), "{at}: {verified:?}");
    }
}

#[test]
fn a_run_that_is_killed_is_resumed_to_the_right_verdict() {
    killed(1, Whom::Run);
}

#[test]
fn a_run_whose_supervisor_is_killed_says_so_and_is_resumed() {
    killed(2, Whom::Supervisor);
}

#[test]
fn a_run_that_is_killed_with_its_supervisor_is_recovered_and_resumed() {
    killed(3, Whom::Both);
}

#[test]
fn nothing_is_left_of_a_run_that_is_killed_while_a_call_is_held() {
    for (index, whom) in [Whom::Run, Whom::Supervisor, Whom::Both].into_iter().enumerate() {
        let number = 910 + u32::try_from(index).expect("small");
        let at = format!("variant {index}");
        let mut begun = begin_with(HOLDING, number);
        let folder = begun.folder();
        let long = format!("{}.5", begun.mark);
        until(&format!("{at}: no call is held"), || {
            begun.processes().iter().any(|it| it.contains(&long)).then_some(())
        });
        let target = begun.processes().into_iter().find(|it| it.contains("echo x"));
        assert!(target.is_some(), "{at}: it stands before its write: {:?}", begun.processes());
        let run = (whom != Whom::Supervisor).then_some(begun.child.id());
        let above = (whom != Whom::Run).then(|| begun.interceptor());
        kill(&run.into_iter().chain(above).collect::<Vec<u32>>());
        let status = until(&format!("{at}: the run goes on for ever"), || {
            begun.child.try_wait().expect("our own child")
        });
        if whom == Whom::Supervisor {
            assert_eq!(status.code(), Some(70), "{at}: it says that its supervisor is gone");
        }
        if whom == Whom::Both {
            let mut recover = begun.world.killpoint();
            recover.args(["recover", "--out"]).arg(begun.world.out());
            let recovered = until(&format!("{at}: nobody is left at work"), || {
                Some(recover.output().expect("it starts")).filter(|it| it.status.code() != Some(2))
            });
            assert!(recovered.status.success(), "{at}: {recovered:?}");
        }
        begun.expect_nothing_left(&folder, &at);
        assert!(!begun.world.join("data/note").exists(), "{at}: the state is its own copy");
    }
}

/// The interceptor stands above both and lives on for a while.
#[test]
fn a_supervisor_that_is_killed_below_an_interceptor_is_missed() {
    for (index, fault) in ["kill", "{ suspend: 20s }"].into_iter().enumerate() {
        let scenario = "version: 1
target:
  command: [sh, -c, 'sleep 0.1; echo x >> $KILLPOINT_STATE/note; exec sleep MARK']
  supervisor: { restart: always, backoff: 10ms }
  state: [data]
faults: [ { when: { points: any }, do: FAULT } ]
timeouts: { trigger: 1s }
invariants: [ { command: { run: [sh, -c, 'test -e $KILLPOINT_STATE/kept'] } } ]
";
        let number = 920 + u32::try_from(index).expect("small");
        let mut begun = begin_with(&scenario.replace("FAULT", fault), number);
        let folder = begun.folder();
        until(&format!("{fault}: nothing was struck"), || {
            let text = fs::read_to_string(folder.join("events.jsonl")).ok()?;
            text.contains(r#""trial_event":"struck""#).then_some(())
        });
        let guardian = begun.guardian();
        let both: Vec<u32> = children(guardian).into_iter().chain([guardian]).collect();
        kill(if index == 0 { &both[both.len() - 1..] } else { &both });
        begun.expect_supervisor_missed(&folder, fault);
    }
}

/// With an interceptor and without; while the target takes its time to stop.
#[test]
fn a_supervisor_that_is_killed_while_it_stops_its_target_is_missed() {
    for (index, when) in ["{ points: any }", "{ at: 50ms }"].into_iter().enumerate() {
        let scenario = "version: 1
target:
  command: [sh, -c, 'trap \"sleep 0.7; exit 0\" TERM; sleep 0.1; echo x >> $KILLPOINT_STATE/note; while :; do sleep 0.01; done; : MARK']
  supervisor: { restart: always, backoff: 10ms }
  state: [data]
faults: [ { when: WHEN, do: kill } ]
timeouts: { trigger: 400ms }
invariants: [ { command: { run: [sh, -c, 'test -e $KILLPOINT_STATE/kept'] } } ]
";
        let number = 950 + u32::try_from(index).expect("small");
        let mut begun = begin_with(&scenario.replace("WHEN", when), number);
        let folder = begun.folder();
        until(&format!("{when}: it does not stop"), || {
            let path = folder.join("trials/1/lifecycle.jsonl");
            fs::read_to_string(path).ok()?.contains("supervisor.stopping").then_some(())
        });
        let guardian = match index {
            0 => begun.guardian(),
            _ => begun.supervisors()[0],
        };
        kill(&children(guardian).into_iter().chain([guardian]).collect::<Vec<_>>());
        begun.expect_supervisor_missed(&folder, when);
    }
}

#[test]
fn what_a_killed_recording_leaves_is_cleared_away_by_the_next() {
    let killed = KilledRecording::new();
    // As soon as the guardian of the one that was killed has cleared up.
    until("it is never cleared away", || {
        assert_eq!(killed.run().status().expect("it starts").code(), Some(0));
        killed.left().is_empty().then_some(())
    });
}

#[test]
fn what_a_killed_recording_leaves_is_cleared_away_by_recover() {
    let killed = KilledRecording::new();
    let said = until("it is never cleared away", || {
        let mut command = killed.world.killpoint();
        command.arg("recover").arg("--out").arg(killed.world.out());
        let output = command.env("TMPDIR", &killed.temporary).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0));
        killed.left().is_empty().then_some(output.stdout)
    });
    assert!(String::from_utf8_lossy(&said).contains("recording of crash points was interrupted"));
}

/// A run that was killed while it recorded crash points, in a temporary directory of its own, so that
/// no other run's is looked at.
struct KilledRecording {
    world: World,
    temporary: PathBuf,
}

impl KilledRecording {
    fn new() -> Self {
        let world = World::new();
        let scenario = "version: 1
target:
  command: [sh, -c, 'echo x > $KILLPOINT_STATE/note; exec sleep 1000']
  state: [data]
faults: [ { when: { points: any }, do: kill } ]
timeouts: { trigger: 300ms }
";
        let temporary = world.join("temporary");
        fs::create_dir(&temporary).expect("made");
        fs::create_dir(world.join("data")).expect("made");
        fs::write(world.join("kills.yaml"), scenario).expect("written");
        let this = KilledRecording { world, temporary };
        let mut killed = this.run().spawn().expect("it starts");
        until("nothing is recorded", || {
            let recording = this.left().into_iter().next()?;
            let run = fs::read_dir(recording.join("runs")).ok()?.flatten().next()?;
            run.path().join("events.jsonl").exists().then_some(())
        });
        killed.kill().expect("our own child");
        killed.wait().expect("our own child");
        assert_eq!(this.left().len(), 1, "a whole run");
        this
    }

    fn run(&self) -> Command {
        let mut command = self.world.killpoint();
        command.args(["run", "kills.yaml", "--out"]).arg(self.world.out());
        command.env("TMPDIR", &self.temporary).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Directories of recordings. A supervisor has files there, too, which its guardian removes.
    fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.temporary).into_iter().flatten().flatten();
        let is_one = |it: &PathBuf| it.to_string_lossy().contains("killpoint-recording-");
        entries.map(|entry| entry.path()).filter(is_one).collect()
    }
}

#[test]
fn who_stands_still_goes_on_and_takes_its_stop_when_the_run_is_asked_to_stop() {
    let scenario = "version: 1
target:
  command: [sh, -c, 'trap \"echo x > FOLDER/stopped; exit 0\" TERM; while :; do sleep 0.01; done; : MARK']
  state: [data]
faults: [ { when: { at: 100ms }, do: { suspend: 1h } } ]
timeouts: { trigger: 300ms, trial: 2h }
";
    let folder = tempfile::tempdir().expect("a directory");
    let shown = folder.path().display().to_string();
    let mut begun = begin_with(&scenario.replace("FOLDER", &shown), 930);
    let run = begun.folder();
    until("nothing was struck", || {
        let text = fs::read_to_string(run.join("events.jsonl")).ok()?;
        text.contains(r#""trial_event":"struck""#).then_some(())
    });
    // The control's own stop.
    let _ = fs::remove_file(folder.path().join("stopped"));
    let pid = begun.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("it starts").success());
    let status = until("the run goes on for ever", || begun.child.try_wait().expect("ours"));
    assert_eq!(status.code(), Some(130));
    assert!(folder.path().join("stopped").exists(), "it took its stop");
    begun.expect_nothing_left(&run, "stopped");
}

/// Nobody is there to be killed during the shutdown; the restarts after it are not inhibited.
#[test]
fn a_strike_that_meets_nobody_leaves_nothing_for_the_next_trial() {
    let scenario = "version: 1
target: { command: [sleep, MARK], supervisor: { backoff: 10ms } }
faults:
  - { name: shutdown, when: { phase: shutdown }, do: kill, trials: 3 }
  - { name: kill, when: { at: 50ms }, do: kill }
timeouts: { trigger: 100ms, start: 5s }
";
    let mut begun = begin_with(scenario, 940);
    let folder = begun.folder();
    begun.child.wait().expect("our own child");
    let log = fs::read_to_string(folder.join("events.jsonl")).expect("a log");
    assert!(!log.contains("never-steady"), "{log}");
    begun.expect_nothing_left(&folder, "shutdown");
}

#[test]
fn a_run_that_is_asked_to_stop_says_how_it_goes_on_and_carries_no_trial_out_twice() {
    let begun = begin(900);
    let folder = begun.folder();
    until("the first trial ended", || {
        let text = fs::read_to_string(folder.join("events.jsonl")).ok()?;
        text.contains(r#""trial_event":"ended","trial":1"#).then_some(())
    });
    let pid = begun.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("it starts").success());
    let world_out = begun.world.out();
    let mut resume = begun.world.killpoint();
    let code = {
        let mut child = begun.child;
        child.wait().expect("our own child").code()
    };
    assert_eq!(code, Some(130));
    let resumed = resume.args(["resume", "--format", "json", "--out"]).arg(&world_out).arg(&folder);
    let report = explored(resumed).report;
    assert_eq!(report.result, Outcome::Pass, "{report:#?}");
    let text = fs::read_to_string(folder.join("events.jsonl")).expect("the log");
    assert_eq!(text.matches(r#""trial_event":"started","trial":1,"#).count(), 1);
    assert_eq!(text.matches(r#""trial_event":"started","trial":0,"#).count(), 1);
    let mut again = begun.world.killpoint();
    let refused = again.args(["resume", "--out"]).arg(&world_out).arg(&folder).output();
    let refused = refused.expect("it starts");
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("is complete"), "{}", stderr(&refused));
}
