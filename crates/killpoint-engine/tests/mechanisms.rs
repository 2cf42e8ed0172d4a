//! Both mechanisms keep one contract: what they record of a program is equal, what is rebuilt from
//! the recording is what is really there, and a strike leaves exactly what stands in the log.

use killpoint_engine::arena::{self, Arena, Containment, Plan};
use killpoint_engine::compare;
use killpoint_engine::image::Image;
use killpoint_engine::materialise::Materialised;
use killpoint_engine::record::{Mechanism, Output, Request, Root, Scope, StrikeAt, record};
use killpoint_engine::recording::{Ending, Exit, Reader, Record};
use killpoint_engine::spawn::{Drain, Launch, find_program, null};
use killpoint_model::Roles;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

const MECHANISMS: [Mechanism; 2] = [Mechanism::Ptrace, Mechanism::Notify];

/// One operation as both mechanisms must see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Seen {
    address: String,
    call: String,
    result: i64,
    journal_length: u64,
    effects: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Trial {
    ending: Ending,
    seen: Vec<Seen>,
    /// Where what is rebuilt differs from what is there.
    differences: Vec<String>,
    output: String,
}

#[derive(Clone, Default)]
struct Setting {
    words: Vec<String>,
    strike: Option<StrikeAt>,
    redirect: bool,
    timeout: Option<Duration>,
}

fn attempt(
    setting: &Setting,
    mechanism: Mechanism,
    arena: &Arena,
) -> Result<Trial, Box<dyn Error>> {
    for name in ["state", "snapshot"] {
        fs::create_dir(arena.in_scratch(name))?;
    }
    let (state, snapshot) = (arena.shown("state"), arena.in_scratch("snapshot"));
    Materialised::create(vec![snapshot.clone()], &Image::scan(std::slice::from_ref(&state))?)?;
    let journal = arena.in_scratch("journal");
    fs::write(&journal, b"")?;
    let mut environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    environment.retain(|(name, _)| name != "KILLPOINT_STATE" && name != "KILLPOINT_JOURNAL");
    environment.push(("KILLPOINT_STATE".into(), state.clone().into()));
    environment.push(("KILLPOINT_JOURNAL".into(), arena.shown("journal").into()));
    let arguments: Vec<OsString> = setting.words.iter().map(OsString::from).collect();
    let directory = PathBuf::from("/");
    let path = std::env::var_os("PATH");
    let program = find_program(&arguments[0], path.as_deref(), &directory)?;
    let request = Request {
        launch: Launch { program, arguments, environment, directory },
        driver: None,
        roots: vec![Root { path: state.clone(), prefix: String::new() }],
        initial: Image::scan(&[snapshot])?,
        contained: Vec::new(),
        journal,
        acknowledgements: Vec::new(),
        recording: arena.in_scratch("recording"),
        stable: None,
        strike: setting.strike.clone(),
        roles: Roles::default(),
        mechanism,
        pin: Some(0),
        keep_privileges: arena.keeps_paths(),
        timeout: setting.timeout.unwrap_or(Duration::from_secs(60)),
        quiet: Duration::from_millis(100),
        stop: Duration::from_secs(1),
        threads_max: 100,
    };
    let (mut drain, output) = Drain::pipe(64 << 10)?;
    let error = output.try_clone()?;
    let recorded = record(&request, Output { input: null()?, output, error }, || {
        let _ = drain.drain();
        false
    })?;
    drain.drain()?;
    let image = recorded.image.without_nameless();
    let mut differences: Vec<String> = compare::with_reality(&image, std::slice::from_ref(&state))?
        .iter()
        .map(|found| format!("{found:?}"))
        .collect();
    if arena.keeps_paths() {
        compare_order_and_times(&image, &state, &mut differences)?;
    }
    Ok(Trial {
        ending: recorded.ending,
        seen: read(&request.recording)?,
        differences,
        output: String::from_utf8_lossy(drain.kept()).into_owned(),
    })
}

