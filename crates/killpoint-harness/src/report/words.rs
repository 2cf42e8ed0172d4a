//! The phrases that all outputs share: numbers, durations, series, the line of the verdict.

use killpoint_model::report::{CampaignReport, Confirmation, Drafts, Finding, Report, TrialReport};
use killpoint_model::{CrashModel, OperationKind, Outcome, Phase, Verdict};

pub use crate::numbers::{count, thousands};

/// The length of a list, as a number that [`count`] takes.
pub fn length<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).expect("a length fits 64 bits")
}

/// A duration: `0.2 s`, `42 s`, `3 min 5 s`, `2 h 10 min`.
pub fn seconds(duration: f64) -> String {
    if !duration.is_finite() || duration < 0.0 {
        return "? s".to_owned();
    }
    if duration < 9.95 {
        return format!("{duration:.1} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and a run does not last longer than the universe"
    )]
    let whole = duration.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", thousands(whole / 3600), whole % 3600 / 60),
    }
}

/// A time in microseconds as the least bound that [`seconds`] can say.
pub fn seconds_at_most(us: u64) -> String {
    let step: u64 = match us {
        0..=9_900_000 => 100_000,
        9_900_001..=3_599_000_000 => 1_000_000,
        _ => 60_000_000,
    };
    #[expect(clippy::cast_precision_loss, reason = "shown in seconds")]
    let bound = us.div_ceil(step).saturating_mul(step) as f64;
    seconds(bound / 1e6)
}

