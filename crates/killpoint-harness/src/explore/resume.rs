//! Resume: an interrupted run goes on from its event log.
//!
//! A resumed run goes the same way as a new one. Whatever its log already holds is taken from there
//! instead of being done again: recordings (if the file still has the digest that the log names),
//! judged states (if their digests are those of the plan), live kills, findings. An event that comes
//! up again and stands in the log is not written a second time, so the log, and the report that is
//! folded from it, become those of a run that was never interrupted.

use super::course::{Explored, go_on};
use super::findings::check_baseline;
use super::prepare::Prepared;
use super::problem::ExploreError;
use super::setup_file::SetupFile;
use crate::interrupt::Interrupt;
use crate::journalist::{Journalist, Watch};
use crate::recover::{announce_with_scratch, recover};
use crate::store::{EventLog, RunFolder};
use killpoint_model::event::Event;
use std::ffi::OsString;

/// Whether a run came so far that it can be gone on with.
pub fn is_resumable(folder: &RunFolder) -> bool {
    SetupFile::is_in(folder)
}

/// Goes on with an interrupted run. `environment` is this process's: a run keeps no secrets.
///
/// # Errors
/// If the run is complete, still going on, or was interrupted before it began to record; and all
/// that a new run may fail by.
pub fn resume(
    folder: RunFolder,
    environment: Vec<(OsString, OsString)>,
    interrupt: Interrupt,
    watch: Watch<'_>,
) -> Result<Explored, ExploreError> {
    let setup = SetupFile::read(&folder)?;
    // Refuses where the tool still works on the run, and ends what it left behind.
    recover(&folder)?;
    let (log, events) = EventLog::reopen(&folder)?;
    if events.iter().any(|event| matches!(event, Event::RunEnded { .. })) {
        return Err(ExploreError::Usage(format!(
            "run {id} is complete: `killpoint report {id}` shows it again",
            id = folder.id()
        )));
    }
    let mut options = setup.options.clone();
    options.environment = environment;
    setup.pinned.restore(&mut options);
    options.interrupt = interrupt;
    check_baseline(&options)?;
    announce_with_scratch(&folder)?;
    let mut journalist = Journalist::go_on(log, events);
    journalist.tell(Event::Resumed { resumed: jiff::Timestamp::now().to_string() })?;
    let local = setup.local(&options, &folder)?;
    let roots = setup.real_roots.clone();
    go_on(&options, Prepared { local, folder, journalist, roots }, watch)
}
