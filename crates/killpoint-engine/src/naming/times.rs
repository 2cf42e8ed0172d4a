//! Names that tell the time at which they were given: a log of today, a session of this second.
//!
//! Recordings follow one another within milliseconds, so they do not show that such a name is another
//! one every second, minute or day.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{BTreeSet, HashSet};

/// How a date and a time stand in names: what separates their numbers is a space here.
const FORMS: [&str; 11] = [
    "%Y%m%d", "%Y %m %d", "%d %m %Y", "%m %d %Y", "%y%m%d", "%y %m %d", "%Y %m", "%H%M%S",
    "%H %M %S", "%H%M", "%H %M",
];
/// Most numbers of a name that belong together: year, month, day.
const NUMBERS_MAX: usize = 3;
/// Fewest digits that tell a time.
const DIGITS_MIN: usize = 4;
/// Digits of a date without separators; a time may stand right behind it.
const DATE_DIGITS: usize = 8;
/// Digits of seconds since 1970; those of parts of a second may stand right behind them.
const SECONDS_DIGITS: usize = 10;
/// Digits of times since 1970 in milliseconds, microseconds and nanoseconds.
const PARTS_DIGITS: [usize; 3] = [13, 16, 19];

/// What names can tell: the time at which the program was started, and that of the name.
#[derive(Debug)]
pub(super) struct Times {
    start: i64,
    /// In UTC, or in local time.
    zones: [TimeZone; 2],
}

impl Times {
    /// For a program that is started now.
    pub(super) fn from_now() -> Self {
        let start = Timestamp::now().as_second();
        Times { start, zones: [TimeZone::UTC, TimeZone::system()] }
    }

    /// Whether a path that is given now tells the time.
    pub(super) fn are_told_by(&self, path: &str) -> bool {
        self.are_told_at(Timestamp::now().as_second(), path)
    }

    fn are_told_at(&self, now: i64, path: &str) -> bool {
        let numbers: Vec<&str> =
            path.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty()).collect();
        let digits: usize = numbers.iter().map(|number| number.len()).sum();
        if digits < DIGITS_MIN {
            return false;
        }
        // A moment passes between a clock that is read and what is done with it.
        let seconds = BTreeSet::from([self.start, self.start + 1, now - 1, now]);
        let known = self.texts(seconds);
        let tell = |count| {
            let mut some = numbers.windows(count).enumerate();
            some.any(|(at, some)| {
                known.contains(&some.join(" ")) && is_whole(&numbers[at..], count)
            })
        };
        (1..=NUMBERS_MAX).any(tell) || numbers.iter().any(|number| begins_with_one(number, &known))
    }

    /// How names tell these seconds.
    fn texts(&self, seconds: BTreeSet<i64>) -> HashSet<String> {
        let mut texts = HashSet::new();
        for second in seconds {
            let Ok(time) = Timestamp::from_second(second) else { continue };
            texts.insert(second.to_string());
            for zone in &self.zones {
                let civil = time.to_zoned(zone.clone());
                texts.extend(FORMS.map(|form| civil.strftime(form).to_string()));
            }
        }
        texts
    }
}

/// Whether the first numbers are all of a date or time: a day may follow a month, or a second a minute.
fn is_whole(numbers: &[&str], count: usize) -> bool {
    count != 2 || numbers.get(2).is_none_or(|next| next.len() != 2)
}

/// Whether a long number begins with a date, or with seconds that parts of a second follow.
fn begins_with_one(number: &str, known: &HashSet<String>) -> bool {
    let begins = |digits: usize| known.contains(&number[..digits]);
    (number.len() > DATE_DIGITS && begins(DATE_DIGITS))
        || (PARTS_DIGITS.contains(&number.len()) && begins(SECONDS_DIGITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-27 15:29:07 UTC.
    const NOW: i64 = 1_795_793_347;

    fn times() -> Times {
        Times { start: NOW, zones: [TimeZone::UTC, TimeZone::fixed(jiff::tz::offset(2))] }
    }

    #[test]
    fn names_that_tell_the_time_are_known_and_others_are_not() {
        for (name, expect) in [
            ("session-152907.json", true),
            ("session-172907.json", true),
            ("session-15_29.json", true),
            ("1529", true),
            ("log.2026-11-27", true),
            ("27.11.2026.txt", true),
            ("20261127T152907Z", true),
            ("20261127152907", true),
            ("backup-261127.tar", true),
            ("2026-11/a", true),
            ("2026-11-27-15-29-07", true),
            ("2026-11-27-10", true),
            ("2026-11-28", false),
            ("a/2026/11/27/b", true),
            ("1795793347", true),
            ("1795793346.5", true),
            ("msg-1795793347123", true),
            ("1795793347123456", true),
            ("1795793347123456789", true),
            ("session-152805.json", false),
            ("log.2026-11-28", false),
            ("1795793147", false),
            ("17957933471", false),
            ("2026", false),
            ("0000000001.wal", false),
            ("page-0815", false),
            ("a.json", false),
            ("v15", false),
            ("", false),
        ] {
            assert_eq!(times().are_told_at(NOW, name), expect, "{name}");
        }
    }

    #[test]
    fn the_time_of_the_start_and_that_of_the_name_count() {
        for (name, expect) in [("152907", true), ("153407", true), ("153207", false)] {
            assert_eq!(times().are_told_at(NOW + 300, name), expect, "{name}");
        }
    }
}
