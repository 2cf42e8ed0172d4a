//! Live kills: each finding under `kill` is shown by really killing the program at its address, and
//! a sample of the points that held is killed live as well.

use super::aftermath::Aftermath;
use super::findings::{self, Defect};
use super::judging::{Judged, promise, with_rerun};
use super::plan::Plan;
use super::recordings::Recorded;
use super::replay::{FindingFile, RunFile};
use super::{ExploreError, Journalist, Options, Progress, Watch, shrink, unknown};
use crate::asserter::checker::{Expectation, Reading, judge};
use crate::asserter::history::{History, Promise};
use crate::asserter::journal::Journal;
use crate::environment::local::{Crew, Judges, LeftBy, Local, Question, Trial, TrialResult};
use killpoint_engine::record::{Scope, StrikeAt};
use killpoint_engine::states::{StateName, Variant};
use killpoint_model::event::Event;
use killpoint_model::report::{Confirmation, Drafts, Finding};
use killpoint_model::seed::Generator;
use killpoint_model::verdict::{Class, Judgement, Reason, Verdict};
use killpoint_model::{Address, CrashModel};
use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::time::Instant;

/// How often a strike that did not fire or met another history is tried again.
pub const RETRIES_MAX: u32 = 3;

/// What a live kill showed.
#[derive(Clone, Debug)]
pub struct Strike {
    /// Whether it fired at the address, after an equal history, and left the state of its own log.
    pub exact: Result<(), (Reason, String)>,
    /// The verdict on what it left; only meaningful where it was exact.
    pub judgement: Judgement,
}

/// What live kills are compared with.
#[derive(Debug)]
pub struct Expected<'a> {
    /// The addresses of the recording before the point, counted.
    pub before: &'a [Address],
    /// Whether several threads or processes made the operations, so that their order may vary.
    pub races: bool,
    /// All addresses of the recording.
    pub all: &'a [Address],
    /// Names that every recording gave birth to.
    pub stable: &'a BTreeSet<String>,
    /// The store before the workload.
    pub initial: Option<&'a crate::asserter::history::Store>,
    /// What readings are held against.
    pub expectation: &'a Expectation,
    /// The store after the undisturbed workload, where the command is to be run again on what the
    /// kill leaves.
    pub after: Option<&'a crate::asserter::history::Store>,
    /// Whether the recording does not say all that happens to the state, so that what a kill
    /// leaves is taken as it is.
    pub unseen: bool,
}

/// How what a live run did before a strike compares with what the recording did before the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// The same calls in the same order.
    Same,
    /// Calls of the recording in another order: threads or processes race.
    Other,
}

/// Kills the target once at an address and judges what it left.
///
/// # Errors
/// If a worker fails.
pub fn strike(
    local: &Local,
    judges: &mut Judges,
    name: &str,
    at: StrikeAt,
    state: &StateName,
    expected: &Expected<'_>,
) -> Result<Strike, ExploreError> {
    judges.make_room();
    let result = local.run(&trial(local, name, &at, expected))?;
    let struck = Struck { name, at: &at, state, result, judged_by: None };
    examine(local, judges, &struck, expected)
}

fn trial(local: &Local, name: &str, at: &StrikeAt, expected: &Expected<'_>) -> Trial {
    Trial {
        name: name.to_owned(),
        stable: Some(expected.stable.clone()),
        strike: Some(at.clone()),
        // A checker changes what it reads; what the command is run again on must be untouched.
        read_after: expected.after.is_none(),
        has_reader: true,
        keep_left: expected.unseen,
        pin: local.pin,
    }
}

/// What a live kill has left.
struct Struck<'a> {
    /// Name of its recording.
    name: &'a str,
    at: &'a StrikeAt,
    /// The state that it should be.
    state: &'a StateName,
    result: TrialResult,
    /// The place of the judge who read that state before.
    judged_by: Option<usize>,
}

