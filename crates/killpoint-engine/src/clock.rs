//! The clock from which the kernel takes times of modification.

use crate::image::nanoseconds;
use rustix::fs::Stat;
use rustix::time::{ClockId, clock_gettime};

/// The system's clock as of the latest tick, in nanoseconds since 1970. It costs no system call.
pub(crate) fn coarse_ns() -> i64 {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    nanoseconds(now.tv_sec, now.tv_nsec)
}

/// The time of modification.
pub(crate) fn modified_ns(stat: &Stat) -> i64 {
    nanoseconds(stat.st_mtime, stat.st_mtime_nsec.cast_signed())
}

/// Says when recorded calls changed something: as of the latest tick, or what a file said where it was
/// asked anyway. Since Linux 6.13 the kernel's times can be finer than the coarse clock, and a little
/// ahead of it.
#[derive(Debug, Default)]
pub(crate) struct CallClock {
    /// The latest time that was given to a call.
    latest_ns: i64,
    /// What the file that the call in flight has changed says.
    read_ns: Option<i64>,
}

impl CallClock {
    /// The call in flight has changed a file, which now has this time of modification.
    pub(crate) fn has_modified(&mut self, modified_ns: i64) {
        self.read_ns = Some(modified_ns);
    }

    /// The time of a call that has returned: what its file says, or else the clock, which never goes
    /// back behind an earlier call.
    pub(crate) fn time_of_call(&mut self) -> i64 {
        let time_ns = self.read_ns.take().unwrap_or_else(coarse_ns);
        self.latest_ns = self.latest_ns.max(time_ns);
        self.latest_ns
    }
}