/// On a tmpfs the newest entry is listed first. Times differ by a tick of the kernel's clock, and by
/// how late this process was let to run: the bound only tells them from those that a program set.
fn compare_order_and_times(
    image: &Image,
    state: &Path,
    differences: &mut Vec<String>,
) -> Result<(), Box<dyn Error>> {
    const TOLERANCE_NS: i64 = 60_000_000_000;
    let mut rest = vec![(state.to_owned(), image.roots()[0])];
    while let Some((path, file)) = rest.pop() {
        let inode = image.inode(file).ok_or("an entry has an inode")?;
        let real = nanoseconds(&fs::symlink_metadata(&path)?);
        if (real - inode.modified_ns).abs() > TOLERANCE_NS {
            differences.push(format!("{} was modified at {real}: {inode:?}", path.display()));
        }
        if !path.is_dir() || path.is_symlink() {
            continue;
        }
        let listed: Vec<_> = fs::read_dir(&path)?
            .map(|entry| entry.map(|entry| entry.file_name().into_encoded_bytes()))
            .collect::<Result<_, _>>()?;
        let mut wanted: Vec<_> = inode.entries.iter().collect();
        wanted.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.age));
        let names: Vec<_> = wanted.iter().map(|(name, _)| (*name).clone()).collect();
        if names != listed {
            differences.push(format!("{} lists {listed:?}, not {names:?}", path.display()));
        }
        rest.extend(
            wanted
                .iter()
                .map(|(name, entry)| (path.join(std::ffi::OsStr::from_bytes(name)), entry.file)),
        );
    }
    Ok(())
}

fn nanoseconds(metadata: &fs::Metadata) -> i64 {
    killpoint_engine::image::nanoseconds(metadata.mtime(), metadata.mtime_nsec())
}

fn read(recording: &Path) -> Result<Vec<Seen>, Box<dyn Error>> {
    let mut reader = Reader::open(recording)?;
    let mut seen = Vec::new();
    while let Some(record) = reader.next_record()? {
        if let Record::Operation(operation, _) = record {
            seen.push(Seen {
                address: operation.address.to_string(),
                call: operation.call,
                result: operation.result,
                journal_length: operation.journal_length,
                effects: format!("{:?}", operation.effects),
            });
        }
    }
    Ok(seen)
}

fn trial(setting: &Setting, mechanism: Mechanism) -> Trial {
    let folder = tempfile::tempdir().expect("a directory");
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).expect("a directory");
    let containment = match setting.redirect {
        true => Containment::Redirect,
        false => arena::probe(folder.path(), &scratch).0,
    };
    let plan = Plan {
        containment,
        run: folder.path().to_owned(),
        scratch,
        scratch_bytes: 1 << 30,
        views: Vec::new(),
        process_ids_above: 0,
        host_name: None,
    };
    let mut worker = arena::start(&plan, |arena, channel| {
        let found = attempt(setting, mechanism, arena).map_err(|error| format!("{error:?}"));
        let _ = channel.send(&found);
    })
    .expect("a worker");
    let limit = Some(Duration::from_secs(120));
    let received = worker.channel().receive(limit).expect("an answer");
    let found: Result<Trial, String> = received.expect_message().expect("an answer in time");
    let trial = found.unwrap_or_else(|error| panic!("{:?} {mechanism:?}: {error}", setting.words));
    let what = format!("{:?} {mechanism:?}: {}", setting.words, trial.output);
    assert_eq!(trial.differences, Vec::<String>::new(), "{what}");
    trial
}

/// Both recordings; what is common to all cases is checked.
fn both(words: &[&str]) -> [Trial; 2] {
    let setting =
        Setting { words: words.iter().map(|&w| w.to_owned()).collect(), ..Setting::default() };
    let trials = MECHANISMS.map(|mechanism| trial(&setting, mechanism));
    let [ptrace, notify] = &trials;
    assert_eq!(ptrace.ending.exit, notify.ending.exit, "{words:?}: {}", notify.output);
    assert_eq!(ptrace.ending.gaps, notify.ending.gaps, "{words:?}");
    assert_eq!(ptrace.ending.left_over, notify.ending.left_over, "{words:?}");
    assert!(!ptrace.seen.is_empty(), "{words:?} does nothing: {}", ptrace.output);
    trials
}

