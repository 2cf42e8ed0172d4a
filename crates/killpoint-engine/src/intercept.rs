//! Interception: stops the calls of a process tree and lets one call on the state happen at a time.
//!
//! The contract that every mechanism keeps, by number:
//!
//! 1. Each call of [`crate::filter`]'s list, of every thread of the tree, is shown to
//!    [`Observer::entry`] before the kernel carries it out, and not twice.
//! 2. Between [`Entry::Carry`] and the matching [`Observer::exit`] no other call is carried: calls
//!    on the state happen one after another over the whole tree, in the order of their results.
//! 3. [`Entry::Wait`] parks the thread; it is shown again, anew, when nothing is in flight. Parked
//!    threads are shown in the order in which they were parked.
//! 4. [`Entry::Strike`] suppresses the call; nothing of the tree runs again; when `run` returns,
//!    every process of it is dead and reaped.
//! 5. [`Entry::StrikeProcess`] and [`Entry::StrikeTree`] suppress the call and kill only those; what
//!    survives goes on under interception.
//! 6. When the mechanism's process dies, the tree dies.
//! 7. [`Observer::turned`] is told of each turn in the course of a run between the calls that stand
//!    before and after it.
//! 8. A call that was carried and whose result cannot be had is told by [`Observer::unseen`]
//!    instead of [`Observer::exit`].
//! 9. After [`Entry::Hold`] the thread stands at the entry of its call, and no call on the state is
//!    carried, until [`Observer::release`] says what becomes of it; calls outside go on. Only ptrace
//!    can hold a call.

mod course;
mod notify;
mod ptrace;
mod timer;
mod tree;

use crate::guest::Guest;
use crate::spawn::{Prepared, Streams};
use nix::unistd::Pid;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// By what means calls are intercepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// ptrace: the reference. The target itself does every call.
    #[default]
    Ptrace,
    /// seccomp user notification: cheaper for calls outside the state, and leaves ptrace to targets
    /// that use it themselves.
    Notify,
}

/// How the filter is installed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filtering {
    /// Without giving up the right to run setuid programs.
    pub(crate) keep_privileges: bool,
}

/// Starts a program and follows its tree until it has ended, is struck, or a limit is reached.
///
/// # Errors
/// If the program cannot be forked or intercepted.
pub(crate) fn run<O: Observer>(
    mechanism: Mechanism,
    programs: Programs<'_>,
    streams: &Streams,
    filtering: Filtering,
    limits: Limits,
    observer: &mut O,
) -> io::Result<Ended> {
    match (mechanism, programs.driver) {
        (Mechanism::Ptrace, _) => ptrace::run(programs, streams, filtering, limits, observer),
        (Mechanism::Notify, None) => {
            notify::run(programs.target, streams, filtering, limits, observer)
        }
        // A second program would have a listener of its own.
        (Mechanism::Notify, Some(_)) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// What is started.
#[derive(Clone, Copy)]
pub(crate) struct Programs<'a> {
    /// The program under test, or a command that drives it by itself.
    pub(crate) target: &'a Prepared,
    /// What drives it, started once it has become quiet; ptrace only.
    pub(crate) driver: Option<&'a Prepared>,
}

/// A turn in the course of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn<'a> {
    /// The target has become quiet, and its driver is started.
    DriverStarts,
    /// The driver has ended.
    DriverEnded(crate::recording::Exit),
    /// Nothing moved any more, and these processes are asked to end (SIGTERM).
    AskedToStop(&'a [Pid]),
}

/// A system call at its entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// Its number on this architecture.
    pub(crate) number: i64,
    /// Its arguments.
    pub(crate) arguments: [u64; 6],
}

/// What is to happen to a call at its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It does not concern the state: let it run.
    Pass,
    /// It does, or may, and another call is in flight: ask again later.
    Wait,
    /// It does: carry it out and tell the result.
    Carry,
    /// Carry it out with this value of its third argument (a write cut short), then strike.
    CarryThenStrike(u64),
    /// Kill everything here and now.
    Strike,
    /// Kill the process that makes the call, and go on with the others.
    StrikeProcess,
    /// Kill that process and its descendants, and go on with the others.
    StrikeTree,
    /// Let it stand at its entry until [`Observer::release`] says what becomes of it.
    Hold,
}

/// What becomes of a call that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// It is carried out and its result told.
    Carry,
    /// The same, with this value of its third argument (a write cut short).
    CarryShort(u64),
    /// The same, and the thread is held once more when the call has returned.
    CarryShortThenHold(u64),
    /// It does not happen, and gives back this error number.
    Fail(i32),
    /// It does not happen now: the thread takes the signals that wait for it and makes the call again,
    /// if it still lives.
    Again,
}

/// The descriptor of a call in flight, copied at its entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held<'a> {
    /// The copy. It shares the target's open file.
    pub(crate) descriptor: &'a OwnedFd,
    /// Whether a write through it is nothing but its bytes: no alignment that O_DIRECT demands, no
    /// set-user-id bits that a write by another than root takes away.
    pub(crate) is_plain: bool,
}

/// Who looks at the calls.
pub(crate) trait Observer {
    /// A call at its entry. `busy` says that another call is in flight.
    fn entry(&mut self, guest: Guest, call: Call, busy: bool) -> Entry;
    /// The call in flight returned this. `written` holds the bytes that went into the file where
    /// the mechanism wrote them itself.
    fn exit(&mut self, guest: Guest, result: i64, written: Option<&[u8]>);
    /// The descriptor that the call in flight works on, if it does one that a mechanism may do for
    /// the target.
    fn held(&self) -> Option<Held<'_>>;
    /// The thread of the call in flight died in it.
    fn lost(&mut self, thread: Pid);
    /// The call in flight was carried out and its result is not known.
    fn unseen(&mut self, guest: Guest);
    /// A thread ended or began another program.
    fn forget(&mut self, thread: Pid);
    /// A new process (not thread) was born.
    fn process(&mut self, process: Pid);
    /// The run has come to a turn.
    fn turned(&mut self, turn: Turn<'_>);
    /// What becomes of the call that is held, once that is decided. Asked again and again while one is.
    fn release(&mut self) -> Option<Release> {
        None
    }
    /// Called at least every [`TICK`]; true ends the run at once, as if it had timed out.
    fn tick(&mut self) -> bool;
}

/// Longest time without a look at the clock.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// How long a run may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For everything.
    pub(crate) timeout: Duration,
    /// Without a call on the state: before the driver is started (and with all threads asleep at
    /// every look), and after it has ended (and with all asleep at most looks) before those who are left
    /// are asked to end.
    pub(crate) quiet: Duration,
    /// From then on until those who are still left are killed.
    pub(crate) stop: Duration,
    /// Whether what is left and computes has not come to rest.
    pub(crate) minds_work: bool,
    /// Most processes and threads alive at one time.
    pub(crate) threads_max: usize,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// How the driver ended: the first process, unless there is a driver of its own.
    pub(crate) exit: crate::recording::Exit,
    /// How the first process ended, where there is a driver and it ended without being asked to.
    pub(crate) target: crate::recording::Exit,
    /// Whether the time was over while the target was waited for to become quiet.
    pub(crate) never_quiet: bool,
    /// Whether it was struck.
    pub(crate) struck: bool,
    /// Processes that were left when it was over.
    pub(crate) left_over: u32,
    /// Whether the limit of threads was reached.
    pub(crate) too_many: bool,
}
