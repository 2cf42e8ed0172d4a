//! `junit.xml`: what continuous integration reads. One suite; a case for each crash model, each
//! finding, each trial of a scenario, each reason that something is unknown and each thing that is not covered.

use crate::report::{by_severity, words};
use killpoint_model::report::{Finding, ModelCount, NotCovered, Report, TrialReport, UnknownCount};
use killpoint_model::{CrashModel, Outcome, Verdict};
use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// Seconds of a run beyond which its time is not told: what no clock can mean.
const SECONDS_MAX: f64 = 1e9;

/// The text of `junit.xml`.
pub fn document(report: &Report) -> String {
    let mut document = quick_junit::Report::new("killpoint");
    document.add_test_suite(suite(report));
    document.to_string().expect("writing XML to memory does not fail")
}

fn suite(report: &Report) -> TestSuite {
    let command = report.setting.as_ref().map(|setting| words::command_line(&setting.command));
    let name = command.filter(|command| !command.is_empty());
    let mut suite = TestSuite::new(name.unwrap_or_else(|| "killpoint".to_owned()));
    suite.set_time(total_time(report));
    for (name, value) in properties(report) {
        suite.add_property(Property::new(name, words::visible(&value)));
    }
    suite.add_test_cases(result_case(report));
    suite.add_test_cases(
        report.models.iter().map(|(model, count)| model_case(report, *model, count)),
    );
    suite.add_test_cases(by_severity(&report.findings).into_iter().map(finding_case));
    suite.add_test_cases(by_severity(&report.known).into_iter().map(known_case));
    let trials = report.campaign.iter().flat_map(|it| &it.trials);
    suite.add_test_cases(trials.filter(|it| is_told(it)).map(trial_case));
    suite.add_test_cases(report.unknown.iter().map(unknown_case));
    suite.add_test_cases(report.not_covered.iter().map(not_covered_case));
    suite.set_system_out(system_out(report));
    suite
}

fn total_time(report: &Report) -> Duration {
    let seconds: f64 = report.seconds.iter().map(|(_, seconds)| seconds).sum();
    // Whole milliseconds, because a fraction read back may differ in its last bit.
    let milliseconds = if (0.0..SECONDS_MAX).contains(&seconds) { seconds * 1e3 } else { 0.0 };
    Duration::from_secs_f64(milliseconds.round() / 1e3)
}

fn properties(report: &Report) -> Vec<(&'static str, String)> {
    let mut properties = vec![
        ("run", report.run.clone()),
        ("killpoint", report.killpoint.clone()),
        ("started", report.started.clone()),
        ("result", report.result.to_string()),
    ];
    properties.extend(report.commit.clone().map(|commit| ("commit", commit)));
    properties.extend(report.job_url.clone().map(|job_url| ("job-url", job_url)));
    properties.extend(report.setting.as_ref().map(|setting| ("seed", setting.seed.clone())));
    properties
}

fn case(name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(words::visible(name), status);
    case.set_classname("killpoint");
    case
}

fn status(kind: NonSuccessKind, class: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(class).set_message(words::visible(message));
    status
}

/// Whether a trial has a case of its own: what repeats another stands in that one's.
fn is_told(trial: &TrialReport) -> bool {
    trial.rerun_of.is_none()
}

fn trial_case(trial: &TrialReport) -> TestCase {
    let name = match (trial.trial, trial.attempt) {
        (0, _) => "the control".to_owned(),
        (number, 1) => format!("trial {number}, {}", trial.rule),
        (number, attempt) => format!("trial {number}, {}, try {attempt}", trial.rule),
    };
    let reproduced = words::reproduced(trial).map(|it| format!("{it}. "));
    let reproduced = reproduced.unwrap_or_default();
    let message = format!("{} {reproduced}{}", trial.judgement.detail, trial.replay);
    if trial.known {
        let mut status = TestCaseStatus::skipped();
        status.set_type("known").set_message("stands in the baseline");
        return case(&name, status);
    }
    let status = match &trial.judgement.verdict {
        Verdict::Held => TestCaseStatus::success(),
        Verdict::Unknown(reason) => {
            status(NonSuccessKind::Error, &reason.to_string(), message.trim())
        }
        Verdict::Violated(class) => {
            status(NonSuccessKind::Failure, &class.to_string(), message.trim())
        }
    };
    case(&name, status)
}

/// A case that says the result where no other case would keep the run from looking green.
fn result_case(report: &Report) -> Option<TestCase> {
    let mut trials = report.campaign.iter().flat_map(|it| &it.trials).filter(|it| is_told(it));
    let told = match report.result {
        Outcome::Pass => true,
        Outcome::Violated => {
            let is_violated =
                |it: &TrialReport| matches!(it.judgement.verdict, Verdict::Violated(_));
            !report.findings.is_empty() || trials.any(|it| !it.known && is_violated(it))
        }
        Outcome::Unknown => !report.unknown.is_empty(),
        _ => false,
    };
    if told {
        return None;
    }
    let result = report.result.to_string();
    let message = if report.explanation.is_empty() {
        words::meaning(report.result)
    } else {
        &report.explanation
    };
    // What was judged and is not as it was promised is a failure, all else an error.
    let kind = match report.result {
        Outcome::Violated => NonSuccessKind::Failure,
        _ => NonSuccessKind::Error,
    };
    Some(case("result", status(kind, &result, message)))
}