/// A program whose calls come in one order.
fn check_equal(words: &[&str]) {
    let [ptrace, notify] = both(words);
    assert_eq!(ptrace.seen, notify.seen, "{words:?}");
    assert_eq!(ptrace.ending.outside, notify.ending.outside, "{words:?}");
}

/// A program whose calls come in one of many orders.
fn check_equal_sets(words: &[&str]) {
    let [ptrace, notify] = both(words)
        .map(|trial| trial.seen.into_iter().map(|seen| seen.address).collect::<BTreeSet<_>>());
    assert_eq!(ptrace, notify, "{words:?}");
}

/// The path of a guest; all are built if it is not there.
fn guest(name: &str) -> String {
    static BUILT: OnceLock<()> = OnceLock::new();
    let program = std::env::current_exe().expect("a path");
    let directory = program.ancestors().nth(2).expect("deps lies in the profile's directory");
    let path = directory.join(name);
    if !path.exists() {
        BUILT.get_or_init(|| build_guests(directory));
    }
    path.to_str().expect("a plain path").to_owned()
}

fn build_guests(directory: &Path) {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--package", "guests", "--bins", "--target-dir"]);
    command.arg(directory.parent().expect("the target directory"));
    if directory.ends_with("release") {
        command.arg("--release");
    }
    assert!(command.status().expect("cargo starts").success(), "the guests cannot be built");
}

#[test]
fn every_operation_is_recorded_equally() {
    check_equal(&[&guest("every-operation")]);
}

#[test]
fn random_operations_are_recorded_equally() {
    for seed in 1..=12 {
        check_equal(&[&guest("random-operations"), &seed.to_string(), "150"]);
    }
}

#[test]
fn ordinary_programs_are_recorded_equally() {
    for name in ["save-atomic", "append-log", "transfer", "sqlite-wal", "exchange", "unnamed-file"]
    {
        let [ptrace, notify] = both(&[&guest(name)]);
        // Salts and times differ from run to run, the calls do not.
        let calls = |trial: &Trial| -> Vec<(String, i64, u64)> {
            let parts = |s: &Seen| (s.address.clone(), s.result, s.journal_length);
            trial.seen.iter().map(parts).collect()
        };
        assert_eq!(calls(&ptrace), calls(&notify), "{name}");
    }
}

#[test]
fn a_program_that_gives_up_its_identity_is_recorded_equally() {
    // As root it becomes nobody; what it makes then must be nobody's.
    check_equal(&[&guest("change-user")]);
}

#[test]
fn threads_are_recorded_equally() {
    check_equal_sets(&[&guest("threads")]);
}

#[test]
fn a_shell_and_its_children_are_recorded_equally() {
    const ONE_AFTER_ANOTHER: &str = "cd $KILLPOINT_STATE
        for i in 1 2 3; do (echo $i > f$i; cp f$i g$i; mv g$i h$i); cat h$i >> all; done
        mkdir d; ln h1 d/l; ln -s l d/s; chmod 600 h2; touch -d @7 h3; rm f2; truncate -s 9 h1";
    check_equal(&["sh", "-c", ONE_AFTER_ANOTHER]);
    const SIDE_BY_SIDE: &str = "cd $KILLPOINT_STATE
        for i in 1 2 3 4; do (for j in 1 2 3; do echo $i$j >> f$i; done; mv f$i g$i) & done; wait";
    check_equal_sets(&["sh", "-c", SIDE_BY_SIDE]);
    const THROUGH_A_PIPE: &str = "cd $KILLPOINT_STATE; (sleep 0.1; echo late) | cat > f";
    check_equal(&["sh", "-c", THROUGH_A_PIPE]);
}

