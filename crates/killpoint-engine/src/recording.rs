//! The recording file: every operation in order with its data.
//!
//! Format, version 5: the magic bytes, then frames. A frame is the length of its head (u32, little
//! endian), the length of its data (u64), the head (postcard), the data. The last frame is the
//! [`Ending`]; a file without one was cut off, and what stands before it is still good.

use crate::regular_file;
use killpoint_model::operation::{Effect, Operation};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"kprec\0\x05\n";
/// A head longer than this is not ours.
const HEAD_MAX: u32 = 1 << 24;

/// How a recording ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How the driver ended: the first process, unless there is a driver of its own.
    pub exit: Exit,
    /// How the first process ended, where there is a driver and it ended without being asked to.
    pub target: Exit,
    /// The turns in the course of the run.
    pub turns: Turns,
    /// Whether the time was over while the target was waited for to become quiet.
    pub never_quiet: bool,
    /// Whether the harness killed the target at the address it was told.
    pub struck: bool,
    /// How many operations had been completed when it struck.
    pub struck_after: Option<u64>,
    /// Length of the ack journal at the end, in bytes.
    pub journal_length: u64,
    /// Calls that stopped and lay outside the state.
    pub outside: u64,
    /// Threads that made calls on the state; with more than one their order may vary.
    pub callers: u32,
    /// Processes that were started.
    pub processes: u32,
    /// The last process id that was in use, of a process or a thread; 0 where nothing can be said.
    pub last_process_id: u32,
    /// Processes that were killed at the end: asked to end, they did not in time.
    pub left_over: u32,
    /// Files of the state with a writable shared mapping: relative path.
    pub mapped: Vec<String>,
    /// What was seen and is not covered: file and reason.
    pub gaps: Vec<(String, String)>,
    /// Files that were changed for real: outside of the state and of what is seen copy-on-write.
    pub outside_writes: Vec<String>,
    /// Files outside of the state that were changed where they are seen copy-on-write: what was changed
    /// there is gone with the run.
    pub beside: Vec<String>,
    /// Renames, links and removals that failed where mounts may be the reason.
    pub barred: Vec<Barred>,
    /// Files outside of the state that were changed and that a symbolic link in the state leads to: the
    /// link's path, as shown, and where it leads.
    pub linked: Vec<(String, String)>,
    /// Names in the state (path relative to the root) that were born during the run, or that calls
    /// gave in vain.
    pub named: Vec<String>,
}

/// A rename, link or removal that failed where mounts may be the reason: nothing is renamed or linked
/// from one mount to another (EXDEV), nor a mount itself renamed or removed (EBUSY).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barred {
    /// The name of the system call.
    pub call: String,
    /// The path, absolute, that was to be renamed, linked to or removed.
    pub from: String,
    /// Its new path, absolute; none for a removal.
    pub to: Option<String>,
    /// Whether it was a mount itself.
    pub is_mount: bool,
    /// Whether both paths lie in one mount: then it is a view that could not do it.
    pub is_within_one: bool,
    /// Whether one of them lies in the state, or holds it.
    pub in_state: bool,
}

/// How many operations had been begun at each turn in the course of a run; none where it did not
/// come to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turns {
    /// When the driver was started, where there is one of its own.
    pub driver_started: Option<u64>,
    /// When the driver had ended.
    pub driver_ended: Option<u64>,
    /// When those who were left were asked to end.
    pub asked_to_stop: Option<u64>,
    /// How many those were.
    pub asked: u32,
    /// How many of them had made calls on the state, or had a file of it open.
    pub asked_users: u32,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It still ran when the recording was ended.
    #[default]
    Running,
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started: the error number.
    NotStarted(i32),
    /// The time-out passed.
    TimedOut,
}

#[derive(Deserialize)]
enum Head {
    Operation(Operation),
    Ending(Ending),
}

/// What is read back as [`Head`].
#[derive(Serialize)]
enum HeadRef<'a> {
    Operation(&'a OperationRef<'a>),
    Ending(&'a Ending),
}

