//! Wrong: saves its document in place, and starts with an empty one where it cannot parse what it finds.

use guests::{Promise, document, frame};
use std::fs;
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let path = call.state.join(document::DOCUMENT);
            document::save_repeatedly(&call.state, journal, Promise::Kill, |bytes| {
                fs::write(&path, bytes)
            })
        },
        |state| Ok(document::check(state).unwrap_or_default()),
    )
}
