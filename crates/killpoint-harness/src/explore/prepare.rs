//! What is tested, where, and whether that can be done at all.

mod start_log;

use super::discovery::{Discovery, discover, without_out};
use super::options::Options;
use super::problem::ExploreError;
use crate::asserter::checker::{Checker, Surroundings};
use crate::asserter::journal::{Journal, OneShot};
use crate::environment::local::{INITIAL, Local, snapshot_name};
use crate::journalist::{Journalist, Progress, Watch};
use crate::own_paths::{OF_THE_KERNEL, holds_runs, is_of_the_kernel, real};
use crate::recover::{announce_with_scratch, clear_up};
use crate::store::{RunFolder, StoreError};
use killpoint_engine::arena::{self, Containment, process_ids};
use killpoint_engine::compare::Aspect;
use killpoint_engine::image::Image;
use killpoint_engine::materialise::Materialised;
use killpoint_engine::record::{Mechanism, Root, Scope};
use killpoint_engine::regular_file;
use killpoint_engine::spawn::{Launch, find_program};
use killpoint_model::event::Event;
use killpoint_model::report::NotCovered;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long nothing may move until the driver is started and, after it has ended, until what is left
/// is asked to end.
const QUIET: Duration = Duration::from_millis(250);
/// How long that is given to end before it is killed.
const STOP: Duration = Duration::from_secs(5);
/// Variables that take an interpreter's seed for hashing. Other interpreters have none.
const HASH_SEEDS: [&str; 2] = ["PYTHONHASHSEED", "PERL_HASH_SEED"];
/// Most judges side by side: each is a process that holds the state.
const JOBS_MAX: usize = 256;
/// Most bytes of the file with the steps of a workload.
const STEPS_BYTES_MAX: u64 = 64 << 20;
/// Most threads of a target.
const THREADS_MAX: usize = 2_000;

/// What later stages work on.
pub struct Prepared {
    /// The target and its surroundings.
    pub local: Local,
    /// The run's folder.
    pub folder: RunFolder,
    /// Its log.
    pub journalist: Journalist,
    /// The real state directories.
    pub roots: Vec<PathBuf>,
}

/// Checks everything that can be checked before anything is touched, then makes the run's folder.
///
/// # Errors
/// The first thing that is not as it must be.
pub fn prepare(options: &Options, watch: Watch<'_>) -> Result<Prepared, ExploreError> {
    if options.directory.as_os_str().is_empty() {
        let text = "the working directory is gone or cannot be read; change to one that is there";
        return Err(ExploreError::Usage(text.to_owned()));
    }
    check_words(options)?;
    launch(options)?;
    let journal = starting_journal(options)?;
    let steps = read_steps(options)?;
    let one_shot = OneShot::from_intents(&options.intents)?;
    if !(1..=JOBS_MAX).contains(&options.jobs) || options.recordings < 2 {
        return Err(ExploreError::Usage(format!(
            "--jobs must be at least 1 and at most {JOBS_MAX}, --recordings at least 2"
        )));
    }
    if options.idempotent && options.checker == Checker::BuiltIn {
        let text =
            "--idempotent needs --check or --check-stream, to compare what a second run leaves";
        return Err(ExploreError::Usage(text.to_owned()));
    }
    if options.recovery_depth > 0 && options.checker == Checker::BuiltIn {
        let text = "--recovery-depth needs --check: a crash inside a recovery is one inside the checker, which \
                    opens the store";
        return Err(ExploreError::Usage(text.to_owned()));
    }
    check_driver(options)?;
    super::phases::check(options)?;
    super::findings::known(options)?;
    super::findings::check_baseline(options)?;
    let paths = state_paths(options)?;
    if let (Checker::Stream(_), Some(path)) =
        (&options.checker, paths.iter().find(|path| path.to_str().is_none()))
    {
        let problem =
            "has a path that is not UTF-8, which a stream checker cannot be told: use --check";
        return Err(ExploreError::State { path: path.clone(), problem: problem.to_owned() });
    }
    // What cannot be read is said before the run's folder is made.
    let images = scan_states(options, &paths)?;
    let folder = RunFolder::create(&options.out.join("runs"))?;
    let prepared = prepare_in(&folder, options, paths, images, journal, steps, one_shot, watch);
    if prepared.is_err() {
        // Nothing was recorded: there is nothing to keep.
        clear_up(&folder);
        let _ = fs::remove_dir_all(folder.path());
    }
    prepared
}

