//! The dispatcher: the one owner of what is known of the processes. Each occurrence has a method; what
//! is due by the clock is done between two of them.

mod ends;
mod requests;
mod said;
mod starts;
mod stops;
mod tree;

use super::bounds::Bounds;
use super::process::{Budget, Life, Phase, Supervised};
use super::recorder::Recorder;
use super::starter::Starter;
use super::{Occurrence, Occurrences, Setup, Sink, SuperviseError, mark, output};
use killpoint_engine::children::Children;
use killpoint_engine::descendants;
use killpoint_engine::guardian;
use killpoint_engine::identity::Identity;
use killpoint_model::lifecycle::{Lifecycle, StopCause};
use killpoint_model::supervision::Supervision;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

/// How often the trees of the processes are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How long the last output is waited for once every writer has ended.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

/// All state of a supervisor.
pub(super) struct Dispatcher {
    pub(super) setup: Setup,
    /// One for each process, in their order.
    pub(super) starters: Vec<Starter>,
    pub(super) bounds: Bounds,
    /// The temporary directory, the last of `scratch`.
    pub(super) runtime: PathBuf,
    scratch: Vec<PathBuf>,
    pub(super) sink: Sink,
    pub(super) mark: String,
    pub(super) pass_on: Option<SyncSender<Vec<u8>>>,
    /// In an order in which each stands behind those that it comes after.
    pub(super) processes: Vec<Supervised>,
    recorder: Recorder,
    own: Identity,
    next_look: Instant,
    shutdown: Option<StopCause>,
    guardian_gone: bool,
    /// Commands of stops, which end unnoticed.
    auxiliaries: BTreeSet<i32>,
    orphans: Budget,
    /// Streams that are read, and have not ended.
    pub(super) open_streams: usize,
}

impl Dispatcher {
    pub(super) fn new(
        supervision: &Supervision,
        setup: &Setup,
        recorder: Recorder,
        children: Arc<Children>,
        bounds: Bounds,
        scratch: &[PathBuf],
        sink: Sink,
    ) -> Result<Self, SuperviseError> {
        let here = std::env::current_dir()?;
        let own = Identity::current()?;
        let order = supervision.order()?;
        let supervised = |name: &&str| {
            let process = &supervision.processes[*name];
            let directory = process.directory.as_ref().map_or(here.clone(), |it| here.join(it));
            Supervised::new(name, process, directory, supervision.seed, bounds.group(name))
        };
        let processes: Vec<Supervised> = order.iter().map(supervised).collect();
        let names = processes.iter().map(|it| it.name.clone()).collect();
        let starter = |it: &Supervised| Starter::new(Arc::clone(&children), it.group.clone());
        let mut dispatcher = Dispatcher {
            setup: setup.clone(),
            starters: processes.iter().map(starter).collect(),
            runtime: scratch.last().expect("the temporary directory").clone(),
            scratch: scratch.to_vec(),
            sink,
            mark: mark(own),
            pass_on: setup.pass_output.then(output::passer),
            processes,
            recorder,
            own,
            next_look: Instant::now(),
            shutdown: None,
            guardian_gone: false,
            auxiliaries: BTreeSet::new(),
            orphans: Budget::new(50),
            open_streams: 0,
            bounds,
        };
        for index in 0..dispatcher.processes.len() {
            dispatcher.open_ways(index)?;
        }
        let started = Lifecycle::SupervisorStarted {
            pid: own.pid,
            guardian: std::os::unix::process::parent_id().cast_signed(),
            killpoint: env!("CARGO_PKG_VERSION").to_owned(),
            processes: names,
            bounded_by: dispatcher.bounds.name().to_owned(),
        };
        dispatcher.recorder.write(None, started);
        Ok(dispatcher)
    }

    /// Writes an event about a process.
    pub(super) fn tell(&mut self, index: usize, event: Lifecycle) {
        let it = &self.processes[index];
        self.recorder.write(Some((&it.name, it.life)), event);
    }

    /// Supervises until all is over; whether every process ended as it should.
    pub(super) fn run(&mut self, occurrences: &Occurrences) -> bool {
        while !self.is_over() {
            self.advance();
            if self.is_over() {
                break;
            }
            match occurrences.recv_timeout(self.wait(Instant::now())) {
                Ok(occurrence) => self.handle(occurrence),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("the dispatcher has a sender"),
            }
            self.do_what_is_due(Instant::now());
        }
        // Who could not be told whose child it was.
        let own = self.own.pid;
        descendants::end(|| descendants::by_table(own));
        self.hear_last_words(occurrences);
        let clean = !self.guardian_gone
            && self.processes.iter().all(|it| matches!(it.phase, Phase::Down { clean: true }));
        let cause = self.shutdown.unwrap_or(StopCause::AllDown);
        let lines_dropped = self.recorder.dropped();
        self.recorder.write(None, Lifecycle::SupervisorStopped { cause, clean, lines_dropped });
        clean
    }

    /// What was printed last is read when its writers have ended: the streams end then, unless somebody
    /// elsewhere was given one.
    fn hear_last_words(&mut self, occurrences: &Occurrences) {
        let since = Instant::now();
        while self.open_streams > 0 && since.elapsed() < LAST_WORDS_TIMEOUT {
            let left = LAST_WORDS_TIMEOUT.saturating_sub(since.elapsed());
            match occurrences.recv_timeout(left) {
                Ok(occurrence) => self.handle_late(occurrence),
                Err(_) => break,
            }
        }
        while let Ok(occurrence) = occurrences.try_recv() {
            self.handle_late(occurrence);
        }
    }

