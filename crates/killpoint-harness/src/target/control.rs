//! The control protocol: one line asks, one line of JSON answers. `docs/supervisor.md` describes it.

use super::recorder::Printer;
use super::{Occurrence, Sink};
use killpoint_model::span::Span;
use serde::Serialize;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Longest request.
const REQUEST_BYTES_MAX: u64 = 4_096;
/// Longest wait for the dispatcher.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Most connections at a time.
const CONNECTIONS_MAX: usize = 64;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Status,
    Start(String),
    Stop(String),
    Restart(String),
    KeepDown(String, Option<Span>),
    Release(String),
    Signal(String, i32),
    Shutdown,
}

/// One line of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Answer {
    /// Whether it is done, or begun.
    pub(super) ok: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) problem: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) processes: Vec<State>,
}

/// How a process is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct State {
    pub(super) process: String,
    /// `waiting`, `delayed`, `kept-down`, `preparing`, `starting`, `ready`, `stopping` or `down`.
    pub(super) phase: &'static str,
    pub(super) life: u32,
    pub(super) pid: Option<i32>,
    pub(super) kept_down: bool,
}

impl Answer {
    pub(super) fn done() -> Self {
        Answer { ok: true, ..Answer::default() }
    }

    pub(super) fn refused(problem: impl Into<String>) -> Self {
        Answer { problem: problem.into(), ..Answer::default() }
    }
}

const REQUESTS: &str = "status, start NAME, stop NAME, restart NAME, keep-down NAME [SPAN], \
                        release NAME, signal NAME NUMBER, shutdown";

/// Reads a request.
pub(super) fn parse(line: &str) -> Result<Request, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let owned = |name: &str| name.to_owned();
    match words.as_slice() {
        ["status"] => Ok(Request::Status),
        ["start", name] => Ok(Request::Start(owned(name))),
        ["stop", name] => Ok(Request::Stop(owned(name))),
        ["restart", name] => Ok(Request::Restart(owned(name))),
        ["keep-down", name] => Ok(Request::KeepDown(owned(name), None)),
        ["keep-down", name, span] => match span.parse() {
            Ok(span) => Ok(Request::KeepDown(owned(name), Some(span))),
            Err(error) => Err(format!("{error}")),
        },
        ["release", name] => Ok(Request::Release(owned(name))),
        ["signal", name, number] => match number.parse() {
            Ok(number @ 1..=31) => Ok(Request::Signal(owned(name), number)),
            _ => Err(format!("`{number}` is no number of a signal from 1 to 31")),
        },
        ["shutdown"] => Ok(Request::Shutdown),
        _ => Err(format!("`{}` is no request: write one of {REQUESTS}", line.trim())),
    }
}

/// Takes requests from a Unix socket, any number of connections one after another or side by side.
pub(super) fn listen(path: &Path, sink: Sink) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    let connections = std::sync::Arc::new(());
    thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(connection) = connection else { continue };
            if std::sync::Arc::strong_count(&connections) > CONNECTIONS_MAX {
                continue;
            }
            let (sink, counted) = (sink.clone(), std::sync::Arc::clone(&connections));
            thread::spawn(move || {
                serve(connection, &sink);
                drop(counted);
            });
        }
    });
    Ok(())
}

fn serve(connection: UnixStream, sink: &Sink) {
    let Ok(mut writer) = connection.try_clone() else { return };
    let _ = writer.set_write_timeout(Some(ANSWER_TIMEOUT));
    let mut reader = BufReader::new(connection);
    while let Some(line) = next_line(&mut reader) {
        let mut answer = serde_json::to_string(&ask(&line, sink)).expect("plain data");
        answer.push('\n');
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Takes requests from the standard input; its end is the end of whoever owns this supervisor.
pub(super) fn listen_to_input(printer: Printer, sink: Sink) {
    thread::spawn(move || {
        let mut reader = BufReader::new(io::stdin());
        while let Some(line) = next_line(&mut reader) {
            let answer = serde_json::json!({ "answer": ask(&line, &sink) });
            printer.print(format!("{answer}\n"));
        }
        sink.send(Occurrence::OwnerGone);
    });
}

fn next_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    let count = reader.by_ref().take(REQUEST_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
    (count > 0).then(|| String::from_utf8_lossy(&line).into_owned())
}

fn ask(line: &str, sink: &Sink) -> Answer {
    let request = match parse(line) {
        Ok(request) => request,
        Err(problem) => return Answer::refused(problem),
    };
    let (answer, answered) = channel();
    if !sink.send(Occurrence::Asked { request, answer }) {
        return Answer::refused("the supervisor is going down");
    }
    wait(&answered)
}

fn wait(answered: &Receiver<Answer>) -> Answer {
    let late = || Answer::refused("the supervisor is going down, or did not answer in ten seconds");
    answered.recv_timeout(ANSWER_TIMEOUT).unwrap_or_else(|_| late())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_and_others_refused_with_the_list() {
        assert_eq!(parse("status\n"), Ok(Request::Status));
        assert_eq!(
            parse("keep-down a 2s"),
            Ok(Request::KeepDown("a".into(), Some(Span::from_secs(2))))
        );
        assert_eq!(parse("signal a 10"), Ok(Request::Signal("a".into(), 10)));
        for line in
            ["", "start", "stop a b", "keep-down a 2", "signal a KILL", "signal a 99", "halt"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("halt").expect_err("unknown").contains("shutdown"));
    }
}
