//! The second mechanism: seccomp user notification. Threads wait at the entry of a call until this
//! process answers.
//!
//! A call outside the state costs one answer and no ptrace stop. A call on the state is done for the
//! target on a copy of its descriptor where nobody can tell the difference ([`perform`]), and by the
//! target itself behind a [`fence`] everywhere else. ptrace is in use for the length of a fence only,
//! so that targets may trace each other; a call of a thread that is traced already is carried without
//! a fence and told as unseen.
//!
//! What this mechanism cannot do: the filter's listener is the only one of the tree (a target that
//! wants its own gets EBUSY); a signal whose handler was set without SA_RESTART can end the wait at
//! the entry with EINTR, in calls that never give it by themselves; processes are known from their
//! first call on. Without a PID namespace only the first process dies with the harness; the calls of
//! the others would then be answered ENOSYS.

mod fence;
mod listener;
mod perform;

use super::course::{Course, Step};
use super::timer::{self, Timer};
use super::{Ended, Entry, Filtering, Limits, Observer, TICK, Turn, tree};
use crate::filter;
use crate::guest::Guest;
use crate::recording::Exit;
use crate::spawn::{self, Prepared, Streams};
use listener::{Listener, Notification};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use perform::Buffer;
use rustix::process::{Resource, getrlimit};
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a look for waiting threads lasts while a fence is up.
const SLICE: Duration = Duration::from_micros(50);
/// How long a thread that cannot be fenced is given to come out of its call.
const UNSEEN_MAX: Duration = Duration::from_millis(20);
/// Restarts of one call until it is told as it is.
const RESTARTS_MAX: u32 = 8;

struct Supervisor<'a, O> {
    observer: &'a mut O,
    listener: Listener,
    limits: Limits,
    buffer: Buffer,
    threads: BTreeSet<Pid>,
    parked: VecDeque<Notification>,
    in_flight: Option<Pid>,
    /// The thread that was sent back into its call and must be let in at once.
    awaited: Option<Pid>,
    /// Whether a thread became somebody else: nothing is done in its name from then on.
    identity_changed: bool,
    /// Whether a limit cuts writes short and raises SIGXFSZ, or ever did: none is done from then on.
    file_size_limited: bool,
    /// Whether everything is to die here and now.
    struck: bool,
    over: bool,
    first: Pid,
    course: Course,
    failure: Option<File>,
    begin: Instant,
    last_look: Instant,
    next_count: Instant,
}

/// Starts a program and follows its tree until it has ended, is struck, or a limit is reached.
///
/// # Errors
/// If the program cannot be forked, or the kernel refuses the filter.
pub(super) fn run<O: Observer>(
    prepared: &Prepared,
    streams: &Streams,
    filtering: Filtering,
    limits: Limits,
    observer: &mut O,
) -> io::Result<Ended> {
    let program = filter::program(filter::Stop::Notify);
    let (ours, theirs) = listener::way()?;
    let waiting = spawn::start(prepared, streams, move || {
        // All that can be had where there is no PID namespace.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        listener::install_and_send(&program, filtering.keep_privileges, &theirs)
    })?;
    let first = waiting.process;
    let failure = waiting.go()?;
    let Some(listener) = Listener::receive_from(&ours)? else {
        let number = spawn::failure(failure);
        let _ = waitpid(first, None);
        return Err(io::Error::from_raw_os_error(number.unwrap_or(libc::EIO)));
    };
    observer.process(first);
    let signals = Signals::start()?;
    let now = Instant::now();
    let mut supervisor = Supervisor {
        observer,
        listener,
        limits,
        buffer: Buffer::default(),
        threads: BTreeSet::from([first]),
        parked: VecDeque::new(),
        in_flight: None,
        awaited: None,
        identity_changed: false,
        file_size_limited: getrlimit(Resource::Fsize).current.is_some(),
        struck: false,
        over: false,
        first,
        course: Course::new(false, limits),
        failure: Some(failure),
        begin: now,
        last_look: now,
        next_count: now,
    };
    let left_over = supervisor.follow();
    drop(signals);
    let left_over = u32::try_from(left_over).unwrap_or(u32::MAX);
    Ok(Ended { left_over, ..supervisor.course.ended })
}

