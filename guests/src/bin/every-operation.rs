//! Does one of each operation that changes state, in a fixed order, so that a rebuilt state can be compared with the
//! real one. It promises nothing.

use guests::{exercise, frame};
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(|call, _| exercise::every_operation(&call.state), exercise::check)
}
