//! Records one command and prints what was counted, for measurements:
//! `record [--mechanism ptrace|notify] [--no-pin] [--outside] [--state DIR] -- COMMAND...`
//!
//! Without `--state` the state is a new empty directory in memory. The command finds it in
//! `KILLPOINT_STATE`. With `--state` a real directory is written to: give it one to throw away. With
//! `--outside` the command is told another directory than the one that is recorded.

use killpoint_engine::arena::{self, Arena, Plan};
use killpoint_engine::compare;
use killpoint_engine::image::Image;
use killpoint_engine::materialise::Materialised;
use killpoint_engine::record::{Mechanism, Output, Request, Root, record};
use killpoint_engine::recording::Ending;
use killpoint_engine::spawn::{Drain, Launch, find_program, null};
use killpoint_model::Roles;
use nix::sys::resource::{UsageWho, getrusage};
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

struct Arguments {
    mechanism: Mechanism,
    pin: bool,
    outside: bool,
    state: Option<PathBuf>,
    command: Vec<OsString>,
}

fn arguments() -> Option<Arguments> {
    let mut found = Arguments {
        mechanism: Mechanism::Ptrace,
        pin: true,
        outside: false,
        state: None,
        command: Vec::new(),
    };
    let mut rest = std::env::args_os().skip(1);
    while let Some(argument) = rest.next() {
        match argument.to_str()? {
            "--mechanism" => {
                found.mechanism = match rest.next()?.to_str()? {
                    "ptrace" => Mechanism::Ptrace,
                    "notify" => Mechanism::Notify,
                    _ => return None,
                }
            }
            "--no-pin" => found.pin = false,
            "--outside" => found.outside = true,
            "--state" => found.state = Some(fs::canonicalize(rest.next()?).ok()?),
            "--" => {
                found.command = rest.collect();
                break;
            }
            _ => return None,
        }
    }
    (!found.command.is_empty()).then_some(found)
}

type Counted = (Ending, u64, Duration, Duration, usize);

/// Processor time of this process and of those that it waited for: the recorder and the command.
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    let mut seconds = 0.0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        for time in [usage.user_time(), usage.system_time()] {
            seconds += time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        }
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn count(arguments: &Arguments, arena: &Arena) -> Result<Counted, Box<dyn Error>> {
    let state = match &arguments.state {
        Some(state) => state.clone(),
        None => {
            fs::create_dir(arena.in_scratch("state"))?;
            arena.shown("state")
        }
    };
    let (snapshot, journal) = (arena.in_scratch("snapshot"), arena.in_scratch("journal"));
    fs::create_dir(&snapshot)?;
    Materialised::create(vec![snapshot.clone()], &Image::scan(std::slice::from_ref(&state))?)?;
    fs::write(&journal, b"")?;
    let mut environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    environment.retain(|(name, _)| name != "KILLPOINT_STATE" && name != "KILLPOINT_JOURNAL");
    fs::create_dir(arena.in_scratch("outside"))?;
    let told = if arguments.outside { arena.shown("outside") } else { state.clone() };
    environment.push(("KILLPOINT_STATE".into(), told.into()));
    environment.push(("KILLPOINT_JOURNAL".into(), arena.shown("journal").into()));
    let path = std::env::var_os("PATH");
    let directory = std::env::current_dir()?;
    let program = find_program(&arguments.command[0], path.as_deref(), &directory)?;
    let processor = std::thread::available_parallelism()?.get() - 1;
    let request = Request {
        launch: Launch { program, arguments: arguments.command.clone(), environment, directory },
        driver: None,
        roots: vec![Root { path: state.clone(), prefix: String::new() }],
        initial: Image::scan(&[snapshot])?,
        contained: Vec::new(),
        journal,
        acknowledgements: Vec::new(),
        recording: arena.in_scratch("recording"),
        stable: None,
        strike: None,
        roles: Roles::default(),
        mechanism: arguments.mechanism,
        pin: arguments.pin.then_some(processor),
        keep_privileges: arena.keeps_paths(),
        timeout: Duration::from_secs(600),
        quiet: Duration::from_millis(250),
        stop: Duration::from_secs(5),
        threads_max: 2_000,
    };
    let (mut drain, output) = Drain::pipe(64 << 10)?;
    let error = output.try_clone()?;
    let (since, before) = (Instant::now(), processor_time()?);
    let recorded = record(&request, Output { input: null()?, output, error }, || {
        let _ = drain.drain();
        false
    })?;
    let (elapsed, busy) = (since.elapsed(), processor_time()?.saturating_sub(before));
    drain.drain()?;
    eprint!("{}", String::from_utf8_lossy(drain.kept()));
    let differences = compare::with_reality(&recorded.image.without_nameless(), &[state])?;
    Ok((recorded.ending, recorded.operations, elapsed, busy, differences.len()))
}

fn run(arguments: &Arguments, folder: &Path) -> Result<(), Box<dyn Error>> {
    let scratch = folder.join("scratch");
    fs::create_dir_all(&scratch)?;
    let (containment, _) = arena::probe(folder, &scratch);
    let plan = Plan {
        containment,
        run: folder.to_owned(),
        scratch,
        scratch_bytes: 2 << 30,
        views: Vec::new(),
        process_ids_above: 0,
        host_name: None,
    };
    let mut worker = arena::start(&plan, |arena, channel| {
        let counted = count(arguments, arena).map_err(|error| format!("{error:?}"));
        let _ = channel.send(&counted);
    })?;
    let counted: Result<Counted, String> = worker.channel().receive(None)?.expect_message()?;
    let (ending, operations, elapsed, busy, differences) = counted?;
    println!(
        "{:.3} s, {:.3} s of processor time, {operations} operations, {} calls outside, {} processes, {:?}, {differences} \
         differences{}",
        elapsed.as_secs_f64(),
        busy.as_secs_f64(),
        ending.outside,
        ending.processes,
        ending.exit,
        ending.gaps.iter().map(|(file, gap)| format!("\n{file}: {gap}")).collect::<String>(),
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(arguments) = arguments() else {
        return Err(
            "record [--mechanism ptrace|notify] [--no-pin] [--outside] [--state DIR] -- CMD..."
                .into(),
        );
    };
    let folder = tempfile::tempdir()?;
    run(&arguments, folder.path())
}
