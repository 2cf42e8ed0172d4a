//! What makes no sense in an invariant: it could never be read, never hold, or never be broken.

use super::{
    AckedIsDurable, CommandEnds, DocumentFormat, ExactlyOnce, File, Invariant, JudgeAt,
    RequestAnswered, Sqlite,
};
use crate::nonsense::{Nonsense, refuse, refuse_no_program};
use crate::span::Span;
use crate::supervision::Probe;
use crate::trigger::check_place;

const NO_NAME: &str = "it is empty: say what it asks, or leave it out";
const NO_COMMAND: &str = "it is empty: name a program";
const NOT_ASKED: &str = "notify is told to the supervisor alone: take a file, a socket, an http \
                         address or a log-line";

impl Invariant {
    /// Whether it can be judged. `has_state` says whether there is a target of ours, with its state.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn check(&self, has_state: bool) -> Result<(), Nonsense> {
        self.check_moments(has_state)?;
        let is_zero = self.timeout() == Some(Span::default());
        refuse(&[(is_zero, "timeout", "it must be greater than 0")])?;
        match self {
            Invariant::AckedIsDurable(it) => it.check(),
            Invariant::Sqlite(it) => it.check(),
            Invariant::File(it) => it.check(),
            Invariant::ProbeAnswers(it) => check_probe(&it.by),
            Invariant::RecoveryShown(it) => check_probe(&it.by),
            Invariant::CommandEnds(it) => it.check(),
            Invariant::RequestAnswered(it) => it.check(),
            Invariant::Expression(it) => {
                let is_empty = it.cel.trim().is_empty();
                refuse(&[(is_empty, "cel", "it is empty: write an expression, as `restarts < 9`")])
            }
            Invariant::ExactlyOnce(it) => it.check(),
            Invariant::MonotonicCheckpoints(_) | Invariant::NoLitter(_) => Ok(()),
        }
    }

    /// Whether it can be asked again and again: it needs nothing but its question. Where there is a state
    /// of ours, what can be read of it while it is written can be, too.
    pub fn can_be_continuous(&self, has_state: bool) -> bool {
        match self {
            Invariant::CommandEnds(_) | Invariant::RequestAnswered(_) => true,
            Invariant::File(it) => has_state && !it.unchanged,
            Invariant::Sqlite(_) => has_state,
            Invariant::ProbeAnswers(it) => {
                has_state && !matches!(it.by, Probe::Notify | Probe::LogLine(_))
            }
            _ => false,
        }
    }

    fn check_moments(&self, has_state: bool) -> Result<(), Nonsense> {
        let asked = self.asked_for();
        let is_continuous = asked.contains(&JudgeAt::Continuously);
        let is_of_a_recovery = matches!(self, Invariant::RecoveryShown(_));
        let is_too_early = |moment: &JudgeAt| {
            matches!(moment, JudgeAt::Before | JudgeAt::AtStrike | JudgeAt::Edges)
        };
        refuse(&[
            (
                is_continuous && !self.can_be_continuous(has_state),
                "judge",
                "it cannot be judged continuously: judge it after-strike and at the end",
            ),
            (
                is_of_a_recovery && asked.iter().any(is_too_early),
                "judge",
                "a recovery shows only after a strike: write after-strike or end",
            ),
        ])
    }

    fn timeout(&self) -> Option<Span> {
        match self {
            Invariant::AckedIsDurable(it) => Some(it.timeout),
            Invariant::ProbeAnswers(it) => Some(it.timeout),
            Invariant::RecoveryShown(it) => Some(it.timeout),
            Invariant::CommandEnds(it) => Some(it.timeout),
            Invariant::RequestAnswered(it) => Some(it.timeout),
            Invariant::ExactlyOnce(it) => Some(it.timeout),
            _ => None,
        }
    }
}

fn is_empty(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| text.trim().is_empty())
}

fn check_probe(by: &Probe) -> Result<(), Nonsense> {
    refuse(&[(*by == Probe::Notify, "by", NOT_ASKED)])?;
    by.check().map_err(|it| it.within("by"))
}

impl AckedIsDurable {
    fn check(&self) -> Result<(), Nonsense> {
        refuse(&[
            (is_empty(&self.check), "check", NO_COMMAND),
            (
                self.check.is_none(),
                "",
                "who reads the store? Give it a `check`: a command that prints what the store holds",
            ),
        ])
    }
}

impl Sqlite {
    fn check(&self) -> Result<(), Nonsense> {
        check_place(&self.file).map_err(|it| it.within("file"))?;
        refuse(&[
            (is_empty(&self.query), "query", "it is empty: write one that gives one value"),
            (
                self.query.is_some() != self.equals.is_some(),
                if self.query.is_some() { "query" } else { "equals" },
                "`query` and `equals` need each other",
            ),
        ])
    }
}

