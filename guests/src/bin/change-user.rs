//! Right: gives its directory to nobody, becomes nobody where it may, and saves as nobody.

use guests::{Promise, document, frame};
use rustix::process::{Gid, Uid, getuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::env;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::ExitCode;

const NOBODY: u32 = 65_534;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            // Nobody may not be allowed to look up the absolute path.
            env::set_current_dir(&call.state)?;
            let here = Path::new(".");
            if getuid().is_root() && chown(here, Some(NOBODY), Some(NOBODY)).is_ok() {
                let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
                // One thread is all there is, so that the thread's identity is the process's.
                set_thread_groups(&[])?;
                set_thread_res_gid(group, group, group)?;
                set_thread_res_uid(user, user, user)?;
            }
            document::save_repeatedly(here, journal, Promise::PowerLoss, |bytes| {
                document::save_atomically(here, document::DOCUMENT, bytes)
            })
        },
        document::check,
    )
}
