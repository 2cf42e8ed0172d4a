//! Calls on a descriptor, done for the target on a copy of it, so that their results are known
//! without stopping the thread a second time.
//!
//! Only where nobody can tell the difference: the target is still who the supervisor is, its file
//! size is not limited, and the buffer can be read whole. Everything else is fenced.

use super::super::Held;
use super::Notification;
use crate::guest::Guest;

/// Larger writes are left to the target: copying them twice costs more than a fence.
const BYTES_MAX: u64 = 1 << 20;
/// What buffers for O_DIRECT are aligned to.
const ALIGNMENT: usize = 4_096;

/// Where the bytes of a write pass through; kept, so that it need not be made for every call.
#[derive(Debug, Default)]
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    /// So many bytes, whatever they hold, aligned as a descriptor with O_DIRECT demands it.
    fn aligned(&mut self, length: usize) -> &mut [u8] {
        if self.0.len() < length + ALIGNMENT {
            self.0.resize(length + ALIGNMENT, 0);
        }
        let start = self.0.as_ptr().align_offset(ALIGNMENT);
        &mut self.0[start..start + length]
    }
}

/// Carries out a call on the descriptor that is held for it; gives its result and the bytes that
/// were written. None if it must be left to the target.
pub(super) fn perform<'b>(
    held: Held<'_>,
    notification: &Notification,
    buffer: &'b mut Buffer,
) -> Option<(i64, &'b [u8])> {
    let Notification { thread, call, .. } = *notification;
    let a = call.arguments;
    match call.number {
        libc::SYS_fsync => Some((result(rustix::fs::fsync(held.descriptor)), &[])),
        libc::SYS_fdatasync => Some((result(rustix::fs::fdatasync(held.descriptor)), &[])),
        libc::SYS_write | libc::SYS_pwrite64 if a[2] <= BYTES_MAX && held.is_plain => {
            let offset = (call.number == libc::SYS_pwrite64).then_some(a[3]);
            write(Guest { thread }, held, (a[1], a[2]), offset, buffer)
        }
        _ => None,
    }
}

/// Writes only the first bytes of what a call would write; none where the call is no plain write.
pub(super) fn cut_short<'b>(
    held: Held<'_>,
    notification: &Notification,
    length: u64,
    buffer: &'b mut Buffer,
) -> Option<(i64, &'b [u8])> {
    let Notification { thread, call, .. } = *notification;
    let a = call.arguments;
    let offset = match call.number {
        libc::SYS_write => None,
        libc::SYS_pwrite64 => Some(a[3]),
        _ => return None,
    };
    write(Guest { thread }, held, (a[1], length), offset, buffer)
}

/// Writes what stands at an address of the target.
fn write<'b>(
    guest: Guest,
    held: Held<'_>,
    (at, length): (u64, u64),
    offset: Option<u64>,
    buffer: &'b mut Buffer,
) -> Option<(i64, &'b [u8])> {
    let bytes = buffer.aligned(usize::try_from(length).ok()?);
    if guest.read_into(at, bytes).ok()? != bytes.len() {
        return None; // a part of the target's buffer is not there: the kernel knows what to do
    }
    let result = match offset {
        None => counted(|| rustix::io::write(held.descriptor, bytes)),
        Some(offset) => counted(|| rustix::io::pwrite(held.descriptor, bytes, offset)),
    };
    Some((result, &bytes[..usize::try_from(result).unwrap_or(0)]))
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
