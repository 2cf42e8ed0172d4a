//! What the stages up to the plan have made, for all that come after it.

use super::options::Options;
use super::plan::Plan;
use super::recordings::Recorded;
use crate::environment::local::Local;

/// What the stages up to the plan have made.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// The options of the run.
    pub options: &'a Options,
    /// Where targets run.
    pub local: &'a Local,
    /// The recording.
    pub recorded: &'a Recorded,
    /// The states.
    pub plan: &'a Plan,
}

impl Sight<'_> {
    /// How many live kills are made side by side: one where each changes something that the others
    /// would see.
    pub fn live_jobs(self) -> usize {
        match self.recorded.result.ending.outside_writes.is_empty() {
            true => self.options.jobs_in(self.local.containment),
            false => 1,
        }
    }
}
