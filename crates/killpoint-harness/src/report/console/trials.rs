//! The trials of a scenario on a terminal.

use super::{Colour, Console, INDENT, WIDTH, words, wrapped};
use killpoint_model::objective::Measurement;
use killpoint_model::report::{CampaignReport, TrialReport};
use killpoint_model::{Outcome, Verdict};

/// Trials that are not held and shown in full; the rest is counted.
const TRIALS_SHOWN_MAX: usize = 10;

impl Console<'_> {
    pub(super) fn campaign(&mut self, campaign: &CampaignReport) {
        if !campaign.title.is_empty() {
            self.line(&format!("  {}", words::visible(&campaign.title)));
        }
        let tried = campaign.trials.iter().filter(|trial| trial.trial > 0);
        let (mut trials, mut fired) = (0_u64, 0);
        for trial in tried {
            (trials, fired) = (trials + 1, fired + trial.fired);
        }
        self.line(&format!(
            "  trials     {} of {} planned and the control, {} strikes fired, {} restarts",
            words::thousands(trials),
            words::thousands(campaign.planned_trials),
            words::thousands(fired),
            words::thousands(campaign.restarts)
        ));
        if let Some(text) = recovery(campaign) {
            self.line(&format!("  recovery   {text}"));
        }
        for remark in &campaign.remarks {
            self.line(&format!("  note       {}", words::visible(remark)));
        }
        self.gap();
        let bad = |trial: &&TrialReport| trial.judgement.verdict != Verdict::Held;
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
        let word = self.paint(colour, &word);
        let which = match trial.trial {
            0 => "the control".to_owned(),
            number => format!("trial {number}, {}", words::visible(&trial.rule)),
        };
        self.line(&format!("  {word}  {which}"));
        self.item(&words::visible_lines(&trial.judgement.detail));
        for strike in &trial.strikes {
            self.item(&words::visible(strike));
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
        let word = self.paint(colour, &result.to_string());
        self.line(&format!("  {word}: {}", words::trial_counts(campaign)));
        if let Some(page) = self.style.page {
            self.line(&format!("{}{}", " ".repeat(INDENT), words::visible(page)));
        }
    }
}

/// How long the target took to be ready again.
fn recovery(campaign: &CampaignReport) -> Option<String> {
    let mut times: Vec<u64> = campaign.recoveries_us.iter().map(|(_, good)| *good).collect();
    times.sort_unstable();
    let (last, middle) = (times.last()?, times.get((times.len() - 1) / 2)?);
    #[expect(clippy::cast_precision_loss, reason = "shown in seconds")]
    let seconds = |us: &u64| words::seconds(*us as f64 / 1e6);
    let count = words::thousands(times.len() as u64);
    Some(format!("{count} times; half within {}, all within {}", seconds(middle), seconds(last)))
}
