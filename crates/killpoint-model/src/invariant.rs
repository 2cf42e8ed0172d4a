//! Invariants: what must be true of a target, whatever is done to it, and when that is asked.

mod check;

use crate::activity::Request;
use crate::selector::Glob;
use crate::span::Span;
use crate::supervision::Probe;
use crate::tolerance::said;
pub use crate::tolerance::{AnyStatus, Said, Statuses, Tolerance};
use serde::{Deserialize, Serialize};

/// The time-out of a question where none is given.
pub const USUAL_TIMEOUT: Span = Span::from_secs(10);

fn usual_timeout() -> Span {
    USUAL_TIMEOUT
}

fn is_exactly_once(semantics: &Semantics) -> bool {
    *semantics == Semantics::ExactlyOnce
}

fn yes() -> bool {
    true
}

/// When an invariant is judged. The names of Litmus are taken, too.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[schemars(transform = with_names_of_litmus)]
pub enum JudgeAt {
    /// Before the first strike.
    #[serde(alias = "SOT")]
    Before,
    /// On what a strike left, while the target is down and before it is started again. Only where
    /// the strike ended every supervised process; its restart is inhibited meanwhile.
    AtStrike,
    /// Once the target has come back after a strike.
    #[serde(alias = "OnChaos")]
    AfterStrike,
    /// Again and again, except while a strike has the target down.
    #[serde(alias = "Continuous")]
    Continuously,
    /// When the workload has ended and the target was stopped.
    #[serde(alias = "EOT")]
    End,
    /// Before the first strike and at the end.
    #[serde(alias = "Edge")]
    Edges,
}

/// Adds what is taken beside the names of its own.
fn with_names_of_litmus(schema: &mut schemars::Schema) {
    let names = serde_json::json!({
        "description": "The names of Litmus.",
        "enum": ["SOT", "OnChaos", "Continuous", "EOT", "Edge"],
    });
    if let Some(serde_json::Value::Array(moments)) = schema.get_mut("oneOf") {
        moments.push(names);
    }
}

