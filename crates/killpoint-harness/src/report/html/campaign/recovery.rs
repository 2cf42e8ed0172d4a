//! How long the target took to come back: each recovery as the interval in which it happened.

use super::super::visible;
use super::timeline::milliseconds;
use crate::report::words::{count, thousands};
use killpoint_model::objective::Distribution;
use killpoint_model::report::CampaignReport;
use maud::{Markup, html};

/// Recoveries that are drawn, evenly chosen from all in the order of their length.
const DRAWN_MAX: usize = 60;
/// The width of the drawing, in its units.
const WIDTH: u64 = 1_000;
/// The height of one recovery.
const ROW: usize = 10;
/// Into how many parts the axis is divided.
const TICKS: u64 = 5;

/// The distribution, if the target ever came back from a strike.
pub(super) fn section(campaign: &CampaignReport) -> Markup {
    let mut all = campaign.recoveries_us.clone();
    all.sort_unstable_by_key(|(bad, good)| (*good, *bad));
    let bad = Distribution::of(all.iter().map(|(bad, _)| *bad));
    let good = Distribution::of(all.iter().map(|(_, good)| *good));
    let (Some(bad), Some(good)) = (bad, good) else { return html! {} };
    let drawn = thinned(&all);
    let scale = |us: u64| (u128::from(us) * u128::from(WIDTH) / u128::from(good.max.max(1))) as u64;
    html! {
        section aria-labelledby="recovery" {
            h2 #recovery { "Recovery" }
            div.card.recoveries {
                dl.tiles {
                    @for (name, bad, good) in [
                        ("mean", bad.mean, good.mean),
                        ("p50", bad.p50, good.p50),
                        ("p95", bad.p95, good.p95),
                        ("max", bad.max, good.max),
                    ] {
                        div.tile { dt { (name) } dd { (interval(bad, good)) } }
                    }
                }
                svg.intervals role="img" aria-label={ (count(good.count, "recovery time")) }
                    viewBox={ "0 0 " (WIDTH) " " (drawn.len() * ROW) } preserveAspectRatio="none"
                    style={ "height:" (drawn.len() * ROW) "px" } {
                    @for (index, (bad, good)) in drawn.iter().enumerate() {
                        @let (from, to) = (scale(*bad), scale(*good).max(scale(*bad) + 2));
                        path.down d={ "M0 " (index * ROW + 4) "H" (from) "v2H0z" } {}
                        path.between d={ "M" (from) " " (index * ROW + 2) "H" (to) "v6H" (from) "z" } {
                            title { (visible(&interval(*bad, *good))) }
                        }
                    }
                }
                span.axis aria-hidden="true" {
                    @for tick in 0..=TICKS { span { (milliseconds(good.max * tick / TICKS)) } }
                }
                p.quiet {
                    "From the strike. Each bar is where it became ready: between the last moment at \
                     which it was not ready for sure and the first at which it was. "
                    @if drawn.len() < all.len() {
                        "Drawn are " (thousands(drawn.len() as u64)) " of "
                        (thousands(all.len() as u64)) ", evenly chosen."
                    }
                }
            }
        }
    }
}

fn interval(bad: u64, good: u64) -> String {
    format!("{} to {}", thousands(bad.div_ceil(1_000)), milliseconds(good))
}

/// Some of them, evenly chosen, the first and the last among them.
fn thinned(all: &[(u64, u64)]) -> Vec<(u64, u64)> {
    if all.len() <= DRAWN_MAX {
        return all.to_vec();
    }
    let last = all.len() - 1;
    (0..DRAWN_MAX).map(|index| all[index * last / (DRAWN_MAX - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_recoveries_are_thinned_and_keep_the_shortest_and_the_longest() {
        let all: Vec<(u64, u64)> = (0..1_000).map(|it| (it, it)).collect();
        let drawn = thinned(&all);
        assert_eq!((drawn.len(), drawn[0], drawn[DRAWN_MAX - 1]), (DRAWN_MAX, (0, 0), (999, 999)));
        assert_eq!(thinned(&all[..3]), all[..3]);
    }
}
