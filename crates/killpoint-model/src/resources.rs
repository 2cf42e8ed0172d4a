//! What a target used over time: one series for each process or role, bounded by merging neighbours.

use serde::{Deserialize, Serialize};

/// What the processes of one name used, sample by sample.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceSeries {
    /// The supervised process or role.
    pub who: String,
    /// The samples, in order.
    pub samples: Vec<ResourceSample>,
}

/// What they used at one moment, or since the sample before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 7]", into = "[u64; 7]")]
pub struct ResourceSample {
    /// When, in milliseconds since the trial began.
    pub at_ms: u64,
    /// Share of one processor since the sample before it, in percent; the kernel counts 10 ms at a time.
    pub cpu_percent: u64,
    /// Memory that is in use, in KiB. What processes share is counted for each of them.
    pub memory_kib: u64,
    /// KiB that were asked for by reading calls since the sample before it.
    pub read_kib: u64,
    /// KiB that were handed to writing calls since the sample before it.
    pub written_kib: u64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

impl From<[u64; 7]> for ResourceSample {
    fn from(it: [u64; 7]) -> Self {
        let [at_ms, cpu_percent, memory_kib, read_kib, written_kib, threads, descriptors] = it;
        ResourceSample {
            at_ms,
            cpu_percent,
            memory_kib,
            read_kib,
            written_kib,
            threads,
            descriptors,
        }
    }
}

impl From<ResourceSample> for [u64; 7] {
    fn from(it: ResourceSample) -> Self {
        [
            it.at_ms,
            it.cpu_percent,
            it.memory_kib,
            it.read_kib,
            it.written_kib,
            it.threads,
            it.descriptors,
        ]
    }
}

impl ResourceSample {
    /// Two neighbours as one: what was read and written is added up, of what is used at a moment the
    /// greater is kept, so that no peak is lost.
    fn merge(self, next: Self) -> Self {
        ResourceSample {
            at_ms: next.at_ms,
            cpu_percent: (self.cpu_percent + next.cpu_percent).div_ceil(2),
            memory_kib: self.memory_kib.max(next.memory_kib),
            read_kib: self.read_kib + next.read_kib,
            written_kib: self.written_kib + next.written_kib,
            threads: self.threads.max(next.threads),
            descriptors: self.descriptors.max(next.descriptors),
        }
    }
}

impl ResourceSeries {
    /// Merges each sample with its neighbour.
    pub fn halve(&mut self) {
        let merged = self.samples.chunks(2).map(|pair| match pair {
            [first, second] => first.merge(*second),
            pair => pair[0],
        });
        self.samples = merged.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_adds_up_what_was_moved_and_keeps_peaks() {
        let sample = |at_ms, threads, read_kib| ResourceSample {
            at_ms,
            cpu_percent: threads,
            threads,
            read_kib,
            ..ResourceSample::default()
        };
        let samples = vec![sample(1, 3, 10), sample(2, 1, 20), sample(3, 5, 30)];
        let mut series = ResourceSeries { who: "app".to_owned(), samples };
        series.halve();
        assert_eq!(
            series.samples,
            [ResourceSample { cpu_percent: 2, ..sample(2, 3, 30) }, sample(3, 5, 30)]
        );
        let text = serde_json::to_string(&series).expect("plain data");
        assert_eq!(text, r#"{"who":"app","samples":[[2,2,0,30,0,3,0],[3,5,0,30,0,5,0]]}"#);
        assert_eq!(serde_json::from_str::<ResourceSeries>(&text).expect("the same"), series);
    }
}
