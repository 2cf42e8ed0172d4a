//! `killpoint within`: becomes a program that sees copies of directories at their own paths.

use crate::arguments::Within;
use crate::commands::Failure;
use anyhow::{Context, anyhow};
use killpoint_engine::own_mounts::{self, Bind};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Mounts the copies and executes the program, which has this process from then on.
/// Returns only if that cannot be done.
pub fn run(flags: &Within) -> Failure {
    let binds: Vec<Bind> = flags
        .show
        .chunks_exact(2)
        .map(|pair| Bind { copy: pair[0].clone(), own: pair[1].clone() })
        .collect();
    let entered = own_mounts::enter(&binds)
        .context("cannot mount copies of the state over its own paths for one process alone");
    if let Err(error) = entered {
        return error.into();
    }
    let Some((program, arguments)) = flags.command.split_first() else {
        return anyhow!("no program was given").into();
    };
    let error = Command::new(program).args(arguments).exec();
    anyhow!(error).context(format!("cannot start {}", program.display())).into()
}
