//! The timelines of trials: a line for each process or role, with its lives and what was done to them.
//!
//! Height and place tell what things are as well as colour does; the table below each says them all.

use super::super::{findings, mark, prose, visible};
use super::{anchor, chosen, name, pictures, resources};
use crate::report::words::{count, thousands};
use killpoint_model::Verdict;
use killpoint_model::report::{CampaignReport, Mark, MarkKind, Timeline, TrialReport};
use maud::{Markup, html};

/// Timelines that are drawn.
const TIMELINES_MAX: usize = 60;
/// Timelines that are open when the page is.
const OPEN_MAX: usize = 3;
/// Processes and roles of one timeline.
const NAMES_MAX: usize = 24;
/// Rows of the table below a timeline.
const ROWS_MAX: usize = 200;
/// The width of a timeline, in units of its drawing.
const WIDTH: u64 = 1_000;
/// Into how many parts the axis is divided.
const TICKS: u64 = 5;

/// The trials whose timeline is drawn.
pub(super) fn drawn(campaign: &CampaignReport) -> Vec<&TrialReport> {
    let trials = campaign.trials.iter().filter(|trial| !trial.timeline.marks.is_empty());
    chosen(trials, TIMELINES_MAX)
}

/// The timelines, collapsed but for the first that did not hold.
pub(super) fn section(campaign: &CampaignReport) -> Markup {
    let rows = drawn(campaign);
    if rows.is_empty() {
        return html! {};
    }
    let bad = rows.iter().filter(|trial| trial.judgement.verdict != Verdict::Held);
    let mut open: Vec<String> = bad.take(OPEN_MAX).map(|trial| anchor(trial)).collect();
    if open.is_empty() {
        open.extend(rows.iter().find(|trial| trial.trial > 0).map(|trial| anchor(trial)));
    }
    let rest = campaign.trials.len() - rows.len();
    html! {
        section aria-labelledby="timelines" {
            h2 #timelines { "Timelines" }
            (legend())
            @for trial in &rows {
                details.card.course id=(anchor(trial)) open[open.contains(&anchor(trial))] {
                    summary {
                        (mark(&trial.judgement.verdict)) " " strong { (name(trial)) }
                        @if !trial.rule.is_empty() { " · " (visible(&trial.rule)) }
                        span.sizes { " · " (milliseconds(trial.timeline.end_us())) }
                    }
                    (drawing(&trial.timeline))
                    (broken(trial))
                    (pictures::of_strikes(trial))
                    (resources::graphs(&trial.resources))
                    (table(&trial.timeline))
                }
            }
            @if rest > 0 {
                p.quiet {
                    (count(rest as u64, "further trial")) ": the event log has what happened in them."
                }
            }
        }
    }
}

fn legend() -> Markup {
    let sample = |class: &str, path: &str, text: &str| {
        html! { span.key {
            svg class=(class) viewBox="0 0 10 12" aria-hidden="true" { path d=(path) {} } (text)
        } }
    };
    html! {
        p.legend.course-legend {
            (sample("life", "M0 4h10v4h-10z", "runs"))
            (sample("up", "M0 2h10v8h-10z", "ready"))
            (sample("struck", "M3 0h4v12h-4z", "strike"))
            (sample("missed", "M3 2h4v3h-4zM3 7h4v3h-4z", "strike that met nobody"))
            (sample("died", "M2 2h6v8h-6z", "died"))
            (sample("checkpoint", "M4 0h2v4h-2z", "checkpoint"))
            (sample("beats", "M0 11h10v1h-10z", "heartbeats"))
            (sample("recovered", "M4 0h2v12h-2z", "ready again"))
        }
    }
}

/// One trial's drawing.
fn drawing(timeline: &Timeline) -> Markup {
    let end = timeline.end_us().max(1);
    let scale =
        |at_us: u64| (u128::from(at_us.min(end)) * u128::from(WIDTH) / u128::from(end)) as u64;
    let names = timeline.names();
    html! {
        figure.lanes {
            span.name { "all" }
            (lane(timeline, "", &scale, end))
            @for name in names.iter().take(NAMES_MAX) {
                span.name { (visible(name)) }
                (lane(timeline, name, &scale, end))
            }
            span.name {}
            span.axis aria-hidden="true" {
                @for tick in 0..=TICKS { span { (milliseconds(end * tick / TICKS)) } }
            }
            @if names.len() > NAMES_MAX {
                span.name {}
                span.quiet { "and " (thousands((names.len() - NAMES_MAX) as u64)) " more processes" }
            }
        }
    }
}

/// The line of one process or role, or of what concerns all.
fn lane(timeline: &Timeline, name: &str, scale: &impl Fn(u64) -> u64, end: u64) -> Markup {
    let marks: Vec<&Mark> = timeline.marks.iter().filter(|mark| mark.who == name).collect();
    let span = |from: u64, to: u64, top: u64, height: u64| {
        let (from, to) = (scale(from), scale(to));
        format!("M{from} {top}H{}v{height}H{from}z", to.max(from + 1))
    };
    let label = format!("{}: {}", if name.is_empty() { "all" } else { name }, marks.len());
    html! {
        svg.lane role="img" aria-label=(visible(&label)) viewBox={ "0 0 " (WIDTH) " 12" }
            preserveAspectRatio="none" {
            @for (from, to, is_ready) in lives(&marks, end) {
                @if is_ready { path.up d=(span(from, to, 2, 8)) {} }
                @else { path.life d=(span(from, to, 4, 4)) {} }
            }
            @for beats in timeline.heartbeats.iter().filter(|it| it.process == name) {
                path.beats d=(span(beats.first_us, beats.last_us, 11, 1)) {
                    title { (count(beats.count, "heartbeat")) }
                }
            }
            @for mark in marks { (point(mark, scale)) }
        }
    }
}

