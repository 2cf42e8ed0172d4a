//! Right: lets the kernel copy (copy_file_range, sendfile) a draft into a temporary file, which it renames when synced.

use guests::{Promise, document, frame};
use rustix::fs::{copy_file_range, sendfile};
use std::fs::{self, File};
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let draft = call.state.join("draft");
            let temporary = call.state.join("notes.json.tmp");
            document::save_repeatedly(&call.state, journal, Promise::PowerLoss, |bytes| {
                fs::write(&draft, bytes)?;
                let (from, to) = (File::open(&draft)?, File::create(&temporary)?);
                let half = bytes.len() / 2;
                let mut left = half;
                while left > 0 {
                    left -= copied(copy_file_range(&from, None, &to, None, left)?)?;
                }
                left = bytes.len() - half;
                while left > 0 {
                    left -= copied(sendfile(&to, &from, None, left)?)?;
                }
                to.sync_all()?;
                document::rename_temporary(&call.state, document::DOCUMENT)?;
                fs::remove_file(&draft)?;
                document::sync_directory(&call.state)
            })
        },
        document::check,
    )
}

/// A copy of nothing would never end.
fn copied(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(count) }
}
