//! `killpoint dump`: minidumps of running and crashing processes, and what stands in them.

use crate::arguments::Dump;
use crate::failure::Failure;
#[cfg(feature = "dumps")]
use crate::output::print_line;
#[cfg(feature = "dumps")]
use anyhow::Context;
#[cfg(feature = "dumps")]
use killpoint_engine::regular_file;
use killpoint_model::Outcome;
#[cfg(feature = "dumps")]
use killpoint_model::selector::Roles;
#[cfg(feature = "dumps")]
use std::path::Path;

/// Writes, watches for or reads dumps.
///
/// # Errors
/// If a process cannot be looked at, or a file cannot be written or read.
#[cfg(feature = "dumps")]
pub fn run(flags: &Dump) -> Result<Outcome, Failure> {
    use anyhow::anyhow;
    use killpoint_engine::dump::{Afterwards, DumpError, Seen, Watch, write};
    use killpoint_harness::collector::stack::of_dump;
    use killpoint_harness::collector::watch::{Caught, Died, Line, Request};
    use std::io::{BufRead, Write};

    let to = || flags.to.as_deref().context("say where to with --to PATH");
    if let Some(pid) = flags.pid {
        let path = to()?;
        write(pid, path, Afterwards::GoOn).context("the process was left as it was")?;
        print_stack(&of_dump(path).map_err(|error| anyhow!(error))?);
    } else if let Some(pid) = flags.watch {
        let directory = to()?;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
        let roles = match &flags.roles {
            Some(path) => read_roles(path)?,
            None => Roles::default(),
        };
        let (mut watch, asker) = Watch::new(directory);
        if flags.ask {
            std::thread::spawn(move || {
                for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                    if let Ok(Request { pid, path }) = serde_json::from_str(&line) {
                        asker.dump_and_kill(pid, path);
                    }
                }
            });
        }
        let problem = |error: &DumpError| match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        let mut lines = std::io::stdout();
        let watched = watch.run(pid, |seen| {
            let line = match seen {
                Seen::Caught(it) => {
                    let dump = it.dump.as_ref();
                    Line::Caught(Caught {
                        pid: it.pid,
                        thread: it.thread,
                        signal: it.signal,
                        dump: dump.ok().cloned(),
                        problem: dump.err().map(problem),
                        stack: dump.ok().and_then(|path| of_dump(path).ok()),
                    })
                }
                Seen::Killed { pid, dump } => {
                    Line::Killed { pid, problem: dump.err().as_ref().map(problem) }
                }
                Seen::Ended(it) => Line::Died(Died::look(it.pid, it.signal, it.core, pid, &roles)),
            };
            let line = serde_json::to_string(&line).expect("plain data");
            // Nobody may read it any more; the dumps are on disk all the same.
            let _ = writeln!(lines, "{line}").and_then(|()| lines.flush());
        });
        watched.with_context(|| {
            format!("cannot watch process {pid}: it is gone, another process traces it, or Yama forbids it")
        })?;
    } else if let Some(path) = &flags.read {
        print_stack(&of_dump(path).map_err(|error| anyhow!(error))?);
    }
    Ok(Outcome::Pass)
}

#[cfg(feature = "dumps")]
fn read_roles(path: &Path) -> Result<Roles, Failure> {
    let text = regular_file::read_to_string(path)
        .with_context(|| format!("cannot read the roles {}", path.display()))?;
    let roles = serde_json::from_str(&text);
    Ok(roles.with_context(|| format!("{} holds no roles", path.display()))?)
}

/// Says that this build cannot.
///
/// # Errors
/// Always.
#[cfg(not(feature = "dumps"))]
pub fn run(_flags: &Dump) -> Result<Outcome, Failure> {
    let text = "this build has no dumps: build killpoint with `--features dumps`";
    Err(anyhow::anyhow!(text).into())
}

#[cfg(feature = "dumps")]
fn print_stack(stack: &killpoint_model::crash::Stack) {
    if !stack.reason.is_empty() {
        print_line!("{}", stack.reason);
    }
    for frame in &stack.frames {
        let mark = if frame.in_application { "*" } else { " " };
        print_line!("{mark} {frame}");
    }
}