/// The lives of a process, each in the part before it was ready and the part after.
fn lives(marks: &[&Mark], end: u64) -> Vec<(u64, u64, bool)> {
    let mut lives = Vec::new();
    let mut open: Option<(u64, bool)> = None;
    for mark in marks {
        let next = match mark.kind {
            MarkKind::Started => Some((mark.at_us, false)),
            MarkKind::Ready => Some((mark.at_us, true)),
            MarkKind::Died | MarkKind::Stopped => None,
            _ => continue,
        };
        if let Some((from, is_ready)) = open {
            lives.push((from, mark.at_us, is_ready));
        }
        open = next;
    }
    lives.extend(open.map(|(from, is_ready)| (from, end, is_ready)));
    lives
}

fn point(mark: &Mark, scale: &impl Fn(u64) -> u64) -> Markup {
    let at = scale(mark.at_us);
    let bar = |width: u64, top: u64, height: u64| {
        let left = at.saturating_sub(width / 2).min(WIDTH - width);
        format!("M{left} {top}h{width}v{height}h-{width}z")
    };
    let (class, path) = match mark.kind {
        MarkKind::Struck => ("struck", bar(4, 0, 12)),
        MarkKind::Missed => ("missed", bar(4, 2, 3) + &bar(4, 7, 3)),
        MarkKind::Died => ("died", bar(5, 2, 8)),
        MarkKind::Checkpoint => ("checkpoint", bar(2, 0, 4)),
        MarkKind::Recovered => ("recovered", bar(3, 0, 12)),
        MarkKind::Workload => ("workload", bar(2, 6, 6)),
        MarkKind::Notice => ("notice", bar(3, 4, 4)),
        MarkKind::Started | MarkKind::Ready | MarkKind::Stopped => return html! {},
    };
    html! { path class=(class) d=(path) { title { (visible(&mark.text)) } } }
}

/// What did not hold, and how the state changed at each strike.
fn broken(trial: &TrialReport) -> Markup {
    html! {
        @if !trial.broken_invariants.is_empty() {
            ul.broken { @for it in &trial.broken_invariants { li {
                (mark(&it.judgement.verdict)) " " strong { (visible(&it.invariant)) }
                @match it.strike {
                    Some(strike) => { " after strike " (strike) }
                    None => { " at the end" }
                }
                @if !it.judgement.detail.is_empty() { ": " (prose(&it.judgement.detail)) }
            } } }
        }
        @for change in &trial.changes {
            details.rows {
                summary {
                    "strike " (change.strike) " changed "
                    (count(change.files.len() as u64 + change.omitted, "file"))
                }
                (findings::files(&change.files))
            }
        }
    }
}

fn table(timeline: &Timeline) -> Markup {
    let mut marks: Vec<&Mark> = timeline.marks.iter().collect();
    marks.sort_by_key(|mark| mark.at_us);
    let rest = marks.len().saturating_sub(ROWS_MAX) as u64 + timeline.omitted;
    html! {
        details.rows {
            summary { (count(marks.len() as u64 + timeline.omitted, "event")) }
            div.scroll.tall role="region" aria-label="Events of the trial" tabindex="0" {
                table {
                    thead { tr {
                        th.number scope="col" { "At" }
                        th scope="col" { "Who" }
                        th scope="col" { "What" }
                    } }
                    tbody {
                        @for mark in marks.iter().take(ROWS_MAX) { tr {
                            td.number { (milliseconds(mark.at_us)) }
                            td { @if mark.who.is_empty() { span.absent { "all" } }
                                @else { code { (visible(&mark.who)) } } }
                            td class=(tone(mark.kind)) { (visible(&mark.text)) }
                        } }
                        @for beats in &timeline.heartbeats { tr {
                            td.number { (milliseconds(beats.first_us)) }
                            td { code { (visible(&beats.process)) } }
                            td {
                                "life " (beats.life) ": " (count(beats.count, "heartbeat"))
                                ", at most " (milliseconds(beats.longest_gap_us)) " apart"
                            }
                        } }
                    }
                }
            }
            @if rest > 0 {
                p.quiet { (count(rest, "further event")) " in the event log." }
            }
        }
    }
}

fn tone(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::Struck | MarkKind::Died => "is-struck",
        MarkKind::Missed => "is-missed",
        MarkKind::Recovered => "is-recovered",
        _ => "",
    }
}

/// A time of a trial: `12 ms`, `3.4 s`.
pub(super) fn milliseconds(us: u64) -> String {
    match us.div_ceil(1_000) {
        ms @ 0..10_000 => format!("{} ms", thousands(ms)),
        ms => format!("{}.{} s", thousands(ms / 1_000), ms % 1_000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_has_a_part_before_it_was_ready_and_one_after() {
        let mark = |at_us, kind| Mark { at_us, who: String::new(), kind, text: String::new() };
        let marks = [
            mark(10, MarkKind::Started),
            mark(20, MarkKind::Ready),
            mark(25, MarkKind::Checkpoint),
            mark(30, MarkKind::Died),
            mark(40, MarkKind::Started),
        ];
        let marks: Vec<&Mark> = marks.iter().collect();
        assert_eq!(lives(&marks, 50), [(10, 20, false), (20, 30, true), (40, 50, false)]);
    }

    #[test]
    fn times_are_as_exact_as_a_person_reads_them() {
        let texts = [0, 999, 12_000, 9_999_000, 12_345_000].map(milliseconds);
        assert_eq!(texts, ["0 ms", "1 ms", "12 ms", "9,999 ms", "12.3 s"]);
    }
}
