//! Does random file operations that a seed decides: `random-operations SEED COUNT`. It promises nothing.

use guests::{exercise, frame};
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, _| exercise::random_operations(&call.state, call.number(0, 1), call.number(1, 100)),
        exercise::check,
    )
}
