//! Calls on a descriptor, done for the target on a copy of it, so that their results are known
//! without stopping the thread a second time.
//!
//! Only where nobody can tell the difference: the target is still who the supervisor is, its file
//! size is not limited, and the buffer can be read whole. Everything else is fenced.

use super::Notification;
use crate::guest::{Descriptors, Guest};
use rustix::fs::OFlags;
use std::io;
use std::os::fd::OwnedFd;

/// Larger writes are left to the target: copying them twice costs more than a fence.
const BYTES_MAX: u64 = 1 << 20;
/// What buffers for O_DIRECT are aligned to.
const ALIGNMENT: usize = 4_096;

/// Carries out a call; none if it must be left to the target.
pub(super) fn perform(descriptors: &mut Descriptors, notification: &Notification) -> Option<i64> {
    let Notification { thread, call, .. } = *notification;
    let a = call.arguments;
    let copy = |descriptors: &mut Descriptors| descriptors.copy(thread, a[0] as u32 as i32).ok();
    match call.number {
        libc::SYS_fsync => Some(result(rustix::fs::fsync(copy(descriptors)?))),
        libc::SYS_fdatasync => Some(result(rustix::fs::fdatasync(copy(descriptors)?))),
        libc::SYS_write | libc::SYS_pwrite64 if a[2] <= BYTES_MAX => {
            if file_size_limit(thread) != libc::RLIM_INFINITY {
                return None; // a limit cuts writes short and raises SIGXFSZ
            }
            let copy = copy(descriptors)?;
            let status = rustix::fs::fcntl_getfl(&copy).ok()?;
            let mode = rustix::fs::fstat(&copy).ok()?.st_mode;
            let takes_away = mode & (libc::S_ISUID | libc::S_ISGID) != 0;
            if status.contains(OFlags::DIRECT) || takes_away {
                return None; // alignment; a write by another than root takes these bits away
            }
            let offset = (call.number == libc::SYS_pwrite64).then_some(a[3]);
            write(Guest { thread }, &copy, a[1], a[2], offset)
        }
        _ => None,
    }
}

/// Writes only the first bytes of what a call would write; none where the call is no plain write.
pub(super) fn cut_short(
    descriptors: &mut Descriptors,
    notification: &Notification,
    length: u64,
) -> Option<i64> {
    let Notification { thread, call, .. } = *notification;
    let a = call.arguments;
    let offset = match call.number {
        libc::SYS_write => None,
        libc::SYS_pwrite64 => Some(a[3]),
        _ => return None,
    };
    let copy = descriptors.copy(thread, a[0] as u32 as i32).ok()?;
    write(Guest { thread }, &copy, a[1], length, offset)
}

fn write(guest: Guest, copy: &OwnedFd, at: u64, length: u64, offset: Option<u64>) -> Option<i64> {
    let length = usize::try_from(length).ok()?;
    // Aligned, as a descriptor with O_DIRECT demands it.
    let mut buffer = vec![0; length + ALIGNMENT];
    let start = buffer.as_ptr().align_offset(ALIGNMENT);
    let bytes = &mut buffer[start..start + length];
    if guest.read_into(at, bytes).ok()? != length {
        return None; // a part of the target's buffer is not there: the kernel knows what to do
    }
    Some(match offset {
        None => counted(|| rustix::io::write(copy, bytes)),
        Some(offset) => counted(|| rustix::io::pwrite(copy, bytes, offset)),
    })
}

fn counted(call: impl FnMut() -> rustix::io::Result<usize>) -> i64 {
    match rustix::io::retry_on_intr(call) {
        Ok(count) => i64::try_from(count).unwrap_or(i64::MAX),
        Err(error) => -i64::from(error.raw_os_error()),
    }
}

fn result(result: rustix::io::Result<()>) -> i64 {
    result.map_or_else(|error| -i64::from(error.raw_os_error()), |()| 0)
}

#[expect(unsafe_code, reason = "prlimit of another process has no safe wrapper here")]
fn file_size_limit(thread: nix::unistd::Pid) -> libc::rlim_t {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives for the call; no new limit is given.
    let status = unsafe {
        libc::prlimit(thread.as_raw(), libc::RLIMIT_FSIZE, std::ptr::null(), &raw mut limit)
    };
    match status {
        0 => limit.rlim_cur,
        _ => {
            debug_assert_ne!(io::Error::last_os_error().raw_os_error(), Some(libc::EFAULT));
            0 // unknown: as if there were one
        }
    }
}
