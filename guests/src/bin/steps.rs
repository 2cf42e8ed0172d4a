//! Wrong: saves atomically, but once something was deleted, `compact` rewrites its document in place. What it does are
//! steps, one on each line of the file named in `KILLPOINT_STEPS`; without that, twenty of its own.

use guests::frame::{self, Store, failure};
use guests::{Journal, Promise, document, steps};
use serde_json::Value;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// A key that was deleted keeps this value until the document is compacted.
const DELETED: Value = Value::Null;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let steps = match std::env::var_os("KILLPOINT_STEPS") {
                Some(path) => std::fs::read_to_string(path)?,
                None => steps::STEPS.join("\n"),
            };
            steps.lines().try_for_each(|step| carry_out(&call.state, journal, step))
        },
        |state| {
            let store = document::check(state)?;
            Ok(store.into_iter().filter(|(_, value)| *value != DELETED).collect())
        },
    )
}

fn carry_out(state: &Path, journal: &Journal, step: &str) -> io::Result<()> {
    let path = state.join(document::DOCUMENT);
    let mut store = document::read(&path)?;
    let words: Vec<&str> = step.split_whitespace().collect();
    match words[..] {
        ["set", key, value] => {
            journal.intend(key, value)?;
            store.insert(key.to_owned(), value.into());
            save(state, &store)?;
            journal.acknowledge(key, Promise::Kill)
        }
        ["delete", key] => {
            journal.intend_delete(key)?;
            store.insert(key.to_owned(), DELETED);
            save(state, &store)?;
            journal.acknowledge(key, Promise::Kill)
        }
        ["compact"] => {
            let length = store.len();
            store.retain(|_, value| *value != DELETED);
            match store.len() == length {
                true => Ok(()),
                false => std::fs::write(path, document::to_bytes(&store)),
            }
        }
        _ => Err(failure(format!("no step: {step}"))),
    }
}

fn save(state: &Path, store: &Store) -> io::Result<()> {
    document::save_atomically(state, document::DOCUMENT, &document::to_bytes(store))
}
