//! Live kills: each finding under `kill` is shown by really killing the program at its address, and
//! a sample of the points that held is killed live as well.

use super::aftermath::Aftermath;
use super::finding_file::{FindingFile, RunFile};
use super::findings::{self, Defect};
use super::judging::{Judged, judge_answer, promise};
use super::live::{
    Expected, RETRIES_MAX, Struck, can_strike, examine, expected, is_live, strike_at, trial,
};
use super::plan::Plan;
use super::problem::ExploreError;
use super::recordings::read_operations;
use super::shrink;
use super::sight::Sight;
use crate::asserter::checker::{Reading, judge};
use crate::environment::local::{Crew, Judges, Question, Trial};
use crate::journalist::{Journalist, Progress, Watch};
use killpoint_engine::record::{Scope, StrikeAt};
use killpoint_engine::states::{StateName, Variant};
use killpoint_model::event::Event;
use killpoint_model::report::{Confirmation, Drafts, Finding, Look};
use killpoint_model::seed::Generator;
use killpoint_model::verdict::{Class, Reason, Verdict};
use killpoint_model::{Address, CrashModel};
use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::time::Instant;

/// A live kill that is to be made.
struct Planned {
    at: StrikeAt,
    state: StateName,
    /// The verdict on the rebuilt state.
    wanted: Verdict,
    /// The look that gave it.
    look: Look,
    /// The place of the judge who gave it.
    judged_by: Option<usize>,
    /// Whether the first try agreed, if an interrupted run made it.
    earlier: Option<bool>,
}

struct Stage<'a, 'w> {
    sight: Sight<'a>,
    judged: &'a [Judged],
    judges: Judges,
    crew: Crew<'a>,
    planned: Vec<Planned>,
    /// The live kills that struck exactly and showed something else than the rebuilt state.
    contradicting: BTreeSet<usize>,
    journalist: &'a mut Journalist,
    watch: Watch<'w>,
    since: Instant,
    done: u64,
    total: u64,
}

/// Confirms every defect, kills a sample of held points, writes the findings; returns how many.
///
/// All live kills are written down and made durable before the first; they are made side by side,
/// and what came of them is told in the order in which they were written down.
///
/// # Errors
/// If a worker fails, or the run's folder cannot be written.
pub fn confirm(
    sight: Sight<'_>,
    judged: &[Judged],
    judges: Judges,
    defects: Vec<Defect>,
    journalist: &mut Journalist,
    watch: Watch<'_>,
) -> Result<u32, ExploreError> {
    let Sight { options, local, recorded, plan } = sight;
    let known = findings::known(options)?;
    let count = u32::try_from(defects.len()).unwrap_or(u32::MAX);
    RunFile::of(options, local, recorded).write(&local.folder)?;
    let sample = sample(sight, judged);
    let mut stage = Stage {
        sight,
        judged,
        judges,
        crew: Crew::new(local, sight.live_jobs()),
        planned: Vec::new(),
        contradicting: BTreeSet::new(),
        journalist,
        watch,
        since: Instant::now(),
        done: 0,
        total: (defects.len() + sample.len()) as u64,
    };
    let strikes: Vec<Option<Range<usize>>> =
        defects.iter().map(|defect| stage.plan_defect(defect)).collect::<Result<_, _>>()?;
    let held: Vec<usize> =
        sample.iter().map(|held| stage.plan_held(held)).collect::<Result<_, _>>()?;
    stage.begin()?;
    for (index, (defect, strikes)) in defects.iter().zip(strikes).enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let found = stage.journalist.earlier.take_found(number);
        let confirmed = stage.confirm_defect(defect, strikes.clone(), found.as_ref())?;
        if found.is_some() {
            continue;
        }
        let mut finding = finding(number, defect, sight, judged, confirmed);
        finding.contradicted = confirmed.hits == 0
            && strikes.is_some_and(|mut it| it.all(|number| stage.contradicting.contains(&number)));
        let Aftermath { files, copy } = Aftermath::of(sight, judged, defect)?;
        finding.files = files;
        if let Some(copy) = copy.filter(|_| finding.look.is_first()) {
            finding.class = Class::RecoverableByHand;
            finding.detail = copy.sentence_after(&finding.detail);
        }
        let shrunk = match options.shrink && number <= shrink::FINDINGS_MAX {
            true => stage.shrink(&mut finding)?,
            false => None,
        };
        let file = match shrunk {
            Some(file) => FindingFile { finding: finding.clone(), ..file },
            None => FindingFile::of(&finding, defect, plan),
        };
        file.write(&local.folder)?;
        let known = known.contains(&finding.key());
        stage.journalist.tell(Event::Found { finding: Box::new(finding), known })?;
    }
    if options.shrink && count > shrink::FINDINGS_MAX {
        let text = format!("the first {} of {count} findings were shrunk", shrink::FINDINGS_MAX);
        stage.journalist.tell(Event::Note { text })?;
    }
    for number in held {
        stage.strike(number)?;
        stage.progress();
    }
    Ok(count)
}

