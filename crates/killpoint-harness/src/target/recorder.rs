//! Writes lifecycle events: whole lines to a file at once, and to the standard output by a thread, so
//! that a reader who does not read, or is gone, holds nothing up.

use jiff::Timestamp;
use killpoint_model::lifecycle::{LIFECYCLE_VERSION, Lifecycle, Record};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Lines that may wait for the reader of the standard output.
const LINES_WAITING_MAX: usize = 4_096;
/// How long the last lines wait for a slow reader.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(2);
/// How often it is looked whether they are gone.
const LAST_LINES_INTERVAL: Duration = Duration::from_millis(2);

/// Where lines for the standard output go.
#[derive(Clone, Debug)]
pub(super) struct Printer {
    lines: SyncSender<String>,
    dropped: Arc<AtomicU64>,
}

impl Printer {
    fn start() -> (Self, JoinHandle<()>) {
        let (lines, waiting) = sync_channel::<String>(LINES_WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        let thread = thread::spawn(move || {
            for line in waiting {
                let mut output = io::stdout().lock();
                if output.write_all(line.as_bytes()).and_then(|()| output.flush()).is_err() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        (Printer { lines, dropped }, thread)
    }

    /// Prints a line, or counts it if there is no room.
    pub(super) fn print(&self, line: String) {
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The one writer of lifecycle events.
#[derive(Debug)]
pub(super) struct Recorder {
    began: Instant,
    ordinal: u64,
    file: Option<File>,
    /// Whether the file could not be written to; said once.
    failed: bool,
    printer: Printer,
    thread: JoinHandle<()>,
}

/// Opens the file that events are appended to.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Recorder {
    pub(super) fn new(file: Option<File>) -> Self {
        let (printer, thread) = Printer::start();
        Recorder { began: Instant::now(), ordinal: 0, file, failed: false, printer, thread }
    }

    /// Who else prints lines: answers of the control protocol.
    pub(super) fn printer(&self) -> Printer {
        self.printer.clone()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.printer.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn write(&mut self, about: Option<(&str, u32)>, event: Lifecycle) {
        self.ordinal += 1;
        let record = Record {
            version: LIFECYCLE_VERSION,
            ordinal: self.ordinal,
            at_us: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            time: Timestamp::now().to_string(),
            process: about.map(|(name, _)| name.to_owned()),
            life: about.map(|(_, life)| life),
            event,
        };
        let mut line = serde_json::to_string(&record).expect("plain data");
        line.push('\n');
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(line.as_bytes())
            && !self.failed
        {
            self.failed = true;
            let _ =
                writeln!(io::stderr(), "killpoint: lifecycle events cannot be written: {error}");
        }
        self.printer.print(line);
    }

    /// Waits for the last lines to be printed, for a short time only.
    pub(super) fn finish(self) {
        drop(self.printer);
        let since = Instant::now();
        while !self.thread.is_finished() && since.elapsed() < LAST_LINES_TIMEOUT {
            thread::sleep(LAST_LINES_INTERVAL);
        }
    }
}
