//! What an application may say about itself to Killpoint.
//!
//! Every function does nothing when the program does not run under Killpoint, never panics, never
//! blocks and never fails in a way that the application has to care about: what cannot be said at once
//! is not said, and [`unsaid`] counts it. Nothing is kept in memory to be said later.
//!
//! ```
//! killpoint_sdk::ready();
//! killpoint_sdk::intent("note1", "hello");
//! // ... save it ...
//! killpoint_sdk::ack("note1");
//! killpoint_sdk::checkpoint(1);
//! ```

#![forbid(unsafe_code)]

mod journal;
mod kept;
mod supervisor;

use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering};

/// What could not be said, since the program began.
static UNSAID: AtomicU64 = AtomicU64::new(0);

/// Longest line or message.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// Ready to work. The supervisor stops waiting for it.
pub fn ready() {
    supervisor::say("READY=1");
}

/// Still at work. Call it more often than the watchdog's time-out, which `WATCHDOG_USEC` holds.
pub fn heartbeat() {
    supervisor::say("WATCHDOG=1");
}

/// The checkpoint of this number is on disk: call it after the file was synced. Numbers grow.
pub fn checkpoint(sequence: u64) {
    supervisor::say(&format!("X_KILLPOINT_CHECKPOINT={sequence}"));
}

/// The operation log is on disk up to the operation of this number.
pub fn oplog_flushed(sequence: u64) {
    supervisor::say(&format!("X_KILLPOINT_OPLOG={sequence}"));
}

/// About to end, by itself.
pub fn shutdown() {
    supervisor::say("STOPPING=1");
}

/// About to set `key` to `value`. Before the save.
pub fn intent(key: &str, value: &str) {
    journal::append("I", key, Some(value));
}

/// About to delete `key`. Before the deletion.
pub fn intent_to_delete(key: &str) {
    journal::append_deletion(key);
}

/// The latest intent of `key` survives a kill from now on. After the save, before the user is told.
pub fn ack(key: &str) {
    journal::append("A", key, None);
}

/// Unsaved work: promises nothing; its restoration is counted.
pub fn draft(key: &str, value: &str) {
    journal::append("D", key, Some(value));
}

/// Whether the program runs under a supervisor of Killpoint.
pub fn is_supervised() -> bool {
    variable(supervisor::SOCKET).is_some()
}

/// How often something could not be said: nobody listened, or there was no room.
pub fn unsaid() -> u64 {
    UNSAID.load(Ordering::Relaxed)
}

/// What a variable holds; one that is empty is none.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn count_unsaid() {
    UNSAID.fetch_add(1, Ordering::Relaxed);
}
