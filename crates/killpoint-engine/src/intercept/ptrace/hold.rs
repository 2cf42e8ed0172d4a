//! A thread that stands at the entry of a call, or at its exit, until somebody has decided what
//! becomes of it.

use super::{Tracer, shorten};
use crate::intercept::{Observer, Release};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::thread;
use std::time::Duration;

/// How often it is looked whether a held call is released.
const LOOK_INTERVAL: Duration = Duration::from_micros(200);
/// Length of the `syscall` instruction in bytes; no other makes calls that the filter lets stop.
const INSTRUCTION_BYTES: u64 = 2;
/// The number of no call: the kernel skips it and leaves the result as it is.
const NO_CALL: u64 = u64::MAX;

/// Who is held.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldThread {
    thread: Pid,
    is_at_exit: bool,
    /// Whether it still lives. What others may do is decided all the same by the release.
    is_alive: bool,
}

impl<O: Observer> Tracer<'_, O> {
    /// Leaves a stopped thread where it is.
    pub(super) fn hold(&mut self, thread: Pid, is_at_exit: bool) {
        self.held = Some(HeldThread { thread, is_at_exit, is_alive: true });
    }

    /// The next stop of another thread, if there is one at once; else a look at the release.
    pub(super) fn next_stop_while_held(&mut self) -> nix::Result<WaitStatus> {
        match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {}
            other => return other,
        }
        match self.observer.release() {
            Some(release) => self.release(release),
            None => thread::sleep(LOOK_INTERVAL),
        }
        Err(Errno::EINTR)
    }

    /// A thread has died; if it was the held one, the release finds nobody.
    pub(super) fn died_while_held(&mut self, thread: Pid) {
        if let Some(held) = &mut self.held
            && held.thread == thread
        {
            held.is_alive = false;
            self.observer.lost(thread);
        }
    }

    fn release(&mut self, release: Release) {
        let Some(held) = self.held.take() else { return };
        if held.is_alive {
            self.go_on(held, release);
        }
        self.course.moved();
        self.wake_parked();
    }

    fn go_on(&mut self, held: HeldThread, release: Release) {
        let thread = held.thread;
        if held.is_at_exit {
            let _ = ptrace::cont(thread, None);
            return;
        }
        match release {
            Release::Carry => self.carry(thread),
            Release::CarryShort(length) => {
                shorten(thread, length);
                self.carry(thread);
            }
            Release::CarryShortThenHold(length) => {
                shorten(thread, length);
                self.hold_after = true;
                self.carry(thread);
            }
            Release::Fail(number) => skip(thread, |registers| {
                registers.rax = i64::from(-number).cast_unsigned();
            }),
            Release::Again => skip(thread, |registers| {
                registers.rax = registers.orig_rax;
                registers.rip -= INSTRUCTION_BYTES;
            }),
        }
    }
}

/// Lets a thread go on without the call at whose entry it stands.
fn skip(thread: Pid, set: impl FnOnce(&mut libc::user_regs_struct)) {
    // One that was killed meanwhile makes no call either.
    if let Ok(mut registers) = ptrace::getregs(thread) {
        set(&mut registers);
        registers.orig_rax = NO_CALL;
        let _ = ptrace::setregs(thread, registers);
    }
    let _ = ptrace::cont(thread, None);
}
