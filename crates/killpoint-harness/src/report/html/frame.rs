//! What stands around the findings: masthead, verdict, gaps, models, setting, stages.

use super::{campaign, chips, mark, meaning, prose, visible};
use crate::report::words::{self, count, thousands};
use killpoint_model::report::{Confirmation, ModelCount, Report, Setting};
use killpoint_model::{Outcome, Reason, Verdict};
use maud::{Markup, html};

/// Which run this is.
pub fn masthead(report: &Report) -> Markup {
    html! {
        header.masthead {
            p.brand { span.dot aria-hidden="true" {} "Killpoint" }
            h1 { @match (words::campaign_title(report), &report.setting) {
                (Some(title), _) => { (title) }
                (None, Some(setting)) => { code { (words::command_line(&setting.command)) } }
                (None, None) => { "Run " code { (visible(&report.run)) } }
            } }
            p.meta {
                span { "run " code { (visible(&report.run)) } }
                @if !report.started.is_empty() {
                    span { time datetime=(visible(&report.started)) { (visible(&report.started)) } }
                }
                @if let Some(commit) = &report.commit {
                    span { "commit " code { (visible(commit)) } }
                }
                @if let Some(job_url) = &report.job_url { span { (job(job_url)) } }
            }
        }
    }
}

/// The job as a link, if it is one: other schemes could run code.
fn job(job_url: &str) -> Markup {
    let is_web = job_url.starts_with("https://") || job_url.starts_with("http://");
    html! {
        @if is_web { a href=(visible(job_url)) rel="noreferrer" { "job" } }
        @else { "job " (visible(job_url)) }
    }
}

/// The result, why, and its numbers.
pub fn verdict(report: &Report) -> Markup {
    let (tone, sign) = match report.result {
        Outcome::Pass => ("held", "✓"),
        Outcome::Violated => ("violated", "✗"),
        _ => ("unknown", "?"),
    };
    html! {
        section #verdict class={ "verdict " (tone) } aria-labelledby="verdict-title" {
            span.seal aria-hidden="true" { (sign) }
            div {
                h2 #verdict-title { strong { (report.result) } }
                p.line { (words::verdict_counts(report)) }
                @if !report.explanation.is_empty() { p { (prose(&report.explanation)) } }
            }
            @if is_judged(report) { (tiles(report)) }
        }
    }
}

/// Whether there is anything to count; a row of zeros would look like a clean run.
fn is_judged(report: &Report) -> bool {
    let has_trials = report.campaign.as_ref().is_some_and(|it| !it.trials.is_empty());
    has_trials || report.points > 0 || report.states > 0 || report.live.tries > 0
}

fn tiles(report: &Report) -> Markup {
    let unknown: u64 = report.unknown.iter().map(|unknown| unknown.count).sum();
    let tile = |value: String, label: &str, tone: &str| {
        html! { div class={ "tile " (tone) } { dt { (label) } dd { (value) } } }
    };
    let number =
        |value, label: &str, tone| tile(thousands(value), label, if value > 0 { tone } else { "" });
    let share = |share: Confirmation, label: &str| {
        let text = format!("{} of {}", thousands(share.hits.into()), thousands(share.tries.into()));
        tile(text, label, if share.hits < share.tries { "unknown" } else { "" })
    };
    if let Some(campaign) = &report.campaign {
        return html! {
            dl.tiles {
                @for (value, label, tone) in campaign::tiles(campaign) { (tile(value, label, tone)) }
                (number(words::length(&report.not_covered), "not covered", "unknown"))
            }
        };
    }
    html! {
        dl.tiles {
            (number(words::length(&report.findings), "findings", "violated"))
            (number(unknown, "unknown", "unknown"))
            (number(words::length(&report.not_covered), "not covered", "unknown"))
            (number(report.points, "crash points", ""))
            (number(report.states, "distinct states", ""))
            @if report.live.tries > 0 { (share(report.live, "live kills agreed")) }
            @if report.second_checks.tries > 0 {
                (share(report.second_checks, "held when checked again"))
            }
        }
    }
}

/// What the verdict does not say: not covered, unknown, bounds, interleavings, remarks.
pub fn gaps(report: &Report) -> Markup {
    html! {
        section.gaps aria-label="What the verdict rests on" {
            (not_covered(report))
            // What a trial does not know stands with the trial.
            @if report.campaign.is_none() { (unknown(report)) }
            div.card.bounds[report.campaign.is_none()] {
                h2 { @if report.campaign.is_some() { "Plan" } @else { "Bounds" } }
                ul {
                    @match &report.campaign {
                        Some(campaign) => {
                            @for line in campaign::plan(campaign) { li { (line) } }
                            li { "Digest " code { (visible(&campaign.digest)) } }
                            @if let Some(setting) = &report.setting {
                                li { "Seed " code { (visible(&setting.seed)) } }
                            }
                        }
                        None => { li { (interleavings(report)) } }
                    }
                    @for bound in &report.bounds { li { (visible(bound)) } }
                    @for note in &report.notes { li { "Note: " (visible(note)) } }
                }
            }
        }
    }
}

fn interleavings(report: &Report) -> Markup {
    let recordings = count(report.recordings.into(), "recording");
    html! {
        @match (report.recordings, report.unstable) {
            (0, _) => { "Nothing was recorded." }
            (1, 0) => { "One recording: one interleaving of its threads and processes." }
            (_, 0) if report.order_varies => {
                (recordings) " with the same addresses in varying order."
            }
            (_, 0) => { (recordings) " with the same addresses." }
            (_, _) => {
                (recordings) ": " (words::unstable_addresses(report.unstable))
                ", not in every recording and never promised."
            }
        }
    }
}

