//! Long lines, cut around what is meant in them, so that a caret below stands below it on any screen.

use miette::{
    Diagnostic, LabeledSpan, MietteError, MietteSpanContents, Severity, SourceCode, SourceSpan,
    SpanContents,
};
use std::error::Error;
use std::fmt;
use std::ops::Range;

/// Most characters of a line that are shown.
const COLUMNS_MAX: usize = 100;
/// How many of them stand before what is meant, where the beginning is cut off.
const COLUMNS_BEFORE: usize = 40;
/// What stands in place of what is cut off.
const ELLIPSIS: char = '…';

/// A diagnostic whose source has no long lines.
pub(super) struct Narrow<'a> {
    inner: &'a dyn Diagnostic,
    source: Option<Cut<'a>>,
    labels: Vec<LabeledSpan>,
    related: Vec<Narrow<'a>>,
}

impl<'a> Narrow<'a> {
    pub(super) fn of(inner: &'a dyn Diagnostic) -> Self {
        let labels: Vec<LabeledSpan> = inner.labels().into_iter().flatten().collect();
        let meant = labels.iter().map(LabeledSpan::offset).collect::<Vec<_>>();
        let source = inner.source_code().and_then(|source| Cut::of(source, &meant));
        let labels = match &source {
            Some(cut) => labels.iter().map(|label| cut.moved(label)).collect(),
            None => labels,
        };
        let related = inner.related().into_iter().flatten().map(Narrow::of).collect();
        Narrow { inner, source, labels, related }
    }
}

impl fmt::Debug for Narrow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.inner, f)
    }
}

impl fmt::Display for Narrow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.inner, f)
    }
}

impl Error for Narrow<'_> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner.source()
    }
}

impl Diagnostic for Narrow<'_> {
    fn severity(&self) -> Option<Severity> {
        self.inner.severity()
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.inner.help()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        match &self.source {
            Some(cut) => Some(cut),
            None => self.inner.source_code(),
        }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty()).then(|| Box::new(self.labels.iter().cloned()) as _)
    }

    fn related<'b>(&'b self) -> Option<Box<dyn Iterator<Item = &'b dyn Diagnostic> + 'b>> {
        let related = self.related.iter().map(|one| one as &dyn Diagnostic);
        (!self.related.is_empty()).then(|| Box::new(related) as _)
    }
}

/// What is kept of a line.
struct Line {
    /// Where it begins, in the whole text.
    start: usize,
    /// The bytes that are kept, in the whole text.
    kept: Range<usize>,
    /// Where they stand in the cut text.
    at: usize,
}

/// A text with its long lines cut.
struct Cut<'a> {
    whole: &'a dyn SourceCode,
    name: Option<String>,
    text: String,
    lines: Vec<Line>,
}

impl<'a> Cut<'a> {
    /// Cuts the lines of a text, each around the first of the `meant` bytes that lies in it. None where
    /// no line is long, or the text cannot be read.
    fn of(whole: &'a dyn SourceCode, meant: &[usize]) -> Option<Self> {
        let contents = whole.read_span(&SourceSpan::from((0, 0)), 0, usize::MAX).ok()?;
        let name = contents.name().map(str::to_owned);
        let original = str::from_utf8(contents.data()).ok()?;
        let mut cut = Cut { whole, name, text: String::new(), lines: Vec::new() };
        let mut start = 0;
        let mut is_any_long = false;
        for line in original.split_inclusive('\n') {
            let body = line.trim_end_matches(['\r', '\n']);
            let meant = meant.iter().find(|at| (start..=start + body.len()).contains(at));
            let kept = kept(body, meant.map(|at| at - start));
            is_any_long |= kept.len() < body.len();
            cut.text.extend((kept.start > 0).then_some(ELLIPSIS));
            let at = cut.text.len();
            cut.text.push_str(&body[kept.clone()]);
            cut.text.extend((kept.end < body.len()).then_some(ELLIPSIS));
            cut.text.push_str(&line[body.len()..]);
            cut.lines.push(Line { start, kept: start + kept.start..start + kept.end, at });
            start += line.len();
        }
        is_any_long.then_some(cut)
    }

    /// Where a byte of the whole text stands in the cut one: at the nearest that is kept.
    fn cut_offset(&self, offset: usize) -> usize {
        let after = self.lines.partition_point(|line| line.start <= offset);
        let Some(line) = self.lines.get(after.saturating_sub(1)) else { return 0 };
        line.at + offset.clamp(line.kept.start, line.kept.end) - line.kept.start
    }

