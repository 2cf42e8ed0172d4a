//! What the log is told of recordings.

use super::back::{read_journal, save_result};
use super::barred::Barriers;
use super::beside::beside;
use super::unseen_changes;
use crate::asserter::checker::Checker;
use crate::asserter::journal::Journal;
use crate::environment::local::{Local, TrialResult};
use crate::explore::options::Options;
use crate::explore::phases::Phases;
use crate::explore::problem::ExploreError;
use crate::journalist::Journalist;
use killpoint_engine::record::Mechanism;
use killpoint_engine::recording::{Reader, Record, Turns};
use killpoint_engine::regular_file;
use killpoint_model::Address;
use killpoint_model::event::{Event, TimelineRow};
use killpoint_model::report::NotCovered;
use std::collections::BTreeSet;

/// Operations that the timeline of a report has.
const TIMELINE_ROWS_MAX: usize = 2_000;
/// Most files named of which the real end is another than the rebuilt one.
const DIFFERENCES_NAMED_MAX: usize = 20;

pub(super) fn tell_recorded(
    local: &Local,
    journalist: &mut Journalist,
    number: u32,
    result: &TrialResult,
) -> Result<(), ExploreError> {
    if journalist.earlier.recorded(number).is_none() {
        save_result(&local.folder, number, result)?;
    }
    let path = local.folder.join(&format!("recordings/{number}.rec"));
    let digest = regular_file::read(&path).map(|bytes| blake3::hash(&bytes).to_hex().to_string());
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

pub(super) fn note_gaps(
    options: &Options,
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
    if says {
        for gap in beside(options, local, result) {
            journalist.tell(Event::NotCovered(gap))?;
        }
    }
    for (file, reason) in Barriers::of(local, &result.ending).elsewhere() {
        journalist.tell(Event::NotCovered(NotCovered { file, reason, needed: false }))?;
    }
    for path in &result.ending.outside_writes {
        let text = format!(
            "the command changes {path}: outside of its state and of what it sees copy-on-write, so \
             each of its runs here did that for real"
        );
        journalist.tell(Event::Note { text })?;
    }
    if let Some(gap) = asked_to_end(local, &result.ending.turns) {
        journalist.tell(Event::NotCovered(gap))?;
    }
    let left_over = result.ending.left_over;
    if left_over > 0 {
        let seconds = local.stop.as_secs();
        let (processes, were) = match left_over {
            1 => ("1 process".to_owned(), "was"),
            _ => (format!("{left_over} processes"), "were"),
        };
        let text =
            format!("{processes} did not end within {seconds} s when asked, and {were} killed");
        journalist.tell(Event::Note { text })?;
    }
    Ok(())
}

/// What is not covered where processes outlive the command: what they would have done later.
fn asked_to_end(local: &Local, turns: &Turns) -> Option<NotCovered> {
    if turns.asked == 0 || local.driver.is_some() {
        return None;
    }
    let (processes, they, them) = match turns.asked {
        1 => ("1 process was".to_owned(), "it was", "it"),
        count => (format!("{count} processes were"), "they were", "them"),
    };
    let users = match (turns.asked_users, turns.asked) {
        (0, _) => String::new(),
        (_, 1) => ", and uses the state".to_owned(),
        (users, _) => format!(", and {users} of them use the state"),
    };
    let quiet = local.quiet.as_millis();
    let reason = format!(
        "{processes} left when the command had ended and nothing moved for {quiet} ms{users}: {they} \
         asked to end (SIGTERM), and what would have come later was not seen; have the command wait \
         for {them}"
    );
    Some(NotCovered { file: "*".to_owned(), reason, needed: turns.asked_users > 0 })
}

/// Says so where a role that was asked for did nothing: its selector may be mistaken.
pub(super) fn note_idle_roles(
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

pub(super) fn tell_timeline(
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