/// Whether a live kill was one at the address, and the verdict on what it left.
fn examine(
    local: &Local,
    judges: &mut Judges,
    struck: &Struck<'_>,
    expected: &Expected<'_>,
) -> Result<Strike, ExploreError> {
    let Struck { name, at, state, result, judged_by } = struck;
    let strike = |exact, judgement| Strike { exact, judgement };
    let nothing = Judgement::held();
    let addresses = super::recordings::read_addresses(local, name)?;
    if !result.ending.struck {
        let text = format!("no call of this run had the address {}", at.address);
        return Ok(strike(Err((Reason::NotFired, text)), nothing));
    }
    // After it stand a write that was let in part of the way, and what survivors did.
    let length = usize::try_from(result.ending.struck_after.unwrap_or(0)).unwrap_or(usize::MAX);
    let before = &addresses[..length.min(addresses.len())];
    let order = match same_history(before, expected) {
        Ok(order) => order,
        Err(why) => {
            let text = format!("{} operations came before {}, and {why}", before.len(), at.address);
            return Ok(strike(Err((Reason::Diverged, text)), nothing));
        }
    };
    let unexpected = result
        .differences
        .iter()
        .find(|difference| !result.ending.mapped.contains(&difference.path));
    if let Some(difference) = unexpected.filter(|_| !expected.unseen) {
        let text = format!(
            "the killed state is not the one that its own log says: {} {}",
            difference.path, difference.what
        );
        return Ok(strike(Err((Reason::Diverged, text)), nothing));
    }
    let judgement = match &result.after {
        Some(reading) => judge_live(local, name, reading, expected),
        None => {
            let left_by = LeftBy {
                recording: (*name).to_owned(),
                other_order: order == Order::Other,
                unseen: expected.unseen && !result.differences.is_empty(),
            };
            let question = Question {
                rerun: expected.after.is_some(),
                ..Question::left_by(left_by, Some(state))
            };
            let answer = judges.read(&question, *judged_by)?;
            let first = judge_live(local, name, &answer.reading, expected);
            with_rerun(first, &answer, expected.after)
        }
    };
    Ok(strike(Ok(()), judgement))
}

fn judge_live(local: &Local, name: &str, reading: &Reading, expected: &Expected<'_>) -> Judgement {
    let Expectation::Journal(_) = expected.expectation else {
        return judge(reading, expected.expectation, u64::MAX, Promise::Kill);
    };
    // Values in a journal may differ from run to run, so this run's own journal decides.
    let path = local.folder.join(&format!("recordings/{name}.journal"));
    let own = fs::read(&path)
        .map_err(|error| error.to_string())
        .and_then(|bytes| Journal::parse(&bytes).map_err(|error| error.to_string()))
        .and_then(|journal| {
            let initial = expected.initial.cloned().unwrap_or_default();
            History::new(&journal, local.intents_start, initial).map_err(|error| error.to_string())
        });
    match own {
        Ok(history) => {
            let expectation = Expectation::Journal(Box::new(history));
            judge(reading, &expectation, u64::MAX, Promise::Kill)
        }
        Err(problem) => Judgement::unknown(Reason::JudgeFailed, problem),
    }
}

/// Whether what a live run did before the strike is what the recording did before the point or,
/// where threads or processes race, other operations of the recording: another interleaving of them.
fn same_history(live: &[Address], expected: &Expected<'_>) -> Result<Order, String> {
    // Stores into a mapping make no call; at which stop they are seen is a matter of chance.
    let calls = |addresses: &'_ [Address]| -> Vec<Address> {
        addresses.iter().filter(|a| super::recordings::is_call(a)).cloned().collect()
    };
    let live = calls(live);
    if live == calls(expected.before) {
        return Ok(Order::Same);
    }
    if !expected.races {
        return Err("they are not those of the recording, in its order".to_owned());
    }
    let all: BTreeSet<&Address> = expected.all.iter().collect();
    match live.iter().find(|address| !all.contains(address)) {
        Some(foreign) => Err(format!("the recording has no {foreign}")),
        None => Ok(Order::Other),
    }
}

