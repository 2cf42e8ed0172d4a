//! What the screen showed around strikes and crashes.

use super::super::visible;
use super::timeline::milliseconds;
use crate::report::words::count;
use killpoint_model::crash::Crash;
use killpoint_model::report::{CampaignReport, TrialReport};
use killpoint_model::screenshot::{Moment, Screenshot};
use maud::{Markup, html};

/// Those of the strikes of a trial, in their order.
pub(super) fn of_strikes(trial: &TrialReport) -> Markup {
    let pictures: Vec<&Screenshot> =
        trial.screenshots.iter().filter(|picture| picture.moment.strike().is_some()).collect();
    html! {
        @if !pictures.is_empty() {
            details.rows open {
                summary { (count(pictures.len() as u64, "picture")) " of the screen" }
                (figures(&pictures))
            }
        }
    }
}

/// That of a crash that no strike did; those of a strike are with its trial.
pub(super) fn of_crash(crash: &Crash, campaign: &CampaignReport) -> Markup {
    let of = (crash.trial, crash.attempt, crash.rerun_of);
    let mut trials = campaign.trials.iter();
    let trial = trials.find(|trial| (trial.trial, trial.attempt, trial.rerun_of) == of);
    let is_it = |picture: &&Screenshot| match &picture.moment {
        Moment::Crashed { process, life } => {
            crash.below.is_none() && (process, *life) == (&crash.process, crash.life)
        }
        _ => false,
    };
    let pictures: Vec<&Screenshot> =
        trial.into_iter().flat_map(|trial| &trial.screenshots).filter(is_it).collect();
    html! { @if !pictures.is_empty() { (figures(&pictures)) } }
}

fn figures(pictures: &[&Screenshot]) -> Markup {
    html! {
        div.pictures { @for picture in pictures { figure {
            @if picture.preview.is_empty() {
                p.absent { "not shown here" }
            } @else {
                img alt={ "the screen, " (visible(&picture.moment.to_string())) }
                    src={ "data:image/png;base64," (picture.preview) };
            }
            figcaption {
                (visible(&picture.moment.to_string())) ", " (milliseconds(picture.at_us))
                br; code { (visible(&picture.path)) } " " (picture.width) "\u{a0}×\u{a0}" (picture.height)
            }
        } } }
    }
}
