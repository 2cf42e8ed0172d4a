//! Words on standard output and standard error.

use std::io::{self, Write, stderr, stdout};

/// Prints a result. A reader that has gone away is no reason to fail; a disk that is full is one.
///
/// # Errors
/// If it could not be written.
pub fn result(text: &str) -> io::Result<()> {
    bytes(text.as_bytes())
}

/// The same, for what is no text.
///
/// # Errors
/// If it could not be written.
pub fn bytes(bytes: &[u8]) -> io::Result<()> {
    let written = stdout().write_all(bytes).and_then(|()| stdout().flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Says something on standard error, whether or not anybody listens.
pub fn say(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}
