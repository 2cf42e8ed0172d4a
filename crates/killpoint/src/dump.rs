//! `killpoint dump`: minidumps of running and crashing processes, and what stands in them.

use crate::arguments::Dump;
use crate::commands::Failure;
use killpoint_model::Outcome;

/// Writes, watches for or reads dumps.
///
/// # Errors
/// If a process cannot be looked at, or a file cannot be written or read.
#[cfg(feature = "dumps")]
pub fn run(flags: &Dump) -> Result<Outcome, Failure> {
    use anyhow::{Context, anyhow};
    use killpoint_engine::dump::{Afterwards, Watch, write};
    use killpoint_harness::collector::stack::of_dump;
    use std::io::Write;

    let to = || flags.to.as_deref().context("say where to with --to PATH");
    if let Some(pid) = flags.pid {
        let path = to()?;
        write(pid, path, Afterwards::GoOn).context("the process was left as it was")?;
        print_stack(&of_dump(path).map_err(|error| anyhow!(error))?);
    } else if let Some(pid) = flags.watch {
        let directory = to()?;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
        let mut lines = std::io::stdout();
        let watched = Watch::new(directory).run(pid, |caught| {
            let dump = caught.dump.as_ref();
            let line = serde_json::json!({
                "pid": caught.pid,
                "thread": caught.thread,
                "signal": caught.signal,
                "dump": dump.ok(),
                "problem": dump.err().map(|error| format!("{:#}", anyhow!("{error}"))),
                "stack": dump.ok().and_then(|path| of_dump(path).ok()),
            });
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

/// Says that this build cannot.
///
/// # Errors
/// Always.
#[cfg(not(feature = "dumps"))]
pub fn run(_flags: &Dump) -> Result<Outcome, Failure> {
    let text = "this build has no dumps: released binaries do, or build with `--features dumps`";
    Err(anyhow::anyhow!(text).into())
}

#[cfg(feature = "dumps")]
fn print_stack(stack: &killpoint_model::crash::Stack) {
    if !stack.reason.is_empty() {
        println!("{}", stack.reason);
    }
    for frame in &stack.frames {
        let mark = if frame.in_application { "*" } else { " " };
        println!("{mark} {frame}");
    }
}
