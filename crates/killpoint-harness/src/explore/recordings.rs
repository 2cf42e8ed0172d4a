//! The control and its repetitions: what the undisturbed command does, and which of it is the same
//! every time.

mod back;
mod barred;
mod beside;
mod blind;
mod compared;
mod failure;
mod seconds;
mod told;

use super::options::Options;
use super::phases::Phases;
use super::problem::ExploreError;
pub use back::{is_call, read_addresses, read_ending, read_journal, read_operations};

use crate::asserter::checker::{Checker, Expectation, Reading, control_store, judge};
use crate::asserter::history::{History, Promise, Store};
use crate::asserter::journal::Journal;
use crate::environment::local::{
    Judges, LeftBy, Local, LocalError, Question, RunningTrial, Trial, TrialResult,
};
use crate::journalist::{Journalist, Progress, Watch};
use blind::what_is_not_judged;
use compared::{Compared, operations};
use failure::workload_failure;
use killpoint_engine::compare::Difference;
use killpoint_engine::recording::Exit;
use killpoint_model::Address;
use killpoint_model::event::Event;
use killpoint_model::report::NotCovered;
use killpoint_model::verdict::{Reason, Verdict};
use std::collections::BTreeSet;
use std::time::Instant;
use told::{note_gaps, note_idle_roles, tell_recorded, tell_timeline};

/// Recordings made to find out which names are the same every time.
const NAMING_RECORDINGS_MAX: u32 = 4;

/// The recording that everything is judged by, and what the others say about it.
#[derive(Debug)]
pub struct Recorded {
    /// Its name in the folder of the run.
    pub name: String,
    /// Its addresses, in order; position 1 is index 0.
    pub addresses: Vec<Address>,
    /// Addresses that not every recording had.
    pub unstable: BTreeSet<Address>,
    /// Whether all recordings had their addresses in the same order.
    pub same_order: bool,
    /// Names that every recording gave birth to.
    pub stable: BTreeSet<String>,
    /// Where its phases begin.
    pub phases: Phases,
    /// The journal, whole.
    pub journal: Journal,
    /// Length of the journal at the start of the workload.
    pub start: u64,
    /// What readings are held against.
    pub expectation: Expectation,
    /// The store before the workload, for live kills' own histories.
    pub initial: Option<Store>,
    /// The store after the undisturbed workload.
    pub after: Option<Store>,
    /// How the workload ended.
    pub result: TrialResult,
}

impl Recorded {
    /// Whether something changed the state that is not in the recording, so that the states at its
    /// points cannot be rebuilt.
    pub fn has_unseen_changes(&self) -> bool {
        self.unseen_changes().next().is_some()
    }

    /// The files that were changed so.
    pub fn unseen_changes(&self) -> impl Iterator<Item = &str> {
        unseen_changes(&self.result).map(|difference| difference.path.as_str())
    }
}

/// Where the end that the recording says differs from the real one, files apart of which the
/// recording follows a mapping.
fn unseen_changes(result: &TrialResult) -> impl Iterator<Item = &Difference> {
    let mapped = &result.ending.mapped;
    result.differences.iter().filter(|difference| !mapped.contains(&difference.path))
}

/// Whether there is something to go on from.
#[derive(Debug)]
pub enum Control {
    /// The undisturbed workload did what it should.
    Held(Box<Recorded>),
    /// It did not, and why.
    Failed(String),
    /// Whether it did cannot be said, and why.
    Unknown(Reason, String),
}

