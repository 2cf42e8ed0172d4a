//! What makes no sense in a scenario, though every part of it is well-formed.

use super::{FAULT_RULES_MAX, FaultRule, SCENARIO_VERSION, Scenario, TRIALS_PER_RULE_MAX};
use crate::activity;
use crate::fault::{Fault, Means};
use crate::invariant::Invariant;
use crate::lifecycle;
use crate::phase::Phase;
use crate::selector::{Pick, Who};
use crate::signal::Signal;
use crate::span::Span;
use crate::supervision::{Probe, SupervisionError};
use crate::trigger::Trigger;

/// Why a scenario makes no sense. `at` is the path of the part that is wrong, as `faults[0].when`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// Another format.
    #[error("version {0} of a scenario is not known: write version {SCENARIO_VERSION}")]
    Version(u32),
    /// Neither a command nor processes, or both.
    #[error(
        "a target has either a `command` or `processes`; only a scenario whose faults are all \
         `activities` needs none"
    )]
    Target,
    /// The processes make no sense.
    #[error(transparent)]
    Supervision(#[from] SupervisionError),
    /// The command's own words beside processes.
    #[error("`{0}` belongs to a `command`: say it within each of the `processes`")]
    BesideProcesses(&'static str),
    /// A part makes no sense.
    #[error("{at}: {problem}")]
    Part {
        /// Where.
        at: String,
        /// Why.
        problem: String,
    },
}

fn part(at: impl Into<String>, problem: impl Into<String>) -> ScenarioError {
    ScenarioError::Part { at: at.into(), problem: problem.into() }
}

impl Scenario {
    /// Whether it can be planned.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), ScenarioError> {
        if self.version != SCENARIO_VERSION {
            return Err(ScenarioError::Version(self.version));
        }
        self.validate_target()?;
        if self.faults.len() > FAULT_RULES_MAX {
            return Err(part("faults", format!("more than {FAULT_RULES_MAX} rules")));
        }
        for index in 0..self.faults.len() {
            self.validate_rule(index)?;
        }
        if self.workload.as_ref().is_some_and(|workload| workload.command.is_empty()) {
            return Err(part("workload.command", "it is empty: name a program"));
        }
        for (index, invariant) in self.invariants.iter().enumerate() {
            let at = format!("invariants[{index}].{}", invariant.kind());
            validate_invariant(invariant).map_err(|problem| part(at, problem))?;
        }
        if self.collect.screenshots.display() == Some("") {
            let problem = "it is empty: write a display, as `:99`, or `screenshots: true`";
            return Err(part("collect.screenshots.display", problem));
        }
        if let Some(problem) = self.collect.problem() {
            return Err(part("collect.dump", problem));
        }
        if self.objectives.crash_budget.and_then(|it| it.per_hour).is_some_and(|it| it < 0.0) {
            let problem = "fewer than none cannot be: write 0 or more";
            return Err(part("objectives.crash-budget.per-hour", problem));
        }
        let zeros = [
            ("timeouts.start", self.timeouts.start),
            ("timeouts.recovery", self.timeouts.recovery),
            ("timeouts.trigger", self.timeouts.trigger),
            ("timeouts.stop", self.timeouts.stop),
            ("timeouts.trial", self.timeouts.trial),
        ];
        if let Some((at, _)) = zeros.iter().find(|(_, span)| *span == Span::default()) {
            return Err(part(*at, "it must be greater than 0"));
        }
        let names: Vec<String> = (0..self.faults.len()).map(|it| self.rule_name(it)).collect();
        for (tier, change) in &self.tiers {
            if let Some(unknown) = change.faults.iter().find(|name| !names.contains(name)) {
                let problem = format!("there is no rule `{unknown}`: there is {}", list(&names));
                return Err(part(format!("tiers.{tier}.faults"), problem));
            }
        }
        Ok(())
    }

    fn validate_target(&self) -> Result<(), ScenarioError> {
        let target = &self.target;
        let is_anothers = self.is_of_anothers_target();
        if target.command.is_empty() == target.processes.is_empty() && !is_anothers {
            return Err(ScenarioError::Target);
        }
        if is_anothers {
            return Ok(());
        }
        if target.command.is_empty() {
            let beside = [
                ("supervisor", target.supervisor != Default::default()),
                ("ready", target.ready.is_some()),
                ("watchdog", target.watchdog.is_some()),
                ("stop", target.stop != Default::default()),
            ];
            if let Some((word, _)) = beside.iter().find(|(_, is_said)| *is_said) {
                return Err(ScenarioError::BesideProcesses(word));
            }
        }
        for (name, selector) in target.roles.iter() {
            if !selector.asks_something() {
                let problem = "it selects nothing: ask for something, as in `cmdline: --worker`";
                return Err(part(format!("target.roles.{name}"), problem));
            }
        }
        target.supervision(self.seed).validate()?;
        Ok(())
    }

    fn validate_rule(&self, index: usize) -> Result<(), ScenarioError> {
        let rule = &self.faults[index];
        let at = |field: &str| format!("faults[{index}].{field}");
        if rule.trials == 0 || rule.trials > TRIALS_PER_RULE_MAX {
            return Err(part(at("trials"), format!("write 1 to {TRIALS_PER_RULE_MAX}")));
        }
        if let Fault::Suspend(span) | Fault::KeepDown(span) = &rule.r#do
            && span.as_ms() == 0
        {
            return Err(part(at("do"), "it must last longer than 0"));
        }
        if let Some(signal) = suspending(&rule.r#do) {
            let problem = format!(
                "{signal} suspends a process, and nothing would undo it: write `suspend: 5s`"
            );
            return Err(part(at("do"), problem));
        }
        if matches!(&rule.when, Trigger::At(times) if times.all().is_empty()) {
            return Err(part(at("when.at"), "it is empty: write a time, as `500ms`"));
        }
        let nobody = match rule.who.pick {
            Pick::Fixed(number) => number == 0,
            Pick::FixedPercent(percent) | Pick::RandomMaxPercent(percent) => u8::from(percent) == 0,
            Pick::One | Pick::All => false,
        };
        if nobody {
            return Err(part(at("who.pick"), "it picks nobody: write a number greater than 0"));
        }
        if rule.duration.is_some() && !matches!(rule.when, Trigger::Interval(_)) {
            return Err(part(at("duration"), "only an interval strikes again and again"));
        }
        if let (Some(duration), Trigger::Interval(range)) = (rule.duration, &rule.when)
            && (range.longest == Span::default() || duration < range.shortest)
        {
            return Err(part(at("duration"), "no time of the interval lies within it"));
        }
        let names = rule.who.role.iter().chain(&rule.who.sparing);
        if let Some(unknown) = names.into_iter().find(|name| !self.target.knows(name)) {
            let problem = format!("there is no role or process `{unknown}`: add it to `roles`");
            return Err(part(at("who"), problem));
        }
        if let Trigger::Event(event) = &rule.when
            && !lifecycle::TABLE.iter().any(|entry| entry.id == event.name)
        {
            let problem = format!("there is no lifecycle event `{}`", event.name);
            return Err(part(at("when.event.name"), problem));
        }
        let process = match &rule.when {
            Trigger::Event(event) => event.process.as_ref(),
            Trigger::LogLine(line) => line.process.as_ref(),
            _ => None,
        };
        let processes = self.target.supervision(self.seed).processes;
        if let Some(unknown) = process.filter(|name| !processes.contains_key(*name)) {
            let names: Vec<String> = processes.into_keys().collect();
            let problem = format!("there is no process `{unknown}`: there is {}", list(&names));
            return Err(part(at("when"), problem));
        }
        let nth = match &rule.when {
            Trigger::Event(event) => event.nth,
            Trigger::LogLine(line) => line.nth,
            _ => 1,
        };
        if nth == 0 {
            return Err(part(at("when"), "`nth` counts from 1"));
        }
        match &rule.when {
            Trigger::Phase(Phase::FirstStart | Phase::Idle) => {
                let problem = "write start, work, recovery or shutdown";
                return Err(part(at("when.phase"), problem));
            }
            Trigger::Probe(probe) if matches!(probe.by, Probe::Notify | Probe::LogLine(_)) => {
                let problem = "only a file, a socket and an http address can be asked: take an \
                               `event` or a `log-line`";
                return Err(part(at("when.probe.by"), problem));
            }
            _ => {}
        }
        if let Fault::Activities(activities) = &rule.r#do {
            if let Some(problem) = activity::problem(activities) {
                return Err(part(at("do.activities"), problem));
            }
            if rule.who != Who::default() {
                let problem = "activities strike no process of ours: leave `who` out";
                return Err(part(at("who"), problem));
            }
        }
        self.validate_call(rule, at)?;
        if matches!(&rule.r#do, Fault::Ladder(rungs) if rungs.is_empty()) {
            return Err(part(at("do.ladder"), "it has no rungs"));
        }
        Ok(())
    }

    /// What a rule says of calls.
    fn validate_call(
        &self,
        rule: &FaultRule,
        at: impl Fn(&str) -> String,
    ) -> Result<(), ScenarioError> {
        let is_at_a_point = rule.when.is_at_a_call();
        if rule.who.caller && !is_at_a_point {
            let problem = "only `points` and a `point` have a caller";
            return Err(part(at("who.caller"), problem));
        }
        if rule.who.caller && rule.who.select.is_some() {
            return Err(part(at("who"), "the caller is one process: leave `select` out"));
        }
        let only_role = Who { role: rule.who.role.clone(), ..Who::default() };
        let only_caller = Who { caller: true, ..only_role.clone() };
        let is_done_to_the_call = matches!(rule.r#do, Fault::Fail(_) | Fault::ShortWrite(_));
        if is_done_to_the_call && rule.who != only_role && rule.who != only_caller {
            let problem = "this is done to the call alone: only a `role` can be named";
            return Err(part(at("who"), problem));
        }
        if let Some(role) = self.unrecordable(rule) {
            let problem = format!(
                "the role {role} asks what is not seen at a call: take cmdline, executable or comm"
            );
            return Err(part(at("who"), problem));
        }
        if matches!(rule.r#do, Fault::ShortWrite(0) | Fault::TornWrite(0)) {
            return Err(part(at("do"), "write a number of bytes greater than 0"));
        }
        if rule.r#do.is_at_a_call() && !is_at_a_point {
            let problem = "this is done to a call: it needs `points` or a `point` as its trigger";
            return Err(part(at("do"), problem));
        }
        Ok(())
    }

    /// The role of a rule at crash points, if calls cannot be told apart by it.
    fn unrecordable<'a>(&self, rule: &'a FaultRule) -> Option<&'a String> {
        let role = rule.who.role.as_ref().filter(|_| matches!(rule.when, Trigger::Points(_)))?;
        let selector = self.target.roles.named(role)?;
        (!selector.is_recordable()).then_some(role)
    }
}

