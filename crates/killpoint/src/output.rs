//! Words on standard output and standard error.

use crate::arguments::Format;
use crate::failure::Failure;
use anyhow::anyhow;
use killpoint_harness::report::console::{Style, summary};
use killpoint_harness::report::json;
use killpoint_harness::store::RunFolder;
use killpoint_model::Outcome;
use killpoint_model::report::Report;
use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::path::Path;

/// Prints a result. A reader that has gone away is no reason to fail; a disk that is full is one.
///
/// # Errors
/// If it could not be written.
pub fn result(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// The same, for what is no text.
///
/// # Errors
/// If it could not be written.
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let written = stdout().write_all(bytes).and_then(|()| stdout().flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure {
            error: anyhow!(error).context("cannot write to standard output"),
            outcome: Outcome::InternalError,
        }),
        _ => Ok(()),
    }
}

/// Prints a line of a result, whether or not anybody reads on.
macro_rules! print_line {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}
pub(crate) use print_line;

/// Says something on standard error, whether or not anybody listens.
pub fn say(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

/// What a run has to say, for a person.
pub fn summary_text(report: &Report, folder: &RunFolder) -> String {
    let page = shown_path(&folder.join("report.html"));
    let colours = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let style = if colours { Style::coloured() } else { Style::plain() };
    summary(report, style.with_page(&page))
}

/// Prints the report of a run.
///
/// # Errors
/// If it could not be written.
pub fn report(report: &Report, folder: &RunFolder, format: Format) -> Result<(), Failure> {
    let text = match format {
        Format::Json => json::document(report),
        Format::Human => summary_text(report, folder),
    };
    result(&text).map_err(|failure| Failure {
        error: failure.error.context(format!(
            "run {} is complete, in {}, and its result ({}) cannot be printed",
            folder.id(),
            shown_path(folder.path()),
            report.result
        )),
        ..failure
    })
}

/// A path as short as it can be, from here.
pub fn shown_path(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
