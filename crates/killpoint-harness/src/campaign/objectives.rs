//! Objectives: what the trials measured against what is wanted. Every measure is told, whether
//! something is wanted of it or not.

use super::confidence::rate;
use super::crashes::CRASHES_UNSEEN;
use super::options::Options;
use super::problem::CampaignError;
use super::{release, tell};
use crate::journalist::Journalist;
use crate::store::RunFolder;
use killpoint_model::invariant::Invariant;
use killpoint_model::objective::{Distribution, Measurement, NOT_READ_BACK, Objectives};
use killpoint_model::plan::Plan;
use killpoint_model::report::CampaignReport;
use killpoint_model::span::Span;
use killpoint_model::trial::TrialEvent;
use std::collections::BTreeMap;

/// Measures and writes it down.
pub(super) fn judge(
    plan: &Plan,
    options: &Options,
    folder: &RunFolder,
    journalist: &mut Journalist,
) -> Result<Vec<Measurement>, CampaignError> {
    let measured = journalist.report().campaign.clone().unwrap_or_default();
    let version = release::version(plan, options, journalist.report().commit.as_deref());
    let release = release::of(folder.path(), version, &measured);
    tell(journalist, TrialEvent::Release(release))?;
    let measured = journalist.report().campaign.clone().unwrap_or_default();
    let gaps = &journalist.report().not_covered;
    let seen = Seen {
        is_read_back: plan.scenario.invariants.iter().any(Invariant::reads_back),
        are_crashes: !gaps.iter().any(|gap| gap.reason.starts_with(CRASHES_UNSEEN)),
    };
    let measurements = measure(&plan.scenario.objectives, &measured, seen);
    for measurement in &measurements {
        tell(journalist, TrialEvent::Measured(measurement.clone()))?;
    }
    Ok(measurements)
}

/// What the run was able to see.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Whether an invariant reads back what was acknowledged.
    is_read_back: bool,
    /// Whether whoever was to watch for crashes did so to the end.
    are_crashes: bool,
}

fn measure(objectives: &Objectives, measured: &CampaignReport, seen: Seen) -> Vec<Measurement> {
    let broken = rate(measured.broken(), measured.fired());
    let mut all = vec![
        Measurement::of("strikes that broke a promise", broken),
        data_loss(objectives, measured, seen.is_read_back),
    ];
    all.extend(recovery_time(objectives, measured));
    all.extend(unsaved_restored(objectives, measured));
    all.extend(crash_budget(objectives, measured, seen));
    all.extend(observability(objectives, measured, seen));
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

/// Where nobody reads back what was acknowledged, nothing lost is nothing known.
fn data_loss(
    objectives: &Objectives,
    measured: &CampaignReport,
    is_read_back: bool,
) -> Measurement {
    if !is_read_back {
        let nothing = Measurement::of("data-loss", NOT_READ_BACK);
        return match objectives.data_loss {
            Some(most) => nothing.not_measured(format!("at most {most} acknowledged values")),
            None => nothing,
        };
    }
    let lost = measured.tallies.iter().map(|tally| tally.keys_lost).sum();
    let unreadable: u64 = measured.tallies.iter().map(|tally| tally.unreadable).sum();
    let known: u64 = measured.tallies.iter().map(|tally| tally.keys_known).sum();
    let values = |number: u64| format!("{number} acknowledged values");
    let mut shown = values(lost);
    if known > 0 {
        shown += &format!(", and {known} in trials whose violation stands in the baseline");
    }
    if unreadable > 0 {
        shown += &format!(" and all those of {unreadable} tries whose store did not open");
    }
    let measurement = Measurement::of("data-loss", shown);
    match objectives.data_loss {
        Some(most) => {
            let met = unreadable == 0 && lost <= most;
            measurement.against(format!("at most {}", values(most)), met)
        }
        None => measurement,
    }
}

/// A limit of recovery times: its name, what is wanted, and the measured value.
type Row = (&'static str, Option<Span>, fn(&Distribution) -> u64);

/// By the first moment at which the target was ready for sure: what lies before is not proved. The last
/// moment at which it was not, in the same place of its own order, is said beside it.
fn recovery_time(objectives: &Objectives, measured: &CampaignReport) -> Vec<Measurement> {
    let limits = objectives.recovery_time.unwrap_or_default();
    let good = Distribution::of(measured.recoveries_us.iter().map(|(_, good)| *good));
    let bad = Distribution::of(measured.recoveries_us.iter().map(|(bad, _)| *bad));
    let never: u64 = measured.tallies.iter().map(|tally| tally.unrecovered).sum();
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
                Some(wanted) if never > 0 => nothing.against(wanted, false),
                Some(wanted) => nothing.not_measured(wanted),
                None => nothing,
            };
        };
        let (bad, good) = (value(bad), value(good));
        let mut shown = format!("{} to {} ms", bad.div_ceil(1_000), good.div_ceil(1_000));
        if never > 0 {
            shown += &format!(", and in {never} tries never");
        }
        let measurement = Measurement::of(&objective, shown);
        match (limit, wanted) {
            (Some(limit), Some(wanted)) => {
                let met = never == 0 && good <= limit.as_ms().saturating_mul(1_000);
                measurement.against(wanted, met)
            }
            _ => measurement,
        }
    };
    // Without a recovery four rows would say nothing four times.
    let is_shown = |it: &Measurement| good.is_some() || it.is_open();
    rows.into_iter().map(row).filter(is_shown).collect()
}

