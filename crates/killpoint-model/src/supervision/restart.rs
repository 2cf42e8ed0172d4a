//! When a process is started again, after how long, and how often at most.

use crate::nonsense::{Nonsense, refuse};
use crate::seed::{Generator, Seed};
use crate::selector::Percent;
use crate::span::Span;
use serde::{Deserialize, Serialize};

/// Whether a process that ended is started again.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// However it ended.
    #[default]
    Always,
    /// Unless its end was a clean one (see [`crate::lifecycle::End::is_clean`]).
    OnFailure,
    /// Never.
    Never,
}

/// How long is waited before a restart: `first`, then `factor` times as long each time, at most `max`,
/// and a drawn part of up to `jitter` less. In a file a span alone is the first wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(from = "BackoffForm", rename_all = "kebab-case")]
pub struct Backoff {
    /// Before the first restart.
    pub first: Span,
    /// What each wait is multiplied with to get the next.
    pub factor: u32,
    /// The longest wait.
    pub max: Span,
    /// The largest part of a wait that may be left out, so that processes that died together do not
    /// come back together.
    pub jitter: Percent,
    /// A life of this length makes the next restart the first again.
    pub reset_after: Span,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(
    untagged,
    expecting = "it is a time, as 100ms, or has first, factor, max, jitter (0 to 100) and reset-after"
)]
enum BackoffForm {
    First(Span),
    Whole(BackoffFields),
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct BackoffFields {
    first: Span,
    factor: u32,
    max: Span,
    jitter: Percent,
    reset_after: Span,
}

impl Default for BackoffFields {
    fn default() -> Self {
        let Backoff { first, factor, max, jitter, reset_after } = Backoff::default();
        BackoffFields { first, factor, max, jitter, reset_after }
    }
}

impl From<BackoffForm> for Backoff {
    fn from(form: BackoffForm) -> Self {
        match form {
            BackoffForm::First(first) => {
                let usual = Backoff::default();
                Backoff { first, max: usual.max.max(first), ..usual }
            }
            BackoffForm::Whole(BackoffFields { first, factor, max, jitter, reset_after }) => {
                Backoff { first, factor, max, jitter, reset_after }
            }
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            first: Span::from_ms(100),
            factor: 2,
            max: Span::from_secs(10),
            jitter: Percent::try_from(10).expect("at most 100"),
            reset_after: Span::from_secs(10),
        }
    }
}

impl Backoff {
    /// Whether it can be kept.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn check(&self) -> Result<(), Nonsense> {
        refuse(&[
            (
                self.factor == 0,
                "factor",
                "it is 0, which waits once and never again: write 1 or more",
            ),
            (self.max < self.first, "max", "it is shorter than `first`: write the longest wait"),
        ])
    }

    /// The wait before the n-th restart in a row, from 1.
    pub fn wait(&self, ordinal: u32, generator: &mut Generator) -> Span {
        let (whole, room) = self.whole_wait(ordinal);
        Span::from_ms(whole - generator.below(room + 1))
    }

    /// The least that [`Self::wait`] gives.
    pub fn shortest_wait(&self, ordinal: u32) -> Span {
        let (whole, room) = self.whole_wait(ordinal);
        Span::from_ms(whole - room)
    }

    /// The wait before the n-th restart in a row, and how much of it may be left out, in milliseconds.
    fn whole_wait(&self, ordinal: u32) -> (u64, u64) {
        let mut ms = self.first.as_ms().min(self.max.as_ms());
        // A wait that has reached the longest one stays there, so the loop is short.
        for _ in 1..ordinal {
            let next = ms.saturating_mul(u64::from(self.factor)).min(self.max.as_ms());
            if next == ms {
                break;
            }
            ms = next;
        }
        (ms, ms.saturating_mul(u64::from(u8::from(self.jitter))) / 100)
    }
}

/// The generator from which the waits of a process are drawn: its own, so that what other processes
/// do changes nothing.
pub fn wait_generator(seed: Seed, process: &str) -> Generator {
    Generator::named(seed, process)
}

/// How often a process may be started, and what then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StartLimit {
    /// That many starts, the first included; 0 for no limit.
    pub count: u32,
    /// Within this time.
    pub within: Span,
    /// What is done instead of one more start.
    #[serde(default)]
    pub then: AtLimit,
}

impl Default for StartLimit {
    fn default() -> Self {
        StartLimit { count: 5, within: Span::from_secs(10), then: AtLimit::GiveUp }
    }
}

impl StartLimit {
    /// Whether it can be reached.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check(&self) -> Result<(), Nonsense> {
        let is_never = self.count > 0 && self.within == Span::default();
        refuse(&[(is_never, "within", "it is 0, in which nothing starts: write a time, as 10s")])
    }
}

/// What is done when the start limit is reached.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum AtLimit {
    /// The process stays down, and the reason is said.
    #[default]
    GiveUp,
    /// Its fallback command is started in its place, once.
    SafeMode,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(backoff: &str, process: &str) -> Vec<u64> {
        let backoff: Backoff = serde_json::from_str(backoff).expect(backoff);
        let mut generator = wait_generator(Seed(42), process);
        (1..=6).map(|ordinal| backoff.wait(ordinal, &mut generator).as_ms()).collect()
    }

    #[test]
    fn waits_grow_to_the_longest_and_stay_there() {
        let plain = r#"{"first": "100ms", "factor": 3, "max": "2s", "jitter": 0}"#;
        assert_eq!(waits(plain, "a"), [100, 300, 900, 2_000, 2_000, 2_000]);
        assert_eq!(waits(r#"{"first": "5s", "max": "2s", "jitter": 0}"#, "a")[0], 2_000);
        assert_eq!(waits(r#"{"first": "1s", "factor": 0, "jitter": 0}"#, "a")[..2], [1_000, 0]);
        assert!(waits("\"20s\"", "a")[0] >= 18_000, "a first wait alone may be a long one");
    }

    #[test]
    fn jitter_only_shortens_and_is_the_same_for_the_same_seed_and_process() {
        let drawn = waits(r#"{"first": "1s", "factor": 1, "jitter": 50}"#, "worker");
        assert!(drawn.iter().all(|ms| (500..=1_000).contains(ms)), "{drawn:?}");
        assert_eq!(drawn, waits(r#"{"first": "1s", "factor": 1, "jitter": 50}"#, "worker"));
        assert_ne!(drawn, waits(r#"{"first": "1s", "factor": 1, "jitter": 50}"#, "indexer"));
        assert_eq!(drawn, [638, 785, 697, 850, 545, 598], "the golden ones");
    }
}
