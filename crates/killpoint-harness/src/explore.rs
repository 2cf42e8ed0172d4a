//! Explore: every crash point of a command, judged, confirmed and replayable.
//!
//! The stages, each a room of its own: `prepare` (what is tested, where), `discovery` (where the command
//! writes, if nobody said), `recordings` (the control and its repetitions), `phases` (which part of the
//! target's life a point lies in), `plan` (which states are distinct), `judging` (in workers, side by
//! side), `findings` (one defect is one finding), `aftermath` (what it leaves behind), `strikes` (live
//! kills that confirm them), `shrink` (which steps of a workload a finding needs), `recovery` (crashes
//! inside the recovery from a crash), `survivors` (strikes that leave some processes alive). `course` goes
//! through them; `resume` goes on with a run that was interrupted, `replay` shows a finding again.

pub mod aftermath;
mod course;
pub mod discovery;
mod finding_file;
pub mod findings;
pub mod judging;
pub mod live;
pub mod options;
pub mod phases;
mod pinned;
pub mod plan;
pub mod prepare;
mod problem;
pub mod recordings;
pub mod recovery;
pub mod replay;
pub mod resume;
mod setup_file;
pub mod shrink;
mod sight;
pub mod strikes;
pub mod survivors;
mod verdicts;

pub use course::Explored;
pub use options::Options;
pub use problem::ExploreError;

use crate::journalist::Watch;
use setup_file::SetupFile;

/// Explores a command.
///
/// # Errors
/// If the options make no sense, the machine does not allow it, or the run's folder cannot be
/// written. What is found is no error.
pub fn explore(options: &Options, watch: Watch<'_>) -> Result<Explored, ExploreError> {
    let prepared = prepare::prepare(options, watch)?;
    SetupFile::write(options, &prepared)?;
    course::go_on(options, prepared, watch)
}
