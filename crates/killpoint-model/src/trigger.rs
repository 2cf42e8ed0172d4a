//! Triggers: when a fault is carried out.

use crate::address::Address;
use crate::lifecycle;
use crate::nonsense::{Nonsense, refuse};
use crate::phase::Phase;
use crate::selector::Pattern;
use crate::span::Span;
use crate::supervision::Probe;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// When a fault is carried out. Times count from the moment at which the target is ready and its
/// workload starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// After a time that is drawn from this range; with a rule's `duration` again and again, each
    /// time counted from the moment at which the target had come back.
    Interval(Range),
    /// At this time, or at each of these.
    At(Times),
    /// At crash points of a recording: at every one of them in a trial of its own, or at one that is
    /// drawn. Where `who` names a role, at the calls of its processes.
    Points(Points),
    /// At the entry of this call. Ordinals count from the start of the target.
    #[schemars(with = "String")]
    Point(Address),
    /// When a lifecycle event is told for the n-th time.
    Event(EventTrigger),
    /// When a line of the output matches for the n-th time.
    LogLine(LogLineTrigger),
    /// When a checkpoint of at least this sequence is told.
    Checkpoint(u64),
    /// When this file is there.
    File(String),
    /// When a probe changes to this state.
    Probe(ProbeTrigger),
    /// In this part of the target's life: `start` until it is ready, `work`, `recovery` from a crash
    /// until it is ready again, `shutdown` while it is stopped.
    #[schemars(with = "String")]
    Phase(Phase),
}

impl Trigger {
    /// Whether it holds a call of the target.
    pub fn is_at_a_call(&self) -> bool {
        matches!(self, Trigger::Points(_) | Trigger::Point(_))
    }
}

impl Trigger {
    /// Whether it can happen.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn check(&self) -> Result<(), Nonsense> {
        match self {
            Trigger::At(times) => {
                let is_ascending = times.all().is_sorted();
                refuse(&[
                    (times.all().is_empty(), "at", "it is empty: write a time, as `500ms`"),
                    (!is_ascending, "at", "a time is over when its turn comes: put them in order"),
                ])
            }
            Trigger::Point(Address::End) => Err(Nonsense::new(
                "point",
                "the end is no call: write one, as `write(notes.json)#2`",
            )),
            Trigger::Event(event) => {
                let is_known = lifecycle::TABLE.iter().any(|entry| entry.id == event.name);
                let unknown = format!("there is no lifecycle event `{}`", event.name);
                refuse(&[
                    (!is_known, "event.name", &unknown),
                    (event.nth == 0, "event.nth", "`nth` counts from 1"),
                ])
            }
            Trigger::LogLine(line) => {
                refuse(&[(line.nth == 0, "log-line.nth", "`nth` counts from 1")])
            }
            Trigger::File(path) => check_place(path).map_err(|it| it.within("file")),
            Trigger::Probe(probe) => {
                let is_asked = !matches!(probe.by, Probe::Notify | Probe::LogLine(_));
                refuse(&[(!is_asked, "probe.by", NOT_ASKED)])?;
                probe.by.check().map_err(|it| it.within("probe.by"))
            }
            Trigger::Phase(Phase::FirstStart | Phase::Idle) => {
                Err(Nonsense::new("phase", "write start, work, recovery or shutdown"))
            }
            _ => Ok(()),
        }
    }

    /// The supervised process that it looks at, if it looks at one, and where that is said.
    pub fn process(&self) -> Option<(&str, &'static str)> {
        let (process, at) = match self {
            Trigger::Event(event) => (&event.process, "event.process"),
            Trigger::LogLine(line) => (&line.process, "log-line.process"),
            _ => return None,
        };
        process.as_deref().map(|process| (process, at))
    }
}

const NOT_ASKED: &str = "only a file, a socket and an http address can be asked: take an `event` or \
                         a `log-line`";

/// Whether a path leads to something in a state directory, or is whole.
///
/// # Errors
/// If it leads out of the directory, which is a copy somewhere else.
pub fn check_place(path: &str) -> Result<(), Nonsense> {
    let leads_out = path.split('/').any(|part| part == "..");
    refuse(&[
        (path.trim().is_empty(), "", "it is empty: name a file"),
        (
            leads_out,
            "",
            "each trial has the state elsewhere, with nothing beside it: leave `..` out",
        ),
    ])
}

/// One time or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged, expecting = "it is a time, as 500ms, or a list of times, as [1s, 2s]")]
pub enum Times {
    /// One.
    One(Span),
    /// Several, in this order.
    Several(Vec<Span>),
}

