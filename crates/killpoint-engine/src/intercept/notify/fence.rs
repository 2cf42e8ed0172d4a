//! The fence: a thread does its call itself, and is held by ptrace where it would come back to user
//! mode, so that the result is known before anything follows it.
//!
//! PTRACE_INTERRUPT before the answer leaves a stop pending, which the thread meets on its way out of
//! the call. The pending stop looks like a signal to calls that give up when one has come (EINTR,
//! ERESTART...). Those [`gives_up`] names are sent back instead: refused with ERESTARTNOINTR, the
//! thread meets the stop, enters the call again with nothing pending, and stops at its exit.

use super::Notification;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::mem::offset_of;

/// The kernel's own error numbers for "do it again", which no program ever sees.
const ERESTART: [i64; 4] = [-512, -513, -514, -516];
/// The one that restarts a call whatever signal handlers say.
pub(super) const ERESTARTNOINTR: i64 = -513;

/// Calls that give up when a signal, or what looks like one, is pending.
pub(super) fn gives_up(notification: &Notification) -> bool {
    matches!(
        notification.call.number,
        libc::SYS_splice
            | libc::SYS_sendfile
            | libc::SYS_copy_file_range
            | libc::SYS_fallocate
            | libc::SYS_ioctl
    )
}

/// Whether the call was given up and is to be entered again.
pub(super) fn is_restart(result: i64) -> bool {
    ERESTART.contains(&result)
}

/// Attaches to a thread that waits, so that it stops after its call.
///
/// # Errors
/// EPERM if another process traces it already, or it does not let itself be traced.
pub(super) fn raise(thread: Pid) -> Result<(), Errno> {
    ptrace::seize(thread, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL)?;
    ptrace::interrupt(thread)
}

/// What the call that the stopped thread comes from, returned.
pub(super) fn result_of(thread: Pid) -> i64 {
    let register = offset_of!(libc::user_regs_struct, rax) as ptrace::AddressType;
    ptrace::read_user(thread, register).unwrap_or(i64::from(-libc::ESRCH))
}

/// Lets the thread go, with the signal that it was about to get.
pub(super) fn lower(thread: Pid, stop: WaitStatus) {
    let signal: Option<Signal> = match stop {
        WaitStatus::Stopped(_, signal) => Some(signal),
        _ => None,
    };
    let _ = ptrace::detach(thread, signal);
}

/// Lets a stopped thread go on to the next entry or exit of a call.
pub(super) fn step(thread: Pid) {
    let _ = ptrace::syscall(thread, None);
}

/// Whether somebody traces a thread.
pub(super) fn is_traced(thread: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

/// Whether a thread that nobody can stop for us has left a call: it is in another one, or waits for
/// its tracer, or is gone.
pub(super) fn has_left(notification: &Notification) -> bool {
    let path = format!("/proc/{}/syscall", notification.thread);
    let Ok(text) = std::fs::read_to_string(path) else { return true };
    let mut fields = text.split_ascii_whitespace();
    match fields.next() {
        Some("running") => false,
        Some(number) => number.parse() != Ok(notification.call.number),
        None => true,
    }
}
