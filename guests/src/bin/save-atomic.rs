//! Right: writes a temporary file, fsyncs it, renames it over the document, fsyncs the directory.

use guests::{Promise, document, frame};
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            document::save_repeatedly(&call.state, journal, Promise::PowerLoss, |bytes| {
                document::save_atomically(&call.state, document::DOCUMENT, bytes)
            })
        },
        document::check,
    )
}
