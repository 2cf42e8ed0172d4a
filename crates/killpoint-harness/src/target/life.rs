//! Begins a life: the command, its environment, its standard streams, its bounds.

use super::dispatcher::Dispatcher;
use super::message;
use super::output::{self, Reading};
use super::probe::{self, Purpose, Question};
use super::process::{Life, Supervised};
use jiff::Timestamp;
use killpoint_engine::children::{Confinement, Held};
use killpoint_engine::undo::{self, Made};
use killpoint_model::lifecycle::{Lifecycle, Stream};
use killpoint_model::supervision::{Probe, Process};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The variables by which a process finds its supervisor.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

impl Dispatcher {
    /// Where a process's socket is.
    pub(super) fn notify_path(&self, name: &str) -> PathBuf {
        self.runtime.join(format!("{name}.notify"))
    }

    /// Where its named pipe is.
    pub(super) fn lines_path(&self, name: &str) -> PathBuf {
        self.runtime.join(format!("{name}.lines"))
    }

    /// Makes the socket and the pipe of a process.
    pub(super) fn open_ways(&self, index: usize) -> io::Result<()> {
        let name = &self.processes[index].name;
        message::listen(&self.notify_path(name), index, self.sink.clone())?;
        message::listen_to_lines(&self.lines_path(name), index, self.sink.clone())
    }

    /// A command of a process, with its directory and environment.
    pub(super) fn command(&self, index: usize, words: &[String]) -> Command {
        let it = &self.processes[index];
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&it.directory).stdin(Stdio::null());
        command.envs(&it.process.environment);
        command.env(NOTIFY_SOCKET, self.notify_path(&it.name));
        command.env("KILLPOINT_NOTIFY_SOCKET", self.notify_path(&it.name));
        command.env("KILLPOINT_NOTIFY_LINES", self.lines_path(&it.name));
        command.env(super::MARK, &self.mark);
        command.env("KILLPOINT_PROCESS", &it.name);
        command.env("KILLPOINT_LIFE", it.life.to_string());
        command.env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        for name in ["KILLPOINT_CHECKPOINT", "KILLPOINT_CHECKPOINT_SEQUENCE", "KILLPOINT_LAST_END"]
        {
            command.env_remove(name);
        }
        if let Some(watchdog) = &it.process.watchdog
            && watchdog.by == Probe::Notify
        {
            command.env("WATCHDOG_USEC", watchdog.timeout.duration().as_micros().to_string());
        }
        if let Some(end) = it.last_end {
            command.env("KILLPOINT_LAST_END", end.to_string());
        }
        if let Some((path, _)) = checkpoint(it) {
            command.env("KILLPOINT_CHECKPOINT", path);
            if let Some(sequence) = it.sequence {
                command.env("KILLPOINT_CHECKPOINT_SEQUENCE", sequence.to_string());
            }
        }
        command
    }

    /// Starts something beside the process itself; its output goes to a file that is thrown away.
    pub(super) fn start_auxiliary(&self, index: usize, words: &[String]) -> io::Result<Held> {
        let mut command = self.command(index, words);
        let path = self.auxiliary_output(index);
        let file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
        command.stdout(file).stderr(Stdio::null());
        self.starters[index].start(command, self.confinement(index))
    }

    pub(super) fn auxiliary_output(&self, index: usize) -> PathBuf {
        self.runtime.join(format!("{}.auxiliary", self.processes[index].name))
    }

    fn confinement(&self, index: usize) -> Confinement {
        let it = &self.processes[index];
        self.bounds.confinement(&it.name, it.process.limits.processes_max)
    }

    /// Executes the program of a process.
    pub(super) fn start_life(&mut self, index: usize, fallback: bool) -> io::Result<Life> {
        let life = self.processes[index].life;
        let handed_back = checkpoint(&self.processes[index]);
        let words = words(&self.processes[index].process, fallback, handed_back.as_ref());
        let mut command = self.command(index, &words);
        let streams = [Stream::Output, Stream::Error];
        let mut pipes = Vec::new();
        for stream in streams {
            let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            pipes.push((stream, read));
            match stream {
                Stream::Output => command.stdout(Stdio::from(write)),
                Stream::Error => command.stderr(Stdio::from(write)),
            };
        }
        self.processes[index].current.store(life, Ordering::Relaxed);
        self.ask(index, life);
        let (started, not_before) = (Instant::now(), Timestamp::now().to_string());
        // The writers' ends of the pipes go with the command.
        let held =
            self.starters[index].start(command, self.confinement(index)).map_err(|error| {
                let program = words.first().map_or("", String::as_str);
                io::Error::new(error.kind(), format!("{program}: {error}"))
            })?;
        self.announce(&held);
        for (stream, pipe) in pipes {
            self.read_output(index, life, stream, pipe);
        }
        if let Some((file, bytes)) = handed_back {
            let sequence = self.processes[index].sequence;
            let file = file.display().to_string();
            self.tell(index, Lifecycle::CheckpointHandedBack { file, bytes, sequence });
        }
        let pid = held.identity.pid;
        self.tell(index, Lifecycle::Started { pid, command: words, fallback, not_before });
        let process = &self.processes[index].process;
        Ok(Life {
            first: pid,
            main: held,
            started,
            ready: false,
            ready_until: process.ready.as_ref().map(|it| started + it.timeout.duration()),
            heartbeat_until: None,
            stopping: None,
            comm: comm(pid),
            ending: None,
        })
    }

    /// Asks for readiness and heartbeats where the process does not tell of them itself.
    fn ask(&self, index: usize, life: u32) {
        let it = &self.processes[index];
        let ready = it.process.ready.as_ref().map(|it| (Purpose::Ready, &it.by, it.timeout));
        let beat = it.process.watchdog.as_ref().map(|it| (Purpose::Heartbeat, &it.by, it.timeout));
        for (purpose, probe, timeout) in ready.into_iter().chain(beat) {
            let question = Question {
                process: index,
                life,
                current: it.current.clone(),
                purpose,
                probe: probe.clone(),
                directory: it.directory.clone(),
                timeout: timeout.duration(),
            };
            probe::ask(question, self.sink.clone());
        }
    }

    fn read_output(&mut self, index: usize, life: u32, stream: Stream, pipe: OwnedFd) {
        let it = &self.processes[index];
        let name = match stream {
            Stream::Output => "stdout",
            Stream::Error => "stderr",
        };
        let file = self.setup.output.as_ref().and_then(|directory| {
            let path = directory.join(format!("{}.{life}.{name}", it.name));
            OpenOptions::new().create(true).append(true).open(path).ok()
        });
        let by = [
            it.process.ready.as_ref().map(|it| &it.by),
            it.process.watchdog.as_ref().map(|it| &it.by),
        ];
        let pattern = by.into_iter().flatten().find_map(|probe| match probe {
            Probe::LogLine(pattern) => Some(pattern.clone()),
            _ => None,
        });
        let reading = Reading {
            process: index,
            life,
            stream,
            file,
            bytes_max: it.process.limits.output_bytes_max,
            pass_on: self.pass_on.clone(),
            pattern,
        };
        output::read(pipe, reading, self.sink.clone());
        self.open_streams += 1;
    }

    /// In the run's undo log, for the case that supervisor and guardian die together.
    fn announce(&self, held: &Held) {
        if let Some(run) = &self.setup.run {
            let process = held.identity;
            let _ = undo::append(run, &Made::Supervised { process, mark: self.mark.clone() });
        }
    }
}

