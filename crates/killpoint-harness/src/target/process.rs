//! One supervised process, as the dispatcher knows it: where it stands, and its present life.

use super::bounds;
use killpoint_engine::children::Held;
use killpoint_engine::identity::Identity;
use killpoint_model::lifecycle::{End, Exit};
use killpoint_model::seed::{Generator, Seed};
use killpoint_model::span::Span;
use killpoint_model::supervision::{Process, RestartPolicy, wait_generator};
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

/// Why a process that runs is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// It was asked to, by whoever supervises or by the control protocol.
    Asked,
    /// It said so itself.
    Announced,
    NotReady,
    Silent,
    TooMany,
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rung {
    /// It is given time to end by itself.
    Wait,
    /// The application's own means.
    Command,
    Signal,
    Kill,
}

/// A stop that is going on.
#[derive(Debug)]
pub(super) struct Stopping {
    pub(super) reason: StopReason,
    pub(super) rung: Rung,
    pub(super) until: Instant,
    /// Whether it ignored or blocked the signal when its grace was over.
    pub(super) ignored: bool,
}

/// What is run before a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preparation {
    /// The command that prints the version of the state.
    Schema,
    /// The command before a restart.
    OnRestart,
}

/// One life of a process.
#[derive(Debug)]
pub(super) struct Life {
    /// The process that counts.
    pub(super) main: Held,
    /// The one that was started.
    pub(super) first: i32,
    pub(super) started: Instant,
    pub(super) ready: bool,
    pub(super) ready_until: Option<Instant>,
    pub(super) heartbeat_until: Option<Instant>,
    pub(super) stopping: Option<Stopping>,
    /// The kernel's name of the main process, when it was last looked at.
    pub(super) comm: String,
    /// Set when the main process has ended: what it said before is still to be heard.
    pub(super) ending: Option<Ending>,
}

/// An end that is known but not told yet.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) exit: Option<Exit>,
    pub(super) at: Instant,
    /// How many ways of speaking are not known to be empty yet.
    pub(super) ways: usize,
    /// What stands in the marks that were put behind what was said.
    pub(super) mark: u32,
    /// No longer than this.
    pub(super) until: Instant,
}

/// Where a process stands.
#[derive(Debug)]
pub(super) enum Phase {
    /// For those that it comes after.
    Waiting,
    /// For the time of its restart.
    Delayed {
        until: Instant,
    },
    /// Its restart is inhibited.
    KeptDown,
    /// Something is run before it is started.
    Preparing {
        what: Preparation,
        held: Held,
        until: Instant,
        timed_out: bool,
    },
    Alive(Life),
    /// For good, unless somebody starts it.
    Down {
        clean: bool,
    },
}

/// A process.
#[derive(Debug)]
pub(super) struct Supervised {
    pub(super) name: String,
    pub(super) process: Process,
    pub(super) directory: PathBuf,
    pub(super) phase: Phase,
    /// How often it was started.
    pub(super) life: u32,
    /// How often marks were put behind what was said.
    pub(super) marks: u32,
    /// The number of the life, for threads that ask on behalf of one life.
    pub(super) current: Arc<AtomicU32>,
    /// Which restart in a row comes next.
    pub(super) attempt: u32,
    starts: VecDeque<Instant>,
    generator: Generator,
    /// What the control protocol says: kept down, perhaps until then.
    pub(super) kept_down: Option<Option<Instant>>,
    /// Whether its last stop was asked for, so that it is not started again.
    pub(super) stop_asked: bool,
    /// Whether it is to be started at once when it is down.
    pub(super) restart_asked: bool,
    /// Whether its fallback command has taken its place for good.
    pub(super) safe_mode: bool,
    /// Whether the fallback command is what is started next.
    pub(super) fallback_next: bool,
    pub(super) last_end: Option<End>,
    pub(super) sequence: Option<u64>,
    /// Descendants that were seen while they still had their parents.
    pub(super) known: BTreeSet<Identity>,
    pub(super) group: Option<PathBuf>,
    pub(super) messages: Budget,
    pub(super) refused: Budget,
}

impl Supervised {
    pub(super) fn new(
        name: &str,
        process: &Process,
        directory: PathBuf,
        seed: Seed,
        group: Option<PathBuf>,
    ) -> Self {
        Supervised {
            name: name.to_owned(),
            process: process.clone(),
            directory,
            phase: Phase::Waiting,
            life: 0,
            marks: 0,
            current: Arc::default(),
            attempt: 0,
            starts: VecDeque::new(),
            generator: wait_generator(seed, name),
            kept_down: None,
            stop_asked: false,
            restart_asked: false,
            safe_mode: false,
            fallback_next: false,
            last_end: None,
            sequence: None,
            known: BTreeSet::new(),
            group,
            messages: Budget::new(200),
            refused: Budget::new(10),
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Alive(_))
    }

