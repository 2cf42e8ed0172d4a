//! Where in a YAML text a part lies that is named by its path.

use granit_parser::{Event, Parser};
use std::ops::Range;

/// What encloses the present node.
enum Level {
    /// A mapping; the key whose value comes next, if one does.
    Mapping(Option<String>),
    /// A sequence, and the index of the next item.
    Sequence(usize),
}

/// The bytes of the node at a path as `faults[0].when`, or of the deepest one on the way to it. None
/// where the text is not YAML.
pub(super) fn find(text: &str, path: &str) -> Option<Range<usize>> {
    nearest(text, path).map(|(_, bytes)| bytes)
}

/// Whether there is a node at a path.
pub(super) fn is_there(text: &str, path: &str) -> bool {
    nearest(text, path).is_some_and(|(length, _)| length == path.len())
}

/// The deepest node on the way to a path, with the length of its own.
fn nearest(text: &str, path: &str) -> Option<(usize, Range<usize>)> {
    let mut levels: Vec<Level> = Vec::new();
    let mut best: Option<(usize, Range<usize>)> = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        let is_node =
            matches!(event, Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..));
        if is_node {
            // A key is no node of its own: it names the one that follows, and is what is shown.
            if let (Some(Level::Mapping(key @ None)), Event::Scalar(name, ..)) =
                (levels.last_mut(), &event)
            {
                *key = Some(name.to_string());
                let here = path_of(&levels);
                if is_on_the_way(&here, path)
                    && best.as_ref().is_none_or(|(length, _)| here.len() > *length)
                {
                    let bytes = span.start.byte_offset()?..span.end.byte_offset()?;
                    best = Some((here.len(), bytes));
                }
                continue;
            }
        }
        match &event {
            Event::MappingStart(..) => levels.push(Level::Mapping(None)),
            Event::SequenceStart(..) => levels.push(Level::Sequence(0)),
            Event::MappingEnd | Event::SequenceEnd => {
                levels.pop();
                step(&mut levels);
            }
            Event::Scalar(..) | Event::Alias(_) => step(&mut levels),
            _ => {}
        }
    }
    best
}

/// A value is over.
fn step(levels: &mut [Level]) {
    match levels.last_mut() {
        Some(Level::Mapping(key)) => *key = None,
        Some(Level::Sequence(index)) => *index += 1,
        None => {}
    }
}

fn path_of(levels: &[Level]) -> String {
    let mut path = String::new();
    for level in levels {
        match level {
            Level::Mapping(Some(key)) if path.is_empty() => path.push_str(key),
            Level::Mapping(Some(key)) => path.push_str(&format!(".{key}")),
            Level::Sequence(index) => path.push_str(&format!("[{index}]")),
            Level::Mapping(None) => {}
        }
    }
    path
}

fn is_on_the_way(here: &str, path: &str) -> bool {
    path.strip_prefix(here)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_or_the_nearest_thing_on_the_way_to_it() {
        let text = "a: 1\nlist:\n  - name: x\n    when: {at: 5s}\n  - {name: y, when: {nth: 0}}\n";
        let found = |path: &str| find(text, path).map(|bytes| (&text[bytes.clone()], bytes.start));
        assert_eq!(found("a"), Some(("a", 0)));
        assert_eq!(found("list[0].when"), Some(("when", 27)));
        assert_eq!(found("list[1].when.nth").map(|it| it.0), Some("nth"));
        assert_eq!(found("list[1].who").map(|it| it.0), Some("list"), "the deepest that is there");
        assert_eq!(found("b"), None);
        assert!(is_there(text, "list[1].when") && !is_there(text, "list[1].who"));
    }
}
