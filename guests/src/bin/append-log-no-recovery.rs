//! Wrong: takes the torn tail that a crash inside a write leaves for damage, and refuses to open.

use guests::{Promise, frame, record_log};
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let (log, _) = record_log::recover(&call.state)?;
            for (key, value) in record_log::records() {
                journal.intend(key, &value)?;
                record_log::append(&log, key, &value)?;
                log.sync_all()?;
                journal.acknowledge(key, Promise::Kill)?;
            }
            Ok(())
        },
        record_log::check_without_recovery,
    )
}
