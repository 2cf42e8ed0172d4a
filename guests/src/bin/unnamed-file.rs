//! Right: writes each note to a file without a name (O_TMPFILE), and links it once it is whole and synced.

use guests::{Promise, Store, document, frame};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            for number in 1..=4 {
                let key = format!("note-{number}");
                let value = format!("text of note {number} ").repeat(40 * number);
                journal.intend(&key, &value)?;
                let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
                let mut file = File::from(open(&call.state, flags, Mode::from_raw_mode(0o644))?);
                file.write_all(value.as_bytes())?;
                file.sync_all()?;
                let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
                linkat(CWD, unnamed, CWD, call.state.join(&key), AtFlags::SYMLINK_FOLLOW)?;
                document::sync_directory(&call.state)?;
                journal.acknowledge(&key, Promise::PowerLoss)?;
            }
            Ok(())
        },
        |state| {
            let mut store = Store::new();
            for entry in fs::read_dir(state)? {
                let entry = entry?;
                let value = fs::read_to_string(entry.path())?;
                store.insert(entry.file_name().to_string_lossy().into_owned(), value.into());
            }
            Ok(store)
        },
    )
}
