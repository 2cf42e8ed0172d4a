//! The folder of a run, and its event log.
//!
//! `events.jsonl` has one record a line: `{"previous": HASH, "event": {...}}`. Each holds the BLAKE3
//! hash of the line before it, so a line that was changed or taken out is found; a last line that a
//! crash cut short is no fault. The log is synced before every strike and at least once a second.
//!
//! No record covers the last one. When that is the end of the run and is synced, `seal.json` is written:
//! the number of records and the hash of the last.

mod pruning;
mod seal;

pub use seal::{Audited, Seal, audit};

use killpoint_engine::{regular_file, undo};
use killpoint_model::event::{EVENT_LOG_VERSION, Event};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest time that an event may stay unsynced.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// A line longer than this is not ours.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Why a run's folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no room for runs where they are to be kept.
    #[error("cannot make the directory {path}; --out DIR names another place for runs")]
    Out {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A record of the log does not follow from the one before it.
    #[error("{path}:{line}: {problem}")]
    Broken {
        /// The log.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

fn fail<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io { action, path: path.to_owned(), source }
}

fn no_place(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |source| StoreError::Out { path: path.to_owned(), source }
}

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    id: String,
}

impl RunFolder {
    /// Makes a folder with a new id below `runs`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(runs: &Path) -> Result<Self, StoreError> {
        const TRIES: u32 = 1_000;
        make_out(runs.parent().unwrap_or(runs))?;
        fs::create_dir_all(runs).map_err(no_place(runs))?;
        let now = jiff::Timestamp::now().as_nanosecond().to_le_bytes();
        for attempt in 0..TRIES {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&now).update(&std::process::id().to_le_bytes());
            hasher.update(&attempt.to_le_bytes());
            let id = hasher.finalize().to_hex()[..6].to_owned();
            let path = runs.join(&id);
            match fs::create_dir(&path) {
                Ok(()) => {
                    let folder = RunFolder { path, id };
                    for name in ["recordings", "snapshots", "findings"] {
                        let path = folder.path.join(name);
                        fs::create_dir(&path).map_err(fail("make the directory", &path))?;
                    }
                    return Ok(folder);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(no_place(&path)(error)),
            }
        }
        Err(fail("make a new directory in", runs)(io::ErrorKind::AlreadyExists.into()))
    }

    /// Opens the folder of an earlier run.
    ///
    /// # Errors
    /// If there is none, or its event log is no file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let folder = Self::at(path)?;
        let log = folder.join("events.jsonl");
        regular_file::open(&log).map_err(fail("find the event log", &log))?;
        Ok(folder)
    }

    /// Opens a folder in which something may have to be undone, also if it has no event log: a supervisor
    /// that stands alone has none, nor a run that was killed before it began.
    ///
    /// # Errors
    /// If there is none.
    pub fn open_to_undo(path: &Path) -> Result<Self, StoreError> {
        let folder = Self::at(path)?;
        if folder.join(undo::FILE_NAME).is_file() { Ok(folder) } else { Self::open(path) }
    }

    fn at(path: &Path) -> Result<Self, StoreError> {
        let path = fs::canonicalize(path).map_err(fail("find the run", path))?;
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(RunFolder { path, id })
    }

    /// Whether it has an event log.
    pub fn has_log(&self) -> bool {
        self.join("events.jsonl").exists()
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file whole: under another name, synced, then renamed into place.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<PathBuf, StoreError> {
        let path = self.path.join(name);
        let directory = path.parent().expect("a file in the folder has a parent");
        let write = || -> io::Result<()> {
            fs::create_dir_all(directory)?;
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            file.write_all(contents)?;
            file.as_file().sync_all()?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            file.as_file().set_permissions(mode)?;
            file.persist(&path).map_err(|error| error.error)?;
            File::open(directory)?.sync_all()
        };
        write().map_err(fail("write", &path))?;
        Ok(path)
    }
}

#[derive(Serialize, Deserialize)]
struct Line<E> {
    previous: String,
    event: E,
}

#[derive(Serialize, Deserialize)]
struct Header {
    killpoint_event_log: u32,
}

/// Appends events.
#[derive(Debug)]
pub struct EventLog {
    folder: RunFolder,
    path: PathBuf,
    file: File,
    previous: String,
    records: u64,
    synced: Instant,
}

