//! One run of the target in an arena: a recording, or a live kill.

use super::{Local, LocalError, Problem, TARGET_OUTPUT_MAX, receive, snapshot_name};
use crate::asserter::checker::{Checker, Reading};
use crate::environment::opened::Opened;
use crate::interrupt::Interrupt;
use killpoint_engine::arena::{self, Arena, Channel, Worker, process_ids};
use killpoint_engine::compare::{self, Difference};
use killpoint_engine::image::Image;
use killpoint_engine::materialise::Materialised;
use killpoint_engine::record::discover::{Discovered, discover};
use killpoint_engine::record::{Output, Request, Root, StrikeAt, record};
use killpoint_engine::recording::{Barred, Ending};
use killpoint_engine::spawn::{Drain, null};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What one run of the target is for.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Name of the recording's files.
    pub name: String,
    /// Names that every recording before gave birth to.
    pub stable: Option<BTreeSet<String>>,
    /// Where to strike.
    pub strike: Option<StrikeAt>,
    /// Whether to read the state afterwards.
    pub read_after: bool,
    /// Whether one of the [`super::Judges`] reads what was left, so that no stream checker is started
    /// for it.
    pub has_reader: bool,
    /// Whether to copy what was left into the snapshot of the trial's name where the recording does
    /// not say it and no checker reads it here.
    pub keep_left: bool,
    /// The processor to record on, if it is to be one.
    pub pin: Option<usize>,
}

/// What one run of the target gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrialResult {
    /// The recording's last record.
    pub ending: Ending,
    /// How many operations were carried out.
    pub operations: u64,
    /// How long the target ran.
    pub elapsed: Duration,
    /// Where the state that the log says differs from the real one.
    pub differences: Vec<Difference>,
    /// The reading before the workload, by one of the [`super::Judges`].
    pub before: Option<Reading>,
    /// The reading afterwards.
    pub after: Option<Reading>,
    /// Of what the command changed through links out of the state, what the reading afterwards opened;
    /// all of it where there was no such reading.
    pub links_read: Vec<String>,
    /// Of what the command changed outside of the state, in views, what the reading afterwards opened.
    pub beside_read: Vec<String>,
    /// The end of what the target printed.
    pub output: String,
    /// Remarks of the arena.
    pub notes: Vec<String>,
    /// How long the slower of the readings took.
    pub reading: Duration,
}

/// The reading of what a target has left, if it was to be read there.
#[derive(Debug, Serialize, Deserialize)]
struct After {
    reading: Option<Reading>,
    elapsed: Duration,
    links_read: Vec<String>,
    beside_read: Vec<String>,
}

/// A target that runs in a worker of its own. Dropping it ends it.
#[derive(Debug)]
pub struct RunningTrial {
    worker: Worker,
    since: Instant,
    limit: Duration,
    /// What came of it, but for the reading of what it has left.
    result: Option<TrialResult>,
    reads: bool,
    interrupt: Interrupt,
}

impl RunningTrial {
    /// Waits until the target has ended and its recording is closed. What it left may still be read,
    /// by the worker: [`RunningTrial::finish`] waits for that.
    ///
    /// # Errors
    /// If the worker fails.
    pub fn recorded(&mut self) -> Result<&TrialResult, LocalError> {
        if self.result.is_none() {
            self.result = Some(self.receive()?);
        }
        Ok(self.result.as_ref().expect("received above"))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If the worker fails.
    pub fn finish(mut self) -> Result<TrialResult, LocalError> {
        self.finished()
    }

    /// Waits until all is told, and begins to end the worker: dropping it then waits but briefly.
    ///
    /// # Errors
    /// If the worker fails.
    pub(super) fn finished(&mut self) -> Result<TrialResult, LocalError> {
        self.recorded()?;
        let after: After = self.receive()?;
        self.worker.strike();
        let mut result = self.result.take().expect("received above");
        result.after = after.reading;
        result.links_read = after.links_read;
        result.beside_read = after.beside_read;
        result.reading = result.reading.max(after.elapsed);
        Ok(result)
    }

    /// Whether the state that it leaves is to be read.
    pub fn reads(&self) -> bool {
        self.reads
    }

    /// Takes what the worker has to say; whether that was all.
    ///
    /// # Errors
    /// If the worker fails.
    pub(super) fn listen(&mut self) -> Result<Option<TrialResult>, LocalError> {
        if !self.worker.is_settled() {
            self.worker.settle()?;
            return Ok(None);
        }
        if self.result.is_none() {
            self.recorded()?;
            return Ok(None);
        }
        self.finished().map(Some)
    }

    /// Whether its worker is stuck.
    pub(super) fn is_late(&self) -> bool {
        self.since.elapsed() > self.limit
    }

    /// To wait for several at once.
    pub(super) fn channel(&self) -> &Channel {
        self.worker.channel_ref()
    }

    fn receive<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, LocalError> {
        self.worker.settle()?;
        let rest = self.limit.saturating_sub(self.since.elapsed());
        let received: Result<T, String> = receive(&mut self.worker, rest, &self.interrupt)?;
        received.map_err(LocalError::Worker)
    }
}

impl Local {
    /// Runs the target once.
    ///
    /// # Errors
    /// If the worker fails; what the target does is no error.
    pub fn run(&self, trial: &Trial) -> Result<TrialResult, LocalError> {
        let mut running = self.start(trial)?;
        running.recorded()?;
        running.finish()
    }