/// What a live kill at a point is compared with.
pub(super) fn expected<'a>(recorded: &'a Recorded, point: u64) -> Expected<'a> {
    let length = usize::try_from(point - 1).unwrap_or(usize::MAX).min(recorded.addresses.len());
    Expected {
        before: &recorded.addresses[..length],
        all: &recorded.addresses,
        races: recorded.result.ending.callers > 1,
        stable: &recorded.stable,
        initial: recorded.initial.as_ref(),
        expectation: &recorded.expectation,
        after: None,
        unseen: recorded.has_unseen_changes(),
    }
}

/// Where a state that a kill can leave is struck; none for power loss.
pub fn strike_at(name: &StateName, address: &Address, scope: Scope) -> Option<StrikeAt> {
    let address = address.clone();
    match (name.model, &name.variant) {
        (CrashModel::Kill, _) => Some(StrikeAt { address, after_bytes: None, scope }),
        (CrashModel::TornWrite, Variant::Bytes(bytes)) => {
            Some(StrikeAt { address, after_bytes: Some(*bytes), scope })
        }
        _ => None,
    }
}

/// Whether a live kill can leave the state. A write is cut by its third argument, the length; of the
/// vectored writes and of sendfile and its kin that is something else.
pub fn can_strike(name: &StateName, plan: &Plan) -> bool {
    let index = usize::try_from(name.point - 1).unwrap_or(usize::MAX);
    let call = plan.operations.get(index).map_or("", |operation| operation.call.as_str());
    name.model == CrashModel::Kill || ["write", "pwrite64"].contains(&call)
}

fn is_live(name: &StateName, plan: &Plan) -> bool {
    strike_at(name, &findings::address_at(plan, name.point), Scope::All).is_some()
        && can_strike(name, plan)
}

/// What the stages before have made.
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
    /// Their verdicts.
    pub judged: &'a [Judged],
}

/// A live kill that is to be made.
struct Planned {
    at: StrikeAt,
    state: StateName,
    /// The verdict on the rebuilt state.
    wanted: Verdict,
    /// Whether that is on what the command leaves when it is run again.
    rerun: bool,
    /// The place of the judge who gave it.
    judged_by: Option<usize>,
    /// Whether the first try agreed, if an interrupted run made it.
    earlier: Option<bool>,
}

