//! Right: SQLite with a write-ahead log and full synchronisation, several rows in a transaction.

use guests::{Promise, database, frame};
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| database::work(&call.state, journal, "wal", Promise::PowerLoss),
        database::check,
    )
}
