//! Triage for people.

use super::{By, Seen, Triage};
use crate::numbers::count;
use crate::report::console::{WIDTH, hanging};
use crate::report::words::length;

/// Groups that are shown; the rest is counted.
const GROUPS_SHOWN_MAX: usize = 50;
/// Most characters of a text that are shown.
const TEXT_CHARACTERS_MAX: usize = 320;

/// As text.
pub fn human(triage: &Triage) -> String {
    let (groups, runs) = (length(&triage.groups), length(&triage.runs));
    if groups == 0 {
        return format!("  nothing went wrong in {}\n", count(runs, "run"));
    }
    let mut text = format!(
        "  {} in {}, of {}\n",
        count(triage.cases, "case"),
        count(groups, "group"),
        count(runs, "run")
    );
    for group in triage.groups.iter().take(GROUPS_SHOWN_MAX) {
        text.push('\n');
        text.push_str(&hanging(&format!("  {:>4} x  ", group.count), &group.what, WIDTH));
        let by = match group.by {
            By::Stack => "stack",
            By::LogTemplate => "line",
            By::Verdict => "words",
            By::Finding => "shape",
        };
        let common = if group.common.is_empty() { "it said nothing" } else { &group.common };
        text.push_str(&row(by, common));
        text.push_str(&row("first", &seen(&group.first)));
        if group.count > 1 {
            let last = format!("{}; in {} of {runs} runs", seen(&group.last), group.runs);
            text.push_str(&row("last", &last));
        }
        text.push_str(&row("example", &group.example));
        if !group.replay.is_empty() {
            text.push_str(&format!("          again    {}\n", group.replay));
        }
    }
    let left_out = triage.groups.len().saturating_sub(GROUPS_SHOWN_MAX);
    if left_out > 0 {
        text.push_str(&format!("\n  and {left_out} more groups: --format json\n"));
    }
    if triage.omitted > 0 {
        text.push_str(&format!("\n  {} cases were left out\n", triage.omitted));
    }
    text
}

fn row(name: &str, value: &str) -> String {
    let line: String = value.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = line.chars().take(TEXT_CHARACTERS_MAX).collect();
    let cut = if shown.len() < line.len() { "..." } else { "" };
    hanging(&format!("          {name:<8} "), &format!("{shown}{cut}"), WIDTH)
}

fn seen(seen: &Seen) -> String {
    let commit = seen.commit.as_ref().map(|commit| format!(" ({commit})")).unwrap_or_default();
    format!("{} in {}{commit}", seen.time, seen.run)
}