impl EventLog {
    /// Starts the log of a run.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(folder: &RunFolder) -> Result<Self, StoreError> {
        let path = folder.join("events.jsonl");
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .map_err(fail("make the event log", &path))?;
        let folder = folder.clone();
        let (previous, synced) = (String::new(), Instant::now());
        let mut log = EventLog { folder, path, file, previous, records: 0, synced };
        log.write(&Header { killpoint_event_log: EVENT_LOG_VERSION })?;
        log.sync()?;
        Ok(log)
    }

    /// Appends an event. The end of the run is synced, and then sealed.
    ///
    /// # Errors
    /// What the system says.
    pub fn append(&mut self, event: &Event) -> Result<(), StoreError> {
        let line = Line { previous: self.previous.clone(), event };
        self.write(&line)?;
        self.records += 1;
        let is_end = matches!(event, Event::RunEnded { .. });
        if is_end || self.synced.elapsed() >= SYNC_INTERVAL {
            self.sync()?;
        }
        if is_end {
            Seal { records: self.records, last: self.previous.clone() }.write(&self.folder)?;
        }
        Ok(())
    }

    /// Opens the log of an interrupted run to go on with it, and its events so far. A last line that
    /// the interruption cut short is removed.
    ///
    /// # Errors
    /// If it cannot be read or written, its chain is broken, or it is not what its seal says.
    pub fn reopen(folder: &RunFolder) -> Result<(Self, Vec<Event>), StoreError> {
        let path = folder.join("events.jsonl");
        let mut bytes = Vec::new();
        let mut file = regular_file::open(&path).map_err(fail("read", &path))?;
        file.read_to_end(&mut bytes).map_err(fail("read", &path))?;
        let parsed = parse(bytes.as_slice(), &path)?;
        parsed.check_whole(&path)?;
        if let Some(seal) = Seal::read(folder)? {
            seal.check(&parsed, &path)?;
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let file = OpenOptions::new().append(true).open(&path).map_err(fail("open", &path))?;
        file.set_len(whole as u64).map_err(fail("shorten", &path))?;
        let Parsed { events, last: previous, .. } = parsed;
        let (records, folder) = (events.len() as u64, folder.clone());
        let log = EventLog { folder, path, file, previous, records, synced: Instant::now() };
        Ok((log, events))
    }

    fn write<T: Serialize>(&mut self, record: &T) -> Result<(), StoreError> {
        let mut text = serde_json::to_vec(record).expect("events are plain data");
        self.previous = blake3::hash(&text).to_hex().to_string();
        text.push(b'\n');
        self.file.write_all(&text).map_err(fail("write to", &self.path))
    }

    /// Makes everything so far durable. To be called before every strike.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.synced = Instant::now();
        self.file.sync_data().map_err(fail("sync", &self.path))
    }
}

/// Makes the directory in which runs lie, with a `.gitignore` so that none is ever committed.
///
/// # Errors
/// If it cannot be made.
pub fn make_out(out: &Path) -> Result<(), StoreError> {
    if out.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(out).map_err(no_place(out))?;
    let ignore = out.join(".gitignore");
    fs::write(&ignore, "*\n").map_err(fail("write", &ignore))
}

