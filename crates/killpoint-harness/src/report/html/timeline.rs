//! The operations in order: a strip that shows where it breaks, and a table that says what.
//!
//! The strip is drawn like a score: each stave has a line for the acknowledgements and one for
//! each crash model. Height and place tell the verdicts apart as well as colour does.

use super::{mark, visible};
use crate::report::words::{self, thousands};
use killpoint_model::report::{Report, TimelinePoint};
use killpoint_model::{CrashModel, Phase, Verdict};
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// Operations that the strip shows.
const STRIP_POINTS_MAX: usize = 1_920;
/// Operations on one stave.
const STAVE_POINTS_MAX: usize = 120;
/// Operations that the table shows.
const TABLE_ROWS_MAX: usize = 400;

/// One place of the strip.
struct Place<'a> {
    ordinal: u64,
    text: String,
    acknowledged: bool,
    verdicts: &'a BTreeMap<CrashModel, Verdict>,
}

/// Strip and table, if anything was recorded.
pub fn section(report: &Report) -> Markup {
    if report.timeline.is_empty() {
        return html! {};
    }
    let models: Vec<CrashModel> = models(report).into_iter().collect();
    let rows = chosen(&report.timeline);
    let end = (!report.end.is_empty()).then_some(report.operations + 1);
    let linked: BTreeSet<u64> = rows.iter().map(|point| point.row.ordinal).chain(end).collect();
    html! {
        section aria-labelledby="timeline" {
            h2 #timeline { "Timeline" }
            (strip(report, &models, &linked))
            (table(report, &rows, &models))
        }
    }
}

fn models(report: &Report) -> BTreeSet<CrashModel> {
    let points = report.timeline.iter().flat_map(|point| point.verdicts.keys());
    points.chain(report.end.keys()).copied().collect()
}

/// The rows of the table: all that do not hold come first in the allotment, then the first ones.
fn chosen(timeline: &[TimelinePoint]) -> Vec<&TimelinePoint> {
    let (bad, good): (Vec<_>, Vec<_>) = timeline.iter().partition(|point| !holds(&point.verdicts));
    let mut rows: Vec<_> = bad.into_iter().chain(good).take(TABLE_ROWS_MAX).collect();
    rows.sort_by_key(|point| point.row.ordinal);
    rows
}

fn holds(verdicts: &BTreeMap<CrashModel, Verdict>) -> bool {
    verdicts.values().all(|verdict| *verdict == Verdict::Held)
}

/// The style class of a row, from the worst verdict in it.
fn worst(verdicts: &BTreeMap<CrashModel, Verdict>) -> &'static str {
    match verdicts.values().max() {
        Some(Verdict::Violated(_)) => "breaks",
        Some(Verdict::Unknown(_)) => "unsure",
        Some(Verdict::Held) | None => "holds",
    }
}

fn places(report: &Report) -> Vec<Place<'_>> {
    let mut before = 0;
    let mut places = Vec::new();
    for point in report.timeline.iter().take(STRIP_POINTS_MAX) {
        let row = &point.row;
        places.push(Place {
            ordinal: row.ordinal,
            text: row.address.to_string(),
            acknowledged: row.acknowledged > before,
            verdicts: &point.verdicts,
        });
        before = row.acknowledged;
    }
    let is_whole = report.timeline_omitted == 0 && places.len() == report.timeline.len();
    if is_whole && !report.end.is_empty() {
        places.push(Place {
            ordinal: report.operations + 1,
            text: "end".to_owned(),
            acknowledged: report.acknowledged > before,
            verdicts: &report.end,
        });
    }
    places
}

fn strip(report: &Report, models: &[CrashModel], linked: &BTreeSet<u64>) -> Markup {
    let places = places(report);
    let shown = words::length(&report.timeline).min(STRIP_POINTS_MAX as u64);
    let total = words::length(&report.timeline) + report.timeline_omitted;
    html! {
        figure.strip {
            @for stave in places.chunks(STAVE_POINTS_MAX) { (stave_of(stave, models, linked)) }
            figcaption {
                (legend())
                @if shown < total {
                    p.quiet {
                        "The strip shows the first " (thousands(shown)) " of "
                        (thousands(total)) " operations."
                    }
                }
            }
        }
    }
}