fn not_covered(report: &Report) -> Markup {
    let mut list: Vec<_> = report.not_covered.iter().collect();
    list.sort_by_key(|gap| !gap.needed);
    html! {
        div.card.warned[!list.is_empty()] {
            h2 { "Not covered" }
            @if list.is_empty() {
                p.none {
                    (if is_judged(report) { "Nothing that was seen." } else {
                        "Nothing was looked at yet."
                    })
                }
            } @else {
                ul { @for gap in list { li {
                    code { (visible(&gap.file)) } " "
                    @if gap.needed { strong.tag { "recovery needs it" } " " }
                    (prose(&gap.reason))
                } } }
            }
        }
    }
}

fn unknown(report: &Report) -> Markup {
    html! {
        div.card.warned[!report.unknown.is_empty()] {
            h2 { "Unknown" }
            @if report.unknown.is_empty() {
                p.none {
                    (if is_judged(report) {
                        "Everything that was judged held or was violated."
                    } else { "Nothing was judged." })
                }
            } @else {
                ul { @for unknown in &report.unknown { li {
                    strong.tag { (unknown.reason) } " " (words::times(unknown.count)) ": "
                    (prose(&unknown.detail))
                } } }
            }
        }
    }
}

/// Counts by crash model.
pub fn models(report: &Report) -> Markup {
    if report.models.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="models" {
            h2 #models { "Crash models" }
            div.scroll role="region" aria-labelledby="models" tabindex="0" {
                table.models {
                    thead { tr {
                        th scope="col" { "Model" }
                        @for name in ["Points", "Violated", "Unknown", "Held", "States"] {
                            th.number scope="col" { (name) }
                        }
                        th scope="col" { "Share" }
                    } }
                    tbody { @for (model, numbers) in &report.models { tr {
                        th scope="row" { span.chip { (model) } small { (meaning(*model)) } }
                        (model_cells(numbers))
                    } } }
                }
            }
            @if report.models.keys().any(|model| model.is_power_loss()) {
                @if let Some(setting) = &report.setting {
                    p.quiet { "Power loss as " (setting.profile) " allows it." }
                }
            }
        }
    }
}

fn model_cells(numbers: &ModelCount) -> Markup {
    let ModelCount { points, states, violated, unknown } = *numbers;
    let held = points.saturating_sub(violated + unknown);
    let toned = |value: u64, verdict: Verdict| {
        html! { td.number { @if value > 0 { (mark(&verdict)) " " } (thousands(value)) } }
    };
    html! {
        td.number { (thousands(points)) }
        (toned(violated, Verdict::Violated(killpoint_model::Class::Lost)))
        (toned(unknown, Verdict::Unknown(Reason::NoOracle)))
        (toned(held, Verdict::Held))
        td.number { (thousands(states)) }
        td { (share_bar(&[("violated", violated), ("unknown", unknown), ("held", held)])) }
    }
}

/// A bar of parts in proportion; the numbers beside it say the same.
fn share_bar(parts: &[(&str, u64)]) -> Markup {
    html! {
        span.bar aria-hidden="true" {
            @for (tone, value) in parts {
                @if *value > 0 { span class=(tone) style={ "flex-grow:" (value) } {} }
            }
        }
    }
}

/// How the run was set up.
pub fn setting(report: &Report) -> Markup {
    let Some(setting) = &report.setting else { return html! {} };
    html! {
        section aria-labelledby="setting" {
            h2 #setting { "Setting" }
            dl.setting {
                @for (name, value) in setting_rows(setting) {
                    // Crash states are laid out nowhere in the trials of a scenario.
                    @if report.campaign.is_some() && ["profile", "judges"].contains(&name) {}
                    @else { div { dt { (name) } dd { (value) } } }
                }
                @if let Some(text) = words::drafts(report) {
                    div { dt { "drafts" } dd { (text) } }
                }
                @if let Some(driver) = &setting.driver {
                    div { dt { "driver" } dd { code { (visible(driver)) } } }
                }
                @if !setting.roles.is_empty() {
                    div { dt { "roles" } dd {
                        @for role in &setting.roles { code { (visible(role)) } " " }
                    } }
                }
                @if !setting.models.is_empty() {
                    div { dt { "models" } dd { (chips(&setting.models)) } }
                }
            }
        }
    }
}

fn setting_rows(setting: &Setting) -> Vec<(&'static str, Markup)> {
    let code = |text: &str| html! { code { (visible(text)) } };
    let plain = |text: &str| html! { (visible(text)) };
    vec![
        ("command", html! { code { (words::command_line(&setting.command)) } }),
        ("state", html! { @for state in &setting.state { code { (visible(state)) } " " } }),
        ("oracle", code(&setting.oracle)),
        ("acks survive", plain(&setting.acks)),
        ("strike scope", plain(&setting.scope)),
        ("mechanism", plain(&setting.mechanism)),
        ("containment", plain(&setting.containment)),
        ("profile", html! { (setting.profile) }),
        ("seed", code(&setting.seed)),
        ("judges", html! { (count(setting.jobs.into(), "job")) }),
    ]
}

/// Where the time went.
pub fn stages(report: &Report) -> Markup {
    if report.seconds.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="stages" {
            h2 #stages { "Stages" }
            div.scroll role="region" aria-labelledby="stages" tabindex="0" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Stage" }
                            th scope="col" { "What" }
                            th.number scope="col" { "Time" }
                        }
                    }
                    tbody { @for (name, seconds) in &report.seconds { tr {
                        th scope="row" { (visible(name)) }
                        td { (words::stage(report, name)) }
                        td.number { (words::seconds(*seconds)) }
                    } } }
                }
            }
        }
    }
}
