//! Places of state directories, `{state:2}`, that stand for nothing.

use crate::nonsense::Nonsense;
use crate::scenario::Scenario;
use serde_json::Value;

/// Refuses a place that stands for a directory which the scenario does not have.
pub(super) fn validate(scenario: &Scenario) -> Result<(), Nonsense> {
    // Where none is named, each trial has an empty one.
    let count = scenario.target.state.len().max(1);
    let json = |it: Result<Value, serde_json::Error>| it.expect("plain data");
    look(&json(serde_json::to_value(&scenario.target)), "target", count)?;
    look(&json(serde_json::to_value(&scenario.workload)), "workload", count)?;
    look(&json(serde_json::to_value(&scenario.faults)), "faults", count)?;
    look(&json(serde_json::to_value(&scenario.invariants)), "invariants", count)
}

fn look(value: &Value, at: &str, count: usize) -> Result<(), Nonsense> {
    match value {
        Value::String(text) => match unknown(text, count) {
            Some(place) => {
                let why =
                    format!("{place} stands for nothing: there are {count} state directories");
                Err(Nonsense::new(at, why))
            }
            None => Ok(()),
        },
        Value::Array(values) => values
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| look(value, &format!("{at}[{index}]"), count)),
        Value::Object(fields) => {
            fields.iter().try_for_each(|(name, value)| look(value, &format!("{at}.{name}"), count))
        }
        _ => Ok(()),
    }
}

/// The first place of a directory that is not there.
fn unknown(text: &str, count: usize) -> Option<&str> {
    let places = text.match_indices("{state:").filter_map(|(start, _)| {
        let end = start + text[start..].find('}')?;
        let number = &text[start + "{state:".len()..end];
        Some((&text[start..=end], number))
    });
    let is_known =
        |number: &str| number.parse::<usize>().is_ok_and(|number| (1..=count).contains(&number));
    places.into_iter().find(|(_, number)| !is_known(number)).map(|(place, _)| place)
}
