//! A checker that stays alive: it reads `{"state": DIR, "id": N}`, a line each, and answers
//! `{"id": N, "store": {...}}` or `{"id": N, "error": "..."}`, so that an interpreter's start-up is
//! paid once.

use super::{OUTPUT_BYTES_MAX, Reading, Surroundings};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
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

/// Why there is no answer.
enum Fault {
    /// It ended, or closed its output.
    Ended,
    /// It said something that is no answer to the question.
    Protocol(String),
    /// The system refused.
    System(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Fault::Ended,
            _ => Fault::System(error),
        }
    }
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
            Err(fault) => without_answer(fault, self.stop()),
        }
    }

    fn ask(&mut self, surroundings: &Surroundings) -> Result<Option<Answer>, Fault> {
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
        let Some(line) = self.line(deadline)? else { return Ok(None) };
        let answer: Answer = serde_json::from_slice(&line).map_err(|error| {
            let text: String = String::from_utf8_lossy(&line).chars().take(200).collect();
            Fault::Protocol(format!("answered `{text}`, which is no answer: {error}"))
        })?;
        match answer.id == id {
            true => Ok(Some(answer)),
            false => Err(Fault::Protocol(format!(
                "answered with the id {}, and was asked with the id {id}: it must give back that of \
                 the question",
                answer.id
            ))),
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
    fn line(&mut self, deadline: Instant) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.unread, rest);
                line.pop();
                return Ok(Some(line));
            }
            if self.unread.len() > OUTPUT_BYTES_MAX {
                return Err(Fault::Protocol("gave an answer that is too long".to_owned()));
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
                Err(error) => return Err(Fault::System(error.into())),
            }
            let mut buffer = [0; 65_536];
            match output.read(&mut buffer)? {
                0 => return Err(Fault::Ended),
                count => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Ends it. Says how it had ended by itself, if it had.
    fn stop(&mut self) -> Option<ExitStatus> {
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
        by_itself
    }
}

/// What it means that there was no answer. Who fails, refuses the state; who ends well has answered
/// nothing, or not as agreed.
fn without_answer(fault: Fault, ended: Option<ExitStatus>) -> Reading {
    let said = match &fault {
        Fault::Protocol(said) => said.clone(),
        Fault::Ended | Fault::System(_) => String::new(),
    };
    let failed = ended.and_then(|status| match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit status {code}")),
        (None, signal) => Some(format!("death by signal {}", signal.unwrap_or_default())),
    });
    match (failed, fault) {
        (Some(how), _) if matches!(how.as_str(), "exit status 126" | "exit status 127") => {
            Reading::NotRun(format!(
                "the stream checker: {how}: the shell found no such program, or could not run it"
            ))
        }
        (Some(how), _) => Reading::Refused { how: format!("{how} before it answered"), said },
        (None, Fault::Ended) => Reading::NotRun(
            "the stream checker ended, or closed its output, before it answered: it must answer each \
             line that it reads until its input ends"
                .to_owned(),
        ),
        (None, Fault::Protocol(said)) => Reading::NotRun(format!("the stream checker {said}")),
        (None, Fault::System(error)) => {
            Reading::NotRun(format!("the stream checker cannot be talked to: {error}"))
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn read(command: &str) -> (Reading, Duration) {
        let surroundings = Surroundings {
            state: PathBuf::from("/tmp"),
            journal: PathBuf::from("/tmp/journal"),
            directory: PathBuf::from("/"),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            timeout: Duration::from_secs(20),
        };
        let since = Instant::now();
        let reading = StreamChecker::new(command).read(&surroundings);
        (reading, since.elapsed())
    }

    #[track_caller]
    fn is_told_at_once(command: &str, words: &str) {
        let (reading, elapsed) = read(command);
        let Reading::NotRun(problem) = &reading else { panic!("{command}: {reading:?}") };
        assert!(problem.contains(words), "{command}: {problem}");
        assert!(elapsed < Duration::from_secs(10), "{command}: {elapsed:?}");
    }

    #[test]
    fn an_answer_is_a_reading() {
        let command = r#"while read line; do echo '{"id": 1, "store": {"a": "b"}}'; done"#;
        assert_eq!(read(command).0, Reading::Printed(r#"{"a":"b"}"#.to_owned()));
    }

    #[test]
    fn an_answer_with_another_id_is_told_at_once() {
        let command = r#"while read line; do echo '{"id": 7, "store": {}}'; done"#;
        is_told_at_once(command, "answered with the id 7, and was asked with the id 1");
    }

    #[test]
    fn a_line_that_is_no_answer_is_told_plainly() {
        let command = "while read line; do echo ready; done";
        is_told_at_once(command, "the stream checker answered `ready`, which is no answer");
    }

    #[test]
    fn one_that_ends_well_without_an_answer_has_not_read_the_state() {
        is_told_at_once("true", "ended, or closed its output, before it answered");
        is_told_at_once("read line", "ended, or closed its output, before it answered");
        is_told_at_once("/no/such/program", "exit status 127: the shell found no such program");
    }

    #[test]
    fn one_that_fails_refuses_the_state() {
        for (command, how, said) in [
            ("read line; exit 3", "exit status 3 before it answered", ""),
            ("read line; kill -9 $$", "death by signal 9 before it answered", ""),
        ] {
            let (how, said) = (how.to_owned(), said.to_owned());
            assert_eq!(read(command).0, Reading::Refused { how, said }, "{command}");
        }
    }
}
