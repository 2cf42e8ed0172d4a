//! `killpoint within`: becomes a program that sees copies of directories at their own paths.

use crate::arguments::Within;
use anyhow::{Context, anyhow};
use killpoint_engine::own_mounts::{self, Bind};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Exit status of a program that is not there, as shells have it.
const NOT_FOUND: u8 = 127;
/// Exit status where a program is there and cannot be executed, or could not have been shown the copies.
const NOT_EXECUTABLE: u8 = 126;

/// Mounts the copies and executes the program, which has this process from then on.
/// Returns only if that cannot be done: why, and what to exit with.
pub fn run(flags: &Within) -> (anyhow::Error, u8) {
    let binds: Vec<Bind> = flags
        .show
        .chunks_exact(2)
        .map(|pair| Bind { copy: pair[0].clone(), own: pair[1].clone() })
        .collect();
    let entered = own_mounts::enter(&binds)
        .context("cannot mount copies of the state over its own paths for one process alone");
    if let Err(error) = entered {
        return (error, NOT_EXECUTABLE);
    }
    let Some((program, arguments)) = flags.command.split_first() else {
        return (anyhow!("no program was given"), NOT_FOUND);
    };
    let error = Command::new(program).args(arguments).exec();
    let status = match error.kind() {
        std::io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    };
    (anyhow!(error).context(format!("cannot start {}", program.display())), status)
}
