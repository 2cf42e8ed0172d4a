//! What recordings have in common, and what only some of them have.

use super::back::is_call;
use killpoint_model::Address;
use std::collections::BTreeSet;

/// A recording's number and its addresses, in order.
pub(super) type Addresses = (u32, Vec<Address>);

/// The recording that everything is judged by, beside the others.
pub(super) struct Compared {
    /// Addresses that not every recording has.
    pub(super) unstable: BTreeSet<Address>,
    /// Whether all have the same addresses in the same order.
    pub(super) same_order: bool,
    /// What another recording has and the judged one has not: nobody judges it.
    pub(super) beyond: Option<String>,
}

impl Compared {
    /// Compares the recording that is judged with the others that were made under the same names, and,
    /// by its operations, with the longest that was set aside.
    pub(super) fn of(judged: &Addresses, others: &[Addresses], set_aside: u64) -> Self {
        let own = calls(&judged.1);
        let own_set: BTreeSet<&Address> = own.iter().copied().collect();
        let (mut all, mut common) = (own_set.clone(), own_set.clone());
        let mut same_order = true;
        let mut beyond = None;
        for (number, addresses) in others {
            let calls = calls(addresses);
            same_order &= calls == own;
            let set: BTreeSet<&Address> = calls.iter().copied().collect();
            let extra: Vec<&&Address> =
                calls.iter().filter(|address| !own_set.contains(*address)).collect();
            if let Some(first) = extra.first() {
                beyond = beyond.or_else(|| Some(only_there(judged.0, *number, extra.len(), first)));
            }
            all.extend(&set);
            common.retain(|address| set.contains(address));
        }
        let operations = operations(&judged.1);
        let beyond = beyond.or_else(|| {
            (set_aside > operations).then(|| {
                format!(
                    "another recording, which was set aside, has {set_aside} operations, recording {}, by \
                     which is judged, {operations}: crash points that only the former has are not judged; \
                     make the command do the same every time",
                    judged.0,
                )
            })
        });
        let unstable = all.difference(&common).map(|address| (*address).clone()).collect();
        Compared { unstable, same_order, beyond }
    }
}

fn only_there(judged: u32, other: u32, count: usize, first: &Address) -> String {
    let operations = match count {
        1 => "an operation".to_owned(),
        count => format!("{count} operations"),
    };
    format!(
        "recording {other} has {operations} that recording {judged}, by which is judged, has not, first \
         {first}: their crash points are not judged; make the command do the same every time"
    )
}

/// How many operations a recording has, stores into mappings apart.
pub(super) fn operations(addresses: &[Address]) -> u64 {
    calls(addresses).len() as u64
}

/// Stores into mappings are seen at a stop by chance.
fn calls(addresses: &[Address]) -> Vec<&Address> {
    addresses.iter().filter(|address| is_call(address)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &str) -> Vec<Address> {
        let parse = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text} is an address"));
        texts.split_whitespace().map(parse).collect()
    }

    #[test]
    fn what_only_another_recording_has_is_told() {
        for (judged, other, set_aside, unstable, same_order, beyond) in [
            ("write(a)#1 fsync(a)#1", "write(a)#1 fsync(a)#1", 2, 0, true, None),
            ("write(a)#1 fsync(a)#1", "fsync(a)#1 write(a)#1", 0, 0, false, None),
            ("write(a)#1 fsync(a)#1", "write(a)#1", 0, 1, false, None),
            ("write(a)#1", "write(a)#1 fsync(a)#1", 0, 1, false, Some("an operation")),
            ("write(a)#1", "write(b)#1 fsync(b)#1", 0, 3, false, Some("2 operations")),
            ("write(a)#1", "write(a)#1", 2, 0, true, Some("has 2 operations")),
        ] {
            let (judged, other) = ((3, addresses(judged)), (4, addresses(other)));
            let compared = Compared::of(&judged, &[other], set_aside);
            assert_eq!(compared.unstable.len(), unstable);
            assert_eq!(compared.same_order, same_order);
            match (compared.beyond, beyond) {
                (None, None) => {}
                (Some(text), Some(part)) => assert!(text.contains(part), "{text}"),
                (told, expected) => panic!("{told:?} instead of {expected:?}"),
            }
        }
    }
}
