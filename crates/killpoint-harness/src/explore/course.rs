//! The course of a run, once it is prepared: the stages one after another, and what follows from them.

use super::findings;
use super::judging;
use super::options::Options;
use super::plan;
use super::prepare::{Prepared, check_untouched};
use super::problem::ExploreError;
use super::recordings;
use super::recovery;
use super::setup_file::SetupFile;
use super::sight::Sight;
use super::strikes;
use super::survivors;
use crate::asserter::checker::Checker;
use crate::environment::local::{Judges, Local, Subject};
use crate::journalist::{Journalist, Watch};
use crate::recover::clear_up;
use crate::store::RunFolder;
use killpoint_engine::arena::Containment;
use killpoint_engine::record::Scope;
use killpoint_engine::recording::is_rebuilt;
use killpoint_model::event::Event;
use killpoint_model::report::{Finding, NotCovered, Report};
use killpoint_model::verdict::{Outcome, Reason};
use killpoint_model::{CrashModel, Phase};
use std::time::{Duration, Instant};

/// What stands beside the verdict of the built-in oracle, `pass` above all.
const WITHOUT_A_CHECKER: &str = "without a checker nothing shows whether files fit together, whether the program \
    starts again, or what it promised outside of an ack journal";

/// A finished run.
#[derive(Debug)]
pub struct Explored {
    /// Its folder.
    pub folder: RunFolder,
    /// Its report.
    pub report: Report,
}

/// All that comes after the preparations, in a new run and in a resumed one.
pub(super) fn go_on(
    options: &Options,
    prepared: Prepared,
    watch: Watch<'_>,
) -> Result<Explored, ExploreError> {
    let Prepared { local, folder, mut journalist, roots } = prepared;
    let outcome = match run(options, &local, &mut journalist, watch) {
        Ok(outcome) => outcome,
        Err(error) => {
            let synced = journalist.sync();
            clear_up(&folder);
            synced?;
            if error.is_interruption() {
                let resumable = SetupFile::is_in(&folder);
                let folder = folder.path().to_owned();
                return Err(ExploreError::Interrupted { folder, resumable });
            }
            return Err(error);
        }
    };
    check_untouched(options, &local, &roots, &mut journalist)?;
    let (result, explanation) = conclude(outcome, journalist.report());
    journalist.remove_older(&folder, options.keep)?;
    journalist.tell(Event::RunEnded { result, explanation })?;
    let report = journalist.into_report();
    crate::report::write_all(&folder, &report)?;
    findings::write_baseline(options, &report)?;
    clear_up(&folder);
    Ok(Explored { folder, report })
}

/// How far a run came.
enum Reached {
    /// The control did not hold.
    Baseline(String),
    /// There was nothing to strike.
    Nothing(String),
    /// To its end.
    End,
}

fn run(
    options: &Options,
    local: &Local,
    journalist: &mut Journalist,
    watch: Watch<'_>,
) -> Result<Reached, ExploreError> {
    let since = Instant::now();
    let mut judges = Judges::new(local);
    let recorded = match recordings::record(options, local, &mut judges, journalist, watch)? {
        recordings::Control::Held(recorded) => *recorded,
        recordings::Control::Failed(why) => return Ok(Reached::Baseline(why)),
        recordings::Control::Unknown(reason, why) => {
            journalist.tell(Event::Unknown { reason, detail: why })?;
            return Ok(Reached::End);
        }
    };
    journalist.stage("recorded", since)?;
    let local = &with_what_was_measured(local, &recorded, journalist)?;
    let since = Instant::now();
    let live = judged_live(options, &recorded, journalist)?;
    let options = &with_models_that_apply(options, live, journalist)?;
    judges.begin(Subject::of(&recorded.name, plan::models(options), local))?;
    // They learn the recording while the states are planned.
    judges.have(options.jobs_in(local.containment))?;
    let plan = plan::plan(options, local, &recorded, journalist)?;
    // What the walk over the recording needed lies between what is kept.
    killpoint_engine::memory::give_back();
    if plan.points == 0
        && let Some(detail) = changed_without_a_call(&recorded, plan.operations.len())
    {
        journalist.tell(Event::Unknown { reason: Reason::NotCovered, detail })?;
        return Ok(Reached::End);
    }
    if plan.points == 0 {
        let whose = match local.containment {
            Containment::Redirect => "the copy of its state",
            Containment::Namespaces { .. } => "its state",
        };
        return Ok(Reached::Nothing(format!(
            "the command changed nothing in {whose}: there is no point to strike at"
        )));
    }
    if plan.states.is_empty() {
        return Ok(Reached::Nothing(format!(
            "nothing can be judged: no crash point in the phases {} has a state under {}",
            plan::names(&options.phases),
            options.models.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        )));
    }
    let sight = Sight { options, local, recorded: &recorded, plan: &plan };
    if let Some(why) = live {
        survivors::explore(sight, &mut judges, why, journalist, watch)?;
        journalist.stage("judged", since)?;
        return Ok(Reached::End);
    }
    let judged = judging::judge_all(sight, &mut judges, journalist, watch)?;
    journalist.stage("judged", since)?;
    let since = Instant::now();
    let defects = findings::group(sight, &judged)?;
    let findings = strikes::confirm(sight, &judged, judges, defects, journalist, watch)?;
    journalist.stage("confirmed", since)?;
    if options.recovery_depth > 0 && options.phases.contains(&Phase::Recovery) {
        let since = Instant::now();
        let number = findings + 1;
        recovery::explore(sight, &judged, number, journalist, watch)?;
        journalist.stage("recoveries", since)?;
    }
    Ok(Reached::End)
}

