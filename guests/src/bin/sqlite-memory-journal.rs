//! Wrong: SQLite with its rollback journal in memory, so that a crash inside a commit leaves a torn database.

use guests::{Promise, database, frame};
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| database::work(&call.state, journal, "memory", Promise::Kill),
        database::check,
    )
}