/// After how many restarts unsaved work was back, for each key that had some at a strike.
fn unsaved_restored(objectives: &Objectives, measured: &CampaignReport) -> Vec<Measurement> {
    let limits = objectives.unsaved_restored.unwrap_or_default();
    let open: u64 = measured.drafts.iter().map(|it| it.open).sum();
    let wanted = [("p50", limits.p50, 50), ("p95", limits.p95, 95), ("max", limits.max, 100)];
    if open == 0 {
        let nothing = |name| {
            let objective = format!("unsaved-restored {name}");
            Measurement::of(&objective, "no unsaved work was there at a strike")
        };
        let open = wanted.into_iter().filter_map(|(name, limit, _)| {
            Some(nothing(name).not_measured(format!("at most {}", limit?)))
        });
        return open.collect();
    }
    let mut keys: BTreeMap<u64, u64> = BTreeMap::new();
    for (restarts, count) in measured.drafts.iter().flat_map(|it| &it.restored) {
        *keys.entry(*restarts).or_default() += count;
    }
    let within = |restarts| -> u64 { keys.range(..=restarts).map(|(_, count)| count).sum() };
    let restored = within(u64::MAX);
    let mut shown = format!("{} of {open} within 1 restart", within(1));
    if restored > within(1) {
        shown += &format!(", {restored} of them ever");
    }
    let mut all = vec![Measurement::of("unsaved-restored", shown)];
    for (name, limit, percent) in wanted {
        let Some(limit) = limit else { continue };
        // By nearest rank; what never came back stands behind everything else.
        let rank = (open * percent).div_ceil(100).max(1);
        let mut reached = keys.iter().scan(0, |sum, (restarts, count)| {
            *sum += count;
            Some((*restarts, *sum))
        });
        let restarts = reached.find(|(_, sum)| *sum >= rank).map(|(restarts, _)| restarts);
        let measured = match restarts {
            Some(1) => "1 restart".to_owned(),
            Some(restarts) => format!("{restarts} restarts"),
            None => "never".to_owned(),
        };
        let met = restarts.is_some_and(|restarts| restarts <= u64::from(limit.0));
        let measurement = Measurement::of(&format!("unsaved-restored {name}"), measured);
        all.push(measurement.against(format!("at most {limit}"), met));
    }
    all
}

/// Crashes that no strike did, in all runs of the same version.
fn crash_budget(
    objectives: &Objectives,
    measured: &CampaignReport,
    seen: Seen,
) -> Vec<Measurement> {
    // What nobody could see may have been there.
    let judged = |it: Measurement, wanted: String, met: bool| match met && !seen.are_crashes {
        true => it.not_measured(wanted),
        false => it.against(wanted, met),
    };
    let budget = objectives.crash_budget.unwrap_or_default();
    let Some(release) = &measured.release else { return Vec::new() };
    let runs = match (release.runs, release.unreadable) {
        (1, 0) => "in 1 run".to_owned(),
        (runs, 0) => format!("in {runs} runs"),
        (runs, unreadable) => format!("in {runs} runs ({unreadable} could not be read)"),
    };
    let per_release = Measurement::of(
        "crash-budget per-release",
        format!("{} own crashes {runs} of {}", release.crashes, release.version),
    );
    let per_release = match budget.per_release {
        Some(most) => judged(per_release, format!("at most {most}"), release.crashes <= most),
        None => per_release,
    };
    #[expect(clippy::cast_precision_loss, reason = "shown with some digits")]
    let (crashes, hours) = (release.crashes as f64, release.trials_ms as f64 / 3_600_000.0);
    let rate = if hours > 0.0 { crashes / hours } else { 0.0 };
    let per_hour = Measurement::of(
        "crash-budget per-hour",
        format!("{} in {hours:.3} hours of trials, {rate:.2} an hour", release.crashes),
    );
    let per_hour = match budget.per_hour {
        Some(most) => judged(per_hour, format!("at most {most} an hour"), rate <= most),
        None => per_hour,
    };
    vec![per_release, per_hour]
}

