//! Objectives: what the trials measured against what is wanted.

use super::prepare::CampaignError;
use super::tell;
use crate::explore::Journalist;
use killpoint_model::objective::Objectives;
use killpoint_model::plan::Plan;
use killpoint_model::report::CampaignReport;
use killpoint_model::span::Span;
use killpoint_model::trial::TrialEvent;

/// Judges them and writes down what was missed; how many were.
pub(super) fn judge(plan: &Plan, journalist: &mut Journalist) -> Result<usize, CampaignError> {
    let measured = journalist.report().campaign.clone().unwrap_or_default();
    let missed = missed(&plan.scenario.objectives, &measured);
    for detail in &missed {
        tell(journalist, TrialEvent::ObjectiveMissed { detail: detail.clone() })?;
    }
    Ok(missed.len())
}

fn missed(objectives: &Objectives, measured: &CampaignReport) -> Vec<String> {
    let mut missed = Vec::new();
    let lost: u64 = measured.trials.iter().map(|trial| trial.judgement.keys_lost).sum();
    if let Some(most) = objectives.data_loss
        && lost > most
    {
        missed
            .push(format!("data-loss: {lost} acknowledged values are gone, at most {most} may be"));
    }
    if let Some(most) = objectives.restarts
        && measured.restarts > most
    {
        missed.push(format!("restarts: {} restarts, at most {most} may be", measured.restarts));
    }
    if let Some(limits) = objectives.recovery_time {
        // By the first moment at which the target was ready for sure: what lies before is not proved.
        let mut times: Vec<u64> = measured.recoveries_us.iter().map(|(_, good)| *good).collect();
        times.sort_unstable();
        let mean = times.iter().sum::<u64>() / (times.len() as u64).max(1);
        let rows = [
            ("mean", limits.mean, mean),
            ("p50", limits.p50, percentile(&times, 50)),
            ("p95", limits.p95, percentile(&times, 95)),
            ("max", limits.max, percentile(&times, 100)),
        ];
        for (name, limit, us) in rows {
            if let Some(limit) = limit.filter(|limit| us > limit.as_ms().saturating_mul(1_000)) {
                let shown = Span::from_ms(us.div_ceil(1_000));
                missed.push(format!("recovery-time: {name} {shown}, at most {limit} may be"));
            }
        }
    }
    missed
}

/// By nearest rank: the smallest value that so many percent do not exceed.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let times: Vec<u64> = (1..=20).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 95)), (10, 19));
        assert_eq!(
            (percentile(&times, 100), percentile(&[7], 50), percentile(&[], 95)),
            (20, 7, 0)
        );
    }

    #[test]
    fn only_what_is_worse_than_wanted_is_missed() {
        let text = r#"{"recovery-time":{"mean":"3s","max":"4s"},"restarts":2}"#;
        let objectives: Objectives = serde_json::from_str(text).expect(text);
        let recoveries_us = vec![(0, 1_000_000), (0, 4_000_001)];
        let measured = CampaignReport { recoveries_us, restarts: 2, ..CampaignReport::default() };
        let missed = missed(&objectives, &measured);
        assert_eq!(missed, ["recovery-time: max 4001ms, at most 4s may be"]);
    }
}
