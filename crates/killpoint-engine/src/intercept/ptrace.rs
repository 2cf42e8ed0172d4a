//! The reference mechanism: ptrace with a seccomp filter that stops only the calls of its list.
//!
//! The target itself does every call, with its own identity, limits and signals, and dies with the
//! harness (PTRACE_O_EXITKILL). A call outside the state costs one stop, a call on it two.

mod hold;

use super::course::{Course, Step};
use super::timer::{self, Timer};
use super::{Call, Ended, Entry, Filtering, Limits, Observer, Programs, Turn, tree};
use crate::filter;
use crate::guest::Guest;
use crate::recording::Exit;
use crate::spawn::{self, Prepared, Streams};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::time::{Duration, Instant};

use hold::HeldThread;

/// `PTRACE_EVENT_STOP`: how a seized thread reports its start and group stops.
const EVENT_STOP: i32 = 128;

/// How long the next stop is looked for before it is waited for.
const SPIN_MAX: Duration = Duration::from_micros(100);

struct Tracer<'a, O> {
    observer: &'a mut O,
    threads: BTreeSet<Pid>,
    parked: VecDeque<Pid>,
    in_flight: Option<Pid>,
    strike_after: bool,
    /// The thread whose call is held.
    held: Option<HeldThread>,
    /// Whether the call in flight is held once more when it has returned.
    hold_after: bool,
    /// Whether everything is to die here and now.
    struck: bool,
    first: Pid,
    /// Whose end ends the workload, once it has been started.
    driver: Option<Pid>,
    course: Course,
    start: Start<'a>,
    over: bool,
    /// Whether target and tracer may run at the same time.
    is_beside: bool,
    failure: Option<File>,
}

/// What is needed to start a program, now or later.
struct Start<'a> {
    programs: Programs<'a>,
    streams: &'a Streams,
    filter: Vec<libc::sock_filter>,
    filtering: Filtering,
}

impl Start<'_> {
    /// Starts a program that waits at its gate, traced.
    fn traced(&self, program: &Prepared) -> io::Result<spawn::Waiting> {
        let options = Options::PTRACE_O_TRACESECCOMP
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_EXITKILL;
        let keep_privileges = self.filtering.keep_privileges;
        let install = || filter::install(&self.filter, keep_privileges);
        let waiting = spawn::start(program, self.streams, install)?;
        ptrace::seize(waiting.process, options)?;
        Ok(waiting)
    }
}

/// Starts a program and follows its tree until it has ended, is struck, or a limit is reached.
///
/// # Errors
/// If the program cannot be forked or traced.
pub(crate) fn run<O: Observer>(
    programs: Programs<'_>,
    streams: &Streams,
    filtering: Filtering,
    limits: Limits,
    observer: &mut O,
) -> io::Result<Ended> {
    let start =
        Start { programs, streams, filter: filter::program(filter::Stop::Trace), filtering };
    let waiting = start.traced(programs.target)?;
    let first = waiting.process;
    observer.process(first);
    let timer = Timer::start()?;
    let failure = waiting.go()?;
    let mut tracer = Tracer {
        observer,
        threads: BTreeSet::from([first]),
        parked: VecDeque::new(),
        in_flight: None,
        strike_after: false,
        held: None,
        hold_after: false,
        struck: false,
        first,
        driver: programs.driver.is_none().then_some(first),
        course: Course::new(programs.driver.is_some(), limits),
        start,
        over: false,
        is_beside: std::thread::available_parallelism().is_ok_and(|count| count.get() > 1),
        failure: Some(failure),
    };
    let left_over = tracer.follow(limits);
    drop(timer);
    Ok(Ended { left_over: u32::try_from(left_over).unwrap_or(u32::MAX), ..tracer.course.ended })
}

