//! Records one command and prints what was counted, for measurements:
//! `record [--mechanism ptrace] [--no-pin] [--state DIR] -- COMMAND...`
//!
//! Without `--state` the state is a new empty directory in memory. The command finds it in
//! `KILLPOINT_STATE`. With `--state` a real directory is written to: give it one to throw away.

use killpoint_engine::arena::{self, Arena, Plan};
use killpoint_engine::compare;
use killpoint_engine::image::Image;
use killpoint_engine::materialise::Materialised;
use killpoint_engine::record::{Output, Request, Root, record};
use killpoint_engine::recording::Ending;
use killpoint_engine::spawn::{Drain, Launch, find_program, null};
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

struct Arguments {
    pin: bool,
    state: Option<PathBuf>,
    command: Vec<OsString>,
}

fn arguments() -> Option<Arguments> {
    let mut found = Arguments { pin: true, state: None, command: Vec::new() };
    let mut rest = std::env::args_os().skip(1);
    while let Some(argument) = rest.next() {
        match argument.to_str()? {
            "--mechanism" if rest.next()? == "ptrace" => {}
            "--no-pin" => found.pin = false,
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

type Counted = (Ending, u64, Duration, usize);

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
    environment.push(("KILLPOINT_STATE".into(), state.clone().into()));
    environment.push(("KILLPOINT_JOURNAL".into(), arena.shown("journal").into()));
    let path = std::env::var_os("PATH");
    let directory = std::env::current_dir()?;
    let program = find_program(&arguments.command[0], path.as_deref(), &directory)?;
    let processor = std::thread::available_parallelism()?.get() - 1;
    let request = Request {
        launch: Launch { program, arguments: arguments.command.clone(), environment, directory },
        roots: vec![Root { path: state.clone(), prefix: String::new() }],
        snapshot: vec![snapshot],
        journal,
        acknowledgements: Vec::new(),
        recording: arena.in_scratch("recording"),
        stable: None,
        strike: None,
        pin: arguments.pin.then_some(processor),
        keep_privileges: arena.keeps_paths(),
        timeout: Duration::from_secs(600),
        quiet: Duration::from_millis(250),
        threads_max: 2_000,
    };
    let (mut drain, output) = Drain::pipe(64 << 10)?;
    let error = output.try_clone()?;
    let since = Instant::now();
    let recorded = record(&request, Output { input: null()?, output, error }, || {
        let _ = drain.drain();
        false
    })?;
    let elapsed = since.elapsed();
    drain.drain()?;
    eprint!("{}", String::from_utf8_lossy(drain.kept()));
    let differences = compare::with_reality(&recorded.image.without_nameless(), &[state])?;
    Ok((recorded.ending, recorded.operations, elapsed, differences.len()))
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
        last_pid: 0,
    };
    let mut worker = arena::start(&plan, |arena, channel| {
        let counted = count(arguments, arena).map_err(|error| format!("{error:?}"));
        let _ = channel.send(&counted);
    })?;
    let counted: Result<Counted, String> = worker.channel().receive(None)?.expect_message()?;
    let (ending, operations, elapsed, differences) = counted?;
    println!(
        "{:.3} s, {operations} operations, {} calls outside, {} processes, {:?}, {differences} \
         differences{}",
        elapsed.as_secs_f64(),
        ending.outside,
        ending.processes,
        ending.exit,
        ending.gaps.iter().map(|(file, gap)| format!("\n{file}: {gap}")).collect::<String>(),
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(arguments) = arguments() else {
        return Err("record [--mechanism ptrace] [--no-pin] [--state DIR] -- COMMAND...".into());
    };
    let folder = tempfile::tempdir()?;
    run(&arguments, folder.path())
}