/// The kernel's name of a process.
pub(super) fn comm(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// The checkpoint's file, if it is one and there is something in it, and its length.
fn checkpoint(it: &Supervised) -> Option<(PathBuf, u64)> {
    let path = it.directory.join(it.process.checkpoint.as_deref()?);
    let metadata = fs::metadata(&path).ok()?;
    let bytes = metadata.len();
    (metadata.is_file() && bytes > 0).then_some((path, bytes))
}

fn words(process: &Process, fallback: bool, checkpoint: Option<&(PathBuf, u64)>) -> Vec<String> {
    let command = match &process.fallback {
        Some(command) if fallback => command,
        _ => &process.command,
    };
    let path = checkpoint.map(|(path, _)| path.as_path());
    let more: &[String] =
        if path.is_some() && !fallback { &process.checkpoint_arguments } else { &[] };
    let shown = path.or(process.checkpoint.as_deref().map(Path::new));
    let shown = shown.map(|path| path.display().to_string());
    let fill = |word: &String| match &shown {
        Some(path) => word.replace("{checkpoint}", path),
        None => word.clone(),
    };
    command.iter().chain(more).map(fill).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_stands_in_the_arguments_only_where_there_is_one() {
        let mut process = Process::new(vec!["app".into(), "--at={checkpoint}".into()]);
        process.checkpoint = Some("c.bin".into());
        process.checkpoint_arguments = vec!["--restore".into(), "{checkpoint}".into()];
        process.fallback = Some(vec!["safe".into()]);
        let there = (PathBuf::from("/d/c.bin"), 3);
        assert_eq!(words(&process, false, None), ["app", "--at=c.bin"]);
        assert_eq!(
            words(&process, false, Some(&there)),
            ["app", "--at=/d/c.bin", "--restore", "/d/c.bin"]
        );
        assert_eq!(words(&process, true, Some(&there)), ["safe"]);
    }
}
