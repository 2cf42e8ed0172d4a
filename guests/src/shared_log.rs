//! A log of lines that several writers append to, beside a file that each of them has for itself.

use crate::document::save_atomically;
use crate::frame::Store;
use crate::journal::{Journal, Promise};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// The name of the shared log.
pub const LOG: &str = "shared.log";

const LINES: u32 = 3;

/// Opens the shared log for appending, and makes its name durable.
///
/// # Errors
/// What the calls give.
pub fn open(state: &Path) -> io::Result<File> {
    let log = OpenOptions::new().append(true).create(true).open(state.join(LOG))?;
    crate::document::sync_directory(state)?;
    Ok(log)
}

/// Saves the writer's own file twice.
///
/// # Errors
/// What saving or the journal give.
pub fn save_own(state: &Path, journal: &Journal, writer: u32, promise: Promise) -> io::Result<()> {
    let key = format!("own-{writer}");
    for round in 1..=2 {
        let value = format!("round {round} of writer {writer}");
        journal.intend(&key, &value)?;
        save_atomically(state, &key, value.as_bytes())?;
        journal.acknowledge(&key, promise)?;
    }
    Ok(())
}

/// Appends the writer's lines, each by one write and its own sync.
///
/// # Errors
/// What the calls or the journal give.
pub fn append_lines(
    mut log: &File,
    journal: &Journal,
    writer: u32,
    promise: Promise,
) -> io::Result<()> {
    for number in 1..=LINES {
        let (key, value) = line(writer, number);
        journal.intend(&key, &value)?;
        log.write_all(format!("{key}={value}\n").as_bytes())?;
        log.sync_data()?;
        journal.acknowledge(&key, promise)?;
    }
    Ok(())
}

/// Key and value of a line.
pub fn line(writer: u32, number: u32) -> (String, String) {
    (format!("line-{writer}-{number}"), format!("written by {writer}"))
}

/// Own files and whole lines. What a crash left of a line at the end of the log was never written, and what it left of
/// a temporary file is not shown.
///
/// # Errors
/// When something cannot be read.
pub fn check(state: &Path) -> io::Result<Store> {
    let mut store = Store::new();
    for entry in fs::read_dir(state)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("own-") && !name.ends_with(".tmp") {
            store.insert(name, fs::read_to_string(entry.path())?.into());
        }
    }
    let log = match fs::read_to_string(state.join(LOG)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(store),
        other => other?,
    };
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    for (key, value) in whole.lines().filter_map(|line| line.split_once('=')) {
        store.insert(key.to_owned(), value.into());
    }
    Ok(store)
}
