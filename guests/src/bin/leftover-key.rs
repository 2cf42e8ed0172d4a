//! Wrong: keeps each value in a file of its own, and shows a temporary file that a crash left behind as a key.

use guests::{Promise, Store, document, frame};
use std::fs;
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            for (key, value) in [("colour", "red"), ("size", "large"), ("colour", "blue")] {
                journal.intend(key, value)?;
                document::save_atomically(&call.state, key, value.as_bytes())?;
                journal.acknowledge(key, Promise::Kill)?;
            }
            Ok(())
        },
        |state| {
            let mut store = Store::new();
            for entry in fs::read_dir(state)? {
                let entry = entry?;
                let value = fs::read_to_string(entry.path())?;
                store.insert(entry.file_name().to_string_lossy().into_owned(), value.into());
            }
            Ok(store)
        },
    )
}
