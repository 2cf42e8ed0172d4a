//! One JSON document that holds a whole store, the ways to save it, and the work that is done with it.

use crate::frame::{Store, failure};
use crate::journal::{Journal, Promise};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The name of the document in the state directory.
pub const DOCUMENT: &str = "notes.json";

/// What the document work sets, in this order: it adds, grows beyond a block, shrinks and overwrites.
pub fn saves() -> [(&'static str, String); 6] {
    [
        ("title", "a draft".to_owned()),
        ("preface", "p".repeat(1_000)),
        ("body", "b".repeat(3_900)),
        ("title", "final".to_owned()),
        ("body", "a short one".to_owned()),
        ("author", "Ada".to_owned()),
    ]
}

/// Six saves of the whole document under the journal; `save` puts the bytes where they belong.
///
/// # Errors
/// What reading, saving or the journal give.
pub fn save_repeatedly(
    directory: &Path,
    journal: &Journal,
    promise: Promise,
    mut save: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut store = read(&directory.join(DOCUMENT))?;
    for (key, value) in saves() {
        journal.intend(key, &value)?;
        store.insert(key.to_owned(), value.into());
        save(&to_bytes(&store))?;
        journal.acknowledge(key, promise)?;
    }
    Ok(())
}

/// Reads a document; one that is not there is empty.
///
/// # Errors
/// When it cannot be read or is not a whole JSON object.
pub fn read(path: &Path) -> io::Result<Store> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| failure(format!("{}: {error}", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Store::new()),
        Err(error) => Err(error),
    }
}

/// The document of the state directory.
///
/// # Errors
/// As [`read`].
pub fn check(directory: &Path) -> io::Result<Store> {
    read(&directory.join(DOCUMENT))
}

/// The bytes of a document.
///
/// # Panics
/// Never: every map of strings is JSON.
pub fn to_bytes(store: &Store) -> Vec<u8> {
    serde_json::to_vec_pretty(store).expect("a map of strings is JSON")
}

/// The right way: write a temporary file, fsync it, rename it over the old one, fsync the directory.
///
/// # Errors
/// What the calls give.
pub fn save_atomically(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    write_temporary(directory, name, bytes)?.sync_all()?;
    rename_temporary(directory, name)?;
    sync_directory(directory)
}

/// Writes the temporary file of this name.
///
/// # Errors
/// What the calls give.
pub fn write_temporary(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<File> {
    let mut file = File::create(directory.join(format!("{name}.tmp")))?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Renames the temporary file over the real one.
///
/// # Errors
/// What the call gives.
pub fn rename_temporary(directory: &Path, name: &str) -> io::Result<()> {
    fs::rename(directory.join(format!("{name}.tmp")), directory.join(name))
}

/// Makes the names in a directory durable.
///
/// # Errors
/// What the calls give.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
