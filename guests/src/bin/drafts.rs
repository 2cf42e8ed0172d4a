//! Keeps what is being written in a draft beside its document. `careful` shows a draft again where the document is still
//! the one that it was begun on: right. `forgets` never shows it: right, too, for a draft promises nothing. `stale` shows
//! it whatever was saved since: wrong.

use guests::frame::{self, Store};
use guests::{Journal, Promise, document};
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::process::ExitCode;

const DRAFT: &str = "draft.json";
const KEYS: [&str; 2] = ["letter", "poem"];

fn main() -> ExitCode {
    frame::run(
        |call, journal| KEYS.iter().try_for_each(|key| write(&call.state, journal, key)),
        |state| {
            // `check` has taken the first argument away.
            let way = std::env::args().nth(2).unwrap_or_default();
            shown(state, &way)
        },
    )
}

fn write(state: &Path, journal: &Journal, key: &str) -> io::Result<()> {
    for words in ["Dear", "Dear Ada,", "Dear Ada, all is well."] {
        let store = document::check(state)?;
        let draft = json!({ "key": key, "text": words, "base": store.get(key) });
        journal.draft(key, words)?;
        document::save_atomically(state, DRAFT, draft.to_string().as_bytes())?;
    }
    let value = format!("the {key}, finished");
    journal.intend(key, &value)?;
    let mut store = document::check(state)?;
    store.insert(key.to_owned(), value.into());
    document::save_atomically(state, document::DOCUMENT, &document::to_bytes(&store))?;
    journal.acknowledge(key, Promise::Kill)?;
    std::fs::remove_file(state.join(DRAFT))
}

fn shown(state: &Path, way: &str) -> io::Result<Store> {
    let mut store = document::check(state)?;
    let draft = document::read(&state.join(DRAFT))?;
    let Some(key) = draft.get("key").and_then(Value::as_str) else { return Ok(store) };
    let base = store.get(key).cloned().unwrap_or_default();
    let is_shown = match way {
        "forgets" => false,
        "stale" => true,
        _ => draft["base"] == base,
    };
    if is_shown {
        store.insert(key.to_owned(), draft["text"].clone());
    }
    Ok(store)
}
