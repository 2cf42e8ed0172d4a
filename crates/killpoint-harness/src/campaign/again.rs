//! Again: a trial of an earlier run is shown again where it struck, and a run that was interrupted goes on.

use super::log::Earlier;
use super::options::{Course, Options, Replayed};
use super::prepare;
use super::problem::CampaignError;
use super::{Begun, Campaign, begin, check_baselines, go_on};
use crate::injector::Injector;
use crate::interrupt::Interrupt;
use crate::journalist::{Journalist, Watch};
use crate::recover::{announce_tool, recover};
use crate::store::{EventLog, RunFolder, read_events};
use killpoint_model::event::Event;
use killpoint_model::trial::TrialEvent;
use std::path::PathBuf;

/// Who carries out something again.
#[derive(Clone, Debug)]
pub struct Again {
    /// Where the folder of a new run is made.
    pub out: PathBuf,
    /// The program whose `supervise` keeps the target up: killpoint itself.
    pub supervisor: PathBuf,
    /// A request to stop.
    pub interrupt: Interrupt,
}

/// Shows a trial of an earlier run again, so many times: from the state that the run began with, each
/// strike at the position where it stood. That is a run of its own.
///
/// # Errors
/// If the run has no such trial, and all that a new run may fail by.
pub fn replay(
    folder: &RunFolder,
    trial: u64,
    times: u32,
    again: Again,
    watch: Watch<'_>,
) -> Result<Campaign, CampaignError> {
    let (options, plan) = prepare::read_folder(folder)?;
    let earlier = Earlier::read(&read_events(folder)?);
    let (verdict, positions) = earlier
        .example(trial)
        .filter(|_| trial > 0)
        .ok_or_else(|| CampaignError::NotTried(folder.id().to_owned(), trial))?;
    // A replay of a replay is one of the first run, where the positions come from.
    let options = Options {
        out: again.out,
        supervisor: again.supervisor,
        interrupt: again.interrupt,
        only: Some(trial),
        course: Course { rounds: times, ..Course::default() },
        replayed: Some(Replayed { run: folder.id().to_owned(), verdict, positions }),
        baseline: None,
        write_baseline: None,
        ..options
    };
    begin(&plan, &options, Some(folder), watch)
}

/// Goes on with a run that was interrupted. Trials that ended are not carried out again.
///
/// # Errors
/// If the run is complete or still going on, and all that a new run may fail by.
pub fn resume(
    folder: RunFolder,
    again: Again,
    watch: Watch<'_>,
) -> Result<Campaign, CampaignError> {
    let (options, plan) = prepare::read_folder(&folder)?;
    // Refuses where the tool still works on the run, and ends what it left behind.
    recover(&folder)?;
    let (log, events) = EventLog::reopen(&folder)?;
    if events.iter().any(|event| matches!(event, Event::RunEnded { .. })) {
        return Err(CampaignError::Complete(folder.id().to_owned()));
    }
    let options = Options { supervisor: again.supervisor, interrupt: again.interrupt, ..options };
    check_baselines(&options)?;
    announce_tool(&folder)?;
    let injector = Injector::start(folder.path())?;
    let mut journalist = Journalist::add_to(log, &events);
    let mounts = prepare::can_mount(&plan, &options, &folder);
    let is_planned = |event: &Event| matches!(event, Event::Trial(event) if matches!(**event, TrialEvent::Planned { .. }));
    if !events.iter().any(is_planned) {
        // It was interrupted before it had said what it is about.
        prepare::introduce(&plan, &options, &folder, &mounts, &mut journalist)?;
    }
    journalist.tell(Event::Resumed { resumed: jiff::Timestamp::now().to_string() })?;
    let earlier = Earlier::read(&events);
    go_on(
        &plan,
        &options,
        Begun { folder, mounts: mounts.is_ok(), injector, journalist, earlier },
        watch,
    )
}
