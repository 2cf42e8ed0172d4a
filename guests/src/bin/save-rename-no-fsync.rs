//! Right under a kill, wrong under power loss: renames a file over its document whose bytes were never synced.

use guests::{Promise, document, frame};
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            document::save_repeatedly(&call.state, journal, Promise::PowerLoss, |bytes| {
                document::write_temporary(&call.state, document::DOCUMENT, bytes)?;
                document::rename_temporary(&call.state, document::DOCUMENT)
            })
        },
        document::check,
    )
}