    /// Starts to run the target, in a worker that may still be setting itself up.
    ///
    /// # Errors
    /// If the worker cannot be made.
    pub fn start(&self, trial: &Trial) -> Result<RunningTrial, LocalError> {
        let body = |arena: &mut Arena, channel: &mut Channel| {
            if let Err(Problem(text)) = self.run_inside(arena, channel, trial) {
                let _ = channel.send(&Err::<TrialResult, String>(text));
            }
        };
        let worker = arena::begin(&self.plan(), body)?;
        // The worker bounds itself; this bound only meets a worker that is stuck.
        let limit =
            self.target_timeout + self.stop + 4 * self.checker_timeout + Duration::from_secs(60);
        let interrupt = self.interrupt.clone();
        let (since, reads) = (Instant::now(), trial.read_after);
        Ok(RunningTrial { worker, since, limit, result: None, reads, interrupt })
    }

    /// Runs the target once to see where it writes.
    ///
    /// # Errors
    /// If the worker fails.
    pub fn discover(&self) -> Result<Discovered, LocalError> {
        let body = |arena: &mut Arena, channel: &mut Channel| {
            let result = self.discover_inside(arena, channel).map_err(|text| text.0);
            let _ = channel.send(&result);
        };
        let mut worker = arena::start(&self.plan(), body)?;
        let limit = self.target_timeout + Duration::from_secs(60);
        let result: Result<Discovered, String> = receive(&mut worker, limit, &self.interrupt)?;
        result.map_err(LocalError::Worker)
    }

    fn discover_inside(
        &self,
        arena: &mut Arena,
        channel: &mut Channel,
    ) -> Result<Discovered, Problem> {
        fs::write(arena.in_scratch("journal"), b"")?;
        self.write_steps(arena)?;
        let seen = self.surroundings(arena)?;
        let (mut drain, output) = Drain::pipe(TARGET_OUTPUT_MAX)?;
        let error = output.try_clone()?;
        let mut launch = self.resolved_launch(&seen);
        launch.environment.retain(|(name, _)| name != "KILLPOINT_STATE");
        let discovered = discover(
            &launch,
            Output { input: null()?, output, error },
            self.mechanism,
            arena.keeps_paths(),
            self.target_timeout,
            self.quiet,
            self.stop,
            || {
                let _ = drain.drain();
                channel.is_closed()
            },
        )?;
        Ok(Discovered {
            written: discovered
                .written
                .into_iter()
                .filter(|path| !path.starts_with(arena.shown("")))
                .collect(),
            joined: discovered.joined,
            exit: discovered.exit,
        })
    }

