//! Misbehaves: saves its document and then never ends.

use guests::{Promise, document, frame};
use std::process::ExitCode;
use std::thread;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            document::save_repeatedly(&call.state, journal, Promise::PowerLoss, |bytes| {
                document::save_atomically(&call.state, document::DOCUMENT, bytes)
            })?;
            loop {
                thread::park();
            }
        },
        document::check,
    )
}
