//! The subcommands, by name: each stands in a file of its own or with its like.

use crate::arguments::{Arguments, Audit, Command};
use crate::failure::Failure;
use crate::{
    again, campaign, demo, demo_store, dump, explore, plan, roulette, scenario, several, supervise,
    upkeep, upload,
};
use anyhow::Context;
use killpoint_model::Outcome;

/// Carries out a command.
///
/// # Errors
/// With the outcome to exit with.
pub fn run(arguments: Arguments) -> Result<Outcome, Failure> {
    let is_anywhere = matches!(
        arguments.command,
        Command::Completions(_) | Command::Man(_) | Command::DemoStore(_) | Command::Within(_)
    );
    if !is_anywhere {
        check_working_directory()?;
    }
    match arguments.command {
        Command::Explore(flags) => explore::run(*flags),
        Command::Replay(flags) => again::replay(&flags),
        Command::Report(flags) => upkeep::report(&flags),
        Command::Supervise(flags) => supervise::run(&flags),
        Command::Run(flags) => campaign::run(&flags),
        Command::Roulette(flags) => roulette::run(&flags),
        Command::Intercept(flags) => campaign::intercept(&flags),
        Command::Plan(flags) => plan::run(&flags),
        Command::Triage(flags) => several::triage(&flags),
        Command::Compare(flags) => several::compare(&flags),
        Command::Import(flags) => scenario::print_import(&flags),
        Command::Schema => scenario::print_schema(),
        Command::Resume(flags) => again::resume(&flags),
        Command::Recover(flags) => upkeep::recover(&flags),
        Command::Audit(Audit::Verify(flags)) => upkeep::verify(&flags),
        Command::Demo(flags) => demo::run(&flags),
        Command::Dump(flags) => dump::run(&flags),
        Command::Upload(flags) => upload::run(&flags),
        Command::Doctor(flags) => upkeep::doctor(&flags),
        Command::Completions(flags) => upkeep::completions(&flags),
        Command::Man(flags) => upkeep::man(&flags),
        Command::Within(_) => unreachable!("it became another program, or ended"),
        Command::DemoStore(flags) => Ok(demo_store::run(&flags).map(|()| Outcome::Pass)?),
    }
}

/// Refuses to begin without a working directory: all paths are taken from there.
fn check_working_directory() -> Result<(), Failure> {
    let text = "the working directory is gone or cannot be read; change to one that is there";
    std::env::current_dir().context(text)?;
    Ok(())
}
