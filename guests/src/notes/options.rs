//! How the editor is called.

use crate::frame::failure;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Which process this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The one that the user sees.
    Window,
    /// The one that saves.
    Worker,
    /// The one that makes notes searchable.
    Indexer,
    /// The other end of the outbox.
    Receiver,
    /// Reopens the store and prints it.
    Check,
}

/// How notes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// One document, emptied and written again. Wrong.
    InPlace,
    /// One document, replaced atomically.
    Atomic,
    /// SQLite with a write-ahead log.
    Sqlite,
    /// A queue of operations with a write-ahead log, delivered to a receiver.
    Queue,
}

/// The command line, read.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which process.
    pub kind: Kind,
    /// Where the data is.
    pub state: PathBuf,
    /// How it is kept.
    pub store: StoreKind,
    /// The worker takes for granted that the window has flushed its snapshot. Wrong.
    pub race: bool,
    /// How many edits; 0 for no end.
    pub edits: u64,
    /// Time between two edits.
    pub every: Duration,
    /// Whether unsaved text is kept, too.
    pub drafts: bool,
    /// Where the outbox is delivered to, or received: an address of this machine.
    pub receiver: Option<String>,
    /// The receiver does not look whether it had an operation before. Wrong.
    pub naive: bool,
    /// The arguments as they were, for the processes that are started.
    arguments: Vec<String>,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// When something is unknown or missing.
    pub fn read(arguments: impl Iterator<Item = String>) -> io::Result<Options> {
        let arguments: Vec<String> = arguments.collect();
        let mut rest = arguments.iter().map(String::as_str).peekable();
        let kind = match rest.next_if(|first| !first.starts_with('-')) {
            None => Kind::Window,
            Some("check") => Kind::Check,
            Some("receive") => Kind::Receiver,
            Some(other) => return Err(failure(format!("`{other}` is neither check nor receive"))),
        };
        let mut options = Options {
            kind,
            state: std::env::var_os("KILLPOINT_STATE").map(PathBuf::from).unwrap_or_default(),
            store: StoreKind::Atomic,
            race: false,
            edits: 0,
            every: Duration::ZERO,
            drafts: false,
            receiver: None,
            naive: false,
            arguments: arguments.clone(),
        };
        while let Some(flag) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| failure(format!("{flag} needs a value")));
            match flag {
                "--type=worker" => options.kind = Kind::Worker,
                "--type=indexer" => options.kind = Kind::Indexer,
                "--race" => options.race = true,
                "--drafts" => options.drafts = true,
                "--naive" => options.naive = true,
                "--state" => options.state = PathBuf::from(value()?),
                "--store" => options.store = store(value()?)?,
                "--edits" => options.edits = number(value()?)?,
                "--every" => options.every = Duration::from_millis(number(value()?)?),
                "--receiver" => options.receiver = Some(value()?.to_owned()),
                other => return Err(failure(format!("`{other}` is no option of notes"))),
            }
        }
        if options.state.as_os_str().is_empty() {
            return Err(failure("set KILLPOINT_STATE or give --state DIR"));
        }
        if options.race && options.store != StoreKind::Atomic {
            return Err(failure("--race is about the snapshot of --store atomic"));
        }
        std::fs::create_dir_all(&options.state)?;
        Ok(options)
    }

    /// The arguments for a process of this type.
    pub fn arguments_for(&self, kind: &str) -> Vec<String> {
        let mut arguments = vec![format!("--type={kind}")];
        arguments.extend(self.arguments.iter().cloned());
        arguments
    }
}

fn store(name: &str) -> io::Result<StoreKind> {
    match name {
        "in-place" => Ok(StoreKind::InPlace),
        "atomic" => Ok(StoreKind::Atomic),
        "sqlite" => Ok(StoreKind::Sqlite),
        "queue" => Ok(StoreKind::Queue),
        other => Err(failure(format!("`{other}` is none of in-place, atomic, sqlite, queue"))),
    }
}

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(|_| failure(format!("`{text}` is no whole number")))
}
