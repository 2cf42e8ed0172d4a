//! Append-only files: they hold down to the last acknowledged length, and a torn tail is fine.

/// What stands in a file that was only ever appended to, against what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// All that had to stay is there, and what follows was being appended.
    Holds,
    /// Fewer bytes than had to stay.
    Short,
    /// Zeros stand where bytes had to stay: their room survived, they did not.
    Zeroed {
        /// The first byte that is gone.
        index: usize,
        /// How many bytes had to stay and are zeros now, up to the last of them.
        lost: usize,
    },
    /// The bytes that had to stay are not those.
    Changed {
        /// The first byte that differs.
        index: usize,
    },
    /// All that had to stay is there, and something was never appended stands behind it.
    Strange {
        /// The first byte that differs.
        index: usize,
    },
}

/// Compares `contents` with `appended`, all bytes that the recording came to hold, of which the
/// first `kept` had to stay. Where power was lost, zeros may stand for bytes that were on their way.
pub(super) fn compare(contents: &[u8], appended: &[u8], kept: usize, power_loss: bool) -> Tail {
    if contents.len() < kept {
        return Tail::Short;
    }
    let differs = |index: &usize| {
        let is_lost = power_loss && *index >= kept && contents[*index] == 0;
        appended.get(*index) != Some(&contents[*index]) && !is_lost
    };
    match (0..contents.len()).find(differs) {
        None => Tail::Holds,
        Some(index) if index < kept => changed(&contents[..kept], appended, index, power_loss),
        Some(index) => Tail::Strange { index },
    }
}

/// What had to stay and differs from `index` on: where power was lost, a stretch that is all zeros, down
/// to where it is as it was again, is lost and not overwritten.
fn changed(kept: &[u8], appended: &[u8], index: usize, power_loss: bool) -> Tail {
    let differing = |at: &usize| appended.get(*at) != Some(&kept[*at]);
    let last = (index..kept.len()).rev().find(differing).unwrap_or(index);
    let stretch = &kept[index..=last];
    match power_loss && stretch.iter().all(|byte| *byte == 0) {
        true => Tail::Zeroed { index, lost: stretch.len() },
        false => Tail::Changed { index },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_holds_down_to_what_was_acknowledged() {
        for (contents, kept, power_loss, expect) in [
            ("one\ntwo\n", 4, false, Tail::Holds),
            ("one\nt", 4, false, Tail::Holds),
            ("one\n", 4, false, Tail::Holds),
            ("one", 4, false, Tail::Short),
            ("", 4, false, Tail::Short),
            ("", 0, false, Tail::Holds),
            ("oNe\ntwo\n", 4, false, Tail::Changed { index: 1 }),
            ("one\ntWo\n", 4, false, Tail::Strange { index: 5 }),
            ("one\ntwo\nthree", 4, false, Tail::Strange { index: 8 }),
            ("one\n\0\0\0\n", 4, false, Tail::Strange { index: 4 }),
            ("one\n\0\0\0\n", 4, true, Tail::Holds),
            ("\0\0\0\0two\n", 4, false, Tail::Changed { index: 0 }),
            ("\0\0\0\0two\n", 4, true, Tail::Zeroed { index: 0, lost: 4 }),
            ("o\0\0\n\0\0\0\0", 4, true, Tail::Zeroed { index: 1, lost: 2 }),
            ("o\0E\n\0\0\0\0", 4, true, Tail::Changed { index: 1 }),
        ] {
            let tail = compare(contents.as_bytes(), b"one\ntwo\n", kept, power_loss);
            assert_eq!(tail, expect, "{contents:?}");
        }
    }
}