/// An [`Operation`] to be written, made of what its recorder has: field by field the same.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OperationRef<'a> {
    /// As in [`Operation`], like all that follow.
    pub ordinal: u64,
    /// The text of the address.
    pub address: &'a str,
    /// The real paths.
    pub shown: &'a [&'a str],
    /// The number of the process.
    pub process: u32,
    /// The name of the system call.
    pub call: &'a str,
    /// What it returned.
    pub result: i64,
    /// Length of the ack journal at its entry, in bytes.
    pub journal_length: u64,
    /// The clock when it had returned.
    pub at_ns: i64,
    /// What it changed.
    pub effects: &'a [Effect],
}

/// Why a recording could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The system refused.
    #[error("cannot use the recording {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a recording of this version.
    #[error(
        "{path} is not a recording of this version of killpoint, or is damaged at byte {offset}"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
}

/// Writes a recording as it happens.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    head: Vec<u8>,
}

impl Writer {
    /// Starts a new file.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path) -> Result<Self, RecordingError> {
        let open = || -> io::Result<BufWriter<File>> {
            let mut file = BufWriter::with_capacity(1 << 18, File::create(path)?);
            file.write_all(MAGIC)?;
            Ok(file)
        };
        let file = open().map_err(|source| RecordingError::Io { path: path.to_owned(), source })?;
        Ok(Writer { path: path.to_owned(), file, head: Vec::new() })
    }

    /// Appends one operation; `data` holds the bytes of its effects, one after another.
    ///
    /// # Errors
    /// What the system says.
    pub fn operation(
        &mut self,
        operation: &OperationRef<'_>,
        data: &[u8],
    ) -> Result<(), RecordingError> {
        self.frame(&HeadRef::Operation(operation), data)
    }

    /// Appends the ending and hands everything to the system.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(mut self, ending: Ending) -> Result<(), RecordingError> {
        self.frame(&HeadRef::Ending(&ending), &[])?;
        let path = self.path.clone();
        self.file.flush().map_err(|source| RecordingError::Io { path, source })
    }

    fn frame(&mut self, head: &HeadRef<'_>, data: &[u8]) -> Result<(), RecordingError> {
        self.head.clear();
        self.head =
            postcard::to_extend(head, std::mem::take(&mut self.head)).expect("plain data encodes");
        let length = u32::try_from(self.head.len()).expect("a head is short");
        let mut write = || -> io::Result<()> {
            self.file.write_all(&length.to_le_bytes())?;
            self.file.write_all(&(data.len() as u64).to_le_bytes())?;
            self.file.write_all(&self.head)?;
            self.file.write_all(data)
        };
        write().map_err(|source| RecordingError::Io { path: self.path.clone(), source })
    }
}

/// Something read back from a recording.
#[derive(Debug)]
pub enum Record {
    /// An operation and the bytes of its effects.
    Operation(Operation, Vec<u8>),
    /// The end.
    Ending(Ending),
}

/// Reads a recording in order.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    offset: u64,
    size: u64,
}