/// A held point that is killed live: the index of its state, and the point.
type Held = (usize, u64);

/// Held points to kill live: seeded, spread over the run.
fn sample(sight: Sight<'_>, judged: &[Judged]) -> Vec<Held> {
    let Sight { options, recorded, plan, .. } = sight;
    if !options.models.contains(&CrashModel::Kill) {
        return Vec::new();
    }
    let mut held: Vec<Held> = plan
        .states
        .iter()
        .zip(judged)
        .enumerate()
        .filter(|(_, (_, judged))| judged.judgement.verdict == Verdict::Held)
        .flat_map(|(index, (state, _))| state.at.iter().map(move |name| (index, name)))
        .filter(|(_, name)| name.model == CrashModel::Kill)
        .map(|(index, name)| (index, name.point))
        .filter(|(_, point)| !recorded.unstable.contains(&findings::address_at(plan, *point)))
        .collect();
    held.sort_unstable_by_key(|(_, point)| *point);
    let mut generator = Generator::new(options.seed);
    let chosen = generator.sample(held.len(), options.live_sample);
    chosen.into_iter().map(|index| held[index]).collect()
}

impl Stage<'_, '_> {
    fn shrink(&mut self, finding: &mut Finding) -> Result<Option<FindingFile>, ExploreError> {
        let Sight { options, local, recorded, .. } = self.sight;
        shrink::shrink(options, local, recorded, finding, self.journalist, self.watch)
    }

    fn progress(&mut self) {
        self.done += 1;
        (self.watch)(&Progress {
            stage: "confirming",
            done: self.done,
            total: self.total,
            elapsed: self.since.elapsed(),
        });
    }

    /// Plans the live kills of a defect; none if no kill leaves its state.
    fn plan_defect(&mut self, defect: &Defect) -> Result<Option<Range<usize>>, ExploreError> {
        let Sight { options, plan, .. } = self.sight;
        let (index, name) = &defect.example;
        let address = findings::address_at(plan, name.point);
        let at = strike_at(name, &address, Scope::All).filter(|_| can_strike(name, plan));
        let Some(at) = at else { return Ok(None) };
        let first = self.planned.len();
        let Judged { judgement, by, .. } = &self.judged[*index];
        for _ in 0..options.confirmations {
            let (at, wanted) = (at.clone(), judgement.verdict.clone());
            self.plan(at, name.clone(), wanted, defect.look, *by)?;
        }
        Ok(Some(first..self.planned.len()))
    }

    fn plan_held(&mut self, (index, point): &Held) -> Result<usize, ExploreError> {
        let address = findings::address_at(self.sight.plan, *point);
        let at = StrikeAt { address, after_bytes: None, scope: Scope::All };
        let state = StateName { point: *point, model: CrashModel::Kill, variant: Variant::Only };
        let look = if self.sight.options.idempotent { Look::RunAgain } else { Look::First };
        self.plan(at, state, Verdict::Held, look, self.judged[*index].by)
    }

    fn plan(
        &mut self,
        at: StrikeAt,
        state: StateName,
        wanted: Verdict,
        look: Look,
        judged_by: Option<usize>,
    ) -> Result<usize, ExploreError> {
        let earlier = self.plan_attempt(&at.address, 1)?;
        self.planned.push(Planned { at, state, wanted, look, judged_by, earlier });
        Ok(self.planned.len() - 1)
    }

    /// Writes a try down; whether it agreed, if an interrupted run made it.
    fn plan_attempt(
        &mut self,
        address: &Address,
        attempt: u32,
    ) -> Result<Option<bool>, ExploreError> {
        self.journalist.tell(Event::StrikePlanned { address: address.clone(), attempt })?;
        let earlier = self.journalist.earlier.take_struck(address, attempt);
        Ok(earlier.map(|(agreed, ..)| agreed))
    }

