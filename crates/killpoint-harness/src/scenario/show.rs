//! Shows what is wrong with a file: line, column, a caret, and what to write instead.

mod narrow;

use super::variables::Undeclared;
use super::{part, place};
use killpoint_model::scenario::ScenarioError;
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, Report,
};
use narrow::Narrow;
use serde_saphyr::Error;
use std::ops::Range;

/// Names further apart than this share of their letters are not taken for each other.
const LIKENESS_MIN: f64 = 0.6;

/// What the reader of the file complains about.
pub(super) fn parse_error(error: &Error, text: &str, name: &str) -> String {
    match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, location } => {
            let message = format!("`{field}` is not known here");
            let span = location.span().byte_offset().and_then(|start| {
                let start = usize::try_from(start).ok()?;
                Some(start..start + field.len())
            });
            show(&message, &instead(field, expected), span, text, name)
        }
        Error::SerdeUnknownVariant { variant, expected, location } => {
            let message = format!("`{variant}` is not known here");
            let span = location.span().byte_offset().and_then(|start| {
                let start = usize::try_from(start).ok()?;
                Some(start..start + variant.len())
            });
            show(&message, &instead(variant, expected), span, text, name)
        }
        error => match plainly(error) {
            Some((message, help)) => {
                let at = error.location().and_then(|location| location.span().byte_offset());
                let start = at.and_then(|start| usize::try_from(start).ok());
                let span = start.map(|start| start.min(text.len())..(start + 1).min(text.len()));
                show(message, help, span, text, name)
            }
            None => draw(&*serde_saphyr::miette::to_miette_report(error, text, name)),
        },
    }
}

/// What the reader's words mean to whoever writes the file, where that is not plain.
fn plainly(error: &Error) -> Option<(&'static str, &'static str)> {
    Some(match error {
        Error::Unexpected { expected: "sequence start", .. } => (
            "a list is expected here",
            "write [one, other], or each on a line of its own after a dash",
        ),
        Error::Unexpected { expected: "mapping start", .. } => (
            "keys with values are expected here",
            "write `key: value` below it, or { key: value }; {} where there is nothing to say",
        ),
        Error::InvalidScalar { ty, .. } if ty.starts_with('u') => {
            ("a whole number is expected here", "from 0 on; this one is none, or too large")
        }
        Error::Eof { .. } => ("the file ends before it says what it has to", "is it empty?"),
        Error::Budget { .. } => ("this is nested too deeply, or too large", ""),
        error if error.to_string().contains("untagged enum") => {
            ("this is none of the forms that are known here", "`killpoint schema` has them all")
        }
        _ => return None,
    })
}

/// A variable that is not declared.
pub(super) fn undeclared(unknown: &Undeclared, text: &str, name: &str) -> String {
    let message = format!("the file declares no variable `{}`", unknown.name);
    let help = match &unknown.nearest {
        Some(nearest) => {
            format!("did you mean `{nearest}`? Write $${{ for the characters themselves")
        }
        None => "add it to `variables`, or write $${ for the characters themselves".to_owned(),
    };
    show(&message, &help, Some(unknown.bytes.clone()), text, name)
}

/// A message about one place.
pub(super) fn at(message: &str, span: Option<Range<usize>>, text: &str, name: &str) -> String {
    show(message, "", span, text, name)
}

/// What makes no sense, though it can be read.
pub(super) fn nonsense(error: &ScenarioError, text: &str, name: &str) -> String {
    show(&error.to_string(), "", place::find(text, &part(error)), text, name)
}

fn instead(wrong: &str, known: &[&'static str]) -> String {
    match nearest(wrong, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`? Known are: {}", known.join(", ")),
        None => format!("known are: {}", known.join(", ")),
    }
}

/// The known name that is most like a wrong one, if one is like it.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

fn show(message: &str, help: &str, span: Option<Range<usize>>, text: &str, name: &str) -> String {
    let mut diagnostic = MietteDiagnostic::new(message);
    if !help.is_empty() {
        diagnostic = diagnostic.with_help(help);
    }
    if let Some(span) = span {
        diagnostic =
            diagnostic.with_label(LabeledSpan::new_with_span(Some("here".to_owned()), span));
    }
    let source = miette::NamedSource::new(name, text.to_owned());
    draw(&*Report::new(diagnostic).with_source_code(source))
}

/// Without colours: whether there is a terminal is not known here.
fn draw(diagnostic: &dyn Diagnostic) -> String {
    let mut text = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .render_report(&mut text, &Narrow::of(diagnostic))
        .expect("a string takes everything");
    text.trim_end().to_owned()
}
