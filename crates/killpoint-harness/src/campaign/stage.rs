//! What all trials of a run share, and what each needs of it.

use super::course::Try;
use super::interception::Interception;
use super::judging::Readings;
use super::options::Options;
use super::problem::CampaignError;
use super::supervisor::{self, Supervisor};
use super::world::World;
use crate::injector::Injector;
use crate::interceptor::Recorded;
use crate::journalist::Journalist;
use crate::store::RunFolder;
use killpoint_model::plan::{Plan, PlannedTrial};
use killpoint_model::report::trial_key;
use killpoint_model::supervision::Supervision;
use killpoint_model::trial::Position;
use killpoint_model::verdict::{Class, Judgement};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What all trials of a run share.
pub(super) struct Stage<'a> {
    pub(super) plan: &'a Plan,
    pub(super) options: &'a Options,
    pub(super) folder: &'a RunFolder,
    /// Whether copies of the state are mounted over its own paths.
    pub(super) mounts: bool,
    pub(super) journalist: &'a mut Journalist,
    pub(super) injector: &'a mut Injector,
    /// What was read at the end of the control.
    pub(super) control: Readings,
    /// Who answered all the time in the control, and has to after a strike.
    pub(super) answering: BTreeSet<String>,
    /// How long processes took to recover from a crash, in the trials so far.
    pub(super) recovery_times: BTreeMap<String, Duration>,
    /// What stands in the baseline.
    pub(super) known: BTreeSet<String>,
    /// Names of the first recording, once there is one.
    pub(super) names: Option<BTreeSet<String>>,
    /// What the last trial's interceptor met.
    pub(super) recorded: Option<Recorded>,
}

/// How a trial ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) fired: u64,
    pub(super) judgement: Judgement,
    /// The classes of its other violations.
    pub(super) also: Vec<Class>,
    /// Whether the target never came back.
    pub(super) unrecovered: bool,
    /// Where each strike stood.
    pub(super) positions: Vec<Position>,
}

impl Stage<'_> {
    /// Whether the baseline has such a violation of a trial like this one.
    pub(super) fn is_known(&self, once: &Try<'_>, class: Class) -> bool {
        once.planned.is_some_and(|it| self.known.contains(&trial_key(&it.rule, class)))
    }

    /// Whether the report has this gap already.
    pub(super) fn is_not_covered(&self, reason: &str) -> bool {
        self.journalist.report().not_covered.iter().any(|gap| gap.reason == reason)
    }

    /// Starts the supervisor, below an interceptor where the trial needs one.
    pub(super) fn start(
        &self,
        planned: Option<&PlannedTrial>,
        world: &World,
        supervision: &Supervision,
    ) -> Result<(Option<Interception>, Supervisor), CampaignError> {
        if supervision.processes.is_empty() {
            return Ok((None, Supervisor::nobody()));
        }
        let arguments = supervisor::prepare(
            supervision,
            &world.folder,
            self.folder.path(),
            &self.plan.scenario.collect,
        )?;
        let program = &self.options.supervisor;
        match self.interception(planned, world, arguments.clone())? {
            None => {
                Ok((None, Supervisor::start(&world.own_paths, program, &arguments, &world.folder)?))
            }
            Some((interception, setup)) => {
                let arguments = ["intercept".into(), "--setup".into(), setup];
                let supervisor =
                    Supervisor::start(&world.own_paths, program, &arguments, &world.folder)?;
                Ok((Some(interception), supervisor))
            }
        }
    }
}
