//! Right: writes a spare document, fsyncs it, and exchanges its name with the real one's (RENAME_EXCHANGE).

use guests::{Promise, document, frame};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let real = call.state.join(document::DOCUMENT);
            let spare = call.state.join("spare");
            document::save_repeatedly(&call.state, journal, Promise::PowerLoss, |bytes| {
                fs::write(&spare, bytes)?;
                fs::File::open(&spare)?.sync_all()?;
                if real.exists() {
                    renameat_with(CWD, &spare, CWD, &real, RenameFlags::EXCHANGE)?;
                } else {
                    fs::rename(&spare, &real)?;
                }
                document::sync_directory(&call.state)
            })
        },
        document::check,
    )
}
