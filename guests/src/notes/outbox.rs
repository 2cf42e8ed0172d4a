//! The queue of operations: each is in the write-ahead log before it is acknowledged, is sent until
//! the receiver has it, and is then marked as sent. The receiver knows operations by their ids, so
//! that one that is sent twice is applied once.

use super::stores::OUTBOX;
use crate::frame::{Store, failure};
use crate::record_log;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The directory of the log.
const DIRECTORY: &str = "outbox";
/// What stands before the id of an operation that is to be sent, and of one that was.
const SAVED: &str = "saved ";
const SENT: &str = "sent ";
/// Time before it is tried again to reach the receiver.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
/// Longest wait for an answer of the receiver.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// How long what is left is still sent when the program ends.
const LAST_TIME_MAX: Duration = Duration::from_secs(2);

/// The log, open.
struct Log {
    file: File,
    store: Store,
    is_over: bool,
}

/// The queue and its sender.
pub struct Outbox {
    shared: Arc<(Mutex<Log>, Condvar)>,
    sender: Option<JoinHandle<()>>,
}

fn directory(state: &Path) -> PathBuf {
    state.join(DIRECTORY)
}

/// The notes by the operations in the log, and the ids of all of them.
pub fn read(state: &Path) -> io::Result<Store> {
    let log = record_log::check(&directory(state))?;
    let mut notes = Store::new();
    let mut ids: Vec<serde_json::Value> = Vec::new();
    for (record, value) in &log {
        let Some(id) = record.strip_prefix(SAVED) else { continue };
        let operation = value.as_str().and_then(|text| text.split_once('\t'));
        let (key, text) = operation.ok_or_else(|| failure(format!("operation {id} is garbled")))?;
        notes.insert(key.to_owned(), text.into());
        ids.push(id.into());
    }
    if !ids.is_empty() {
        notes.insert(OUTBOX.to_owned(), ids.into());
    }
    Ok(notes)
}

/// The operations that were not sent yet, in their order: ids sort as they were given.
fn pending(log: &Store) -> Vec<(String, String)> {
    log.iter()
        .filter_map(|(record, value)| {
            let id = record.strip_prefix(SAVED)?;
            let is_sent = log.contains_key(&format!("{SENT}{id}"));
            (!is_sent).then(|| (id.to_owned(), value.as_str().unwrap_or_default().to_owned()))
        })
        .collect()
}

impl Outbox {
    /// Opens the log and starts to send what it holds.
    pub fn open(state: &Path, receiver: Option<&str>) -> io::Result<Self> {
        std::fs::create_dir_all(directory(state))?;
        let (file, store) = record_log::recover(&directory(state))?;
        let log = Log { file, store, is_over: false };
        let shared = Arc::new((Mutex::new(log), Condvar::new()));
        let sender = receiver.map(|receiver| {
            let (shared, receiver) = (Arc::clone(&shared), receiver.to_owned());
            thread::spawn(move || send_all(&shared, &receiver))
        });
        Ok(Outbox { shared, sender })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.shared.0.lock().expect("nobody panics while it is held")
    }

    /// Takes an operation; one that is there already is not taken again.
    pub fn put(&self, id: &str, key: &str, text: &str) -> io::Result<()> {
        let mut log = self.log();
        let record = format!("{SAVED}{id}");
        if !log.store.contains_key(&record) {
            log.append(record, format!("{key}\t{text}"))?;
        }
        drop(log);
        self.shared.1.notify_all();
        Ok(())
    }

    /// Sends what is left, for a while.
    pub fn finish(mut self) {
        self.log().is_over = true;
        self.shared.1.notify_all();
        if let Some(sender) = self.sender.take() {
            let _ = sender.join();
        }
    }
}

impl Log {
    fn append(&mut self, record: String, value: String) -> io::Result<()> {
        record_log::append(&self.file, &record, &value)?;
        self.file.sync_data()?;
        self.store.insert(record, value.into());
        Ok(())
    }
}

/// Sends one operation after the other until the program ends.
fn send_all(shared: &(Mutex<Log>, Condvar), receiver: &str) {
    let mut connection = None;
    let mut ends_at = None;
    loop {
        let mut log = shared.0.lock().expect("nobody panics while it is held");
        let next = pending(&log.store).into_iter().next();
        if log.is_over {
            let ends_at = *ends_at.get_or_insert_with(|| Instant::now() + LAST_TIME_MAX);
            if next.is_none() || Instant::now() > ends_at {
                return;
            }
        }
        let Some((id, operation)) = next else {
            let waited = shared.1.wait_timeout(log, RETRY_INTERVAL);
            drop(waited.expect("nobody panics while it is held"));
            continue;
        };
        drop(log);
        match send(&mut connection, receiver, &id, &operation) {
            Ok(()) => {
                log = shared.0.lock().expect("nobody panics while it is held");
                // A mark that is missing is harmless: the receiver knows the id.
                let _ = log.append(format!("{SENT}{id}"), String::new());
            }
            Err(_) => {
                connection = None;
                thread::sleep(RETRY_INTERVAL);
            }
        }
    }
}

/// Sends an operation and waits for the receiver's word.
fn send(
    connection: &mut Option<BufReader<TcpStream>>,
    receiver: &str,
    id: &str,
    operation: &str,
) -> io::Result<()> {
    if connection.is_none() {
        let stream = TcpStream::connect(receiver)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        *connection = Some(BufReader::new(stream));
    }
    let Some(reader) = connection else { return Err(failure("there is no connection")) };
    reader.get_mut().write_all(format!("{id}\t{operation}\n").as_bytes())?;
    let mut answer = String::new();
    reader.read_line(&mut answer)?;
    if answer.trim_end() == id { Ok(()) } else { Err(failure("the receiver does not have it")) }
}

/// Whether an id stands in a set of those that were received.
pub fn is_new(received: &mut BTreeSet<String>, id: &str) -> bool {
    received.insert(id.to_owned())
}
