//! Follows a process tree by ptrace for signals that end a process, and for such ends, and nothing else. As nobody
//! else can look at what it traces, it also dumps and kills who it is asked to.
//!
//! The caller must be a process of its own, not the parent of what it watches: the tree's real parent then still
//! learns how each process ended. When the watching process ends, the tree goes on untraced.

use super::{Afterwards, DumpError, write, write_with};
use crash_context::CrashContext;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

/// `PTRACE_EVENT_STOP`: how a seized thread reports its start, group stops and interrupts.
const EVENT_STOP: i32 = 128;
/// `PTRACE_EVENT_EXEC`: a program was executed.
const EVENT_EXEC: i32 = 4;
/// `PTRACE_EVENT_EXIT`: a thread is about to end, and can still be looked at.
const EVENT_EXIT: i32 = 6;
/// Most dumps of one watch: a program that crashes in a loop must not fill the disk.
const DUMPS_MAX: u32 = 100;

/// What a watch saw.
#[derive(Debug)]
pub enum Seen {
    /// A process is about to receive a signal that ends it, unless it has a handler.
    Caught(Caught),
    /// A process ends by such a signal. It stands still while this is told.
    Ended(Ended),
    /// A process was dumped and killed as somebody asked, or why it could not be: then it may still be alive.
    Killed {
        /// Its number.
        pid: i32,
        /// Whether there is a dump.
        dump: Result<u64, DumpError>,
    },
}

/// Asks a watch.
#[derive(Clone, Debug)]
pub struct Asker(Sender<(i32, PathBuf)>);

/// What wakes a watch that is asked.
const ASKED: Signal = Signal::SIGUSR1;

impl Asker {
    /// To dump a process into a file, and to kill it before it goes on.
    pub fn dump_and_kill(&self, pid: i32, path: PathBuf) {
        if self.0.send((pid, path)).is_ok() {
            let _ = kill(Pid::this(), ASKED);
        }
    }
}

/// A process that was about to die by a signal.
#[derive(Debug)]
pub struct Caught {
    /// Its number.
    pub pid: i32,
    /// The thread that the signal is for.
    pub thread: i32,
    /// The signal.
    pub signal: i32,
    /// The dump, or why there is none.
    pub dump: Result<PathBuf, DumpError>,
}

/// A process that ends by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its number.
    pub pid: i32,
    /// The signal.
    pub signal: i32,
    /// Whether a core was dumped.
    pub core: bool,
}

/// Watches a tree.
#[derive(Debug)]
pub struct Watch {
    directory: PathBuf,
    dumps: u32,
    /// Of which signals each process has a dump: a handler may be told many times of one that it lives with.
    dumped: HashMap<i32, HashSet<i32>>,
    /// Processes of whose end was told.
    ended: HashSet<i32>,
    /// What was learnt of one thread while another was waited for.
    learnt: VecDeque<WaitStatus>,
    /// Whom somebody asked to dump and to kill.
    asked: Receiver<(i32, PathBuf)>,
    /// How many are being dumped and killed, what became of the others, and how that is told.
    killing: u32,
    killed: Receiver<Killed>,
    tell: Sender<Killed>,
}

/// A process that was dumped and killed, or that was not.
type Killed = (i32, Result<u64, DumpError>);

impl Watch {
    /// A watch that writes its dumps into a directory, and who can ask it. To be made before this process has other
    /// threads.
    ///
    pub fn new(directory: &Path) -> (Self, Asker) {
        let (asker, asked) = channel();
        let (tell, killed) = channel();
        let watch = Watch {
            directory: directory.to_owned(),
            dumps: 0,
            dumped: HashMap::new(),
            ended: HashSet::new(),
            learnt: VecDeque::new(),
            asked,
            killing: 0,
            killed,
            tell,
        };
        await_signals();
        (watch, Asker(asker))
    }

    /// Watches a process and all that it begets until nobody of it is left. `seen` is told of every process that
    /// is about to die by SIGSEGV, SIGABRT and their kin, and of each that does: it may have a handler and go on.
    ///
    /// # Errors
    /// If the process cannot be traced: it is not there, another traces it, or Yama forbids it.
    pub fn run(&mut self, process: i32, mut seen: impl FnMut(Seen)) -> io::Result<()> {
        for thread in threads(Pid::from_raw(process))? {
            ptrace::seize(thread, options())?;
        }
        // What the thread of a dump traces is its own affair.
        let ours = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD | WaitPidFlag::WNOHANG;
        loop {
            while let Ok((pid, path)) = self.asked.try_recv() {
                self.dump_and_kill(pid, path);
            }
            while let Ok((pid, dump)) = self.killed.try_recv() {
                self.killing -= 1;
                if dump.is_err() {
                    seize_all(Pid::from_raw(pid));
                }
                seen(Seen::Killed { pid, dump });
            }
            let status = match self.learnt.pop_front() {
                Some(status) => Ok(status),
                None => waitpid(None, Some(ours)),
            };
            match status {
                // What comes from now on leaves a signal, which is blocked, and so not missed.
                Ok(WaitStatus::StillAlive) => drop(awaited().wait()),
                Ok(status) => self.handle(status, &mut seen),
                Err(Errno::EINTR) => {}
                Err(_) if self.killing > 0 => drop(awaited().wait()),
                Err(_) => return Ok(()), // ECHILD: nobody is left
            }
        }
    }

