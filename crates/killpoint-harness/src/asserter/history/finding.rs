//! What is bad about a key, and how it is said.

use super::store::text_of;
use crate::asserter::journal::Value;
use crate::numbers::thousands;
use killpoint_model::verdict::{Class, Judgement};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// How many keys a sentence names.
const KEYS_NAMED_MAX: usize = 3;
/// How much of a key or value a sentence shows, in characters.
const EXCERPT_CHARACTERS_MAX: usize = 40;
/// How many groups of keys a judgement tells apart.
const GROUPS_MAX: usize = 2;

/// What is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Symptom {
    /// The key is missing, or its list is empty or its sum nothing.
    Gone,
    /// The key is there and its value is empty.
    Emptied,
    /// An older value came back.
    Older,
    /// A deleted key came back.
    Undeleted,
    /// Additions or elements are missing.
    Fewer,
    /// The value is there in part, or with something attached.
    Partial,
    /// A transaction is there in part.
    Mixed,
    /// The value was never intended.
    Foreign,
    /// The value is another one; nobody knows of intents.
    Changed,
    /// The value was reported as not applied.
    Unapplied,
    /// The key was never intended.
    Unknown,
    /// Additions or elements are there more than once.
    Repeated,
}

/// What should stand there at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Due<'a> {
    /// Nothing is promised.
    Nothing,
    /// What stood there at the start.
    Before(&'a Json),
    /// An acknowledged value.
    Value(&'a Value),
    /// An acknowledged deletion.
    Deletion,
    /// Acknowledged additions or elements.
    Parts,
}

/// One key that is bad.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding<'a> {
    pub(super) key: &'a str,
    pub(super) class: Class,
    pub(super) symptom: Symptom,
    pub(super) due: Due<'a>,
    pub(super) shown: Option<&'a Json>,
    /// The size of what should stand there and does not.
    pub(super) bytes: u64,
    /// More about it, for a sentence about this key alone.
    pub(super) remark: String,
}

impl<'a> Finding<'a> {
    pub(super) fn new(key: &'a str, class: Class, symptom: Symptom) -> Self {
        let (due, shown) = (Due::Nothing, None);
        Finding { key, class, symptom, due, shown, bytes: 0, remark: String::new() }
    }

    /// The same where there are no intents to speak of.
    pub(super) fn not_by_intents(self) -> Self {
        match self.symptom {
            Symptom::Foreign => Finding { symptom: Symptom::Changed, ..self },
            _ => self,
        }
    }

    fn is_acknowledged(&self) -> bool {
        matches!(self.due, Due::Value(_) | Due::Deletion | Due::Parts)
    }

    /// What an acknowledgement promised is lost by a power cut and not by a kill.
    pub(super) fn blame_power_loss(&mut self) {
        if self.class == Class::Lost && self.is_acknowledged() {
            self.class = Class::AckedNotDurable;
        }
    }

    /// Something promised, or there before, is gone or changed. What is there twice is not gone.
    fn is_loss(&self) -> bool {
        !matches!(self.due, Due::Nothing) && self.class != Class::Duplicated
    }
}

/// The order of badness: the classes that follow from contents, the worst first.
fn rank(class: Class) -> usize {
    [
        Class::Lost,
        Class::AckedNotDurable,
        Class::Torn,
        Class::Wrong,
        Class::Duplicated,
        Class::Extra,
    ]
    .iter()
    .position(|other| *other == class)
    .expect("contents show no other class")
}

/// Rank, symptom, and whether nothing acknowledged is concerned: keys that are told together.
type GroupKey = (usize, Symptom, bool);

