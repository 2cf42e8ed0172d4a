//! Wrong: keeps each value in a file of its own, written in two halves, and shows the half that a crash leaves.

use guests::{Promise, Store, frame};
use std::fs::{self, File};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            for number in 1..=3 {
                let key = format!("chapter-{number}");
                let value = format!("chapter {number}: ").repeat(200);
                journal.intend(&key, &value)?;
                let mut file = File::create(call.state.join(&key))?;
                let (first, second) = value.split_at(value.len() / 2);
                file.write_all(first.as_bytes())?;
                file.write_all(second.as_bytes())?;
                journal.acknowledge(&key, Promise::Kill)?;
            }
            Ok(())
        },
        |state| {
            let mut store = Store::new();
            for entry in fs::read_dir(state)? {
                let entry = entry?;
                let value = fs::read_to_string(entry.path())?;
                // A file without contents is a chapter that was not begun.
                if !value.is_empty() {
                    store.insert(entry.file_name().to_string_lossy().into_owned(), value.into());
                }
            }
            Ok(store)
        },
    )
}
