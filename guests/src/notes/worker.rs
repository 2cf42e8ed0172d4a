//! The worker: saves what the window tells it, and says so.

use super::outbox::Outbox;
use super::stores::{self, Database};
use super::{Options, StoreKind};
use crate::document::{self, save_atomically};
use crate::frame::{Store, failure};
use std::fs::File;
use std::io::{self, BufRead, Write};

/// The number of the snapshot that the worker takes for flushed.
const COMMITTED: &str = "committed";

enum Keeper {
    InPlace(Store),
    Atomic(Store),
    Sqlite(Database),
    Queue(Outbox),
}

/// Answers until the window hangs up.
pub fn run(options: &Options) -> io::Result<()> {
    let mut keeper = match options.store {
        StoreKind::InPlace => Keeper::InPlace(stores::read(options)?),
        StoreKind::Atomic => Keeper::Atomic(stores::read(options)?),
        StoreKind::Sqlite => Keeper::Sqlite(Database::open(&options.state)?),
        StoreKind::Queue => {
            Keeper::Queue(Outbox::open(&options.state, options.receiver.as_deref())?)
        }
    };
    let mut output = io::stdout();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            ["save", id, key, text] => keeper.save(options, id, key, text)?,
            ["commit", number] => {
                save_atomically(&options.state, COMMITTED, number.as_bytes())?;
            }
            _ => return Err(failure(format!("the worker does not understand `{line}`"))),
        }
        output.write_all(b"saved\n")?;
        output.flush()?;
    }
    if let Keeper::Queue(outbox) = keeper {
        outbox.finish();
    }
    Ok(())
}

impl Keeper {
    fn save(&mut self, options: &Options, id: &str, key: &str, text: &str) -> io::Result<()> {
        match self {
            Keeper::InPlace(notes) => {
                notes.insert(key.to_owned(), text.into());
                let mut file = File::create(options.state.join(document::DOCUMENT))?;
                file.write_all(&document::to_bytes(notes))?;
                file.sync_all()
            }
            Keeper::Atomic(notes) => {
                notes.insert(key.to_owned(), text.into());
                stores::save_document(&options.state, notes)
            }
            Keeper::Sqlite(database) => database.save(key, text),
            Keeper::Queue(outbox) => outbox.put(id, key, text),
        }
    }
}
