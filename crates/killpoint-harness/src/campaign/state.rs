//! What is known of the supervised processes, from what their supervisor tells.

use super::blow::Blow;
use killpoint_model::crash::{Below, LastCheckpoint};
use killpoint_model::lifecycle::{End, Exit, Lifecycle, Record};
use killpoint_model::supervision::{RestartPolicy, Supervision};
use killpoint_model::trial::Heartbeats;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// Deaths of one trial that are kept.
const DEATHS_MAX: usize = 10_000;

/// Most ends that are kept.
const ENDS_MAX: usize = 10_000;

/// What is known of the supervised processes.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The supervisor's own number.
    pub(super) supervisor: Option<i32>,
    /// Whether it has said that it stopped.
    pub(super) has_stopped: bool,
    /// The processes, by name.
    pub(super) processes: BTreeMap<String, Process>,
    /// All events so far.
    pub(super) events: u64,
    /// Events since the workload began or the target had come back, without those that a clock makes.
    pub(super) told_since: u64,
    /// When the last of them was told.
    pub(super) told_at: Option<Instant>,
    /// The last checkpoint.
    pub(super) checkpoint: Option<u64>,
    /// Starts that were not the first of their process.
    pub(super) restarts: u64,
    /// Sequences of the checkpoints of each process, in the order in which they were told.
    pub(super) checkpoints: BTreeMap<String, Vec<u64>>,
    /// Which processes ended, and how, in their order.
    pub(super) ends: Vec<(String, End)>,
    /// How often each event was told since the workload began.
    pub(super) counts: BTreeMap<(String, String), u32>,
    /// The supervisor's clock.
    pub(super) clock: Clock,
    /// Deaths that were no stops.
    pub(super) deaths: Vec<Death>,
    /// What strikes did to processes, by their numbers.
    pub(super) struck: BTreeMap<i32, Blow>,
    /// How often somebody to whom a strike had done something died of something else.
    pub(super) unrelated: u64,
    /// The last strike, after which falls are counted.
    pub(super) falls_since: Option<Instant>,
    /// How long each process took, when it was started again after a crash, until it was ready: the last time.
    pub(super) recovery_times: BTreeMap<String, Duration>,
    /// When a process was started last, or ended.
    pub(super) changed: Option<Instant>,
    /// The last checkpoint, with the event that told of it.
    pub(super) last_checkpoint: Option<LastCheckpoint>,
    /// The signs of life that have not been told, by process and life.
    pub(super) heartbeats: BTreeMap<(String, u32), Heartbeats>,
}

/// The death of a supervised process that was no stop, or of one below it.
#[derive(Clone, Debug)]
pub(super) struct Death {
    pub(super) process: String,
    pub(super) life: u32,
    pub(super) pid: i32,
    /// Who it was, if it was not the supervised process itself.
    pub(super) below: Option<Box<Below>>,
    pub(super) end: End,
    pub(super) exit: Option<Exit>,
    pub(super) at_us: u64,
    pub(super) time: String,
    /// The ordinal of the event that told of it.
    pub(super) event: u64,
    /// The strike that it died of.
    pub(super) strike: Option<u64>,
    /// Why there is no dump of it.
    pub(super) dump_problem: Option<String>,
    pub(super) checkpoint: Option<LastCheckpoint>,
    pub(super) started_at: SystemTime,
    pub(super) died_at: SystemTime,
}

impl Death {
    /// The signal that it died of.
    pub(super) fn signal(&self) -> Option<i32> {
        match self.exit {
            Some(Exit::Signal { number, .. }) => Some(number),
            _ => None,
        }
    }
}

/// When the supervisor began, by the clock of this process: what it tells arrives later than it
/// happened, so the earliest arrival is the nearest.
#[derive(Debug, Default)]
pub(super) struct Clock {
    began: Option<Instant>,
}

impl Clock {
    fn look_at(&mut self, record: &Record) {
        let began = Instant::now().checked_sub(Duration::from_micros(record.at_us));
        self.began = match (self.began, began) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
    }

    /// When something happened.
    fn at(&self, record: &Record) -> Option<Instant> {
        self.began?.checked_add(Duration::from_micros(record.at_us))
    }

