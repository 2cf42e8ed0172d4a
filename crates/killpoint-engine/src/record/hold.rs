//! Holds a program at a call on its state, and lets somebody else decide what becomes of it.
//!
//! The program runs as in a recording, under the same names and addresses, but nothing of what it
//! writes is kept. What it is asked at a held call is answered from outside: who is killed is done
//! by others while the call is held, what happens to the call is done here.

use super::{Mechanism, Output, RecordError, Recorder, Request, Root};
use crate::guest::Guest;
use crate::image::Image;
use crate::intercept::{
    self, Call, Entry, Filtering, Held, Limits, Observer, Programs, Release, Turn,
};
use crate::recording::Exit;
use crate::spawn::{Launch, Prepared, Streams};
use killpoint_model::Roles;
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest wait for a signal that is to be taken before the held call.
const SIGNAL_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long nothing may happen after the end of the program until those who are left are ended.
const QUIET: Duration = Duration::from_millis(100);
/// How long those are given to end.
const STOP: Duration = Duration::from_secs(1);
/// The right to install filters without giving up setuid programs, as a bit of `CapEff`.
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// What is followed.
#[derive(Debug)]
pub struct Setup {
    /// The program.
    pub launch: Launch,
    /// The state, where it really is.
    pub roots: Vec<Root>,
    /// The ack journal, which exists.
    pub journal: PathBuf,
    /// Names that every recording before gave birth to; none for the first.
    pub stable: Option<BTreeSet<String>>,
    /// The roles of its processes, which stand in addresses.
    pub roles: Roles,
    /// For everything.
    pub timeout: Duration,
    /// Longest time that a call is held; it goes on then.
    pub hold_max: Duration,
    /// Most threads alive at one time.
    pub threads_max: usize,
}

/// A call on the state, at its entry.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Met {
    /// Its address.
    pub address: String,
    /// The process that makes it.
    pub process: i32,
    /// How many bytes it writes, where it is a plain write that can be cut.
    pub length: Option<u64>,
}

/// What becomes of a held call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It is carried out.
    Carry,
    /// The thread makes it again after the signals that wait for it, if it lives.
    Again,
    /// The same as soon as a signal waits for its process; other decisions may come before.
    OnSignal,
    /// It does not happen and gives back this error number.
    Fail(i32),
    /// Only so many bytes are written, and it says so.
    Short(u64),
    /// The same, and the thread is held once more when the call has returned.
    ShortThenHold(u64),
}

/// Who decides.
pub trait Overseer {
    /// A call on the state is about to be made. True holds it there.
    fn met(&mut self, call: &Met) -> bool;
    /// What becomes of the held call; none while that is not decided.
    fn decision(&mut self) -> Option<Decision>;
    /// The held call failed, or was cut short, and gave back this.
    fn returned(&mut self, result: i64);
    /// Nobody decided in time: the call goes on.
    fn expired(&mut self);
    /// Called every few milliseconds; true ends everything.
    fn tick(&mut self) -> bool;
}

/// What became of the program.
#[derive(Clone, Debug)]
pub struct Followed {
    /// How it ended.
    pub exit: Exit,
    /// The names that its calls gave.
    pub named: BTreeSet<String>,
    /// Files that were not covered as they should be, and why.
    pub gaps: Vec<(String, String)>,
}

/// Runs a program until it has ended. Must be called in a process with one thread, which does nothing
/// else: it waits for every child. When that process dies, the program dies.
///
/// # Errors
/// If the state or the journal cannot be read, or the program cannot be traced.
pub fn follow<O: Overseer>(
    setup: Setup,
    output: Output,
    overseer: &mut O,
) -> Result<Followed, RecordError> {
    let keep_privileges = may_filter();
    let start_error = {
        let program = setup.launch.program.clone();
        move |source| RecordError::Start { program: program.clone(), source }
    };
    let target = Prepared::new(&setup.launch).map_err(&start_error)?;
    let limits = Limits {
        timeout: setup.timeout,
        quiet: QUIET,
        stop: STOP,
        minds_work: false,
        threads_max: setup.threads_max,
    };
    let hold_max = setup.hold_max;
    let request = request(setup, keep_privileges)?;
    let mut holder =
        Holder { recorder: Recorder::new(&request, || false)?, overseer, hold_max, held: None };
    let streams = Streams { input: output.input, output: output.output, error: output.error };
    let programs = Programs { target: &target, driver: None };
    let filtering = Filtering { keep_privileges };
    let ended =
        intercept::run(Mechanism::Ptrace, programs, &streams, filtering, limits, &mut holder)
            .map_err(&start_error)?;
    let mut recorder = holder.recorder;
    if ended.too_many {
        recorder.gap("*", format!("more than {} threads at one time", request.threads_max));
    }
    let named = recorder.namespace.named().clone();
    Ok(Followed { exit: ended.exit, named, gaps: recorder.gaps })
}

/// Whether this process may install filters and keep what setuid programs are for.
fn may_filter() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rights = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    rights
        .and_then(|rights| u64::from_str_radix(rights.trim(), 16).ok())
        .is_some_and(|rights| rights & CAP_SYS_ADMIN != 0)
}