#[test]
fn a_limit_of_the_file_size_cuts_and_signals_as_ever() {
    const SCRIPT: &str = "cd $KILLPOINT_STATE; ulimit -f 2
        (dd if=/dev/zero of=killed bs=700 count=4); echo $? > status-1
        (trap '' XFSZ; exec dd if=/dev/zero of=refused bs=700 count=4); echo $? > status-2";
    check_equal(&["sh", "-c", SCRIPT]);
}

#[test]
fn processes_that_are_left_are_asked_to_end() {
    const SCRIPT: &str = "cd $KILLPOINT_STATE; echo 1 > f
        (trap 'kill $!; echo late > g; exit' TERM; sleep 600 & wait) & sleep 600 & exit 3";
    let trials = both(&["sh", "-c", SCRIPT]);
    for trial in trials {
        let turns = trial.ending.turns;
        assert_eq!((trial.ending.exit, trial.ending.left_over), (Exit::Status(3), 0));
        assert_eq!((turns.asked, turns.driver_ended, turns.asked_to_stop), (3, Some(2), Some(2)));
        let late: Vec<&str> =
            trial.seen[2..].iter().map(|operation| operation.address.as_str()).collect();
        assert_eq!(late, ["open(g, create)#1", "write(g)#1"]);
        assert!(!trial.ending.never_quiet);
    }
}

#[test]
fn who_does_not_end_when_asked_is_killed() {
    const SCRIPT: &str = "cd $KILLPOINT_STATE; (trap '' TERM; echo 1 > f; exec sleep 600) & exit 0";
    for mechanism in MECHANISMS {
        let words = ["sh", "-c", SCRIPT].map(str::to_owned).to_vec();
        let trial = trial(&Setting { words, ..Setting::default() }, mechanism);
        assert_eq!((trial.ending.turns.asked, trial.ending.left_over), (1, 1), "{mechanism:?}");
    }
}

#[test]
fn a_target_that_never_becomes_quiet_is_told() {
    const SCRIPT: &str = "cd $KILLPOINT_STATE; (while :; do echo 1 > f; sleep 0.02; done) & exit 0";
    for mechanism in MECHANISMS {
        let words = ["sh", "-c", SCRIPT].map(str::to_owned).to_vec();
        let timeout = Some(Duration::from_millis(700));
        let trial = trial(&Setting { words, timeout, ..Setting::default() }, mechanism);
        assert!(trial.ending.never_quiet, "{mechanism:?}");
        assert_eq!(trial.ending.exit, Exit::Status(0), "{mechanism:?}");
        assert_eq!(trial.ending.turns.asked_to_stop, None, "{mechanism:?}");
    }
}

#[test]
fn what_does_not_start_or_end_is_told_equally() {
    for mechanism in MECHANISMS {
        let words = ["sh", "-c", "echo 1 > $KILLPOINT_STATE/f; sleep 600"].map(str::to_owned);
        let timeout = Some(Duration::from_millis(300));
        let setting = Setting { words: words.to_vec(), timeout, ..Setting::default() };
        let trial = trial(&setting, mechanism);
        assert_eq!(trial.ending.exit, Exit::TimedOut, "{mechanism:?}");
        assert!(trial.ending.left_over > 0, "{mechanism:?}");
    }
    for mechanism in MECHANISMS {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("no-interpreter");
        fs::write(&path, "#!/no/such/interpreter\n").expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).expect("executable");
        let words = vec![path.to_str().expect("plain").to_owned()];
        let trial = trial(&Setting { words, ..Setting::default() }, mechanism);
        assert_eq!(trial.ending.exit, Exit::NotStarted(2), "{mechanism:?}");
    }
}

#[test]
fn a_strike_leaves_what_the_log_says() {
    for redirect in [false, true] {
        for words in [vec![guest("transfer")], vec![guest("threads")], parallel()] {
            let setting = Setting { words, redirect, ..Setting::default() };
            let recorded = trial(&setting, Mechanism::Ptrace).seen;
            for (index, seen) in recorded.iter().enumerate().step_by(recorded.len() / 5 + 1) {
                for mechanism in MECHANISMS {
                    check_strike(&setting, mechanism, &recorded[..=index], seen);
                }
            }
        }
    }
}

