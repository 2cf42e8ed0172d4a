//! The command line: flags in, exit code out.

mod again;
mod arguments;
mod attach;
mod campaign;
mod commands;
mod demo;
mod demo_store;
mod dump;
mod explore;
mod failure;
mod interrupt;
mod live;
mod output;
mod plan;
mod roulette;
mod runs;
mod scenario;
mod several;
mod supervise;
mod upkeep;
mod upload;
mod within;

use clap::Parser;
use killpoint_model::Outcome;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            let outcome = if error.use_stderr() { Outcome::Usage } else { Outcome::Pass };
            return ExitCode::from(outcome.exit_code());
        }
    };
    if let arguments::Command::Within(flags) = &arguments.command {
        let (error, status) = within::run(flags);
        output::say(&format!("killpoint: {error:#}"));
        return ExitCode::from(status);
    }
    // A panic is a defect of ours, and has its own exit code.
    match std::panic::catch_unwind(|| commands::run(arguments)) {
        Ok(Ok(outcome)) => ExitCode::from(outcome.exit_code()),
        Ok(Err(error)) => {
            output::say(&format!("killpoint: {:#}", error.error));
            ExitCode::from(error.outcome.exit_code())
        }
        Err(_) => ExitCode::from(Outcome::InternalError.exit_code()),
    }
}
