//! Shows what is wrong with a file: line, column, a caret, and what to write instead.

mod narrow;

use super::place;
use super::variables::Wrong;
use killpoint_model::Nonsense;
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, Report,
};
use narrow::Narrow;
use serde_saphyr::{
    Error, IncludeResolveError, Location, MessageFormatter, ResolveProblem, UserMessageFormatter,
};
use std::borrow::Cow;
use std::io::ErrorKind;
use std::ops::Range;
use textwrap::{WordSeparator, WordSplitter};

/// The number that the reader gives the scenario's own text; included files have greater ones.
const ROOT_SOURCE: u32 = 1;
/// Columns of what is said: 80, less what stands before the first line on the console.
const WIDTH: usize = 69;
/// Names further apart than this share of their letters are not taken for each other.
const LIKENESS_MIN: f64 = 0.6;

/// What the reader of the file complains about, shown in the file that it lies in.
pub(super) fn parse_error(error: &Error, text: &str, name: &str) -> String {
    let (text, name) = &source_of(error, text, name);
    let error = error.without_snippet();
    let start = error.location().and_then(|location| byte_at(text, location));
    let span = |length: usize| start.map(|start| start..(start + length).min(text.len()));
    let unknown = |word: &str, expected: &[&'static str]| {
        let message = format!("`{word}` is not known here");
        show(&message, &instead(word, expected), span(word.len()), text, name)
    };
    match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown(field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => unknown(variant, expected),
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("a key");
            let message = format!("`{key}` is written twice");
            show(&message, "keep one of them", span(key.len()), text, name)
        }
        Error::SerdeMissingField { field, .. } => {
            show(&format!("`{field}` is missing here"), "write it", span(1), text, name)
        }
        error => match plainly(error) {
            Some((message, help)) => show(message, help, span(1), text, name),
            None => show(&UserMessageFormatter.format_message(error), "", span(1), text, name),
        },
    }
}

/// The text that an error lies in, and its name: that of an included file, or the scenario's. Of an included
/// file the reader has kept the lines around it.
fn source_of<'a>(error: &'a Error, text: &'a str, name: &'a str) -> (Cow<'a, str>, &'a str) {
    let region = match (error, error.location()) {
        (Error::WithSnippet { regions, .. }, Some(at)) if at.source_id() > ROOT_SOURCE => {
            regions.iter().find(|region| region.location.source_id() == at.source_id())
        }
        _ => None,
    };
    match region {
        Some(region) => {
            let before = "\n".repeat(region.start_line.saturating_sub(1));
            (Cow::Owned(before + &region.text), &region.source_name)
        }
        None => (Cow::Borrowed(text), name),
    }
}

/// The byte at a line and a column.
fn byte_at(text: &str, at: Location) -> Option<usize> {
    let (line, column) = (usize::try_from(at.line()).ok()?, usize::try_from(at.column()).ok()?);
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let within = text[before..].char_indices().nth(column.checked_sub(1)?);
    Some(within.map_or(text.len(), |(byte, _)| before + byte))
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
        Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. }
        | Error::ExpectedStringKeyForExternallyTaggedEnum { .. } => (
            "a word, or one key with its value, is expected here",
            "write one word, or one key with its value in braces: `killpoint schema` has them",
        ),
        Error::ExpectedMappingEndAfterEnumVariantValue { .. } => (
            "one key is all that can stand here",
            "take the others out, or write each in a rule or an item of its own",
        ),
        Error::UnexpectedValueForUnitEnumVariant { .. } => {
            ("this word takes no value", "write it alone, as `kill`")
        }
        Error::MultipleDocuments { .. } => (
            "a second document begins here",
            "a scenario is one document: take the line `---` out, and what follows it",
        ),
        Error::UnknownAnchor { .. } => (
            "a `*` outside of quotes stands for what `&` names, and nothing is named so",
            "write a text that begins with it in quotes, as \"*.tmp\"",
        ),
        Error::ResolverError { error: IncludeResolveError::FileInclude(problem), .. }
            if matches!(
                **problem,
                ResolveProblem::TargetNotRegularFile { .. }
                    | ResolveProblem::InvalidExtension { .. }
            ) =>
        {
            (
                "what is to be included is no file of YAML",
                "name a file that ends in .yaml or .yml, not a directory",
            )
        }
        Error::ResolverError { error: IncludeResolveError::Io(error), .. }
            if error.kind() == ErrorKind::InvalidData =>
        {
            ("the file that is to be included is not UTF-8", "save it as UTF-8")
        }
        Error::ResolverError { .. } => (
            "the file that is to be included cannot be read",
            "it has to be there, below the directory of the scenario",
        ),
        Error::NullIntoString { .. } => {
            ("a text is expected here, and nothing is said", "write it behind the colon")
        }
        Error::InvalidBooleanStrict { .. } => ("true or false is expected here", ""),
        Error::InvalidScalar { ty, .. } if ty.starts_with('u') => {
            ("a whole number is expected here", "from 0 on; this one is none, or too large")
        }
        Error::InvalidScalar { ty, .. } if ty.starts_with(['i', 'f']) => {
            ("a number is expected here", "this one is none, or too large")
        }
        Error::Eof { .. } => ("the file ends before it says what it has to", "is it empty?"),
        Error::Budget { .. } => ("this is nested too deeply, or too large", ""),
        error if error.to_string().contains("untagged enum") => {
            ("this is none of the forms that are known here", "`killpoint schema` has them all")
        }
        _ => return None,
    })
}

/// A place that stands for no variable.
pub(super) fn variable(wrong: &Wrong, text: &str, name: &str) -> String {
    let (message, instead) = match wrong {
        Wrong::Unclosed { name, .. } => {
            (format!("`${{{name}` has no `}}`"), "write `}` after its name, or".to_owned())
        }
        Wrong::Undeclared { name, nearest, .. } => (
            format!("the scenario declares no variable `{name}`"),
            match nearest {
                Some(nearest) => format!("did you mean `{nearest}`? Write"),
                None => "add it to `variables`, or write".to_owned(),
            },
        ),
    };
    let help = format!("{instead} $${{ for the characters themselves");
    show(&message, &help, Some(wrong.bytes()), text, name)
}

/// A message about one place.
pub(super) fn at(message: &str, span: Option<Range<usize>>, text: &str, name: &str) -> String {
    show(message, "", span, text, name)
}

/// What makes no sense, though it can be read.
pub(super) fn nonsense(error: &Nonsense, text: &str, name: &str) -> String {
    show(&error.to_string(), "", place::find(text, &error.at), text, name)
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
        .with_width(WIDTH)
        .with_break_words(false)
        .with_word_separator(WordSeparator::AsciiSpace)
        .with_word_splitter(WordSplitter::NoHyphenation)
        .render_report(&mut text, &Narrow::of(diagnostic))
        .expect("a string takes everything");
    text.trim_end().to_owned()
}

/// What is shown, with every sentence on one line.
#[cfg(test)]
pub(super) fn unwrapped(shown: &str) -> String {
    shown.replace("\n  │ ", " ").replace("\n        ", " ")
}
