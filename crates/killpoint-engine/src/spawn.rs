//! Starts programs from a process that stands between a fork and whatever comes after it: nothing
//! here touches the environment or the standard streams of this process.

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::{ForkResult, Pid, fork};
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program to start, with everything that it needs.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The file to execute.
    pub program: PathBuf,
    /// Its arguments, its own name first.
    pub arguments: Vec<OsString>,
    /// Its environment, whole.
    pub environment: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub directory: PathBuf,
}

impl Launch {
    /// As the standard library starts it.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some((name, arguments)) = self.arguments.split_first() {
            command.arg0(name).args(arguments);
        }
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory);
        command
    }
}

/// Why a program was not found.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Nothing of that name.
    #[error("there is no program `{0}`: neither here nor in PATH")]
    Missing(String),
    /// Something, but not a program.
    #[error("`{0}` is not an executable file (chmod +x, or name its interpreter)")]
    NotExecutable(String),
}

/// Finds a program as a shell would.
///
/// # Errors
/// If there is none, or it may not be executed.
pub fn find_program(
    name: &OsStr,
    path_variable: Option<&OsStr>,
    directory: &Path,
) -> Result<PathBuf, ProgramError> {
    let shown = || name.to_string_lossy().into_owned();
    let executable = |path: &Path| {
        path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    if name.as_bytes().contains(&b'/') {
        let path = directory.join(name);
        return match path.exists() {
            true if executable(&path) => Ok(path),
            true => Err(ProgramError::NotExecutable(shown())),
            false => Err(ProgramError::Missing(shown())),
        };
    }
    let path_variable = path_variable.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    std::env::split_paths(path_variable)
        .map(|part| directory.join(part).join(name))
        .find(|path| executable(path))
        .ok_or_else(|| ProgramError::Missing(shown()))
}

/// A launch turned into what `execve` takes, before the fork.
pub(crate) struct Prepared {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    directory: CString,
}

fn c_string(bytes: Vec<u8>) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl Prepared {
    pub(crate) fn new(launch: &Launch) -> io::Result<Self> {
        let environment = launch.environment.iter().map(|(name, value)| {
            let mut pair = name.clone().into_vec();
            pair.push(b'=');
            pair.extend_from_slice(value.as_bytes());
            c_string(pair)
        });
        Ok(Prepared {
            program: c_string(launch.program.as_os_str().as_bytes().to_vec())?,
            arguments: launch
                .arguments
                .iter()
                .map(|argument| c_string(argument.clone().into_vec()))
                .collect::<io::Result<_>>()?,
            environment: environment.collect::<io::Result<_>>()?,
            directory: c_string(launch.directory.as_os_str().as_bytes().to_vec())?,
        })
    }
}

/// The standard streams of a program: what they are connected to.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) input: OwnedFd,
    pub(crate) output: OwnedFd,
    pub(crate) error: OwnedFd,
}

/// A started program that waits for [`Waiting::go`] before it executes its file.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) process: Pid,
    gate: File,
    failure: File,
}

impl Waiting {
    /// Lets it go on to its program. The failure pipe tells, once it has closed, whether and why
    /// the program could not be executed.
    pub(crate) fn go(mut self) -> io::Result<File> {
        self.gate.write_all(b"g")?;
        Ok(self.failure)
    }
}

/// Reads what [`Waiting::go`] returned: the error number if the program could not be executed.
pub(crate) fn failure(mut pipe: File) -> Option<i32> {
    let mut bytes = [0; 4];
    pipe.read_exact(&mut bytes).ok().map(|()| i32::from_ne_bytes(bytes))
}

/// Forks; the child waits at a gate, calls `before` and executes the program.
///
/// # Errors
/// What the system says to pipe and fork.
#[expect(unsafe_code, reason = "fork has no safe form")]
pub(crate) fn start(
    prepared: &Prepared,
    streams: &Streams,
    before: impl FnOnce() -> io::Result<()>,
) -> io::Result<Waiting> {
    let (gate_read, gate_write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (failure_read, failure_write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the caller is a single-threaded worker process, so the child may do anything.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Waiting {
            process: child,
            gate: File::from(gate_write),
            failure: File::from(failure_read),
        }),
        ForkResult::Child => {
            drop(gate_write);
            let error = child(prepared, streams, before, gate_read).err();
            let number = error.and_then(|error| error.raw_os_error()).unwrap_or(libc::EIO);
            let _ = File::from(failure_write).write_all(&number.to_ne_bytes());
            // SAFETY: ends the process without running anything of the parent's.
            unsafe { libc::_exit(127) }
        }
    }
}

#[expect(unsafe_code, reason = "signal dispositions and execve")]
fn child(
    prepared: &Prepared,
    streams: &Streams,
    before: impl FnOnce() -> io::Result<()>,
    gate: OwnedFd,
) -> io::Result<std::convert::Infallible> {
    nix::unistd::setsid()?;
    crate::undo::announce_program(std::process::id())?;
    // The worker may have changed these; a program expects them as a shell would leave them.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    for number in [Signal::SIGPIPE, Signal::SIGINT, Signal::SIGTERM, Signal::SIGALRM] {
        // SAFETY: the default action runs no code of ours.
        unsafe { signal(number, SigHandler::SigDfl) }?;
    }
    for (target, source) in [(0, &streams.input), (1, &streams.output), (2, &streams.error)] {
        // SAFETY: dup2 on descriptors that we own; the standard streams are meant to be replaced.
        if unsafe { libc::dup2(source.as_raw_fd(), target) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    nix::unistd::chdir(prepared.directory.as_c_str())?;
    let mut byte = [0; 1];
    File::from(gate).read_exact(&mut byte)?;
    before()?;
    nix::unistd::execve(&prepared.program, &prepared.arguments, &prepared.environment)
        .map_err(io::Error::from)
}

/// How a program ended that was run to its end.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Finished {
    /// How it ended.
    pub exit: crate::recording::Exit,
    /// What it printed, up to the bound.
    pub output: Vec<u8>,
    /// What it said on standard error, up to the bound; the last part of it.
    pub error: Vec<u8>,
    /// Whether something was left out of either.
    pub cut: bool,
}

