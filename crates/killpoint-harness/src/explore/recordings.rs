//! The control and its repetitions: what the undisturbed command does, and which of it is the same
//! every time.

use super::phases::Phases;
use super::{ExploreError, Journalist, Options, Progress, Watch, judge_control};
use crate::asserter::checker::{Checker, Expectation, Reading, control_store};
use crate::asserter::history::{History, Store};
use crate::asserter::journal::Journal;
use crate::environment::local::{
    Judges, LeftBy, Local, Question, RunningTrial, Trial, TrialResult,
};
use killpoint_engine::compare::Difference;
use killpoint_engine::record::Mechanism;
use killpoint_engine::recording::{Ending, Exit, Reader, Record};
use killpoint_model::Address;
use killpoint_model::event::{Event, TimelineRow};
use killpoint_model::report::NotCovered;
use killpoint_model::verdict::Reason;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

/// Operations that the timeline of a report has.
const TIMELINE_ROWS_MAX: usize = 2_000;
/// Most files named of which the real end is another than the rebuilt one.
const DIFFERENCES_NAMED_MAX: usize = 20;
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
        unseen_changes(&self.result).next().is_some()
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
    let (first, mut second) = run_first(options, local, judges, journalist)?;
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
        note_gaps(local, &first, journalist)?;
        return Ok(Control::Unknown(Reason::NotCovered, why));
    }
    note_gaps(local, &first, journalist)?;
    let mut stable: BTreeSet<String> = first.ending.named.iter().cloned().collect();
    let mut number = 1;
    let mut chosen = first;
    let mut name = "1".to_owned();
    let mut addresses = read_addresses(local, &name)?;
    let mut sets = vec![addresses.clone()];
    while number < options.recordings {
        number += 1;
        let again = match second.take() {
            Some(running) => end(local, judges, journalist, number, running)?,
            None => run(local, judges, journalist, number, Some(stable.clone()), false)?,
        };
        if let Some(control) = workload_failure(local, &again) {
            return Ok(control);
        }
        note_gaps(local, &again, journalist)?;
        let named: BTreeSet<String> = again.ending.named.iter().cloned().collect();
        if named == stable || number > NAMING_RECORDINGS_MAX {
            sets.push(read_addresses(local, &number.to_string())?);
            tell(u64::from(number));
            continue;
        }
        // Names vary: record anew, with what is common to all so far, and compare with that.
        stable = stable.intersection(&named).cloned().collect();
        number += 1;
        chosen = TrialResult {
            before: chosen.before.clone(),
            ..run(local, judges, journalist, number, Some(stable.clone()), true)?
        };
        name = number.to_string();
        addresses = read_addresses(local, &name)?;
        let again_number = number + 1;
        run(local, judges, journalist, again_number, Some(stable.clone()), false)?;
        sets = vec![addresses.clone(), read_addresses(local, &again_number.to_string())?];
        number = number.max(options.recordings);
    }
    let (journal, start, initial, expectation) = match name.as_str() {
        "1" => (journal, start, initial, expectation),
        _ => match expect_from(local, &name, &chosen) {
            Ok(expected) => expected,
            Err(why) => return Ok(Control::Failed(why)),
        },
    };
    if let Expectation::Between { kept: None } = expectation {
        let text = "the checker printed no store, one JSON object with plain values on one line, in \
                    the control: only its exit status is judged";
        journalist.tell(Event::Note { text: text.to_owned() })?;
    }
    let common = common(&sets);
    let unstable: BTreeSet<Address> = addresses
        .iter()
        .filter(|address| is_call(address) && !common.contains(*address))
        .cloned()
        .collect();
    let calls = |set: &[Address]| -> Vec<Address> {
        set.iter().filter(|address| is_call(address)).cloned().collect()
    };
    let same_order = sets.iter().all(|other| calls(other) == calls(&addresses));
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
        after: chosen.after.as_ref().and_then(|reading| control_store(reading, "").ok()),
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

/// Without a journal: keys with equal values at both ends, if the checker prints stores at all.
fn between(before: Option<&Reading>, after: Option<&Reading>) -> Result<Expectation, String> {
    for (reading, when) in [(before, "before the workload"), (after, "after the workload")] {
        match reading {
            Some(Reading::Printed(_)) | None => {}
            Some(other) => {
                control_store(other, when).map_err(|error| error.to_string())?;
            }
        }
    }
    let store = |reading: Option<&Reading>| match reading {
        Some(reading) => control_store(reading, "").ok(),
        None => None,
    };
    let kept = match (store(before), store(after)) {
        (Some(before), Some(after)) => {
            Some(before.into_iter().filter(|(key, value)| after.get(key) == Some(value)).collect())
        }
        _ => None,
    };
    Ok(Expectation::Between { kept })
}