    pub(super) fn is_down(&self) -> bool {
        matches!(self.phase, Phase::Down { .. })
    }

    /// Whether those that come after it may be started.
    pub(super) fn is_satisfied(&self) -> bool {
        match &self.phase {
            Phase::Alive(life) => life.ready && life.stopping.is_none(),
            Phase::Down { clean } => *clean && self.life > 0,
            _ => false,
        }
    }

    pub(super) fn phase_name(&self) -> &'static str {
        match &self.phase {
            Phase::Waiting => "waiting",
            Phase::Delayed { .. } => "delayed",
            Phase::KeptDown => "kept-down",
            Phase::Preparing { .. } => "preparing",
            Phase::Alive(life) if life.stopping.is_some() => "stopping",
            Phase::Alive(life) if life.ready => "ready",
            Phase::Alive(_) => "starting",
            Phase::Down { .. } => "down",
        }
    }

    /// Whether it is started again after such an end.
    pub(super) fn restarts_after(&self, end: End, exit: Option<Exit>) -> bool {
        match self.process.restart {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => !end.is_clean(exit),
            RestartPolicy::Never => false,
        }
    }

    /// The wait before the next restart, after a life of this length.
    pub(super) fn next_wait(&mut self, lasted: Duration) -> Span {
        if lasted >= self.process.backoff.reset_after.duration() {
            self.attempt = 0;
        }
        self.attempt += 1;
        self.process.backoff.wait(self.attempt, &mut self.generator)
    }

    /// Counts a start; false if it would be one too many.
    pub(super) fn may_start(&mut self, now: Instant) -> bool {
        let limit = self.process.start_limit;
        if limit.count == 0 {
            return true;
        }
        let within = limit.within.duration();
        while self.starts.front().is_some_and(|start| now.duration_since(*start) > within) {
            self.starts.pop_front();
        }
        if self.starts.len() >= limit.count as usize {
            return false;
        }
        self.starts.push_back(now);
        true
    }

    /// Somebody starts it by hand: what was counted before does not matter any more.
    pub(super) fn forget_starts(&mut self) {
        self.starts.clear();
        self.attempt = 0;
        self.safe_mode = false;
        self.stop_asked = false;
    }

    /// Its members by its control group; none if it has none.
    pub(super) fn members(&self) -> Option<Vec<Identity>> {
        self.group.as_deref().map(bounds::members)
    }

    /// The next moment at which something is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let kept_until = self.kept_down.flatten();
        let own = match &self.phase {
            Phase::Delayed { until } => Some(*until),
            Phase::Preparing { until, timed_out: false, .. } => Some(*until),
            Phase::Alive(Life { ending: Some(ending), .. }) => Some(ending.until),
            Phase::Alive(life) => {
                let stop = life.stopping.as_ref().map(|stopping| stopping.until);
                let waits = if stop.is_some() {
                    [stop, None]
                } else {
                    [life.ready_until, life.heartbeat_until]
                };
                waits.into_iter().flatten().min()
            }
            _ => None,
        };
        own.into_iter().chain(kept_until).min()
    }
}

/// So many things a second, and how many were too many.
#[derive(Debug)]
pub(super) struct Budget {
    per_second: u32,
    second: Option<Instant>,
    used: u32,
    skipped: u64,
}

impl Budget {
    pub(super) fn new(per_second: u32) -> Self {
        Budget { per_second, second: None, used: 0, skipped: 0 }
    }

    /// Whether one more may be told.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let fresh = |began: Instant| now.duration_since(began) < Duration::from_secs(1);
        if !self.second.is_some_and(fresh) {
            (self.second, self.used) = (Some(now), 0);
        }
        self.used += 1;
        if self.used > self.per_second {
            self.skipped += 1;
            return false;
        }
        true
    }

    /// How many were skipped since this was last asked; none within a second that is not over.
    pub(super) fn skipped(&mut self, now: Instant) -> Option<u64> {
        let over = self.second.is_none_or(|it| now.duration_since(it) >= Duration::from_secs(1));
        (over && self.skipped > 0).then(|| std::mem::take(&mut self.skipped))
    }
}
