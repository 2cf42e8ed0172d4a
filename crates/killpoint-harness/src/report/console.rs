//! The report on a terminal: pure text, at most [`WIDTH`] columns wide.
//!
//! Addresses, replay lines and the path of the page are never cut: they may be wider.

mod trials;
mod wrap;

use crate::report::{by_severity, words};
use killpoint_model::Outcome;
use killpoint_model::report::{Finding, NotCovered, Report};
use std::time::Duration;
pub use wrap::hanging;

use wrap::{columns, wrapped};

/// Columns that every line keeps to.
pub const WIDTH: usize = 80;
/// Findings shown in full; the rest take one line each.
pub const FINDINGS_IN_FULL_MAX: usize = 10;
/// Files that are not covered, unknown reasons, bounds and notes shown, each; the rest is counted.
pub const LINES_OF_LIST_MAX: usize = 12;

/// Where the text of a finding begins.
const INDENT: usize = 8;
/// Where the text of a stage begins.
const STAGE_INDENT: usize = 13;

/// Characters of a stage's name that are shown.
const STAGE_NAME_MAX: usize = 24;

/// How the summary is dressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style<'a> {
    /// Whether colours may be used: on a terminal, and not against the user's wish.
    pub colours: bool,
    /// Path of the page that says more, if it was written.
    pub page: Option<&'a str>,
}

impl<'a> Style<'a> {
    /// Text alone.
    pub fn plain() -> Self {
        Style::default()
    }

    /// Text with colours.
    pub fn coloured() -> Self {
        Style { colours: true, page: None }
    }

    /// The same style, and a page to point at.
    pub fn with_page(self, page: &'a str) -> Self {
        Style { page: Some(page), ..self }
    }
}

/// What a run has to say, for people: stages, what was not covered, findings, the verdict.
pub fn summary(report: &Report, style: Style<'_>) -> String {
    let mut console = Console { text: String::new(), style };
    if let Some(campaign) = &report.campaign {
        console.campaign(campaign, &report.notes);
        console.not_covered(&report.not_covered);
        console.labelled("", 2, &words::visible_lines(&report.explanation));
        console.campaign_ending(campaign, report.result);
        return console.text;
    }
    console.stages(report);
    console.not_covered(&report.not_covered);
    console.unknown(report);
    console.findings(report);
    console.known(report);
    console.remarks(report);
    console.ending(report);
    console.text
}

/// One line of a live display: `judged     1,234 of 5,678   22 %   12 s, about 43 s left`.
///
/// `total` is 0 where nobody knows it.
pub fn progress_line(stage: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let elapsed = elapsed.as_secs_f64();
    let mut line = format!("  {stage:<10} {}", words::thousands(done));
    if total > 0 {
        let done = done.min(total);
        let percent = u128::from(done) * 100 / u128::from(total);
        line.push_str(&format!(" of {}   {percent} %", words::thousands(total)));
    }
    line.push_str(&format!("   {}", words::seconds(elapsed)));
    if let Some(left) = remaining(done, total, elapsed) {
        line.push_str(&format!(", about {} left", words::seconds(left)));
    }
    line
}

/// The time that the rest takes if it goes on as it went; none while that is a guess.
fn remaining(done: u64, total: u64, elapsed: f64) -> Option<f64> {
    if done == 0 || done >= total || elapsed <= 0.0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let share = (total - done) as f64 / done as f64;
    Some(elapsed * share)
}

/// The colours of the verdicts, which are never the only sign of them.
#[derive(Clone, Copy)]
enum Colour {
    Red,
    Green,
    Yellow,
    Dim,
    Bold,
}

struct Console<'a> {
    text: String,
    style: Style<'a>,
}

