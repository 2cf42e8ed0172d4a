//! What a number of trials says of a rate: the exact bound of Clopper and Pearson.

use statrs::distribution::{Beta, ContinuousCDF};

/// How sure the bound is.
const CONFIDENCE: f64 = 0.95;

/// The greatest rate that so many failures in so many trials are compatible with, at 95 %, one-sided;
/// none without trials.
pub(super) fn upper_bound(failures: u64, trials: u64) -> Option<f64> {
    if trials == 0 || failures > trials {
        return None;
    }
    if failures == trials {
        return Some(1.0);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of strikes are far below 2^52")]
    let (above, rest) = ((failures + 1) as f64, (trials - failures) as f64);
    Some(Beta::new(above, rest).ok()?.inverse_cdf(CONFIDENCE))
}

/// `0 of 40: at most 7.22 % with 95 % confidence`.
pub(super) fn rate(failures: u64, trials: u64) -> String {
    match upper_bound(failures, trials) {
        Some(bound) => format!(
            "{failures} of {trials}: at most {:.2} % with 95 % confidence",
            // Rounded up: a bound may not be told smaller than it is.
            (bound * 10_000.0).ceil() / 100.0
        ),
        None => "nothing was tried".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_failure_the_bound_is_the_closed_form() {
        for trials in [1, 2, 10, 40, 59, 1_000, 1_000_000_u64] {
            let bound = upper_bound(0, trials).expect("a bound");
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let closed = 1.0 - (1.0 - CONFIDENCE).powf(1.0 / trials as f64);
            assert!((bound - closed).abs() < 1e-9, "{trials}: {bound} and {closed}");
        }
    }

    #[test]
    fn with_failures_it_is_where_so_few_happen_in_one_run_of_twenty() {
        for (failures, trials) in [(1_u64, 20_u64), (3, 40), (19, 20)] {
            let bound = upper_bound(failures, trials).expect("a bound");
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let (trials, failures) = (trials as f64, failures as i32);
            // The chance of at most so many failures at that rate, summed up.
            let mut term = (1.0 - bound).powf(trials);
            let mut sum = term;
            for index in (0..failures).map(f64::from) {
                term *= (trials - index) / (index + 1.0) * bound / (1.0 - bound);
                sum += term;
            }
            assert!((sum - 0.05).abs() < 1e-6, "{failures} of {trials}: {bound}, {sum}");
        }
        assert_eq!(upper_bound(7, 7), Some(1.0));
        assert_eq!(upper_bound(0, 0), None);
    }

    #[test]
    fn a_rate_is_told_with_its_bound() {
        assert_eq!(rate(0, 40), "0 of 40: at most 7.22 % with 95 % confidence");
        assert_eq!(rate(0, 0), "nothing was tried");
    }
}
