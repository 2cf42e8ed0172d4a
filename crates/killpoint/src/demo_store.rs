//! The example that `killpoint demo` explores: a store of notes in one JSON file, saved in two ways.
//!
//! The wrong way is the one that most programs use: open the file, which empties it, and write it
//! again. The right way writes a second file, syncs it, and renames it over the first. Nothing here
//! knows of Killpoint but the ack journal, in which the program says what it was asked to keep.

use crate::arguments::{DemoMode, DemoStore, SaveWay};
use serde_json::{Map, Value};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// What a user of the store does: five notes, one of them changed later.
const NOTES: [(&str, &str); 6] = [
    ("groceries", "bread, milk, apples"),
    ("birthday", "Ada, 10 December"),
    ("groceries", "bread, milk, apples, coffee"),
    ("idea", "a program that shows what a crash leaves of another program's data"),
    ("train", "09:37 from platform 4"),
    ("book", "chapter 7"),
];

/// Takes notes, or prints the notes that are there.
///
/// # Errors
/// What the file system says.
pub fn run(call: &DemoStore) -> io::Result<()> {
    match call.mode {
        DemoMode::Work => work(call),
        DemoMode::Check => {
            println!("{}", Value::Object(load(&call.directory)?));
            Ok(())
        }
    }
}

fn work(call: &DemoStore) -> io::Result<()> {
    let mut journal = journal()?;
    let mut notes = load(&call.directory)?;
    for (key, text) in NOTES {
        journal.write_all(format!("I {key} {}\n", encoded(text)).as_bytes())?;
        notes.insert(key.to_owned(), text.into());
        let bytes = Value::Object(notes.clone()).to_string();
        match call.way {
            SaveWay::Wrong => save_in_place(&call.directory, bytes.as_bytes())?,
            SaveWay::Right => save_by_rename(&call.directory, bytes.as_bytes())?,
        }
        journal.write_all(format!("A {key}\n").as_bytes())?;
    }
    Ok(())
}

/// WRONG: between emptying the file and filling it again, all notes are gone.
fn save_in_place(directory: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(directory.join("notes.json"))?;
    file.write_all(bytes)
}

/// RIGHT: at every moment `notes.json` is either the old file or the new one.
fn save_by_rename(directory: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = directory.join("notes.json.tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join("notes.json"))?;
    File::open(directory)?.sync_all()
}

/// The notes. A file that is not there, or that no note can be read from, counts as an empty store:
/// many programs start anew so, without a word. That is why contents are compared, not exit codes.
fn load(directory: &Path) -> io::Result<Map<String, Value>> {
    match fs::read(directory.join("notes.json")) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(error),
    }
}

/// The ack journal, if somebody wants to know what was promised.
fn journal() -> io::Result<Box<dyn Write>> {
    Ok(match std::env::var_os("KILLPOINT_JOURNAL") {
        Some(path) => Box::new(OpenOptions::new().append(true).create(true).open(path)?),
        None => Box::new(io::sink()),
    })
}

/// A value as the journal wants it: blanks and the percent sign itself as `%XX`.
fn encoded(text: &str) -> String {
    text.replace('%', "%25").replace(' ', "%20")
}
