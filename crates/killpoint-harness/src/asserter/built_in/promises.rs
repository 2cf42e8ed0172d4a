//! When everything that was written so far was promised: the built-in oracle does not know in which file a key is
//! kept, so what it holds a state against are the moments at which no operation was open.

use super::forms::is_looked_for;
use super::values::Written;
use crate::asserter::journal::{Change, Journal, Operation, Value};
use std::collections::{BTreeSet, HashMap};

/// What an ack journal promises of the whole state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    kill: Vec<u64>,
    power_loss: Vec<u64>,
    spans: Vec<Span>,
}

/// From the intent of an operation of this run to its acknowledgements, as lengths of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    key: String,
    intent: u64,
    kill: Option<u64>,
    power_loss: Option<u64>,
    /// Those of its values that are looked for in what is written.
    values: Vec<String>,
}

impl Promises {
    /// Those of a journal; `plain_acks_count` says whether a plain acknowledgement survives a loss of power.
    /// Up to the length `start` it holds what was before this run.
    pub fn of(journal: &Journal, plain_acks_count: bool, start: u64) -> Self {
        let durable = |operation: &Operation| match plain_acks_count {
            true => operation.acknowledged,
            false => operation.durable,
        };
        Promises {
            kill: settled(journal, |operation| operation.acknowledged),
            power_loss: settled(journal, durable),
            spans: spans(journal, durable, start),
        }
    }

    /// The first acknowledgement of something for which nothing was written: its position in the journal, and
    /// the key. `written` are the lengths of the journal at the entries of the operations on the state, ascending.
    pub fn unwritten(&self, written: &[u64], power_loss: bool) -> Option<(u64, &str)> {
        let unwritten = self.spans.iter().filter_map(|span| {
            let acknowledged = if power_loss { span.power_loss } else { span.kill }?;
            let next = written.get(written.partition_point(|length| *length < span.intent));
            let is_written = next.is_some_and(|length| *length < acknowledged);
            (!is_written).then_some((acknowledged, span.key.as_str()))
        });
        unwritten.min()
    }

    /// The values that are looked for in what is written, of all that was acknowledged.
    pub fn values(&self) -> BTreeSet<&str> {
        let acknowledged = self.spans.iter().filter(|span| span.kill.is_some());
        acknowledged.flat_map(|span| &span.values).map(String::as_str).collect()
    }

    /// The first acknowledgement of a value that came to stand in the state only later: its position in the journal,
    /// and the key. Where it may have been written before in another form, nothing is said.
    pub fn early(&self, written: &Written, power_loss: bool) -> Option<(u64, &str)> {
        let early = self.spans.iter().filter_map(|span| {
            let acknowledged = if power_loss { span.power_loss } else { span.kill }?;
            let mut first = span.values.iter().filter_map(|it| written.first.get(it.as_bytes()));
            let is_early = first.any(|length| *length >= acknowledged)
                && !written.may_be_veiled(&span.values, span.intent, acknowledged);
            is_early.then_some((acknowledged, span.key.as_str()))
        });
        early.min()
    }

    /// How often everything had been promised when the journal was `upto` bytes long.
    pub fn count(&self, upto: u64, power_loss: bool) -> u64 {
        let moments = if power_loss { &self.power_loss } else { &self.kill };
        moments.partition_point(|end| *end <= upto) as u64
    }
}

fn spans(journal: &Journal, durable: impl Fn(&Operation) -> Option<u64>, start: u64) -> Vec<Span> {
    let spans = journal.operations().iter().filter_map(|operation| {
        let first = operation.intents.iter().min_by_key(|intent| intent.end)?;
        let (key, intent) = (first.key.clone(), first.end);
        let (kill, power_loss) = (operation.acknowledged, durable(operation));
        let values = operation.intents.iter().filter_map(|intent| sought(&intent.change));
        let values = values.collect();
        (intent > start).then_some(Span { key, intent, kill, power_loss, values })
    });
    spans.collect()
}

/// The value that a change gives a key, if it is looked for.
fn sought(change: &Change) -> Option<String> {
    match change {
        Change::Set(Value::Text(text)) | Change::Append(Value::Text(text)) => {
            is_looked_for(text).then(|| text.clone())
        }
        _ => None,
    }
}