/// Says no to commands that are empty, and to variables that are none.
fn check_words(options: &Options) -> Result<(), ExploreError> {
    let is_empty = |command: &str| command.trim().is_empty();
    let problem = match (&options.checker, &options.driver) {
        (Checker::Command(command), _) if is_empty(command) => {
            "--check: the command is empty: name one that prints what the store holds, or leave the \
             flag out for the built-in oracle"
                .to_owned()
        }
        (Checker::Stream(command), _) if is_empty(command) => {
            "--check-stream: the command is empty: name a checker that stays alive, or leave the flag \
             out for the built-in oracle"
                .to_owned()
        }
        (_, Some(command)) if is_empty(command) => {
            "--driver: the command is empty: name one that drives the program, or leave the flag out \
             where the program ends by itself"
                .to_owned()
        }
        _ => match options.keep_environment.iter().find(|name| !is_variable(name)) {
            Some(text) => format!(
                "--env takes the name of a variable, and `{text}` is none: set the variable where \
                 killpoint is started, and give its name"
            ),
            None => return Ok(()),
        },
    };
    Err(ExploreError::Usage(problem))
}

/// Whether a variable of the environment can have this name.
fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// Says no to what does not go with a driver.
fn check_driver(options: &Options) -> Result<(), ExploreError> {
    let problem = match options.driver {
        Some(_) if options.state.is_empty() => {
            "--driver needs --state: where a program writes is found out by running it alone"
        }
        Some(_) if options.mechanism == Mechanism::Notify => {
            "--driver needs --mechanism ptrace: a second program would need a listener of its own"
        }
        Some(_) if options.idempotent => {
            "--idempotent runs the command alone and to its end; leave it out, or --driver"
        }
        _ => return Ok(()),
    };
    Err(ExploreError::Usage(problem.to_owned()))
}

#[expect(clippy::too_many_arguments, reason = "what was checked before anything was touched")]
fn prepare_in(
    folder: &RunFolder,
    options: &Options,
    mut paths: Vec<PathBuf>,
    mut images: Vec<Image>,
    journal: Vec<u8>,
    steps: Option<Vec<String>>,
    one_shot: OneShot,
    watch: Watch<'_>,
) -> Result<Prepared, ExploreError> {
    announce_with_scratch(folder)?;
    let mut journalist = Journalist::start(folder)?;
    let (containment, why_weaker) = containment(options, folder);
    let mut found = Discovery::default();
    if paths.is_empty() {
        watch(&Progress::started("discovering"));
        let steps = steps.clone();
        let nowhere =
            Local { containment, steps, ..local(options, folder, Vec::new(), &journal, 0)? };
        found = discover(options, &nowhere)?;
        paths.clone_from(&found.state);
        images = scan_states(options, &paths)?;
    }
    let roots = label(&paths);
    let bytes = copy_initial(folder, &images)?;
    let intents_start = journal.len() as u64;
    let mut journal_start = journal;
    journal_start.extend_from_slice(one_shot.intents.as_bytes());
    let local = Local {
        scratch_bytes: scratch_bytes(bytes),
        acknowledgements: one_shot.acknowledgements.into_bytes(),
        containment,
        steps,
        ..local(options, folder, roots, &journal_start, intents_start)?
    };
    start_log::start_log(options, &local, &mut journalist, why_weaker)?;
    for path in &found.state {
        let text = format!("the command writes to {}: explored as its state", path.display());
        journalist.tell(Event::Note { text })?;
    }
    for (path, why) in found.left_out {
        let text = format!("the command also writes {}: {why}, not explored", path.display());
        journalist.tell(Event::Note { text })?;
    }
    let folder = folder.clone();
    Ok(Prepared { local, folder, journalist, roots: paths })
}

fn launch(options: &Options) -> Result<Launch, ExploreError> {
    let name = options.command.first().ok_or(ExploreError::NoCommand)?;
    let path_variable =
        options.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value);
    let program = find_program(name, path_variable.map(OsString::as_os_str), &options.directory)?;
    let mut environment = options.environment.clone();
    environment.retain(|(name, _)| name != "KILLPOINT_STATE" && name != "KILLPOINT_JOURNAL");
    // Random hashing changes the order of writes from run to run; only where nobody chose.
    for seed in HASH_SEEDS {
        if !environment.iter().any(|(name, _)| name == seed) {
            environment.push((seed.into(), "0".into()));
        }
    }
    let directory = options.directory.clone();
    Ok(Launch { program, arguments: options.command.clone(), environment, directory })
}

