//! The crashes of a trial, put together once it is down: each with its log, its dumps, its stack, and
//! what leads back to the run.

use super::collecting::Collecting;
use super::course::Try;
use super::problem::CampaignError;
use super::state::Death;
use super::tell;
use super::trial::Trial;
use crate::collector::logs;
#[cfg(feature = "dumps")]
use crate::collector::watch::Line;
use killpoint_model::crash::{Crash, DumpFile, DumpedBy};
#[cfg(feature = "dumps")]
use killpoint_model::event::Event;
#[cfg(feature = "dumps")]
use killpoint_model::report::NotCovered;
use killpoint_model::trial::TrialEvent;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What is said where nobody could watch for crashes.
pub(super) const CRASHES_UNSEEN: &str = "crashes could not be watched for";
/// Crashes of one trial that are told whole; the rest is counted.
const CRASHES_MAX: usize = 50;
/// Dumps of the application's own in one trial.
const FILES_MAX: usize = 50;
/// Largest of them, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Files are stamped with the beginning of a step of the kernel's clock, which is as long as this at most.
const CLOCK_STEP: Duration = Duration::from_millis(10);
/// How long after its death the dump of a process may be written by another.
const LATE_MAX: Duration = Duration::from_secs(5);

/// A dump that belongs to a process.
#[derive(Debug)]
struct Dumped {
    file: DumpFile,
    path: PathBuf,
    stack: Option<killpoint_model::crash::Stack>,
}

/// A process that was about to die of a signal, and its dump or why there is none.
#[derive(Debug)]
struct Caught {
    pid: i32,
    signal: i32,
    dumped: Result<Dumped, String>,
}

impl Trial<'_, '_> {
    /// Tells of every crash.
    pub(super) fn tell_crashes(&mut self, once: &Try<'_>) -> Result<(), CampaignError> {
        let mut deaths = std::mem::take(&mut self.state.deaths);
        let (caught, below) = self.caught()?;
        deaths.extend(below);
        deaths.sort_by_key(|death| death.at_us);
        let own_files = self.own_files(&deaths);
        let (told, rest) = deaths.split_at(deaths.len().min(CRASHES_MAX));
        for (index, death) in told.iter().enumerate() {
            let crash = self.crash(once, index + 1, death, &caught, &own_files);
            let text = serde_json::to_string_pretty(&crash).expect("plain data") + "\n";
            let name = format!("{}/crashes/{}.json", self.relative(&self.world.folder), crash.id);
            self.stage.folder.write(&name, text.as_bytes())?;
            tell(self.stage.journalist, TrialEvent::Crashed(Box::new(crash)))?;
        }
        if !rest.is_empty() {
            let struck = rest.iter().filter(|death| death.strike.is_some()).count() as u64;
            let own = rest.len() as u64 - struck;
            tell(
                self.stage.journalist,
                TrialEvent::CrashesOmitted { trial: self.number, struck, own },
            )?;
        }
        Ok(())
    }