/// A recording of which nothing is kept.
fn request(setup: Setup, keep_privileges: bool) -> Result<Request, RecordError> {
    let paths: Vec<PathBuf> = setup.roots.iter().map(|root| root.path.clone()).collect();
    Ok(Request {
        initial: Image::scan(&paths)?,
        launch: setup.launch,
        driver: None,
        roots: setup.roots,
        journal: setup.journal,
        acknowledgements: Vec::new(),
        recording: PathBuf::from("/dev/null"),
        stable: setup.stable,
        strike: None,
        roles: setup.roles,
        mechanism: Mechanism::Ptrace,
        contained: Vec::new(),
        pin: None,
        keep_privileges,
        timeout: setup.timeout,
        quiet: QUIET,
        stop: STOP,
        threads_max: setup.threads_max,
    })
}

struct Holder<'a, O, C> {
    recorder: Recorder<C>,
    overseer: &'a mut O,
    hold_max: Duration,
    held: Option<HeldCall>,
}

#[derive(Clone, Copy)]
struct HeldCall {
    process: i32,
    since: Instant,
    /// Since when a signal is waited for.
    awaits_signal: Option<Instant>,
    /// What happens when it has returned.
    at_exit: AtExit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AtExit {
    Nothing,
    /// Its result is told.
    Tell,
    /// Its result is told, and it is held once more.
    TellAndHold,
}

impl<O: Overseer, C: FnMut() -> bool> Holder<'_, O, C> {
    /// What becomes of the held call by now.
    fn decide(&mut self, held: &mut HeldCall) -> Option<Release> {
        if held.since.elapsed() > self.hold_max {
            self.overseer.expired();
            return Some(Release::Carry);
        }
        match self.overseer.decision() {
            Some(Decision::Carry) => return Some(Release::Carry),
            Some(Decision::Again) => return Some(Release::Again),
            Some(Decision::Fail(number)) => return Some(Release::Fail(number)),
            Some(Decision::Short(bytes)) => {
                held.at_exit = AtExit::Tell;
                return Some(Release::CarryShort(bytes));
            }
            Some(Decision::ShortThenHold(bytes)) => {
                held.at_exit = AtExit::TellAndHold;
                return Some(Release::CarryShortThenHold(bytes));
            }
            Some(Decision::OnSignal) => held.awaits_signal = Some(Instant::now()),
            None => {}
        }
        let since = held.awaits_signal?;
        let is_due = since.elapsed() > SIGNAL_WAIT_MAX || has_pending_signal(held.process);
        is_due.then_some(Release::Again)
    }
}

/// Whether a signal waits for a process or one of its threads.
fn has_pending_signal(process: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return false };
    threads.flatten().any(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let masks = status
            .lines()
            .filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
        masks.map(str::trim).any(|mask| mask.bytes().any(|digit| digit != b'0'))
    })
}

impl<O: Overseer, C: FnMut() -> bool> Observer for Holder<'_, O, C> {
    fn entry(&mut self, guest: Guest, call: Call, busy: bool) -> Entry {
        let entry = self.recorder.entry(guest, call, busy);
        let (Entry::Carry, Some(begun)) = (entry, &self.recorder.pending) else { return entry };
        let process = crate::guest::thread_group(guest.thread).unwrap_or(guest.thread).as_raw();
        let is_plain = matches!(call.number, libc::SYS_write | libc::SYS_pwrite64);
        let met = Met {
            address: begun.address.clone(),
            process,
            length: is_plain.then_some(call.arguments[2]),
        };
        if !self.overseer.met(&met) {
            return Entry::Carry;
        }
        self.held = Some(HeldCall {
            process,
            since: Instant::now(),
            awaits_signal: None,
            at_exit: AtExit::Nothing,
        });
        Entry::Hold
    }

    fn release(&mut self) -> Option<Release> {
        let mut held = self.held?;
        let release = self.decide(&mut held);
        self.held = Some(held);
        match release? {
            Release::Fail(number) => {
                self.recorder.pending = None;
                self.overseer.returned(i64::from(-number));
            }
            Release::Again => self.recorder.pending = None,
            _ => {}
        }
        if held.at_exit == AtExit::Nothing {
            self.held = None;
        }
        release
    }

    fn exit(&mut self, guest: Guest, result: i64, written: Option<&[u8]>) {
        self.recorder.exit(guest, result, written);
        let Some(held) = &mut self.held else { return };
        match std::mem::replace(&mut held.at_exit, AtExit::Nothing) {
            AtExit::Nothing => return,
            AtExit::Tell => self.held = None,
            AtExit::TellAndHold => {}
        }
        self.overseer.returned(result);
    }

    fn held(&self) -> Option<Held<'_>> {
        self.recorder.held()
    }

    fn lost(&mut self, thread: Pid) {
        self.recorder.lost(thread);
    }

    fn unseen(&mut self, guest: Guest) {
        self.recorder.unseen(guest);
    }

    fn forget(&mut self, thread: Pid) {
        self.recorder.forget(thread);
    }

    fn process(&mut self, process: Pid) {
        self.recorder.process(process);
    }

    fn turned(&mut self, turn: Turn<'_>) {
        self.recorder.turned(turn);
    }

    fn tick(&mut self) -> bool {
        self.overseer.tick()
    }
}