/// The journal that a recording left.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read_journal(local: &Local, name: &str) -> Result<Journal, String> {
    let path = local.folder.join(&format!("recordings/{name}.journal"));
    let bytes =
        fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Journal::parse(&bytes).map_err(|error| error.to_string())
}

/// The control, read before and after. Where there is more than one job the second recording is
/// begun as soon as it can be, while the store is still read.
fn run_first(
    options: &Options,
    local: &Local,
    judges: &mut Judges,
    journalist: &mut Journalist,
) -> Result<(TrialResult, Option<RunningTrial>), ExploreError> {
    if let Some(result) = recorded_earlier(local, journalist, 1)? {
        return Ok((result, None));
    }
    let side_by_side = options.jobs_in(local.containment) > 1;
    let mut before = None;
    if local.checker != Checker::BuiltIn {
        judges.have(1)?;
        judges.ask(0, &Question::initial())?;
        if !side_by_side {
            before = Some(judges.answer_of(0)?);
        }
    }
    judges.make_room();
    let mut running = local.start(&trial(local, 1, None, true))?;
    let recorded = running.recorded()?;
    let second = match side_by_side
        && recorded.ending.exit == Exit::Status(0)
        && journalist.earlier.recorded(2).is_none()
    {
        true => {
            let stable = recorded.ending.named.iter().cloned().collect();
            Some(local.start(&trial(local, 2, Some(stable), false))?)
        }
        false => None,
    };
    if local.checker != Checker::BuiltIn && side_by_side {
        before = Some(judges.answer_of(0)?);
    }
    let mut result = read_after(local, judges, 1, running.finish()?)?;
    if let Some(before) = before {
        result.reading = result.reading.max(before.elapsed);
        result.before = Some(before.reading);
    }
    tell_recorded(local, journalist, 1, &result)?;
    Ok((result, second))
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
    let result = super::resume::load_result(&local.folder, number, digest)?;
    tell_recorded(local, journalist, number, &result)?;
    Ok(Some(result))
}

fn tell_recorded(
    local: &Local,
    journalist: &mut Journalist,
    number: u32,
    result: &TrialResult,
) -> Result<(), ExploreError> {
    if journalist.earlier.recorded(number).is_none() {
        super::resume::save_result(&local.folder, number, result)?;
    }
    let path = local.folder.join(&format!("recordings/{number}.rec"));
    let digest = fs::read(&path).map(|bytes| blake3::hash(&bytes).to_hex().to_string());
    let start = local.intents_start;
    let (acknowledged, drafts) =
        read_journal(local, &number.to_string()).map_or((0, 0), |journal| {
            let acknowledged = journal.acknowledged(u64::MAX) - journal.acknowledged(start);
            (acknowledged, journal.drafts(start))
        });
    journalist.tell(Event::Recorded {
        recording: number,
        operations: result.operations,
        acknowledged,
        drafts,
        outside: result.ending.outside,
        digest: digest.unwrap_or_default(),
    })?;
    if number == 1
        && let Some(text) = cheaper(local, result)
    {
        journalist.tell(Event::Note { text })?;
    }
    for text in &result.notes {
        if number == 1 {
            journalist.tell(Event::Note { text: text.clone() })?;
        }
    }
    Ok(())
}

/// Says so where the other mechanism would spare the command much waiting.
fn cheaper(local: &Local, first: &TrialResult) -> Option<String> {
    const OUTSIDE_PER_SECOND: f64 = 2_000.0;
    const OUTSIDE_LEAST: u64 = 1_000;
    let (outside, seconds) = (first.ending.outside, first.elapsed.as_secs_f64());
    let often = outside >= OUTSIDE_LEAST && outside as f64 > OUTSIDE_PER_SECOND * seconds;
    (often && local.mechanism == Mechanism::Ptrace).then(|| {
        format!(
            "{outside} calls outside the state in {seconds:.1} s were stopped and let go: \
             --mechanism notify would be cheaper for this command"
        )
    })
}

