//! Carries out one fault on one process, with proof of its effect.
//!
//! Whom it may strike is said by a [`Permit`], which only the [`Gate`] makes and a strike uses up. A
//! fault that lasts (a suspended process, an inhibited restart) stands in the undo log before it is
//! carried out; its inverse is carried out when its time is over, at a rollback, by the watchdog the
//! moment this process dies, or by `killpoint recover`.

mod gate;
mod graceful;
mod keep_down;
mod signals;

pub use gate::{Allow, Gate, Permit, Refusal};
pub use graceful::Surroundings;
pub use keep_down::is_kept_down;

use killpoint_engine::identity::Handle;
use killpoint_engine::rollback::Rollback;
use killpoint_engine::suspend::Suspension;
use killpoint_engine::undo::{self, Fault, Made};
use killpoint_engine::watchdog::Watchdog;
use killpoint_model::fault::Rung;
use killpoint_model::signal::Signal;
use killpoint_model::strike::{Effect, Step, Strike};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is done to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A signal is sent.
    Signal(Signal),
    /// It is dumped and killed before it executes one more instruction, each after the other. Without a
    /// dump it is killed all the same.
    #[cfg(feature = "dumps")]
    DumpAndKill {
        /// The path of the dump, but for `-PID.dmp`.
        prefix: PathBuf,
    },
    /// One way after the other is taken, until the process has ended.
    Ladder(Vec<Rung>),
    /// It stands still for so long, or until the rollback.
    Suspend {
        /// How long.
        duration: Option<Duration>,
    },
}

/// Why a fault was not carried out, or what became of it is not known.
#[derive(Debug, thiserror::Error)]
pub enum StrikeError {
    /// The undo log: nothing was done.
    #[error("cannot write the undo log in {run}: nothing was done to the process")]
    Undo {
        /// The folder of the run.
        run: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A signal could not be sent, or its effect not be waited for.
    #[error("cannot {action} process {pid}")]
    Process {
        /// What was to be done.
        action: &'static str,
        /// To whom.
        pid: i32,
        /// What the system says.
        source: io::Error,
    },
    /// A signal that suspends, sent as if it did not.
    #[error("{0} suspends a process and nothing would undo it: use a suspension, which is undone")]
    StopsWithoutInverse(Signal),
    /// The inhibition of a restart could not be written.
    #[error("cannot inhibit the restart by {path}")]
    KeepDown {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The watchdog did not start: nothing may be suspended.
    #[error("cannot start the watchdog, which undoes faults if this process dies")]
    Watchdog(#[source] io::Error),
}

/// A fault that lasts, and until when.
#[derive(Debug)]
struct Lasting {
    fault: Fault,
    until: Option<Instant>,
}

/// A fault whose inverse was carried out, or failed.
#[derive(Debug)]
pub struct Lifted {
    /// Which.
    pub fault: Fault,
    /// Whether there was something to undo; why not, if it failed: it stays in the undo log.
    pub result: io::Result<bool>,
    /// From the decision to the moment at which the kernel had accepted the inverse, microseconds.
    pub done_after_us: u64,
}

/// Carries out faults of one run.
#[derive(Debug)]
pub struct Injector {
    run: PathBuf,
    lasting: Vec<Lasting>,
    surroundings: Surroundings,
    /// Who dumps and kills, if it is somebody else.
    #[cfg(feature = "dumps")]
    dumper: Option<Dumper>,
    /// Dropped last: it lifts what is left.
    watchdog: Watchdog,
}

/// Somebody who traces the target, and so is the only one who can dump and kill a process of it.
#[cfg(feature = "dumps")]
pub struct Dumper(pub Box<Dump>);

/// Dumps a process into a file and kills it before it goes on; else why there is no dump.
#[cfg(feature = "dumps")]
pub type Dump = dyn FnMut(i32, &Path) -> Result<(), String> + Send;

#[cfg(feature = "dumps")]
impl std::fmt::Debug for Dumper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dumper")
    }
}

impl Injector {
    /// Starts the watchdog of the run in this folder. To be called before the process has threads
    /// that hold locks, so at the run's beginning.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(run: &Path) -> Result<Self, StrikeError> {
        let watchdog = Watchdog::start(run).map_err(StrikeError::Watchdog)?;
        Ok(Injector {
            run: run.to_owned(),
            lasting: Vec::new(),
            surroundings: Surroundings::default(),
            #[cfg(feature = "dumps")]
            dumper: None,
            watchdog,
        })
    }

    /// Has the application's own commands run in these surroundings from now on.
    pub fn run_commands_in(&mut self, surroundings: Surroundings) {
        self.surroundings = surroundings;
    }

    /// Has somebody else dump and kill from now on, or nobody else.
    #[cfg(feature = "dumps")]
    pub fn dump_by(&mut self, dumper: Option<Dumper>) {
        self.dumper = dumper;
    }

