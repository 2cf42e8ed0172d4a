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
use crate::environment::local::{Answer, JudgeWorker, LeftBy, Local, LocalError, Question, Trial};
use killpoint_engine::record::{Scope, StrikeAt};
use killpoint_engine::states::{Models, StateName, Variant};
use killpoint_model::event::Event;
use killpoint_model::report::{Confirmation, Drafts, Finding};
use killpoint_model::seed::Generator;
use killpoint_model::verdict::{Class, Judgement, Reason, Verdict};
use killpoint_model::{Address, CrashModel};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

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

/// A worker, other than those that have judged, that reads what live kills left and judges again.
/// It is started when it is first asked; a stream checker's start-up and what the built-in oracle
/// learns are paid once.
#[derive(Debug)]
pub struct Reader<'a> {
    local: &'a Local,
    recording: &'a str,
    models: Models,
    worker: Option<JudgeWorker>,
}

impl<'a> Reader<'a> {
    /// A reader of states of a recording.
    pub fn new(local: &'a Local, recording: &'a str, models: Models) -> Self {
        Reader { local, recording, models, worker: None }
    }

    /// Reads one state.
    ///
    /// # Errors
    /// If the worker fails; the next state gets a new one.
    pub fn read(&mut self, question: &Question) -> Result<Answer, LocalError> {
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => self.local.judge_worker(self.recording, &self.models)?,
        };
        worker.ask(question)?;
        let answer = worker.answer(self.local.checker_timeout * 4 + Duration::from_secs(60))?;
        self.worker = Some(worker);
        Ok(answer)
    }
}