    /// A moment of this process in microseconds since the supervisor began.
    pub(super) fn micros(&self, at: Instant) -> u64 {
        let since = self.began.map_or(Duration::ZERO, |it| at.saturating_duration_since(it));
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

/// A time of an event, by the clock that files have.
fn time_of(text: &str) -> SystemTime {
    text.parse::<jiff::Timestamp>().map_or_else(|_| SystemTime::now(), SystemTime::from)
}

/// One supervised process.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    /// Its number while it runs.
    pub(super) pid: Option<i32>,
    /// Whether it is started again.
    pub(super) policy: RestartPolicy,
    /// Whether it is ready.
    pub(super) is_ready: bool,
    /// How often it was started.
    pub(super) life: u32,
    /// Whether it was ready in its last life.
    pub(super) was_ready: bool,
    /// Whether a strike ended its last life, or came while it lasted.
    was_struck: bool,
    /// Whether it crashed, or was killed, when it ended last.
    has_crashed: bool,
    /// Whether its life began after that.
    is_recovering: bool,
    /// Whether it stays down.
    pub(super) is_over: bool,
    /// How long it has to end when it is asked to.
    pub(super) grace: Duration,
    /// How many lives that began after the last strike ended by themselves, and another one followed.
    pub(super) falls: u32,
    /// How long the longest of these lasted.
    pub(super) lasted: Duration,
    /// How long all lives lasted together.
    pub(super) lived: Duration,
    /// How long the supervisor waits before the first restart after the last strike.
    first_wait: Option<Duration>,
    /// How long it waits before the restart that comes next, or came last.
    last_wait: Duration,
    /// How often it ended in this trial and no strike was the reason.
    own_ends: u32,
    /// Whether it had been started too often.
    is_at_start_limit: bool,
    /// Why it was given up.
    pub(super) gave_up: Option<String>,
    /// When it was started last.
    pub(super) started: Option<Instant>,
    /// The moment before that, by the clock that files have.
    started_at: Option<SystemTime>,
    /// What it executes, or executed last.
    pub(super) program: String,
    /// Where it works.
    pub(super) directory: PathBuf,
}

impl Process {
    /// It has ended.
    fn end(&mut self, end: End, exit: Option<Exit>, is_struck: bool, last_strike: Option<Instant>) {
        let is_older = self.started.is_none_or(|started| Some(started) <= last_strike);
        (self.pid, self.is_ready, self.was_struck) = (None, false, is_struck || is_older);
        // Who was asked to stop is started again, or the trial is at its end.
        let was_asked = matches!(end, End::Stopped | End::IgnoredStop | End::HungAtExit);
        self.has_crashed = !was_asked && end != End::Finished;
        self.is_over = !was_asked
            && match self.policy {
                RestartPolicy::Always => false,
                RestartPolicy::OnFailure => end.is_clean(exit),
                RestartPolicy::Never => true,
            };
        self.own_ends += u32::from(!self.was_struck);
        if !was_asked && !self.was_struck && !self.is_over {
            self.falls += 1;
            let lasted = self.started.map_or(Duration::ZERO, |started| started.elapsed());
            self.lasted = self.lasted.max(lasted);
        }
    }

    /// Whether it was started and is not ready.
    pub(super) fn is_starting(&self) -> bool {
        self.pid.is_some() && !self.is_ready
    }

    /// Whether it was started again and is not ready.
    pub(super) fn is_starting_again(&self) -> bool {
        self.is_starting() && self.life > 1
    }

    /// Whether a strike ended its last life.
    pub(super) fn was_struck(&self) -> bool {
        self.was_struck
    }

    /// Whether it was started again after a strike, and ended by itself as if all were well.
    pub(super) fn has_refused(&self) -> bool {
        self.is_over && !self.was_struck && self.gave_up.is_none() && self.life > 1
    }
}

impl State {
    /// Before anything is started.
    pub(super) fn of(supervision: &Supervision) -> Self {
        let named = supervision.processes.iter().map(|(name, process)| {
            let directory = PathBuf::from(process.directory.clone().unwrap_or_default());
            let (policy, grace) = (process.restart, process.stop.grace.duration());
            (name.clone(), Process { policy, directory, grace, ..Process::default() })
        });
        State { processes: named.collect(), ..State::default() }
    }

    /// A strike comes: who ends by himself from now on may do so because of it.
    pub(super) fn count_falls_anew(&mut self) {
        self.falls_since = Some(Instant::now());
        for process in self.processes.values_mut() {
            (process.falls, process.lasted) = (0, Duration::ZERO);
            (process.first_wait, process.last_wait) = (None, Duration::ZERO);
        }
    }

