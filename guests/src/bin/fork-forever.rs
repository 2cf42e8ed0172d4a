//! Misbehaves: every process starts another one and stays, bounded by nothing.

use guests::{Promise, document, frame};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            if call.arguments.is_empty() {
                document::save_repeatedly(&call.state, journal, Promise::Kill, |bytes| {
                    document::save_atomically(&call.state, document::DOCUMENT, bytes)
                })?;
            }
            thread::sleep(Duration::from_millis(10));
            let mut child = Command::new(std::env::current_exe()?)
                .arg("again")
                .env("KILLPOINT_STATE", &call.state)
                .spawn()?;
            child.wait().map(drop)
        },
        document::check,
    )
}
