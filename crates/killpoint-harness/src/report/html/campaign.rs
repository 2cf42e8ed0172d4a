//! The trials of a scenario: objectives, trials with their verdicts, timelines, recoveries.

mod crashes;
mod pictures;
mod recovery;
mod resources;
mod timeline;

use super::{mark, prose, visible};
use crate::report::words::{self, count, thousands};
use killpoint_model::Verdict;
use killpoint_model::objective::Measurement;
use killpoint_model::report::{CampaignReport, Report, TrialReport};
use maud::{Markup, html};

/// Trials that the table shows; those that did not hold come first in the allotment.
const TRIALS_MAX: usize = 500;
/// Strikes of a trial that the table names; the rest is counted.
const STRIKES_MAX: usize = 5;

/// Everything that is said of the trials, if there are any.
pub fn section(report: &Report) -> Markup {
    let Some(campaign) = &report.campaign else { return html! {} };
    html! {
        (objectives(&campaign.objectives))
        (trials(campaign))
        (timeline::section(campaign))
        (crashes::section(campaign))
        (recovery::section(campaign))
    }
}

/// The style, put into pages that need it only.
pub fn style(report: &Report) -> &'static str {
    if report.campaign.is_some() { include_str!("campaign/style.css") } else { "" }
}

/// The numbers beside the verdict.
pub fn tiles(campaign: &CampaignReport) -> Vec<(String, &'static str, &'static str)> {
    let number =
        |value: u64, label, tone| (thousands(value), label, if value > 0 { tone } else { "" });
    let total = campaign.total();
    let missed = campaign.objectives.iter().filter(|it| it.is_missed()).count() as u64;
    vec![
        number(total.violated, "trials violated", "violated"),
        number(total.unknown, "trials unknown", "unknown"),
        number(missed, "objectives missed", "violated"),
        number(total.tries, "trials", ""),
        number(campaign.fired(), "strikes fired", ""),
        number(campaign.restarts, "restarts", ""),
        number(campaign.crash_count.own, "own crashes", "unknown"),
    ]
}

/// What was planned, as far as the verdict rests on it.
pub fn plan(campaign: &CampaignReport) -> Vec<String> {
    let planned = format!(
        "{} with {} planned; {} carried out, and the control.",
        count(campaign.planned_trials, "trial"),
        count(campaign.planned_strikes, "strike"),
        thousands(campaign.total().tries)
    );
    let mut lines = vec![planned];
    lines.extend(campaign.remarks.iter().map(|remark| visible(remark)));
    lines
}

fn objectives(objectives: &[Measurement]) -> Markup {
    if objectives.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="objectives" {
            h2 #objectives { "Objectives" }
            div.scroll role="region" aria-labelledby="objectives" tabindex="0" {
                table.objectives {
                    thead { tr {
                        th scope="col" { "" }
                        th scope="col" { "Objective" }
                        th scope="col" { "Measured" }
                        th scope="col" { "Wanted" }
                    } }
                    tbody { @for it in objectives { tr {
                        td.model { (met(it)) }
                        th scope="row" { (visible(&it.objective)) }
                        td { (visible(&it.measured)) }
                        td { @match &it.wanted {
                            Some(wanted) => { (visible(wanted)) }
                            None => { span.absent { "nothing" } }
                        } }
                    } } }
                }
            }
        }
    }
}

/// Whether an objective was met, as a sign with its meaning.
fn met(it: &Measurement) -> Markup {
    let sign = |tone: &str, sign: &str, words: &str| {
        html! { span class={ "mark " (tone) } role="img" aria-label=(words) title=(words) { (sign) } }
    };
    match (it.met, it.is_open()) {
        (Some(true), _) => sign("held", "✓", "met"),
        (Some(false), _) => sign("violated", "✗", "missed"),
        (None, true) => sign("unknown", "?", "wanted, and not measured"),
        (None, false) => html! { span.absent title="nothing is wanted" { "·" } },
    }
}