/// Records the command as often as was asked, and judges the undisturbed runs.
///
/// # Errors
/// If a worker fails or the log cannot be written.
pub fn record(
    options: &Options,
    local: &Local,
    judges: &mut Judges,
    journalist: &mut Journalist,
    watch: Watch<'_>,
) -> Result<Control, ExploreError> {
    let since = Instant::now();
    let total = u64::from(options.recordings);
    let mut tell = |done: u64| {
        watch(&Progress { stage: "recording", done, total, elapsed: since.elapsed() });
    };
    tell(0);
    let First { result: first, mut second, mut set_aside } =
        run_first(options, local, judges, journalist)?;
    if let Some(control) = workload_failure(local, &first) {
        return Ok(control);
    }
    tell(1);
    let (journal, start, initial, expectation) = match expect(local, &first) {
        Ok(expected) => expected,
        Err(why) => return Ok(Control::Failed(why)),
    };
    if let Some(reading) = &first.after
        && let Err(why) = judge_control(reading, &expectation, u64::MAX)
    {
        let why = format!("after the undisturbed workload the store is not as promised: {why}");
        if first.ending.gaps.is_empty() {
            return Ok(Control::Failed(why));
        }
        note_gaps(options, local, &first, journalist)?;
        return Ok(Control::Unknown(Reason::NotCovered, why));
    }
    note_gaps(options, local, &first, journalist)?;
    let mut stable: BTreeSet<String> = first.ending.named.iter().cloned().collect();
    let mut number = 1;
    let mut chosen = first;
    let mut name = "1".to_owned();
    let mut addresses = read_addresses(local, &name)?;
    let mut others = Vec::new();
    let mut wanted = options.recordings;
    while number < wanted {
        number += 1;
        let again = match second.take() {
            Some(running) => end(local, judges, journalist, number, running)?,
            None => run(local, judges, journalist, number, Some(stable.clone()), false)?,
        };
        if let Some(control) = workload_failure(local, &again) {
            return Ok(control);
        }
        note_gaps(options, local, &again, journalist)?;
        let named: BTreeSet<String> = again.ending.named.iter().cloned().collect();
        if named == stable || number > NAMING_RECORDINGS_MAX {
            others.push((number, read_addresses(local, &number.to_string())?));
            tell(u64::from(number));
            if number == options.recordings && seconds::has_digests(&stable) {
                seconds::await_next();
                wanted += 1;
            }
            continue;
        }
        // Names vary: record anew, with what is common to all so far, and compare with that.
        stable = stable.intersection(&named).cloned().collect();
        let again = read_addresses(local, &number.to_string())?;
        set_aside = set_aside.max(operations(&addresses)).max(operations(&again));
        if seconds::has_digests(&stable) {
            seconds::await_next();
        }
        number += 1;
        chosen = TrialResult {
            before: chosen.before.clone(),
            ..run(local, judges, journalist, number, Some(stable.clone()), true)?
        };
        name = number.to_string();
        addresses = read_addresses(local, &name)?;
        let again_number = number + 1;
        run(local, judges, journalist, again_number, Some(stable.clone()), false)?;
        others = vec![(again_number, read_addresses(local, &again_number.to_string())?)];
        number = number.max(wanted);
    }
    let (journal, start, initial, expectation) = match name.as_str() {
        "1" => (journal, start, initial, expectation),
        _ => match expect_from(local, &name, &chosen) {
            Ok(expected) => expected,
            Err(why) => return Ok(Control::Failed(why)),
        },
    };
    if let Expectation::Between { ends } = &expectation
        && let Some(text) = what_is_not_judged(ends.as_ref(), &chosen)
    {
        let reason = text.to_owned();
        journalist.tell(match ends {
            Some(_) => Event::Note { text: reason },
            None => Event::NotCovered(NotCovered { file: "*".to_owned(), reason, needed: false }),
        })?;
    }
    let judged = (name.parse().expect("recordings are called by their numbers"), addresses);
    let Compared { unstable, same_order, beyond } = Compared::of(&judged, &others, set_aside);
    if let Some(detail) = beyond {
        journalist.tell(Event::Unknown { reason: Reason::Diverged, detail })?;
    }
    let (_, addresses) = judged;
    note_idle_roles(local, &addresses, journalist)?;
    let phases = Phases::of(options, local, &chosen.ending);
    tell_timeline(local, &name, &journal, &phases, journalist)?;
    Ok(Control::Held(Box::new(Recorded {
        name,
        addresses,
        unstable,
        same_order,
        stable,
        phases,
        journal,
        start,
        expectation,
        initial,
        after: store_of(chosen.after.as_ref()),
        result: chosen,
    })))
}