/// Kills the target once at an address and judges what it left.
///
/// # Errors
/// If the worker fails.
pub fn strike(
    name: &str,
    at: StrikeAt,
    state: &StateName,
    expected: &Expected<'_>,
    reader: &mut Reader<'_>,
) -> Result<Strike, ExploreError> {
    let local = reader.local;
    let trial = Trial {
        name: name.to_owned(),
        stable: Some(expected.stable.clone()),
        strike: Some(at.clone()),
        read_before: false,
        // A checker changes what it reads; what the command is run again on must be untouched.
        read_after: expected.after.is_none(),
        has_reader: true,
        keep_left: expected.unseen,
    };
    let result = local.run(&trial)?;
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
    let judgement = match result.after {
        Some(reading) => judge_live(local, name, &reading, expected),
        None => {
            let answer = reader.read(&Question {
                state: state.clone(),
                journal_length: u64::MAX,
                again: false,
                rerun: expected.after.is_some(),
                left_by: Some(LeftBy {
                    recording: name.to_owned(),
                    other_order: order == Order::Other,
                    unseen: expected.unseen && !result.differences.is_empty(),
                }),
            })?;
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
    let own = std::fs::read(&path)
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

struct Stage<'a, 'w> {
    options: &'a Options,
    local: &'a Local,
    recorded: &'a Recorded,
    plan: &'a Plan,
    journalist: &'a mut Journalist,
    watch: Watch<'w>,
    reader: Reader<'a>,
    since: Instant,
    done: u64,
    total: u64,
    number: u32,
}

/// Confirms every defect, kills a sample of held points, writes the findings; returns how many.
///
/// # Errors
/// If a worker fails, or the run's folder cannot be written.
#[expect(clippy::too_many_arguments, reason = "what the stages before have made")]
pub fn confirm(
    options: &Options,
    local: &Local,
    recorded: &Recorded,
    plan: &Plan,
    judged: &[Judged],
    defects: Vec<Defect>,
    journalist: &mut Journalist,
    watch: Watch<'_>,
) -> Result<u32, ExploreError> {
    let known = findings::read_baseline(options)?;
    let count = u32::try_from(defects.len()).unwrap_or(u32::MAX);
    RunFile::of(options, local, recorded).write(&local.folder)?;
    let sample = sample(options, recorded, plan, judged);
    let total = (defects.len() + sample.len()) as u64;
    let since = Instant::now();
    let mut stage = Stage {
        options,
        local,
        recorded,
        plan,
        journalist,
        watch,
        reader: Reader::new(local, &recorded.name, plan.models.clone()),
        since,
        done: 0,
        total,
        number: 0,
    };
    for (index, defect) in defects.into_iter().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        if stage.journalist.earlier.take_found(number).is_some() {
            stage.progress();
            continue;
        }
        let confirmed = stage.confirm_defect(&defect, judged)?;
        let mut finding = finding(number, &defect, plan, judged, confirmed, local);
        let Aftermath { files, copy } = Aftermath::of(local, recorded, plan, judged, &defect)?;
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
            None => FindingFile::of(&finding, &defect, plan),
        };
        file.write(&local.folder)?;
        let known = known.contains(&finding.key());
        stage.journalist.tell(Event::Found { finding: Box::new(finding), known })?;
    }
    if options.shrink && count > shrink::FINDINGS_MAX {
        let text = format!("the first {} of {count} findings were shrunk", shrink::FINDINGS_MAX);
        stage.journalist.tell(Event::Note { text })?;
    }
    for point in sample {
        stage.check_held(point)?;
    }
    Ok(count)
}

/// Held points to kill live: seeded, spread over the run.
fn sample(options: &Options, recorded: &Recorded, plan: &Plan, judged: &[Judged]) -> Vec<u64> {
    if !options.models.contains(&CrashModel::Kill) {
        return Vec::new();
    }
    let mut held: Vec<u64> = plan
        .states
        .iter()
        .zip(judged)
        .filter(|(_, judged)| judged.judgement.verdict == Verdict::Held)
        .flat_map(|(state, _)| &state.at)
        .filter(|name| name.model == CrashModel::Kill)
        .map(|name| name.point)
        .filter(|point| !recorded.unstable.contains(&findings::address_at(plan, *point)))
        .collect();
    held.sort_unstable();
    let mut generator = Generator::new(options.seed);
    let chosen = generator.sample(held.len(), options.live_sample);
    chosen.into_iter().map(|index| held[index]).collect()
}

impl Stage<'_, '_> {
    fn shrink(&mut self, finding: &mut Finding) -> Result<Option<FindingFile>, ExploreError> {
        let Stage { options, local, recorded, .. } = *self;
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

    /// One live kill, logged before and after, tried again where it met nothing.
    fn strike(
        &mut self,
        at: &StrikeAt,
        state: &StateName,
        wanted: &Verdict,
        rerun: bool,
    ) -> Result<bool, ExploreError> {
        let mut last = (Reason::NotFired, String::new());
        for attempt in 1..=RETRIES_MAX {
            let address = at.address.clone();
            self.journalist.tell(Event::StrikePlanned { address: address.clone(), attempt })?;
            if let Some((agreed, ..)) = self.journalist.earlier.take_struck(&at.address, attempt) {
                match agreed {
                    true => return Ok(true),
                    false => continue,
                }
            }
            self.journalist.sync()?;
            self.number += 1;
            let name = format!("strike-{}", self.number);
            let after = self.recorded.after.as_ref().filter(|_| rerun);
            let expected = Expected { after, ..expected(self.recorded, state.point) };
            let strike = strike(&name, at.clone(), state, &expected, &mut self.reader)?;
            let _ = std::fs::remove_file(self.local.folder.join(&format!("recordings/{name}.rec")));
            let _ =
                std::fs::remove_file(self.local.folder.join(&format!("recordings/{name}.journal")));
            let (agreed, reason, detail) = match strike.exact {
                Ok(()) => {
                    let agreed = strike.judgement.verdict == *wanted;
                    let detail = match agreed {
                        true => String::new(),
                        false => format!(
                            "a live kill at {} gives {}, the rebuilt state {wanted}",
                            at.address, strike.judgement.verdict
                        ),
                    };
                    (agreed, (!agreed).then_some(Reason::Diverged), detail)
                }
                Err((_, detail)) if self.recorded.unstable.contains(&at.address) => {
                    let text = format!("not every recording has this address: {detail}");
                    (false, Some(Reason::Diverged), text)
                }
                Err((reason, detail)) => (false, Some(reason), detail),
            };
            last = (reason.unwrap_or(Reason::Diverged), detail.clone());
            // Only the last try decides whether the run has an unknown.
            let counted = if attempt == RETRIES_MAX { reason } else { None };
            self.journalist.tell(Event::Struck {
                address,
                attempt,
                agreed,
                reason: counted,
                detail,
            })?;
            if agreed {
                return Ok(true);
            }
        }
        let _ = last;
        Ok(false)
    }

    fn confirm_defect(
        &mut self,
        defect: &Defect,
        judged: &[Judged],
    ) -> Result<Confirmation, ExploreError> {
        let (index, name) = &defect.example;
        let address = findings::address_at(self.plan, name.point);
        let mut confirmation = Confirmation::default();
        let live = strike_at(name, &address, Scope::All).filter(|_| can_strike(name, self.plan));
        for _ in 0..self.options.confirmations {
            confirmation.tries += 1;
            let hit = match &live {
                Some(at) => {
                    self.strike(at, name, &judged[*index].judgement.verdict, defect.rerun)?
                }
                None => self.judge_again(*index, name, &judged[*index])?,
            };
            confirmation.hits += u32::from(hit);
        }
        self.progress();
        Ok(confirmation)
    }

    /// A state that no kill leaves is rebuilt and judged again, by another worker.
    fn judge_again(
        &mut self,
        index: usize,
        name: &StateName,
        first: &Judged,
    ) -> Result<bool, ExploreError> {
        let journal_length = self.plan.states[index].journal_length;
        let answer = self.reader.read(&Question {
            state: name.clone(),
            journal_length,
            again: false,
            rerun: first.rerun,
            left_by: None,
        })?;
        let promise = promise(name.model, self.options);
        let again = judge(&answer.reading, &self.recorded.expectation, journal_length, promise);
        let again = with_rerun(again, &answer, self.recorded.after.as_ref());
        let first = &first.judgement;
        let agreed = again.verdict == first.verdict;
        if !agreed {
            let text = format!(
                "the state at position {} under {} was {} and is {} when judged again",
                name.point, name.model, first.verdict, again.verdict
            );
            self.journalist.tell(unknown(Reason::Diverged, text))?;
        }
        Ok(agreed)
    }

    fn check_held(&mut self, point: u64) -> Result<(), ExploreError> {
        let address = findings::address_at(self.plan, point);
        let at = StrikeAt { address, after_bytes: None, scope: Scope::All };
        let state = StateName { point, model: CrashModel::Kill, variant: Variant::Only };
        self.strike(&at, &state, &Verdict::Held, self.options.idempotent)?;
        self.progress();
        Ok(())
    }
}

fn finding(
    number: u32,
    defect: &Defect,
    plan: &Plan,
    judged: &[Judged],
    confirmed: Confirmation,
    local: &Local,
) -> Finding {
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
