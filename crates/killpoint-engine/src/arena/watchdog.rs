//! The watchdog of a worker that has no namespaces: it outlives the tool for a moment, ends whatever
//! the worker launched, and clears the scratch space.
//!
//! It stands between the tool and the worker and is the subreaper of all that is launched, so that
//! no process can leave its tree: neither by a double fork nor by a session of its own. It holds
//! the worker's end of the channel; the kernel tells it at once when the tool's end is closed,
//! however the tool died.

use super::{Channel, Plan, empty_directory};
use crate::identity::end_children_of;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it reaps the orphans of a worker that is at work.
const REAP_INTERVAL: Duration = Duration::from_millis(100);

/// Whether this process is a worker under a watchdog.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// Makes the calling process the one to whom orphans fall.
pub(super) fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT))?)
}

/// Called in the worker: [`end_orphans`] has a meaning from now on.
pub(super) fn watched() {
    WATCHED.store(true, Ordering::Relaxed);
}

/// In a worker under a watchdog: ends what the programs of this worker have left behind.
pub(crate) fn end_orphans() {
    if WATCHED.load(Ordering::Relaxed) {
        end_children_of(nix::unistd::getppid());
    }
}

/// Watches until the worker has ended or the tool has hung up, then ends everything and clears up.
pub(super) fn watch(worker: Pid, channel: &Channel, plan: &Plan) {
    while !channel.is_closed_within(REAP_INTERVAL) && !reap(worker) {}
    end_children_of(nix::unistd::getpid());
    reap(worker);
    let _ = empty_directory(&plan.scratch);
}

/// Reaps whoever has ended. True if the worker is among them.
fn reap(worker: Pid) -> bool {
    let mut worker_ended = false;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(_) => return worker_ended,
            Ok(status) => worker_ended |= status.pid() == Some(worker),
        }
    }
}
