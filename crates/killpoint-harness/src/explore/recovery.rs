//! Crashes inside recovery, one level deep: a checker that reopens a store after a crash writes to
//! it, too, and may be killed at any of those writes; the store must still open then.

use super::finding_file::{FindingFile, RunFile};
use super::findings::{self, address_at, shown_at};
use super::judging::{Judged, judge_states};
use super::options::Options;
use super::plan::{Plan, distinct_kill_states, initial_image};
use super::problem::ExploreError;
use super::recordings::Recorded;
use super::sight::Sight;
use crate::asserter::checker::{Checker, Surroundings};
use crate::environment::local::{Judges, Local, Subject, Trial, snapshot_name};
use crate::journalist::{Journalist, Progress, Watch};
use crate::store::StoreError;
use killpoint_engine::materialise::Materialised;
use killpoint_engine::recording::Exit;
use killpoint_engine::regular_file;
use killpoint_engine::states::{StateName, Walk};
use killpoint_model::event::Event;
use killpoint_model::report::{Confirmation, Drafts, Finding};
use killpoint_model::seed::Generator;
use killpoint_model::verdict::{Class, Verdict};
use killpoint_model::{CrashModel, Phase};
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// Most recoveries that are recorded; the seed chooses, and the report says so.
pub const RECOVERIES_MAX: usize = 6;
/// Most states that are judged inside one recovery; the seed chooses, and the report says so.
const STATES_MAX: usize = 64;
/// No further recovery is begun after this long; the report says how far it came.
const TIME_MAX: Duration = Duration::from_secs(120);

/// Records the recovery of held crash states and judges the states that a kill inside it leaves.
///
/// # Errors
/// If a worker fails or the log cannot be written.
pub fn explore(
    sight: Sight<'_>,
    judged: &[Judged],
    first_number: u32,
    journalist: &mut Journalist,
    watch: Watch<'_>,
) -> Result<(), ExploreError> {
    let Sight { options, local, recorded, plan } = sight;
    let Checker::Command(command) = &options.checker else {
        if matches!(options.checker, Checker::Stream(_)) && options.recovery_depth > 0 {
            let text = "crashes inside recovery are enumerated only with --check: a stream checker \
                        is one process for all states";
            journalist.tell(Event::Note { text: text.to_owned() })?;
        }
        return Ok(());
    };
    if options.recovery_depth == 0 || !options.models.contains(&CrashModel::Kill) {
        return Ok(());
    }
    // Of a recovery, what would be run again is the checker, and not the command.
    let options = &Options { idempotent: false, ..options.clone() };
    let since = Instant::now();
    let held: Vec<usize> = plan
        .states
        .iter()
        .zip(judged)
        .enumerate()
        .filter(|(_, (state, judged))| {
            state.name.model == CrashModel::Kill && judged.judgement.verdict == Verdict::Held
        })
        .map(|(index, _)| index)
        .collect();
    let chosen = Generator::new(options.seed).sample(held.len(), RECOVERIES_MAX);
    let mut stage = Stage {
        options,
        local,
        recorded,
        plan,
        command,
        number: first_number,
        reported: known_shapes(plan, judged),
        recoveries: 0,
        states: 0,
        left_out: 0,
    };
    let path = local.folder.join(&format!("recordings/{}.rec", recorded.name));
    let mut walk = Walk::start(&path, initial_image(local)?, plan.models.clone())?;
    let total = chosen.len() as u64;
    for (done, index) in chosen.iter().map(|index| held[*index]).enumerate() {
        if since.elapsed() > TIME_MAX {
            break;
        }
        stage.recover(index, &mut walk, journalist)?;
        let done = done as u64 + 1;
        watch(&Progress { stage: "recoveries", done, total, elapsed: since.elapsed() });
    }
    let mut text = format!(
        "crashes inside recovery: {} of {} recoveries were recorded, one level deep, and {} further \
         states judged",
        stage.recoveries,
        held.len(),
        stage.states
    );
    if stage.left_out > 0 {
        text.push_str(&format!(
            ", {} left out: at most {STATES_MAX} of a recovery, chosen by the seed",
            stage.left_out
        ));
    }
    journalist.tell(Event::Note { text })?;
    Ok(())
}