/// A model fails by what is not in the baseline, as the run does.
fn model_case(report: &Report, model: CrashModel, count: &ModelCount) -> TestCase {
    let is_found = report.findings.iter().any(|finding| finding.models.contains(&model));
    let points =
        words::count(count.points, if model.is_power_loss() { "cut" } else { "crash point" });
    let status = if is_found {
        let message = format!("{} of {points} violated", words::thousands(count.violated));
        status(NonSuccessKind::Failure, "violated", &message)
    } else if count.unknown > 0 {
        let message = format!("{} of {points} unknown", words::thousands(count.unknown));
        status(NonSuccessKind::Error, "unknown", &message)
    } else {
        TestCaseStatus::success()
    };
    case(&format!("{model}: {points}"), status)
}

fn place(finding: &Finding) -> String {
    format!("{} under {}{}", finding.address, finding.model, words::phases(finding))
}

fn finding_case(finding: &Finding) -> TestCase {
    let message = format!("{} Again: {}", finding.detail, finding.replay);
    let mut status = status(NonSuccessKind::Failure, &finding.class.to_string(), &message);
    status.set_description(words::visible_lines(&description(finding)));
    case(&format!("{}: {}", finding.class, place(finding)), status)
}

fn description(finding: &Finding) -> String {
    let mut lines = vec![
        format!("{} at {}, {}", finding.class, place(finding), words::extent(finding)),
        finding.detail.clone(),
        finding.cause.clone(),
    ];
    if !finding.fix.is_empty() {
        lines.push(format!("fix: {}", finding.fix));
    }
    lines.extend(words::drafts_of(finding));
    lines.extend(words::steps(finding).map(|(needed, steps)| format!("{needed}: {steps}")));
    lines.extend(
        words::neighbours(finding)
            .map(|(text, addresses)| format!("{text} {}", addresses.join(", "))),
    );
    lines.push(format!("again: {} ({})", finding.replay, words::confirmation(finding)));
    if !finding.output.is_empty() {
        lines.push(format!("the checker printed:\n{}", finding.output));
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

fn known_case(finding: &Finding) -> TestCase {
    let mut status = TestCaseStatus::skipped();
    status.set_type("known").set_message("stands in the baseline");
    case(&format!("known {}: {}", finding.class, place(finding)), status)
}

fn unknown_case(unknown: &UnknownCount) -> TestCase {
    let reason = unknown.reason.to_string();
    let message = format!("{}: {}", words::times(unknown.count), unknown.detail);
    case(&format!("unknown: {reason}"), status(NonSuccessKind::Error, &reason, &message))
}

fn not_covered_case(gap: &NotCovered) -> TestCase {
    let mut status = TestCaseStatus::skipped();
    let needed = if gap.needed { " (recovery needs it)" } else { "" };
    status.set_type("not-covered").set_message(words::visible(&gap.reason) + needed);
    case(&format!("not covered: {}", gap.file), status)
}

fn system_out(report: &Report) -> String {
    let mut lines = vec![words::verdict_line(report)];
    lines.extend(report.bounds.iter().map(|bound| format!("bound: {}", words::visible(bound))));
    lines.extend(report.notes.iter().map(|note| format!("note: {}", words::visible(note))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use quick_xml::Reader;
    use quick_xml::events::Event;

    /// The names of the elements, so that the document is known to be well-formed.
    fn elements(document: &str) -> Vec<String> {
        let mut reader = Reader::from_str(document);
        let mut names = Vec::new();
        loop {
            match reader.read_event().expect("well-formed XML") {
                Event::Eof => return names,
                Event::Start(tag) | Event::Empty(tag) => {
                    names.push(tag.name().as_ref().to_owned());
                    for attribute in tag.attributes() {
                        attribute.expect("well-formed attribute");
                    }
                }
                _ => {}
            }
        }
    }

    #[test]
    fn the_document_of_each_result_is_as_expected() {
        for (name, report) in sample::all() {
            sample::check_snapshot(&format!("junit-{name}.xml"), &document(&report));
        }
    }

    #[test]
    fn each_result_but_pass_has_a_case_that_is_not_green() {
        for (name, report) in sample::all() {
            let names = elements(&document(&report));
            let is_red = names.iter().any(|name| name == "failure" || name == "error");
            assert_eq!(is_red, report.result != Outcome::Pass, "{name}");
        }
    }

    #[test]
    fn a_trial_that_fails_says_the_result_and_what_no_case_says_fails_by_itself() {
        let mut report = sample::campaign("editor", 4);
        assert_eq!(report.result, Outcome::Violated);
        let trials = document(&report);
        assert!(trials.contains("<failure") && !trials.contains("<error"), "{trials}");
        assert!(!trials.contains("<testcase name=\"result\""), "{trials}");
        report.campaign.iter_mut().for_each(|it| it.trials.clear());
        (report.result, report.explanation) =
            (Outcome::Violated, "objectives missed: x".to_owned());
        let document = document(&report);
        let case = document.split("<testcase name=\"result\"").nth(1).expect("a case");
        assert!(case.contains("<failure message=\"objectives missed: x\""), "{document}");
    }

    #[test]
    fn control_characters_of_the_target_leave_the_document_well_formed() {
        let document = document(&sample::hostile());
        elements(&document);
        let is_allowed = |c: char| !c.is_control() || c == '\n';
        assert!(document.chars().all(|c| is_allowed(c) && !matches!(c, '\u{fffe}' | '\u{ffff}')));
        assert!(!document.contains("<script>"));
    }

    #[test]
    fn a_finding_of_the_baseline_is_skipped_and_fails_nothing() {
        let mut report = sample::violated();
        report.known = std::mem::take(&mut report.findings);
        report.result = Outcome::Pass;
        report.unknown.clear();
        report.models.values_mut().for_each(|count| count.unknown = 0);
        let names = elements(&document(&report));
        assert!(!names.iter().any(|name| name == "failure" || name == "error"), "{names:?}");
    }

    #[test]
    fn the_same_report_gives_the_same_bytes() {
        assert_eq!(document(&sample::violated()), document(&sample::violated()));
    }
}
