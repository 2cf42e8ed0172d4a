//! A checker that stays alive: it reads `{"state": DIR, "id": N}`, a line each, and answers
//! `{"id": N, "store": {...}}` or `{"id": N, "error": "..."}`, so that an interpreter's start-up is
//! paid once.

use super::{OUTPUT_BYTES_MAX, Reading, Surroundings};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[derive(Serialize)]
struct Question<'a> {
    state: &'a std::path::Path,
    id: u64,
}

#[derive(Deserialize)]
struct Answer {
    id: u64,
    store: Option<serde_json::Value>,
    error: Option<String>,
}

/// A running stream checker.
#[derive(Debug)]
pub struct StreamChecker {
    command: String,
    child: Option<Child>,
    next: u64,
    unread: Vec<u8>,
}

impl StreamChecker {
    /// A checker that is started when the first state is to be read.
    pub fn new(command: &str) -> Self {
        StreamChecker { command: command.to_owned(), child: None, next: 1, unread: Vec::new() }
    }

    /// Reads the state that is mounted now. A checker that dies or hangs is started anew for the
    /// next state.
    pub fn read(&mut self, surroundings: &Surroundings) -> Reading {
        match self.ask(surroundings) {
            Ok(Some(answer)) => match (answer.store, answer.error) {
                (Some(store), None) => Reading::Printed(store.to_string()),
                (_, Some(error)) => Reading::Refused { how: "an error".to_owned(), said: error },
                (None, None) => Reading::NotRun(
                    "the stream checker's answer has neither \"store\" nor \"error\"".to_owned(),
                ),
            },
            Ok(None) => {
                self.stop();
                Reading::Hung(surroundings.timeout)
            }
            Err(error) => {
                let how = self.stop();
                match how {
                    Some(how) => Reading::Refused { how, said: error.to_string() },
                    None => Reading::NotRun(format!("the stream checker: {error}")),
                }
            }
        }
    }

    fn ask(&mut self, surroundings: &Surroundings) -> io::Result<Option<Answer>> {
        if self.child.is_none() {
            self.start(surroundings)?;
        }
        let id = self.next;
        self.next += 1;
        let child = self.child.as_mut().expect("started above");
        let question = Question { state: &surroundings.state, id };
        let mut line = serde_json::to_vec(&question).map_err(io::Error::other)?;
        line.push(b'\n');
        child.stdin.as_mut().expect("piped").write_all(&line)?;
        let deadline = Instant::now() + surroundings.timeout;
        loop {
            let Some(line) = self.line(deadline)? else { return Ok(None) };
            let answer: Answer = serde_json::from_slice(&line).map_err(|error| {
                let text: String = String::from_utf8_lossy(&line).chars().take(200).collect();
                io::Error::other(format!("answered `{text}`, which is no answer: {error}"))
            })?;
            if answer.id == id {
                return Ok(Some(answer));
            }
        }
    }

    fn start(&mut self, surroundings: &Surroundings) -> io::Result<()> {
        self.unread.clear();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &self.command])
            .env_clear()
            .envs(surroundings.environment.iter().map(|(name, value)| (name, value)))
            .env("KILLPOINT_STATE", &surroundings.state)
            .env("KILLPOINT_JOURNAL", &surroundings.journal)
            .current_dir(&surroundings.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        killpoint_engine::undo::set_apart(&mut command);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// The next line of its output; none if the time was over first.
    fn line(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.unread, rest);
                line.pop();
                return Ok(Some(line));
            }
            if self.unread.len() > OUTPUT_BYTES_MAX {
                return Err(io::Error::other("an answer is too long"));
            }
            let child = self.child.as_mut().expect("started before it is read");
            let output = child.stdout.as_mut().expect("piped");
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Ok(None);
            }
            let timeout = timespec(rest);
            let mut polled = [PollFd::new(output, PollFlags::IN)];
            match poll(&mut polled, Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let mut buffer = [0; 65_536];
            match output.read(&mut buffer)? {
                0 => return Err(io::Error::other("it ended before it answered")),
                count => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Ends it. Says how it had ended by itself, if it had.
    fn stop(&mut self) -> Option<String> {
        let mut child = self.child.take()?;
        drop(child.stdin.take());
        let by_itself = (0..20).find_map(|_| {
            let status = child.try_wait().ok().flatten();
            if status.is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
            status
        });
        let _ = child.kill();
        let _ = child.wait();
        by_itself.map(|status| status.to_string())
    }
}

impl Drop for StreamChecker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
