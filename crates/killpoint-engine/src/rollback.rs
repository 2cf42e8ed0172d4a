//! Commands that undo what a scenario's own commands did. They stand in the undo log, so that they are
//! run by the watchdog or by `killpoint recover` where the harness died before it could.

use killpoint_model::activity::filled;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether a command has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// What they print is kept in this file of the run's folder.
pub const OUTPUT_NAME: &str = "rollbacks.txt";

/// One command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// What it is called.
    pub name: String,
    /// What it is started through, if anything: that shows it the copies of a state at the state's own paths.
    pub through: Vec<OsString>,
    /// The program and its arguments; variables of the environment are filled in when it is run.
    pub command: Vec<String>,
    /// Variables that it gets besides those of whoever runs it.
    pub environment: BTreeMap<String, OsString>,
    /// The directory that it works in.
    pub directory: PathBuf,
    /// It is killed after this time, milliseconds.
    pub timeout_ms: u64,
}

impl Rollback {
    /// Runs it to its end, bounded; whether it ended with exit status 0. Once it was tried it is not
    /// tried again: a second time need not mean the same.
    pub fn run(&self, run: &Path) -> bool {
        let ended = self.start(run).and_then(|child| self.wait(child));
        let how = match &ended {
            Ok(status) if status.success() => return true,
            Ok(status) => format!("ended with {status}"),
            Err(error) => format!("could not be run: {error}"),
        };
        let output = OpenOptions::new().create(true).append(true).open(run.join(OUTPUT_NAME));
        let _ = output.and_then(|mut file| writeln!(file, "rollback {}: {how}", self.name));
        false
    }

    fn start(&self, run: &Path) -> io::Result<Child> {
        let lookup = |name: &str| std::env::var(name).ok();
        let words = self.command.iter().map(|word| filled(word, &lookup));
        let words = words.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        if words.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut words = self.through.iter().cloned().chain(words.into_iter().map(OsString::from));
        let program = words.next().ok_or(io::ErrorKind::InvalidInput)?;
        let output = || OpenOptions::new().create(true).append(true).open(run.join(OUTPUT_NAME));
        Command::new(program)
            .args(words)
            .envs(&self.environment)
            .current_dir(&self.directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output()?)
            .stderr(output()?)
            .spawn()
    }

    /// Looked at without reaping, so that the number of its group stays its own until that is killed.
    fn wait(&self, mut child: Child) -> io::Result<ExitStatus> {
        let since = Instant::now();
        let limit = Duration::from_millis(self.timeout_ms);
        let pid = Pid::from_child(&child);
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(pid), options)?.is_none() && since.elapsed() < limit {
            thread::sleep(LOOK_INTERVAL);
        }
        let _ = kill_process_group(pid, Signal::KILL);
        child.wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollback(script: &str, timeout_ms: u64) -> Rollback {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Rollback {
            name: "undo".to_owned(),
            through: Vec::new(),
            command,
            environment: BTreeMap::from([("WHERE".to_owned(), OsString::from("/here"))]),
            directory: PathBuf::from("/"),
            timeout_ms,
        }
    }

    #[test]
    fn a_command_is_run_to_its_end_and_not_beyond_its_time() {
        let run = tempfile::tempdir().expect("a directory");
        assert!(rollback("echo done; echo $WHERE", 60_000).run(run.path()));
        let through = ["/bin/sh", "-c", "echo through; exec \"$@\"", "sh"].map(OsString::from);
        let led = Rollback { through: through.to_vec(), ..rollback("echo led", 60_000) };
        assert!(led.run(run.path()));
        assert!(!rollback("exit 3", 60_000).run(run.path()));
        assert!(!rollback("sleep 1000", 20).run(run.path()));
        assert!(!rollback("echo {environment:KILLPOINT_TEST_NOT_SET}", 60_000).run(run.path()));
        let said = std::fs::read_to_string(run.path().join(OUTPUT_NAME)).expect("written");
        let (words, failures) = said.split_at(said.find("rollback ").expect("one failed"));
        assert_eq!(words, "done\n/here\nthrough\nled\n");
        assert!(failures.contains("rollback undo: ended with exit status: 3"), "{failures}");
        assert!(failures.contains("rollback undo: could not be run: "), "{failures}");
    }
}
