//! Wrong, at its start alone: makes its first document in place; all that it saves later, it saves atomically.

use guests::{Promise, Store, document, frame};
use std::fs;
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let path = call.state.join(document::DOCUMENT);
            if !path.exists() {
                fs::write(&path, document::to_bytes(&Store::new()))?;
            }
            document::save_repeatedly(&call.state, journal, Promise::Kill, |bytes| {
                document::save_atomically(&call.state, document::DOCUMENT, bytes)
            })
        },
        document::check,
    )
}
