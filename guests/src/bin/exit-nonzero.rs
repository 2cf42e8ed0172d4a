//! Misbehaves: saves its document properly and ends with exit status 3.

use guests::{Promise, document, frame};
use std::process::ExitCode;

fn main() -> ExitCode {
    let is_check = std::env::args().nth(1).is_some_and(|argument| argument == "check");
    let code = frame::run(
        |call, journal| {
            document::save_repeatedly(&call.state, journal, Promise::PowerLoss, |bytes| {
                document::save_atomically(&call.state, document::DOCUMENT, bytes)
            })
        },
        document::check,
    );
    if is_check || code != ExitCode::SUCCESS { code } else { ExitCode::from(3) }
}
