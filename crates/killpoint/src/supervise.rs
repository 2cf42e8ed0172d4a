//! `killpoint supervise`: flags into a supervision, signals into the supervisor.

use crate::arguments::{RestartName, Supervise};
use crate::failure::Failure;
use killpoint_harness::target::{Setup, Sink, SuperviseError, read_supervision, supervise};
use killpoint_model::Outcome;
use killpoint_model::supervision::{
    AtLimit, Backoff, Command, Limits, OnRestart, Process, Ready, RestartPolicy, StartLimit, Stop,
    Supervision, Watchdog,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::Signals;
use std::io;
use std::thread;

impl From<SuperviseError> for Failure {
    fn from(error: SuperviseError) -> Self {
        let outcome = match &error {
            SuperviseError::Died { .. } => Outcome::InternalError,
            _ => Outcome::Usage,
        };
        Failure { error: error.into(), outcome }
    }
}

/// `killpoint supervise`.
///
/// # Errors
/// If nothing can be supervised as described, or the supervisor was killed.
pub fn run(flags: &Supervise) -> Result<Outcome, Failure> {
    let supervision = match &flags.config {
        Some(path) => read_supervision(path)?,
        None => {
            let mut supervision = Supervision::of(&flags.name, process(flags));
            supervision.seed = flags.seed;
            supervision
        }
    };
    let setup = Setup {
        events: flags.events.clone(),
        output: flags.output.clone(),
        pass_output: !flags.quiet,
        control: flags.control.clone(),
        control_input: flags.control_stdin,
        keep_down: flags.keep_down.clone(),
        run: flags.run.clone(),
        core_bytes_max: flags.core_bytes_max,
        await_tracer: flags.await_tracer,
    };
    Ok(supervise(&supervision, &setup, listen)?)
}

/// Passes signals on, from a thread of its own.
fn listen(sink: Sink) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH])?;
    thread::spawn(move || {
        for number in signals.forever() {
            if !sink.signal(number) {
                return;
            }
        }
    });
    Ok(())
}

fn shell(line: &str) -> Command {
    ["sh", "-c", line].map(str::to_owned).to_vec()
}

fn process(flags: &Supervise) -> Process {
    let usual = Backoff::default();
    let (count, within) = flags.start_limit;
    let then = if flags.fallback.is_some() { AtLimit::SafeMode } else { AtLimit::GiveUp };
    Process {
        restart: match flags.restart {
            RestartName::Always => RestartPolicy::Always,
            RestartName::OnFailure => RestartPolicy::OnFailure,
            RestartName::Never => RestartPolicy::Never,
        },
        backoff: Backoff { first: flags.backoff, max: usual.max.max(flags.backoff), ..usual },
        start_limit: StartLimit { count, within, then },
        fallback: flags.fallback.as_deref().map(shell),
        ready: flags.ready.clone().map(|by| Ready { by, timeout: flags.ready_timeout }),
        watchdog: flags.watchdog.map(|timeout| Watchdog { by: flags.heartbeat.clone(), timeout }),
        stop: Stop {
            command: flags.stop_command.as_deref().map(shell),
            grace: flags.grace,
            ..Stop::default()
        },
        on_restart: flags
            .on_restart
            .as_deref()
            .map(|line| OnRestart { command: shell(line), timeout: OnRestart::usual_timeout() }),
        checkpoint: flags.checkpoint.clone(),
        checkpoint_arguments: flags.checkpoint_argument.clone(),
        limits: Limits { processes_max: flags.processes_max, ..Limits::default() },
        ..Process::new(flags.command.clone())
    }
}