impl<O: Observer> Tracer<'_, O> {
    /// The loop. Returns how many processes were left at its end; they are dead by then.
    fn follow(&mut self, limits: Limits) -> usize {
        let begin = Instant::now();
        let mut left_over = HashSet::new();
        loop {
            let next = match self.held {
                Some(_) => self.next_stop_while_held(),
                None => self.next_stop(),
            };
            let now_due = match next {
                Ok(status) => {
                    self.handle(status, limits);
                    timer::is_due()
                }
                Err(Errno::EINTR) => true,
                // ECHILD: nobody is left.
                Err(_) if self.course.nobody_moves() == Step::StartDriver => {
                    self.start_driver();
                    continue;
                }
                Err(_) => break,
            };
            if self.struck || self.course.ended.too_many {
                break;
            }
            if !now_due {
                continue;
            }
            let is_late = begin.elapsed() > limits.timeout;
            if is_late || self.observer.tick() {
                self.course.broken_off(is_late);
                left_over = self.processes();
                break;
            }
            if self.course.minds_work() {
                self.course.seen(self.threads.iter().any(|it| tree::is_at_work(*it)));
            }
            match self.course.look(self.is_busy()) {
                Step::Wait => {}
                Step::StartDriver => self.start_driver(),
                Step::AskToStop => self.ask_to_stop(),
                Step::End => {
                    left_over = self.processes();
                    break;
                }
            }
        }
        let was_running = self.course.is_running();
        self.over = true;
        self.kill_all();
        let ended = &mut self.course.ended;
        if let Some(number) = self.failure.take().and_then(spawn::failure) {
            match self.start.programs.driver {
                Some(_) => ended.target = Exit::NotStarted(number),
                None if was_running || ended.exit == Exit::Status(127) => {
                    ended.exit = Exit::NotStarted(number);
                }
                None => {}
            }
        }
        left_over.len()
    }

    /// Starts the driver. One that cannot be started has ended at once.
    fn start_driver(&mut self) {
        self.observer.turned(Turn::DriverStarts);
        let driver = self.start.programs.driver.expect("a course that starts a driver has one");
        let started = self.start.traced(driver).and_then(|waiting| {
            let process = waiting.process;
            self.threads.insert(process);
            self.driver = Some(process);
            self.observer.process(process);
            waiting.go()
        });
        if let Err(error) = started {
            self.driver_ended(Exit::NotStarted(error.raw_os_error().unwrap_or(libc::EIO)));
        }
    }

    fn driver_ended(&mut self, exit: Exit) {
        self.course.driver_ended(exit);
        self.observer.turned(Turn::DriverEnded(exit));
    }

    /// Asks everybody who is left to end.
    fn ask_to_stop(&mut self) {
        let left: Vec<Pid> = self.processes().into_iter().collect();
        self.observer.turned(Turn::AskedToStop(&left));
        for process in left {
            let _ = nix::sys::signal::kill(process, Signal::SIGTERM);
        }
    }

    /// Waits for whatever comes next. Where the target runs on another processor, most stops come
    /// within the time that it takes to put this one to sleep and to wake it.
    fn next_stop(&self) -> nix::Result<WaitStatus> {
        if self.is_beside {
            let begin = Instant::now();
            while begin.elapsed() < SPIN_MAX {
                match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
                    Ok(WaitStatus::StillAlive) => std::hint::spin_loop(),
                    other => return other,
                }
            }
        }
        waitpid(None, Some(WaitPidFlag::__WALL))
    }

    fn processes(&self) -> HashSet<Pid> {
        self.threads.iter().filter_map(|tid| crate::guest::thread_group(*tid).ok()).collect()
    }

    /// Kills the whole tree and reaps it. Nothing of it runs again.
    fn kill_all(&mut self) {
        // As the init of a PID namespace this reaches everybody in it at once.
        if nix::unistd::getpid().as_raw() == 1 {
            let _ = nix::sys::signal::kill(Pid::from_raw(-1), Signal::SIGKILL);
        }
        for tid in self.threads.iter() {
            let _ = nix::sys::signal::kill(*tid, Signal::SIGKILL);
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::__WALL)) {
                Ok(WaitStatus::Exited(pid, code)) => {
                    self.note_exit(pid, Exit::Status(code));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    self.note_exit(pid, Exit::Signal(signal as i32));
                }
                Ok(status) => {
                    // A child that was being born, or a stop reported late.
                    if let Some(pid) = status.pid() {
                        let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
                        let _ = ptrace::cont(pid, None);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
    }

    fn note_exit(&mut self, pid: Pid, exit: Exit) {
        self.threads.remove(&pid);
        self.observer.forget(pid);
        if self.struck {
            return;
        }
        if self.driver == Some(pid) {
            if self.course.is_running() {
                self.driver_ended(exit);
            }
        } else if pid == self.first && !self.over && !self.course.was_asked() {
            self.course.ended.target = exit;
        }
    }

    fn handle(&mut self, status: WaitStatus, limits: Limits) {
        match status {
            WaitStatus::Exited(pid, code) => self.died(pid, Exit::Status(code)),
            WaitStatus::Signaled(pid, signal, _) => self.died(pid, Exit::Signal(signal as i32)),
            WaitStatus::PtraceEvent(pid, signal, event) => {
                self.born(pid, limits);
                self.event(pid, signal, event);
            }
            WaitStatus::PtraceSyscall(pid) => self.returned(pid),
            WaitStatus::Stopped(pid, signal) => {
                self.born(pid, limits);
                let _ = ptrace::cont(pid, signal);
            }
            _ => {}
        }
    }

    fn born(&mut self, pid: Pid, limits: Limits) {
        if self.threads.contains(&pid) {
            return;
        }
        if self.threads.len() >= limits.threads_max {
            self.course.ended.too_many = true;
        }
        self.threads.insert(pid);
        if crate::guest::thread_group(pid).is_ok_and(|group| group == pid) {
            self.observer.process(pid);
        }
    }

    fn died(&mut self, pid: Pid, exit: Exit) {
        if !self.threads.contains(&pid) && pid != self.first {
            return; // an orphan that init reaps
        }
        self.parked.retain(|parked| *parked != pid);
        if self.in_flight == Some(pid) {
            self.in_flight = None;
            self.hold_after = false;
            self.observer.lost(pid);
        }
        self.died_while_held(pid);
        self.note_exit(pid, exit);
        self.wake_parked();
    }

    fn event(&mut self, pid: Pid, signal: Signal, event: i32) {
        match event {
            libc::PTRACE_EVENT_SECCOMP => self.entered(pid),
            EVENT_STOP => match signal {
                // A group stop: stay stopped until SIGCONT, as without us.
                Signal::SIGSTOP | Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU => {
                    listen(pid);
                }
                _ => {
                    let _ = ptrace::cont(pid, None);
                }
            },
            libc::PTRACE_EVENT_EXEC => {
                // The thread that began another program takes the process's id.
                if let Ok(old) = ptrace::getevent(pid) {
                    let old = Pid::from_raw(i32::try_from(old).unwrap_or(0));
                    if old != pid {
                        self.threads.remove(&old);
                        self.observer.forget(old);
                    }
                }
                self.observer.forget(pid);
                if pid == self.first {
                    self.failure = None;
                }
                let _ = ptrace::cont(pid, None);
            }
            _ => {
                let _ = ptrace::cont(pid, None);
            }
        }
    }

    /// A thread stopped at the entry of a call of the list.
    fn entered(&mut self, pid: Pid) {
        let Ok(info) = call_of(pid) else {
            let _ = ptrace::cont(pid, None);
            return;
        };
        let busy = self.is_busy() || !self.parked.is_empty();
        self.decide(pid, info, busy);
    }

    /// Whether no call on the state may be carried now.
    fn is_busy(&self) -> bool {
        self.in_flight.is_some() || self.held.is_some()
    }

    /// Asks the observer and does what it says. True if the call is now in flight, held or struck.
    fn decide(&mut self, pid: Pid, call: Call, busy: bool) -> bool {
        match self.observer.entry(Guest { thread: pid }, call, busy) {
            Entry::Pass => {
                let _ = ptrace::cont(pid, None);
                false
            }
            Entry::Wait => {
                self.parked.push_back(pid);
                false
            }
            Entry::Carry => {
                self.carry(pid);
                true
            }
            Entry::Hold => {
                self.hold(pid, false);
                true
            }
            Entry::CarryThenStrike(length) => {
                shorten(pid, length);
                self.strike_after = true;
                self.carry(pid);
                true
            }
            Entry::Strike => {
                self.strike();
                true
            }
            Entry::StrikeProcess => {
                self.strike_some(pid, false);
                false
            }
            Entry::StrikeTree => {
                self.strike_some(pid, true);
                false
            }
        }
    }

    /// Kills the process of a thread that stands at the entry of a call, which is thereby
    /// suppressed; with `tree`, its descendants first, so that none is born meanwhile unseen.
    fn strike_some(&mut self, thread: Pid, tree: bool) {
        self.course.ended.struck = true;
        let process = crate::guest::thread_group(thread).unwrap_or(thread);
        let doomed = match tree {
            true => tree::descendants(process, self.processes()),
            false => vec![process],
        };
        for process in doomed {
            let _ = nix::sys::signal::kill(process, Signal::SIGKILL);
        }
    }

    /// Everything dies here and now.
    fn strike(&mut self) {
        self.struck = true;
        self.course.ended.struck = true;
    }

    fn carry(&mut self, pid: Pid) {
        self.in_flight = Some(pid);
        let _ = ptrace::syscall(pid, None);
    }

    /// A thread stopped at the exit of the call in flight.
    fn returned(&mut self, pid: Pid) {
        if self.in_flight != Some(pid) {
            let _ = ptrace::cont(pid, None);
            return;
        }
        let result = result_of(pid);
        self.in_flight = None;
        self.observer.exit(Guest { thread: pid }, result, None);
        if self.strike_after {
            self.strike();
            return;
        }
        self.course.moved();
        if std::mem::take(&mut self.hold_after) {
            self.hold(pid, true);
            return;
        }
        let _ = ptrace::cont(pid, None);
        self.wake_parked();
    }

    /// Shows parked calls again, until one is in flight.
    fn wake_parked(&mut self) {
        while !self.is_busy() && !self.struck {
            let Some(pid) = self.parked.pop_front() else { return };
            let Ok(call) = call_of(pid) else { continue };
            if self.decide(pid, call, false) {
                return;
            }
        }
    }
}

/// Gives the call at whose entry a thread stands another third argument.
fn shorten(pid: Pid, length: u64) {
    if let Ok(mut registers) = ptrace::getregs(pid) {
        registers.rdx = length;
        let _ = ptrace::setregs(pid, registers);
    }
}

fn call_of(pid: Pid) -> nix::Result<Call> {
    let registers = ptrace::getregs(pid)?;
    Ok(Call {
        number: registers.orig_rax.cast_signed(),
        arguments: [
            registers.rdi,
            registers.rsi,
            registers.rdx,
            registers.r10,
            registers.r8,
            registers.r9,
        ],
    })
}

fn result_of(pid: Pid) -> i64 {
    let register = offset_of!(libc::user_regs_struct, rax) as ptrace::AddressType;
    ptrace::read_user(pid, register).unwrap_or(i64::from(-libc::ESRCH))
}

#[expect(unsafe_code, reason = "nix has no PTRACE_LISTEN")]
fn listen(pid: Pid) {
    // SAFETY: PTRACE_LISTEN takes no memory.
    unsafe { libc::ptrace(libc::PTRACE_LISTEN, pid.as_raw(), 0, 0) };
}
