//! One live kill: where it strikes, whether it struck there, and the verdict on what it left.

use super::findings;
use super::judging::judge_answer;
use super::plan::Plan;
use super::problem::ExploreError;
use super::recordings::{Recorded, is_call, read_addresses};
use crate::asserter::checker::{Expectation, Reading, judge};
use crate::asserter::history::{History, Promise, Store};
use crate::asserter::journal::Journal;
use crate::environment::local::{Judges, LeftBy, Local, Question, Trial, TrialResult};
use killpoint_engine::record::{Scope, StrikeAt};
use killpoint_engine::regular_file;
use killpoint_engine::states::{StateName, Variant};
use killpoint_model::report::Look;
use killpoint_model::verdict::{Judgement, Reason};
use killpoint_model::{Address, CrashModel};
use std::collections::BTreeSet;

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
    pub initial: Option<&'a Store>,
    /// What readings are held against.
    pub expectation: &'a Expectation,
    /// The look at which the promise is broken, if it is.
    pub look: Look,
    /// The store after the undisturbed workload.
    pub after: Option<&'a Store>,
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

pub(super) fn trial(local: &Local, name: &str, at: &StrikeAt, expected: &Expected<'_>) -> Trial {
    Trial {
        name: name.to_owned(),
        stable: Some(expected.stable.clone()),
        strike: Some(at.clone()),
        // A checker changes what it reads, and here it reads but once.
        read_after: expected.look.is_first(),
        has_reader: true,
        keep_left: expected.unseen,
        pin: local.pin,
    }
}

/// What a live kill has left.
pub(super) struct Struck<'a> {
    /// Name of its recording.
    pub(super) name: &'a str,
    pub(super) at: &'a StrikeAt,
    /// The state that it should be.
    pub(super) state: &'a StateName,
    pub(super) result: TrialResult,
    /// The place of the judge who read that state before.
    pub(super) judged_by: Option<usize>,
}

/// Whether a live kill was one at the address, and the verdict on what it left.
pub(super) fn examine(
    local: &Local,
    judges: &mut Judges,
    struck: &Struck<'_>,
    expected: &Expected<'_>,
) -> Result<Strike, ExploreError> {
    let Struck { name, at, state, result, judged_by } = struck;
    let strike = |exact, judgement| Strike { exact, judgement };
    let nothing = Judgement::held();
    let addresses = read_addresses(local, name)?;
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
            let question = Question::left_by(left_by, Some(state)).looked_at(expected.look);
            let answer = judges.read(&question, *judged_by)?;
            let judge = |reading: &Reading| judge_live(local, name, reading, expected);
            judge_answer(&answer, judge, expected.after).0
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
    let own = regular_file::read(&path)
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
        addresses.iter().filter(|a| is_call(a)).cloned().collect()
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
pub fn expected<'a>(recorded: &'a Recorded, point: u64) -> Expected<'a> {
    let length = usize::try_from(point - 1).unwrap_or(usize::MAX).min(recorded.addresses.len());
    Expected {
        before: &recorded.addresses[..length],
        all: &recorded.addresses,
        races: recorded.result.ending.callers > 1,
        stable: &recorded.stable,
        initial: recorded.initial.as_ref(),
        expectation: &recorded.expectation,
        look: Look::First,
        after: recorded.after.as_ref(),
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

pub(super) fn is_live(name: &StateName, plan: &Plan) -> bool {
    strike_at(name, &findings::address_at(plan, name.point), Scope::All).is_some()
        && can_strike(name, plan)
}