    /// The watchdog's process.
    pub fn watchdog(&self) -> i32 {
        self.watchdog.pid()
    }

    /// Does something to a process. `decided` is the moment at which that was decided: latencies are
    /// counted from it.
    ///
    /// # Errors
    /// If it could not be carried out. That the process had ended is no error: the strike says so.
    pub fn strike(
        &mut self,
        permit: Permit,
        act: &Act,
        decided: Instant,
    ) -> Result<Strike, StrikeError> {
        let mut struck = self.strike_all(vec![permit], act, decided)?;
        struck.pop().expect("one strike for each permit")
    }

    /// Does the same to several processes at once: a signal is sent to all of them, back to back, before
    /// anybody's effect is waited for. Suspensions follow one another, as each is undone in its own way.
    /// What could not be done to one of them is no reason to leave the others out.
    ///
    /// # Errors
    /// If it is nothing that may be done: then nothing was.
    pub fn strike_all(
        &mut self,
        permits: Vec<Permit>,
        act: &Act,
        decided: Instant,
    ) -> Result<Vec<Result<Strike, StrikeError>>, StrikeError> {
        let processes: Vec<Handle> = permits.into_iter().map(Permit::use_up).collect();
        let held: Vec<&Handle> = processes.iter().collect();
        let steps: Vec<Result<Vec<Step>, StrikeError>> = match act {
            Act::Signal(signal) => {
                let sent = signals::send_all(&held, *signal, None, decided)?;
                sent.into_iter().map(|step| Ok(vec![step?])).collect()
            }
            #[cfg(feature = "dumps")]
            Act::DumpAndKill { prefix } => {
                let dumper = &mut self.dumper;
                let each = processes.iter();
                each.map(|it| signals::dump_and_kill(it, prefix, dumper.as_mut(), decided))
                    .collect()
            }
            Act::Ladder(rungs) => climb(&held, rungs, &self.surroundings, decided)?,
            Act::Suspend { duration } => {
                let each = processes.iter();
                each.map(|it| Ok(vec![self.suspend(it, *duration, decided)?])).collect()
            }
        };
        let strike = |(process, steps): (&Handle, Result<Vec<Step>, StrikeError>)| {
            let identity = process.identity();
            Ok(Strike { pid: identity.pid, start: identity.start, steps: steps? })
        };
        Ok(processes.iter().zip(steps).map(strike).collect())
    }

    fn suspend(
        &mut self,
        process: &Handle,
        duration: Option<Duration>,
        decided: Instant,
    ) -> Result<Step, StrikeError> {
        let identity = process.identity();
        let mut refused = io::Error::from(io::ErrorKind::Unsupported);
        for way in Suspension::ways(identity) {
            let fault = Fault::Suspended { process: identity, by: way.clone() };
            self.announce(&fault)?;
            let begun_after_us = microseconds(decided);
            let suspended = way.suspend(process);
            let effect = match suspended {
                Ok(Some(threads)) => Effect::Suspended { by: way.by(), threads },
                Ok(None) => Effect::Gone,
                Err(error) => {
                    let _ = self.lift(&fault);
                    refused = error;
                    continue;
                }
            };
            match effect {
                Effect::Gone => drop(self.lift(&fault)),
                _ => self.keep(fault, duration),
            }
            return Ok(Step {
                what: "suspend".to_owned(),
                done_after_us: begun_after_us,
                seen_after_us: microseconds(decided),
                effect,
            });
        }
        Err(StrikeError::Process { action: "suspend", pid: identity.pid, source: refused })
    }

    /// Inhibits the restart of a role (of every process of the target, if none is given) for so long,
    /// or until the rollback. It kills nobody.
    ///
    /// # Errors
    /// If that could not be written.
    pub fn keep_down(
        &mut self,
        role: Option<&str>,
        duration: Option<Duration>,
        decided: Instant,
    ) -> Result<Step, StrikeError> {
        let file = keep_down::file(role);
        let fault = Fault::KeptDown { file: file.clone() };
        self.announce(&fault)?;
        if let Err(source) = keep_down::inhibit(&self.run, &file) {
            let _ = self.lift(&fault);
            return Err(StrikeError::KeepDown { path: self.run.join(file), source });
        }
        self.keep(fault, duration);
        let done_after_us = microseconds(decided);
        Ok(Step {
            what: "keep-down".to_owned(),
            done_after_us,
            seen_after_us: done_after_us,
            effect: Effect::Noted,
        })
    }

    /// Writes down what undoes a scenario's own commands, before the first of them. It is carried out at the
    /// rollback, unless [`Injector::fulfil`] says that it was done.
    ///
    /// # Errors
    /// If it could not be written.
    pub fn promise(&mut self, rollbacks: Vec<Rollback>) -> Result<Fault, StrikeError> {
        let fault = Fault::Activities { rollbacks };
        self.announce(&fault)?;
        self.keep(fault.clone(), None);
        Ok(fault)
    }