/// Signals that programs do not raise in themselves by mistake: somebody sent them.
const FOREIGN_SIGNALS: [Signal; 5] =
    [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// Why the undisturbed workload cannot serve as a control, if it cannot.
fn workload_failure(local: &Local, result: &TrialResult) -> Option<Control> {
    if let Some(why) = never_quiet(local, result) {
        return Some(Control::Unknown(Reason::NeverSteady, why));
    }
    let command = if local.driver.is_some() { "driver" } else { "command" };
    let said = result.output.trim().lines().last().unwrap_or_default();
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let why = match result.ending.exit {
        Exit::Status(0) => return target_failure(result, &said).map(Control::Failed),
        Exit::Status(code) => format!("the {command} ended with exit status {code}{said}"),
        Exit::Signal(_) if result.ending.gaps.iter().any(|(file, _)| file == "*") => {
            let (_, reason) =
                result.ending.gaps.iter().find(|(file, _)| file == "*").expect("found");
            format!("the command was stopped: {reason}")
        }
        Exit::Signal(number)
            if FOREIGN_SIGNALS.iter().any(|foreign| foreign.as_raw() == number) =>
        {
            let why = format!(
                "the {command} was killed by signal {number}, which killpoint did not send{said}"
            );
            return Some(Control::Unknown(Reason::ForeignDeath, why));
        }
        Exit::Signal(number) => format!("the {command} was killed by signal {number}{said}"),
        Exit::NotStarted(number) => format!(
            "the {command} could not be started: {}",
            std::io::Error::from_raw_os_error(number)
        ),
        Exit::TimedOut => {
            format!("the {command} did not end in time; give it longer with --timeout{said}")
        }
        Exit::Running => match result.ending.gaps.iter().find(|(file, _)| file == "*") {
            Some((_, reason)) => format!("the command was stopped: {reason}"),
            None => "the command was stopped before it ended".to_owned(),
        },
    };
    Some(Control::Failed(why))
}

/// Why the target never became steady, if it did not.
fn never_quiet(local: &Local, result: &TrialResult) -> Option<String> {
    let (quiet, timeout) = (local.quiet.as_millis(), local.target_timeout.as_secs());
    let is_driven = result.ending.turns.driver_ended.is_some();
    match result.ending.exit {
        _ if !result.ending.never_quiet => None,
        Exit::Status(0) => Some(format!(
            "what the workload left behind went on changing the state: there were never {quiet} ms \
             without a change, within {timeout} s"
        )),
        _ if is_driven => None,
        _ => Some(format!(
            "the command never became quiet, so that its driver was not started: there were never \
             {quiet} ms in which it slept and changed nothing, within {timeout} s"
        )),
    }
}

/// Why a target that has a driver cannot serve as a control: it may end by itself, but not fail.
fn target_failure(result: &TrialResult, said: &str) -> Option<String> {
    let how = match result.ending.target {
        Exit::Running | Exit::Status(0) => return None,
        Exit::Status(code) => format!("ended with exit status {code}"),
        Exit::Signal(number) => format!("was killed by signal {number}"),
        Exit::NotStarted(number) => {
            let why = std::io::Error::from_raw_os_error(number);
            return Some(format!("the command could not be started: {why}"));
        }
        Exit::TimedOut => "was stopped".to_owned(),
    };
    Some(format!("the command {how} before it was asked to end{said}"))
}

fn note_gaps(
    local: &Local,
    result: &TrialResult,
    journalist: &mut Journalist,
) -> Result<(), ExploreError> {
    for (file, reason) in &result.ending.gaps {
        journalist.tell(Event::NotCovered(NotCovered {
            file: file.clone(),
            reason: reason.clone(),
            needed: true,
        }))?;
    }
    for difference in unseen_changes(result).take(DIFFERENCES_NAMED_MAX) {
        journalist.tell(Event::NotCovered(NotCovered {
            file: difference.path.clone(),
            reason: format!(
                "something changes it that makes no call the recording has: at the end it {}; \
                 crash points are judged by live kills, what lies between them is not covered",
                difference.what
            ),
            needed: false,
        }))?;
    }
    // Recordings that nobody reads afterwards cannot say more.
    let says = local.checker == Checker::BuiltIn || result.after.is_some();
    for (link, path) in result.ending.linked.iter().filter(|_| says) {
        let read = result.links_read.contains(path);
        let (why, needed) = match (&local.checker, read) {
            (Checker::BuiltIn, _) => {
                ("whether the next start needs it only a checker can say", true)
            }
            (_, true) => ("the checker opens it", true),
            (_, false) => ("the checker does not open it", false),
        };
        journalist.tell(Event::NotCovered(NotCovered {
            file: link.clone(),
            reason: format!(
                "leads to {path}, which the command changes and which is no part of the state; {why}"
            ),
            needed,
        }))?;
    }
    for path in &result.ending.outside_writes {
        let text = format!(
            "the command changes {path}: outside of its state and of what it sees copy-on-write, so \
             each of its runs here did that for real"
        );
        journalist.tell(Event::Note { text })?;
    }
    let (asked, left_over) = (result.ending.turns.asked, result.ending.left_over);
    if asked > 0 && local.driver.is_none() {
        let text = format!(
            "{asked} processes were left when the command had ended and nothing moved any more: they \
             were asked to end (SIGTERM)"
        );
        journalist.tell(Event::Note { text })?;
    }
    if left_over > 0 {
        let seconds = local.stop.as_secs();
        let text = format!(
            "{left_over} processes did not end within {seconds} s when asked, and were killed"
        );
        journalist.tell(Event::Note { text })?;
    }
    Ok(())
}

/// Says so where a role that was asked for did nothing: its selector may be mistaken.
fn note_idle_roles(
    local: &Local,
    addresses: &[Address],
    journalist: &mut Journalist,
) -> Result<(), ExploreError> {
    let seen: BTreeSet<&str> = addresses.iter().filter_map(Address::role).collect();
    for (role, selector) in local.roles.iter().filter(|(role, _)| !seen.contains(role)) {
        let text = format!(
            "no process of the role {role} ({selector}) made a call on the state: is its selector right?"
        );
        journalist.tell(Event::Note { text })?;
    }
    Ok(())
}

/// The addresses of a recording, in order.
///
/// # Errors
/// If it cannot be read.
pub fn read_addresses(local: &Local, name: &str) -> Result<Vec<Address>, ExploreError> {
    let mut reader = Reader::open(&local.folder.join(&format!("recordings/{name}.rec")))?;
    let mut addresses = Vec::new();
    while let Some(record) = reader.next_record()? {
        if let Record::Operation(operation, _) = record {
            addresses.push(operation.address);
        }
    }
    Ok(addresses)
}

/// The last record of a recording.
///
/// # Errors
/// If it cannot be read, or was cut off.
pub fn read_ending(local: &Local, name: &str) -> Result<Ending, ExploreError> {
    let path = local.folder.join(&format!("recordings/{name}.rec"));
    let mut reader = Reader::open(&path)?;
    while let Some(record) = reader.next_record()? {
        if let Record::Ending(ending) = record {
            return Ok(ending);
        }
    }
    let problem = "was cut off: the run cannot be replayed".to_owned();
    Err(ExploreError::Malformed { path, problem })
}

/// Whether an address is that of a call: stores into a mapping are seen at a stop by chance.
pub fn is_call(address: &Address) -> bool {
    !matches!(address, Address::Call { kind, .. } if !kind.is_point())
}

fn common(sets: &[Vec<Address>]) -> BTreeSet<Address> {
    let mut sets = sets.iter().map(|set| set.iter().cloned().collect::<BTreeSet<_>>());
    let first = sets.next().unwrap_or_default();
    sets.fold(first, |common, set| common.intersection(&set).cloned().collect())
}

fn tell_timeline(
    local: &Local,
    name: &str,
    journal: &Journal,
    phases: &Phases,
    journalist: &mut Journalist,
) -> Result<(), ExploreError> {
    let mut reader = Reader::open(&local.folder.join(&format!("recordings/{name}.rec")))?;
    let mut rows = Vec::new();
    let mut omitted = 0;
    while let Some(record) = reader.next_record()? {
        let Record::Operation(operation, _) = record else { continue };
        if rows.len() == TIMELINE_ROWS_MAX {
            omitted += 1;
            continue;
        }
        rows.push(TimelineRow {
            ordinal: operation.ordinal,
            acknowledged: journal.acknowledged(operation.journal_length),
            phase: phases.at(operation.ordinal, operation.journal_length),
            address: operation.address,
            shown: operation.shown.join(", "),
            call: operation.call,
            process: operation.process,
            result: operation.result,
        });
    }
    Ok(journalist.tell(Event::Timeline { rows, omitted })?)
}