/// Records the command once under a name of its own, and judges the control, telling nobody. The
/// text is why it cannot serve as a control.
///
/// # Errors
/// If a worker fails.
pub(super) fn record_once(
    options: &Options,
    local: &Local,
    name: &str,
    stable: &BTreeSet<String>,
) -> Result<Result<Recorded, String>, ExploreError> {
    let trial = Trial {
        name: name.to_owned(),
        stable: Some(stable.clone()),
        strike: None,
        read_after: true,
        has_reader: false,
        keep_left: false,
        pin: local.pin,
    };
    let mut before = None;
    if local.checker != Checker::BuiltIn {
        before = Some(Judges::new(local).read(&Question::initial(), None)?.reading);
    }
    let result = TrialResult { before, ..local.run(&trial)? };
    match workload_failure(local, &result) {
        Some(Control::Failed(why) | Control::Unknown(_, why)) => return Ok(Err(why)),
        Some(Control::Held(_)) | None => {}
    }
    let (journal, start, initial, expectation) = match expect_from(local, name, &result) {
        Ok(expected) => expected,
        Err(why) => return Ok(Err(why)),
    };
    if let Some(reading) = &result.after
        && let Err(why) = judge_control(reading, &expectation, u64::MAX)
    {
        return Ok(Err(why));
    }
    Ok(Ok(Recorded {
        name: name.to_owned(),
        addresses: read_addresses(local, name)?,
        unstable: BTreeSet::new(),
        same_order: true,
        stable: stable.clone(),
        phases: Phases::of(options, local, &result.ending),
        journal,
        start,
        expectation,
        initial,
        after: result.after.as_ref().and_then(|reading| control_store(reading, "").ok()),
        result,
    }))
}

type Expected = (Journal, u64, Option<Store>, Expectation);

/// What the first recording says readings are to be held against.
fn expect(local: &Local, first: &TrialResult) -> Result<Expected, String> {
    expect_from(local, "1", first)
}

fn expect_from(local: &Local, name: &str, result: &TrialResult) -> Result<Expected, String> {
    let journal = read_journal(local, name)?;
    let intents = local.intents_start;
    let promises = journal.lines().iter().any(|line| line.start >= intents);
    let readings = (result.before.as_ref(), result.after.as_ref());
    let (initial, expectation) = match (&local.checker, promises, readings) {
        (Checker::BuiltIn, _, _) => (None, Expectation::BuiltIn),
        (_, true, (Some(before), _)) => {
            let store =
                control_store(before, "before the workload").map_err(|error| error.to_string())?;
            let history = History::new(&journal, intents, store.clone())
                .map_err(|error| error.to_string())?;
            (Some(store), Expectation::Journal(Box::new(history)))
        }
        (_, _, (before, after)) => (None, between(before, after)?),
    };
    Ok((journal, intents, initial, expectation))
}

/// The store that a reading shows, if it shows one.
fn store_of(reading: Option<&Reading>) -> Option<Store> {
    control_store(reading?, "").ok()
}

/// Without a journal: the stores at both ends, if the checker prints stores at all.
fn between(before: Option<&Reading>, after: Option<&Reading>) -> Result<Expectation, String> {
    for (reading, when) in [(before, "before the workload"), (after, "after the workload")] {
        match reading {
            Some(Reading::Printed(_)) | None => {}
            Some(other) => {
                control_store(other, when).map_err(|error| error.to_string())?;
            }
        }
    }
    let ends = store_of(before).zip(store_of(after));
    Ok(Expectation::Between { ends })
}

/// The first recording, and what came of making the second at the same time.
struct First {
    result: TrialResult,
    /// The second, if both are alike.
    second: Option<RunningTrial>,
    /// The operations of the longest that was set aside; 0 if none was.
    set_aside: u64,
}

/// The control, read before and after. Where there is more than one job the second recording is made
/// at the same time, on another processor, and counts if both are alike. Else one may have been in the
/// other's way, outside of what is contained, and the first is made again, alone.
fn run_first(
    options: &Options,
    local: &Local,
    judges: &mut Judges,
    journalist: &mut Journalist,
) -> Result<First, ExploreError> {
    let (mut second, mut set_aside) = (None, journalist.earlier.set_aside());
    if let Some(result) = recorded_earlier(local, journalist, 1)? {
        return Ok(First { result, second, set_aside });
    }
    let jobs = options.jobs_in(local.containment);
    let side_by_side = jobs > 1;
    let reads = local.checker != Checker::BuiltIn;
    let mut before = None;
    if reads && !side_by_side {
        before = Some(judges.read(&Question::initial(), None)?);
    }
    judges.make_room();
    let first = local.start(&trial(local, 1, None, true))?;
    if side_by_side && options.recordings > 1 && journalist.earlier.recorded(2).is_none() {
        let trial = Trial { pin: local.processor(1), ..trial(local, 2, None, false) };
        second = Some(local.start(&trial)?);
    }
    if reads && side_by_side {
        // All of them: a worker keeps what this process holds when it is made, which is little yet.
        judges.have(jobs)?;
        judges.ask(0, &Question::initial())?;
    }
    let mut result = first.finish()?;
    if reads && side_by_side {
        before = Some(judges.answer_of(0)?);
    }
    if let Some(other) = &mut second
        && result.ending.exit != Exit::TimedOut
        && let Some(operations) = unlike(local, &result, other)?
    {
        // Before the new one: a resumed run has that, and not these.
        journalist.tell(Event::SetAside { operations })?;
        (second, set_aside) = (None, set_aside.max(operations));
        result = local.run(&trial(local, 1, None, true))?;
    }
    let mut result = read_after(local, judges, 1, result)?;
    if let Some(before) = before {
        result.reading = result.reading.max(before.elapsed);
        result.before = Some(before.reading);
    }
    tell_recorded(local, journalist, 1, &result)?;
    Ok(First { result, second, set_aside })
}

