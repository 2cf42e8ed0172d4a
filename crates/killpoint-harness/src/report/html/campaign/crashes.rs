//! The crashes: what ended, by whom, with what is known of it.

use super::super::{visible, visible_lines};
use super::pictures;
use super::timeline::milliseconds;
use crate::report::words::{count, thousands};
use killpoint_model::crash::{Crash, DumpedBy, Stack};
use killpoint_model::lifecycle::Stream;
use killpoint_model::report::{CampaignReport, ended};
use maud::{Markup, html};

/// Crashes that are shown; those that no strike did come first.
const CRASHES_MAX: usize = 60;
/// Crashes that are open when the page is.
const OPEN_MAX: usize = 3;
/// Frames of a stack that are shown.
const FRAMES_MAX: usize = 24;

/// The crashes, if there were any.
pub(super) fn section(campaign: &CampaignReport) -> Markup {
    let number = campaign.crash_count;
    if number.all() == 0 {
        return html! {};
    }
    let mut shown: Vec<&Crash> = campaign.crashes.iter().collect();
    shown.sort_by_key(|crash| !crash.is_own());
    let rest = number.all().saturating_sub(shown.len().min(CRASHES_MAX) as u64);
    // Those of trials that were run again are shown and not counted.
    let again = (shown.len() as u64).saturating_sub(number.all());
    html! {
        section aria-labelledby="crashes" {
            h2 #crashes { "Crashes" }
            p.quiet {
                (thousands(number.own)) " without a strike, " (thousands(number.struck)) " by strikes. "
                (thousands(number.observable)) " of " (thousands(number.all()))
                " have a dump and an event that names a checkpoint."
            }
            @for (index, crash) in shown.into_iter().take(CRASHES_MAX).enumerate() {
                (article(crash, campaign, crash.is_own() && index < OPEN_MAX))
            }
            @if again > 0 {
                p.quiet { (thousands(again)) " of those shown are of trials that were run again." }
            }
            @if rest > 0 { p.quiet { (thousands(rest)) " more in the folders of their trials." } }
        }
    }
}

fn article(crash: &Crash, campaign: &CampaignReport, is_open: bool) -> Markup {
    html! {
        details.card.course open[is_open] id={ "crash-" (visible(&crash.id)) } {
            summary {
                code { (visible(&crash.id)) } " "
                strong { (visible(&crash.who())) } " "
                (visible(&ended(crash.end, crash.exit)))
                span.sizes {
                    @match crash.strike {
                        Some(strike) => { " · by strike " (strike) " of trial " (crash.trial) }
                        None => { " · by itself, in trial " (crash.trial) }
                    }
                }
            }
            dl.setting.crash {
                div { dt { "when" } dd {
                    (milliseconds(crash.at_us)) " into the trial, " (visible(&crash.time))
                } }
                div { dt { "process" } dd { (process(crash)) } }
                div { dt { "event" } dd { (event(crash)) } }
                div { dt { "checkpoint" } dd { @match &crash.checkpoint {
                    Some(it) => {
                        (it.sequence) " of " (visible(&it.process)) ", lifecycle event "
                        (thousands(it.event_ordinal))
                    }
                    None => { span.absent { "none was told of" } }
                } } }
                div { dt { "dump" } dd { (dumps(crash)) } }
                @if let Some(commit) = &crash.commit { div { dt { "commit" } dd { code { (visible(commit)) } } } }
                @if let Some(job) = &crash.job_url { div { dt { "job" } dd { (visible(job)) } } }
            }
            (pictures::of_crash(crash, campaign))
            @if let Some(stack) = &crash.stack { (frames(stack)) }
            (log(crash))
        }
    }
}

fn process(crash: &Crash) -> Markup {
    html! {
        @match &crash.below {
            None => { "life " (crash.life) ", number " (crash.pid) }
            Some(below) => {
                code { (visible(&below.command)) } ", number " (crash.pid) ", below life " (crash.life)
                " of " (visible(&crash.process))
                @if !below.executable.is_empty() { br; "executes " code { (visible(&below.executable)) } }
            }
        }
    }
}

fn event(crash: &Crash) -> Markup {
    html! {
        @match &crash.below {
            None => { "lifecycle event " (thousands(crash.event_ordinal)) }
            Some(below) => {
                "none of its own; after lifecycle event " (thousands(crash.event_ordinal))
                @if let Some(next) = below.next_event_ordinal { ", before " (thousands(next)) }
            }
        }
    }
}

fn dumps(crash: &Crash) -> Markup {
    let by = |by| match by {
        DumpedBy::Strike => "before its kill",
        DumpedBy::Watch => "before its death",
        DumpedBy::Application => "by the application",
        DumpedBy::Kernel => "by the kernel",
    };
    html! {
        @for dump in &crash.dumps {
            code { (visible(&dump.path)) } " " (by(dump.by)) ", " (count(dump.bytes, "byte")) br;
        }
        @if !crash.problem.is_empty() { "none: " (visible(&crash.problem)) }
        @else if crash.dumps.is_empty() { span.absent { "none" } }
    }
}

fn frames(stack: &Stack) -> Markup {
    let rest = stack.frames.len().saturating_sub(FRAMES_MAX);
    html! {
        @if !stack.reason.is_empty() { p { strong { (visible(&stack.reason)) } } }
        pre.stack tabindex="0" { @for frame in stack.frames.iter().take(FRAMES_MAX) {
            span class=(if frame.in_application { "own" } else { "same" }) {
                (visible(&frame.to_string())) "\n"
            }
        } }
        @if rest > 0 { p.quiet { (count(rest as u64, "further frame")) "." } }
    }
}

fn log(crash: &Crash) -> Markup {
    html! {
        @for it in &crash.log {
            details.rows open[crash.is_own()] {
                summary {
                    (if it.life == crash.life { "last lines of " } else { "first lines of the next life on " })
                    (match it.stream { Stream::Output => "standard output", Stream::Error => "standard error" })
                }
                pre tabindex="0" { (visible_lines(&it.lines.join("\n"))) }
            }
        }
    }
}
