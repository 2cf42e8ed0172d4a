//! Shrinks a workload that is a list of steps: which of them are needed to show a finding.
//!
//! A trial records the command once with some of the steps and judges the states of the finding's
//! model at addresses of its shape. It shows the finding if one of them is violated in the same way.
//! What is kept in the end is recorded anew and confirmed as every finding is.

mod minimise;

use super::finding_file::{FindingFile, RunFile};
use super::findings::address_at;
use super::judging::{Judged, judge_states};
use super::live::{RETRIES_MAX, can_strike, expected, strike, strike_at};
use super::options::Options;
use super::plan::{self, Plan};
use super::problem::ExploreError;
use super::recordings::{Recorded, record_once};
use crate::environment::local::{Judges, Local, Subject};
use crate::journalist::{Journalist, Progress, Watch};
use killpoint_engine::record::Scope;
use killpoint_engine::states::StateName;
use killpoint_model::Address;
use killpoint_model::event::Event;
use killpoint_model::report::{Finding, Shrunk};
use killpoint_model::verdict::Verdict;
use minimise::{Minimised, Trials};
use std::time::Instant;

/// Findings of a run that are shrunk; a note says how many are not.
pub const FINDINGS_MAX: u32 = 5;
/// Sets of steps that are tried for one finding.
const TRIALS_MAX: u64 = 150;
/// States that are judged in one trial.
const STATES_MAX: usize = 400;

/// A recording of some of the steps, and a state of it that shows the finding.
struct Shown {
    local: Local,
    recorded: Recorded,
    plan: Plan,
    index: usize,
    state: StateName,
}

/// Shrinks the steps of a finding. The finding carries what is left of them, and the file with which
/// it is replayed is that of the shrunk workload; none where that does not show it, which is noted.
///
/// # Errors
/// If a worker fails, or the run's folder cannot be written.
pub fn shrink(
    options: &Options,
    local: &Local,
    recorded: &Recorded,
    finding: &mut Finding,
    journalist: &mut Journalist,
    watch: Watch<'_>,
) -> Result<Option<FindingFile>, ExploreError> {
    let Some(steps) = &local.steps else { return Ok(None) };
    let options = Options { models: vec![finding.model], second_checks: false, ..options.clone() };
    let options = Options { idempotent: false, ..options };
    let since = Instant::now();
    let mut done = 0;
    let trials = Trials::new(TRIALS_MAX, |places: &[usize]| {
        done += 1;
        let (stage, total, elapsed) = ("shrinking", TRIALS_MAX, since.elapsed());
        watch(&Progress { stage, done, total, elapsed });
        Ok::<bool, ExploreError>(
            shown(&options, local, recorded, steps, places, finding, "shrink")?.is_some(),
        )
    });
    let Minimised { kept, is_minimal, trials } = trials.minimise(steps.len())?;
    forget(local, "shrink");
    let name = format!("shrunk-{}", finding.number);
    let shown = shown(&options, local, recorded, steps, &kept, finding, &name)?;
    let confirmed = match &shown {
        Some(shown) => shown.confirm(&options, finding, journalist)?,
        None => false,
    };
    let Some(shown) = shown.filter(|_| confirmed) else {
        let text = format!(
            "finding {} was not shrunk: {} of {} steps showed it once and not again",
            finding.number,
            kept.len(),
            steps.len()
        );
        journalist.tell(Event::Note { text })?;
        return Ok(None);
    };
    finding.shrunk = Some(Shrunk {
        steps: kept.iter().map(|place| steps[*place].clone()).collect(),
        of: steps.len() as u64,
        trials,
        is_minimal,
        address: shown.address(),
    });
    Ok(Some(shown.file(&options, finding)))
}

/// Removes a recording that is not needed any more.
fn forget(local: &Local, name: &str) {
    for suffix in ["rec", "journal"] {
        let _ = std::fs::remove_file(local.folder.join(&format!("recordings/{name}.{suffix}")));
    }
}

