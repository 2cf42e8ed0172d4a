//! Objectives: what the trials measured against what is wanted. Every measure is told, whether
//! something is wanted of it or not.

use super::prepare::CampaignError;
use super::tell;
use crate::explore::Journalist;
use killpoint_model::objective::{Distribution, Measurement, Objectives};
use killpoint_model::plan::Plan;
use killpoint_model::report::CampaignReport;
use killpoint_model::span::Span;
use killpoint_model::trial::TrialEvent;

/// Measures and writes it down.
pub(super) fn judge(
    plan: &Plan,
    journalist: &mut Journalist,
) -> Result<Vec<Measurement>, CampaignError> {
    let measured = journalist.report().campaign.clone().unwrap_or_default();
    let measurements = measure(&plan.scenario.objectives, &measured);
    for measurement in &measurements {
        tell(journalist, TrialEvent::Measured(measurement.clone()))?;
    }
    Ok(measurements)
}

fn measure(objectives: &Objectives, measured: &CampaignReport) -> Vec<Measurement> {
    let mut all = vec![data_loss(objectives, measured)];
    all.extend(recovery_time(objectives, measured));
    all.push(at_most("restarts", objectives.restarts, measured.restarts, |number| {
        number.to_string()
    }));
    all
}

/// A number against the most that it may be.
fn at_most<T: PartialOrd + Copy>(
    objective: &str,
    most: Option<T>,
    value: T,
    show: impl Fn(T) -> String,
) -> Measurement {
    let measurement = Measurement::of(objective, show(value));
    match most {
        Some(most) => measurement.against(format!("at most {}", show(most)), value <= most),
        None => measurement,
    }
}

fn data_loss(objectives: &Objectives, measured: &CampaignReport) -> Measurement {
    let lost = measured.tallies.iter().map(|tally| tally.keys_lost).sum();
    at_most("data-loss", objectives.data_loss, lost, |number| {
        format!("{number} acknowledged values")
    })
}

/// A limit of recovery times: its name, what is wanted, and the measured value.
type Row = (&'static str, Option<Span>, fn(&Distribution) -> u64);

/// By the first moment at which the target was ready for sure: what lies before is not proved. The last
/// moment at which it was not, in the same place of its own order, is said beside it.
fn recovery_time(objectives: &Objectives, measured: &CampaignReport) -> Vec<Measurement> {
    let limits = objectives.recovery_time.unwrap_or_default();
    let good = Distribution::of(measured.recoveries_us.iter().map(|(_, good)| *good));
    let bad = Distribution::of(measured.recoveries_us.iter().map(|(bad, _)| *bad));
    let rows: [Row; 4] = [
        ("mean", limits.mean, |it| it.mean),
        ("p50", limits.p50, |it| it.p50),
        ("p95", limits.p95, |it| it.p95),
        ("max", limits.max, |it| it.max),
    ];
    let row = |(name, limit, value): Row| {
        let objective = format!("recovery-time {name}");
        let wanted = limit.map(|limit| format!("at most {limit}"));
        let (Some(good), Some(bad)) = (&good, &bad) else {
            let nothing = Measurement::of(&objective, "no strike was recovered from");
            return match wanted {
                Some(wanted) => nothing.not_measured(wanted),
                None => nothing,
            };
        };
        let (bad, good) = (value(bad), value(good));
        let shown = format!("{} to {} ms", bad.div_ceil(1_000), good.div_ceil(1_000));
        let measurement = Measurement::of(&objective, shown);
        match (limit, wanted) {
            (Some(limit), Some(wanted)) => {
                measurement.against(wanted, good <= limit.as_ms().saturating_mul(1_000))
            }
            _ => measurement,
        }
    };
    // Without a recovery four rows would say nothing four times.
    let is_shown = |it: &Measurement| good.is_some() || it.is_open();
    rows.into_iter().map(row).filter(is_shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objectives(text: &str) -> Objectives {
        serde_json::from_str(text).expect(text)
    }

    fn recoveries(recoveries_us: Vec<(u64, u64)>) -> CampaignReport {
        CampaignReport { recoveries_us, restarts: 2, ..CampaignReport::default() }
    }

    #[test]
    fn only_what_is_worse_than_wanted_is_missed() {
        let wanted = objectives(r#"{"recovery-time":{"mean":"3s","max":"4s"},"restarts":2}"#);
        let all = measure(&wanted, &recoveries(vec![(900_000, 1_000_000), (0, 4_000_001)]));
        let missed: Vec<&Measurement> = all.iter().filter(|it| it.is_missed()).collect();
        let [missed] = missed.as_slice() else { panic!("{all:?}") };
        assert_eq!(missed.objective, "recovery-time max");
        assert_eq!(missed.measured, "900 to 4001 ms");
        assert_eq!(missed.wanted.as_deref(), Some("at most 4s"));
    }

    #[test]
    fn what_nobody_wants_is_measured_all_the_same() {
        let all = measure(&Objectives::default(), &recoveries(vec![(1_000, 2_000)]));
        let names: Vec<&str> = all.iter().map(|it| it.objective.as_str()).collect();
        for name in ["data-loss", "recovery-time p95", "restarts"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(all.iter().all(|it| it.wanted.is_none() && it.met.is_none()));
    }

    #[test]
    fn a_time_that_is_wanted_and_was_never_measured_is_open() {
        let all = measure(&objectives(r#"{"recovery-time":{"p95":"1s"}}"#), &recoveries(vec![]));
        let open: Vec<&str> =
            all.iter().filter(|it| it.is_open()).map(|it| it.objective.as_str()).collect();
        assert_eq!(open, ["recovery-time p95"]);
    }
}