/// `a`, `a and b`, `a, b and c`.
pub fn series(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Crash models as a series.
pub fn models(models: &[CrashModel]) -> String {
    series(&models.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// Text that came from outside, on one line and harmless to a terminal: control characters, and
/// those that turn the direction of writing, are written out (`\u{1b}`).
pub fn visible(text: &str) -> String {
    visible_lines(text).replace('\n', " ")
}

/// As [`visible`], but line ends stay and tabs become four blanks.
pub fn visible_lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' => shown.push('\n'),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\t' => shown.push_str("    "),
            _ if is_hazardous(character) => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown
}

/// Whether a character acts on the medium instead of standing in it, or may not stand in XML.
fn is_hazardous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(character, '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
        || matches!(character, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A command the way one would type it.
pub fn command_line(arguments: &[String]) -> String {
    arguments.iter().map(|argument| quoted(argument)).collect::<Vec<_>>().join(" ")
}

fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+{}".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    visible(&format!("'{}'", argument.replace('\'', r"'\''")))
}

/// The class of a finding, as the word that a reader sees first: `LOST`.
pub fn class(finding: &Finding) -> String {
    finding.class.to_string().to_uppercase()
}

/// How much of a model a finding takes up: `5 of 10 points`, or `5 of 11 cuts` of the power, one of which
/// is at the end.
pub fn extent(finding: &Finding) -> String {
    let noun = if finding.model.is_power_loss() { "cut" } else { "point" };
    format!("{} of {}", thousands(finding.points), count(finding.points_of, noun))
}

/// In which parts of the target's life a finding shows, ` during shutdown`; nothing where that is its
/// work alone.
pub fn phases(finding: &Finding) -> String {
    match finding.phases.as_slice() {
        [] | [Phase::Work] => String::new(),
        phases => {
            let names: Vec<String> = phases.iter().map(ToString::to_string).collect();
            format!(" during {}", series(&names))
        }
    }
}

/// What became of drafts in a run, `3 seen; restored 4 of 9 times that one was open at a crash`.
pub fn drafts(report: &Report) -> Option<String> {
    let Drafts { seen, open, restored } = report.drafts;
    (seen > 0).then(|| {
        format!(
            "{} seen; restored {} of {} times that one was open at a crash (nothing is promised about \
             them)",
            thousands(seen),
            thousands(restored),
            thousands(open)
        )
    })
}

/// What became of drafts at the crash of a finding; nothing where there were none.
pub fn drafts_of(finding: &Finding) -> Option<String> {
    let Drafts { open, restored, .. } = finding.drafts;
    (open > 0).then(|| format!("{} of {} restored", thousands(restored), count(open, "draft")))
}

/// How much of the workload a finding needs: `2 of 20 steps`, and those steps.
pub fn steps(finding: &Finding) -> Option<(String, String)> {
    const STEPS_MAX: usize = 12;
    let shrunk = finding.shrunk.as_ref()?;
    let needed = format!("{} of {}", thousands(length(&shrunk.steps)), count(shrunk.of, "step"));
    let mut steps: Vec<String> =
        shrunk.steps.iter().take(STEPS_MAX).map(|step| visible(step)).collect();
    if shrunk.steps.len() > STEPS_MAX {
        steps.push(format!("and {} more", thousands(length(&shrunk.steps[STEPS_MAX..]))));
    }
    let trials = count(shrunk.trials, "trial");
    let is_enough = if shrunk.is_minimal { "are needed" } else { "are enough" };
    Some((format!("{needed} {is_enough} ({trials})"), steps.join("; ")))
}

/// How often the finding was shown again.
pub fn confirmation(finding: &Finding) -> String {
    let Confirmation { hits, tries } = finding.confirmed;
    match (tries, finding.confirmed_live) {
        (0, _) => "not confirmed yet".to_owned(),
        (_, true) => format!("hit {} of {}", ratio(hits), ratio(tries)),
        _ => format!("judged again alike, {} of {}", ratio(hits), ratio(tries)),
    }
}

/// How often a trial that failed did so again, with the same plan from the same state.
pub fn reproduced(trial: &TrialReport) -> Option<String> {
    let Confirmation { hits, tries } = trial.reproduced?;
    let word = match hits {
        0 => "not reproduced",
        _ if hits == tries => "reproducible",
        _ => "flaky, reproducible",
    };
    let alike = u64::from(hits).saturating_sub(trial.reproduced_otherwise);
    let class = match &trial.judgement.verdict {
        Verdict::Violated(class) if trial.reproduced_otherwise > 0 => {
            format!(", as {class} {}", thousands(alike))
        }
        _ => String::new(),
    };
    Some(format!("{word} {} of {}{class}", ratio(hits), ratio(tries)))
}

fn ratio(number: u32) -> String {
    thousands(u64::from(number))
}

/// Where the same promise is kept, as words for before, after, or both.
pub fn neighbours(finding: &Finding) -> Option<(&'static str, Vec<String>)> {
    let words = match (&finding.holds_before, &finding.holds_after) {
        (Some(_), Some(_)) => "holds at the points on either side:",
        (Some(_), None) => "holds at the point before:",
        (None, Some(_)) => "holds at the point after:",
        (None, None) => return None,
    };
    let addresses = finding.holds_before.iter().chain(&finding.holds_after);
    Some((words, addresses.map(|address| visible(&address.to_string())).collect()))
}

/// How often: `once`, `twice`, `3 times`.
pub fn times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{} times", thousands(number)),
    }
}

/// What is said beside the name of a stage, from the numbers of the whole run.
pub fn stage(report: &Report, name: &str) -> String {
    match name {
        "recorded" => recorded(report),
        "judged" => judged(report),
        "confirmed" if report.live.tries == 0 && is_power_loss_alone(report) => {
            "no live kills: for power loss none are made".to_owned()
        }
        "confirmed" => format!(
            "{} of {} agreed with the rebuilt states",
            ratio(report.live.hits),
            count(u64::from(report.live.tries), "live kill")
        ),
        _ => String::new(),
    }
}

/// Whether only models were asked for of which no kill leaves a state.
fn is_power_loss_alone(report: &Report) -> bool {
    !report.models.is_empty() && report.models.keys().all(|model| model.is_power_loss())
}

fn recorded(report: &Report) -> String {
    let mut text = count(report.operations, "operation");
    if let Some(setting) = report.setting.as_ref().filter(|setting| !setting.state.is_empty()) {
        let places: Vec<String> = setting
            .state
            .iter()
            .map(|state| format!("{}/", visible(state.trim_end_matches('/'))))
            .collect();
        text.push_str(&format!(" on {}", series(&places)));
    }
    text.push_str(&format!(", {} acknowledged", thousands(report.acknowledged)));
    text.push_str(&format!(", {}", interleavings(report)));
    text
}

/// How many interleavings were recorded, and whether they were alike.
pub fn interleavings(report: &Report) -> String {
    match (report.recordings, report.unstable) {
        (0, _) => "nothing recorded".to_owned(),
        (1, 0) => "recorded once".to_owned(),
        (recordings, 0) if report.order_varies => {
            format!(
                "{} with the same addresses in varying order",
                count(recordings.into(), "recording")
            )
        }
        (2, 0) => "twice alike".to_owned(),
        (recordings, 0) => format!("{} times alike", ratio(recordings)),
        (recordings, unstable) => format!(
            "{}, {}",
            count(u64::from(recordings), "recording"),
            unstable_addresses(unstable)
        ),
    }
}

/// Addresses that not every recording has: `1 unstable address`.
pub fn unstable_addresses(number: u64) -> String {
    match number {
        1 => "1 unstable address".to_owned(),
        _ => format!("{} unstable addresses", thousands(number)),
    }
}

fn judged(report: &Report) -> String {
    let names: Vec<CrashModel> = report.models.keys().copied().collect();
    let mut text = format!(
        "{} of {}",
        count(report.states, "distinct state"),
        count(report.points, "crash point")
    );
    if !names.is_empty() {
        text.push_str(&format!(" under {}", models(&names)));
    }
    text
}

/// The verdict in one line: `violated: 1 finding, nothing unknown, nothing uncovered`.
pub fn verdict_line(report: &Report) -> String {
    format!("{}: {}", report.result, verdict_counts(report))
}

/// The title of the scenario that was carried out, if one was and has one.
pub fn campaign_title(report: &Report) -> Option<String> {
    let title = &report.campaign.as_ref()?.title;
    (!title.is_empty()).then(|| visible(title))
}

/// How many trials of a scenario got which verdict: `violated in 2 of 10 trials, 1 unknown`, or
/// `all 10 trials held`.
pub fn trial_counts(campaign: &CampaignReport) -> String {
    let total = campaign.total();
    let tries = count(total.tries, "trial");
    if total.tries > 0 && total.violated + total.unknown + total.known == 0 {
        let all = if total.tries > 1 { "all " } else { "" };
        return format!("{all}{tries} held");
    }
    let known =
        if total.known > 0 { format!(", {} known", thousands(total.known)) } else { String::new() };
    format!(
        "violated in {} of {tries}, {} unknown{known}",
        thousands(total.violated),
        thousands(total.unknown)
    )
}

/// The same, and the objectives that were missed: `all 10 trials held; objective missed: crash-budget`.
pub fn campaign_counts(campaign: &CampaignReport) -> String {
    let missed: Vec<&str> = campaign
        .objectives
        .iter()
        .filter(|it| it.is_missed())
        .map(|it| it.objective.as_str())
        .collect();
    let trials = trial_counts(campaign);
    match missed[..] {
        [] => trials,
        [one] => format!("{trials}; objective missed: {one}"),
        _ => format!("{trials}; objectives missed: {}", missed.join(", ")),
    }
}

/// The verdict line without the result.
pub fn verdict_counts(report: &Report) -> String {
    if let Some(campaign) = &report.campaign {
        return campaign_counts(campaign);
    }
    let findings = length(&report.findings);
    let unknown: u64 = report.unknown.iter().map(|unknown| unknown.count).sum();
    let uncovered = length(&report.not_covered);
    let known = length(&report.known);
    let mut parts = Vec::new();
    match report.result {
        Outcome::Pass | Outcome::Violated | Outcome::Unknown => {
            parts.push(or_none(findings, "no finding", count(findings, "finding")));
            if known > 0 {
                parts.push(count(known, "known finding"));
            }
            parts.push(or_none(unknown, "nothing unknown", thousands(unknown) + " unknown"));
            parts.push(or_none(
                uncovered,
                "nothing uncovered",
                thousands(uncovered) + " uncovered",
            ));
        }
        // A run that did not get to its end may not say "nothing": it did not look everywhere.
        result => {
            let meaning =
                if report.going_on_in.is_some() { "not yet over" } else { meaning(result) };
            parts.push(meaning.to_owned());
            parts.extend((findings > 0).then(|| count(findings, "finding")));
            parts.extend((known > 0).then(|| count(known, "known finding")));
            parts.extend((unknown > 0).then(|| thousands(unknown) + " unknown"));
            parts.extend((uncovered > 0).then(|| thousands(uncovered) + " uncovered"));
        }
    }
    parts.join(", ")
}

fn or_none(number: u64, none: &str, some: String) -> String {
    if number == 0 { none.to_owned() } else { some }
}

/// What a result means, from the one table of the model.
pub fn meaning(result: Outcome) -> &'static str {
    Outcome::TABLE.iter().find(|row| row.0 == result).expect("every outcome stands in the table").2
}