/// Records the command with some of the steps under a name of its own, and looks for the finding.
fn shown(
    options: &Options,
    local: &Local,
    recorded: &Recorded,
    steps: &[String],
    places: &[usize],
    finding: &Finding,
    name: &str,
) -> Result<Option<Shown>, ExploreError> {
    let steps = places.iter().map(|place| steps[*place].clone()).collect();
    let local = Local { steps: Some(steps), ..local.clone() };
    let Ok(recorded) = record_once(options, &local, name, &recorded.stable)? else {
        // A workload that does not work without the others shows nothing.
        return Ok(None);
    };
    let mut plan = plan::survey(options, &local, &recorded)?;
    let wanted = shape(&finding.address);
    let mut states = std::mem::take(&mut plan.states);
    for state in &mut states {
        state.at.retain(|at| shape(&address_at(&plan, at.point)) == wanted);
    }
    states.retain(|state| !state.at.is_empty());
    states.truncate(STATES_MAX);
    plan.states = states;
    if plan.states.is_empty() {
        return Ok(None);
    }
    let mut judges = Judges::new(&local);
    judges.begin(Subject::of(name, plan.models.clone(), &local))?;
    let jobs = options.jobs_in(local.containment);
    let nothing = Vec::new();
    let judged =
        judge_states(options, jobs, &mut judges, &recorded, &plan, nothing, &mut |_, _| Ok(()))?;
    let is_shown = |one: &Judged| one.judgement.verdict == Verdict::Violated(finding.judged);
    let Some(index) = judged.iter().position(is_shown) else { return Ok(None) };
    let state = plan.states[index].at[0].clone();
    Ok(Some(Shown { local, recorded, plan, index, state }))
}

/// The shape of an address, whichever of the names that were born in a directory it names.
fn shape(address: &Address) -> String {
    let shape = address.shape();
    let mut parts = shape.split("<new");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("<new");
        text.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    text
}

impl Shown {
    fn address(&self) -> Address {
        address_at(&self.plan, self.state.point)
    }

    /// Shows it by a live kill, if a kill can leave the state. What only a power cut leaves was judged
    /// by two workers on two recordings by now.
    fn confirm(
        &self,
        options: &Options,
        finding: &Finding,
        journalist: &mut Journalist,
    ) -> Result<bool, ExploreError> {
        let address = self.address();
        let at = strike_at(&self.state, &address, Scope::All);
        let Some(at) = at.filter(|_| can_strike(&self.state, &self.plan)) else { return Ok(true) };
        let models = self.plan.models.clone();
        let mut judges = Judges::new(&self.local);
        judges.begin(Subject::of(&self.recorded.name, models, &self.local))?;
        for attempt in 1..=RETRIES_MAX.max(options.confirmations) {
            journalist.tell(Event::StrikePlanned { address: address.clone(), attempt })?;
            journalist.sync()?;
            let name = format!("{}-strike", self.recorded.name);
            let expected = expected(&self.recorded, self.state.point);
            let strike =
                strike(&self.local, &mut judges, &name, at.clone(), &self.state, &expected)?;
            forget(&self.local, &name);
            let agreed = strike.exact.is_ok()
                && strike.judgement.verdict == Verdict::Violated(finding.judged);
            let detail = strike.exact.err().map(|(_, detail)| detail).unwrap_or_default();
            let (address, reason) = (address.clone(), None);
            journalist.tell(Event::Struck { address, attempt, agreed, reason, detail })?;
            if agreed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn file(&self, options: &Options, finding: &Finding) -> FindingFile {
        let length = self.plan.states[self.index].journal_length;
        let addresses = &self.recorded.addresses;
        FindingFile {
            address: self.address(),
            run: Some(RunFile::of(options, &self.local, &self.recorded)),
            ..FindingFile::of_state(finding, &self.state, length, addresses)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_birth_is_no_part_of_a_shape() {
        let shape = |text: &str| shape(&text.parse::<Address>().expect(text));
        assert_eq!(shape("write(a/<new12>)#3"), "write(a/<new>)");
        assert_eq!(shape("rename(<new1>, a12)#3@worker"), "rename(<new>, a12)@worker");
        assert_eq!(shape("end"), "end");
    }
}