/// The judgement that follows from all bad keys; they may be none.
pub(super) fn judgement(findings: &[Finding<'_>]) -> Judgement {
    let mut groups: BTreeMap<GroupKey, Vec<&Finding<'_>>> = BTreeMap::new();
    for finding in findings {
        let group = (rank(finding.class), finding.symptom, !finding.is_acknowledged());
        groups.entry(group).or_default().push(finding);
    }
    let mut groups = Vec::from_iter(groups);
    groups.sort_by_key(|((rank, ..), members)| (*rank, std::cmp::Reverse(members.len())));
    let Some((_, worst)) = groups.first() else { return Judgement::held() };
    let mut sentences: Vec<String> =
        groups.iter().take(GROUPS_MAX).map(|(_, members)| sentence(members)).collect();
    let others: usize = groups.iter().skip(GROUPS_MAX).map(|(_, members)| members.len()).sum();
    if others > 0 {
        let (keys, are) = if others == 1 { ("key", "is") } else { ("keys", "are") };
        sentences.push(format!("{} more {keys} {are} bad in other ways", thousands(others as u64)));
    }
    Judgement {
        keys_lost: findings.iter().filter(|finding| finding.is_loss()).count() as u64,
        bytes_lost: findings.iter().map(|finding| finding.bytes).sum(),
        ..Judgement::violated(worst[0].class, sentences.join("; "))
    }
}

fn sentence(members: &[&Finding<'_>]) -> String {
    match members {
        [finding] => singular(finding),
        _ => plural(members),
    }
}

fn singular(finding: &Finding<'_>) -> String {
    let key = excerpt(finding.key);
    let bytes = bytes(finding.bytes);
    let shown = finding.shown.map(|json| quoted(&text_of(json))).unwrap_or_default();
    let due = match finding.due {
        Due::Value(value) => format!(" instead of the acknowledged {}", quoted(&value.to_string())),
        Due::Before(json) => {
            format!(" instead of {}, which was there before", quoted(&text_of(json)))
        }
        Due::Nothing | Due::Deletion | Due::Parts => String::new(),
    };
    let noun = match finding.is_acknowledged() {
        true => format!("acknowledged key {key}{bytes}"),
        false if finding.is_loss() => format!("key {key}{bytes}, there before,"),
        false => format!("key {key}"),
    };
    let sentence = match finding.symptom {
        Symptom::Gone => format!("{noun} is gone"),
        Symptom::Emptied => format!("{noun} is empty"),
        Symptom::Older => format!("{key} holds an older value, {shown},{due}"),
        Symptom::Undeleted => {
            format!("key {key}, whose deletion was acknowledged, is back: {shown}")
        }
        Symptom::Fewer => format!("{key} lacks what was acknowledged{bytes}"),
        Symptom::Partial => format!("{key} is torn: it holds {shown}{due}"),
        Symptom::Mixed => "a transaction is there in part".to_owned(),
        Symptom::Foreign => format!("{key} holds {shown}, which was never intended,{due}"),
        Symptom::Changed => format!("{key} holds {shown}{due}"),
        Symptom::Unapplied => {
            format!("{key} holds {shown}, which was reported as not applied,{due}")
        }
        Symptom::Unknown => format!("key {key} is there and was never intended: it holds {shown}"),
        Symptom::Repeated => format!("{key} holds something more than once"),
    };
    let sentence = sentence.trim_end_matches(',');
    match finding.remark.as_str() {
        "" => sentence.to_owned(),
        remark => format!("{sentence}: {remark}"),
    }
}

fn plural(members: &[&Finding<'_>]) -> String {
    let count = thousands(members.len() as u64);
    let bytes = bytes(members.iter().map(|finding| finding.bytes).sum());
    let noun = match members[0].is_acknowledged() {
        true => format!("{count} acknowledged keys{bytes}"),
        false if members[0].is_loss() => format!("{count} keys{bytes}, there before,"),
        false => format!("{count} keys"),
    };
    let said = match members[0].symptom {
        Symptom::Gone => format!("{noun} are gone"),
        Symptom::Emptied => format!("{noun} are empty"),
        Symptom::Older => format!("{noun} hold older values"),
        Symptom::Undeleted => format!("{count} keys, whose deletion was acknowledged, are back"),
        Symptom::Fewer => format!("{count} keys lack what was acknowledged{bytes}"),
        Symptom::Partial => format!("{count} keys are torn"),
        Symptom::Mixed => format!("{count} groups of keys hold transactions in part"),
        Symptom::Foreign => format!("{count} keys hold values that were never intended"),
        Symptom::Changed => format!("{count} keys hold other values than before"),
        Symptom::Unapplied => format!("{count} keys hold values that were reported as not applied"),
        Symptom::Unknown => format!("{count} keys are there that were never intended"),
        Symptom::Repeated => format!("{count} keys hold something more than once"),
    };
    format!("{said}: {}", names(members.iter().map(|finding| finding.key)))
}

/// The first few names.
pub(super) fn names<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let mut keys = keys.peekable();
    let mut named: Vec<String> = keys.by_ref().take(KEYS_NAMED_MAX).map(excerpt).collect();
    if keys.peek().is_some() {
        named.push("...".to_owned());
    }
    named.join(", ")
}

fn bytes(count: u64) -> String {
    match count {
        0 => String::new(),
        1 => " (1 byte)".to_owned(),
        count => format!(" ({} bytes)", thousands(count)),
    }
}

fn quoted(text: &str) -> String {
    format!("`{}`", excerpt(text))
}

fn excerpt(text: &str) -> String {
    let mut shown: String =
        text.chars().take(EXCERPT_CHARACTERS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(EXCERPT_CHARACTERS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}
