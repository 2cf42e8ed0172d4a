//! The baseline: findings that are known and do not fail a run.

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
    let text = fs::read_to_string(path).map_err(fail("read", path))?;
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

/// Writes the keys of findings as a baseline.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, findings: BTreeSet<String>) -> Result<(), BaselineError> {
    let baseline = Baseline { version: BASELINE_VERSION, findings: findings.into_iter().collect() };
    let mut text = serde_json::to_string_pretty(&baseline).expect("plain data");
    text.push('\n');
    fs::write(path, text).map_err(fail("write", path))
}

fn fail<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> BaselineError + 'a {
    move |source| BaselineError::Io { action, path: path.to_owned(), source }
}
