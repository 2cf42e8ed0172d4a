//! The report as one page: self-contained, with nothing fetched from anywhere.
//!
//! Everything that comes from outside goes through [`visible`] and maud's escaping; the style and
//! the script are files of ours, put in as they are. The page says everything without the script,
//! which only adds buttons to copy with and a filter.

mod campaign;
mod findings;
mod frame;
mod timeline;

use crate::report::words;
use killpoint_model::report::Report;
use killpoint_model::{CrashModel, Verdict};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use words::{visible, visible_lines};

/// What the browser may load and run: what stands in the page, and nothing else.
const POLICY: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The text of `report.html`.
pub fn page(report: &Report) -> String {
    let title = format!("{}: {}", report.result, subject(report));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) " · Killpoint" }
                style {
                    (PreEscaped(include_str!("html/style.css"))) (PreEscaped(campaign::style(report)))
                }
            }
            body {
                a.skip href="#verdict" { "Skip to the verdict" }
                (frame::masthead(report))
                main {
                    (frame::verdict(report))
                    (frame::gaps(report))
                    (campaign::section(report))
                    (findings::all(report))
                    (findings::known(report))
                    (frame::models(report))
                    (timeline::section(report))
                    (frame::setting(report))
                    (frame::stages(report))
                }
                footer {
                    p {
                        "Drawn by Killpoint " (visible(&report.killpoint))
                        " from the event log of run " code {
                            (visible(&report.run))
                        } "."
                    }
                }
                script { (PreEscaped(include_str!("html/script.js"))) }
            }
        }
    }
    .into_string()
}

/// What was tested, for the title.
fn subject(report: &Report) -> String {
    if let Some(title) = words::campaign_title(report) {
        return title;
    }
    let command = report.setting.as_ref().map(|setting| words::command_line(&setting.command));
    command.filter(|command| !command.is_empty()).unwrap_or_else(|| visible(&report.run))
}

/// The style class of a verdict.
fn tone(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Held => "held",
        Verdict::Unknown(_) => "unknown",
        Verdict::Violated(_) => "violated",
    }
}

/// The sign of a verdict, so that colour is never alone.
fn sign(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Held => "✓",
        Verdict::Unknown(_) => "?",
        Verdict::Violated(_) => "✗",
    }
}

/// A sign with its meaning for those who do not see it.
fn mark(verdict: &Verdict) -> Markup {
    let words = verdict.to_string();
    html! {
        span class={ "mark " (tone(verdict)) } role="img" aria-label=(words) title=(words) {
            (sign(verdict))
        }
    }
}

/// A text from outside, in which addresses stand out as what they are.
fn prose(text: &str) -> Markup {
    let text = visible_lines(text);
    html! { @for (part, is_address) in words::parts(&text) {
        @if is_address { code { (part) } } @else { (part) }
    } }
}

/// Crash models as chips.
fn chips(models: &[CrashModel]) -> Markup {
    html! { span.chips { @for model in models { span.chip title=(meaning(*model)) { (model) } } } }
}

