//! What makes two cases one. Stacks and findings say it themselves; of lines and of words a template is
//! made by Drain, apart for each kind of case.

use super::{By, Case};
use logdrain::{ClusterId, Miner};
use std::collections::BTreeMap;

/// How much of a line has to be the same.
const SIMILARITY_MIN: f64 = 0.5;
/// What stands for what differs.
const WILDCARD: &str = "<*>";
/// Longest line that is looked at, in characters.
const LINE_CHARACTERS_MAX: usize = 500;

/// What each case has in common with those of its group.
pub(super) fn keys(cases: &[Case]) -> Vec<String> {
    let mut miners: BTreeMap<&str, Miner> = BTreeMap::new();
    // Every line first: a template is only known when all that it is made of were seen.
    let placed: Vec<Option<ClusterId>> = cases
        .iter()
        .map(|case| match case.by {
            By::Stack | By::Finding => None,
            By::LogTemplate | By::Verdict => {
                let miner = miners.entry(&case.what).or_insert_with(miner);
                Some(miner.add(&plain(&case.words)).cluster_id)
            }
        })
        .collect();
    let template = |case: &Case, id: ClusterId| {
        let cluster = miners.get(case.what.as_str()).and_then(|miner| miner.cluster(id));
        cluster.map(|cluster| cluster.template().to_owned())
    };
    let key = |(case, id): (&Case, Option<ClusterId>)| match id {
        Some(id) => template(case, id).unwrap_or_else(|| case.words.clone()),
        None => case.words.clone(),
    };
    cases.iter().zip(placed).map(key).collect()
}

fn miner() -> Miner {
    Miner::builder()
        .sim_threshold(SIMILARITY_MIN)
        .wildcard(WILDCARD)
        .path_delimiters(&[])
        .build()
        .expect("these options are valid")
}

/// A line whose numbers are taken out: a process number or an address within a word makes no other case.
fn plain(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let is_digit = |c: char| c.is_ascii_digit();
        let is_address = word.contains("0x");
        if is_address || word.contains(is_digit) && !word.contains(char::is_alphabetic) {
            return WILDCARD.to_owned();
        }
        without_digits(word)
    });
    let line = words.collect::<Vec<_>>().join(" ");
    line.chars().take(LINE_CHARACTERS_MAX).collect()
}

/// `thread-12` is `thread-<*>`; a line and column after a file stay what they are: they are a place.
fn without_digits(word: &str) -> String {
    if word.contains(':') {
        return word.to_owned();
    }
    let mut plain = String::new();
    let mut rest = word;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        plain.push_str(&rest[..start]);
        plain.push_str(WILDCARD);
        rest = rest[start..].trim_start_matches(|c: char| c.is_ascii_digit());
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_make_no_other_line() {
        assert_eq!(plain("worker-12 died at 0x7f3a, pid 4711."), "worker-<*> died at <*> pid <*>");
        assert_eq!(plain("panicked at src/main.rs:12:5:"), "panicked at src/main.rs:12:5:");
    }
}
