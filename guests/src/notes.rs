//! The demonstration: a notes editor of several processes, with a choice of stores, right and wrong.
//!
//! `notes --store KIND` is the window: it edits, and starts a worker that saves and an indexer that
//! keeps what can be searched (`--type=worker`, `--type=indexer`). They talk by lines over pipes, and
//! the window starts them again when they die. `notes check ...` prints what a store holds.
//! `notes receive ...` is the receiver of the outbox.

mod indexer;
mod options;
mod outbox;
mod peer;
mod receiver;
mod stores;
mod window;
mod worker;

pub use options::{Kind, Options, StoreKind};

use std::io;

/// Does what the options say.
///
/// # Errors
/// What the store, the pipes or the network give.
pub fn run(options: &Options) -> io::Result<()> {
    match options.kind {
        Kind::Window => window::run(options),
        Kind::Worker => worker::run(options),
        Kind::Indexer => indexer::run(options),
        Kind::Receiver => receiver::run(options),
        Kind::Check => {
            println!("{}", serde_json::Value::Object(stores::read(options)?));
            Ok(())
        }
    }
}
