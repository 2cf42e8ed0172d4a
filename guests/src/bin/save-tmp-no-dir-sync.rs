//! Right under a kill, wrong under power loss: promises a save whose rename the directory may not have kept.

use guests::{Promise, document, frame};
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            document::save_repeatedly(&call.state, journal, Promise::PowerLoss, |bytes| {
                document::write_temporary(&call.state, document::DOCUMENT, bytes)?.sync_all()?;
                document::rename_temporary(&call.state, document::DOCUMENT)
            })
        },
        document::check,
    )
}