    /// What was promised was done.
    ///
    /// # Errors
    /// If that could not be written down.
    pub fn fulfil(&mut self, fault: &Fault) -> Result<(), StrikeError> {
        self.lasting.retain(|lasting| lasting.fault != *fault);
        undo::append(&self.run, &Made::Lifted(fault.clone()))
            .map_err(|source| StrikeError::Undo { run: self.run.clone(), source })
    }

    /// When the next fault is to be lifted by [`Injector::lift_due`].
    pub fn next_due(&self) -> Option<Instant> {
        self.lasting.iter().filter_map(|lasting| lasting.until).min()
    }

    /// How many faults last at the moment.
    pub fn lasting(&self) -> usize {
        self.lasting.len()
    }

    /// Lifts the faults whose time is over.
    pub fn lift_due(&mut self, now: Instant) -> Vec<Lifted> {
        self.lift_where(now, |lasting| lasting.until.is_some_and(|until| until <= now))
    }

    /// Lifts every fault. One that cannot be lifted stays, and is tried again when this is dropped.
    pub fn rollback(&mut self) -> Vec<Lifted> {
        self.lift_where(Instant::now(), |_| true)
    }

    fn lift_where(&mut self, decided: Instant, is_over: impl Fn(&Lasting) -> bool) -> Vec<Lifted> {
        let (over, rest) = std::mem::take(&mut self.lasting).into_iter().partition(is_over);
        self.lasting = rest;
        // Every inverse first: what is written down about them may take its time.
        let over: Vec<Lasting> = over;
        let done: Vec<(Lasting, io::Result<bool>, u64)> = over
            .into_iter()
            .map(|lasting| {
                let result = lasting.fault.lift(&self.run);
                (lasting, result, microseconds(decided))
            })
            .collect();
        done.into_iter()
            .map(|(lasting, result, done_after_us)| {
                // A record that is missing is harmless: lifting twice is.
                let fault = lasting.fault.clone();
                match result {
                    Ok(_) => drop(undo::append(&self.run, &Made::Lifted(fault.clone()))),
                    Err(_) => self.lasting.push(Lasting { until: None, ..lasting }),
                }
                Lifted { fault, result, done_after_us }
            })
            .collect()
    }

    /// Writes down a fault that is about to be carried out.
    fn announce(&self, fault: &Fault) -> Result<(), StrikeError> {
        undo::append(&self.run, &fault.made())
            .map_err(|source| StrikeError::Undo { run: self.run.clone(), source })
    }

    fn lift(&self, fault: &Fault) -> io::Result<()> {
        fault.lift(&self.run)?;
        undo::append(&self.run, &Made::Lifted(fault.clone()))
    }

    fn keep(&mut self, fault: Fault, duration: Option<Duration>) {
        let until = duration.map(|duration| Instant::now() + duration);
        self.lasting.push(Lasting { fault, until });
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        let _ = self.rollback();
    }
}

/// Takes one way after the other until the processes have ended; each rung with all that are left.
fn climb(
    processes: &[&Handle],
    rungs: &[Rung],
    surroundings: &Surroundings,
    decided: Instant,
) -> Result<Vec<Result<Vec<Step>, StrikeError>>, StrikeError> {
    let mut all: Vec<Result<Vec<Step>, StrikeError>> =
        processes.iter().map(|_| Ok(Vec::new())).collect();
    let mut open: Vec<usize> = (0..processes.len()).collect();
    for rung in rungs {
        let left: Vec<&Handle> = open.iter().map(|index| processes[*index]).collect();
        let grace = rung.grace.duration();
        let steps = match rung.by.signal() {
            Some(signal) => signals::send_all(&left, signal, Some(grace), decided)?,
            None => {
                let ask = |process: &&Handle| {
                    graceful::ask(process, &rung.by, surroundings, grace, decided)
                };
                left.iter().map(ask).collect()
            }
        };
        let mut lives_on = Vec::new();
        for (index, step) in open.into_iter().zip(steps) {
            match (step, &mut all[index]) {
                (Ok(step), Ok(steps)) => {
                    if !matches!(step.effect, Effect::Ended { .. } | Effect::Gone) {
                        lives_on.push(index);
                    }
                    steps.push(step);
                }
                (Err(error), steps) => *steps = Err(error),
                (Ok(_), Err(_)) => unreachable!("who could not be struck is left out"),
            }
        }
        open = lives_on;
    }
    Ok(all)
}

/// Whether it ends in time; what cannot be waited for is an error.
fn ends_within(process: &Handle, limit: Duration) -> Result<bool, StrikeError> {
    process.has_ended_within(limit).map_err(|source| StrikeError::Process {
        action: "wait for the end of",
        pid: process.identity().pid,
        source,
    })
}

fn microseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