impl File {
    fn check(&self) -> Result<(), Nonsense> {
        check_place(&self.path).map_err(|it| it.within("path"))?;
        let has_places =
            matches!(self.parses, None | Some(DocumentFormat::Json) | Some(DocumentFormat::Toml));
        let asks_contents = self.unchanged || self.parses.is_some() || self.pointer.is_some();
        refuse(&[
            (
                !self.exists && asks_contents,
                "exists",
                "a file that must not be there has no contents: leave the other words out",
            ),
            (
                self.pointer.is_some() != self.equals.is_some(),
                if self.pointer.is_some() { "pointer" } else { "equals" },
                "`pointer` and `equals` need each other",
            ),
            (
                self.pointer.as_ref().is_some_and(|it| !crate::tolerance::is_pointer(it)),
                "pointer",
                "it is no JSON pointer: write it as `/notes/0`",
            ),
            (
                self.pointer.is_some() && !has_places,
                "pointer",
                "a place is found in JSON and TOML only: take a `command` that looks there",
            ),
        ])
    }
}

impl CommandEnds {
    fn check(&self) -> Result<(), Nonsense> {
        refuse_no_program("run", &self.run)?;
        refuse(&[(is_empty(&self.name), "name", NO_NAME)])?;
        self.tolerance.check(false).map_err(|it| it.within("tolerance"))
    }
}

impl RequestAnswered {
    fn check(&self) -> Result<(), Nonsense> {
        refuse(&[(is_empty(&self.name), "name", NO_NAME)])?;
        self.ask.check().map_err(|it| it.within("ask"))?;
        self.tolerance.check(true).map_err(|it| it.within("tolerance"))
    }
}

impl ExactlyOnce {
    fn check(&self) -> Result<(), Nonsense> {
        refuse(&[
            (self.list.trim().is_empty(), "list", NO_COMMAND),
            (is_empty(&self.expected), "expected", NO_COMMAND),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_be_read_hold_or_be_broken_is_refused() {
        for (text, at) in [
            (r#"{"acked-is-durable":{"check":" "}}"#, "check"),
            (r#"{"acked-is-durable":{}}"#, ""),
            (r#"{"acked-is-durable":{"check":"x","timeout":"0s"}}"#, "timeout"),
            (r#"{"acked-is-durable":{"check":"x","judge":["continuously"]}}"#, "judge"),
            (r#"{"sqlite":{"file":""}}"#, "file"),
            (r#"{"sqlite":{"file":"../a.db"}}"#, "file"),
            (r#"{"sqlite":{"file":"a","query":"select 1"}}"#, "query"),
            (r#"{"sqlite":{"file":"a","query":" ","equals":"1"}}"#, "query"),
            (r#"{"file":{"path":""}}"#, "path"),
            (r#"{"file":{"path":"a","exists":false,"parses":"json"}}"#, "exists"),
            (r#"{"file":{"path":"a","pointer":"b","equals":1}}"#, "pointer"),
            (r#"{"file":{"path":"a","pointer":"/b"}}"#, "pointer"),
            (r#"{"file":{"path":"a","parses":"xml","pointer":"/b","equals":1}}"#, "pointer"),
            (r#"{"probe":{"by":"notify"}}"#, "by"),
            (r#"{"probe":{"by":{"file":" "}}}"#, "by.file"),
            (r#"{"probe":{"by":{"file":"a"},"timeout":"0s"}}"#, "timeout"),
            (r#"{"recovery-shown":{"by":"notify"}}"#, "by"),
            (r#"{"recovery-shown":{"by":{"file":"a"},"judge":["before"]}}"#, "judge"),
            (r#"{"command":{"run":[]}}"#, "run"),
            (r#"{"command":{"run":[""]}}"#, "run"),
            (r#"{"command":{"run":["x"],"name":""}}"#, "name"),
            (r#"{"command":{"run":["x"],"tolerance":{"exit":[]}}}"#, "tolerance.exit"),
            (r#"{"request":{"ask":{"url":"http://x","method":"G E T"}}}"#, "ask.method"),
            (
                r#"{"request":{"ask":{"url":"http://x"},"tolerance":{"status":7}}}"#,
                "tolerance.exit",
            ),
            (r#"{"expression":{"cel":""}}"#, "cel"),
            (r#"{"exactly-once":{"list":""}}"#, "list"),
            (r#"{"exactly-once":{"list":"x","expected":""}}"#, "expected"),
        ] {
            let invariant: Invariant = serde_json::from_str(text).expect(text);
            assert_eq!(invariant.check(true).expect_err(text).at, at, "{text}");
        }
        let text = r#"{"file":{"path":"a","judge":["continuously"]}}"#;
        let invariant: Invariant = serde_json::from_str(text).expect(text);
        assert_eq!(invariant.check(true), Ok(()));
        assert!(invariant.check(false).is_err(), "whose state is it?");
    }
}
