//! `killpoint replay` and `killpoint resume`: a finding or a trial once more, and an interrupted run to
//! its end.

use crate::arguments::{Format, Replay, Resume};
use crate::failure::Failure;
use crate::live::Live;
use crate::output::print_line;
use crate::{attach, campaign, interrupt, output, runs};
use killpoint_harness::campaign::is_campaign;
use killpoint_harness::explore::replay::replay as replay_finding;
use killpoint_harness::explore::resume::resume as resume_exploration;
use killpoint_harness::report::words;
use killpoint_model::Outcome;

/// `killpoint resume`.
///
/// # Errors
/// If there is no such run, or it cannot be gone on with.
pub fn resume(flags: &Resume) -> Result<Outcome, Failure> {
    let folder = runs::find(&flags.run, &flags.out)?;
    attach::refuse(&folder)?;
    if is_campaign(&folder) {
        return campaign::resume(folder, flags);
    }
    let environment = std::env::vars_os().collect();
    let mut progress = Live::new(flags.format == Format::Human);
    let interrupt = interrupt::listen()?;
    let explored =
        resume_exploration(folder, environment, interrupt, &mut |step| progress.show(step));
    progress.clear();
    let explored = explored?;
    output::report(&explored.report, &explored.folder, flags.format)?;
    Ok(explored.report.result)
}

/// `killpoint replay`.
///
/// # Errors
/// If there is no such finding, or it cannot be shown again here.
pub fn replay(flags: &Replay) -> Result<Outcome, Failure> {
    let (folder, number) = runs::find_numbered(&flags.finding, &flags.out)?;
    attach::refuse(&folder)?;
    if is_campaign(&folder) {
        return campaign::replay(&folder, flags, number);
    }
    let environment = std::env::vars_os().collect();
    let replayed = replay_finding(&folder, number, flags.times, environment)?;
    let finding = &replayed.finding;
    print_line!("  {} {} under {}", finding.class, finding.shown, finding.model);
    print_line!("  {}", words::visible(&finding.detail));
    if let Some((needed, steps)) = words::steps(finding) {
        print_line!("  {needed}: {steps}");
    }
    print_line!("  hit {} of {}", replayed.confirmation.hits, replayed.confirmation.tries);
    for miss in &replayed.misses {
        print_line!("  missed: {}", words::visible(&miss.to_string()));
    }
    if replayed.confirmation.hits < replayed.confirmation.tries {
        if !replayed.missing_variables.is_empty() {
            let names = replayed.missing_variables.join(", ");
            print_line!("  not set here, but then: {names}");
        }
        return Ok(Outcome::Violated);
    }
    Ok(Outcome::Pass)
}
