//! Wrong: refuses to start where a pid file is left, without looking whether that process lives.

use guests::{Promise, document, frame};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

const PID_FILE: &str = "program.pid";

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            start(&call.state)?;
            document::save_repeatedly(&call.state, journal, Promise::Kill, |bytes| {
                document::save_atomically(&call.state, document::DOCUMENT, bytes)
            })?;
            fs::remove_file(call.state.join(PID_FILE))
        },
        |state| {
            start(state)?;
            let store = document::check(state)?;
            fs::remove_file(state.join(PID_FILE))?;
            Ok(store)
        },
    )
}

fn start(state: &Path) -> io::Result<()> {
    let mut file = File::create_new(state.join(PID_FILE))
        .map_err(|error| frame::failure(format!("already running? {PID_FILE}: {error}")))?;
    writeln!(file, "{}", std::process::id())
}