    fn run_inside(
        &self,
        arena: &mut Arena,
        channel: &mut Channel,
        trial: &Trial,
    ) -> Result<(), Problem> {
        let initial = Image::scan(&self.snapshots(arena))?;
        let roots = self.mount_copy(arena, "live", &initial)?;
        let journal = arena.in_scratch("journal");
        fs::write(&journal, &self.journal)?;
        self.write_steps(arena)?;
        let seen = self.surroundings(arena)?;
        let (mut drain, output) = Drain::pipe(TARGET_OUTPUT_MAX)?;
        let error = output.try_clone()?;
        let mut contained = arena.contained();
        if !contained.is_empty() {
            contained.extend(roots.iter().map(|root| root.path.clone()));
        }
        let request = Request {
            contained,
            launch: self.resolved_launch(&seen),
            driver: self.driver.as_ref().map(|driver| self.resolved(driver, &seen)),
            roots,
            initial,
            journal: journal.clone(),
            acknowledgements: self.acknowledgements.clone(),
            recording: arena.in_run(&format!("recordings/{}.rec", trial.name)),
            stable: trial.stable.clone(),
            strike: trial.strike.clone(),
            roles: self.roles.clone(),
            mechanism: self.mechanism,
            pin: trial.pin,
            keep_privileges: arena.keeps_paths(),
            timeout: self.target_timeout,
            quiet: self.quiet,
            stop: self.stop,
            threads_max: self.threads_max,
        };
        // Arenas in which this fails have said so.
        let _ = process_ids::start_above(self.process_ids_above);
        let processors = rustix::thread::sched_getaffinity(None)?;
        let since = Instant::now();
        let recorded = record(&request, Output { input: null()?, output, error }, || {
            let _ = drain.drain();
            channel.is_closed()
        })?;
        let elapsed = since.elapsed();
        // The recorder pins itself; a checker may use all processors.
        rustix::thread::sched_setaffinity(None, &processors)?;
        drain.drain()?;
        fs::copy(&journal, arena.in_run(&format!("recordings/{}.journal", trial.name)))?;
        let paths: Vec<PathBuf> = request.roots.iter().map(|root| root.path.clone()).collect();
        let differences = compare::with_reality(&recorded.image.without_nameless(), &paths)?;
        if trial.keep_left && !differences.is_empty() && self.checker == Checker::BuiltIn {
            self.copy_left(arena, &trial.name, &paths)?;
        }
        let mut ending = recorded.ending;
        self.show_outside(&mut ending, &request.roots, &arena.shown(""));
        let linked: Vec<String> = ending.linked.iter().map(|(_, path)| path.clone()).collect();
        // What stores into mappings have left is not in the recording, and whether a control's
        // reading opens what is changed outside of the state is seen in the same place: only here.
        let beside = ending.beside.clone();
        let follows = trial.strike.is_none() && !(linked.is_empty() && beside.is_empty());
        let elsewhere = trial.has_reader && differences.is_empty() && !follows;
        let reads_here = match &self.checker {
            Checker::Stream(_) => trial.read_after && !elsewhere,
            Checker::Command(_) => trial.read_after,
            Checker::BuiltIn => false,
        };
        let result = TrialResult {
            ending,
            operations: recorded.operations,
            elapsed,
            differences,
            before: None,
            after: None,
            links_read: Vec::new(),
            beside_read: Vec::new(),
            output: String::from_utf8_lossy(drain.kept()).into_owned(),
            notes: arena.notes().to_vec(),
            reading: Duration::ZERO,
        };
        channel.send(&Ok::<&TrialResult, String>(&result))?;
        let (of_links, of_beside) = (Opened::watch(&linked)?, Opened::watch(&beside)?);
        let since = Instant::now();
        // A second try would see what the first left: no fresh copy is kept of a live state.
        let after = match reads_here {
            true => Some(self.read_here(&seen, || Ok(()))?),
            false => None,
        };
        let elapsed = since.elapsed();
        let links_read = match after {
            Some(_) => of_links.seen()?,
            None => linked,
        };
        let beside_read = of_beside.seen()?;
        let after = After { reading: after, elapsed, links_read, beside_read };
        channel.send(&Ok::<After, String>(after))?;
        Ok(())
    }

    /// Leaves out paths that are of the worker alone, and writes those of calls that mounts barred as
    /// they are outside of it.
    fn show_outside(&self, ending: &mut Ending, seen: &[Root], scratch: &Path) {
        let real = |path: &str| {
            let found = seen.iter().zip(&self.roots).find_map(|(seen, root)| {
                let below = Path::new(path).strip_prefix(&seen.path).ok()?;
                Some(root.path.join(below).display().to_string())
            });
            found.or_else(|| (!Path::new(path).starts_with(scratch)).then(|| path.to_owned()))
        };
        let barred = std::mem::take(&mut ending.barred).into_iter().filter_map(|barred| {
            let to = match &barred.to {
                Some(to) => Some(real(to)?),
                None => None,
            };
            Some(Barred { from: real(&barred.from)?, to, ..barred })
        });
        ending.barred = barred.collect();
        for paths in [&mut ending.beside, &mut ending.outside_writes] {
            paths.retain(|path| !Path::new(path).starts_with(scratch));
        }
    }

    /// Copies what is in the directories of the state now into the folder of the run.
    fn copy_left(&self, arena: &Arena, name: &str, paths: &[PathBuf]) -> Result<(), Problem> {
        let mut copies = Vec::new();
        for index in 0..paths.len() {
            let copy = arena.in_run(&snapshot_name(name, index));
            if copy.exists() {
                fs::remove_dir_all(&copy)?;
            }
            fs::create_dir_all(&copy)?;
            copies.push(copy);
        }
        Materialised::create(copies, &Image::scan(paths)?)?;
        Ok(())
    }
}