/// None if two recordings that were made side by side ended well and neither could be in the other's
/// way: they did the same, and changed nothing that both see. Else the operations of the longer of those
/// that ended well.
fn unlike(
    local: &Local,
    first: &TrialResult,
    second: &mut RunningTrial,
) -> Result<Option<u64>, ExploreError> {
    let second = match second.recorded() {
        Ok(second) => Some(second),
        Err(LocalError::Interrupted) => return Err(LocalError::Interrupted.into()),
        Err(_) => None,
    };
    let mut addresses = Vec::new();
    let mut changes_nothing = true;
    for (name, result) in [("1", Some(first)), ("2", second)] {
        if let Some(result) = result.filter(|it| workload_failure(local, it).is_none()) {
            changes_nothing &= result.ending.outside_writes.is_empty();
            addresses.push(read_addresses(local, name)?);
        }
    }
    let set = |addresses: &Vec<Address>| addresses.iter().cloned().collect::<BTreeSet<_>>();
    let are_equal = match addresses.as_slice() {
        [one, other] => one.len() == other.len() && set(one) == set(other),
        _ => false,
    };
    let longest = addresses.iter().map(|it| operations(it)).max().unwrap_or_default();
    Ok((!are_equal || !changes_nothing).then_some(longest))
}

fn run(
    local: &Local,
    judges: &mut Judges,
    journalist: &mut Journalist,
    number: u32,
    stable: Option<BTreeSet<String>>,
    read: bool,
) -> Result<TrialResult, ExploreError> {
    if let Some(result) = recorded_earlier(local, journalist, number)? {
        return Ok(result);
    }
    judges.make_room();
    let running = local.start(&trial(local, number, stable, read))?;
    end(local, judges, journalist, number, running)
}

fn trial(local: &Local, number: u32, stable: Option<BTreeSet<String>>, read: bool) -> Trial {
    Trial {
        name: number.to_string(),
        stable,
        strike: None,
        read_after: read,
        has_reader: true,
        keep_left: false,
        pin: local.pin,
    }
}

/// Waits for the end of a recording.
fn end(
    local: &Local,
    judges: &mut Judges,
    journalist: &mut Journalist,
    number: u32,
    running: RunningTrial,
) -> Result<TrialResult, ExploreError> {
    let read = running.reads();
    let mut result = running.finish()?;
    if read {
        result = read_after(local, judges, number, result)?;
    }
    tell_recorded(local, journalist, number, &result)?;
    Ok(result)
}

/// Has a judge read what a recording has left, where its own worker did not.
fn read_after(
    local: &Local,
    judges: &mut Judges,
    number: u32,
    mut result: TrialResult,
) -> Result<TrialResult, ExploreError> {
    if result.after.is_none() && local.checker != Checker::BuiltIn {
        let recording = number.to_string();
        let left_by = LeftBy { recording, other_order: false, unseen: false };
        let answer = judges.read(&Question::left_by(left_by, None), None)?;
        result.reading = result.reading.max(answer.elapsed);
        result.after = Some(answer.reading);
    }
    Ok(result)
}

/// A recording of the interrupted part of a run.
fn recorded_earlier(
    local: &Local,
    journalist: &mut Journalist,
    number: u32,
) -> Result<Option<TrialResult>, ExploreError> {
    let Some(digest) = journalist.earlier.recorded(number) else { return Ok(None) };
    let result = back::load_result(&local.folder, number, digest)?;
    tell_recorded(local, journalist, number, &result)?;
    Ok(Some(result))
}

/// Judges a reading of the control by the rule that is used for all others.
fn judge_control(
    reading: &Reading,
    expectation: &Expectation,
    journal_length: u64,
) -> Result<(), String> {
    let judgement = judge(reading, expectation, journal_length, Promise::Kill);
    match judgement.verdict {
        Verdict::Held => Ok(()),
        _ => Err(judgement.detail),
    }
}
