//! The trials of a scenario on a terminal.

use super::{Colour, Console, INDENT, LINES_OF_LIST_MAX, WIDTH, hanging, words, wrapped};
use killpoint_model::objective::Measurement;
use killpoint_model::report::{CampaignReport, Confirmation, Tally, TrialReport};
use killpoint_model::{Outcome, Verdict};

/// Rates that are shown; `report.json` has all.
const RATES_SHOWN_MAX: usize = 20;
/// Trials that are not held and shown in full; the rest is counted.
const TRIALS_SHOWN_MAX: usize = 10;

impl Console<'_> {
    pub(super) fn campaign(&mut self, campaign: &CampaignReport, notes: &[String]) {
        if !campaign.title.is_empty() {
            self.text.push_str(&hanging("  ", &words::visible(&campaign.title), WIDTH));
        }
        let total = campaign.total();
        let counts = format!(
            "{}, {} strikes fired, {} restarts",
            extent(campaign, total.tries),
            words::thousands(total.fired),
            words::thousands(campaign.restarts)
        );
        self.text.push_str(&hanging("  trials     ", &counts, WIDTH));
        if let Some(Confirmation { hits, tries }) = campaign.replayed {
            self.line(&format!("  hit        {hits} of {tries}"));
        }
        for tally in
            campaign.tallies.iter().filter(|it| it.trial > 0).filter(is_rate).take(RATES_SHOWN_MAX)
        {
            self.text.push_str(&hanging("  rate       ", &rate(tally), WIDTH));
        }
        if let Some(text) = recovery(campaign) {
            self.line(&format!("  recovery   {text}"));
        }
        for remark in campaign.remarks.iter().chain(notes.iter().take(LINES_OF_LIST_MAX)) {
            self.text.push_str(&hanging("  note       ", &words::visible(remark), WIDTH));
        }
        self.gap();
        let bad = |trial: &&TrialReport| {
            trial.judgement.verdict != Verdict::Held && trial.rerun_of.is_none()
        };
        for trial in campaign.trials.iter().filter(bad).take(TRIALS_SHOWN_MAX) {
            self.trial(trial);
            self.gap();
        }
        let rest = campaign.trials.iter().filter(bad).count().saturating_sub(TRIALS_SHOWN_MAX);
        if rest > 0 {
            self.item(&format!("and {} more trials, in the report", words::thousands(rest as u64)));
            self.gap();
        }
        for objective in &campaign.objectives {
            self.objective(objective);
        }
        self.gap();
    }

    fn objective(&mut self, it: &Measurement) {
        let (word, colour) = match (it.met, it.is_open()) {
            (Some(true), _) => ("met", Colour::Green),
            (Some(false), _) => ("MISSED", Colour::Red),
            (None, true) => ("UNKNOWN", Colour::Yellow),
            (None, false) => ("measured", Colour::Dim),
        };
        let name = words::visible(&it.objective);
        let wanted =
            it.wanted.as_ref().map(|wanted| format!("; wanted {}", words::visible(wanted)));
        let text =
            format!("{name}: {}{}", words::visible(&it.measured), wanted.unwrap_or_default());
        let width = WIDTH - INDENT - 4;
        for (index, line) in wrapped(&text, width).iter().enumerate() {
            let blanks = " ".repeat(8_usize.saturating_sub(word.len()));
            let head = if index == 0 { self.paint(colour, word) } else { " ".repeat(word.len()) };
            self.line(&format!("  {head}{blanks}  {line}"));
        }
    }

    fn trial(&mut self, trial: &TrialReport) {
        let (word, colour) = match &trial.judgement.verdict {
            Verdict::Held => ("HELD".to_owned(), Colour::Green),
            Verdict::Unknown(reason) => (format!("UNKNOWN ({reason})"), Colour::Yellow),
            Verdict::Violated(class) => (class.to_string().to_uppercase(), Colour::Red),
        };
        let (word, colour) = match trial.known {
            true => (format!("known {word}"), Colour::Yellow),
            false => (word, colour),
        };
        let which = match (trial.trial, trial.attempt) {
            (0, _) => "the control".to_owned(),
            (number, 1) => format!("trial {number}, {}", words::visible(&trial.rule)),
            (number, attempt) => {
                format!("trial {number}, {}, try {attempt}", words::visible(&trial.rule))
            }
        };
        let head = hanging(&format!("  {word}  "), &which, WIDTH);
        let painted = self.paint(colour, &word);
        self.text.push_str(&head.replacen(&word, &painted, 1));
        self.item(&words::visible_lines(&trial.judgement.detail));
        if !trial.also.is_empty() {
            let also: Vec<String> = trial.also.iter().map(ToString::to_string).collect();
            self.item(&format!("also {}", also.join(", ")));
        }
        for strike in &trial.strikes {
            self.item(&words::visible(strike));
        }
        if let Some(reproduced) = words::reproduced(trial) {
            self.item(&reproduced);
        }
        if !trial.replay.is_empty() {
            // Never cut: it is to be pasted.
            self.line(&format!("  again {}", words::visible(&trial.replay)));
        }
    }

    pub(super) fn campaign_ending(&mut self, campaign: &CampaignReport, result: Outcome) {
        let colour = match result {
            Outcome::Pass => Colour::Green,
            Outcome::Violated => Colour::Red,
            _ => Colour::Yellow,
        };
        let result = result.to_string();
        let counts = hanging(&format!("  {result}: "), &words::campaign_counts(campaign), WIDTH);
        let word = self.paint(colour, &result);
        self.text.push_str(&counts.replacen(&result, &word, 1));
        if let Some(page) = self.style.page {
            self.line(&format!("{}{}", " ".repeat(INDENT), words::visible(page)));
        }
    }
}

/// How many trials there were, out of how many.
fn extent(campaign: &CampaignReport, tries: u64) -> String {
    let (planned, tries) = (campaign.planned_trials, words::thousands(tries));
    match campaign.rounds {
        Some(1) => format!("{tries} of {} planned and the control", words::thousands(planned)),
        Some(rounds) => format!(
            "{} and the control, {tries} of {} tries",
            words::count(planned, "trial"),
            words::thousands(planned.saturating_mul(rounds.into()))
        ),
        None => format!("{} and the control, {tries} tries", words::count(planned, "trial")),
    }
}

/// Whether a trial was tried several times and not always held.
fn is_rate(tally: &&Tally) -> bool {
    tally.tries > 1 && tally.violated + tally.known + tally.unknown > 0
}

/// How often a trial was violated.
fn rate(tally: &Tally) -> String {
    let Tally { trial, rule, tries, violated, known, unknown, .. } = tally;
    format!(
        "trial {trial}, {}: violated in {} of {tries} tries, {unknown} unknown",
        words::visible(rule),
        violated + known
    )
}

/// How long the target took to be ready again.
fn recovery(campaign: &CampaignReport) -> Option<String> {
    let mut times: Vec<u64> = campaign.recoveries_us.iter().map(|(_, good)| *good).collect();
    times.sort_unstable();
    let (last, middle) = (times.last()?, times.get((times.len() - 1) / 2)?);
    let (half, all) = (words::seconds_at_most(*middle), words::seconds_at_most(*last));
    let count = words::thousands(times.len() as u64);
    Some(format!("{count} times; half within {half}, all within {all}"))
}