struct Stage<'a, 'w> {
    sight: Sight<'a>,
    judges: Judges,
    crew: Crew<'a>,
    planned: Vec<Planned>,
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
    judges: Judges,
    defects: Vec<Defect>,
    journalist: &mut Journalist,
    watch: Watch<'_>,
) -> Result<u32, ExploreError> {
    let Sight { options, local, recorded, plan, judged } = sight;
    let known = findings::read_baseline(options)?;
    let count = u32::try_from(defects.len()).unwrap_or(u32::MAX);
    RunFile::of(options, local, recorded).write(&local.folder)?;
    let sample = sample(options, recorded, plan, judged);
    let mut stage = Stage {
        sight,
        judges,
        crew: Crew::new(local, options.jobs_in(local.containment)),
        planned: Vec::new(),
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
        let confirmed = stage.confirm_defect(defect, strikes, found.as_ref())?;
        if found.is_some() {
            continue;
        }
        let mut finding = finding(number, defect, sight, confirmed);
        let Aftermath { files, copy } = Aftermath::of(local, recorded, plan, judged, defect)?;
        finding.files = files;
        if let Some(copy) = copy.filter(|_| !finding.rerun) {
            finding.class = Class::RecoverableByHand;
            finding.detail = format!("{} {}", finding.detail, copy.sentence());
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
fn sample(options: &Options, recorded: &Recorded, plan: &Plan, judged: &[Judged]) -> Vec<Held> {
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
        let Sight { options, plan, judged, .. } = self.sight;
        let (index, name) = &defect.example;
        let address = findings::address_at(plan, name.point);
        let at = strike_at(name, &address, Scope::All).filter(|_| can_strike(name, plan));
        let Some(at) = at else { return Ok(None) };
        let first = self.planned.len();
        let Judged { judgement, by, .. } = &judged[*index];
        for _ in 0..options.confirmations {
            let (at, wanted) = (at.clone(), judgement.verdict.clone());
            self.plan(at, name.clone(), wanted, defect.rerun, *by)?;
        }
        Ok(Some(first..self.planned.len()))
    }

    fn plan_held(&mut self, (index, point): &Held) -> Result<usize, ExploreError> {
        let address = findings::address_at(self.sight.plan, *point);
        let at = StrikeAt { address, after_bytes: None, scope: Scope::All };
        let state = StateName { point: *point, model: CrashModel::Kill, variant: Variant::Only };
        let Sight { options, judged, .. } = self.sight;
        self.plan(at, state, Verdict::Held, options.idempotent, judged[*index].by)
    }

    fn plan(
        &mut self,
        at: StrikeAt,
        state: StateName,
        wanted: Verdict,
        rerun: bool,
        judged_by: Option<usize>,
    ) -> Result<usize, ExploreError> {
        let earlier = self.plan_attempt(&at.address, 1)?;
        self.planned.push(Planned { at, state, wanted, rerun, judged_by, earlier });
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
                    self.crew.add(key(number, 1), trial);
                }
            }
        }
        Ok(())
    }

    fn side_by_side(&self) -> bool {
        self.sight.options.jobs_in(self.sight.local.containment) > 1
    }

    fn trial(&self, number: usize, attempt: u32) -> Trial {
        let at = &self.planned[number].at;
        trial(self.sight.local, &name_of(number, attempt), at, &self.expected(number))
    }

    fn expected(&self, number: usize) -> Expected<'_> {
        let Planned { state, rerun, .. } = &self.planned[number];
        let recorded = self.sight.recorded;
        let after = recorded.after.as_ref().filter(|_| *rerun);
        Expected { after, ..expected(recorded, state.point) }
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
        if attempt > 1 || !self.side_by_side() {
            self.journalist.sync()?;
            self.judges.make_room();
            let trial = self.trial(number, attempt);
            self.crew.add_first(key(number, attempt), trial);
        }
        let result = self.crew.result(key(number, attempt))?;
        let Sight { local, recorded, .. } = self.sight;
        let Planned { at, state, wanted, rerun, judged_by, .. } = &self.planned[number];
        let name = name_of(number, attempt);
        let struck = Struck { name: &name, at, state, result, judged_by: *judged_by };
        let after = recorded.after.as_ref().filter(|_| *rerun);
        let expected = Expected { after, ..expected(recorded, state.point) };
        let strike = examine(local, &mut self.judges, &struck, &expected)?;
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
        let Sight { options, recorded, plan, judged, .. } = self.sight;
        let (index, name) = &defect.example;
        let first = &judged[*index];
        let journal_length = plan.states[*index].journal_length;
        let question = Question { rerun: first.rerun, ..Question::once(name, journal_length) };
        let place = self.judges.ask_any(&question, first.by)?;
        let (since, patience) = (Instant::now(), self.judges.patience());
        while since.elapsed() < patience && !self.crew.tend(self.judges.channel(place))? {}
        let answer = self.judges.answer_of(place)?;
        let promise = promise(name.model, options);
        let again = judge(&answer.reading, &recorded.expectation, journal_length, promise);
        let again = with_rerun(again, &answer, recorded.after.as_ref());
        let agreed = again.verdict == first.judgement.verdict;
        if !agreed {
            let text = format!(
                "the state at position {} under {} was {} and is {} when judged again",
                name.point, name.model, first.judgement.verdict, again.verdict
            );
            self.journalist.tell(unknown(Reason::Diverged, text))?;
        }
        Ok(agreed)
    }
}

/// What a try is called in the crew.
fn key(number: usize, attempt: u32) -> usize {
    number * (RETRIES_MAX as usize + 1) + attempt as usize
}

/// What the recording of a try is called.
fn name_of(number: usize, attempt: u32) -> String {
    format!("strike-{}-{attempt}", number + 1)
}

fn finding(number: u32, defect: &Defect, sight: Sight<'_>, confirmed: Confirmation) -> Finding {
    let Sight { local, plan, judged, .. } = sight;
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
        rerun: defect.rerun,
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