    /// In a thread of its own: whoever is traced, the supervisor of all of it among them, stands still at its next
    /// signal until this one goes on.
    fn dump_and_kill(&mut self, pid: i32, path: PathBuf) {
        self.let_go(Pid::from_raw(pid), None);
        self.killing += 1;
        let tell = self.tell.clone();
        std::thread::spawn(move || {
            let dump = write(pid, &path, Afterwards::Kill);
            if tell.send((pid, dump)).is_ok() {
                let _ = kill(Pid::this(), ASKED);
            }
        });
    }

    fn handle(&mut self, status: WaitStatus, seen: &mut impl FnMut(Seen)) {
        match status {
            WaitStatus::PtraceEvent(thread, signal, EVENT_STOP) if is_group_stop(signal) => {
                listen(thread);
            }
            WaitStatus::PtraceEvent(thread, _, event) => {
                match event {
                    EVENT_EXEC => self.forget(thread),
                    EVENT_EXIT => self.ends(thread, seen),
                    _ => {}
                }
                let _ = ptrace::cont(thread, None);
            }
            WaitStatus::Stopped(thread, signal) if ends_process(signal) => {
                self.caught(thread, signal, seen);
            }
            WaitStatus::Stopped(thread, signal) => {
                let _ = ptrace::cont(thread, signal);
            }
            // Of a process this comes last, and its number may be given to another one from now on.
            WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, ..) => self.forget(thread),
            _ => {}
        }
    }

    fn forget(&mut self, process: Pid) {
        self.dumped.remove(&process.as_raw());
        self.ended.remove(&process.as_raw());
    }

    /// A thread is about to end. One that ends by a signal takes its process with it.
    fn ends(&mut self, thread: Pid, seen: &mut impl FnMut(Seen)) {
        const CORE_DUMPED: libc::c_long = 0x80;
        let Ok(status) = ptrace::getevent(thread) else { return };
        let number = i32::try_from(status & 0x7f).expect("seven bits");
        let is_crash = Signal::try_from(number).is_ok_and(ends_process);
        let process = crate::guest::thread_group(thread).unwrap_or(thread).as_raw();
        if is_crash && self.ended.insert(process) {
            let core = status & CORE_DUMPED != 0;
            seen(Seen::Ended(Ended { pid: process, signal: number, core }));
        }
    }

    fn caught(&mut self, thread: Pid, signal: Signal, seen: &mut impl FnMut(Seen)) {
        let process = crate::guest::thread_group(thread).unwrap_or(thread);
        let number = signal as i32;
        let is_known =
            self.dumped.get(&process.as_raw()).is_some_and(|known| known.contains(&number));
        if is_known || self.dumps >= DUMPS_MAX {
            let _ = ptrace::cont(thread, signal);
            return;
        }
        self.dumps += 1;
        self.dumped.entry(process.as_raw()).or_default().insert(number);
        let context = context_of(process, thread);
        let was_sent = context.as_ref().is_ok_and(|context| context.siginfo.ssi_code <= 0);
        self.let_go(process, Some(thread));
        let path = self.directory.join(format!("{process}-{}.dmp", self.dumps));
        let mut is_held = false;
        let dump = context
            .map_err(|errno| DumpError::Process { pid: process.as_raw(), source: errno.into() })
            .and_then(|context| {
                let (pid, thread) = (process.as_raw(), thread.as_raw());
                let hold = || is_held = self.hold(process);
                write_with(pid, thread, Some(context), &path, hold).map(|_| path)
            });
        if !is_held {
            // It was not read to the end, and runs.
            seize_all(process);
        }
        let (pid, thread) = (process.as_raw(), thread.as_raw());
        seen(Seen::Caught(Caught { pid, thread, signal: number, dump }));
        if was_sent {
            // The signal was taken away with the trace; a fault comes again by itself.
            let _ = kill(process, signal);
        }
        let _ = kill(process, Signal::SIGCONT);
    }

    /// Gives up tracing a process, for the writer, which traces it itself. With a thread that crashed, the process
    /// stays stopped as it is.
    fn let_go(&mut self, process: Pid, crashed: Option<Pid>) {
        let others = threads(process).unwrap_or_default();
        for thread in others.into_iter().filter(|thread| Some(*thread) != crashed) {
            if ptrace::interrupt(thread).is_err() {
                continue;
            }
            let pending = match waitpid(thread, Some(WaitPidFlag::__WALL)) {
                Ok(WaitStatus::Stopped(_, signal)) => Some(signal),
                Ok(ended @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => {
                    self.learnt.push_back(ended);
                    continue;
                }
                _ => None,
            };
            let _ = ptrace::detach(thread, pending);
        }
        if let Some(crashed) = crashed {
            let _ = ptrace::detach(crashed, Signal::SIGSTOP);
        }
    }

    /// Takes the threads of a process back from the writer, which has stopped them in this very thread. As they
    /// listen then, the writer cannot let them go, and its SIGCONT stops each of them once more: nothing runs before
    /// this watch goes on.
    fn hold(&mut self, process: Pid) -> bool {
        let threads = threads(process).unwrap_or_default();
        for thread in &threads {
            let _ = ptrace::detach(*thread, None);
            let is_ours = ptrace::seize(*thread, options()).is_ok();
            if !is_ours || ptrace::interrupt(*thread).is_err() {
                continue;
            }
            match waitpid(*thread, Some(WaitPidFlag::__WALL)) {
                Ok(WaitStatus::PtraceEvent(thread, _, EVENT_STOP)) => listen(thread),
                Ok(other) => self.learnt.push_back(other),
                Err(_) => {}
            }
        }
        !threads.is_empty()
    }
}