/// A signal that a fault sends and that suspends.
fn suspending(fault: &Fault) -> Option<Signal> {
    let rungs = match fault {
        Fault::Signal(signal) => return Some(*signal).filter(|it| it.suspends()),
        Fault::Ladder(rungs) => rungs,
        _ => return None,
    };
    let signals = rungs.iter().filter_map(|rung| match rung.by {
        Means::Signal(signal) => Some(signal),
        _ => None,
    });
    signals.into_iter().find(|it| it.suspends())
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn validate_invariant(invariant: &Invariant) -> Result<(), String> {
    let is_empty = |text: &Option<String>| text.as_ref().is_some_and(|it| it.trim().is_empty());
    let empty = match invariant {
        Invariant::AckedIsDurable(it) if is_empty(&it.check) => Some("check"),
        Invariant::CommandEnds(it) if it.run.is_empty() => Some("run"),
        Invariant::Sqlite(it) if it.file.is_empty() => Some("file"),
        Invariant::File(it) if it.path.is_empty() => Some("path"),
        Invariant::ExactlyOnce(it) if it.list.trim().is_empty() => Some("list"),
        Invariant::ExactlyOnce(it) if is_empty(&it.expected) => Some("expected"),
        _ => None,
    };
    if let Some(field) = empty {
        let what = if matches!(field, "file" | "path") { "file" } else { "program" };
        return Err(format!("`{field}` is empty: name a {what}"));
    }
    match invariant {
        Invariant::Sqlite(it) if it.query.is_none() != it.equals.is_none() => {
            Err("`query` and `equals` need each other".to_owned())
        }
        Invariant::File(it) if it.pointer.is_none() != it.equals.is_none() => {
            Err("`pointer` and `equals` need each other".to_owned())
        }
        Invariant::File(it) if it.pointer.as_ref().is_some_and(|it| !is_pointer(it)) => {
            Err("`pointer` is no JSON pointer: write it as `/notes/0`".to_owned())
        }
        _ => Ok(()),
    }
}

/// Empty, which stands for the whole document, or places that each begin with a slash.
fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOTES, read};

    fn refuse(change: (&str, &str), expected: &str) {
        assert!(NOTES.contains(change.0), "{}", change.0);
        let error = read(&NOTES.replace(change.0, change.1)).validate().expect_err(change.1);
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        assert_eq!(read(NOTES).validate(), Ok(()));
        refuse(("\"version\": 1", "\"version\": 2"), "version 2");
        refuse((r#""command": ["guest-notes", "{state}"], "#, ""), "either a `command`");
        refuse((r#""command": ["./drive.sh"]"#, r#""command": []"#), "workload.command");
        refuse((r#""role": "worker""#, r#""role": "wroker""#), "faults[0].who: there is no role");
        refuse((r#""trials": 3"#, r#""trials": 0"#), "faults[0].trials");
        refuse((r#""duration": "10s""#, r#""duration": "10ms""#), "faults[1].duration");
        refuse((r#""do": "terminate""#, r#""do": {"fail": "EIO"}"#), "needs `points`");
        refuse((r#"{"at": ["1s", "2s"]}"#, r#"{"phase": "idle"}"#), "write start, work");
        let probe = r#"{"probe": {"by": "notify"}}"#;
        refuse((r#"{"at": ["1s", "2s"]}"#, probe), "take an `event`");
        refuse((r#""role": "worker""#, r#""caller": true"#), "have a caller");
        refuse((r#"{"at": ["1s", "2s"]}"#, r#"{"event": {"name": "x"}}"#), "lifecycle event `x`");
        refuse((r#""do": "terminate""#, r#""do": {"activities": {"method": []}}"#), "is empty");
        refuse((r#""do": "terminate""#, r#""do": {"suspend": "0s"}"#), "longer than 0");
        refuse((r#""do": "terminate""#, r#""do": {"signal": "STOP"}"#), "write `suspend: 5s`");
        let ladder =
            r#""do": {"ladder": ["terminate", {"by": {"signal": "TTIN"}, "grace": "1s"}]}"#;
        refuse((r#""do": "terminate""#, ladder), "SIGTTIN suspends");
        refuse((r#"{"at": ["1s", "2s"]}"#, r#"{"at": []}"#), "when.at: it is empty");
        refuse((r#""pick": "one""#, r#""pick": {"fixed": 0}"#), "picks nobody");
        let event = r#"{"event": {"name": "process.ready", "process": "wroker"}}"#;
        refuse((r#"{"at": ["1s", "2s"]}"#, event), "there is no process `wroker`");
        let budget = r#""objectives": {"crash-budget": {"per-hour": -1.0}}"#;
        refuse((r#""objectives": {"data-loss": 0}"#, budget), "crash-budget.per-hour");
        refuse((r#""faults": ["worker"]"#, r#""faults": ["w"]"#), "tiers.local.faults");
        for (invariant, expected) in [
            (r#"{"command": {"run": []}}"#, "`run`"),
            (r#"{"acked-is-durable": {"check": " "}}"#, "`check` is empty: name a program"),
            (r#"{"sqlite": {"file": ""}}"#, "`file` is empty: name a file"),
            (r#"{"file": {"path": ""}}"#, "`path` is empty"),
            (r#"{"file": {"path": "a", "pointer": "b", "equals": 1}}"#, "no JSON pointer"),
            (r#"{"exactly-once": {"list": ""}}"#, "`list` is empty"),
        ] {
            refuse((r#"[{"acked-is-durable": {}}]"#, &format!("[{invariant}]")), expected);
        }
    }
}