impl<O: Observer> Supervisor<'_, O> {
    /// The loop. Returns how many processes were left at its end; they are dead by then.
    fn follow(&mut self) -> usize {
        while !self.is_over() {
            if !self.reap() {
                break;
            }
            match self.listener.receive() {
                Ok(notification) => {
                    self.arrived(notification);
                    self.wake_parked();
                }
                Err(Errno::EINTR) => {}
                Err(_) if self.listener.is_deserted() => {
                    self.wait_for_ends();
                    break;
                }
                Err(_) => {}
            }
            self.look();
        }
        let left_over = if self.over { tree::living().len() } else { 0 };
        let was_running = self.course.is_running();
        self.kill_all();
        let exit = &mut self.course.ended.exit;
        if (was_running || *exit == Exit::Status(127))
            && let Some(number) = self.failure.take().and_then(spawn::failure)
        {
            *exit = Exit::NotStarted(number);
        }
        left_over
    }

    fn is_over(&self) -> bool {
        self.struck || self.over || self.course.ended.too_many
    }

    /// Looks at the clock, if it is time.
    fn look(&mut self) {
        if !timer::is_due() || self.is_over() {
            return;
        }
        let now = Instant::now();
        self.last_look = now;
        self.forget_dead();
        self.count();
        let is_late = now - self.begin > self.limits.timeout;
        if is_late || self.observer.tick() {
            self.course.broken_off(is_late);
            self.over = true;
            return;
        }
        if self.course.minds_work() {
            self.course.seen(tree::is_anybody_at_work());
        }
        match self.course.look(self.in_flight.is_some()) {
            Step::AskToStop => self.ask_to_stop(),
            Step::End => self.over = true,
            Step::Wait | Step::StartDriver => {}
        }
    }

    /// Asks everybody who is left to end.
    fn ask_to_stop(&mut self) {
        let left = tree::living_processes();
        self.observer.turned(Turn::AskedToStop(&left));
        for process in left {
            let _ = kill(process, Signal::SIGTERM);
        }
    }

    /// Nobody tells of the ends of threads that are not our children.
    fn forget_dead(&mut self) {
        let dead: Vec<Pid> = self
            .threads
            .iter()
            .copied()
            .filter(|thread| kill(*thread, None) == Err(Errno::ESRCH))
            .collect();
        for thread in dead {
            self.forget(thread);
        }
    }

    fn forget(&mut self, thread: Pid) {
        self.threads.remove(&thread);
        self.observer.forget(thread);
    }

    /// Counts threads, spending a tenth of the time on it at most.
    fn count(&mut self) {
        let start = Instant::now();
        if start < self.next_count {
            return;
        }
        let threads: usize = tree::living().into_iter().sum();
        self.course.ended.too_many = threads > self.limits.threads_max;
        self.next_count = Instant::now() + 9 * start.elapsed();
    }

    /// Nobody is left who could make a call: waits for the children that are about to end.
    fn wait_for_ends(&mut self) {
        while !self.is_over() {
            match waitpid(None, Some(WaitPidFlag::__WALL)) {
                Ok(status) => self.note(status),
                Err(Errno::EINTR) => self.look(),
                Err(_) => return,
            }
        }
    }

    /// Waits for children that have ended. False if there are no children any more.
    fn reap(&mut self) -> bool {
        if !CHILD_ENDED.swap(false, Ordering::Relaxed) {
            return true;
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return true,
                Ok(status) => self.note(status),
                Err(Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
    }

    fn note(&mut self, status: WaitStatus) {
        let (process, exit) = match status {
            WaitStatus::Exited(process, code) => (process, Exit::Status(code)),
            WaitStatus::Signaled(process, signal, _) => (process, Exit::Signal(signal as i32)),
            _ => return,
        };
        self.forget(process);
        if process == self.first && self.course.is_running() && !self.struck {
            self.course.driver_ended(exit);
            self.observer.turned(Turn::DriverEnded(exit));
        }
    }

    /// Kills the whole tree and reaps it. The listener is still open, so that whoever enters a call
    /// of the list meanwhile waits there for its death.
    fn kill_all(&mut self) {
        const ROUNDS_MAX: u32 = 100_000;
        for _ in 0..ROUNDS_MAX {
            tree::kill_all();
            loop {
                match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
                    Ok(WaitStatus::StillAlive) => break,
                    Ok(status) => self.note(status),
                    Err(Errno::EINTR) => {}
                    Err(_) => return,
                }
            }
            std::thread::sleep(SLICE);
        }
    }

    /// A thread waits at the entry of a call of the list.
    fn arrived(&mut self, notification: Notification) {
        let thread = notification.thread;
        if self.awaited == Some(thread) {
            self.awaited = None;
            self.listener.pass(&notification);
            return;
        }
        if filter::changes_identity(notification.call.number) {
            self.identity_changed = true;
            self.listener.pass(&notification);
            return;
        }
        if filter::limits_file_size(notification.call.number) {
            self.file_size_limited = true;
            self.listener.pass(&notification);
            return;
        }
        if self.threads.insert(thread)
            && crate::guest::thread_group(thread).is_ok_and(|group| group == thread)
        {
            self.observer.process(thread);
        }
        let busy = self.in_flight.is_some() || !self.parked.is_empty();
        self.decide(notification, busy);
    }

    /// Asks the observer and does what it says.
    fn decide(&mut self, notification: Notification, busy: bool) {
        let guest = Guest { thread: notification.thread };
        match self.observer.entry(guest, notification.call, busy) {
            Entry::Pass => {
                self.listener.pass(&notification);
            }
            Entry::Wait => self.parked.push_back(notification),
            Entry::Carry => self.carry(&notification),
            Entry::CarryThenStrike(length) => {
                let held = self.observer.held();
                let cut = held.and_then(|held| {
                    perform::cut_short(held, &notification, length, &mut self.buffer)
                });
                match cut {
                    Some((result, written)) => self.observer.exit(guest, result, Some(written)),
                    None => self.observer.lost(guest.thread),
                }
                self.strike();
            }
            Entry::Strike => self.strike(),
            Entry::StrikeProcess => self.strike_some(notification.thread, false),
            Entry::StrikeTree => self.strike_some(notification.thread, true),
            Entry::Hold => unreachable!("only ptrace is asked to hold a call"),
        }
    }

    /// Kills the process of a thread that waits and is never answered; with `tree`, its descendants
    /// as well.
    fn strike_some(&mut self, thread: Pid, tree: bool) {
        self.course.ended.struck = true;
        let process = crate::guest::thread_group(thread).unwrap_or(thread);
        let doomed = match tree {
            true => tree::descendants(process, tree::processes()),
            false => vec![process],
        };
        for process in doomed {
            let _ = kill(process, Signal::SIGKILL);
        }
    }

    /// Everything dies here and now.
    fn strike(&mut self) {
        self.struck = true;
        self.course.ended.struck = true;
    }

    /// Shows parked calls again until none is left.
    fn wake_parked(&mut self) {
        while self.in_flight.is_none() && !self.is_over() {
            let Some(notification) = self.parked.pop_front() else { return };
            if self.listener.is_waiting(&notification) {
                self.decide(notification, false);
            }
        }
    }

    /// Carries out a call and tells its result. A thread that was killed meanwhile has its call done
    /// all the same, as if the kill had come a little later: what is read of it for that cannot be
    /// read any more once it has given up its memory, which is before anybody learns of its death.
    fn carry(&mut self, notification: &Notification) {
        let thread = notification.thread;
        self.in_flight = Some(thread);
        let performed = match self.observer.held() {
            Some(held) if !self.identity_changed && !self.file_size_limited => {
                perform::perform(held, notification, &mut self.buffer)
            }
            _ => None,
        };
        match performed {
            Some((result, written)) => {
                self.observer.exit(Guest { thread }, result, Some(written));
                self.listener.answer(notification, result);
            }
            None if self.listener.is_waiting(notification) => self.fenced(notification),
            None => self.observer.lost(thread),
        }
        self.in_flight = None;
        self.course.moved();
    }

    /// Lets the thread do its call behind a fence.
    fn fenced(&mut self, notification: &Notification) {
        let thread = notification.thread;
        match fence::raise(thread) {
            Ok(()) => {}
            Err(Errno::ESRCH) => return self.observer.lost(thread),
            Err(_) => return self.unseen(notification),
        }
        let again = fence::gives_up(notification);
        let let_go = match again {
            true => self.listener.answer(notification, fence::ERESTARTNOINTR),
            false => self.listener.pass(notification),
        };
        let stop = self.stop_of(thread, !let_go);
        let Some(mut stop) = stop else { return self.observer.lost(thread) };
        let mut result = fence::result_of(thread);
        for _ in 0..RESTARTS_MAX {
            if !fence::is_restart(result) || !matches!(stop, WaitStatus::PtraceEvent(..)) {
                break;
            }
            stop = match self.enter_again(thread) {
                Some(stop) => stop,
                None => return self.observer.lost(thread),
            };
            result = fence::result_of(thread);
        }
        // Given up for a signal: the thread will make the call anew, if it makes it at all.
        let told = if fence::is_restart(result) { i64::from(-libc::EINTR) } else { result };
        self.observer.exit(Guest { thread }, told, None);
        fence::lower(thread, stop);
    }

    /// Lets a stopped thread enter its call again, with nothing pending, up to its exit.
    fn enter_again(&mut self, thread: Pid) -> Option<WaitStatus> {
        fence::step(thread);
        let stop = self.stop_of(thread, true)?;
        if !matches!(stop, WaitStatus::PtraceSyscall(_)) {
            return Some(stop); // a signal came first
        }
        self.awaited = Some(thread);
        fence::step(thread);
        let stop = self.stop_of(thread, true);
        self.awaited = None;
        stop
    }

    /// The next stop of the fenced thread; none if it died. Others are attended to meanwhile, at
    /// once where this call may depend on them.
    fn stop_of(&mut self, thread: Pid, at_once: bool) -> Option<WaitStatus> {
        let mut blocking = !at_once;
        while !self.is_over() {
            let flags = if blocking { WaitPidFlag::empty() } else { WaitPidFlag::WNOHANG };
            match waitpid(thread, Some(WaitPidFlag::__WALL | flags)) {
                Ok(WaitStatus::StillAlive) => {}
                Ok(status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => {
                    self.note(status);
                    return None;
                }
                Ok(status) => return Some(status),
                Err(Errno::EINTR) => blocking = false,
                Err(_) => return None,
            }
            if !blocking && self.listener.is_ready(SLICE) {
                if let Ok(notification) = self.listener.receive() {
                    self.arrived(notification);
                }
            } else if !blocking && self.last_look.elapsed() >= TICK {
                // Another thread's execve can end this one without a word to us.
                if !fence::is_traced(thread) {
                    return None;
                }
                self.look();
            }
        }
        None
    }

    /// Lets a thread that cannot be fenced do its call, and gives it time to come out of it.
    fn unseen(&mut self, notification: &Notification) {
        let thread = notification.thread;
        self.listener.pass(notification);
        let begin = Instant::now();
        while begin.elapsed() < UNSEEN_MAX && !fence::has_left(notification) {
            if self.listener.is_ready(SLICE)
                && let Ok(other) = self.listener.receive()
            {
                if other.thread == thread {
                    // Its next call says that it has left. What that one is depends on this one.
                    self.parked.push_back(other);
                    break;
                }
                self.arrived(other);
            }
        }
        self.observer.unseen(Guest { thread });
    }
}

/// Whether a child has ended since this was last asked.
static CHILD_ENDED: AtomicBool = AtomicBool::new(false);

extern "C" fn child_ended(_: i32) {
    CHILD_ENDED.store(true, Ordering::Relaxed);
}

/// Interrupts waits when a child ends, and at every tick, until it is dropped.
struct Signals {
    _timer: Timer,
}

impl Signals {
    fn start() -> io::Result<Self> {
        // Stops of fenced threads are waited for; only ends interrupt.
        Self::set(SigHandler::Handler(child_ended), SaFlags::SA_NOCLDSTOP)?;
        CHILD_ENDED.store(true, Ordering::Relaxed);
        Ok(Signals { _timer: Timer::start()? })
    }

    #[expect(unsafe_code, reason = "a signal handler")]
    fn set(handler: SigHandler, flags: SaFlags) -> io::Result<()> {
        let action = SigAction::new(handler, flags, SigSet::empty());
        // SAFETY: the handler only stores into an atomic, so it is safe at any moment.
        unsafe { sigaction(Signal::SIGCHLD, &action) }?;
        Ok(())
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = Self::set(SigHandler::SigDfl, SaFlags::empty());
    }
}
