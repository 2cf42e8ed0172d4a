//! Flags of commands about the tool and the machine.

use super::Format;
use clap::{ArgGroup, Args};
use std::path::PathBuf;

/// Flags of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  killpoint demo

Needs nothing else on the machine. Exits 0 when the wrong store is found out and the right one
passes, 70 when they come out otherwise, 2 where nothing can be explored or kept.")]
pub struct Demo {
    /// Where the folders of its runs are made.
    #[arg(long, value_name = "DIR", default_value = ".killpoint")]
    pub out: PathBuf,
}

/// Write, watch for or read minidumps.
///
///   killpoint dump --pid 4711 --to now.dmp        a dump of a process that runs on; prints its stack
///   killpoint dump --watch 4711 --to dumps/       a dump whenever it or a child of it crashes, and each
///                                                 death by such a signal, as JSON lines
///   killpoint dump --read dumps/4711-1.dmp        the stack in a dump; frames of the application have a star
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(group(ArgGroup::new("dumped").required(true).args(["pid", "watch", "read"])))]
pub struct Dump {
    /// Dump this process now.
    #[arg(long, value_name = "N", requires = "to")]
    pub pid: Option<i32>,
    /// Dump this process, or any that it begets, when it crashes (SIGSEGV, SIGABRT and their kin).
    #[arg(long, value_name = "N", requires = "to")]
    pub watch: Option<i32>,
    /// Print the stack of the thread that crashed.
    #[arg(long, value_name = "FILE")]
    pub read: Option<PathBuf>,
    /// The file of the dump, or the directory of the dumps of `--watch`.
    #[arg(long, value_name = "PATH")]
    pub to: Option<PathBuf>,
    /// With `--watch`: roles, as a scenario has them, in JSON; whoever dies below the first process is told with its role.
    #[arg(long, value_name = "FILE", requires = "watch")]
    pub roles: Option<PathBuf>,
    /// With `--watch`: whom to dump and to kill is asked on standard input, as JSON lines with `pid` and `path`.
    #[arg(long, requires = "watch")]
    pub ask: bool,
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint doctor
  killpoint doctor --format json

Everything is tried in a child process that is thrown away; nothing is concluded from version
numbers. Exits 0 when `killpoint explore` can run (perhaps with weaker containment, which is
said), 3 otherwise.")]
pub struct Doctor {
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// Flags of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint completions bash > ~/.local/share/bash-completion/completions/killpoint
  killpoint completions zsh > ~/.zfunc/_killpoint")]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Flags of `man`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  killpoint man | man -l -
  killpoint man ~/.local/share/man/man1")]
pub struct Man {
    /// Where a page for each command is written; without it the main page is printed.
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}
