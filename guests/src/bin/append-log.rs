//! Right: appends checksummed records, fsyncs before it acknowledges, and drops a torn tail when it opens.

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
                journal.acknowledge(key, Promise::PowerLoss)?;
            }
            Ok(())
        },
        record_log::check,
    )
}