/// What a crash model leaves on disk, in a line.
fn meaning(model: CrashModel) -> &'static str {
    match model {
        CrashModel::Kill => {
            "killed at the entry of a call: completed calls stay, this one never was"
        }
        CrashModel::TornWrite => "killed inside a write: it stops at a multiple of 4,096 bytes",
        CrashModel::Prefix => {
            "power loss: everything up to the last completed barrier, nothing after"
        }
        CrashModel::Size => "power loss: unsynced data reads as zeros where a file grew",
        CrashModel::Data => "power loss: names as they were, contents only where they were synced",
        CrashModel::FileLost => "power loss: one file's unsynced data is lost, all else kept",
        CrashModel::DirLost => "power loss: unsynced changes of names are undone",
        CrashModel::OneLost => "power loss: one unsynced write is lost, all else kept",
        CrashModel::TornBlock => "power loss: one unsynced write is kept up to a block boundary",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use killpoint_model::Outcome;
    use killpoint_model::screenshot::{Moment, Screenshot};

    #[test]
    fn the_page_of_each_result_names_it_and_its_meaning() {
        for (name, report) in sample::all() {
            let page = page(&report);
            assert!(page.contains(&format!("<strong>{}</strong>", report.result)), "{name}");
            assert!(page.contains(&words::verdict_counts(&report)), "{name}");
            assert_eq!(page.contains("id=\"finding-2\""), !report.findings.is_empty(), "{name}");
        }
    }

    #[test]
    fn the_page_carries_all_that_a_finding_says() {
        let report = sample::violated();
        let page = page(&report).replace("<code>", "").replace("</code>", "");
        for finding in &report.findings {
            let escaped = |text: &str| html! { (text) }.into_string();
            for text in [&finding.detail, &finding.cause, &finding.fix, &finding.replay] {
                assert!(page.contains(&escaped(text)), "{text}");
            }
        }
        for gap in &report.not_covered {
            assert!(page.contains(&gap.reason));
        }
    }

    #[test]
    fn html_escapes_what_the_target_printed() {
        let name = "<script>alert(1)\u{202e}";
        let trials = super::page(&sample::campaign(name, 2));
        assert!(trials.matches("<script").count() == 1 && !trials.contains('\u{202e}'));
        let page = page(&sample::hostile());
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(page.matches("</pre>").count(), page.matches("<pre").count());
        assert!(page.contains("&lt;script&gt;alert(1)"));
        assert!(!page.contains("href=\"javascript:"));
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
        assert!(!page.contains('\u{202e}'));
    }

    #[test]
    fn html_has_no_external_reference() {
        let trials = sample::campaign("editor", 4);
        for report in [sample::violated(), sample::pass(), sample::hostile(), trials] {
            let page = page(&report);
            for reference in [" src=", "<link", "@import", "url(", "http://", "https://", "fetch("]
            {
                assert!(!page.contains(reference), "{reference}");
            }
        }
    }

    #[test]
    fn what_the_screen_showed_stands_in_the_page_itself() {
        let mut report = sample::campaign("editor", 1);
        let crash = report.campaign.as_ref().expect("trials").crashes[0].clone();
        let of = |moment, preview: &str| Screenshot {
            path: "trials/1/screenshots/<one>.png".to_owned(),
            moment,
            at_us: 40_000,
            width: 640,
            height: 400,
            preview: preview.to_owned(),
        };
        let crashed = Moment::Crashed { process: crash.process.clone(), life: crash.life };
        let pictures = vec![
            of(Moment::Before { strike: 1 }, "iVBORw0KGgo="),
            of(Moment::Struck { strike: 1 }, ""),
            of(crashed, "\"><script>"),
        ];
        assert!((crash.trial, crash.is_own()) == (1, true), "{crash:?}");
        let campaign = report.campaign.as_mut().expect("trials");
        campaign.trials[1].screenshots = pictures;
        let page = page(&report);
        assert!(page.contains("src=\"data:image/png;base64,iVBORw0KGgo=\""));
        assert!(page.contains("2 pictures of the screen") && page.contains("not shown here"));
        assert_eq!(page.matches(" src=").count(), 2, "one with its trial, one with its crash");
        assert!(!page.contains("\"><script>") && !page.contains("<one>"));
    }

    #[test]
    fn a_job_is_linked_if_it_is_a_web_address() {
        let mut report = sample::pass();
        report.job_url = Some("https://ci.example/jobs/7".to_owned());
        assert!(page(&report).contains("href=\"https://ci.example/jobs/7\""));
    }

    #[test]
    fn every_link_within_the_page_has_its_target() {
        let trials = sample::campaign("editor", 300);
        for report in [sample::violated(), sample::long(3_000), sample::many_findings(25), trials] {
            let page = page(&report);
            for link in page.split("href=\"#").skip(1) {
                let id = link.split('"').next().expect("a quoted attribute");
                assert!(page.contains(&format!(" id=\"{id}\"")), "{id}");
            }
        }
    }

    #[test]
    fn a_long_timeline_is_bounded_and_says_what_it_leaves_out() {
        let page = page(&sample::long(30_000));
        assert!(page.len() < 1_000_000, "{}", page.len());
        assert!(page.contains("of 30,000 operations"));
    }

    #[test]
    fn the_page_of_a_scenario_shows_its_objectives_trials_and_what_happened_in_them() {
        let page = page(&sample::campaign("editor", 4));
        for text in [
            "editor survives",
            "violated in 2 of 4 trials",
            "d1ge57",
            "only some of the plan",
            "7 values",
            "at most 0",
            "killpoint run plan.json --trial 2",
            "strike 1: kill",
            "killed, SIGKILL",
            "ready again after strike 1",
            "12 heartbeats",
            "checkpoint 3",
            "61 to 91 ms",
            "7f3a12-1-1",
            "by itself, in trial 1",
            "2 without a strike, 2 by strikes",
            "editor!save",
            "editor goes down",
            "3 of editor, lifecycle event 4",
            "editor.dmp",
            "2,048 KiB",
        ] {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("Crash models"));
    }

    #[test]
    fn many_trials_are_bounded_and_counted() {
        let report = sample::campaign("editor", 3_000);
        let page = page(&report);
        assert!(page.len() < 2_000_000, "{}", page.len());
        assert!(page.contains("500 of 3,001 trials"));
        assert!(page.contains("2,941 further trials"));
        let kept = report.campaign.expect("trials").timelines_omitted;
        assert_eq!(kept, 3_001 - 220);
    }

    #[test]
    fn the_same_report_gives_the_same_bytes() {
        assert_eq!(page(&sample::violated()), page(&sample::violated()));
    }

    #[test]
    fn a_run_without_a_verdict_is_not_green() {
        for (name, report) in sample::all() {
            let is_green = page(&report).contains("class=\"verdict held\"");
            assert_eq!(is_green, report.result == Outcome::Pass, "{name}");
        }
    }

    #[test]
    fn a_run_that_judged_nothing_shows_no_row_of_zeros() {
        for (name, report) in sample::all() {
            let is_counted = page(&report).contains("<dl class=\"tiles\">");
            assert_eq!(is_counted, report.states > 0, "{name}");
        }
    }

    #[test]
    #[ignore = "writes pages to look at into the directory that KILLPOINT_PAGES names"]
    fn pages_to_look_at() {
        let directory = std::env::var_os("KILLPOINT_PAGES").expect("a directory");
        let directory = std::path::Path::new(&directory);
        let mut reports = sample::all();
        reports.extend([("long", sample::long(3_000)), ("hostile", sample::hostile())]);
        for (name, report) in reports {
            std::fs::write(directory.join(format!("{name}.html")), page(&report)).expect("written");
        }
    }
}
