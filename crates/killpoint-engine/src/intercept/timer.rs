//! A clock that interrupts whatever this process waits in.

use super::TICK;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Interrupts waiting calls every [`TICK`], so that limits are looked at, until it is dropped.
pub(super) struct Timer;

/// Whether a tick has passed since this was last asked.
static IS_DUE: AtomicBool = AtomicBool::new(false);

extern "C" fn tick(_: i32) {
    IS_DUE.store(true, Ordering::Relaxed);
}

/// Whether a tick has passed since this was last asked. Costs less than to look at the clock, which
/// would be done at every stop.
pub(super) fn is_due() -> bool {
    IS_DUE.load(Ordering::Relaxed) && IS_DUE.swap(false, Ordering::Relaxed)
}

impl Timer {
    #[expect(unsafe_code, reason = "a signal handler and setitimer")]
    pub(super) fn start() -> io::Result<Self> {
        let action = SigAction::new(SigHandler::Handler(tick), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler only stores into an atomic, so it is safe at any moment.
        unsafe { sigaction(Signal::SIGALRM, &action) }?;
        Self::set(libc::suseconds_t::try_from(TICK.as_micros()).expect("short"))?;
        Ok(Timer)
    }

    #[expect(unsafe_code, reason = "setitimer has no safe wrapper")]
    fn set(microseconds: libc::suseconds_t) -> io::Result<()> {
        let time = libc::timeval { tv_sec: 0, tv_usec: microseconds };
        let value = libc::itimerval { it_interval: time, it_value: time };
        // SAFETY: `value` lives for the call; the old value is not asked for.
        match unsafe { libc::setitimer(libc::ITIMER_REAL, &value, std::ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let _ = Self::set(0);
    }
}
