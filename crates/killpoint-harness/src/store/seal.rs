//! The seal of a log that has its end, and the audit of both.
//!
//! It finds accidents and edits of the log. Who can write the folder can write the seal, too: against
//! forgery its hash has to be kept elsewhere.

use super::{Parsed, RunFolder, StoreError, broken, fail, parse};
use killpoint_engine::regular_file;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, BufReader};
use std::path::Path;

const FILE_NAME: &str = "seal.json";
/// Longer than any seal of ours.
const SEAL_BYTES_MAX: u64 = 4096;

/// What is written beside a log when it has its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Records in the log.
    pub records: u64,
    /// The hash of the last one's line. As each holds that of the one before, it stands for them all.
    pub last: String,
}

/// A log whose chain is whole and that is what its seal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// Records in it.
    pub records: usize,
    /// Whether the run's end is the last.
    pub has_end: bool,
    /// The seal, if there is one.
    pub seal: Option<Seal>,
}

impl Seal {
    pub(super) fn write(&self, folder: &RunFolder) -> Result<(), StoreError> {
        let mut text = serde_json::to_vec(self).expect("a seal is plain data");
        text.push(b'\n');
        folder.write(FILE_NAME, &text).map(|_| ())
    }

    pub(super) fn read(folder: &RunFolder) -> Result<Option<Self>, StoreError> {
        let path = folder.join(FILE_NAME);
        let no_seal = |problem: &str| {
            let todo = "take the folder from a copy, or run it again";
            broken(&path, 1, format!("this is no seal: {problem}; {todo}"))
        };
        match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() || metadata.len() > SEAL_BYTES_MAX => {
                return Err(no_seal("not a file of a few bytes"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail("read", &path)(error)),
        }
        let bytes = regular_file::read(&path).map_err(fail("read", &path))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| no_seal(&error.to_string()))
    }

    pub(super) fn check(&self, log: &Parsed, path: &Path) -> Result<(), StoreError> {
        let (records, sealed) = (log.events.len() as u64, self.records);
        let what = if records < sealed {
            format!("the log has {records} records, and {sealed} were sealed: its end was cut off")
        } else if records > sealed {
            format!("the log has {records} records, and {sealed} were sealed: some were added")
        } else if log.last != self.last {
            "the last record is not the one that was sealed: it or the seal was changed".to_owned()
        } else if log.rest > 0 {
            format!("{} bytes follow the last record that was sealed", log.rest)
        } else {
            return Ok(());
        };
        let todo = "take the folder from a copy, or run it again";
        Err(broken(path, log.last_line(), format!("{what}; {todo}")))
    }
}

/// Verifies the chain of a run's log, and its seal.
///
/// # Errors
/// The first record that is broken, or does not fit the seal.
pub fn audit(folder: &RunFolder) -> Result<Audited, StoreError> {
    let path = folder.join("events.jsonl");
    // A run may end meanwhile: a seal that was there first is one of a log that is complete.
    let mut seal = Seal::read(folder)?;
    let file = regular_file::open(&path).map_err(fail("read", &path))?;
    let log = parse(BufReader::new(file), &path)?;
    log.check_whole(&path)?;
    let has_end = log.has_end();
    if has_end && seal.is_none() {
        seal = Seal::read(folder)?;
    }
    if let Some(seal) = &seal {
        seal.check(&log, &path)?;
    }
    Ok(Audited { records: log.events.len(), has_end, seal })
}

#[cfg(test)]
mod tests {
    use super::super::EventLog;
    use super::*;
    use killpoint_model::event::Event;
    use killpoint_model::verdict::Outcome;

    fn note(text: &str) -> Event {
        Event::Note { text: text.to_owned() }
    }

    fn end() -> Event {
        Event::RunEnded { result: Outcome::Violated, explanation: String::new() }
    }

    fn ended() -> (tempfile::TempDir, RunFolder) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let folder = RunFolder::create(&directory.path().join("runs")).expect("a new run");
        let mut log = EventLog::create(&folder).expect("a new log");
        for event in [note("one"), note("two"), end()] {
            log.append(&event).expect("appended");
        }
        (directory, folder)
    }

    fn problem(folder: &RunFolder) -> String {
        audit(folder).expect_err("a changed log").to_string()
    }

    #[test]
    fn what_is_changed_at_the_end_of_a_log_is_found_by_its_seal() {
        let (_directory, folder) = ended();
        let path = folder.join("events.jsonl");
        let text = fs::read_to_string(&path).expect("a log");
        let audited = audit(&folder).expect("a whole log");
        let last = blake3::hash(text.lines().last().expect("a record").as_bytes());
        assert_eq!(audited.seal.expect("a seal").last, last.to_hex().as_str());
        assert!(audited.has_end && audited.records == 3);
        let without_last = text[..text.len() - 1].rsplit_once('\n').expect("lines").0;
        let more = format!(r#"{{"previous":"{last}","event":{{"event":"note","text":"x"}}}}"#);
        for (changed, expected) in [
            (text.replace("violated", "pass"), "the last record is not the one"),
            (format!("{without_last}\n"), "its end was cut off"),
            (text[..text.len() - 1].to_owned(), "its end was cut off"),
            (format!("{text}{more}\n"), "some were added"),
            (format!("{text}{{"), "1 bytes follow"),
            (String::new(), "no whole record"),
            ("\u{7}".repeat(300), "no whole record"),
        ] {
            fs::write(&path, &changed).expect("written");
            let problem = problem(&folder);
            assert!(problem.contains(expected), "{problem}");
            let reopened = EventLog::reopen(&folder).expect_err("refused").to_string();
            assert!(reopened.contains(expected), "{reopened}");
            assert_eq!(fs::read_to_string(&path).expect("a log"), changed, "nothing is written");
        }
        fs::write(&path, &text).expect("written");
        fs::write(folder.join(FILE_NAME), "{").expect("written");
        assert!(problem(&folder).contains("this is no seal"));
        fs::remove_file(folder.join(FILE_NAME)).expect("there");
        let audited = audit(&folder).expect("a whole chain");
        assert!(audited.has_end && audited.seal.is_none());
    }

    #[test]
    fn a_log_is_sealed_at_its_end_and_not_before_also_when_it_was_reopened() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let folder = RunFolder::create(&directory.path().join("runs")).expect("a new run");
        EventLog::create(&folder).expect("a new log").append(&note("one")).expect("appended");
        let audited = audit(&folder).expect("good so far");
        assert_eq!(audited, Audited { records: 1, has_end: false, seal: None });
        let (mut log, _) = EventLog::reopen(&folder).expect("a whole log");
        log.append(&note("two")).expect("appended");
        assert_eq!(audit(&folder).expect("good so far").seal, None);
        log.append(&end()).expect("appended");
        assert_eq!(audit(&folder).expect("a whole log").seal.expect("a seal").records, 3);
    }
}
