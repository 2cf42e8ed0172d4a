//! What a run measured for an objective, and the distribution of what was measured often.

use serde::{Deserialize, Serialize};

/// What is measured of lost data where no invariant reads back what was acknowledged.
pub const NOT_READ_BACK: &str = "no invariant reads back what was acknowledged";

/// An objective, what was measured and what is wanted, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// Which: `data-loss`, `recovery-time p95`.
    pub objective: String,
    /// What was measured; how it comes that nothing was.
    pub measured: String,
    /// What is wanted; none where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// Whether it was met; none where nothing is wanted, or nothing could be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
}

impl Measurement {
    /// What was measured where nothing is wanted.
    pub fn of(objective: &str, measured: impl Into<String>) -> Self {
        Measurement {
            objective: objective.to_owned(),
            measured: measured.into(),
            wanted: None,
            met: None,
        }
    }

    /// The same, with what is wanted.
    pub fn against(self, wanted: impl Into<String>, met: bool) -> Self {
        Measurement { wanted: Some(wanted.into()), met: Some(met), ..self }
    }

    /// The same, with what is wanted of something that could not be measured.
    pub fn not_measured(self, wanted: impl Into<String>) -> Self {
        Measurement { wanted: Some(wanted.into()), met: None, ..self }
    }

    /// Whether it is worse than wanted.
    pub fn is_missed(&self) -> bool {
        self.met == Some(false)
    }

    /// Whether something is wanted and nothing could be measured.
    pub fn is_open(&self) -> bool {
        self.wanted.is_some() && self.met.is_none()
    }
}

/// Numbers that were measured, each by nearest rank: a value that was measured, not one between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// The mean, rounded down.
    pub mean: u64,
    /// The median.
    pub p50: u64,
    /// What all but the greatest twentieth do not exceed.
    pub p95: u64,
    /// The greatest.
    pub max: u64,
}

impl Distribution {
    /// That of these values; none of no values.
    pub fn of(values: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        let count = values.len() as u64;
        let sum: u128 = values.iter().map(|value| u128::from(*value)).sum();
        let mean = u64::try_from(sum.checked_div(u128::from(count))?).unwrap_or(u64::MAX);
        let rank = |percent: usize| values[(values.len() * percent).div_ceil(100).max(1) - 1];
        Some(Distribution { count, mean, p50: rank(50), p95: rank(95), max: rank(100) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let twenty = Distribution::of((1..=20).rev()).expect("values");
        assert_eq!((twenty.count, twenty.mean), (20, 10));
        assert_eq!((twenty.p50, twenty.p95, twenty.max), (10, 19, 20));
        let one = Distribution::of([7]).expect("a value");
        assert_eq!((one.mean, one.p50, one.p95, one.max), (7, 7, 7, 7));
        assert_eq!(Distribution::of([]), None);
        assert_eq!(Distribution::of([u64::MAX; 3]).expect("values").mean, u64::MAX);
    }
}
