//! The application's own ways to end: a command or a request, and so much time.

use super::{StrikeError, ends_within, microseconds};
use crate::own_paths::OwnPaths;
use killpoint_engine::identity::Handle;
use killpoint_model::fault::Means;
use killpoint_model::strike::{Effect, Step};
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether a command has ended while the process is watched.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// What commands of the application's own see; as it is given, what this process sees.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Which copies are shown at their own paths.
    pub own_paths: OwnPaths,
    /// The directory that they work in.
    pub directory: Option<PathBuf>,
    /// Variables that are added.
    pub variables: Vec<(&'static str, PathBuf)>,
}

impl Surroundings {
    /// A program in them.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.own_paths.command(program);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Asks the process to end, and waits for it.
pub(super) fn ask(
    process: &Handle,
    means: &Means,
    surroundings: &Surroundings,
    grace: Duration,
    decided: Instant,
) -> Result<Step, StrikeError> {
    if ends_within(process, Duration::ZERO)? {
        let now = microseconds(decided);
        let what = name(means).to_owned();
        return Ok(Step { what, done_after_us: now, seen_after_us: now, effect: Effect::Gone });
    }
    let asked = match means {
        Means::Command(command) => run(process, command, surroundings, grace, decided)?,
        Means::Http(url) => request(process, url, grace, decided)?,
        Means::Terminate | Means::Kill | Means::Signal(_) => {
            unreachable!("signals are sent elsewhere")
        }
    };
    let since = Instant::now();
    let effect = match asked.problem {
        // Whoever ends because he was asked often answers badly, or not at all.
        _ if ends_within(process, Duration::ZERO)? => Effect::Ended { death: process.death() },
        Some(why) => Effect::Failed { why },
        None if ends_within(process, asked.left.saturating_sub(since.elapsed()))? => {
            Effect::Ended { death: process.death() }
        }
        None => Effect::LivesOn,
    };
    Ok(Step {
        what: name(means).to_owned(),
        done_after_us: asked.done_after_us,
        seen_after_us: microseconds(decided),
        effect,
    })
}

fn name(means: &Means) -> &'static str {
    match means {
        Means::Terminate | Means::Kill | Means::Signal(_) => "signal",
        Means::Command(_) => "command",
        Means::Http(_) => "http",
    }
}

/// How the asking went.
struct Asked {
    done_after_us: u64,
    problem: Option<String>,
    left: Duration,
}

fn run(
    process: &Handle,
    command: &[String],
    surroundings: &Surroundings,
    grace: Duration,
    decided: Instant,
) -> Result<Asked, StrikeError> {
    let since = Instant::now();
    let asked = |problem| {
        let left = grace.saturating_sub(since.elapsed());
        Asked { done_after_us: microseconds(decided), problem, left }
    };
    let Some((program, arguments)) = command.split_first() else {
        return Ok(asked(Some("the command is empty".to_owned())));
    };
    let started = surroundings
        .command(program)
        .args(arguments)
        .env("KILLPOINT_PID", process.identity().pid.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return Ok(asked(Some(format!("cannot start {program}: {error}")))),
    };
    let mut problem = None;
    while since.elapsed() < grace {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break,
            Ok(Some(status)) => problem = Some(format!("{program} ended with {status}")),
            Ok(None) if ends_within(process, LOOK_INTERVAL)? => break,
            Ok(None) => continue,
            Err(error) => problem = Some(format!("cannot wait for {program}: {error}")),
        }
        break;
    }
    let asked = asked(problem);
    end(&mut child);
    Ok(asked)
}

/// Ends a command that has not, with all that is still in its group.
fn end(child: &mut Child) {
    if let Ok(None) = child.try_wait() {
        // Not reaped yet, so its number is its own.
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait();
    }
}

fn request(
    process: &Handle,
    url: &str,
    grace: Duration,
    decided: Instant,
) -> Result<Asked, StrikeError> {
    let since = Instant::now();
    let (tell, told) = channel();
    let address = url.to_owned();
    // In a thread of its own, as who ends while it is asked may never answer; bounded by the grace.
    thread::spawn(move || {
        let _ = tell.send(send(&address, grace));
    });
    let problem = loop {
        match told.recv_timeout(LOOK_INTERVAL) {
            Ok(result) => break result.err(),
            Err(RecvTimeoutError::Disconnected) => {
                break Some("the request was given up".to_owned());
            }
            Err(RecvTimeoutError::Timeout) if ends_within(process, Duration::ZERO)? => break None,
            Err(RecvTimeoutError::Timeout) if since.elapsed() > grace => break None,
            Err(RecvTimeoutError::Timeout) => {}
        }
    };
    let left = grace.saturating_sub(since.elapsed());
    Ok(Asked { done_after_us: microseconds(decided), problem, left })
}

/// Sends a POST request without a body; why it was not answered with success.
fn send(url: &str, limit: Duration) -> Result<(), String> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(limit)).proxy(None).build().into();
    let request = ureq::http::Request::builder().method("POST").uri(url).body(());
    let request = request.map_err(|error| format!("POST {url}: {error}"))?;
    agent.run(request).map(drop).map_err(|error| format!("POST {url}: {error}"))
}