/// Processes that write all the time, so that a strike that is not exact shows.
fn parallel() -> Vec<String> {
    const SCRIPT: &str = "cd $KILLPOINT_STATE
        for i in 1 2 3; do (for j in 1 2 3 4 5 6 7 8; do echo $i$j >> f$i; done) & done; wait";
    ["sh", "-c", SCRIPT].map(str::to_owned).to_vec()
}

fn check_strike(setting: &Setting, mechanism: Mechanism, before: &[Seen], at: &Seen) {
    let address = at.address.parse().expect("an address");
    let strike = Some(StrikeAt { address, after_bytes: None, scope: Scope::All });
    let struck = trial(&Setting { strike, ..setting.clone() }, mechanism);
    assert!(struck.ending.struck, "{} {mechanism:?}: {}", at.address, struck.output);
    assert_eq!(struck.ending.left_over, 0);
    assert!(!struck.seen.iter().any(|seen| seen.address == at.address));
    if setting.words[0].ends_with("transfer") {
        assert_eq!(struck.seen, before[..before.len() - 1], "{} {mechanism:?}", at.address);
    }
}

#[test]
fn a_write_is_cut_short_before_a_strike() {
    let words = vec![guest("many-writes"), "4".to_owned(), "9000".to_owned()];
    let address = "write(many)#2".parse().expect("an address");
    let strike = Some(StrikeAt { address, after_bytes: Some(3_288), scope: Scope::All });
    let setting = Setting { words, strike, ..Setting::default() };
    let [ptrace, notify] = MECHANISMS.map(|mechanism| trial(&setting, mechanism));
    assert!(ptrace.ending.struck && notify.ending.struck);
    assert_eq!(notify.seen.last().map(|seen| seen.result), Some(3_288));
    assert_eq!(ptrace.seen, notify.seen);
}

#[test]
fn a_strike_at_one_process_lets_the_others_go_on() {
    const SCRIPT: &str = "cd $KILLPOINT_STATE; echo 1 > a; (echo 2 > b; echo 3 > c); echo $? > d";
    for (scope, mechanism) in
        [Scope::Process, Scope::Tree].into_iter().flat_map(|s| MECHANISMS.map(|m| (s, m)))
    {
        let words = ["sh", "-c", SCRIPT].map(str::to_owned).to_vec();
        let address = "write(b)#1".parse().expect("an address");
        let strike = Some(StrikeAt { address, after_bytes: None, scope });
        let trial = trial(&Setting { words, strike, ..Setting::default() }, mechanism);
        let addresses: Vec<&str> = trial.seen.iter().map(|seen| seen.address.as_str()).collect();
        assert!(trial.ending.struck, "{mechanism:?}");
        assert_eq!(addresses.last(), Some(&"write(d)#1"), "{mechanism:?}: {addresses:?}");
        assert!(!addresses.contains(&"write(c)#1"), "{mechanism:?}");
    }
}

#[test]
fn a_program_may_trace_under_notification() {
    if find_program("gdb".as_ref(), std::env::var_os("PATH").as_deref(), Path::new("/")).is_err() {
        return; // not on this machine
    }
    let guest = guest("save-atomic");
    let words = ["gdb", "-nx", "-batch", "-ex", "run", &guest].map(str::to_owned).to_vec();
    let trial = trial(&Setting { words, ..Setting::default() }, Mechanism::Notify);
    let alone = both(&[&guest]);
    let addresses =
        |seen: &[Seen]| -> Vec<String> { seen.iter().map(|seen| seen.address.clone()).collect() };
    assert_eq!(trial.ending.exit, Exit::Status(0), "{}", trial.output);
    assert_eq!(addresses(&trial.seen), addresses(&alone[0].seen), "{}", trial.output);
    let assumed = |(_, reason): &&(String, String)| reason.contains("another process traces");
    assert!(trial.ending.gaps.iter().any(|gap| assumed(&gap)), "{:?}", trial.ending.gaps);
}
