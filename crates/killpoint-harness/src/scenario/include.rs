//! `!include FILE`: another file below the scenario's directory, its variables filled in as the scenario's own.

use super::{show, variables};
use serde_saphyr::{
    IncludeRequest, IncludeResolveError, InputSource, ResolvedInclude, SafeFileReadMode,
    SafeFileResolver,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;

/// What was wrong with the variables of an included file, shown there; the reader has no room for it.
pub(super) type Problem = Rc<RefCell<Option<String>>>;

/// Who finds and reads included files. Without values their variables are left as they stand.
///
/// # Errors
/// If the scenario's directory is not there.
pub(super) fn resolver(
    directory: &Path,
    values: Option<BTreeMap<String, String>>,
    problem: Problem,
) -> io::Result<
    impl for<'a> FnMut(IncludeRequest<'a>) -> Result<ResolvedInclude, IncludeResolveError> + 'static,
> {
    // As a text, so that what is wrong in an included file can be shown there.
    let files = SafeFileResolver::new(directory)?.with_read_mode(SafeFileReadMode::Text);
    Ok(move |request: IncludeRequest<'_>| {
        let mut included = files.resolve(request)?;
        let (InputSource::Text(text) | InputSource::AnchoredText { text, .. }) =
            &mut included.source
        else {
            return Ok(included);
        };
        if let Some(values) = &values {
            *text = variables::fill_closed(text, values).map_err(|wrong| {
                *problem.borrow_mut() = Some(show::variable(&wrong, text, &included.name));
                IncludeResolveError::Message("a variable in it is wrong".to_owned())
            })?;
        }
        Ok(included)
    })
}