    fn crash(
        &self,
        once: &Try<'_>,
        number: usize,
        death: &Death,
        caught: &[Caught],
        own_files: &[(usize, PathBuf)],
    ) -> Crash {
        let report = self.stage.journalist.report();
        let (run, trial) = (self.stage.folder.id().to_owned(), self.number);
        let folder = once.folder();
        let tried = folder.rsplit('/').next().unwrap_or_default();
        let mut crash = Crash {
            id: format!("{run}-{tried}-{number}"),
            run,
            commit: report.commit.clone(),
            job_url: report.job_url.clone(),
            trial,
            attempt: once.attempt,
            rerun_of: once.rerun_of,
            strike: death.strike,
            process: death.process.clone(),
            life: death.life,
            pid: death.pid,
            below: death.below.as_deref().cloned(),
            end: death.end,
            exit: death.exit,
            at_us: death.at_us,
            time: death.time.clone(),
            event_ordinal: death.event,
            checkpoint: death.checkpoint.clone(),
            log: logs::around(&self.world.folder.join("output"), &death.process, death.life),
            dumps: Vec::new(),
            problem: String::new(),
            stack: None,
        };
        let before_kill = self.before_kill(death);
        let own: Vec<Result<Dumped, String>> = own_files
            .iter()
            .filter(|(index, _)| *index == number - 1)
            .map(|(_, path)| Ok(self.dumped(path, DumpedBy::Application)))
            .collect();
        let mut of_process: Vec<&Caught> =
            caught.iter().filter(|caught| caught.pid == death.pid).collect();
        // It may have had a handler for another signal before.
        of_process.sort_by_key(|caught| death.signal() != Some(caught.signal));
        for caught in of_process {
            attach(&mut crash, caught.dumped.as_ref());
        }
        for dumped in before_kill.iter().chain(&own) {
            attach(&mut crash, dumped.as_ref());
        }
        let core = self.collecting.cores.get(&(death.process.clone(), death.life));
        if let Some((path, bytes)) = core.filter(|_| death.below.is_none()) {
            let file = DumpFile { path: self.relative(path), bytes: *bytes, by: DumpedBy::Kernel };
            crash.dumps.push(file);
        }
        crash
    }

    /// The dump that a strike took of it.
    fn before_kill(&self, death: &Death) -> Option<Result<Dumped, String>> {
        let strike = death.strike.filter(|_| self.collecting.dumps_before_kill)?;
        let mut path = dumps_of_strike(&self.collecting.dumps, strike).into_os_string();
        path.push(format!("-{}.dmp", death.pid));
        let path = PathBuf::from(path);
        match path.exists() {
            true => Some(Ok(self.dumped(&path, DumpedBy::Strike))),
            false => {
                let why = death.dump_problem.clone().unwrap_or_default();
                (!why.is_empty()).then_some(Err(why))
            }
        }
    }

    fn dumped(&self, path: &Path, by: DumpedBy) -> Dumped {
        let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
        let file = DumpFile { path: self.relative(path), bytes, by };
        Dumped { file, path: path.to_owned(), stack: None }
    }

    /// A path in the folder of the run.
    pub(super) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(self.stage.folder.path()).unwrap_or(path).display().to_string()
    }

    /// Whom the watch caught, and the deaths that only it saw.
    #[cfg(feature = "dumps")]
    fn caught(&mut self) -> Result<(Vec<Caught>, Vec<Death>), CampaignError> {
        let (seen, problem) = self.collecting.seen();
        if let Some(problem) = problem {
            let why = match problem.is_empty() {
                true => "the watch was killed",
                false => problem.as_str(),
            };
            self.not_covered(format!("{CRASHES_UNSEEN}: {why}"))?;
        }
        let (mut caught, mut died) = (Vec::new(), Vec::new());
        for line in seen {
            match line {
                Line::Died(it) => died.push(it),
                Line::Killed { .. } => {}
                Line::Caught(it) => {
                    let dumped = match it.dump {
                        Some(path) => {
                            let stack = it.stack;
                            Ok(Dumped { stack, ..self.dumped(&path, DumpedBy::Watch) })
                        }
                        None => Err(it.problem.unwrap_or_default()),
                    };
                    caught.push(Caught { pid: it.pid, signal: it.signal, dumped });
                }
            }
        }
        let lifecycle = self.world.folder.join("lifecycle.jsonl");
        let below = super::below::deaths(&died, &lifecycle, &self.state);
        Ok((caught, below))
    }

    #[cfg(not(feature = "dumps"))]
    #[expect(clippy::unnecessary_wraps, reason = "it can fail where there are dumps")]
    fn caught(&mut self) -> Result<(Vec<Caught>, Vec<Death>), CampaignError> {
        Ok((Vec::new(), Vec::new()))
    }

    #[cfg(feature = "dumps")]
    fn not_covered(&mut self, reason: String) -> Result<(), CampaignError> {
        let gap = NotCovered { file: "*".to_owned(), reason, needed: false };
        Ok(self.stage.journalist.tell(Event::NotCovered(gap))?)
    }

    /// The dumps that the application wrote in this trial, copied into its folder, each with the index of
    /// the death that it belongs to.
    fn own_files(&self, deaths: &[Death]) -> Vec<(usize, PathBuf)> {
        let mut found = Vec::new();
        for pattern in self.stage.plan.scenario.collect.dump.files() {
            let shown = self.world.directory.join(self.world.fill(pattern));
            let pattern = self.world.own_paths.real(&shown);
            let Ok(paths) = glob::glob(&pattern.to_string_lossy()) else { continue };
            for path in paths.flatten() {
                let Ok(metadata) = fs::metadata(&path) else { continue };
                let Ok(written) = metadata.modified() else { continue };
                let is_of_trial = written + CLOCK_STEP >= self.began_at;
                if metadata.is_file() && is_of_trial && metadata.len() <= FILE_BYTES_MAX {
                    found.push((written, path));
                }
            }
        }
        found.sort();
        found.dedup();
        found.truncate(FILES_MAX);
        let copied = found.into_iter().enumerate().filter_map(|(index, (written, path))| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            let to = self.collecting.dumps.join(format!("own-{}-{name}", index + 1));
            fs::copy(&path, &to).ok()?;
            Some((death_of(written, deaths)?, to))
        });
        copied.collect()
    }
}

