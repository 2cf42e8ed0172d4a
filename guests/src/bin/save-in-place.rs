//! Wrong: saves its document in place, so that a crash between emptying and filling it leaves nothing that opens.

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
        document::check,
    )
}
