//! Wrong: notes an addition, applies it, forgets the note; after a crash in between, opening applies it once more.

use guests::{Promise, Store, document, frame};
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

const NOTE: &str = "addition";

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            recover(&call.state)?;
            for (id, addition) in [5, 7, 11, 13].into_iter().enumerate() {
                let id = (id + 1).to_string();
                journal.intend_id(&id, "counter", "+", &addition.to_string())?;
                let note = addition.to_string();
                document::save_atomically(&call.state, NOTE, note.as_bytes())?;
                recover(&call.state)?;
                journal.acknowledge_id(&id, Promise::Kill)?;
            }
            Ok(())
        },
        recover,
    )
}

/// Applies the noted addition, if there is one. It should have noted the sum.
fn recover(state: &Path) -> io::Result<Store> {
    let mut store = document::check(state)?;
    let Ok(note) = fs::read_to_string(state.join(NOTE)) else { return Ok(store) };
    let addition: u64 = note.parse().map_err(io::Error::other)?;
    let before = store.get("counter").and_then(|value| value.as_u64()).unwrap_or(0);
    store.insert("counter".to_owned(), (before + addition).into());
    document::save_atomically(state, document::DOCUMENT, &document::to_bytes(&store))?;
    fs::remove_file(state.join(NOTE))?;
    Ok(store)
}