    /// The longest wait of the supervisor's own before a first restart after the last strike: nobody can be back earlier.
    pub(super) fn first_wait(&self) -> Duration {
        self.processes.values().filter_map(|it| it.first_wait).max().unwrap_or_default()
    }

    /// The longest one before a restart that comes next, or came last.
    pub(super) fn last_wait(&self) -> Duration {
        self.processes.values().map(|it| it.last_wait).max().unwrap_or_default()
    }

    /// Counts events anew: the workload begins, or the target has come back.
    pub(super) fn count_anew(&mut self) {
        (self.told_since, self.told_at) = (0, Some(Instant::now()));
    }

    pub(super) fn are_ready(&self) -> bool {
        // Where nothing is supervised, there is nothing to wait for.
        self.processes.values().all(|process| process.is_ready || process.is_over)
            && (self.processes.is_empty() || self.processes.values().any(|it| it.is_ready))
    }

    pub(super) fn are_over(&self) -> bool {
        !self.processes.is_empty() && self.processes.values().all(|process| process.is_over)
    }

    /// Who was given up, and why; none if nobody was.
    pub(super) fn gave_up(&self) -> Option<String> {
        let mut up = self.processes.iter();
        let (name, process, reason) =
            up.find_map(|(name, process)| Some((name, process, process.gave_up.as_ref()?)))?;
        let advice = match process.is_at_start_limit && process.own_ends == 0 {
            true => {
                " Strikes alone used up its start limit, it never ended by itself: strike less \
                 often, or write a larger `start-limit`."
            }
            false => "",
        };
        Some(format!("{name} was given up: {reason}.{advice}"))
    }

    pub(super) fn count(&self, event: &str, process: Option<&String>) -> u32 {
        let counts = self.counts.iter();
        counts
            .filter(|((id, of), _)| id == event && process.is_none_or(|process| process == of))
            .map(|(_, count)| count)
            .sum()
    }

    /// Takes an event in.
    pub(super) fn take(&mut self, record: &Record) {
        self.events += 1;
        self.clock.look_at(record);
        if !is_made_by_a_clock(&record.event) {
            self.told_since += 1;
            self.told_at = self.clock.at(record);
        }
        let name = record.process.clone().unwrap_or_default();
        if matches!(record.event, Lifecycle::Heartbeat {}) {
            self.count_heartbeat(&name, record);
        }
        *self.counts.entry((record.event.id().to_owned(), name.clone())).or_default() += 1;
        if let Lifecycle::SupervisorStarted { pid, .. } = &record.event {
            self.supervisor = Some(*pid);
        }
        self.has_stopped |= matches!(record.event, Lifecycle::SupervisorStopped { .. });
        if let Lifecycle::CheckpointSaved { sequence } = record.event {
            self.checkpoint = Some(sequence);
            self.checkpoints.entry(name.clone()).or_default().push(sequence);
            let (process, event_ordinal) = (name.clone(), record.ordinal);
            self.last_checkpoint = Some(LastCheckpoint { process, sequence, event_ordinal });
        }
        if let Lifecycle::Ended { end, .. } = &record.event
            && self.ends.len() < ENDS_MAX
        {
            self.ends.push((name.clone(), *end));
        }
        let is_struck = self.count_death(&name, record);
        let Some(process) = self.processes.get_mut(&name) else { return };
        match &record.event {
            Lifecycle::Started { pid, command, not_before, .. } => {
                self.changed = Some(Instant::now());
                self.restarts += u64::from(record.life.is_some_and(|life| life > 1));
                *process = Process {
                    policy: process.policy,
                    grace: process.grace,
                    falls: process.falls,
                    lasted: process.lasted,
                    lived: process.lived,
                    own_ends: process.own_ends,
                    first_wait: process.first_wait,
                    last_wait: process.last_wait,
                    is_recovering: process.has_crashed,
                    directory: std::mem::take(&mut process.directory),
                    pid: Some(*pid),
                    life: record.life.unwrap_or(process.life + 1),
                    started: Some(Instant::now()),
                    started_at: Some(time_of(not_before)),
                    program: command.first().cloned().unwrap_or_default(),
                    ..Process::default()
                };
            }
            Lifecycle::MainChanged { pid, .. } => process.pid = Some(*pid),
            Lifecycle::Ready { .. } => {
                (process.is_ready, process.was_ready) = (true, true);
                if let Some(started) = process.started.filter(|_| process.is_recovering) {
                    self.recovery_times.insert(name, started.elapsed());
                }
            }
            Lifecycle::Ended { end, exit, after_us, .. } => {
                self.changed = Some(Instant::now());
                process.lived += Duration::from_micros(*after_us);
                process.end(*end, *exit, is_struck, self.falls_since);
            }
            Lifecycle::RestartPlanned { wait_ms, .. } => {
                process.last_wait = Duration::from_millis(*wait_ms);
                process.first_wait = process.first_wait.or(Some(process.last_wait));
            }
            Lifecycle::StartLimitReached { .. } => process.is_at_start_limit = true,
            Lifecycle::GaveUp { reason } => {
                (process.is_over, process.gave_up) = (true, Some(reason.clone()));
            }
            _ => {}
        }
    }