/// What was found without a crash inside recovery is not found again.
fn known_shapes(plan: &Plan, judged: &[Judged]) -> BTreeSet<(Class, String)> {
    let mut shapes = BTreeSet::new();
    for (state, judged) in plan.states.iter().zip(judged) {
        if let Verdict::Violated(class) = judged.judgement.verdict {
            let shape = |name: &StateName| (class, address_at(plan, name.point).shape());
            shapes.extend(state.at.iter().map(shape));
        }
    }
    shapes
}

struct Stage<'a> {
    options: &'a Options,
    local: &'a Local,
    recorded: &'a Recorded,
    plan: &'a Plan,
    command: &'a str,
    number: u32,
    reported: BTreeSet<(Class, String)>,
    recoveries: u64,
    states: u64,
    left_out: u64,
}

impl Stage<'_> {
    fn recover(
        &mut self,
        index: usize,
        walk: &mut Walk,
        journalist: &mut Journalist,
    ) -> Result<(), ExploreError> {
        let state = &self.plan.states[index];
        walk.step_to(state.name.point)?;
        let image = walk.build(&state.name);
        let name = format!("recovery-{}", index + 1);
        for root in 0..self.local.roots.len() {
            let copy = self.local.folder.join(&snapshot_name(&name, root));
            fs::create_dir_all(&copy).map_err(|source| StoreError::Io {
                action: "make the directory",
                path: copy.clone(),
                source,
            })?;
        }
        let copies = (0..self.local.roots.len())
            .map(|root| self.local.folder.join(&snapshot_name(&name, root)))
            .collect();
        Materialised::create_crashed(copies, &image, walk.crash_time())?;
        let inner = self.inner(&name, state.journal_length)?;
        let trial = Trial {
            name: name.clone(),
            stable: None,
            strike: None,
            read_after: false,
            has_reader: false,
            keep_left: false,
            pin: inner.pin,
        };
        let result = inner.run(&trial)?;
        self.recoveries += 1;
        let mut found = false;
        if result.ending.exit == Exit::Status(0) && result.operations > 0 {
            let last_process_id = result.ending.last_process_id;
            let inner = Local { last_process_id, ..inner };
            found = self.judge(&inner, &name, state.journal_length, index, journalist)?;
        }
        if !found {
            let _ = fs::remove_dir_all(self.local.folder.join(&format!("snapshots/{name}")));
            for suffix in ["rec", "journal"] {
                let file = format!("recordings/{name}.{suffix}");
                let _ = fs::remove_file(self.local.folder.join(&file));
            }
        }
        Ok(())
    }

    /// The same surroundings with the checker as the target and the crash state as the start.
    fn inner(&self, name: &str, journal_length: u64) -> Result<Local, ExploreError> {
        let path = self.local.folder.join(&format!("recordings/{}.journal", self.recorded.name));
        let mut journal =
            regular_file::read(&path).map_err(|source| ExploreError::Input { path, source })?;
        journal.truncate(usize::try_from(journal_length).unwrap_or(usize::MAX));
        let mut launch = Surroundings::shell(self.command, &self.local.launch);
        launch.environment.retain(|(name, _)| name != "KILLPOINT_STATE");
        Ok(Local {
            snapshot: name.to_owned(),
            launch,
            driver: None,
            journal,
            acknowledgements: Vec::new(),
            target_timeout: self.local.checker_timeout,
            // The state that it starts from holds ids of the first recording.
            process_ids_above: self.local.last_process_id,
            ..self.local.clone()
        })
    }

    /// Judges the kill states inside one recovery. True if one of them is a finding.
    fn judge(
        &mut self,
        inner: &Local,
        name: &str,
        journal_length: u64,
        index: usize,
        journalist: &mut Journalist,
    ) -> Result<bool, ExploreError> {
        let mut sub = distinct_kill_states(inner, name, self.plan)?;
        if sub.states.len() > STATES_MAX {
            self.left_out += (sub.states.len() - STATES_MAX) as u64;
            let chosen = Generator::new(self.options.seed).sample(sub.states.len(), STATES_MAX);
            sub.states = chosen.into_iter().map(|index| sub.states[index].clone()).collect();
        }
        for state in &mut sub.states {
            state.journal_length = journal_length;
        }
        self.states += sub.states.len() as u64;
        let judged = self.judge_all(inner, name, &sub)?;
        let mut found = false;
        for (place, judged) in judged.iter().enumerate() {
            match &judged.judgement.verdict {
                Verdict::Held => {}
                Verdict::Unknown(reason) => {
                    let detail = judged.judgement.detail.clone();
                    journalist.tell(Event::Unknown { reason: *reason, detail })?;
                }
                Verdict::Violated(class) => {
                    found = true;
                    let confirmed = self.judge_again(inner, name, &sub, place, judged)?;
                    self.tell(&sub, place, *class, judged, confirmed, index, name, journalist)?;
                }
            }
        }
        Ok(found)
    }

    fn judge_all(
        &self,
        inner: &Local,
        recording: &str,
        sub: &Plan,
    ) -> Result<Vec<Judged>, ExploreError> {
        let mut judges = Judges::new(inner);
        judges.begin(Subject::of(recording, sub.models.clone(), inner))?;
        let (options, recorded) = (self.options, self.recorded);
        let jobs = options.jobs_in(inner.containment);
        judge_states(options, jobs, &mut judges, recorded, sub, Vec::new(), &mut |_, _| Ok(()))
    }

    /// Rebuilds and judges one state anew, by another worker.
    fn judge_again(
        &self,
        inner: &Local,
        recording: &str,
        sub: &Plan,
        place: usize,
        judged: &Judged,
    ) -> Result<Confirmation, ExploreError> {
        let mut one = sub.clone();
        one.states = vec![sub.states[place].clone()];
        let again = self.judge_all(inner, recording, &one)?;
        let same =
            again.first().is_some_and(|again| again.judgement.verdict == judged.judgement.verdict);
        Ok(Confirmation { hits: u32::from(same), tries: 1 })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one finding")]
    fn tell(
        &mut self,
        sub: &Plan,
        place: usize,
        class: Class,
        judged: &Judged,
        confirmed: Confirmation,
        index: usize,
        recovery: &str,
        journalist: &mut Journalist,
    ) -> Result<(), ExploreError> {
        let state = &sub.states[place];
        let address = address_at(sub, state.name.point);
        if !self.reported.insert((class, address.shape())) {
            return Ok(());
        }
        let outer = shown_at(self.plan, self.plan.states[index].name.point);
        let number = self.number;
        self.number += 1;
        let finding = Finding {
            number,
            address: address.clone(),
            ordinal: state.name.point,
            shown: shown_at(sub, state.name.point),
            model: CrashModel::Kill,
            models: vec![CrashModel::Kill],
            class,
            judged: class,
            points: 1,
            points_of: sub.points,
            phases: vec![Phase::Recovery],
            detail: judged.judgement.detail.clone(),
            variant: format!("inside the recovery from a kill at {outer}"),
            confirmed,
            confirmed_live: false,
            cause: format!(
                "A kill at {address}, while the store recovers from a kill at {outer}, leaves what \
                 the next recovery cannot mend."
            ),
            fix: "make recovery idempotent: every step of it must be safe to repeat from the start"
                .to_owned(),
            holds_before: None,
            holds_after: None,
            drafts: Drafts::at_crash(&judged.judgement),
            shrunk: None,
            replay: format!("killpoint replay {}/{number}", self.local.folder.id()),
            output: judged.output.clone(),
            files: Vec::new(),
            contradicted: false,
            look: judged.look,
        };
        RunFile::of(self.options, self.local, self.recorded).write(&self.local.folder)?;
        let addresses: Vec<_> =
            sub.operations.iter().map(|operation| operation.address.clone()).collect();
        let mut file =
            FindingFile::of_state(&finding, &state.name, state.journal_length, &addresses);
        file.recovery = Some(recovery.to_owned());
        file.write(&self.local.folder)?;
        let known = findings::known(self.options)?.contains(&finding.key());
        Ok(journalist.tell(Event::Found { finding: Box::new(finding), known })?)
    }
}
