//! Names that are digests may be digests of the time: recordings that follow one another within the same second
//! give birth to the same ones, and a live kill a second later to others.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, SystemTime};

/// A row of at least so many hexadecimal digits, with figures and letters among them, is taken for a digest.
const DIGEST_DIGITS_MIN: usize = 7;

/// Whether one of the names that all recordings so far have in common may be a digest.
pub(super) fn has_digests(names: &BTreeSet<String>) -> bool {
    names.iter().any(|name| {
        name.split(|character: char| !character.is_ascii_hexdigit()).any(|row| {
            row.len() >= DIGEST_DIGITS_MIN
                && row.bytes().any(|byte| byte.is_ascii_digit())
                && row.bytes().any(|byte| byte.is_ascii_alphabetic())
        })
    })
}

/// Waits until the clock shows another second.
pub(super) fn await_next() {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    thread::sleep(
        Duration::from_secs(1).saturating_sub(Duration::from_nanos(since.subsec_nanos().into())),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_rows_of_hexadecimal_digits() {
        for (name, expected) in [
            (".git/objects/04/7e5b0d2f", true),
            ("cache/9e107d9d372bb6826bd81d3542a419d6.json", true),
            ("000005.log", false),
            ("20261127.json", false),
            ("defaced.db", false),
            ("a.json", false),
        ] {
            assert_eq!(has_digests(&BTreeSet::from([name.to_owned()])), expected, "{name}");
        }
    }
}
