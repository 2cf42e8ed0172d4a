//! The window: makes edits, and calls a note saved when the worker says so.

use super::peer::Peer;
use super::{Options, StoreKind, stores};
use crate::document::{self, save_atomically};
use crate::frame::Store;
use crate::journal::{Journal, Promise};
use signal_hook::consts::SIGTERM;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How many notes there are.
const NOTES: u64 = 4;
/// How long a note is, about.
const LENGTH: usize = 400;
/// The unsaved text.
const DRAFT: &str = "draft.json";
/// How often the program was started.
const STARTS: &str = "starts";
/// Time from what the worker takes for granted to when it is so.
const FLUSH_DELAY: Duration = Duration::from_millis(60);

/// The editor at work.
struct Window<'a> {
    options: &'a Options,
    journal: Journal,
    notes: Store,
    worker: Peer<'a>,
    indexer: Peer<'a>,
    start: u64,
}

/// Edits until all is done or it is told to end.
pub fn run(options: &Options) -> io::Result<()> {
    let is_over = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&is_over))?;
    let mut notes = stores::read(options)?;
    notes.remove(stores::OUTBOX);
    println!("recovered {} notes", notes.len());
    let start = if options.store == StoreKind::Queue { count_start(options)? } else { 0 };
    let mut window = Window {
        options,
        journal: Journal::open()?,
        notes,
        worker: Peer::start("worker", options)?,
        indexer: Peer::start("indexer", options)?,
        start,
    };
    window.restore_draft()?;
    killpoint_sdk::ready();
    let first = window.latest() + 1;
    for number in first.. {
        if is_over.load(Ordering::Relaxed) || options.edits > 0 && number >= first + options.edits {
            break;
        }
        let text = format!("edit {number}: {}", "text ".repeat(LENGTH / 5));
        window.edit(&format!("note-{}", number % NOTES + 1), text.trim_end(), number)?;
        match options.store {
            StoreKind::Queue => killpoint_sdk::oplog_flushed(number),
            _ => killpoint_sdk::checkpoint(number),
        }
        killpoint_sdk::heartbeat();
        thread::sleep(options.every);
    }
    killpoint_sdk::shutdown();
    window.worker.finish();
    window.indexer.finish();
    Ok(())
}

/// Counts this start; ids of operations hold it, so that none is given twice.
fn count_start(options: &Options) -> io::Result<u64> {
    let text = fs::read_to_string(options.state.join(STARTS)).unwrap_or_default();
    let start = text.trim().parse().unwrap_or(0) + 1;
    save_atomically(&options.state, STARTS, format!("{start}\n").as_bytes())?;
    Ok(start)
}

impl Window<'_> {
    /// The number of the latest edit that the notes hold.
    fn latest(&self) -> u64 {
        let number = |value: &serde_json::Value| {
            value.as_str()?.strip_prefix("edit ")?.split(':').next()?.parse().ok()
        };
        self.notes.values().filter_map(number).max().unwrap_or(0)
    }

    fn edit(&mut self, key: &str, text: &str, number: u64) -> io::Result<()> {
        if self.options.drafts {
            self.journal.draft(key, text)?;
            let draft = Store::from_iter([(key.to_owned(), text.into())]);
            save_atomically(&self.options.state, DRAFT, &document::to_bytes(&draft))?;
        }
        self.save(key, text, number)?;
        if self.options.drafts {
            fs::remove_file(self.options.state.join(DRAFT))?;
        }
        // What is searched can be made again at any time: nothing is promised of it.
        self.indexer.ask(&format!("index\t{key}\t{text}"))?;
        Ok(())
    }

    fn save(&mut self, key: &str, text: &str, number: u64) -> io::Result<()> {
        self.notes.insert(key.to_owned(), text.into());
        if self.options.store == StoreKind::Queue {
            let id = format!("{:04}-{number:06}", self.start);
            self.journal.intend_id(&id, key, "=", text)?;
            self.journal.intend_id(&id, stores::OUTBOX, ">>", &id)?;
            self.worker.ask(&format!("save\t{id}\t{key}\t{text}"))?;
            return self.journal.acknowledge_id(&id, Promise::PowerLoss);
        }
        self.journal.intend(key, text)?;
        if self.options.race {
            // The worker writes down that snapshot `number` is complete; it is flushed afterwards.
            self.worker.ask(&format!("commit\t{number}"))?;
            self.journal.acknowledge(key, Promise::Kill)?;
            thread::sleep(FLUSH_DELAY);
            return stores::save_document(&self.options.state, &self.notes);
        }
        self.worker.ask(&format!("save\t{number}\t{key}\t{text}"))?;
        let promise = match self.options.store {
            StoreKind::InPlace => Promise::Kill,
            _ => Promise::PowerLoss,
        };
        self.journal.acknowledge(key, promise)
    }

    /// Brings back the text that was not saved when the program ended.
    fn restore_draft(&mut self) -> io::Result<()> {
        if !self.options.drafts || !self.options.state.join(DRAFT).exists() {
            return Ok(());
        }
        let draft = document::read(&self.options.state.join(DRAFT))?;
        for (key, text) in &draft {
            let number = self.latest() + 1;
            self.save(key, text.as_str().unwrap_or_default(), number)?;
            println!("restored the draft of {key}");
        }
        fs::remove_file(self.options.state.join(DRAFT))
    }
}
