//! Misbehaves: writes until the disk is full, and then fails.

use guests::{Store, frame};
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, _| {
            let mut file = File::create(call.state.join("endless"))?;
            let chunk = vec![0xA5; 1 << 20];
            loop {
                file.write_all(&chunk)?;
            }
        },
        |_| Ok(Store::new()),
    )
}