macro_rules! invariants {
    ($($(#[$about:meta])* $variant:ident $name:literal { $($(#[$field_about:meta])* $field:ident: $kind:ty,)* })*) => {
        /// One invariant.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum Invariant {$(
            $(#[$about])*
            #[serde(rename = $name)]
            $variant($variant),
        )*}

        $(
            $(#[$about])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
            #[serde(deny_unknown_fields, rename_all = "kebab-case")]
            pub struct $variant {
                /// When it is judged; the usual moment of its kind, if nothing is said.
                #[serde(default, skip_serializing_if = "Vec::is_empty")]
                pub judge: Vec<JudgeAt>,
                $($(#[$field_about])* pub $field: $kind,)*
            }
        )*

        impl Invariant {
            /// The name of its kind.
            pub fn kind(&self) -> &'static str {
                match self { $(Invariant::$variant(_) => $name,)* }
            }

            /// When it is judged, as the file says.
            pub fn asked_for(&self) -> &[JudgeAt] {
                match self { $(Invariant::$variant(it) => &it.judge,)* }
            }
        }
    };
}

invariants! {
    /// What the ack journal promises is there: a checker prints what the store holds.
    AckedIsDurable "acked-is-durable" {
        /// A shell command that opens the store (`KILLPOINT_STATE`) and prints one JSON object. It has to
        /// be given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        check: Option<String>,
        /// A reading that takes longer hangs.
        #[serde(default = "usual_timeout")]
        timeout: Span,
        /// Whether operations may be missing, or additions and elements be there twice.
        #[serde(default, skip_serializing_if = "is_exactly_once")]
        semantics: Semantics,
    }
    /// An SQLite database is sound.
    Sqlite "sqlite" {
        /// The database, below the first state directory.
        file: String,
        /// Whether foreign keys are checked besides the integrity.
        #[serde(default = "yes")]
        foreign_keys: bool,
        /// A query that gives one value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<String>,
        /// What it gives, as text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        equals: Option<String>,
    }
    /// A file is as it has to be.
    File "file" {
        /// The file, below the first state directory.
        path: String,
        /// Whether it has to be there, or must not.
        #[serde(default = "yes")]
        exists: bool,
        /// Whether its bytes are those from before the workload.
        #[serde(default)]
        unchanged: bool,
        /// The format that it has to be in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parses: Option<DocumentFormat>,
        /// Where in the document, as RFC 6901 has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pointer: Option<String>,
        /// What is there, as JSON; `null`, too.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "said")]
        equals: Option<serde_json::Value>,
    }
    /// A probe answers.
    ProbeAnswers "probe" {
        /// Where is asked: a file, a socket or an HTTP address.
        by: Probe,
        /// How long it may take to.
        #[serde(default = "usual_timeout")]
        timeout: Span,
    }
    /// A command ends as it has to.
    CommandEnds "command" {
        /// What it is called in reports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The program and its arguments; KILLPOINT_STATE and KILLPOINT_JOURNAL are set.
        run: Vec<String>,
        /// It is killed after this time, and could not be judged.
        #[serde(default = "usual_timeout")]
        timeout: Span,
        /// What counts as kept.
        #[serde(default)]
        tolerance: Tolerance,
    }
    /// A request is answered as it has to be.
    RequestAnswered "request" {
        /// What it is called in reports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The request.
        ask: Request,
        /// How long it may take.
        #[serde(default = "usual_timeout")]
        timeout: Span,
        /// What counts as kept.
        #[serde(default)]
        tolerance: Tolerance,
    }
    /// An expression in CEL over the collected values is true.
    Expression "expression" {
        /// The expression.
        cel: String,
    }
    /// The sequences of the checkpoints that the target tells never go back.
    MonotonicCheckpoints "monotonic-checkpoints" {
    }
    /// Each of the numbered things that a command prints, one a line, is there once.
    ExactlyOnce "exactly-once" {
        /// A shell command that prints them.
        list: String,
        /// A shell command that prints those that have to be there; none: only doubles are looked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<String>,
        /// Whether some may be there more than once, or some missing.
        #[serde(default)]
        semantics: Semantics,
        /// Each command is killed after this time.
        #[serde(default = "usual_timeout")]
        timeout: Span,
    }
    /// No files are left over that the control did not leave.
    NoLitter "no-litter" {
        /// Names that may be left over, or paths: `*` stands for anything within a name, `?` for one
        /// character, `[ab]` for one of these.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(with = "Vec<String>")]
        allow: Vec<Glob>,
    }
    /// After a strike the target shows that it recovered.
    RecoveryShown "recovery-shown" {
        /// Where.
        by: Probe,
        /// How long after the strike at most.
        #[serde(default = "usual_timeout")]
        timeout: Span,
    }
}

/// Formats of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentFormat {
    /// JSON.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
    /// XML.
    Xml,
    /// INI.
    Ini,
    /// A property list.
    Plist,
}

/// How often something that was sent may arrive.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Semantics {
    /// Once.
    #[default]
    ExactlyOnce,
    /// Once or not at all.
    AtMostOnce,
    /// Once or more often.
    AtLeastOnce,
}

impl Invariant {
    /// Whether it is judged at a moment.
    pub fn is_judged_at(&self, moment: JudgeAt) -> bool {
        let asked = if self.asked_for().is_empty() { self.usual() } else { self.asked_for() };
        let is_edge = matches!(moment, JudgeAt::Before | JudgeAt::End);
        asked.contains(&moment) || is_edge && asked.contains(&JudgeAt::Edges)
    }

    /// Whether it reads back what was acknowledged, so that what is lost is seen.
    pub fn reads_back(&self) -> bool {
        match self {
            Invariant::AckedIsDurable(_) => true,
            Invariant::ExactlyOnce(it) => {
                it.expected.is_some() && it.semantics != Semantics::AtMostOnce
            }
            _ => false,
        }
    }

    /// What a store holds is judged before a target that came back can write over what is missing.
    fn usual(&self) -> &'static [JudgeAt] {
        match self {
            Invariant::AckedIsDurable(_) | Invariant::Sqlite(_) => {
                &[JudgeAt::AtStrike, JudgeAt::End]
            }
            Invariant::ProbeAnswers(_)
            | Invariant::RecoveryShown(_)
            | Invariant::RequestAnswered(_) => &[JudgeAt::AfterStrike],
            _ => &[JudgeAt::End],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_as_a_file_writes_it() {
        for (text, kind) in [
            (r#"{"acked-is-durable":{}}"#, "acked-is-durable"),
            (r#"{"sqlite":{"file":"notes.db"}}"#, "sqlite"),
            (r#"{"file":{"path":"a","parses":"json","pointer":"/v","equals":[1]}}"#, "file"),
            (r#"{"probe":{"by":{"http":"http://127.0.0.1:1/"}}}"#, "probe"),
            (r#"{"command":{"run":["./check.sh"],"tolerance":{"least":1}}}"#, "command"),
            (
                r#"{"request":{"ask":{"url":"http://127.0.0.1/"},"tolerance":{"status":[200,204]}}}"#,
                "request",
            ),
            (r#"{"command":{"run":["./x"],"tolerance":{"exit":"any","said":"error"}}}"#, "command"),
            (r#"{"expression":{"cel":"lost == 0"}}"#, "expression"),
            (r#"{"monotonic-checkpoints":{}}"#, "monotonic-checkpoints"),
            (r#"{"exactly-once":{"list":"./list"}}"#, "exactly-once"),
            (r#"{"no-litter":{"allow":["*.tmp"]}}"#, "no-litter"),
            (r#"{"recovery-shown":{"by":{"log-line":"recovered"}}}"#, "recovery-shown"),
        ] {
            let invariant: Invariant = serde_json::from_str(text).expect(text);
            assert_eq!(invariant.kind(), kind);
            let again = serde_json::to_string(&invariant).expect("plain data");
            assert_eq!(serde_json::from_str::<Invariant>(&again).expect(&again), invariant);
        }
        for wrong in [
            r#"{"sqllite":{"file":"a"}}"#,
            r#"{"sqlite":{"flie":"a"}}"#,
            r#"{"file":{}}"#,
            r#"{"command":{"run":["./x"],"tolerance":{"exit":"some"}}}"#,
        ] {
            assert!(serde_json::from_str::<Invariant>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_names_of_litmus_are_names_of_ours() {
        let text = r#"{"sqlite":{"file":"a","judge":["SOT","OnChaos"]}}"#;
        let invariant: Invariant = serde_json::from_str(text).expect(text);
        assert!(invariant.is_judged_at(JudgeAt::Before));
        assert!(invariant.is_judged_at(JudgeAt::AfterStrike));
        assert!(!invariant.is_judged_at(JudgeAt::End));
        let edges = r#"{"sqlite":{"file":"a","judge":["Edge"]}}"#;
        let invariant: Invariant = serde_json::from_str(edges).expect(edges);
        assert!(invariant.is_judged_at(JudgeAt::Before) && invariant.is_judged_at(JudgeAt::End));
    }
}
