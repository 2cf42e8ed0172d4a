//! Process ids in a worker's own PID namespace: which the kernel gave last, and from where it goes on.
//!
//! A crash state may hold process ids, in a pid file or in the name of a lock. After a real crash
//! nobody has them; so what reads the state must not be given them again.

use nix::unistd::getpid;
use std::fs;
use std::io;

/// The last id given in the PID namespace of whoever opens it; writable with CAP_SYS_ADMIN or
/// CAP_CHECKPOINT_RESTORE in the user namespace that owns it.
const LAST: &str = "/proc/sys/kernel/ns_last_pid";

/// Ids of a target's processes start above this one, so that they are the same in every run of it,
/// whatever the worker has started before.
pub const TARGETS_ABOVE: u32 = 1_000;

/// Whether this process is the init of a PID namespace, so that ids in it are its own affair.
fn is_own() -> bool {
    getpid().as_raw() == 1
}

/// The id that was given last, of a process or a thread; none where that cannot be read, or says
/// nothing because the ids are those of the whole machine.
pub fn last() -> Option<u32> {
    let text = is_own().then(|| fs::read_to_string(LAST).ok()).flatten()?;
    text.trim().parse().ok()
}

/// Lets the kernel go on above an id. One that is still in use above it is skipped.
///
/// # Errors
/// If there is no PID namespace of our own, or the kernel does not allow it.
pub fn start_above(id: u32) -> io::Result<()> {
    if !is_own() {
        return Err(io::Error::other("there is no PID namespace"));
    }
    fs::write(LAST, id.to_string())
}