impl Console<'_> {
    fn paint(&self, colour: Colour, text: &str) -> String {
        if !self.style.colours {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Red => "1;31",
            Colour::Green => "1;32",
            Colour::Yellow => "1;33",
            Colour::Dim => "2",
            Colour::Bold => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// An empty line, unless one stands there or nothing does.
    fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// Text that begins after a label, its further lines below its beginning.
    fn labelled(&mut self, label: &str, indent: usize, text: &str) {
        let lines = wrapped(text, WIDTH - indent);
        for (index, line) in lines.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            let blanks = indent.saturating_sub(2 + columns(label));
            let label = self.paint(Colour::Dim, label);
            self.line(&format!("  {label}{}{line}", " ".repeat(blanks)));
        }
    }

    fn stages(&mut self, report: &Report) {
        for (name, seconds) in &report.seconds {
            let name: String = words::visible(name).chars().take(STAGE_NAME_MAX).collect();
            let duration = words::seconds(*seconds);
            let width = WIDTH - STAGE_INDENT - columns(&duration) - 2;
            let lines = wrapped(&words::stage(report, &name), width);
            let first = lines.first().cloned().unwrap_or_default();
            let head = format!("  {name:<10} {first}");
            let blanks = WIDTH.saturating_sub(columns(&head) + columns(&duration)).max(2);
            let duration = self.paint(Colour::Dim, &duration);
            self.line(&format!("{head}{}{duration}", " ".repeat(blanks)));
            for line in lines.iter().skip(1) {
                self.line(&format!("{}{line}", " ".repeat(STAGE_INDENT)));
            }
        }
        self.gap();
    }

    fn not_covered(&mut self, list: &[NotCovered]) {
        if list.is_empty() {
            return;
        }
        let head = self.paint(Colour::Yellow, "NOT COVERED");
        self.line(&format!("  {head}"));
        // What recovery needs comes first: it is what makes the run unknown.
        let mut sorted: Vec<&NotCovered> = list.iter().collect();
        sorted.sort_by_key(|gap| !gap.needed);
        for gap in sorted.iter().take(LINES_OF_LIST_MAX) {
            let needed = if gap.needed { " (recovery needs it)" } else { "" };
            let file = words::visible(&gap.file);
            self.item(&format!("{file}: {}{needed}", words::visible(&gap.reason)));
        }
        self.left_out(list.len());
        self.gap();
    }

    fn unknown(&mut self, report: &Report) {
        if report.unknown.is_empty() {
            return;
        }
        let head = self.paint(Colour::Yellow, "UNKNOWN");
        self.line(&format!("  {head}"));
        for unknown in report.unknown.iter().take(LINES_OF_LIST_MAX) {
            let detail = words::visible(&unknown.detail);
            let times = words::times(unknown.count);
            self.item(&format!("{}, {times}: {detail}", unknown.reason));
        }
        self.left_out(report.unknown.len());
        self.gap();
    }

    /// An entry of a list; its further lines are indented by two more.
    fn item(&mut self, text: &str) {
        for (index, line) in wrapped(text, WIDTH - INDENT - 2).iter().enumerate() {
            let blanks = if index == 0 { INDENT } else { INDENT + 2 };
            self.line(&format!("{}{line}", " ".repeat(blanks)));
        }
    }

    fn left_out(&mut self, length: usize) {
        if let Some(rest) = length.checked_sub(LINES_OF_LIST_MAX).filter(|rest| *rest > 0) {
            self.item(&format!("and {} more, in the report", words::thousands(rest as u64)));
        }
    }

    fn findings(&mut self, report: &Report) {
        let sorted = by_severity(&report.findings);
        let (full, brief) = sorted.split_at(sorted.len().min(FINDINGS_IN_FULL_MAX));
        for finding in full {
            self.finding(finding);
            self.gap();
        }
        for finding in brief {
            self.head(finding, Colour::Red);
        }
        self.gap();
    }

    fn finding(&mut self, finding: &Finding) {
        self.head(finding, Colour::Red);
        self.paragraph(&finding.detail);
        self.paragraph(&finding.cause);
        if finding.shown != finding.address.to_string() && !finding.shown.is_empty() {
            self.paragraph(&format!("In this run it was {}.", finding.shown));
        }
        if !finding.variant.is_empty() {
            self.paragraph(&format!("State: {}.", finding.variant.trim_end_matches('.')));
        }
        if let Some(text) = words::drafts_of(finding) {
            self.paragraph(&format!("{text}."));
        }
        let others: Vec<_> =
            finding.models.iter().copied().filter(|model| *model != finding.model).collect();
        if !others.is_empty() {
            self.paragraph(&format!("Also under {}.", words::models(&others)));
        }
        if let Some((needed, steps)) = words::steps(finding) {
            self.labelled("steps", INDENT, &format!("{needed}: {steps}"));
        }
        if !finding.fix.is_empty() {
            self.labelled("fix", INDENT, &words::visible_lines(&finding.fix));
        }
        if let Some((text, addresses)) = words::neighbours(finding) {
            let text = format!("{text} {}", addresses.join(", "));
            for (index, line) in wrapped(&text, WIDTH - 2).iter().enumerate() {
                let blanks = if index == 0 { 2 } else { INDENT };
                self.line(&format!("{}{line}", " ".repeat(blanks)));
            }
        }
        self.again(finding);
    }

    /// The class, the address and the model, with the extent at the right.
    fn head(&mut self, finding: &Finding, colour: Colour) {
        let (class, extent) = (words::class(finding), words::extent(finding));
        let address = words::visible(&finding.address.to_string());
        let place = format!("{address} under {}{}", finding.model, words::phases(finding));
        let begin = 2 + columns(&class) + 2;
        let mut head = format!("  {}  ", self.paint(colour, &class));
        let mut width = begin;
        for (index, line) in wrapped(&place, WIDTH - begin).iter().enumerate() {
            if index > 0 {
                self.line(&head);
                head = " ".repeat(begin);
            }
            head.push_str(&self.paint(Colour::Bold, line));
            width = begin + columns(line);
        }
        match WIDTH.checked_sub(width + columns(&extent)).filter(|blanks| *blanks >= 2) {
            Some(blanks) => self.line(&format!("{head}{}{extent}", " ".repeat(blanks))),
            None => {
                self.line(&head);
                self.line(&format!("{extent:>WIDTH$}"));
            }
        }
    }

    fn paragraph(&mut self, text: &str) {
        if !text.is_empty() {
            self.labelled("", INDENT, &words::visible_lines(text));
        }
    }

    fn again(&mut self, finding: &Finding) {
        let replay = words::visible(&finding.replay);
        let confirmation = format!("({})", words::confirmation(finding));
        let blanks = 31usize.saturating_sub(columns(&replay)).max(2);
        let label = self.paint(Colour::Dim, "again");
        let confirmed =
            finding.confirmed.tries > 0 && finding.confirmed.hits == finding.confirmed.tries;
        let width = INDENT + columns(&replay) + blanks + columns(&confirmation);
        let between =
            if width <= WIDTH { " ".repeat(blanks) } else { format!("\n{}", " ".repeat(INDENT)) };
        let confirmation =
            if confirmed { confirmation } else { self.paint(Colour::Yellow, &confirmation) };
        self.line(&format!("  {label} {replay}{between}{confirmation}"));
    }

    fn known(&mut self, report: &Report) {
        if report.known.is_empty() {
            return;
        }
        self.line("  KNOWN, in the baseline");
        for finding in by_severity(&report.known).into_iter().take(LINES_OF_LIST_MAX) {
            self.head(finding, Colour::Dim);
        }
        self.left_out(report.known.len());
        self.gap();
    }

    /// Bounds and notes: what stands beside every verdict, `pass` above all.
    fn remarks(&mut self, report: &Report) {
        if let Some(text) = words::drafts(report) {
            self.labelled("drafts", INDENT + 1, &text);
        }
        for (label, list) in [("bound", &report.bounds), ("note", &report.notes)] {
            for text in list.iter().take(LINES_OF_LIST_MAX) {
                self.labelled(label, INDENT, &words::visible(text));
            }
            self.left_out(list.len());
        }
        self.gap();
    }

    fn ending(&mut self, report: &Report) {
        if !report.explanation.is_empty() {
            let text = words::visible_lines(&report.explanation);
            self.labelled("", 2, &text);
        }
        let verdict = words::verdict_line(report);
        let colour = match report.result {
            Outcome::Pass => Colour::Green,
            Outcome::Violated => Colour::Red,
            _ => Colour::Yellow,
        };
        let lines = wrapped(&verdict, WIDTH - 2);
        let result = report.result.to_string();
        for (index, line) in lines.iter().enumerate() {
            let last = index + 1 == lines.len();
            let painted = match line.strip_prefix(&result).filter(|_| index == 0) {
                Some(rest) => self.paint(colour, &result) + rest,
                None => line.clone(),
            };
            let page = self.style.page.filter(|_| last).map(words::visible).unwrap_or_default();
            let between = match WIDTH.checked_sub(2 + columns(line) + columns(&page)) {
                _ if page.is_empty() => String::new(),
                Some(blanks) if blanks >= 2 => " ".repeat(blanks),
                _ => "\n  ".to_owned(),
            };
            self.line(&format!("  {painted}{between}{page}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use killpoint_model::report::{CampaignReport, Tally};

    const PAGE: &str = ".killpoint/runs/7f3a/report.html";

    fn check(name: &str, report: &Report) {
        let text = summary(report, Style::plain().with_page(PAGE));
        sample::check_snapshot(&format!("{name}.txt"), &text);
        for line in text.lines().filter(|line| columns(line) > WIDTH) {
            assert!(line.contains(")#") || line.contains("killpoint replay"), "too wide: {line}");
        }
    }

    #[test]
    fn the_summary_of_each_result_is_as_expected() {
        for (name, report) in sample::all() {
            check(&format!("console-{name}"), &report);
        }
    }

    #[test]
    fn of_many_findings_the_first_stand_in_full_and_the_rest_on_one_line_each() {
        let report = sample::many_findings(25);
        let text = summary(&report, Style::plain());
        assert_eq!(text.matches("killpoint replay").count(), FINDINGS_IN_FULL_MAX);
        assert_eq!(text.matches("  LOST  ").count(), 25);
    }

    #[test]
    fn no_line_of_the_summary_but_addresses_and_replay_lines_is_wider_than_80_columns() {
        let mut report = sample::hostile();
        report.notes.push("x".repeat(300));
        check("console-hostile", &report);
    }

    #[test]
    fn no_text_of_the_target_reaches_the_terminal_as_it_is() {
        let text = summary(&sample::hostile(), Style::plain());
        assert!(text.contains("holds at the points on either side"), "{text}");
        let is_harmful =
            |it: char| (it.is_control() && it != '\n') || matches!(it, '\u{202e}' | '\u{fffe}');
        assert!(!text.contains(is_harmful), "{text}");
    }

    #[test]
    fn the_counts_of_trials_break_as_other_lines_do() {
        let tally = |trial| Tally { trial, tries: 2, fired: 2, ..Tally::default() };
        let campaign = CampaignReport {
            planned_trials: 3,
            rounds: Some(2),
            restarts: 15,
            tallies: vec![tally(1), tally(2), tally(3)],
            ..CampaignReport::default()
        };
        let report = Report { campaign: Some(campaign), ..Report::empty() };
        let text = summary(&report, Style::plain());
        assert!(
            text.contains("6 of 6 tries, 6 strikes fired, 15\n             restarts"),
            "{text}"
        );
    }

    #[test]
    fn the_head_of_a_finding_breaks_behind_its_address() {
        use killpoint_model::Phase;
        let mut report = sample::violated();
        report.findings[0].phases = vec![Phase::Work, Phase::Idle, Phase::Shutdown];
        for length in 1..120 {
            let address = format!("write({})#1", "n".repeat(length));
            report.findings[0].address = sample::address(&address);
            let text = summary(&report, Style::plain());
            assert!(text.lines().any(|line| line.contains(&address)), "{text}");
            for line in text.lines().filter(|line| columns(line) > WIDTH) {
                assert!(line.trim().split("  ").last() == Some(&address), "too wide: {line}");
            }
        }
    }

    #[test]
    fn an_address_inside_a_sentence_is_never_cut() {
        let mut report = sample::violated();
        let address = format!("open({}.json, truncate)#2", "a long name ".repeat(9).trim());
        report.findings[0].cause = format!("Before this write, {address} empties the file.");
        let text = summary(&report, Style::plain());
        assert!(text.lines().any(|line| line.contains(&address)), "{text}");
    }

    #[test]
    fn nothing_but_our_own_colours_steers_the_terminal() {
        let plain = summary(&sample::hostile(), Style::plain());
        assert!(!plain.contains('\x1b') && !plain.contains('\u{202e}'));
        let coloured = summary(&sample::hostile(), Style::coloured());
        let mut stripped = coloured;
        for code in ["1;31", "1;32", "1;33", "2", "1", "0"] {
            stripped = stripped.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(stripped, plain);
    }

    #[test]
    fn progress_estimates_what_remains_once_something_is_done() {
        for (done, total, elapsed, expect) in [
            (1_234, 5_678, 12.0, "  judged     1,234 of 5,678   21 %   12 s, about 43 s left"),
            (0, 5_678, 2.0, "  judged     0 of 5,678   0 %   2.0 s"),
            (5_678, 5_678, 55.0, "  judged     5,678 of 5,678   100 %   55 s"),
            (17, 0, 1.0, "  judged     17   1.0 s"),
        ] {
            let elapsed = Duration::from_secs_f64(elapsed);
            assert_eq!(progress_line("judged", done, total, elapsed), expect);
        }
    }
}