/// The death that a dump of this time belongs to: that of the life in which it was written, else the
/// last one before it, which another process may have written of.
fn death_of(written: SystemTime, deaths: &[Death]) -> Option<usize> {
    // Of one below a supervised process, another one may write, which is there longer.
    let late = |death: &Death| if death.below.is_some() { LATE_MAX } else { Duration::ZERO };
    let is_in_life = |death: &Death| {
        death.started_at <= written + CLOCK_STEP && written <= death.died_at + late(death)
    };
    let is_after = |death: &Death| death.died_at <= written && written <= death.died_at + LATE_MAX;
    deaths.iter().position(is_in_life).or_else(|| deaths.iter().rposition(is_after))
}

/// Where a strike puts the dumps of processes, but for `-PID.dmp`.
pub(super) fn dumps_of_strike(dumps: &Path, strike: u64) -> PathBuf {
    dumps.join(format!("strike-{strike}"))
}

fn attach(crash: &mut Crash, dumped: Result<&Dumped, &String>) {
    match dumped {
        Ok(dumped) => {
            crash.dumps.push(dumped.file.clone());
            if crash.stack.is_none() {
                crash.stack = dumped.stack.clone().or_else(|| stack_of(&dumped.path));
            }
        }
        Err(problem) => crash.problem.clone_from(problem),
    }
}

#[cfg(feature = "dumps")]
fn stack_of(path: &Path) -> Option<killpoint_model::crash::Stack> {
    crate::collector::stack::of_dump(path).ok()
}

#[cfg(not(feature = "dumps"))]
fn stack_of(_path: &Path) -> Option<killpoint_model::crash::Stack> {
    None
}

/// What of it cannot be done on this machine, in words.
pub(super) fn gaps(scenario: &killpoint_model::Scenario) -> Option<String> {
    use crate::collector::cores::{Place, place};
    if !scenario.collect.cores {
        return None;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Core).maximum;
    match place() {
        Place::File(_) if limit == Some(0) => {
            Some("no core is kept: the hard limit of cores (ulimit -H -c) is 0 here".to_owned())
        }
        Place::File(_) => None,
        Place::Program(program) => Some(format!(
            "cores go to a program of the host ({program}): kernel.core_pattern is left as it is, and no core is kept"
        )),
        Place::Unknown(pattern) => Some(format!(
            "no core is kept: kernel.core_pattern is `{pattern}`, which is left as it is and does not tell where one lies"
        )),
    }
}

impl Collecting {
    /// What is missing of its snapshots.
    pub(super) fn gaps(&self) -> &[String] {
        self.snapshots.gaps()
    }
}
