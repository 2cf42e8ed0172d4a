//! Right: forks twice, leaves its session, and goes on saving after the process that was started has exited.
#![expect(unsafe_code, reason = "a daemon forks, and fork has no safe form")]

use guests::{Promise, document, frame};
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            if fork()? {
                return Ok(());
            }
            rustix::process::setsid()?;
            if fork()? {
                return Ok(());
            }
            // By now the first process has most likely exited; the saves take a tenth of a second.
            document::save_repeatedly(&call.state, journal, Promise::PowerLoss, |bytes| {
                thread::sleep(Duration::from_millis(15));
                document::save_atomically(&call.state, document::DOCUMENT, bytes)
            })
        },
        document::check,
    )
}

/// Whether this is the parent.
fn fork() -> io::Result<bool> {
    // SAFETY: this process has one thread, so that the child has everything that the parent had.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        child => Ok(child != 0),
    }
}