    /// Keeps a death that was no stop, while it is still known who died. Whether a strike ended it.
    fn count_death(&mut self, name: &str, record: &Record) -> bool {
        let Lifecycle::Ended { end, exit, .. } = &record.event else { return false };
        let Some(process) = self.processes.get(name) else { return false };
        let pid = process.pid.unwrap_or(0);
        let is_by = |until| record.at_us <= self.clock.micros(until);
        let (blow, other) = match self.struck.remove(&pid) {
            Some(blow) if blow.has_ended(*exit, is_by) => (Some(blow), None),
            other => (None, other),
        };
        self.unrelated += u64::from(other.is_some());
        let is_struck = blow.is_some();
        if !end.is_crash(*exit) || self.deaths.len() >= DEATHS_MAX {
            return is_struck;
        }
        let now = time_of(&record.time);
        self.deaths.push(Death {
            process: name.to_owned(),
            life: record.life.unwrap_or(process.life),
            pid,
            below: None,
            end: *end,
            exit: *exit,
            at_us: record.at_us,
            time: record.time.clone(),
            event: record.ordinal,
            strike: blow.as_ref().map(|blow| blow.strike),
            dump_problem: blow.and_then(|blow| blow.dump_problem),
            checkpoint: self.last_checkpoint.clone(),
            started_at: process.started_at.unwrap_or(now),
            died_at: now,
        });
        is_struck
    }

    /// They are too many to be told one by one.
    fn count_heartbeat(&mut self, name: &str, record: &Record) {
        let life = record.life.unwrap_or(1);
        let at_us = record.at_us;
        let new = || Heartbeats {
            process: name.to_owned(),
            life,
            count: 0,
            first_us: at_us,
            last_us: at_us,
            longest_gap_us: 0,
        };
        let beats = self.heartbeats.entry((name.to_owned(), life)).or_insert_with(new);
        beats.count += 1;
        beats.longest_gap_us = beats.longest_gap_us.max(at_us.saturating_sub(beats.last_us));
        beats.last_us = at_us;
    }
}

/// Events that come with time and not with what the target does: they are no part of a position.
fn is_made_by_a_clock(event: &Lifecycle) -> bool {
    matches!(
        event,
        Lifecycle::Heartbeat {}
            | Lifecycle::HeartbeatMissed { .. }
            | Lifecycle::Status { .. }
            | Lifecycle::TimeExtended { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_begins_before_its_start_is_told() {
        let told = |second: u64, event| Record {
            version: 1,
            ordinal: second,
            at_us: second * 1_000_000,
            time: format!("2026-01-01T00:00:0{second}Z"),
            process: Some("app".to_owned()),
            life: Some(1),
            event,
        };
        let not_before = "2026-01-01T00:00:01Z".to_owned();
        let started = Lifecycle::Started { pid: 7, command: vec![], fallback: false, not_before };
        let exit = Some(Exit::Status(3));
        let ended = Lifecycle::Ended { end: End::Failed, exit, after_us: 1, swept: 0 };
        let mut state = State::default();
        state.processes.insert("app".to_owned(), Process::default());
        state.take(&told(3, started));
        state.take(&told(4, ended));
        let lives = state.deaths.iter().map(|death| (death.started_at, death.died_at));
        let expected = (time_of("2026-01-01T00:00:01Z"), time_of("2026-01-01T00:00:04Z"));
        assert_eq!(lives.collect::<Vec<_>>(), [expected]);
    }
}