impl Reader {
    /// Opens a recording.
    ///
    /// # Errors
    /// If it cannot be read or is no recording.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let fail = |source| RecordingError::Io { path: path.to_owned(), source };
        let file = regular_file::open(path).map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len();
        let mut reader = Reader {
            path: path.to_owned(),
            file: BufReader::with_capacity(1 << 16, file),
            offset: 0,
            size,
        };
        let mut magic = [0; 8];
        match reader.file.read_exact(&mut magic) {
            Ok(()) if &magic == MAGIC => reader.offset = 8,
            _ => return Err(reader.damaged()),
        }
        Ok(reader)
    }

    fn damaged(&self) -> RecordingError {
        RecordingError::Damaged { path: self.path.clone(), offset: self.offset }
    }

    /// The next record; none where the file was cut off.
    ///
    /// # Errors
    /// If the bytes are not those of a recording.
    pub fn next_record(&mut self) -> Result<Option<Record>, RecordingError> {
        let mut lengths = [0; 12];
        if self.size - self.offset < 12 || self.file.read_exact(&mut lengths).is_err() {
            return Ok(None);
        }
        let head_length = u32::from_le_bytes(lengths[..4].try_into().expect("4 bytes"));
        let data_length = u64::from_le_bytes(lengths[4..].try_into().expect("8 bytes"));
        let rest = self.size - self.offset - 12;
        if head_length > HEAD_MAX {
            return Err(self.damaged());
        }
        if data_length.saturating_add(u64::from(head_length)) > rest {
            return Ok(None);
        }
        let mut head = vec![0; head_length as usize];
        let mut data = vec![0; usize::try_from(data_length).map_err(|_| self.damaged())?];
        let read = self.file.read_exact(&mut head).and_then(|()| self.file.read_exact(&mut data));
        read.map_err(|source| RecordingError::Io { path: self.path.clone(), source })?;
        let record = match postcard::from_bytes(&head).map_err(|_| self.damaged())? {
            Head::Operation(operation) => {
                if data_bytes(&operation.effects) != data_length {
                    return Err(self.damaged());
                }
                Record::Operation(operation, data)
            }
            Head::Ending(ending) => Record::Ending(ending),
        };
        self.offset += 12 + u64::from(head_length) + data_length;
        Ok(Some(record))
    }

    /// Back to the first record.
    ///
    /// # Errors
    /// What the system says.
    pub fn rewind(&mut self) -> Result<(), RecordingError> {
        self.file
            .seek(io::SeekFrom::Start(8))
            .map_err(|source| RecordingError::Io { path: self.path.clone(), source })?;
        self.offset = 8;
        Ok(())
    }
}

/// Whether the first who opens a file rebuilds it, so that stores into its mapping decide nothing:
/// SQLite's `-shm`, rebuilt from the write-ahead log, and LMDB's table of locks.
pub fn is_rebuilt(path: &str) -> bool {
    path.ends_with("-shm") || path.ends_with("lock.mdb")
}

/// How many bytes of data an effect has in a recording.
pub fn effect_bytes(effect: &Effect) -> u64 {
    match effect {
        Effect::Write { length, .. } | Effect::Replace { length, .. } => *length,
        _ => 0,
    }
}

fn data_bytes(effects: &[Effect]) -> u64 {
    effects.iter().map(effect_bytes).sum()
}

/// The effects of an operation, each with its part of the data.
pub fn effects_with_data<'a>(
    effects: &'a [Effect],
    data: &'a [u8],
) -> impl Iterator<Item = (&'a Effect, &'a [u8])> {
    let mut rest = data;
    effects.iter().map(move |effect| {
        let length = usize::try_from(effect_bytes(effect)).unwrap_or(usize::MAX).min(rest.len());
        let (bytes, after) = rest.split_at(length);
        rest = after;
        (effect, bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8]) -> Result<usize, RecordingError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut reader = Reader::open(file.path())?;
        let mut records = 0;
        while reader.next_record()?.is_some() {
            records += 1;
        }
        Ok(records)
    }

    fn whole() -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = Writer::create(file.path()).unwrap();
        for ordinal in 1..=3 {
            let file = killpoint_model::FileId(1);
            let operation = OperationRef {
                ordinal,
                address: "end",
                shown: &["f"],
                process: 1,
                call: "write",
                result: 4,
                journal_length: 0,
                at_ns: 0,
                effects: &[Effect::Write { file, offset: 0, length: 4, durable: false }],
            };
            writer.operation(&operation, b"data").unwrap();
        }
        writer.finish(Ending::default()).unwrap();
        std::fs::read(file.path()).unwrap()
    }

    #[test]
    fn a_recording_that_was_cut_off_is_good_up_to_the_cut() {
        let bytes = whole();
        assert_eq!(read_all(&bytes).unwrap(), 4);
        for length in 8..bytes.len() {
            assert!(read_all(&bytes[..length]).unwrap() < 4, "{length}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_make_the_reader_panic(
            rest in prop::collection::vec(0_u8.., 0..200),
            place in 8_usize..60,
            flipped in 0_u8..,
        ) {
            let _ = read_all(&rest);
            let _ = read_all(&[MAGIC.as_slice(), rest.as_slice()].concat());
            let mut bytes = whole();
            bytes[place] ^= flipped;
            let _ = read_all(&bytes);
        }
    }
}