/// A text in parts, each with whether it is an address.
pub fn parts(text: &str) -> Vec<(&str, bool)> {
    let mut parts = Vec::new();
    let (mut plain, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        let begins = at == 0 || !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let opened = rest.starts_with(OPENING_SIGNS);
        let length = if begins && !opened { address_length(rest) } else { 0 };
        if length > 0 {
            let end = at + length + role_length(&text[at + length..]);
            parts.push((&text[plain..at], false));
            parts.push((&text[at..end], true));
            (plain, at) = (end, end);
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    parts.push((&text[plain..], false));
    parts.retain(|(part, _)| !part.is_empty());
    parts
}

/// How far the ordinal, and the role after it, reach.
fn role_length(text: &str) -> usize {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let Some(role) = text[digits..].strip_prefix('@') else { return digits };
    let is_name = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    match role.find(|c| !is_name(c)).unwrap_or(role.len()) {
        0 => digits,
        length => digits + 1 + length,
    }
}

/// Bytes of the longest name of an operation, `sync_file_range`, and some more.
const OPERATION_NAME_MAX: usize = 24;

/// Signs that may open a word before an address begins.
const OPENING_SIGNS: [char; 4] = ['(', '`', '"', '\''];

/// How long the address is with which a text begins, behind any opening sign; 0 if there is none.
pub fn address_length(text: &str) -> usize {
    let skipped = text.len() - text.trim_start_matches(OPENING_SIGNS).len();
    let body = &text[skipped..];
    let mut begin = body.bytes().take(OPERATION_NAME_MAX + 1);
    let Some(open) = begin.position(|byte| byte == b'(') else { return 0 };
    let name = &body[..open];
    let is_operation =
        ["", "create"].iter().any(|suffix| OperationKind::from_parts(name, suffix).is_some());
    // Parentheses inside a path are escaped, so the first closing one ends the address.
    match body[open..].find(')') {
        Some(close) if is_operation && body[open + close..].starts_with(")#") => {
            skipped + open + close + 2
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_model::report::ModelCount;

    #[test]
    fn where_no_live_kill_is_made_for_power_loss_none_is_missed() {
        let mut report = Report::empty();
        report.models.insert(CrashModel::Data, ModelCount::default());
        assert_eq!(stage(&report, "confirmed"), "no live kills: for power loss none are made");
        report.models.insert(CrashModel::Kill, ModelCount::default());
        assert_eq!(stage(&report, "confirmed"), "0 of 0 live kills agreed with the rebuilt states");
    }

    #[test]
    fn recordings_in_another_order_are_not_called_alike() {
        let mut report = Report { recordings: 2, ..Report::empty() };
        assert_eq!(interleavings(&report), "twice alike");
        report.order_varies = true;
        let expected = "2 recordings with the same addresses in varying order";
        assert_eq!(interleavings(&report), expected);
    }

    #[test]
    fn a_bound_is_never_below_what_it_bounds() {
        for (us, text) in [
            (0, "0.0 s"),
            (300_000, "0.3 s"),
            (809_000, "0.9 s"),
            (9_900_001, "10 s"),
            (59_000_001, "1 min 0 s"),
            (3_599_000_001, "1 h 0 min"),
            (3_600_000_001, "1 h 1 min"),
        ] {
            assert_eq!(seconds_at_most(us), text, "{us}");
        }
    }

    #[test]
    fn durations_are_as_exact_as_a_person_reads_them() {
        for (duration, text) in [
            (0.04, "0.0 s"),
            (0.24, "0.2 s"),
            (9.94, "9.9 s"),
            (9.96, "10 s"),
            (59.4, "59 s"),
            (185.0, "3 min 5 s"),
            (7_800.0, "2 h 10 min"),
            (f64::NAN, "? s"),
        ] {
            assert_eq!(seconds(duration), text);
        }
    }

    #[test]
    fn what_a_target_printed_cannot_steer_the_terminal() {
        assert_eq!(visible("a\x1b[31mb\r\nc\u{202e}d\te"), "a\\u{1b}[31mb c\\u{202e}d    e");
    }

    #[test]
    fn a_command_can_be_pasted() {
        let command = ["sh", "-c", "echo 'a b'", ""].map(str::to_owned);
        assert_eq!(command_line(&command), r"sh -c 'echo '\''a b'\''' ''");
    }

    #[test]
    fn an_objective_that_was_missed_stands_beside_trials_that_held() {
        use killpoint_model::objective::Measurement;
        use killpoint_model::report::Tally;
        let held = Tally { trial: 1, tries: 2, ..Tally::default() };
        let missed = Measurement::of("crash-budget", "2 crashes").against("none", false);
        let met = Measurement::of("data-loss", "none").against("none", true);
        let mut campaign = CampaignReport { tallies: vec![held], ..CampaignReport::default() };
        assert_eq!(campaign_counts(&campaign), "all 2 trials held");
        campaign.objectives = vec![met, missed.clone()];
        assert_eq!(campaign_counts(&campaign), "all 2 trials held; objective missed: crash-budget");
        campaign.objectives.push(Measurement { objective: "restarts".to_owned(), ..missed });
        assert_eq!(
            campaign_counts(&campaign),
            "all 2 trials held; objectives missed: crash-budget, restarts"
        );
    }

    #[test]
    fn addresses_are_found_inside_sentences() {
        let text = "See (open(my notes.json, truncate)#2): rewrite(a)#1, fsync(d)#12@worker.";
        let addresses: Vec<&str> =
            parts(text).into_iter().filter_map(|(part, is_one)| is_one.then_some(part)).collect();
        assert_eq!(addresses, ["open(my notes.json, truncate)#2", "fsync(d)#12@worker"]);
        assert_eq!(parts(text).into_iter().map(|(part, _)| part).collect::<String>(), text);
    }
}
