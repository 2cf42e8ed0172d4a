//! Right: starts again where a pid file is left, unless a process of that number lives, be it itself.

use guests::{Promise, document, frame};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

const PID_FILE: &str = "program.pid";
/// Processes that it starts before anything else.
const HELPERS: u32 = 20;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            // Its number is then one that a small number of later processes come to.
            for _ in 0..HELPERS {
                Command::new("true").status()?;
            }
            lock(&call.state)?;
            document::save_repeatedly(&call.state, journal, Promise::Kill, |bytes| {
                document::save_atomically(&call.state, document::DOCUMENT, bytes)
            })?;
            fs::remove_file(call.state.join(PID_FILE))
        },
        |state| {
            lock(state)?;
            let store = document::check(state)?;
            fs::remove_file(state.join(PID_FILE))?;
            Ok(store)
        },
    )
}

fn lock(state: &Path) -> io::Result<()> {
    let path = state.join(PID_FILE);
    // A crash may have come before the number was written.
    let held_by: Option<i32> =
        fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    if let Some(process) = held_by.filter(|process| Path::new(&format!("/proc/{process}")).exists())
    {
        return Err(frame::failure(format!("already running as process {process}")));
    }
    fs::write(path, std::process::id().to_string())
}