    /// Lets the last lines go out; clears up where there is no guardian any more that does.
    pub(super) fn finish(self) {
        if self.guardian_gone {
            self.starters.into_iter().for_each(Starter::end);
            guardian::clear(&self.scratch);
        }
        self.recorder.finish();
    }

    fn is_over(&self) -> bool {
        let stays = self.setup.control.is_some() || self.setup.control_input;
        self.guardian_gone
            || (self.processes.iter().all(Supervised::is_down)
                && (self.shutdown.is_some() || !stays))
    }

    /// How long nothing is due.
    fn wait(&self, now: Instant) -> Duration {
        let looks =
            self.processes.iter().any(|it| it.is_alive() || matches!(it.phase, Phase::KeptDown));
        let look = looks.then_some(self.next_look);
        let due = self.processes.iter().filter_map(Supervised::due).chain(look).min();
        due.map_or(Duration::from_secs(60), |due| due.saturating_duration_since(now))
    }

    fn handle(&mut self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::Ended { pid, exit } => self.ended(pid, exit),
            Occurrence::Message { process, sender, text } => self.message(process, sender, &text),
            Occurrence::Line { process, pid, text } => self.line(process, pid, &text),
            Occurrence::Heard { process, mark } => self.heard_all(process, mark),
            Occurrence::LineSeen { process, life } => self.line_seen(process, life),
            Occurrence::Probed { process, life, purpose } => self.probed(process, life, purpose),
            Occurrence::Signalled { number } => self.signalled(number),
            Occurrence::Asked { request, answer } => {
                // Whoever asked may be gone.
                let _ = answer.send(self.asked(request));
            }
            Occurrence::OwnerGone => self.shut_down(StopCause::OwnerGone),
            Occurrence::GuardianGone => self.guardian_is_gone(),
            other => self.handle_late(other),
        }
    }

    /// What may still be told when all is over.
    fn handle_late(&mut self, occurrence: Occurrence) {
        let (process, life, event) = match occurrence {
            Occurrence::OutputCut { process, life, stream, kept } => {
                (process, life, Lifecycle::OutputCut { stream, kept })
            }
            Occurrence::OutputEnded { process, life, stream, kept, dropped } => {
                self.open_streams = self.open_streams.saturating_sub(1);
                (process, life, Lifecycle::OutputEnded { stream, kept, dropped })
            }
            _ => return,
        };
        let name = self.processes[process].name.clone();
        self.recorder.write(Some((&name, life)), event);
    }

    /// Starts whoever waits for nobody any more; goes on with a shutdown.
    fn advance(&mut self) {
        for index in 0..self.processes.len() {
            if matches!(self.processes[index].phase, Phase::Waiting) {
                self.advance_waiting(index);
            }
        }
        if self.shutdown.is_some() {
            for index in (0..self.processes.len()).rev() {
                if !self.processes[index].is_down() && !self.has_live_dependents(index) {
                    self.stop(index);
                }
            }
        }
    }

    fn advance_waiting(&mut self, index: usize) {
        let after = self.processes[index].process.after.clone();
        let others: Vec<&Supervised> =
            self.processes.iter().filter(|it| after.contains(&it.name)).collect();
        if others.iter().all(|it| it.is_satisfied()) {
            self.begin(index);
        } else if let Some(down) = others.iter().find(|it| it.is_down() && !it.is_satisfied()) {
            let reason = format!("it comes after {}, which is down", down.name);
            // Where requests are taken, somebody may still start that one.
            if !self.setup.control_input && self.setup.control.is_none() {
                self.give_up(index, reason);
            }
        }
    }

    fn has_live_dependents(&self, index: usize) -> bool {
        let name = &self.processes[index].name;
        self.processes.iter().any(|it| !it.is_down() && it.process.after.contains(name))
    }

    fn do_what_is_due(&mut self, now: Instant) {
        for index in 0..self.processes.len() {
            self.release_if_due(index, now);
            match &self.processes[index].phase {
                Phase::Delayed { until } if *until <= now => {
                    self.processes[index].phase = Phase::Waiting;
                    self.advance_waiting(index);
                }
                Phase::Preparing { until, timed_out: false, .. } if *until <= now => {
                    self.preparation_is_late(index);
                }
                Phase::Alive(Life { ending: Some(ending), .. }) if ending.until <= now => {
                    self.life_ended(index);
                }
                Phase::Alive(Life { ending: Some(_), .. }) => {}
                Phase::Alive(life) => match &life.stopping {
                    Some(stopping) if stopping.until <= now => self.escalate(index),
                    Some(_) => {}
                    None if life.ready_until.is_some_and(|until| until <= now) => {
                        self.not_ready(index);
                    }
                    None if life.heartbeat_until.is_some_and(|until| until <= now) => {
                        self.heartbeat_missed(index);
                    }
                    None => {}
                },
                _ => {}
            }
            if let Some(count) = self.processes[index].messages.skipped(now) {
                self.tell(index, Lifecycle::MessagesSkipped { count });
            }
        }
        if now >= self.next_look {
            self.next_look = now + LOOK_INTERVAL;
            self.look(now);
        }
    }
}