/// The lengths of the journal at which something had just been promised and nothing else was open, ascending.
fn settled(journal: &Journal, promised: impl Fn(&Operation) -> Option<u64>) -> Vec<u64> {
    let mut closed_by_key: HashMap<&str, u64> = HashMap::new();
    // The end of a line, whether it opens or closes, and whether it promises.
    let mut events: Vec<(u64, bool, bool)> = Vec::new();
    for operation in journal.operations().iter().rev() {
        let promise = promised(operation);
        let own = [promise, operation.failed].into_iter().flatten().min();
        // A later intent of a key takes the place of one before it.
        let closed = match (&operation.id, operation.intents.first()) {
            (None, Some(intent)) => {
                let later = closed_by_key.get(intent.key.as_str()).copied();
                let closed = [own, later].into_iter().flatten().min();
                if let Some(closed) = closed {
                    closed_by_key.insert(&intent.key, closed);
                }
                closed
            }
            _ => own,
        };
        let opened = operation.intents.iter().map(|intent| intent.end).min().unwrap_or(0);
        events.push((opened, true, false));
        if let Some(closed) = closed {
            events.push((closed, false, promise == Some(closed)));
        }
    }
    events.sort_unstable();
    let mut open = 0_i64;
    let mut moments = Vec::new();
    for line in events.chunk_by(|one, next| one.0 == next.0) {
        open += line.iter().map(|(_, opens, _)| if *opens { 1 } else { -1 }).sum::<i64>();
        if open == 0 && line.iter().any(|(.., promises)| *promises) {
            moments.push(line[0].0);
        }
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, kill: &[usize], power_loss: &[usize], plain: &[usize]) {
        let journal = Journal::parse(text.as_bytes()).expect("a journal");
        let ends: Vec<u64> = journal.lines().iter().map(|line| line.end).collect();
        let lines = |moments: &[u64]| -> Vec<usize> {
            moments.iter().filter_map(|it| ends.iter().position(|end| end == it)).collect()
        };
        let promises = Promises::of(&journal, false, 0);
        assert_eq!(lines(&promises.kill), kill, "{text}");
        assert_eq!(lines(&promises.power_loss), power_loss, "{text}");
        assert_eq!(lines(&Promises::of(&journal, true, 0).power_loss), plain, "{text}");
        assert_eq!(promises.count(u64::MAX, false), kill.len() as u64);
        assert_eq!(promises.count(0, false), 0);
    }

    #[test]
    fn everything_is_promised_where_nothing_is_open() {
        check("I a 1\nA a\nI b 2\nA! b\n", &[1, 3], &[], &[1, 3]);
        check("I a 1\nA! a\nI b 2\nA b\n", &[1, 3], &[1], &[1, 3]);
        check("I a 1\nI b 2\nA! a\nA! b\n", &[3], &[3], &[3]);
        check("I a 1\nI a 2\nA! a\n", &[2], &[2], &[2]);
        check("I #1 a = 1\nI #1 b = 1\nI #2 c = 1\nA! #1\nF #2\n", &[], &[], &[]);
        check("I #1 a = 1\nI #2 c = 1\nF #2\nA! #1\n", &[3], &[3], &[3]);
        check("I a 1\n", &[], &[], &[]);
    }

    #[test]
    fn a_value_is_written_before_it_is_acknowledged() {
        let text =
            "I a one\nA a\nI b two\nA b\nA! b\nI c 3\nA! c\nI #1 d = three\nI #1 e - \nA! #1\n";
        let journal = Journal::parse(text.as_bytes()).expect("a journal");
        let end = |line: usize| if line == 0 { 0 } else { journal.lines()[line - 1].end };
        let promises = Promises::of(&journal, false, 0);
        assert_eq!(promises.values(), BTreeSet::from(["one", "two", "three"]));
        // After which lines values are written first, and what is acknowledged too early.
        for (written, kill, power_loss) in [
            (&[][..], None, None),
            (&[("one", 1), ("two", 3), ("three", 8)], None, None),
            (&[("one", 2), ("two", 3)], Some((2, "a")), None),
            (&[("two", 4), ("three", 8)], Some((4, "b")), None),
            (&[("two", 5)], Some((4, "b")), Some((5, "b"))),
            (&[("three", 10)], Some((10, "d")), Some((10, "d"))),
        ] {
            let first = written.iter().map(|(text, line)| (text.as_bytes().to_vec(), end(*line)));
            let written = Written { first: first.collect(), ..Written::default() };
            for (power_loss, expect) in [(false, kill), (true, power_loss)] {
                let expect = expect.map(|(line, key)| (end(line), key));
                assert_eq!(promises.early(&written, power_loss), expect, "{written:?}");
            }
        }
    }

    #[test]
    fn what_is_acknowledged_is_written_after_its_intent() {
        let text = "I a 1\nA a\nI b 2\nI c 3\nA! b\nA c\nA! a\n";
        let journal = Journal::parse(text.as_bytes()).expect("a journal");
        let end = |line: usize| if line == 0 { 0 } else { journal.lines()[line - 1].end };
        // After which lines something is written, and where and what is acknowledged in vain.
        for (written, kill, power_loss) in [
            (&[1, 4][..], None, None),
            (&[0, 2, 4], Some((2, "a")), None),
            (&[1], Some((5, "b")), Some((5, "b"))),
            (&[1, 3], Some((6, "c")), None),
            (&[1, 5], Some((5, "b")), Some((5, "b"))),
            (&[2, 4], Some((2, "a")), None),
            (&[], Some((2, "a")), Some((5, "b"))),
        ] {
            let written: Vec<u64> = written.iter().map(|line| end(*line)).collect();
            let promises = Promises::of(&journal, false, 0);
            for (power_loss, expect) in [(false, kill), (true, power_loss)] {
                let expect = expect.map(|(line, key)| (end(line), key));
                assert_eq!(promises.unwritten(&written, power_loss), expect, "{written:?}");
            }
            let earlier = Promises::of(&journal, false, u64::MAX);
            assert_eq!(earlier.unwritten(&written, false), None);
        }
    }
}
