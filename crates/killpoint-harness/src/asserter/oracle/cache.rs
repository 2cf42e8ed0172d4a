//! What was read before: contents that were judged once are not read again.

use super::documents::Format;
use super::sqlite::{self, Family, Reading};
use super::state::{CrashState, Digest};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Beyond this many readings of a kind, new ones are not kept.
const READINGS_MAX: usize = 1_000_000;

/// The value of a whole document, or why it is not whole.
pub(super) type Document = Result<Digest, Arc<str>>;

/// Readings by digest of what was read. Shared by all threads that judge.
#[derive(Default)]
pub(super) struct Cache {
    documents: Mutex<HashMap<(Digest, Format), Document>>,
    databases: Mutex<HashMap<Family, Arc<Reading>>>,
}

impl Cache {
    /// Reads a document whose contents have this digest; they are fetched only if they are new.
    pub(super) fn document(
        &self,
        digest: Digest,
        format: Format,
        contents: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> io::Result<Document> {
        if let Some(document) = find(&self.documents, &(digest, format)) {
            return Ok(document);
        }
        let document =
            format.read(&contents()?).map_err(|error| Arc::from(error.to_string().as_str()));
        keep(&self.documents, (digest, format), document.clone());
        Ok(document)
    }

    /// Reads the database at `path`; it is opened only if its family is new.
    pub(super) fn database(&self, path: &Path, state: &dyn CrashState) -> io::Result<Arc<Reading>> {
        let family = sqlite::family(path, state);
        if let Some(reading) = find(&self.databases, &family) {
            return Ok(reading);
        }
        let reading = Arc::new(sqlite::read(path, state)?);
        keep(&self.databases, family, Arc::clone(&reading));
        Ok(reading)
    }
}

fn find<K: std::hash::Hash + Eq, V: Clone>(map: &Mutex<HashMap<K, V>>, key: &K) -> Option<V> {
    map.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
}

fn keep<K: std::hash::Hash + Eq, V>(map: &Mutex<HashMap<K, V>>, key: K, value: V) {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    if map.len() < READINGS_MAX {
        map.insert(key, value);
    }
}