/// What changed the state where no call did: stores into mappings, or something that was not seen.
fn changed_without_a_call(recorded: &recordings::Recorded, operations: usize) -> Option<String> {
    let ending = &recorded.result.ending;
    let mut files: Vec<&str> = recorded.unseen_changes().collect();
    // What stands in the recording and is no point was stored into these.
    let stored = ending.mapped.iter().filter(|file| operations > 0 && !is_rebuilt(file));
    files.extend(stored.map(String::as_str));
    let (first, others) = files.split_first()?;
    let others = match others.len() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    Some(format!(
        "the command changes its state ({first}{others}) without a call: there is no point to strike at"
    ))
}

/// The time-out of a checker follows from the control: far above what it took undisturbed. And its
/// process ids start above those of the control.
fn with_what_was_measured(
    local: &Local,
    recorded: &recordings::Recorded,
    journalist: &mut Journalist,
) -> Result<Local, ExploreError> {
    const TIMES: u32 = 50;
    const LEAST: Duration = Duration::from_secs(5);
    let timeout = (recorded.result.reading * TIMES)
        .clamp(LEAST.min(local.checker_timeout), local.checker_timeout);
    let text = format!(
        "time-outs: {} s for a run of the command, {} s for reading a state ({TIMES} times the \
         control's reading, at least {} s)",
        local.target_timeout.as_secs(),
        timeout.as_secs(),
        LEAST.as_secs()
    );
    let text = match local.checker {
        Checker::BuiltIn => WITHOUT_A_CHECKER.to_owned(),
        _ => text,
    };
    journalist.tell(Event::Note { text })?;
    let last_process_id = recorded.result.ending.last_process_id;
    Ok(Local { checker_timeout: timeout, last_process_id, ..local.clone() })
}

/// Whether only live kills can judge: a strike may leave processes that go on, or the recording does
/// not say all that happens to the state.
fn judged_live(
    options: &Options,
    recorded: &recordings::Recorded,
    journalist: &mut Journalist,
) -> Result<Option<survivors::Why>, ExploreError> {
    let unseen = recorded.has_unseen_changes().then_some(survivors::Why::UnseenChanges);
    if options.scope == Scope::All {
        return Ok(unseen);
    }
    if recorded.result.ending.processes > 1 {
        return Ok(Some(survivors::Why::Survivors));
    }
    let text = format!("one process: scope {} kills all there is", options.scope.name());
    journalist.tell(Event::Note { text })?;
    Ok(unseen)
}

/// Live only a kill can be judged; what else was asked for is not covered.
fn with_models_that_apply(
    options: &Options,
    live: Option<survivors::Why>,
    journalist: &mut Journalist,
) -> Result<Options, ExploreError> {
    let mut options = options.clone();
    let Some(why) = live else { return Ok(options) };
    let because = match why {
        survivors::Why::Survivors => format!(
            "with scope {}: what survives goes on writing; use --scope all",
            options.scope.name()
        ),
        survivors::Why::UnseenChanges => {
            "here: its states are rebuilt from the recording, which does not have all".to_owned()
        }
    };
    let (kill, rest): (Vec<CrashModel>, Vec<CrashModel>) =
        options.models.iter().partition(|model| **model == CrashModel::Kill);
    for model in rest {
        journalist.tell(Event::NotCovered(NotCovered {
            file: "*".to_owned(),
            reason: format!("{model} is not judged {because}"),
            needed: model.is_power_loss(),
        }))?;
    }
    if options.idempotent {
        let text = format!("--idempotent is not judged {because}");
        journalist.tell(Event::Note { text })?;
    }
    options.models = kill;
    Ok(options)
}

/// Whether no live kill at the very place speaks against a finding.
fn is_shown(finding: &Finding) -> bool {
    !finding.contradicted
}

fn conclude(reached: Reached, report: &Report) -> (Outcome, String) {
    match reached {
        Reached::Baseline(why) => (Outcome::BaselineFailed, why),
        Reached::Nothing(why) if report.not_covered.iter().any(|gap| gap.needed) => {
            (Outcome::Unknown, format!("{why}; what is not covered may have changed it"))
        }
        Reached::Nothing(why) => (Outcome::Vacuous, why),
        Reached::End if report.findings.iter().any(is_shown) => (Outcome::Violated, String::new()),
        Reached::End if !report.findings.is_empty() => (
            Outcome::Unknown,
            "what the rebuilt states show, the live kills at the same places do not: see what is unknown"
                .to_owned(),
        ),
        Reached::End if !report.unknown.is_empty() => (Outcome::Unknown, String::new()),
        Reached::End if report.not_covered.iter().any(|gap| gap.needed) => (
            Outcome::Unknown,
            "what holds was judged, but a file that recovery may need is not covered".to_owned(),
        ),
        Reached::End => (Outcome::Pass, String::new()),
    }
}
