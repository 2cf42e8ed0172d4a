//! Minidumps of processes, written from outside by `minidump-writer`.
//!
//! [`write`] looks at a process that runs and lets it go on, or ends it once everything has been read from it:
//! the writer itself continues what it has stopped, so a signal after the dump would come too late.
//! [`Watch`] follows a tree by ptrace, without intercepting its calls, and takes a dump where a thread is about to
//! receive a signal that ends its process; it then sees how the process ends.

mod watch;

pub use watch::{Asker, Caught, Ended, Seen, Watch};

use crash_context::CrashContext;
use minidump_writer::CrashContextExt;
use minidump_writer::minidump_writer::MinidumpWriterConfig;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Largest dump, but for its threads' stacks beyond which they are cut.
const DUMP_BYTES_MAX: u64 = 16 << 20;
/// How long the writer waits for the process to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long is waited for the death of what was killed while it was traced.
const REAP_LIMIT: Duration = Duration::from_secs(5);
/// How often it is looked whether it has come.
const REAP_INTERVAL: Duration = Duration::from_micros(500);
/// The last stream for which the writer reads the process (`HandleDataStream`).
const LAST_STREAM_READ: u32 = 12;
/// Bytes of an entry in a dump's directory of streams: type, size, position.
const ENTRY_BYTES: usize = 12;

/// What becomes of the process once its dump is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It goes on.
    GoOn,
    /// It is killed before it can execute one more instruction.
    Kill,
}

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The process is not there or may not be looked at.
    #[error("cannot look at process {pid}")]
    Process {
        /// Its number.
        pid: i32,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the dump {path}")]
    File {
        /// The dump.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The writer failed.
    #[error("cannot dump process {pid}: {problem}")]
    Writer {
        /// Its number.
        pid: i32,
        /// What the writer says.
        problem: String,
    },
    /// The writer could not stop any thread, because something else traces the process.
    #[error("the dump of process {pid} has no threads: another process traces it")]
    NoThreads {
        /// Its number.
        pid: i32,
    },
}

/// Writes a dump of a process; the size of it, in bytes.
///
/// # Errors
/// If the process cannot be looked at, or the file cannot be written. With [`Afterwards::Kill`] the process may
/// still be alive then.
pub fn write(pid: i32, path: &Path, afterwards: Afterwards) -> Result<u64, DumpError> {
    let no_process = |source: io::Error| DumpError::Process { pid, source };
    let handle = Pid::from_raw(pid).ok_or_else(|| no_process(io::ErrorKind::NotFound.into()))?;
    let handle = pidfd_open(handle, PidfdFlags::empty()).map_err(|e| no_process(e.into()))?;
    if afterwards == Afterwards::GoOn {
        return write_with(pid, pid, None, path, || {});
    }
    let threads = threads(pid);
    let written = write_with(pid, pid, None, path, || {
        let _ = pidfd_send_signal(handle, Signal::KILL);
    });
    let_be_reaped(pid, &threads);
    written
}

/// `at_end` is done once everything has been read from the process, before the writer lets it go.
fn write_with(
    pid: i32,
    thread: i32,
    context: Option<CrashContext>,
    path: &Path,
    at_end: impl FnOnce(),
) -> Result<u64, DumpError> {
    let no_file = |source| DumpError::File { path: path.to_owned(), source };
    let file = File::create_new(path).map_err(no_file)?;
    let mut output = Output { file, at_end: Some(at_end) };
    let mut config = MinidumpWriterConfig::new(pid, thread);
    config.set_minidump_size_limit(DUMP_BYTES_MAX).stop_timeout(STOP_TIMEOUT);
    if let Some(inner) = context {
        config.set_crash_context(CrashContextExt { inner });
    }
    let written = config.write(&mut output).map_err(|error| {
        let _ = std::fs::remove_file(path);
        DumpError::Writer { pid, problem: error.to_string() }
    })?;
    if thread_count(&written) == 0 {
        let _ = std::fs::remove_file(path);
        return Err(DumpError::NoThreads { pid });
    }
    output.file.sync_all().map_err(no_file)?;
    Ok(written.len() as u64)
}

/// The threads of a process, the first one last.
fn threads(pid: i32) -> Vec<i32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut threads: Vec<i32> = numbers.collect();
    threads.sort_by_key(|thread| *thread == pid);
    threads
}

/// Takes note of the death of threads that the writer still traced when they were killed: before that
/// their parent does not learn of it. A child of this process is left to whoever waits for it.
fn let_be_reaped(pid: i32, threads: &[i32]) {
    let own = std::process::id().cast_signed();
    if crate::identity::status(pid).is_ok_and(|status| status.parent == own) {
        return;
    }
    let since = Instant::now();
    for thread in threads {
        let thread = nix::unistd::Pid::from_raw(*thread);
        let options = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
        while since.elapsed() < REAP_LIMIT {
            match waitpid(thread, Some(options)) {
                // Not dead yet, or stopped before it was killed.
                Ok(WaitStatus::StillAlive) => std::thread::sleep(REAP_INTERVAL),
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => break,
                Ok(_) => {}
                Err(_) => break, // ECHILD: it is traced no more
            }
        }
    }
}

/// How many threads a dump has: the first number of its `ThreadListStream` (type 3), by the format's own directory.
fn thread_count(dump: &[u8]) -> u32 {
    const THREAD_LIST: u32 = 3;
    let number = |at: usize| {
        let bytes = dump.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
    };
    let find = || {
        let (streams, directory) = (number(8)?, number(12)? as usize);
        (0..streams as usize)
            .map(|index| directory + index * ENTRY_BYTES)
            .find(|entry| number(*entry) == Some(THREAD_LIST))
            .and_then(|entry| number(number(entry + 8)? as usize))
    };
    find().unwrap_or(0)
}

/// The file of a dump. Knows when everything has been read from the process.
struct Output<F> {
    file: File,
    at_end: Option<F>,
}

impl<F: FnOnce()> Write for Output<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_last_entry =
            bytes.len() == ENTRY_BYTES && bytes[..4] == LAST_STREAM_READ.to_le_bytes();
        if is_last_entry && let Some(at_end) = self.at_end.take() {
            at_end();
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<F> Seek for Output<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
