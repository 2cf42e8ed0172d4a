//! The baseline: findings that are known and do not fail a run.

use killpoint_engine::regular_file;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Version of the file.
const BASELINE_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Baseline {
    version: u32,
    findings: Vec<String>,
}

/// Why a baseline cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file makes no sense.
    #[error("{path}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// The keys of the findings that are known; none where there is no baseline.
///
/// # Errors
/// If the file cannot be read or is no baseline.
pub fn read(path: Option<&Path>) -> Result<BTreeSet<String>, BaselineError> {
    let Some(path) = path else { return Ok(BTreeSet::new()) };
    let text = regular_file::read_to_string(path).map_err(fail("read", path))?;
    let malformed = |problem: String| BaselineError::Malformed { path: path.to_owned(), problem };
    let baseline: Baseline = serde_json::from_str(&text).map_err(|error| {
        malformed(format!("no baseline ({error}); --write-baseline FILE makes one"))
    })?;
    if baseline.version != BASELINE_VERSION {
        return Err(malformed(format!(
            "a baseline of version {}, not {BASELINE_VERSION}; write it anew with --write-baseline",
            baseline.version
        )));
    }
    Ok(baseline.findings.into_iter().collect())
}

/// Checks, before a run, that its baseline can be written when it is over: who has waited for a result is not
/// to lose it by that. `out` is the directory of runs, which the run makes.
///
/// # Errors
/// If it cannot.
pub fn check_place(path: &Path, out: &Path) -> Result<(), BaselineError> {
    let no_place =
        |problem: String| Err(BaselineError::Malformed { path: path.to_owned(), problem });
    let is_allowed = |place: &Path| {
        accessat(CWD, place, Access::WRITE_OK, AtFlags::EACCESS)
            .map_err(|error| fail("write", path)(error.into()))
    };
    let names_directory = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => return is_allowed(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !names_directory => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(fail("write", path)(error));
        }
        _ => {
            let problem = "a baseline is written to a file, and this is a directory, a pipe or a \
                           device: name another place for it";
            return no_place(problem.to_owned());
        }
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    if out.join("runs").starts_with(directory) && !directory.exists() {
        return Ok(());
    }
    if !directory.is_dir() {
        let directory = directory.display();
        return no_place(format!(
            "a baseline cannot be written there: there is no directory {directory}; make it"
        ));
    }
    is_allowed(directory)
}

/// Writes the keys of findings as a baseline.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, findings: BTreeSet<String>) -> Result<(), BaselineError> {
    let baseline = Baseline { version: BASELINE_VERSION, findings: findings.into_iter().collect() };
    let mut text = serde_json::to_string_pretty(&baseline).expect("plain data");
    text.push('\n');
    regular_file::write(path, text.as_bytes()).map_err(fail("write", path))
}

fn fail<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> BaselineError + 'a {
    move |source| BaselineError::Io { action, path: path.to_owned(), source }
}
