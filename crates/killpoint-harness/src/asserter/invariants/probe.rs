//! Probes: something that answers when the target is well.

use super::Told;
use killpoint_model::span::Span;
use killpoint_model::supervision::Probe;
use killpoint_model::verdict::{Class, Judgement, Reason};
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Time between two questions.
const ASK_INTERVAL: Duration = Duration::from_millis(20);
/// Longest single question.
const QUESTION_MS_MAX: u64 = 1_000;

/// Whether a probe answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answered {
    /// After so many milliseconds.
    After(u64),
    /// Not in time, and what it said last.
    Never(String),
    /// This kind cannot be asked here.
    NotAsked(String),
}

impl Answered {
    /// Asks until there is an answer or the time is over. What a file has to be like is asked of
    /// somebody else.
    pub(super) fn wait(
        probe: &Probe,
        limit: Span,
        told: &Told<'_>,
        directory: &Path,
        ask_file: &dyn Fn(&Path) -> Result<(), String>,
    ) -> Self {
        let since = Instant::now();
        loop {
            let left = limit.duration().saturating_sub(since.elapsed());
            let question = left.min(Duration::from_millis(QUESTION_MS_MAX));
            let answer = match probe {
                Probe::Notify => {
                    let problem = "readiness by sd_notify is told to the supervisor only";
                    return Answered::NotAsked(problem.to_owned());
                }
                Probe::File(path) => ask_file(&directory.join(path)),
                Probe::Socket(address) => connect(address, directory, question),
                Probe::Http(url) => get(url, question),
                Probe::LogLine(pattern) => match (told.has_line)(pattern) {
                    true => Ok(()),
                    false => Err(format!("no line matches `{pattern}`")),
                },
            };
            match answer {
                Ok(()) => {
                    let elapsed = since.elapsed().as_millis();
                    return Answered::After(u64::try_from(elapsed).unwrap_or(u64::MAX));
                }
                Err(why) if since.elapsed() >= limit.duration() => return Answered::Never(why),
                Err(_) => thread::sleep(ASK_INTERVAL.min(left)),
            }
        }
    }

    pub(super) fn judge(&self, probe: &Probe, limit: Span, class: Class) -> Judgement {
        match self {
            Answered::After(_) => Judgement::held(),
            Answered::Never(why) => {
                let what = in_words(probe);
                Judgement::violated(class, format!("{what} did not answer within {limit}: {why}."))
            }
            Answered::NotAsked(problem) => {
                Judgement::unknown(Reason::JudgeFailed, super::sentence(problem))
            }
        }
    }
}

/// What changes when a file is written to, or another one takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// When a file was written last; none where there is none.
pub fn written(path: &Path) -> Option<Written> {
    let data = fs::metadata(path).ok()?;
    Some(Written { inode: data.ino(), seconds: data.ctime(), nanoseconds: data.ctime_nsec() })
}

/// Whether a file is there.
pub(super) fn is_there(path: &Path) -> Result<(), String> {
    match path.exists() {
        true => Ok(()),
        false => Err(format!("{} is not there", path.display())),
    }
}

/// Whether a file, a socket or an HTTP address answers now.
pub fn is_answered(probe: &Probe, directory: &Path) -> bool {
    let limit = Duration::from_millis(QUESTION_MS_MAX);
    match probe {
        Probe::File(path) => directory.join(path).exists(),
        Probe::Socket(address) => connect(address, directory, limit).is_ok(),
        Probe::Http(url) => get(url, limit).is_ok(),
        Probe::Notify | Probe::LogLine(_) => false,
    }
}

fn in_words(probe: &Probe) -> String {
    match probe {
        Probe::Notify => "sd_notify".to_owned(),
        Probe::File(path) => format!("The file {path}"),
        Probe::Socket(address) => format!("The socket {address}"),
        Probe::Http(url) => url.to_string(),
        Probe::LogLine(_) => "The log".to_owned(),
    }
}

fn connect(address: &str, directory: &Path, limit: Duration) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    if address.contains('/') {
        return UnixStream::connect(directory.join(address)).map(drop).map_err(failed);
    }
    let addresses = address.to_socket_addrs().map_err(failed)?;
    let mut problem = "it has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, limit.max(ASK_INTERVAL)) {
            Ok(_) => return Ok(()),
            Err(error) => problem = error.to_string(),
        }
    }
    Err(problem)
}

fn get(url: &str, limit: Duration) -> Result<(), String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(limit.max(ASK_INTERVAL)))
        .proxy(None)
        .max_redirects(0)
        .build()
        .into();
    agent.get(url).call().map(drop).map_err(|error| error.to_string())
}
