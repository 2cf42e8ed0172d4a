//! Right: changes its directory twice and saves by relative paths.

use guests::{Promise, document, frame};
use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            fs::create_dir_all(call.state.join("deep/down"))?;
            env::set_current_dir(call.state.join("deep/down"))?;
            env::set_current_dir("..")?;
            let here = Path::new("../.");
            document::save_repeatedly(here, journal, Promise::PowerLoss, |bytes| {
                document::save_atomically(here, document::DOCUMENT, bytes)
            })
        },
        document::check,
    )
}