/// The share of crashes that have a dump and an event that names a checkpoint. Without a crash nothing is
/// shown of that.
fn observability(
    objectives: &Objectives,
    measured: &CampaignReport,
    sight: Seen,
) -> Option<Measurement> {
    let (all, seen) = (measured.crash_count.all(), measured.crash_count.observable);
    let measurement = Measurement::of(
        "observability",
        format!("{seen} of {all} crashes have a dump and an event that names a checkpoint"),
    );
    match objectives.observability {
        Some(least) => {
            let wanted = format!("at least {} %", u8::from(least));
            let met = seen * 100 >= all * u64::from(u8::from(least));
            Some(match met && (all == 0 || !sight.are_crashes) {
                true => measurement.not_measured(wanted),
                false => measurement.against(wanted, met),
            })
        }
        None => (all > 0).then_some(measurement),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_model::report::{CrashCount, DraftsSeen};
    use killpoint_model::trial::Release;

    const ALL: Seen = Seen { is_read_back: true, are_crashes: true };

    fn objectives(text: &str) -> Objectives {
        serde_json::from_str(text).expect(text)
    }

    fn recoveries(recoveries_us: Vec<(u64, u64)>) -> CampaignReport {
        CampaignReport { recoveries_us, restarts: 2, ..CampaignReport::default() }
    }

    #[test]
    fn only_what_is_worse_than_wanted_is_missed() {
        let wanted = objectives(r#"{"recovery-time":{"mean":"3s","max":"4s"},"restarts":2}"#);
        let all = measure(&wanted, &recoveries(vec![(900_000, 1_000_000), (0, 4_000_001)]), ALL);
        let missed: Vec<&Measurement> = all.iter().filter(|it| it.is_missed()).collect();
        let [missed] = missed.as_slice() else { panic!("{all:?}") };
        assert_eq!(missed.objective, "recovery-time max");
        assert_eq!(missed.measured, "900 to 4001 ms");
        assert_eq!(missed.wanted.as_deref(), Some("at most 4s"));
    }

    #[test]
    fn what_nobody_wants_is_measured_all_the_same() {
        let all = measure(&Objectives::default(), &recoveries(vec![(1_000, 2_000)]), ALL);
        let names: Vec<&str> = all.iter().map(|it| it.objective.as_str()).collect();
        for name in ["data-loss", "recovery-time p95", "restarts"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(all.iter().all(|it| it.wanted.is_none() && it.met.is_none()));
    }

    #[test]
    fn unsaved_work_that_never_came_back_is_behind_all_that_did() {
        let seen = |open, restored| DraftsSeen {
            trial: 1,
            attempt: 1,
            rerun_of: None,
            strike: 1,
            open,
            restored,
        };
        let drafts = vec![seen(9, vec![(1, 8), (2, 1)]), seen(1, vec![])];
        let measured = CampaignReport { drafts, ..CampaignReport::default() };
        let text = r#"{"unsaved-restored":{"p50":"1 restart","p95":"9 restarts"}}"#;
        let all = unsaved_restored(&objectives(text), &measured);
        assert_eq!(all[0].measured, "8 of 10 within 1 restart, 9 of them ever");
        assert_eq!((all[1].measured.as_str(), all[1].met), ("1 restart", Some(true)));
        assert_eq!((all[2].measured.as_str(), all[2].met), ("never", Some(false)));
        let none = unsaved_restored(&objectives(text), &CampaignReport::default());
        assert!(none.len() == 2 && none.iter().all(Measurement::is_open), "{none:?}");
        assert!(unsaved_restored(&Objectives::default(), &CampaignReport::default()).is_empty());
    }

    #[test]
    fn a_budget_is_of_all_runs_of_a_version_and_a_share_of_all_crashes() {
        let release = Release {
            version: "commit a".to_owned(),
            runs: 2,
            crashes: 3,
            trials_ms: 1_800_000,
            own_crashes: 1,
            own_trials_ms: 60_000,
            unreadable: 0,
        };
        let crash_count = CrashCount { struck: 3, own: 1, observable: 3 };
        let release = Some(release);
        let measured = CampaignReport { release, crash_count, ..CampaignReport::default() };
        let text = r#"{"crash-budget":{"per-release":2,"per-hour":6},"observability":80}"#;
        let all = measure(&objectives(text), &measured, ALL);
        let of = |name: &str| all.iter().find(|it| it.objective == name).expect(name);
        assert!(of("crash-budget per-release").is_missed());
        assert_eq!(of("crash-budget per-release").measured, "3 own crashes in 2 runs of commit a");
        assert_eq!(of("crash-budget per-hour").met, Some(true));
        assert!(of("observability").is_missed(), "75 % are not 80 %");
    }

    #[test]
    fn a_time_that_is_wanted_and_was_never_measured_is_open() {
        let all =
            measure(&objectives(r#"{"recovery-time":{"p95":"1s"}}"#), &recoveries(vec![]), ALL);
        let open: Vec<&str> =
            all.iter().filter(|it| it.is_open()).map(|it| it.objective.as_str()).collect();
        assert_eq!(open, ["recovery-time p95"]);
    }

    #[test]
    fn what_nobody_reads_back_is_no_measure_of_lost_data() {
        let wanted = objectives(r#"{"data-loss":0}"#);
        let unread =
            &measure(&wanted, &CampaignReport::default(), Seen { is_read_back: false, ..ALL })[1];
        let read = &measure(&wanted, &CampaignReport::default(), ALL)[1];
        assert_eq!(unread.measured, NOT_READ_BACK);
        assert_ne!(unread.met, Some(true), "{unread:?}");
        assert_eq!(read.met, Some(true), "{read:?}");
    }
}