/// The steps of the workload, if it is a list of steps.
fn read_steps(options: &Options) -> Result<Option<Vec<String>>, ExploreError> {
    let Some(path) = &options.steps else {
        let text = "--shrink needs --steps: a file with the steps of the workload, one a line";
        return if options.shrink { Err(ExploreError::Usage(text.to_owned())) } else { Ok(None) };
    };
    let path = options.directory.join(path);
    let is_interrupted = || options.interrupt.is_requested();
    let text = regular_file::read_text_handed_over(&path, STEPS_BYTES_MAX, &is_interrupted)
        .map_err(|source| ExploreError::Input { path: path.clone(), source })?;
    let steps: Vec<String> =
        text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    if steps.is_empty() {
        let problem = "has no steps: write one on each line".to_owned();
        return Err(ExploreError::Malformed { path, problem });
    }
    if options.shrink && options.scope != Scope::All {
        let text = "--shrink needs --scope all: what survives a narrower one cannot be rebuilt";
        return Err(ExploreError::Usage(text.to_owned()));
    }
    Ok(Some(steps))
}

fn starting_journal(options: &Options) -> Result<Vec<u8>, ExploreError> {
    let Some(path) = &options.journal else { return Ok(Vec::new()) };
    let path = options.directory.join(path);
    if !path.is_file() && path.exists() {
        let problem =
            "is not a regular file: name the ack journal of an earlier workload".to_owned();
        return Err(ExploreError::Malformed { path, problem });
    }
    let mut bytes = regular_file::read(&path)
        .map_err(|source| ExploreError::Input { path: path.clone(), source })?;
    let parsed = Journal::parse(&bytes).map_err(|source| ExploreError::Journal { path, source })?;
    if parsed.unsealed.is_some() {
        bytes.extend_from_slice(crate::asserter::journal::SEAL);
    }
    Ok(bytes)
}

/// The state directories, absolute, checked.
fn state_paths(options: &Options) -> Result<Vec<PathBuf>, ExploreError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for given in &options.state {
        let bad = |problem: &str| ExploreError::State {
            path: given.clone(),
            problem: problem.to_owned(),
        };
        let path = fs::canonicalize(options.directory.join(given)).map_err(|error| {
            bad(&match error.kind() {
                io::ErrorKind::NotFound => "does not exist: make it, empty if need be".to_owned(),
                _ => format!("cannot be used: {error}"),
            })
        })?;
        if !path.is_dir() {
            return Err(bad("is not a directory: name the directory that holds the file"));
        }
        if is_of_the_kernel(&path) {
            return Err(bad(OF_THE_KERNEL));
        }
        if path.parent().is_none() {
            return Err(bad("is the root of the file system: name the directory that is written"));
        }
        if real(&options.out) == path {
            return Err(bad(&holds_runs(&options.out)));
        }
        if let Some(other) =
            paths.iter().find(|other| path.starts_with(other) || other.starts_with(&path))
        {
            return Err(bad(&format!(
                "and {} lie in one another: name the outer",
                other.display()
            )));
        }
        paths.push(path);
    }
    Ok(paths)
}

