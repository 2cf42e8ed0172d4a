//! Wrong: opening waits until a lock file is gone, and after a crash it never goes.

use guests::{Promise, document, frame};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const LOCK: &str = "lock";

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            lock(&call.state)?;
            document::save_repeatedly(&call.state, journal, Promise::Kill, |bytes| {
                document::save_atomically(&call.state, document::DOCUMENT, bytes)
            })?;
            fs::remove_file(call.state.join(LOCK))
        },
        |state| {
            lock(state)?;
            let store = document::check(state)?;
            fs::remove_file(state.join(LOCK))?;
            Ok(store)
        },
    )
}

fn lock(state: &Path) -> io::Result<()> {
    loop {
        match File::create_new(state.join(LOCK)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                thread::sleep(Duration::from_millis(10));
            }
            other => return other.map(drop),
        }
    }
}