fn legend() -> Markup {
    let sample = |tone: &str, path: &str, text: &str| {
        html! {
            span.key {
                svg class=(tone) viewBox="0 0 1 12" preserveAspectRatio="none" aria-hidden="true" {
                    path d=(path) {}
                } (text)
            }
        }
    };
    html! {
        p.legend {
            (sample("violated", &bar(0, VIOLATED), "violated"))
            (sample("unknown", &bar(0, UNKNOWN), "unknown"))
            (sample("held", &bar(0, HELD), "held"))
            (sample("acked", &bar(0, ACKNOWLEDGED), "acknowledged before it"))
        }
    }
}

fn stave_of(stave: &[Place<'_>], models: &[CrashModel], linked: &BTreeSet<u64>) -> Markup {
    let (Some(first), Some(last)) = (stave.first(), stave.last()) else { return html! {} };
    let is_short = stave.len() <= 48;
    html! {
        div.stave.short[is_short] style={ "--places:" (stave.len()) } {
            span.name { "acks" }
            (acknowledgements(stave))
            @for model in models {
                span.name { (model) }
                (voice(stave, *model, linked))
            }
            span.name {}
            span.axis aria-hidden="true" {
                span { (thousands(first.ordinal)) }
                span { @if last.text == "end" { "end" } @else { (thousands(last.ordinal)) } }
            }
        }
    }
}

/// Top and height of a bar, of 12.
const VIOLATED: (u32, u32) = (0, 12);
const UNKNOWN: (u32, u32) = (3, 6);
const HELD: (u32, u32) = (9, 3);
const ACKNOWLEDGED: (u32, u32) = (4, 4);

/// A bar at an index, as part of an SVG path.
fn bar(index: usize, (top, height): (u32, u32)) -> String {
    format!("M{index}.08 {top}h.84v{height}h-.84z")
}

fn view_box(stave: &[Place<'_>]) -> String {
    format!("0 0 {} 12", stave.len())
}

fn acknowledgements(stave: &[Place<'_>]) -> Markup {
    let path: String = (0..)
        .zip(stave)
        .filter(|(_, place)| place.acknowledged)
        .map(|(index, _)| bar(index, ACKNOWLEDGED))
        .collect();
    let number = stave.iter().filter(|place| place.acknowledged).count() as u64;
    let label =
        format!("{} with a new acknowledgement before them", words::count(number, "operation"));
    html! {
        svg.acked role="img" aria-label=(label) viewBox=(view_box(stave))
            preserveAspectRatio="none" {
            @if !path.is_empty() { path d=(path) {} }
        }
    }
}

/// One model's line. Points that do not hold lead to their row of the table.
fn voice(stave: &[Place<'_>], model: CrashModel, linked: &BTreeSet<u64>) -> Markup {
    let verdicts = || {
        (0..)
            .zip(stave)
            .filter_map(|(index, place)| Some((index, place, place.verdicts.get(&model)?)))
    };
    let held: String = verdicts()
        .filter(|(_, _, verdict)| **verdict == Verdict::Held)
        .map(|(index, _, _)| bar(index, HELD))
        .collect();
    let others = verdicts().filter(|(_, _, verdict)| **verdict != Verdict::Held);
    let label = voice_label(model, verdicts().map(|(_, _, verdict)| verdict));
    html! {
        svg role="group" aria-label=(label) viewBox=(view_box(stave))
            preserveAspectRatio="none" {
            @if !held.is_empty() { path.held d=(held) {} }
            @for (index, place, verdict) in others {
                @if linked.contains(&place.ordinal) {
                    a href={ "#operation-" (place.ordinal) } { (voice_bar(index, place, verdict)) }
                } @else { (voice_bar(index, place, verdict)) }
            }
        }
    }
}

fn voice_bar(index: usize, place: &Place<'_>, verdict: &Verdict) -> Markup {
    let extent = if matches!(verdict, Verdict::Violated(_)) { VIOLATED } else { UNKNOWN };
    html! {
        path class=(super::tone(verdict)) d=(bar(index, extent)) {
            title { (thousands(place.ordinal)) ", " (visible(&place.text)) ": " (verdict) }
        }
    }
}

fn voice_label<'a>(model: CrashModel, verdicts: impl Iterator<Item = &'a Verdict>) -> String {
    let (mut held, mut unknown, mut violated) = (0, 0, 0);
    for verdict in verdicts {
        match verdict {
            Verdict::Held => held += 1,
            Verdict::Unknown(_) => unknown += 1,
            Verdict::Violated(_) => violated += 1,
        }
    }
    format!("{model}: {violated} violated, {unknown} unknown, {held} held")
}

fn table(report: &Report, rows: &[&TimelinePoint], models: &[CrashModel]) -> Markup {
    let total = words::length(&report.timeline) + report.timeline_omitted;
    let shown = words::length(rows);
    let phased = report.timeline.iter().any(|point| point.row.phase != Phase::Work);
    let columns = models.len() + 5 + usize::from(phased);
    html! {
        div.filter hidden {
            label { "Filter " input type="search" placeholder="path or call" autocomplete="off"; }
            label { input type="checkbox"; " only what does not hold" }
            output aria-live="polite" {}
        }
        @if shown < total {
            p.quiet {
                "The table shows " (thousands(shown)) " of " (thousands(total)) " operations: "
                "those that do not hold, then the first ones."
            }
        }
        div.scroll.tall role="region" aria-labelledby="timeline" tabindex="0" {
            table.operations {
                thead { tr {
                    th.number scope="col" { "#" }
                    @for model in models { th.model scope="col" { (model) } }
                    @if phased { th scope="col" { "Phase" } }
                    th scope="col" { "Address" }
                    th scope="col" { "Call" }
                    th.number scope="col" { "Process" }
                    th.number scope="col" { "Acks" }
                } }
                tbody {
                    @for (index, point) in rows.iter().enumerate() {
                        @let before = if index == 0 { 0 } else { rows[index - 1].row.ordinal };
                        (skipped(point.row.ordinal - before - 1, columns))
                        (operation(point, models, phased))
                    }
                    @if !report.end.is_empty() { (end(report, models, phased)) }
                }
            }
        }
    }
}

fn skipped(number: u64, columns: usize) -> Markup {
    html! {
        @if number > 0 {
            tr.skipped {
                td colspan=(columns) { "… " (words::count(number, "operation")) " not shown" }
            }
        }
    }
}

fn operation(point: &TimelinePoint, models: &[CrashModel], phased: bool) -> Markup {
    let row = &point.row;
    let address = row.address.to_string();
    let is_renamed = row.shown != address && !row.shown.is_empty();
    html! {
        tr class=(worst(&point.verdicts)) id={ "operation-" (row.ordinal) } {
            td.number { (thousands(row.ordinal)) }
            (cells(&point.verdicts, models))
            @if phased { td { (row.phase) } }
            td { code { (visible(&address)) } @if is_renamed { small { (visible(&row.shown)) } } }
            td {
                (visible(&row.call)) @if row.result < 0 {
                    " " span.failed { "error " (row.result.unsigned_abs()) }
                }
            }
            td.number { (row.process) }
            td.number { (thousands(row.acknowledged)) }
        }
    }
}

fn end(report: &Report, models: &[CrashModel], phased: bool) -> Markup {
    html! {
        tr class=(worst(&report.end)) id={ "operation-" (report.operations + 1) } {
            td.number { (thousands(report.operations + 1)) }
            (cells(&report.end, models))
            @if phased { td {} }
            td { code { "end" } small { "after the last operation" } }
            td {} td.number {}
            td.number { (thousands(report.acknowledged)) }
        }
    }
}

fn cells(verdicts: &BTreeMap<CrashModel, Verdict>, models: &[CrashModel]) -> Markup {
    html! {
        @for model in models {
            td.model { @match verdicts.get(model) {
                Some(verdict) => { (mark(verdict)) }
                None => { span.absent title="no state of this model" { "·" } }
            } }
        }
    }
}