fn escaped(path: &Path) -> String {
    killpoint_model::address::escape(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
}

fn label(paths: &[PathBuf]) -> Vec<Root> {
    let name = |path: &Path| escaped(Path::new(path.file_name().unwrap_or_default()));
    let mut roots: Vec<Root> = Vec::new();
    for path in paths {
        let mut prefix = String::new();
        if paths.len() > 1 {
            prefix = name(path);
            for number in 2.. {
                if !roots.iter().any(|root| root.prefix == prefix) {
                    break;
                }
                prefix = format!("{}-{number}", name(path));
            }
        }
        roots.push(Root { path: path.clone(), prefix });
    }
    roots
}

/// The state directories as they are now, or empty ones where the first start is asked for.
fn scan_states(options: &Options, paths: &[PathBuf]) -> Result<Vec<Image>, ExploreError> {
    let mut images = Vec::new();
    for path in paths {
        let image = scan_state(options, path)?;
        images.push(if options.from_empty { image.emptied() } else { image });
    }
    Ok(images)
}

/// Copies the state into the folder of the run; its size in bytes.
fn copy_initial(folder: &RunFolder, images: &[Image]) -> Result<u64, ExploreError> {
    let mut bytes = 0;
    for (index, image) in images.iter().enumerate() {
        bytes += image.inodes().map(|(_, inode)| inode.content.size()).sum::<u64>();
        let copy = folder.join(&snapshot_name(INITIAL, index));
        fs::create_dir_all(&copy).map_err(|source| StoreError::Io {
            action: "make the directory",
            path: copy.clone(),
            source,
        })?;
        Materialised::create(vec![copy], image)?;
    }
    Ok(bytes)
}

/// A state directory as it is now; nothing where it is yet to be made.
fn scan_state(options: &Options, path: &Path) -> Result<Image, ExploreError> {
    if !path.exists() {
        let empty = tempfile::tempdir()
            .map_err(|source| ExploreError::Input { path: std::env::temp_dir(), source })?;
        return Ok(Image::scan(&[empty.path().to_owned()])?);
    }
    let image = Image::scan(std::slice::from_ref(&path.to_owned()))?;
    Ok(without_out(image, path, &real(&options.out)))
}

/// The target of an earlier run, for a replay of its findings.
///
/// # Errors
/// If the program is not here.
pub(super) fn local(
    options: &Options,
    folder: &RunFolder,
    roots: Vec<Root>,
    journal: &[u8],
    intents_start: u64,
) -> Result<Local, ExploreError> {
    let (containment, _) = containment(options, folder);
    let launch = launch(options)?;
    let driver = options.driver.as_ref().map(|command| Surroundings::shell(command, &launch));
    Ok(Local {
        folder: folder.clone(),
        containment,
        scratch_bytes: scratch_bytes(0),
        views: views(options),
        launch,
        driver,
        steps: None,
        roots,
        checker: options.checker.clone(),
        journal: journal.to_vec(),
        intents_start,
        acknowledgements: Vec::new(),
        acks_survive_power_loss: options.acks_survive_power_loss,
        snapshot: INITIAL.to_owned(),
        target_timeout: options.timeout,
        checker_timeout: options.checker_timeout,
        quiet: QUIET,
        stop: STOP,
        roles: options.roles.clone(),
        mechanism: options.mechanism,
        process_ids_above: process_ids::TARGETS_ABOVE,
        last_process_id: 0,
        host_name: options.host_name(),
        pin: options.pin.then(last_processor).flatten(),
        threads_max: THREADS_MAX,
        interrupt: options.interrupt.clone(),
    })
}

/// A worker holds the state, its changes, and what a checker makes of it.
fn scratch_bytes(state: u64) -> u64 {
    const LEAST: u64 = 1 << 30;
    (state * 8).max(LEAST)
}

fn containment(options: &Options, folder: &RunFolder) -> (Containment, Option<String>) {
    if options.redirect {
        return (Containment::Redirect, Some("asked for".to_owned()));
    }
    arena::probe(folder.path(), &folder.join("scratch"))
}

/// Where programs like to write: seen copy-on-write.
fn views(options: &Options) -> Vec<PathBuf> {
    let mut views = vec![options.directory.clone()];
    for (name, value) in &options.environment {
        let name = name.to_string_lossy();
        if name == "HOME"
            || name == "TMPDIR"
            || (name.starts_with("XDG_") && name.ends_with("_HOME"))
        {
            views.push(PathBuf::from(value));
        }
    }
    views.extend(["/tmp", "/var/tmp", "/dev/shm"].map(PathBuf::from));
    views
}

/// The last processor that this process may use: the first is the busiest.
fn last_processor() -> Option<usize> {
    let set = rustix::thread::sched_getaffinity(None).ok()?;
    (0..rustix::thread::CpuSet::MAX_CPU).rev().find(|processor| set.is_set(*processor))
}

/// Says so if the real state changed while the run used copies of it.
///
/// # Errors
/// If the log cannot be written.
pub fn check_untouched(
    options: &Options,
    local: &Local,
    roots: &[PathBuf],
    journalist: &mut Journalist,
) -> Result<(), ExploreError> {
    const FILES_NAMED_MAX: usize = 20;
    // A copy made by an ordinary user cannot keep another owner.
    let keeps_owners = rustix::process::geteuid().is_root();
    let by_whom = match local.containment {
        Containment::Redirect => {
            "changed during the run, perhaps by the command itself: it was to use the copy of its \
             state (KILLPOINT_STATE, {state}), and without namespaces nothing keeps it from the real \
             one"
        }
        Containment::Namespaces { .. } => {
            "changed during the run by a process outside the target's tree, whose writes are not seen"
        }
    };
    let out = real(&options.out);
    for (index, root) in roots.iter().enumerate() {
        // Directories that the folders of runs needed are the tool's own.
        let below = out.strip_prefix(root).unwrap_or(Path::new(""));
        let made: Vec<String> = below.ancestors().map(escaped).collect();
        let copy = local.folder.join(&snapshot_name(INITIAL, index));
        let before = Image::scan(&[copy])?;
        let Ok(now) = scan_state(options, root) else { continue };
        let now = if options.from_empty { now.emptied() } else { now };
        let mut changed: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for difference in killpoint_engine::compare::between(&before, &now) {
            let is_known = match difference.aspect {
                Aspect::Presence => !made.contains(&difference.path),
                Aspect::Owner => keeps_owners,
                _ => true,
            };
            if difference.path != "." && is_known {
                changed.entry(difference.path).or_default().push(difference.what);
            }
        }
        for (file, how) in changed.into_iter().take(FILES_NAMED_MAX) {
            let (how, root) = (how.join(", "), root.display());
            let reason = format!("{how} in {root}: {by_whom}");
            journalist.tell(Event::NotCovered(NotCovered { file, reason, needed: true }))?;
        }
    }
    Ok(())
}