/// Whether the event log in the folder of a run has its end.
pub fn has_ended(run: &Path) -> bool {
    const TAIL_BYTES: u64 = 64 << 10;
    let tail = || -> io::Result<Vec<u8>> {
        let mut file = regular_file::open(&run.join("events.jsonl"))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let Ok(bytes) = tail() else { return false };
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let last = lines.iter().rev().nth(1).copied().unwrap_or_default();
    serde_json::from_slice::<Line<Event>>(last)
        .is_ok_and(|line| matches!(line.event, Event::RunEnded { .. }))
}

/// Reads the events of a run back and verifies their chain.
///
/// # Errors
/// The first record that is broken; a last line without its end is left out instead.
pub fn read_events(folder: &RunFolder) -> Result<Vec<Event>, StoreError> {
    let path = folder.join("events.jsonl");
    let file = regular_file::open(&path).map_err(fail("read", &path))?;
    parse_events(BufReader::new(file), &path)
}

/// Reads events from any text; `path` is only named in errors.
///
/// # Errors
/// As [`read_events`].
pub fn parse_events(text: impl BufRead, path: &Path) -> Result<Vec<Event>, StoreError> {
    Ok(parse(text, path)?.events)
}

/// A log whose chain is whole.
struct Parsed {
    events: Vec<Event>,
    /// The hash of the last whole line; empty without one.
    last: String,
    /// Bytes after the last whole line.
    rest: usize,
}

impl Parsed {
    fn has_end(&self) -> bool {
        matches!(self.events.last(), Some(Event::RunEnded { .. }))
    }

    /// The line of the last record.
    fn last_line(&self) -> usize {
        self.events.len() + 1
    }

    /// Refuses a log that has not even its first line.
    fn check_whole(&self, path: &Path) -> Result<(), StoreError> {
        const PROBLEM: &str = "this is no event log: it has no whole record; it is damaged, or the \
                               run was killed before it began";
        match self.last.is_empty() {
            true => Err(broken(path, 1, PROBLEM.to_owned())),
            false => Ok(()),
        }
    }
}

fn broken(path: &Path, line: usize, problem: String) -> StoreError {
    StoreError::Broken { path: path.to_owned(), line, problem }
}

fn parse(mut text: impl BufRead, path: &Path) -> Result<Parsed, StoreError> {
    let mut events = Vec::new();
    let mut previous = String::new();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let mut line = text.by_ref().take(LINE_BYTES_MAX as u64 + 2);
        line.read_until(b'\n', &mut bytes).map_err(fail("read", path))?;
        if bytes.len() > LINE_BYTES_MAX + 1 {
            return Err(broken(path, number, "the line is too long to be an event".to_owned()));
        }
        if bytes.last() != Some(&b'\n') {
            break; // the end, or a line that a crash cut short
        }
        bytes.pop();
        let broken = |problem: String| broken(path, number, problem);
        if number == 1 {
            let header: Header = serde_json::from_slice(&bytes)
                .map_err(|error| broken(format!("this is no event log: {error}")))?;
            if header.killpoint_event_log != EVENT_LOG_VERSION {
                let version = header.killpoint_event_log;
                return Err(broken(format!(
                    "version {version} of the event log; this killpoint reads {EVENT_LOG_VERSION}"
                )));
            }
        } else {
            let line: Line<Event> = serde_json::from_slice(&bytes)
                .map_err(|error| broken(format!("not an event: {error}")))?;
            if line.previous != previous {
                return Err(broken("the record does not follow from the one before it".to_owned()));
            }
            events.push(line.event);
        }
        previous = blake3::hash(&bytes).to_hex().to_string();
    }
    Ok(Parsed { events, last: previous, rest: bytes.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(folder: &RunFolder) -> String {
        fs::read_to_string(folder.join("events.jsonl")).expect("the log is there")
    }

    fn folder_with_notes() -> (tempfile::TempDir, RunFolder) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let folder = RunFolder::create(&directory.path().join("runs")).expect("a new run");
        let mut log = EventLog::create(&folder).expect("a new log");
        for text in ["one", "two", "three"] {
            log.append(&Event::Note { text: text.to_owned() }).expect("appended");
        }
        (directory, folder)
    }

    #[test]
    fn events_are_read_back_as_they_were_written() {
        let (_directory, folder) = folder_with_notes();
        let events = read_events(&folder).expect("a whole log");
        assert_eq!(events.len(), 3);
        assert_eq!(events[1], Event::Note { text: "two".to_owned() });
    }

    #[test]
    fn a_changed_or_missing_record_is_found_at_its_line() {
        let (_directory, folder) = folder_with_notes();
        let text = log(&folder);
        let changed = text.replace("two", "TWO");
        let error = parse_events(changed.as_bytes(), Path::new("log")).expect_err("changed");
        assert!(error.to_string().starts_with("log:4:"), "{error}");
        let without: Vec<&str> =
            text.lines().enumerate().filter(|(index, _)| *index != 2).map(|(_, l)| l).collect();
        let without = without.join("\n") + "\n";
        let error = parse_events(without.as_bytes(), Path::new("log")).expect_err("missing");
        assert!(error.to_string().starts_with("log:3:"), "{error}");
    }

    #[test]
    fn a_last_line_that_a_crash_cut_short_is_left_out() {
        let (_directory, folder) = folder_with_notes();
        let text = log(&folder);
        let cut = &text[..text.len() - 5];
        assert_eq!(parse_events(cut.as_bytes(), Path::new("log")).expect("good so far").len(), 2);
    }

    #[test]
    fn a_log_that_is_no_file_or_has_no_lines_is_refused_and_read_no_further() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let log = directory.path().join("events.jsonl");
        for device in ["/dev/zero", "/dev/tty", "/"] {
            std::os::unix::fs::symlink(device, &log).expect("made");
            let error = RunFolder::open(directory.path()).expect_err(device);
            assert!(error.to_string().starts_with("cannot find the event log"), "{error}");
            assert!(!has_ended(directory.path()), "{device}");
            fs::remove_file(&log).expect("there");
        }
        let endless = BufReader::new(io::repeat(b'x'));
        let error = parse_events(endless, Path::new("log")).expect_err("no line");
        assert!(error.to_string().starts_with("log:1: the line is too long"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(0_u8.., 0..400)) {
            let _ = parse_events(bytes.as_slice(), Path::new("log"));
        }
    }
}