    /// Where a byte of the cut text stands in the whole one.
    fn whole_offset(&self, offset: usize) -> usize {
        let after = self.lines.partition_point(|line| line.at <= offset);
        let Some(line) = self.lines.get(after.saturating_sub(1)) else { return 0 };
        line.kept.start + offset.saturating_sub(line.at)
    }

    fn moved(&self, label: &LabeledSpan) -> LabeledSpan {
        let start = self.cut_offset(label.offset());
        let end = self.cut_offset(label.offset() + label.len());
        let (text, span) = (label.label().map(str::to_owned), (start, end - start));
        match label.primary() {
            true => LabeledSpan::new_primary_with_span(text, span),
            false => LabeledSpan::new_with_span(text, span),
        }
    }
}

impl SourceCode for Cut<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let found = self.text.read_span(span, lines_before, lines_after)?;
        let mut column = found.column();
        if lines_before == 0 {
            // What is said of the place is true of the whole text.
            let place = SourceSpan::from((self.whole_offset(span.offset()), 0));
            column = self.whole.read_span(&place, 0, 0)?.column();
        }
        let (data, span, line) = (found.data(), *found.span(), found.line());
        let count = found.line_count();
        Ok(Box::new(match &self.name {
            Some(name) => {
                MietteSpanContents::new_named(name.clone(), data, span, line, column, count)
            }
            None => MietteSpanContents::new(data, span, line, column, count),
        }))
    }
}

/// The bytes of a line that are kept, given which of them is meant.
fn kept(line: &str, meant: Option<usize>) -> Range<usize> {
    let characters: Vec<usize> = line.char_indices().map(|(index, _)| index).collect();
    let count = characters.len();
    if count <= COLUMNS_MAX {
        return 0..line.len();
    }
    let meant = characters.partition_point(|index| *index < meant.unwrap_or(0));
    let first = match meant + COLUMNS_BEFORE < COLUMNS_MAX {
        true => 0,
        false => (meant - COLUMNS_BEFORE).min(count - COLUMNS_MAX),
    };
    let end = characters.get(first + COLUMNS_MAX).copied().unwrap_or(line.len());
    characters[first]..end
}

#[cfg(test)]
mod tests {
    use super::super::at;

    /// The line of the source, what is marked below it, and where it is said to be.
    fn shown(text: &str, meant: &str) -> (String, String, String) {
        let start = text.find(meant).expect(meant);
        let shown = at("wrong", Some(start..start + meant.len()), text, "file.yaml");
        let lines: Vec<&str> = shown.lines().collect();
        for line in lines.iter().filter(|line| line.contains(" │ ")) {
            assert!(line.chars().count() <= super::COLUMNS_MAX + 10, "{shown}");
        }
        let place = lines.iter().find(|line| line.contains("file.yaml")).expect("a place");
        let place = place.trim_start_matches([' ', '╭', '─']).to_owned();
        let mark = lines.iter().position(|line| line.contains('┬')).expect("a mark");
        let marked = lines[mark - 1].chars().zip(lines[mark].chars());
        let marked = marked.filter(|(_, below)| ['─', '┬'].contains(below)).map(|(above, _)| above);
        (lines[mark - 1].to_owned(), marked.collect(), place)
    }

    #[test]
    fn a_long_line_is_cut_around_what_is_meant_and_the_mark_stands_below_it() {
        let filler = |letter: &str, count| letter.repeat(count);
        for (before, after, cut_before, cut_after) in [
            (0, 300, false, true),
            (50, 300, false, true),
            (150, 300, true, true),
            (300, 10, true, false),
            (300, 0, true, false),
            (40, 40, false, false),
        ] {
            let line = format!("{}WRONG{}", filler("é", before), filler("b", after));
            let text = format!("{}\n{line}\n{}\n", filler("a", 500), filler("c", 500));
            let (source, marked, place) = shown(&text, "WRONG");
            assert_eq!(marked, "WRONG", "{source}");
            assert_eq!(source.contains("…é"), cut_before, "{source}");
            assert_eq!(source.ends_with('…'), cut_after, "{source}");
            assert_eq!(place, format!("[file.yaml:2:{}]", 2 * before + 1));
        }
    }

    #[test]
    fn what_is_long_itself_is_marked_as_far_as_it_is_shown() {
        let long = format!("x{}", "y".repeat(400));
        let (source, marked, _) = shown(&format!("key: {long}\n"), &long);
        assert!(source.ends_with("y…") && marked.starts_with("xyy"), "{source}");
    }
}