/// What a watch is told of, beside signals.
fn options() -> Options {
    Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACEEXIT
}

/// Threads of a process that runs, from now on.
fn seize_all(process: Pid) {
    for thread in threads(process).unwrap_or_default() {
        let _ = ptrace::seize(thread, options());
    }
}

/// The signals that a watch waits for: somebody who is traced has something to tell, or somebody asks.
fn awaited() -> SigSet {
    [Signal::SIGCHLD, ASKED].into_iter().collect()
}

/// Blocks them in this thread, and in those that it starts: each stays until it is waited for.
#[expect(unsafe_code, reason = "sigaction has no safe form")]
fn await_signals() {
    let usual = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is set. Where SIGCHLD was ignored, nothing would be told.
    let _ = unsafe { sigaction(Signal::SIGCHLD, &usual) };
    let _ = awaited().thread_block();
}

/// Signals whose default is to end a process with a core, and that mean a defect of it.
fn ends_process(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::SIGSEGV
            | Signal::SIGABRT
            | Signal::SIGBUS
            | Signal::SIGFPE
            | Signal::SIGILL
            | Signal::SIGSYS
    )
}

fn is_group_stop(signal: Signal) -> bool {
    matches!(signal, Signal::SIGSTOP | Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU)
}

fn threads(process: Pid) -> io::Result<Vec<Pid>> {
    let mut threads = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let name = entry?.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.parse().ok()) {
            threads.push(Pid::from_raw(number));
        }
    }
    Ok(threads)
}

/// Registers and signal of a thread that is stopped before a signal is delivered to it.
#[expect(
    unsafe_code,
    reason = "the context has private fields, and nix does not read all of a siginfo"
)]
fn context_of(process: Pid, thread: Pid) -> nix::Result<CrashContext> {
    let registers = ptrace::getregs(thread)?;
    let info = ptrace::getsiginfo(thread)?;
    // SAFETY: plain numbers and pointers that nobody follows; all zero is a value of each.
    let mut context: CrashContext = unsafe { std::mem::zeroed() };
    let r = &registers;
    // In the order of `REG_R8` to `REG_CR2` of <sys/ucontext.h>.
    let segments = (r.cs & 0xffff) | (r.gs & 0xffff) << 16 | (r.fs & 0xffff) << 32;
    let general = [
        r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx,
        r.rax, r.rcx, r.rsp, r.rip, r.eflags, segments,
    ];
    for (place, value) in context.context.uc_mcontext.gregs.iter_mut().zip(general) {
        *place = value.cast_signed();
    }
    context.siginfo.ssi_signo = info.si_signo.cast_unsigned();
    context.siginfo.ssi_code = info.si_code;
    if info.si_code > 0 {
        // SAFETY: a positive code is the kernel's own, and all signals that are watched for are of faults.
        context.siginfo.ssi_addr = unsafe { info.si_addr() } as u64;
    }
    context.pid = process.as_raw();
    context.tid = thread.as_raw();
    Ok(context)
}

#[expect(unsafe_code, reason = "nix has no PTRACE_LISTEN")]
fn listen(thread: Pid) {
    // SAFETY: PTRACE_LISTEN takes no memory.
    unsafe { libc::ptrace(libc::PTRACE_LISTEN, thread.as_raw(), 0, 0) };
}
