//! Right: starts again where a pid file is left, unless a process of its numbers lives, be it itself.

use guests::{Journal, Promise, document, frame};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

const PID_FILE: &str = "program.pid";
/// Processes that it starts before anything else: its numbers are then some that later processes
/// soon come to, where these are counted from the beginning again.
const HELPERS: u32 = 6;

fn main() -> ExitCode {
    frame::run(
        |call, journal| match call.arguments.first() {
            Some(helper) => work(&call.state, journal, helper),
            None => start(&call.state),
        },
        |state| {
            lock(state, "")?;
            let store = document::check(state)?;
            fs::remove_file(state.join(PID_FILE))?;
            Ok(store)
        },
    )
}

/// Does the work in another process.
fn start(state: &Path) -> io::Result<()> {
    let mut helper = 0;
    for _ in 0..HELPERS {
        let mut child = Command::new("true").spawn()?;
        child.wait()?;
        helper = child.id();
    }
    let mut command = Command::new(std::env::current_exe()?);
    let status = command.env("KILLPOINT_STATE", state).arg(helper.to_string()).status()?;
    if status.success() { Ok(()) } else { Err(frame::failure("the work was not done")) }
}

fn work(state: &Path, journal: &Journal, helper: &str) -> io::Result<()> {
    lock(state, helper)?;
    document::save_repeatedly(state, journal, Promise::Kill, |bytes| {
        document::save_atomically(state, document::DOCUMENT, bytes)
    })?;
    fs::remove_file(state.join(PID_FILE))
}

/// Notes the numbers of a helper and of this process, unless those of living ones stand there. A
/// crash may have come before they were written.
fn lock(state: &Path, helper: &str) -> io::Result<()> {
    let path = state.join(PID_FILE);
    let held_by = fs::read_to_string(&path).unwrap_or_default();
    for process in held_by.split_whitespace() {
        if Path::new("/proc").join(process).exists() {
            return Err(frame::failure(format!("already running as process {process}")));
        }
    }
    fs::write(path, format!("{helper} {}", std::process::id()))
}
