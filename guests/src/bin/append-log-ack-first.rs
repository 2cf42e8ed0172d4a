//! Wrong: acknowledges a record before it writes it.

use guests::{Promise, frame, record_log};
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let (log, _) = record_log::recover(&call.state)?;
            for (key, value) in record_log::records() {
                journal.intend(key, &value)?;
                journal.acknowledge(key, Promise::Kill)?;
                record_log::append(&log, key, &value)?;
                log.sync_all()?;
            }
            Ok(())
        },
        record_log::check,
    )
}