impl Finished {
    fn not_started(number: i32) -> Self {
        let exit = crate::recording::Exit::NotStarted(number);
        Finished { exit, output: Vec::new(), error: Vec::new(), cut: false }
    }
}

/// Runs a program to its end in a single-threaded worker, and ends it when its time is over. Its
/// children may outlive it; in a worker with a PID namespace [`end_all`] ends those.
///
/// The standard library starts it by `posix_spawn`, which copies nothing of a worker that may hold a
/// large state.
///
/// # Errors
/// What the system says to pipe and spawn, but for what it says of the program.
pub fn run(
    launch: &Launch,
    timeout: std::time::Duration,
    bytes_max: usize,
) -> io::Result<Finished> {
    use crate::recording::Exit;
    let (mut output, output_end) = Drain::pipe(bytes_max)?;
    let (mut error, error_end) = Drain::pipe(bytes_max)?;
    let mut command = launch.command();
    command.stdin(null()?).stdout(output_end).stderr(error_end);
    crate::undo::set_apart(&mut command);
    let spawned = command.spawn();
    // It holds the other ends of the pipes.
    drop(command);
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => match error.raw_os_error() {
            Some(number) if !matches!(number, libc::EAGAIN | libc::ENOMEM | libc::EMFILE) => {
                return Ok(Finished::not_started(number));
            }
            _ => return Err(error),
        },
    };
    let deadline = std::time::Instant::now() + timeout;
    let handle = rustix::process::pidfd_open(
        rustix::process::Pid::from_child(&child),
        rustix::process::PidfdFlags::empty(),
    )?;
    let exit = loop {
        output.drain()?;
        error.drain()?;
        let rest = deadline.saturating_duration_since(std::time::Instant::now());
        if rest.is_zero() {
            child.kill()?;
            child.wait()?;
            break Exit::TimedOut;
        }
        if let Some(status) = child.try_wait()? {
            break match (status.code(), status.signal()) {
                (Some(code), _) => Exit::Status(code),
                (None, signal) => Exit::Signal(signal.unwrap_or_default()),
            };
        }
        wait_for_any(&[&output.pipe, &error.pipe], &handle, rest)?;
    };
    output.drain()?;
    error.drain()?;
    Ok(Finished { exit, cut: output.cut || error.cut, output: output.kept, error: error.kept })
}

/// Ends and reaps everything in this worker's PID namespace but the worker; under a watchdog, what
/// its programs left behind. Elsewhere it does nothing.
pub fn end_all() {
    if nix::unistd::getpid().as_raw() != 1 {
        crate::arena::end_orphans();
        return;
    }
    let _ = nix::sys::signal::kill(Pid::from_raw(-1), Signal::SIGKILL);
    loop {
        match nix::sys::wait::waitpid(None, None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// An empty standard input.
///
/// # Errors
/// If /dev/null cannot be opened.
pub fn null() -> io::Result<OwnedFd> {
    Ok(File::open("/dev/null")?.into())
}

fn wait_for_any(pipes: &[&File], handle: &OwnedFd, limit: std::time::Duration) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled: Vec<PollFd<'_>> =
        pipes.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
    polled.push(PollFd::new(handle, PollFlags::IN));
    let limit = limit.min(std::time::Duration::from_millis(100));
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(limit.subsec_nanos()) };
    match poll(&mut polled, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    // A pipe whose writers are gone is always ready; the process's end is what counts.
    let only_hangup = polled.iter().all(|fd| !fd.revents().contains(PollFlags::IN));
    if only_hangup && polled.iter().any(|fd| fd.revents().contains(PollFlags::HUP)) {
        let mut last = [PollFd::new(handle, PollFlags::IN)];
        let _ = poll(&mut last, Some(&timeout));
    }
    Ok(())
}

/// Reads a pipe without waiting and keeps a bounded part.
#[derive(Debug)]
pub struct Drain {
    pipe: File,
    kept: Vec<u8>,
    bytes_max: usize,
    cut: bool,
}

impl Drain {
    /// A pipe to read from, and its other end.
    ///
    /// # Errors
    /// What the system says.
    pub fn pipe(bytes_max: usize) -> io::Result<(Self, OwnedFd)> {
        const CAPACITY: usize = 1 << 20;
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&read, rustix::fs::OFlags::NONBLOCK)?;
        // A larger pipe only spares the target from waiting; refused beyond a user's limit.
        let _ = rustix::pipe::fcntl_setpipe_size(&read, CAPACITY);
        Ok((Drain { pipe: File::from(read), kept: Vec::new(), bytes_max, cut: false }, write))
    }

    /// Reads what is there, at most a bounded part of it at a time.
    ///
    /// # Errors
    /// What the system says, but for "nothing there".
    pub fn drain(&mut self) -> io::Result<()> {
        const ROUNDS_MAX: usize = 64;
        let mut buffer = [0; 65_536];
        for _ in 0..ROUNDS_MAX {
            match self.pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let room = self.bytes_max.saturating_sub(self.kept.len()).min(count);
                    self.kept.extend_from_slice(&buffer[..room]);
                    self.cut |= room < count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What was kept.
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }
}
