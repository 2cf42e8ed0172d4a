//! How a process shows that it is ready, and that it is still at work.

use crate::endpoint::{Socket, Url};
use crate::nonsense::{Nonsense, refuse};
use crate::selector::Pattern;
use crate::span::Span;
use serde::{Deserialize, Serialize};

/// Where an answer is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// By the protocol of sd_notify: `READY=1` makes ready, `WATCHDOG=1` is a heartbeat.
    Notify,
    /// A file: it is there (ready), or it was written to since the last look (heartbeat).
    File(String),
    /// A socket that takes a connection: `HOST:PORT`, or the path of a Unix socket.
    Socket(Socket),
    /// An `http://` address that answers 200 to 399.
    Http(Url),
    /// A line of the standard output or error that matches.
    LogLine(#[schemars(with = "String")] Pattern),
}

impl Probe {
    /// The same with what `fill` makes of each text in which a place may stand.
    pub fn filled_in(&self, fill: impl Fn(&str) -> String) -> Probe {
        match self {
            Probe::File(path) => Probe::File(fill(path)),
            Probe::Socket(address) => Probe::Socket(address.map(fill)),
            Probe::Http(address) => Probe::Http(address.map(fill)),
            Probe::Notify | Probe::LogLine(_) => self.clone(),
        }
    }

    /// Whether it can answer.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check(&self) -> Result<(), Nonsense> {
        let is_nameless = matches!(self, Probe::File(path) if path.trim().is_empty());
        refuse(&[(is_nameless, "file", "it is empty: name a file")])
    }
}

/// When a process counts as ready. Without a probe that is as soon as it was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ready {
    /// What makes it ready.
    pub by: Probe,
    /// A process that is not ready by then is stopped: its end is `never-ready`.
    #[serde(default = "Ready::usual_timeout")]
    pub timeout: Span,
}

impl Ready {
    /// The time-out where none is given.
    pub fn usual_timeout() -> Span {
        Span::from_secs(30)
    }
}

/// A process that stays silent for longer is ended by SIGABRT, so that it leaves a dump, and by
/// SIGKILL after the grace of its stop: its end is `hung`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Watchdog {
    /// What counts as a heartbeat.
    #[serde(default = "Watchdog::usual_probe")]
    pub by: Probe,
    /// The longest silence, from the moment of readiness on.
    pub timeout: Span,
}

impl Watchdog {
    fn usual_probe() -> Probe {
        Probe::Notify
    }
}
