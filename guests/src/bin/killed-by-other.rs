//! Misbehaves: a child kills it between two saves, by a signal that the harness did not send.

use guests::{Promise, document, frame};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let mut saves = 0;
            document::save_repeatedly(&call.state, journal, Promise::PowerLoss, |bytes| {
                saves += 1;
                if saves == 3 {
                    let kill = format!("kill -KILL {}", std::process::id());
                    Command::new("sh").args(["-c", &kill]).status()?;
                }
                document::save_atomically(&call.state, document::DOCUMENT, bytes)
            })
        },
        document::check,
    )
}
