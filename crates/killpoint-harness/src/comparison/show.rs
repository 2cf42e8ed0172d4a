//! A comparison for people.

use super::{Comparison, Direction, Side};
use crate::report::console::{WIDTH, hanging};

/// Changes of one direction that are shown; the rest is counted.
const CHANGES_MAX: usize = 30;
/// Most characters of a change that are shown.
const TEXT_CHARACTERS_MAX: usize = 320;

/// As text; what is the same is counted, unless nothing else is there.
pub fn human(comparison: &Comparison) -> String {
    let mut text = String::new();
    for (name, side) in [("before", &comparison.before), ("after", &comparison.after)] {
        text.push_str(&hanging(&format!("  {name:<10} "), &shown(side), WIDTH));
    }
    let directions = [
        (Direction::Worse, "worse"),
        (Direction::Better, "better"),
        (Direction::Different, "different"),
        (Direction::Same, "same"),
    ];
    for (direction, name) in directions {
        let lines: Vec<String> = comparison
            .changes
            .iter()
            .filter(|change| change.direction == direction)
            .map(|change| format!("{}: {}", change.what, change.detail))
            .collect();
        if lines.is_empty() {
            continue;
        }
        text.push('\n');
        for (index, line) in lines.iter().take(CHANGES_MAX).enumerate() {
            let name = if index == 0 { name } else { "" };
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            let line: String = line.chars().take(TEXT_CHARACTERS_MAX).collect();
            text.push_str(&hanging(&format!("  {name:<10} "), &line, WIDTH));
        }
        let more = lines.len().saturating_sub(CHANGES_MAX);
        if more > 0 {
            text.push_str(&format!("  {:<10} and {more} more: --format json\n", ""));
        }
    }
    let verdict = match comparison.is_worse() {
        true => "worse than before",
        false => "not worse than before",
    };
    text.push_str(&format!("\n  {verdict}\n"));
    text
}

fn shown(side: &Side) -> String {
    let commit = side.commit.as_ref().map(|commit| format!(" ({commit})")).unwrap_or_default();
    format!("{} of {}{commit}: {}", side.run, side.started, side.result)
}
