//! The findings: what was lost, why, what to do, what changed on disk, and how to see it again.

use super::{chips, mark, prose, visible, visible_lines};
use crate::report::by_severity;
use crate::report::words::{self, count};
use killpoint_model::report::{FileChange, Finding, Report};
use killpoint_model::{Class, Verdict};
use maud::{Markup, html};

/// Findings shown in full; the rest take one line each.
const FINDINGS_IN_FULL_MAX: usize = 50;
/// Findings of one list that take one line each; the rest is counted.
const FINDINGS_IN_BRIEF_MAX: usize = 500;
/// Files of a finding whose difference is shown.
const FILES_MAX: usize = 20;
/// Lines of a difference that are shown.
const DIFFERENCE_LINES_MAX: usize = 400;

/// The findings of the run.
pub fn all(report: &Report) -> Markup {
    let sorted = by_severity(&report.findings);
    let (full, brief) = sorted.split_at(sorted.len().min(FINDINGS_IN_FULL_MAX));
    if full.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="findings" {
            h2 #findings { "Findings" }
            @for finding in full { (article(finding)) }
            @if !brief.is_empty() { (list(brief)) }
        }
    }
}

/// The findings that the baseline knows.
pub fn known(report: &Report) -> Markup {
    if report.known.is_empty() {
        return html! {};
    }
    let number = words::length(&report.known);
    html! {
        details.card.known {
            summary { (count(number, "known finding")) " in the baseline" }
            (list(&by_severity(&report.known)))
        }
    }
}

fn list(findings: &[&Finding]) -> Markup {
    html! {
        ul.brief { @for finding in findings.iter().take(FINDINGS_IN_BRIEF_MAX) { li {
            strong { (words::class(finding)) } " "
            code { (visible(&finding.address.to_string())) } " under " (finding.model)
            (words::phases(finding)) ", "
            (words::extent(finding))
            @if !finding.detail.is_empty() { ": " (visible(&finding.detail)) }
        } } }
        @if findings.len() > FINDINGS_IN_BRIEF_MAX {
            p.quiet {
                (count(words::length(&findings[FINDINGS_IN_BRIEF_MAX..]), "further finding"))
                " in report.json."
            }
        }
    }
}

fn article(finding: &Finding) -> Markup {
    let title = format!("finding-{}-title", finding.number);
    html! {
        article.finding id={ "finding-" (finding.number) } aria-labelledby=(title) {
            header {
                h3 id=(title) {
                    span.class { span aria-hidden="true" { "✗ " } (words::class(finding)) }
                    " " code { (visible(&finding.address.to_string())) }
                    " " span.under { "under " (finding.model) (words::phases(finding)) }
                }
                p.extent { (words::extent(finding)) (extent_bar(finding)) }
            }
            p.lost { (prose(&finding.detail)) }
            dl.why {
                @if !finding.cause.is_empty() {
                    div { dt { "Cause" } dd { (prose(&finding.cause)) } }
                }
                @if let Some((needed, steps)) = words::steps(finding) {
                    div { dt { "Steps" } dd { (needed) ": " code { (steps) } } }
                }
                @if !finding.fix.is_empty() {
                    div.fix { dt { "Fix" } dd { (prose(&finding.fix)) } }
                }
            }
            (sides(finding))
            (facts(finding))
            (files(&finding.files))
            (output(&finding.output))
            (again(finding))
        }
    }
}

fn extent_bar(finding: &Finding) -> Markup {
    let rest = finding.points_of.saturating_sub(finding.points);
    html! {
        span.bar aria-hidden="true" {
            span.violated style={ "flex-grow:" (finding.points) } {}
            @if rest > 0 { span.rest style={ "flex-grow:" (rest) } {} }
        }
    }
}

/// The point between its neighbours that hold.
fn sides(finding: &Finding) -> Markup {
    if words::neighbours(finding).is_none() {
        return html! {};
    }
    let violated = Verdict::Violated(finding.class);
    let side = |verdict: &Verdict, text: &str, address: &str| {
        html! { li { (mark(verdict)) span { small { (text) } code { (visible(address)) } } } }
    };
    html! {
        ol.sides aria-label="The points on either side" {
            @if let Some(before) = &finding.holds_before {
                (side(&Verdict::Held, "before it holds", &before.to_string()))
            }
            (side(&violated, "here it breaks", &finding.address.to_string()))
            @if let Some(after) = &finding.holds_after {
                (side(&Verdict::Held, "after it holds", &after.to_string()))
            }
        }
    }
}

fn facts(finding: &Finding) -> Markup {
    let is_renamed = finding.shown != finding.address.to_string() && !finding.shown.is_empty();
    html! {
        ul.facts {
            li { "Shown by " (chips(&finding.models)) }
            @if is_renamed { li { "In this run " code { (visible(&finding.shown)) } } }
            @if let Some(text) = words::drafts_of(finding) { li { (text) } }
            @if !finding.variant.is_empty() { li { "State: " (visible(&finding.variant)) } }
            li {
                (if finding.class == Class::SloMissed {
                    "Measured at "
                } else { "First at " }) "operation " (words::thousands(finding.ordinal))
            }
        }
    }
}

pub(super) fn files(files: &[FileChange]) -> Markup {
    html! {
        @for file in files.iter().take(FILES_MAX) { (difference(file)) }
        @if files.len() > FILES_MAX {
            p.quiet {
                (count(words::length(&files[FILES_MAX..]), "further file"))
                " in report.json."
            }
        }
    }
}

fn difference(file: &FileChange) -> Markup {
    let rest = file.difference.len().saturating_sub(DIFFERENCE_LINES_MAX);
    html! {
        details.difference open {
            summary {
                code { (visible(&file.path)) } " " span.sizes {
                    (size(file.size_before)) " → " (size(file.size_after))
                }
            }
            @if !file.difference.is_empty() {
                pre tabindex="0" {
                    @for line in file.difference.iter().take(DIFFERENCE_LINES_MAX) {
                        (difference_line(line))
                    }
                }
            }
            @if rest > 0 { p.quiet { (count(rest as u64, "further line")) "." } }
        }
    }
}

fn difference_line(line: &str) -> Markup {
    let tone = match line.as_bytes().first() {
        Some(b'-') => "gone",
        Some(b'+') => "new",
        _ => "same",
    };
    html! { span class=(tone) { (visible(line)) "\n" } }
}

fn size(size: Option<u64>) -> String {
    size.map_or_else(|| "absent".to_owned(), |bytes| count(bytes, "byte"))
}

fn output(output: &str) -> Markup {
    html! {
        @if !output.is_empty() {
            details.difference {
                summary { "What the checker printed" }
                pre tabindex="0" { (visible_lines(output.trim_end())) }
            }
        }
    }
}

fn again(finding: &Finding) -> Markup {
    let confirmed = finding.confirmed;
    let is_certain = confirmed.tries > 0 && confirmed.hits == confirmed.tries;
    html! {
        div.again {
            code.replay { (visible(&finding.replay)) }
            span class={ "confirmed " (if is_certain { "" } else { "unsure" }) } {
                (words::confirmation(finding))
            }
        }
    }
}