    /// Makes durable what is planned, and lets the crew begin where it works side by side.
    fn begin(&mut self) -> Result<(), ExploreError> {
        self.journalist.sync()?;
        self.judges.make_room();
        if self.side_by_side() {
            for number in 0..self.planned.len() {
                if self.planned[number].earlier.is_none() {
                    let trial = self.trial(number, 1);
                    self.crew.add(number, trial);
                }
            }
        }
        Ok(())
    }

    fn side_by_side(&self) -> bool {
        self.sight.live_jobs() > 1
    }

    fn trial(&self, number: usize, attempt: u32) -> Trial {
        let at = &self.planned[number].at;
        trial(self.sight.local, &name_of(number, attempt), at, &self.expected(number))
    }

    fn expected(&self, number: usize) -> Expected<'_> {
        let Planned { state, look, .. } = &self.planned[number];
        Expected { look: *look, ..expected(self.sight.recorded, state.point) }
    }

    /// Waits for a live kill, tells of it, and makes it again where it met nothing.
    fn strike(&mut self, number: usize) -> Result<bool, ExploreError> {
        let mut earlier = self.planned[number].earlier;
        for attempt in 1..=RETRIES_MAX {
            if attempt > 1 {
                let address = self.planned[number].at.address.clone();
                earlier = self.plan_attempt(&address, attempt)?;
            }
            let agreed = match earlier {
                Some(agreed) => agreed,
                None => self.strike_once(number, attempt)?,
            };
            if agreed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn strike_once(&mut self, number: usize, attempt: u32) -> Result<bool, ExploreError> {
        let result = match attempt == 1 && self.side_by_side() {
            true => self.crew.result(number)?,
            false => {
                self.journalist.sync()?;
                self.judges.make_room();
                let trial = self.trial(number, attempt);
                self.crew.result_alone(&trial)?
            }
        };
        let Sight { local, recorded, .. } = self.sight;
        let Planned { at, state, wanted, look, judged_by, .. } = &self.planned[number];
        let name = name_of(number, attempt);
        let struck = Struck { name: &name, at, state, result, judged_by: *judged_by };
        let expected = Expected { look: *look, ..expected(recorded, state.point) };
        let strike = examine(local, &mut self.judges, &struck, &expected)?;
        let is_other = strike.exact.is_ok() && strike.judgement.verdict != *wanted;
        if is_other && self.is_same_history(&name, state.point)? {
            self.contradicting.insert(number);
        }
        for suffix in ["rec", "journal"] {
            let _ = fs::remove_file(local.folder.join(&format!("recordings/{name}.{suffix}")));
        }
        let (agreed, reason, detail) = match strike.exact {
            Ok(()) if strike.judgement.verdict == *wanted => (true, None, String::new()),
            Ok(()) => {
                let verdict = &strike.judgement.verdict;
                let detail = format!(
                    "a live kill at {} gives {verdict}, the rebuilt state {wanted}",
                    at.address
                );
                (false, Some(Reason::Diverged), detail)
            }
            Err((_, detail)) if recorded.unstable.contains(&at.address) => {
                let text = format!("not every recording has this address: {detail}");
                (false, Some(Reason::Diverged), text)
            }
            Err((reason, detail)) => (false, Some(reason), detail),
        };
        // Only the last try decides whether the run has an unknown.
        let reason = reason.filter(|_| attempt == RETRIES_MAX);
        let address = at.address.clone();
        self.journalist.tell(Event::Struck { address, attempt, agreed, reason, detail })?;
        Ok(agreed)
    }

    /// Whether a live kill came after the same operations of the same processes as a point. Where they race,
    /// equal addresses may be calls of another one, and the state another one, too.
    fn is_same_history(&self, name: &str, point: u64) -> Result<bool, ExploreError> {
        let length = usize::try_from(point - 1).unwrap_or(usize::MAX);
        let live = read_operations(self.sight.local, name)?;
        let before = self.sight.plan.operations.iter().take(length);
        let same = before
            .zip(&live)
            .filter(|(one, other)| (&one.address, one.process) == (&other.address, other.process));
        Ok(live.len() >= length && same.count() == length)
    }

    fn confirm_defect(
        &mut self,
        defect: &Defect,
        strikes: Option<Range<usize>>,
        found: Option<&Finding>,
    ) -> Result<Confirmation, ExploreError> {
        let mut confirmation = Confirmation::default();
        match (strikes, found) {
            (Some(strikes), _) => {
                for number in strikes {
                    confirmation.tries += 1;
                    confirmation.hits += u32::from(self.strike(number)?);
                }
            }
            (None, Some(found)) => confirmation = found.confirmed,
            (None, None) => {
                for _ in 0..self.sight.options.confirmations {
                    confirmation.tries += 1;
                    confirmation.hits += u32::from(self.judge_again(defect)?);
                }
            }
        }
        self.progress();
        Ok(confirmation)
    }

    /// A state that no kill leaves is rebuilt and judged again, by another judge; live kills go on
    /// meanwhile.
    fn judge_again(&mut self, defect: &Defect) -> Result<bool, ExploreError> {
        let Sight { options, recorded, plan, .. } = self.sight;
        let (index, name) = (defect.example.0, defect.rebuilt(plan));
        let first = &self.judged[index];
        let journal_length = plan.states[index].journal_length;
        let question = Question::once(name, journal_length).looked_at(first.look);
        let place = self.judges.ask_any(&question, first.by)?;
        let (since, patience) = (Instant::now(), self.judges.patience());
        while since.elapsed() < patience && !self.crew.tend(self.judges.channel(place))? {}
        let answer = self.judges.answer_of(place)?;
        let promise = promise(name.model, options);
        let judge =
            |reading: &Reading| judge(reading, &recorded.expectation, journal_length, promise);
        let (again, _) = judge_answer(&answer, judge, recorded.after.as_ref());
        let agreed = again.verdict == first.judgement.verdict;
        if !agreed {
            let text = format!(
                "the state at position {} under {} was {} and is {} when judged again",
                name.point, name.model, first.judgement.verdict, again.verdict
            );
            self.journalist.tell(Event::Unknown { reason: Reason::Diverged, detail: text })?;
        }
        Ok(agreed)
    }
}

/// What the recording of a try is called.
fn name_of(number: usize, attempt: u32) -> String {
    format!("strike-{}-{attempt}", number + 1)
}

fn finding(
    number: u32,
    defect: &Defect,
    sight: Sight<'_>,
    judged: &[Judged],
    confirmed: Confirmation,
) -> Finding {
    let Sight { local, plan, .. } = sight;
    let (index, name) = &defect.example;
    let (holds_before, holds_after) = findings::neighbours(defect, plan, judged);
    let example = &judged[*index];
    Finding {
        number,
        address: findings::address_at(plan, name.point),
        ordinal: name.point,
        shown: findings::shown_at(plan, name.point),
        model: defect.model,
        models: defect.models.iter().copied().collect(),
        class: defect.class,
        judged: defect.class,
        points: defect.points.len() as u64,
        points_of: plan.counts.get(&defect.model).map_or(0, |count| count.points),
        phases: plan.phases_of(&defect.points),
        detail: example.judgement.detail.clone(),
        variant: variant_text(&name.variant, plan),
        confirmed,
        confirmed_live: is_live(name, plan),
        cause: defect.diagnosis.sentence.clone(),
        fix: defect.diagnosis.fix.clone(),
        holds_before,
        holds_after,
        drafts: Drafts::at_crash(&example.judgement),
        shrunk: None,
        replay: format!("killpoint replay {}/{number}", local.folder.id()),
        output: example.output.clone(),
        files: Vec::new(),
        contradicted: false,
        look: defect.look,
    }
}

fn variant_text(variant: &Variant, plan: &Plan) -> String {
    let at = |ordinal: &u64| findings::shown_at(plan, *ordinal);
    match variant {
        Variant::Only => String::new(),
        Variant::Bytes(bytes) => format!("cut after {bytes} bytes"),
        Variant::Write(ordinal) => format!("{} lost", at(ordinal)),
        Variant::WriteBytes(ordinal, bytes) => format!("{} cut after {bytes} bytes", at(ordinal)),
        Variant::File(_) => "one file's unsynced data lost".to_owned(),
        Variant::From(ordinal) => format!("metadata changes from {} on undone", at(ordinal)),
        Variant::Without(ordinal) => format!("{} undone", at(ordinal)),
    }
}
