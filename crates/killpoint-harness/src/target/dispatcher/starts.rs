//! From the decision to start a process to its readiness: kept down, start limit, schema version, the
//! command before a restart, the program.

use super::super::process::{Phase, Preparation};
use super::super::schema::{self, Found};
use super::Dispatcher;
use killpoint_model::lifecycle::{End, Exit, Lifecycle};
use killpoint_model::supervision::{AtLimit, OnMismatch, VersionSource};
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Longest time for the command that prints the version of a state.
const SCHEMA_COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

impl Dispatcher {
    /// Begins a start.
    pub(super) fn begin(&mut self, index: usize) {
        let now = Instant::now();
        if self.shutdown.is_some() {
            self.processes[index].phase = Phase::Down { clean: true };
        } else if self.is_kept_down(index) {
            self.keep_down(index, now);
        } else if self.processes[index].may_start(now) {
            self.look_at_schema(index);
        } else {
            self.start_limit_reached(index);
        }
    }

    fn is_kept_down(&self, index: usize) -> bool {
        let it = &self.processes[index];
        let by_file =
            self.setup.keep_down.as_ref().is_some_and(|path| path.join(&it.name).exists());
        by_file || it.kept_down.is_some()
    }

    fn keep_down(&mut self, index: usize, now: Instant) {
        let until = self.processes[index].kept_down.flatten();
        let rest = until.map(|until| until.saturating_duration_since(now).as_millis());
        let for_ms = rest.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX));
        self.processes[index].phase = Phase::KeptDown;
        self.tell(index, Lifecycle::KeptDown { for_ms });
    }

    /// Ends an inhibition whose time is over.
    pub(super) fn release_if_due(&mut self, index: usize, now: Instant) {
        if matches!(self.processes[index].kept_down, Some(Some(until)) if until <= now) {
            self.processes[index].kept_down = None;
            self.go_on_if_released(index);
        }
    }

    /// Starts it if nothing inhibits that any more.
    pub(super) fn go_on_if_released(&mut self, index: usize) {
        if matches!(self.processes[index].phase, Phase::KeptDown) && !self.is_kept_down(index) {
            self.tell(index, Lifecycle::Released {});
            self.begin(index);
        }
    }

    fn start_limit_reached(&mut self, index: usize) {
        let limit = self.processes[index].process.start_limit;
        let (count, within_ms) = (limit.count, limit.within.as_ms());
        self.tell(index, Lifecycle::StartLimitReached { count, within_ms });
        if limit.then == AtLimit::SafeMode && !self.processes[index].safe_mode {
            let command = self.processes[index].process.fallback.clone().expect("validated");
            self.processes[index].safe_mode = true;
            self.tell(index, Lifecycle::SafeMode { command });
            return self.prepare(index, true);
        }
        let last = self.processes[index]
            .last_end
            .map_or(String::new(), |end| format!(", the last end was {end}"));
        self.give_up(index, format!("{count} starts within {}{last}", limit.within));
    }

    /// It stays down.
    pub(super) fn give_up(&mut self, index: usize, reason: String) {
        self.processes[index].phase = Phase::Down { clean: false };
        self.tell(index, Lifecycle::GaveUp { reason });
    }

    fn look_at_schema(&mut self, index: usize) {
        let it = &self.processes[index];
        let Some(rule) = &it.process.schema else { return self.prepare(index, false) };
        match schema::look(&rule.version_in, &it.directory) {
            Found::AskCommand => {
                let VersionSource::Command(words) = rule.version_in.clone() else { unreachable!() };
                self.start_preparation(index, Preparation::Schema, &words, SCHEMA_COMMAND_TIMEOUT);
            }
            found => self.schema_found(index, found),
        }
    }

    fn schema_found(&mut self, index: usize, found: Found) {
        let rule = self.processes[index].process.schema.clone().expect("it was looked at");
        let (version, problem) = match found {
            Found::Version(version) if rule.accepts.contains(version) => {
                return self.prepare(index, false);
            }
            Found::NoState | Found::AskCommand => return self.prepare(index, false),
            Found::Version(version) => (Some(version), String::new()),
            Found::Unreadable(problem) => (None, problem),
        };
        let accepts = rule.accepts.to_string();
        let event = Lifecycle::SchemaMismatch {
            found: version,
            accepts: accepts.clone(),
            action: rule.otherwise,
            problem: problem.clone(),
        };
        self.tell(index, event);
        match rule.otherwise {
            OnMismatch::Continue => self.prepare(index, false),
            OnMismatch::Fallback => self.prepare(index, true),
            OnMismatch::Refuse => {
                let found =
                    version.map_or(problem, |version| format!("the state has version {version}"));
                self.give_up(index, format!("{found}; the program accepts {accepts}"));
            }
        }
    }

    /// Runs the command before a restart, if there is one, and then starts.
    fn prepare(&mut self, index: usize, fallback: bool) {
        self.processes[index].fallback_next = fallback;
        let it = &self.processes[index];
        match it.process.on_restart.clone() {
            Some(command) if it.life > 0 => {
                let timeout = command.timeout.duration();
                self.start_preparation(index, Preparation::OnRestart, &command.command, timeout);
            }
            _ => self.launch(index),
        }
    }

    fn start_preparation(
        &mut self,
        index: usize,
        what: Preparation,
        words: &[String],
        timeout: Duration,
    ) {
        match self.start_auxiliary(index, words) {
            Ok(held) => {
                let until = Instant::now() + timeout;
                self.processes[index].phase =
                    Phase::Preparing { what, held, until, timed_out: false };
            }
            Err(error) => self.prepared(index, what, None, false, &error.to_string()),
        }
    }

    /// It is killed; what comes next is decided when it has ended.
    pub(super) fn preparation_is_late(&mut self, index: usize) {
        if let Phase::Preparing { held, timed_out, .. } = &mut self.processes[index].phase {
            *timed_out = true;
            held.signal(9);
        }
    }

    /// A preparation has ended, or could not be started.
    pub(super) fn prepared(
        &mut self,
        index: usize,
        what: Preparation,
        exit: Option<Exit>,
        timed_out: bool,
        problem: &str,
    ) {
        if self.shutdown.is_some() || self.processes[index].stop_asked {
            self.processes[index].phase = Phase::Down { clean: true };
            return;
        }
        match what {
            Preparation::OnRestart => {
                self.tell(index, Lifecycle::OnRestartEnded { exit, timed_out });
                self.launch(index);
            }
            Preparation::Schema => {
                let found = match exit {
                    _ if timed_out => {
                        Found::Unreadable("the command did not end within ten seconds".to_owned())
                    }
                    Some(Exit::Status(0)) => {
                        let text = schema::read(&self.auxiliary_output(index)).unwrap_or_default();
                        schema::number(&text, "the command")
                    }
                    Some(exit) => Found::Unreadable(format!("the command failed: {exit:?}")),
                    None => Found::Unreadable(format!("the command cannot be executed: {problem}")),
                };
                self.schema_found(index, found);
            }
        }
    }

    fn launch(&mut self, index: usize) {
        let fallback = self.processes[index].fallback_next;
        self.processes[index].life += 1;
        match self.start_life(index, fallback) {
            Ok(life) => {
                self.processes[index].phase = Phase::Alive(life);
                if self.processes[index].process.ready.is_none() {
                    self.became_ready(index);
                }
            }
            Err(error) => self.start_failed(index, &error),
        }
    }

    fn start_failed(&mut self, index: usize, error: &io::Error) {
        // Whoever asks on behalf of this life may stop.
        self.processes[index].current.store(0, Ordering::Relaxed);
        self.tell(index, Lifecycle::StartFailed { error: error.to_string() });
        let end = End::StartFailed;
        self.tell(index, Lifecycle::Ended { end, exit: None, after_us: 0, swept: 0 });
        self.after_end(index, end, None, Duration::ZERO);
    }

    /// From now on it counts as ready, and its heartbeats are waited for.
    pub(super) fn became_ready(&mut self, index: usize) {
        let now = Instant::now();
        let watchdog =
            self.processes[index].process.watchdog.as_ref().map(|it| it.timeout.duration());
        let Phase::Alive(life) = &mut self.processes[index].phase else { return };
        if life.ready {
            return;
        }
        life.ready = true;
        life.ready_until = None;
        life.heartbeat_until = watchdog.map(|timeout| now + timeout);
        let after_us = u64::try_from((now - life.started).as_micros()).unwrap_or(u64::MAX);
        self.tell(index, Lifecycle::Ready { after_us });
    }
}