impl Times {
    /// All of them.
    pub fn all(&self) -> &[Span] {
        match self {
            Times::One(time) => std::slice::from_ref(time),
            Times::Several(times) => times,
        }
    }
}

/// Which crash points of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Points {
    /// Every one.
    All,
    /// One, drawn in each trial.
    Any,
}

/// A lifecycle event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EventTrigger {
    /// Its id, as the table of lifecycle events has it.
    pub name: String,
    /// Only of this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// For the n-th time since the workload started.
    #[serde(default = "first")]
    pub nth: u32,
}

/// A line of the standard output or error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogLineTrigger {
    /// What is found in it.
    #[schemars(with = "String")]
    pub pattern: Pattern,
    /// Only of this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// For the n-th time since the workload started.
    #[serde(default = "first")]
    pub nth: u32,
}

/// A change of a probe's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProbeTrigger {
    /// Where is asked: a file, a socket or an HTTP address.
    pub by: Probe,
    /// Whether it has to answer, or to fail.
    #[serde(default)]
    pub becomes: ProbeState,
}

/// What a probe says.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeState {
    /// It answers.
    #[default]
    Up,
    /// It does not.
    Down,
}

fn first() -> u32 {
    1
}

/// A range of times: `2s..8s` (both included), or one time alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    /// The shortest.
    pub shortest: Span,
    /// The longest.
    pub longest: Span,
}

/// Why a text is no range of times.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no range of times: write the shortest and the longest, as in 2s..8s")]
pub struct RangeError(String);

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let error = || RangeError(text.to_owned());
        let (shortest, longest) = text.split_once("..").unwrap_or((text, text));
        let span = |text: &str| text.parse::<Span>().map_err(|_| error());
        let range = Range { shortest: span(shortest)?, longest: span(longest)? };
        if range.shortest <= range.longest { Ok(range) } else { Err(error()) }
    }
}

impl TryFrom<String> for Range {
    type Error = RangeError;

    fn try_from(text: String) -> Result<Self, RangeError> {
        text.parse()
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.shortest, self.longest)
    }
}

impl From<Range> for String {
    fn from(range: Range) -> String {
        range.to_string()
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trigger::Interval(range) => write!(f, "after {range}"),
            Trigger::At(times) => {
                let times: Vec<String> = times.all().iter().map(Span::to_string).collect();
                write!(f, "at {}", times.join(", "))
            }
            Trigger::Points(Points::All) => f.write_str("at every crash point"),
            Trigger::Points(Points::Any) => f.write_str("at some crash point"),
            Trigger::Point(address) => write!(f, "at {address}"),
            Trigger::Event(event) => write!(f, "on {} {}", event.name, event.nth),
            Trigger::LogLine(line) => write!(f, "on line /{}/ {}", line.pattern, line.nth),
            Trigger::Checkpoint(sequence) => write!(f, "on checkpoint {sequence}"),
            Trigger::File(path) => write!(f, "when {path} is there"),
            Trigger::Probe(ProbeTrigger { becomes: ProbeState::Up, .. }) => {
                f.write_str("when the probe answers")
            }
            Trigger::Probe(_) => f.write_str("when the probe fails"),
            Trigger::Phase(phase) => write!(f, "in phase {phase}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trigger_is_read_back_as_it_is_written() {
        for text in [
            r#"{"interval":"2s..8s"}"#,
            r#"{"at":"5s"}"#,
            r#"{"at":["1s","2s"]}"#,
            r#"{"points":"all"}"#,
            r#"{"point":"write(notes.db-wal)#3"}"#,
            r#"{"event":{"name":"checkpoint.saved","nth":2}}"#,
            r#"{"log-line":{"pattern":"^saved","nth":1}}"#,
            r#"{"checkpoint":7}"#,
            r#"{"file":"lock"}"#,
            r#"{"probe":{"by":{"socket":"127.0.0.1:80"},"becomes":"down"}}"#,
            r#"{"phase":"shutdown"}"#,
        ] {
            let trigger: Trigger =
                serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(serde_json::to_string(&trigger).expect("plain data"), text);
        }
        for wrong in [
            r#"{"interval":"8s..2s"}"#,
            r#"{"interval":"2..8"}"#,
            r#"{"event":{"nam":"x"}}"#,
            r#"{"when":"5s"}"#,
            r#"{"at":"5s","points":"all"}"#,
        ] {
            assert!(serde_json::from_str::<Trigger>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_alone_is_a_range_of_one() {
        let range: Range = "5s".parse().expect("a range");
        assert_eq!((range.shortest, range.longest), (Span::from_secs(5), Span::from_secs(5)));
    }
}
