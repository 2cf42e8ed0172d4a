//! Asks for signs of readiness and of life where the process does not send them: files, sockets, HTTP.

use super::{Occurrence, Sink};
use killpoint_model::supervision::Probe;
use std::fs;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bounds of the time between two questions.
const INTERVAL_MIN: Duration = Duration::from_millis(20);
const INTERVAL_MAX: Duration = Duration::from_secs(1);

/// What an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Ready,
    Heartbeat,
}

/// A question that is asked again and again as long as a life lasts.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) process: usize,
    pub(super) life: u32,
    /// The life that the process is in now; another one ends the questions.
    pub(super) current: Arc<AtomicU32>,
    pub(super) purpose: Purpose,
    pub(super) probe: Probe,
    /// The directory that paths are relative to.
    pub(super) directory: PathBuf,
    /// An answer must be had within this time.
    pub(super) timeout: Duration,
}

/// Asks in a thread of its own; nothing is done for what the process says by itself. A file as it is
/// now does not count: it may be left over from an earlier life.
pub(super) fn ask(question: Question, sink: Sink) {
    if matches!(question.probe, Probe::Notify | Probe::LogLine(_)) {
        return;
    }
    let mut seen = question.file().map(|path| mark(&path));
    let interval = match question.purpose {
        // A time to recover is known no better than this.
        Purpose::Ready => INTERVAL_MIN,
        Purpose::Heartbeat => (question.timeout / 4).clamp(INTERVAL_MIN, INTERVAL_MAX),
    };
    thread::spawn(move || {
        while question.current.load(Ordering::Relaxed) == question.life {
            if question.is_answered(&mut seen) {
                let Question { process, life, purpose, .. } = question;
                if !sink.send(Occurrence::Probed { process, life, purpose })
                    || purpose == Purpose::Ready
                {
                    return;
                }
            }
            thread::sleep(interval);
        }
    });
}

/// What changes when a file is written to.
type Mark = Option<(i64, i64, u64, u64)>;

fn mark(path: &Path) -> Mark {
    let data = fs::metadata(path).ok()?;
    Some((data.mtime(), data.mtime_nsec(), data.size(), data.ino()))
}

impl Question {
    fn file(&self) -> Option<PathBuf> {
        match &self.probe {
            Probe::File(path) => Some(self.directory.join(path)),
            _ => None,
        }
    }

    fn is_answered(&self, seen: &mut Option<Mark>) -> bool {
        match &self.probe {
            Probe::Notify | Probe::LogLine(_) => false,
            Probe::File(path) => {
                let now = mark(&self.directory.join(path));
                now.is_some() && seen.replace(now) != Some(now)
            }
            Probe::Socket(address) => connects(address, &self.directory).is_ok(),
            Probe::Http(address) => answers(address),
        }
    }
}

fn connects(address: &str, directory: &Path) -> io::Result<()> {
    if address.contains('/') {
        return UnixStream::connect(directory.join(address)).map(drop);
    }
    let resolved = address.to_socket_addrs()?.next();
    let resolved = resolved.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    TcpStream::connect_timeout(&resolved, ANSWER_TIMEOUT).map(drop)
}

fn answers(address: &str) -> bool {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_TIMEOUT))
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .new_agent();
    let answer = agent.get(address).call();
    answer.is_ok_and(|answer| (200..400).contains(&answer.status().as_u16()))
}
