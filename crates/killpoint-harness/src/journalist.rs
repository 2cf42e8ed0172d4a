//! The journalist of a run: writes down what happens, and keeps the report that grows with it.
//!
//! Every orchestrator has one, and tells whoever watches how far it is.

mod earlier;

use crate::job::Job;
use crate::store::{EventLog, RunFolder, StoreError};
use earlier::Earlier;
use killpoint_model::event::Event;
use killpoint_model::report::{Report, Setting};
use std::time::{Duration, Instant};

/// What a run does now, for whoever watches.
#[derive(Clone, Debug)]
pub struct Progress {
    /// `recording`, `judging`, `confirming`.
    pub stage: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// Out of how much.
    pub total: u64,
    /// How long the stage has taken.
    pub elapsed: Duration,
}

impl Progress {
    /// A stage that has just begun and does not know how long it will be.
    pub fn started(stage: &'static str) -> Self {
        Progress { stage, done: 0, total: 0, elapsed: Duration::ZERO }
    }
}

/// Told about progress.
pub type Watch<'a> = &'a mut dyn FnMut(&Progress);

/// The log of a run and the report that grows with it.
#[derive(Debug)]
pub struct Journalist {
    log: EventLog,
    report: Report,
    /// What the log of an interrupted run already holds and has not come up again.
    pub(crate) earlier: Earlier,
}

impl Journalist {
    /// Starts a run's log.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn start(folder: &RunFolder) -> Result<Self, StoreError> {
        let log = EventLog::create(folder)?;
        Ok(Journalist { log, report: Report::empty(), earlier: Earlier::default() })
    }

    /// Goes on with the log of an interrupted run; what comes up again is not written again.
    pub(crate) fn go_on(log: EventLog, events: Vec<Event>) -> Self {
        let report = Report::from_events(&events);
        Journalist { log, report, earlier: Earlier::new(events) }
    }

    /// Appends to the log of an interrupted run; what comes up again is written again.
    pub(crate) fn add_to(log: EventLog, events: &[Event]) -> Self {
        Journalist { log, report: Report::from_events(events), earlier: Earlier::default() }
    }

    /// Writes an event down, unless it comes up again in a resumed run.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn tell(&mut self, event: Event) -> Result<(), StoreError> {
        if self.earlier.take(&event) {
            return Ok(());
        }
        self.log.append(&event)?;
        self.report.apply(&event);
        Ok(())
    }

    /// Writes down that a run begins: of this version, now.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub(crate) fn begin_run(
        &mut self,
        run: &str,
        job: Job,
        setting: Setting,
    ) -> Result<(), StoreError> {
        self.tell(Event::RunStarted {
            run: run.to_owned(),
            killpoint: env!("CARGO_PKG_VERSION").to_owned(),
            started: jiff::Timestamp::now().to_string(),
            commit: job.commit,
            job_url: job.url,
            setting: Box::new(setting),
        })
    }

    /// Writes down that a stage is over, and how long it took.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub(crate) fn stage(&mut self, name: &str, since: Instant) -> Result<(), StoreError> {
        self.tell(Event::Stage { name: name.to_owned(), seconds: since.elapsed().as_secs_f64() })
    }

    /// Removes old runs beside this one, and notes which could not be removed. To be called before the
    /// end of the run is told.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub(crate) fn remove_older(
        &mut self,
        folder: &RunFolder,
        keep: usize,
    ) -> Result<(), StoreError> {
        folder.remove_older(keep).into_iter().try_for_each(|text| self.tell(Event::Note { text }))
    }

    /// Makes everything so far durable.
    ///
    /// # Errors
    /// If the log cannot be synced.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.log.sync()
    }

    /// What was found so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What was found, when all is told.
    pub(crate) fn into_report(self) -> Report {
        self.report
    }
}