/// The trials to show, in order: all that did not hold, then the first ones.
fn chosen<'a>(
    trials: impl IntoIterator<Item = &'a TrialReport>,
    most: usize,
) -> Vec<&'a TrialReport> {
    let numbered = trials.into_iter().enumerate();
    let (good, bad): (Vec<_>, Vec<_>) =
        numbered.partition(|(_, trial)| trial.judgement.verdict == Verdict::Held);
    let mut rows: Vec<_> = bad.into_iter().chain(good).take(most).collect();
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().map(|(_, trial)| trial).collect()
}

/// What a trial is called.
fn name(trial: &TrialReport) -> String {
    match (trial.trial, trial.attempt, trial.rerun_of) {
        (0, ..) => "control".to_owned(),
        (number, again, Some(_)) => format!("trial {number}, run again {again}"),
        (number, 1, None) => format!("trial {number}"),
        (number, attempt, None) => format!("trial {number}, try {attempt}"),
    }
}

/// The name of its timeline on the page.
fn anchor(trial: &TrialReport) -> String {
    let again = trial.rerun_of.map(|of| format!("-of-{of}")).unwrap_or_default();
    format!("trial-{}-{}{again}", trial.trial, trial.attempt)
}

fn trials(campaign: &CampaignReport) -> Markup {
    let rows = chosen(&campaign.trials, TRIALS_MAX);
    let drawn: Vec<String> = timeline::drawn(campaign).into_iter().map(anchor).collect();
    let total = campaign.trials.len() as u64 + campaign.trials_omitted;
    html! {
        section aria-labelledby="trials" {
            h2 #trials { "Trials" }
            @if (rows.len() as u64) < total {
                p.quiet {
                    "The table shows " (thousands(rows.len() as u64)) " of "
                    (thousands(total)) " trials: those that did not hold, then the first ones."
                }
            }
            div.scroll.tall role="region" aria-labelledby="trials" tabindex="0" {
                table.trials {
                    thead { tr {
                        th scope="col" { "Trial" }
                        th scope="col" { "What was done, and what came of it" }
                        th.number scope="col" { "Strikes" }
                        th.number scope="col" { "Acks" }
                        th.number scope="col" { "Time" }
                    } }
                    tbody { @for trial in rows { (row(trial, drawn.contains(&anchor(trial)))) } }
                }
            }
        }
    }
}

fn row(trial: &TrialReport, is_drawn: bool) -> Markup {
    let verdict = &trial.judgement.verdict;
    let tone = match verdict {
        Verdict::Held => "holds",
        Verdict::Unknown(_) => "unsure",
        Verdict::Violated(_) => "breaks",
    };
    html! {
        tr class=(tone) {
            td.which {
                (mark(verdict)) " "
                @if is_drawn { a href={ "#" (anchor(trial)) } { (name(trial)) } }
                @else { (name(trial)) }
                @if !trial.rule.is_empty() { small { (visible(&trial.rule)) } }
            }
            td {
                @if *verdict != Verdict::Held {
                    p { strong { (verdict) } ". " (prose(&trial.judgement.detail)) }
                }
                @for strike in trial.strikes.iter().take(STRIKES_MAX) { small { (visible(strike)) } }
                @if trial.strikes.len() > STRIKES_MAX {
                    small { "and " (thousands((trial.strikes.len() - STRIKES_MAX) as u64)) " more" }
                }
                @if let Some(reproduced) = words::reproduced(trial) { small { (reproduced) } }
                @if trial.known { small { "stands in the baseline" } }
                @if trial.trial == 0 { small { "nothing was done to it" } }
                @if !trial.replay.is_empty() && *verdict != Verdict::Held {
                    div.line-of-replay { code.replay { (visible(&trial.replay)) } }
                } @else if !trial.replay.is_empty() {
                    small { code { (visible(&trial.replay)) } }
                }
            }
            td.number { (thousands(trial.fired)) }
            td.number { (thousands(trial.acknowledged)) }
            td.number { (words::seconds(trial.seconds)) }
        }
    }
}
